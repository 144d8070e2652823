"""Every model through the real conversation, pressing what the screens show, on real databases."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from attrs import define

from kiebot.conversation import Conversation
from kiebot.core import pricing
from kiebot.core.catalog import Model
from kiebot.core.dialog.screen import Action, Attach, Did, Press, Say, Screen
from kiebot.core.events import JobSucceeded
from kiebot.core.expect import Answer, AnswerForm
from kiebot.core.jobs import JobStatus
from kiebot.core.media import Attachment, sniff
from kiebot.core.wallet import JobId
from tests.fakes import databases
from tests.fakes.answers import good_answer
from tests.fakes.clock import FakeClock
from tests.fakes.databases import DATABASES
from tests.fakes.shop import CATALOG, TERMS, Shop, stub_shop
from tests.fakes.values import BUYER, wallet

ON_SALE = [model for model in CATALOG.models if model.on_sale]
OFF_SALE = [model for model in CATALOG.models if not model.on_sale]
MONEY = 1_000_000


@define
class Person:
    """Somebody who does only what the last screen offers."""

    conversation: Conversation
    screen: Screen

    async def does(self, did: Did) -> Screen:
        self.screen = await self.conversation.handle(BUYER, did)
        return self.screen

    async def presses(self, *start: str) -> Screen:
        """The first button whose action begins so."""
        for button in self.screen.actions:
            if button.action.parts[: len(start)] == start:
                return await self.does(Press(button.action))
        raise AssertionError(f"no button {start} on: {self.screen}")

    def offers(self, *start: str) -> bool:
        return any(b.action.parts[: len(start)] == start for b in self.screen.actions)


@pytest.fixture(params=DATABASES)
async def shop(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock
) -> AsyncIterator[Shop]:
    dsn = request.getfixturevalue("postgres_dsn") if request.param == "postgres" else None
    made = databases.make(request.param, tmp_path, dsn)
    opened = stub_shop(await made.fresh(), clock)
    await opened.meet(roubles=MONEY // 100)
    yield opened
    assert await opened.problems() == ()
    await made.close()


async def walk(person: Person, model: Model) -> None:
    """From the menu to the confirmation."""
    await person.presses("marketing", "main")
    await person.presses("mcat", model.category)
    while not person.offers("mmodel", model.key):
        await person.presses("mcat", model.category)
    await person.presses("mmodel", model.key)
    for _ in range(30):
        if person.offers("gen", "confirm"):
            return
        expects = person.screen.expects
        assert isinstance(expects, Answer)
        (param,) = (param for param in model.params if param.name == expects.param)
        if person.offers("mdone", expects.job_id):
            await person.presses("mdone", expects.job_id)
        elif expects.form is AnswerForm.CHOICE:
            await person.presses("mparam", expects.job_id, expects.param)
        elif expects.form is AnswerForm.FILE:
            answer = good_answer(param)
            address = answer[0] if isinstance(answer, list) else answer
            await person.does(Attach(Attachment(reference=str(address))))
        else:
            await person.does(Say(str(good_answer(param))))
    raise AssertionError(f"no end of questions: {person.screen}")


def test_the_catalog_is_the_confirmed_one() -> None:
    assert (len(ON_SALE), len(OFF_SALE)) == (23, 66)


@pytest.mark.parametrize("model", ON_SALE, ids=lambda model: model.id)
async def test_a_model_on_sale_is_bought_and_delivered(shop: Shop, model: Model) -> None:
    price = pricing.lowest(model, TERMS.price_multiplier).price.kopecks
    assert price == 2 * model.prices[0].kie_price.kopecks
    conversation = Conversation(shop.kiebot, clock=shop.clock)
    start = await conversation.handle(BUYER, Press(Action.of("menu", "main")))
    person = Person(conversation, start)

    await walk(person, model)
    await person.presses("gen", "confirm")
    await shop.work()

    assert await shop.kiebot.wallet(BUYER) == wallet(MONEY - price)
    (told,) = shop.reader.told
    assert isinstance(told, JobSucceeded)
    screen = await conversation.news(told)
    if told.result.text is not None:
        assert told.result.text in screen.text
    assert len(screen.media) == len(told.result.urls)
    for media in screen.media:
        async with conversation.open_media(media) as file:
            content = b"".join([chunk async for chunk in file.chunks()])
        assert (sniff(content) or "").startswith(model.output)


async def test_what_has_no_price_cannot_be_bought_with_any_callback_data(shop: Shop) -> None:
    conversation = Conversation(shop.kiebot, clock=shop.clock)
    bought = await shop.offer()

    for model in OFF_SALE:
        for data in (f"mmodel:{model.key}", f"gen:use:{bought}:{model.key}"):
            screen = await conversation.handle(BUYER, Press(Action.decode(data)))
            assert not [b for b in screen.actions if b.action.parts[:2] == ("gen", "confirm")]
            assert screen.actions
    # What was never offered is confirmed as little, whatever its id.
    for job in ("id999", bought[:-1], "x" * 16):
        await conversation.handle(BUYER, Press(Action.of("gen", "confirm", job)))

    assert await shop.kiebot.wallet(BUYER) == wallet(MONEY)
    assert (await shop.kiebot.job(BUYER, JobId(bought))).status is JobStatus.DRAFT
    assert await shop.kiebot.all_open_jobs(9) == []
