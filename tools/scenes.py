"""
Scenes: what a person really reads when something is refused, in both languages.

Each scene is played in a shop in memory, through the conversation that every frontend talks to;
what is read is the last screen. The clock stands still and ids are counted, so that the same scene
always says the same.
"""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from itertools import count

from attrs import define, field

from kiebot.adapters.kie.stub import StubKieClient
from kiebot.adapters.storage.memory import MemoryStorage
from kiebot.compose import Runtime, compose, load_catalog
from kiebot.config import Settings
from kiebot.core import errors
from kiebot.core.dialog.screen import Attach, Press, Say, Screen
from kiebot.core.language import Language
from kiebot.core.media import Attachment
from kiebot.core.money import Money
from kiebot.core.users import UserId

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
ANNA, BORIS = UserId(7), UserId(70)
"""A person, and an administrator."""

PICTURE = "flux-2/pro-text-to-image"
VIDEO = "veo3"
CATALOG = load_catalog(None)
SETTINGS = {
    "TEST_MODE": "1",
    "PAYMENT_CARD": "2200 0000 0000 0000",
    "SUPPORT_CONTACT": "@shop",
    "ADMIN_IDS": str(BORIS),
    "USER_JOBS_MAX": "1",
}


@define
class Stage:
    """A shop in memory, and everybody in it; `language` is what all of them speak."""

    language: Language
    stack: AsyncExitStack
    storage: MemoryStorage = field(factory=lambda: MemoryStorage(clock=lambda: NOON))
    _ids: "count[int]" = field(factory=lambda: count(1))

    async def shop(self, **changed: str) -> Runtime:
        """The shop, with these settings in place of the usual ones."""
        runtime = await self.stack.enter_async_context(
            compose(
                Settings.from_env(SETTINGS | changed),
                storage=self.storage,
                kie=StubKieClient(lambda: NOON),
                catalog=CATALOG,
                clock=lambda: NOON,
                new_id=lambda: f"id{next(self._ids)}",
            )
        )
        for user_id, name in ((ANNA, "Anna"), (BORIS, "Boris")):
            await runtime.conversation.meet(user_id, name, self.language)
        return runtime

    async def offer(self, shop: Runtime) -> str:
        """The id of a draft whose confirmation was shown."""
        drafted = await shop.kiebot.draft(ANNA, PICTURE, {"prompt": "a red cat"})
        return (await shop.kiebot.complete(ANNA, drafted.job.id)).job.id

    async def requested(self, shop: Runtime) -> str:
        """The id of a top-up that waits for a decision."""
        topup = await shop.kiebot.start_topup(ANNA, "500")
        await shop.conversation.handle(ANNA, Press.of(f"topup:open:{topup.id}"))
        await shop.conversation.handle(
            ANNA, Attach(Attachment(reference="tg:receipt", mime="image/png"))
        )
        return topup.id


async def press(shop: Runtime, data: str, who: UserId = ANNA) -> Screen:
    """What follows a press."""
    return await shop.conversation.handle(who, Press.of(data))


async def nothing_there(stage: Stage) -> Screen:
    """A button of a job that does not exist, or is somebody else's."""
    return await press(await stage.shop(), "history:job:nobodys")


async def not_on_sale(stage: Stage) -> Screen:
    """The model has no confirmed price, or an administrator switched it off."""
    shop = await stage.shop()
    await shop.kiebot.switch_off(BORIS, PICTURE, "too slow today")
    return await press(shop, f"mmodel:{PICTURE}")


async def no_price(stage: Stage) -> Screen:
    """The button of an answer that is not sold, in an old message."""
    shop = await stage.shop()
    drafted = await shop.kiebot.draft(ANNA, VIDEO, {"prompt": "a red cat"})
    return await press(shop, f"mparam:{drafted.job.id}:resolution:3")


async def not_enough(stage: Stage) -> Screen:
    """The wallet has less than the price."""
    shop = await stage.shop()
    return await press(shop, f"gen:confirm:{await stage.offer(shop)}")


async def price_changed(stage: Stage) -> Screen:
    """The operator changed the price after the confirmation was shown."""
    draft = await stage.offer(await stage.shop())
    return await press(await stage.shop(PRICE_MULTIPLIER="3"), f"gen:confirm:{draft}")


async def too_many_jobs(stage: Stage) -> Screen:
    """`USER_JOBS_MAX` jobs of the person are open."""
    shop = await stage.shop()
    await shop.kiebot.grant(ANNA, Money.rub("100"), by="shop", why="a welcome")
    first, second = await stage.offer(shop), await stage.offer(shop)
    await press(shop, f"gen:confirm:{first}")
    return await press(shop, f"gen:confirm:{second}")


async def no_amount(stage: Stage) -> Screen:
    """Not an amount of roubles, or outside `TOPUP_MIN` and `TOPUP_MAX`."""
    shop = await stage.shop()
    await press(shop, "topup:custom")
    return await shop.conversation.handle(ANNA, Say("a lot"))


async def no_answer(stage: Stage) -> Screen:
    """What was typed does not answer the question; the sentences are listed below."""
    shop = await stage.shop()
    await press(shop, f"mmodel:{PICTURE}")
    return await shop.conversation.handle(ANNA, Say("a"))


async def not_allowed(stage: Stage) -> Screen:
    """An administrator's button, pressed by somebody else."""
    return await press(await stage.shop(), "admin:topups")


async def blocked(stage: Stage) -> Screen:
    """An administrator blocked the person."""
    shop = await stage.shop()
    await shop.kiebot.block(BORIS, ANNA, "rude")
    return await press(shop, "menu:main")


async def topup_closed(stage: Stage) -> Screen:
    """`PAYMENT_CARD` is not set."""
    return await press(await stage.shop(PAYMENT_CARD=""), "topup:main")


async def corrected(stage: Stage) -> Screen:
    """The administrator reads it: the button of before another amount was named."""
    shop = await stage.shop()
    topup = await stage.requested(shop)
    await press(shop, f"admin:topup:amount:{topup}", BORIS)
    await shop.conversation.handle(BORIS, Say("450"))
    return await press(shop, f"admin:topup:approve:{topup}", BORIS)


async def moved_on(stage: Stage) -> Screen:
    """The button of a draft that was cancelled."""
    shop = await stage.shop()
    draft = await stage.offer(shop)
    await press(shop, f"gen:cancel:{draft}")
    return await press(shop, f"gen:confirm:{draft}")


SCENES: dict[type[errors.UserError], Callable[[Stage], Awaitable[Screen]]] = {
    errors.InsufficientFundsError: not_enough,
    errors.PriceChangedError: price_changed,
    errors.TooManyJobsError: too_many_jobs,
    errors.PriceMissingError: no_price,
    errors.NotOnSaleError: not_on_sale,
    errors.NotFoundError: nothing_there,
    errors.InvalidAmountError: no_amount,
    errors.InvalidAnswerError: no_answer,
    errors.NotAllowedError: not_allowed,
    errors.BlockedError: blocked,
    errors.TopUpClosedError: topup_closed,
    errors.TopUpCorrectedError: corrected,
    errors.RefusedByStatusError: moved_on,
}
"""Every error that a person can do something about, and a way to meet it."""


async def played(error: type[errors.UserError], language: Language) -> str:
    """What is read in the scene of this error."""
    async with AsyncExitStack() as stack:
        return (await SCENES[error](Stage(language, stack))).text
