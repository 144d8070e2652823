"""
A look at a bot from outside, for who checks a configuration: nothing is changed by it.
"""

from urllib.parse import urlsplit

from aiogram.exceptions import AiogramError, TelegramNotFound, TelegramUnauthorizedError
from attrs import frozen

from kiebot.adapters.frontend.telegram_updates import (
    WEBHOOK_PATH,
    Watch,
    make_bot,
    refused_token,
)
from kiebot.core.errors import FrontendUnavailableError


@frozen(kw_only=True)
class Standing:
    """
    How a bot stands at Telegram.

    `webhook` is the address that updates are sent to, empty where they are kept for who asks;
    `waiting` how many nobody has taken yet; `trouble` why the last one could not be delivered.
    """

    username: str
    webhook: str
    waiting: int
    trouble: str

    @property
    def host(self) -> str:
        """Whose address it is. The rest of another program's may be a secret."""
        return urlsplit(self.webhook).hostname or ""

    def is_at(self, address: str) -> bool:
        """Whether updates are sent to a kiebot with this public address."""
        return self.webhook == address.rstrip("/") + WEBHOOK_PATH


async def look_at_bot(token: str, api_url: str, patience_s: int) -> Standing:
    """
    Ask Telegram; each of two answers may take so long.

    Raises:
        ConfigError: It does not know the token.
        FrontendUnavailableError: It does not answer.
    """
    bot = make_bot(token, api_url, Watch(lambda: True, lambda *_: None))
    try:
        me = await bot.get_me(request_timeout=patience_s)
        hook = await bot.get_webhook_info(request_timeout=patience_s)
    except (TelegramUnauthorizedError, TelegramNotFound) as error:
        raise refused_token(error) from None
    except (TimeoutError, AiogramError) as error:
        why = str(error).replace(token, "(token)") or type(error).__name__
        raise FrontendUnavailableError(why) from None
    finally:
        await bot.session.close()
    return Standing(
        username=me.username or "",
        webhook=hook.url,
        waiting=hook.pending_update_count,
        trouble=hook.last_error_message or "",
    )
