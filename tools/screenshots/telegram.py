"""
Telegram: the bot in the tests' Telegram, and what people see there.

All of `kiebot serve` but its HTTP server runs in a loop that leaps over every wait, with a clock
and ids of its own: the same story gives the same screens. KIE is the stub, made so slow that there
is something to wait for.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from attrs import define, field, frozen

from kiebot.adapters.kie.stub import StubKieClient
from kiebot.adapters.storage.memory import MemoryStorage
from kiebot.core.language import Language
from kiebot.core.terms import PaymentDetails, Terms
from kiebot.core.users import UserId
from tests.fakes.leap import leap
from tests.fakes.talk import picture
from tests.fakes.telegram_chats import File, Message, Phone
from tests.fakes.telegram_rules import Json, Keyboard
from tests.fakes.telegram_server import TelegramServer
from tests.fakes.telegram_shop import NearSession, loop_clock, telegram_shop
from tools.screenshots.terminal import PROMPTS

BUYER, ADMIN = UserId(7), UserId(700)
MODEL = "flux-2/pro-text-to-image"
JOB_S = 22.0
"""How long the stub takes for a picture."""

LOOK_S = 9.0
"""How long after the confirmation the progress is looked at."""

PATIENCE_S = 600.0
"""By the loop's clock, which leaps."""

SETTLED_S = 0.5
"""When all that one press brings is there, by the same clock."""

NAMES = {Language.EN: ("Anna", "Boris"), Language.RU: ("Анна", "Борис")}
PAYMENTS = {
    Language.EN: PaymentDetails(card="2200 7000 0000 0000", bank="T-Bank", holder="Boris K."),
    Language.RU: PaymentDetails(card="2200 7000 0000 0000", bank="Т-Банк", holder="Борис К."),
}


@frozen(kw_only=True)
class Bubble:
    """
    A message as it is seen.

    `styles` are Telegram's entities, counted in UTF-16 units. `file` is what is above the words.
    """

    is_mine: bool
    text: str
    styles: tuple[Json, ...]
    file: File | None
    keyboard: Keyboard
    at: datetime

    @classmethod
    def of(cls, message: Message) -> "Bubble":
        """As the message is now."""
        now = message.now
        return cls(
            is_mine=not message.is_from_bot,
            text=now.words.text,
            styles=now.words.entities,
            file=now.file,
            keyboard=now.keyboard,
            at=datetime.fromtimestamp(message.date, UTC),
        )


Chat = tuple[Bubble, ...]


@define
class Story:
    """The people, and what they saw."""

    telegram: TelegramServer
    buyer: Phone
    admin: Phone
    shots: dict[str, Chat] = field(factory=dict)

    async def presses(self, phone: Phone, data: str, brings: str) -> None:
        """Press a button, by its data, and see what it brings."""
        message = next(each for each in reversed(phone.chat()) if _offers(each, data))
        button = next(each for each in message.data if each.startswith(data))
        phone.presses(button, on=message)
        await self.sees(phone, brings)

    async def types(self, phone: Phone, text: str, brings: str) -> None:
        """Write something, and see what it brings."""
        phone.types(text)
        await self.sees(phone, brings)

    async def sees(self, phone: Phone, data: str) -> None:
        """Wait for a message with such a button, in whichever language, and what goes with it."""
        await self.telegram.until(
            lambda: any(_offers(message, data) for message in phone.new()), data, phone
        )
        await asyncio.sleep(SETTLED_S)

    def shoot(self, name: str, phone: Phone, last: int = 1) -> None:
        """Keep the last messages of a chat as they are now."""
        self.shots[name] = tuple(Bubble.of(message) for message in phone.chat()[-last:])


def _offers(message: Message, data: str) -> bool:
    return message.is_from_bot and any(each.startswith(data) for each in message.data)


def take(language: Language) -> dict[str, Chat]:
    """The screens of a first day, in a language, each by its name."""
    return leap(_day(language))


async def _day(language: Language) -> dict[str, Chat]:
    async with _opened(language) as story:
        await _tops_up(story)
        await _buys(story, language)
        await _looks_back(story)
    return story.shots


@asynccontextmanager
async def _opened(language: Language) -> AsyncIterator[Story]:
    telegram = TelegramServer()
    telegram.patience_s = PATIENCE_S
    terms = Terms(admins=frozenset({ADMIN}), payment=PAYMENTS[language], support="@kiebot_help")
    async with telegram_shop(
        telegram,
        MemoryStorage(clock=loop_clock),
        terms,
        session=NearSession(telegram),
        prefix="7q2k",
        kie=StubKieClient(loop_clock, delay_s=JOB_S),
    ):
        buyer, admin = (
            telegram.person(number, name, language_code=language)
            for number, name in zip((BUYER, ADMIN), NAMES[language], strict=True)
        )
        story = Story(telegram, buyer, admin)
        for phone in (admin, buyer):
            await story.types(phone, "/start", "marketing:main")
        yield story


async def _tops_up(story: Story) -> None:
    anna, boris = story.buyer, story.admin
    await story.presses(anna, "balance:main", "topup:main")
    await story.presses(anna, "topup:main", "topup:500")
    story.shoot("amounts", anna)
    await story.presses(anna, "topup:500", "topup:cancel")
    story.shoot("topup", anna)
    boris.mark = story.telegram.next_moment()
    anna.sends_photo(picture(9, 16))
    await story.sees(anna, "menu:main")
    story.shoot("receipt", anna, last=3)
    await story.sees(boris, "admin:topup:approve")
    story.shoot("review", boris)
    await story.presses(boris, "admin:topup:approve", "admin:topups")
    story.shoot("approved", boris)


async def _buys(story: Story, language: Language) -> None:
    anna = story.buyer
    await story.types(anna, "/start", "marketing:main")
    story.shoot("menu", anna, last=2)
    await story.presses(anna, "marketing:main", "mcat:visuals")
    story.shoot("categories", anna)
    await story.presses(anna, "mcat:visuals", f"mmodel:{MODEL}")
    story.shoot("category", anna)
    await story.presses(anna, f"mmodel:{MODEL}", "mcat:visuals")
    story.shoot("model", anna)
    await story.types(anna, PROMPTS[language], "gen:confirm")
    story.shoot("confirm", anna, last=2)
    await story.presses(anna, "gen:confirm", "history:job")
    await asyncio.sleep(LOOK_S)
    story.shoot("progress", anna)
    await story.sees(anna, "gen:again")
    story.shoot("result", anna)


async def _looks_back(story: Story) -> None:
    anna, boris = story.buyer, story.admin
    await story.types(anna, "/history", "history:ledger")
    story.shoot("history", anna)
    await story.types(anna, "/balance", "topup:main")
    story.shoot("wallet", anna)
    await story.types(boris, "/admin", "admin:")
    story.shoot("admin", boris, last=2)
