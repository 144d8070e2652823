"""Whether the listener hears: a listener that hears nothing would find no secret in any test."""

import logging

import pytest

from tests.fakes import leaks
from tests.fakes.leaks import CARD, PAYING, PROMPTS, SECRETS
from tests.fakes.telegram_methods import Call
from tests.fakes.telegram_server import TelegramServer

log = logging.getLogger("kiebot.tests")


@pytest.mark.parametrize("secret", [*SECRETS.values(), CARD, CARD.replace(" ", ""), *PROMPTS])
def test_whatever_is_logged_is_heard(secret: str) -> None:
    """In the words, in a value, in a field, in an error."""
    with leaks.expected() as found:
        log.warning("it is " + secret)
        log.warning("it is %s", secret)
        log.warning("it is here", extra={"answers": secret})
        log.warning("it is here", exc_info=ValueError(f"wrong: {secret}"))

    assert len(found) == 4


@pytest.mark.parametrize("secret", [*SECRETS.values(), CARD])
async def test_whatever_telegram_is_told_is_heard(secret: str) -> None:
    """In a message, on a button, in a file and its name; not what Telegram has to know."""
    calls = [
        Call("sendMessage", {"text": f"it is {secret}"}, {}, "", 0),
        Call("sendMessage", {"reply_markup": {"a": [{"text": secret}]}}, {}, "", 0),
        Call("sendDocument", {}, {"f": (secret, "text/plain", b"")}, "", 0),
        Call("sendDocument", {}, {"f": ("a.txt", "text/plain", secret.encode())}, "", 0),
    ]
    with leaks.expected() as found:
        async with TelegramServer() as telegram:
            telegram.calls += calls

    assert len(found) == 4


async def test_what_telegram_has_to_be_told_is_no_leak() -> None:
    """Its webhook's secret, and the card where people are told to pay."""
    paying = f"{PAYING[0]} 100 ₽: {CARD}"
    with leaks.expected() as found:
        async with TelegramServer() as telegram:
            told = {"secret_token": leaks.WEBHOOK_SECRET, "url": "https://bot.example"}
            telegram.calls.append(Call("setWebhook", told, {}, "", 0))
            telegram.calls.append(Call("sendMessage", {"text": paying}, {}, "", 0))

    assert found == []


def test_who_was_heard_fails() -> None:
    with leaks.expected():
        leaks.hear("a test", leaks.KIE_KEY)
        with pytest.raises(pytest.fail.Exception, match=r"the key of kie[.]ai in a test"):
            leaks.check()
        leaks.check()
