"""
The conversation, by what its screens show: people press buttons that are there, and whatever else
somebody sends gets a screen and moves no money.
"""

import asyncio
from collections.abc import Callable, Coroutine
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from kiebot.adapters.catalog import load_catalog
from kiebot.adapters.kie.stub import StubKieClient
from kiebot.adapters.media.stub import StubMedia
from kiebot.adapters.storage.memory import MemoryStorage
from kiebot.app import Kiebot
from kiebot.conversation import Conversation
from kiebot.core import params
from kiebot.core.catalog import Catalog, Model
from kiebot.core.dialog.screen import Action, Attach, Button, Did, Press, Say, Screen
from kiebot.core.expect import Amount, Answer, AnswerForm, Reason, Receipt
from kiebot.core.jobs import JobStatus
from kiebot.core.language import Language
from kiebot.core.media import Attachment, MediaKind
from kiebot.core.money import ZERO, Money
from kiebot.core.params import FileParam, FilesParam
from kiebot.core.terms import PaymentDetails, Terms
from kiebot.core.users import UserId
from kiebot.core.wallet import EntryKind, JobId, Wallet
from kiebot.desk import Desk
from tests.fakes.answers import good_answer
from tests.fakes.clock import FakeClock

CATALOG = load_catalog()
ANYA, BORIS, ADMIN = UserId(1), UserId(2), UserId(7)
CARD = "2200 7000 0000 0000"
TERMS = Terms(
    payment=PaymentDetails(card=CARD, bank="Т-Банк", holder="Иван И."),
    admins=frozenset({ADMIN}),
    user_jobs_max=2,
)
PICTURE = "flux-2/pro-text-to-image"
PHOTO = Attachment(reference="tg:photo", name="r.jpg", mime="image/jpeg", digest="d1")

MIMES = {
    MediaKind.IMAGE: "image/png",
    MediaKind.VIDEO: "video/mp4",
    MediaKind.AUDIO: "audio/mpeg",
    MediaKind.TEXT: "text/plain",
    MediaKind.DOCUMENT: "application/pdf",
}


class Town:
    """A shop and everybody in it."""

    def __init__(self, catalog: Catalog = CATALOG, terms: Terms = TERMS) -> None:
        self.clock = FakeClock()
        ids = count(1)
        self.kiebot = Kiebot(
            MemoryStorage(clock=self.clock),
            StubKieClient(self.clock),
            catalog,
            terms,
            media=StubMedia(),
            clock=self.clock,
            new_id=lambda: f"id{next(ids):04}",
        )
        self.conversation = Conversation(self.kiebot, clock=self.clock)

    async def person(
        self, user_id: UserId = ANYA, roubles: str = "1000", language: Language = Language.RU
    ) -> "Talk":
        await self.conversation.meet(user_id, f"Person {user_id}", language)
        if roubles != "0":
            await self.kiebot.grant(user_id, Money.rub(roubles), by="test", why="test")
        return Talk(self, user_id)

    async def works(self, seconds: float = 2) -> list[tuple[UserId, Screen]]:
        """Until nothing is open; the news, and whom they are for."""
        while jobs := await self.kiebot.all_open_jobs(100):
            self.clock.advance(seconds)
            for job in jobs:
                await self.kiebot.advance(job.id, None, None)
        news = []
        for untold in await self.kiebot.untold(100, local=False):
            screen = await self.conversation.news(untold.event)
            check(screen)
            news.append((untold.event.user_id, screen))
            await self.kiebot.told(untold.id)
        assert (await self.kiebot.audit()).problems == ()
        return news


class Talk:
    """One person in front of a screen."""

    def __init__(self, town: Town, user_id: UserId) -> None:
        self.town = town
        self.id = user_id
        self.screen = Screen(text="nothing yet")

    async def does(self, did: Did) -> Screen:
        self.screen = await self.town.conversation.handle(self.id, did)
        check(self.screen)
        assert await self.town.kiebot.expected(self.id) == self.screen.expects
        return self.screen

    async def sends(self, data: str) -> Screen:
        """A button of any screen, old or forged."""
        return await self.does(Press.of(data))

    async def presses(self, start: str) -> Screen:
        """The first button of this screen whose data begins like this."""
        return await self.does(Press(self.button(start).action))

    async def says(self, text: str) -> Screen:
        return await self.does(Say(text))

    async def attaches(self, file: Attachment = PHOTO) -> Screen:
        return await self.does(Attach(file))

    def button(self, start: str) -> Button:
        found = [b for b in self.screen.actions if b.action.encode().startswith(start)]
        assert found, f"no {start} in {[b.action.encode() for b in self.screen.actions]}"
        return found[0]

    def has(self, start: str) -> bool:
        return any(b.action.encode().startswith(start) for b in self.screen.actions)

    async def wallet(self) -> tuple[str, str]:
        wallet = await self.town.kiebot.wallet(self.id)
        return (str(wallet.available.roubles), str(wallet.held.roubles))

    async def at_confirmation(self, model: str = PICTURE, words: str = "рыжий кот") -> JobId:
        """Through a model's first question to its offer."""
        await self.sends(f"mmodel:{CATALOG.model(model).key}")
        await self.says(words)
        return JobId(self.button("gen:confirm").action.parts[2])


def check(screen: Screen) -> None:
    """What holds for every screen."""
    assert 0 < len(screen.text) <= 4096
    assert screen.actions, f"a dead end: {screen.text}"
    assert "kie.ai" not in screen.text.lower()


async def answer_all(talk: Talk, model: Model) -> None:
    """Everything a model asks, by what its screens offer, until the confirmation."""
    for _ in range(20):
        expects = talk.screen.expects
        if expects is None:
            return
        assert isinstance(expects, Answer)
        job = await talk.town.kiebot.job(talk.id, expects.job_id)
        param = params.param_for(model, job.params, expects.param)
        match expects.form:
            case AnswerForm.CHOICE:
                await talk.presses("mparam")
            case AnswerForm.FILE:
                assert isinstance(param, FileParam | FilesParam)
                if talk.has("mdone"):
                    await talk.presses("mdone")
                    continue
                mime = param.accept[0] if param.accept else MIMES[param.media]
                await talk.attaches(Attachment(reference="https://f.example.org/1", mime=mime))
            case AnswerForm.TEXT | AnswerForm.NUMBER:
                await talk.says(str(good_answer(param)))
    raise AssertionError(f"{model.id} asks for ever")


every_language = pytest.mark.parametrize("language", list(Language))
every_sold_model = pytest.mark.parametrize("model", CATALOG.on_sale, ids=lambda model: model.id)


# --- Buying


@every_language
@every_sold_model
async def test_every_model_can_be_bought(model: Model, language: Language) -> None:
    """From the menu to the result, by pressing what is there."""
    town = Town()
    talk = await town.person(language=language)
    await talk.says("/start")
    await talk.presses("marketing:main")
    await talk.presses(f"mcat:{model.category}")
    await talk.presses(f"mmodel:{model.key}")
    await answer_all(talk, model)
    confirm = talk.button("gen:confirm")

    await talk.presses("gen:confirm")
    news = await town.works()

    job = (await town.kiebot.jobs(talk.id, 1))[0]
    assert job.status is JobStatus.SUCCEEDED
    assert job.price is not None
    t = await town.conversation.texts(talk.id)
    assert confirm.label.endswith(t.money(job.price))
    left = Money(1000_00) - job.price
    assert await talk.wallet() == (str(left.roubles), "0")
    assert [user_id for user_id, _ in news] == [talk.id]
    assert t.result(t.money(job.price), t.money(left)) in news[0][1].text
    assert bool(news[0][1].media) == bool(job.result and job.result.urls)


@every_language
@every_sold_model
async def test_every_setting_can_be_opened_and_left(model: Model, language: Language) -> None:
    town = Town()
    talk = await town.person(language=language)
    await talk.sends(f"mmodel:{model.key}")
    await answer_all(talk, model)

    for param in model.params:
        job = talk.button("gen:confirm").action.parts[2]
        await talk.sends(f"mopen:{job}:{param.name}")
        assert isinstance(talk.screen.expects, Answer)
        if talk.has("mparam"):
            await talk.presses("mparam")
        elif talk.has("mskip"):
            await talk.presses("mskip")
        else:
            await talk.presses("gen:open")
        await answer_all(talk, model)

    assert talk.has("gen:confirm")
    assert await talk.wallet() == ("1000", "0")


async def test_the_way_of_a_picture() -> None:
    """What a person reads on the way is exact."""
    town = Town()
    talk = await town.person()
    await talk.sends("mmodel:" + CATALOG.model(PICTURE).key)
    assert "до 5 000 знаков" in talk.screen.text

    await talk.says("рыжий кот на луне")

    assert "«рыжий кот на луне»" in talk.screen.text
    assert "К оплате 30 ₽. На балансе 1 000 ₽, останется 970 ₽." in talk.screen.text
    await talk.presses("gen:confirm")
    assert await talk.wallet() == ("970", "30")
    assert "30 ₽ отложены" in talk.screen.text
    (_, result), *rest = await town.works()
    assert rest == []
    assert "Списано 30 ₽, осталось 970 ₽" in result.text
    assert [m.kind for m in result.media] == [MediaKind.IMAGE]


async def test_confirming_twice_pays_once() -> None:
    town = Town()
    talk = await town.person()
    job = await talk.at_confirmation()

    await talk.sends(f"gen:confirm:{job}")
    await talk.sends(f"gen:confirm:{job}")
    await town.works()
    again = await talk.sends(f"gen:confirm:{job}")

    assert await talk.wallet() == ("970", "0")
    assert again.media


async def test_an_old_confirmation_pays_nothing() -> None:
    """Who changed an answer sees the new offer behind the old button."""
    town = Town()
    talk = await town.person()
    old = await talk.at_confirmation()
    await talk.presses("mopen")
    await talk.sends(talk.screen.actions[1].action.encode())
    new = talk.button("gen:confirm").action.parts[2]

    await talk.sends(f"gen:confirm:{old}")

    assert new != old
    assert talk.has(f"gen:confirm:{new}")
    assert await talk.wallet() == ("1000", "0")


async def test_a_confirmation_of_what_is_not_complete_asks_on() -> None:
    town = Town()
    talk = await town.person()
    await talk.sends("mmodel:" + CATALOG.model(PICTURE).key)
    assert isinstance(talk.screen.expects, Answer)
    asked = talk.screen.expects

    await talk.sends(f"gen:confirm:{asked.job_id}")

    assert talk.screen.expects == asked
    assert await talk.wallet() == ("1000", "0")


async def test_old_buttons_show_what_became_of_the_draft() -> None:
    town = Town()
    talk = await town.person()
    job = await talk.at_confirmation()
    await talk.presses("gen:confirm")
    await town.works()

    for data in (
        f"mparam:{job}:aspect_ratio:1",
        f"mopen:{job}:aspect_ratio",
        f"mskip:{job}:aspect_ratio",
        f"gen:open:{job}",
        f"gen:tune:{job}",
        f"gen:cancel:{job}",
        f"history:job:{job}",
    ):
        await talk.sends(data)
        assert talk.screen.media, data

    assert await talk.wallet() == ("970", "0")


async def test_a_cancelled_draft_cannot_be_paid() -> None:
    town = Town()
    talk = await town.person()
    job = await talk.at_confirmation()

    await talk.presses("gen:cancel")
    assert talk.has("mmodel")
    await talk.sends(f"gen:confirm:{job}")

    assert talk.has(f"gen:again:{job}")
    assert await talk.wallet() == ("1000", "0")


async def test_a_lack_is_cured_and_the_draft_waits() -> None:
    """Nothing but the new draft can be paid for after the top-up."""
    town = Town()
    talk, admin = await town.person(roubles="10"), await town.person(ADMIN, "0")
    old = await talk.at_confirmation()
    await talk.presses("gen:confirm")
    assert "Не хватает 20 ₽: нужно 30 ₽, на балансе 10 ₽." in talk.screen.text

    await talk.presses("topup:100")
    assert CARD in talk.screen.copyable
    await talk.attaches()
    assert "ID" in talk.screen.text
    ((_, review),) = await town.works()
    admin.screen = review
    await admin.presses("admin:topup:approve")
    ((who, news),) = await town.works()
    talk.screen = news
    await talk.sends(f"gen:confirm:{old}")
    assert await talk.wallet() == ("110", "0")
    for _ in range(2):
        talk.screen = news
        await talk.presses("gen:confirm")

    assert news.text.startswith("✅ 100 ₽ на балансе")
    assert "«рыжий кот»" in news.text
    assert "К оплате 30 ₽. На балансе 110 ₽, останется 80 ₽." in news.text
    assert who == talk.id
    assert await talk.wallet() == ("80", "30")
    await town.works()
    assert await talk.wallet() == ("80", "0")


async def approved(town: Town, talk: Talk, roubles: str) -> Screen:
    """The news that so much of what a person asked for has come."""
    topup = await town.kiebot.start_topup(talk.id, roubles)
    await town.kiebot.submit_receipt(talk.id, topup.id, PHOTO)
    await town.kiebot.approve_topup(ADMIN, topup.id)
    (news,) = [screen for who, screen in await town.works() if who == talk.id]
    return news


@every_language
async def test_an_approval_that_is_not_enough_says_what_still_lacks(language: Language) -> None:
    town = Town()
    talk = await town.person(roubles="5", language=language)
    await talk.at_confirmation()
    await talk.presses("gen:confirm")

    talk.screen = await approved(town, talk, "10")

    t = await town.conversation.texts(talk.id)
    assert t.draft_lacks("Flux 2 Pro (text)", "30 ₽", "15 ₽") in talk.screen.text
    assert talk.has("topup:100")
    assert not talk.has("gen:confirm")
    talk.screen = await approved(town, talk, "100")
    await talk.presses("gen:confirm")
    assert await talk.wallet() == ("85", "30")


async def test_an_approval_leads_back_to_a_draft_that_is_not_complete() -> None:
    town = Town()
    talk = await town.person(roubles="0")
    await talk.sends(f"mmodel:{CATALOG.model(PICTURE).key}")

    talk.screen = await approved(town, talk, "100")

    assert "Вас ждёт черновик" in talk.screen.text
    await talk.presses("gen:open")
    assert isinstance(talk.screen.expects, Answer)
    await talk.says("рыжий кот")
    assert talk.has("gen:confirm")


async def test_the_offer_of_an_approval_refuses_a_price_that_changed() -> None:
    """Nothing is paid but what stood on the button."""
    town = Town()
    talk = await town.person(roubles="10")
    await talk.at_confirmation()
    talk.screen = await approved(town, talk, "100")
    town.kiebot.terms = evolve(TERMS, price_multiplier=Decimal(3))

    await talk.presses("gen:confirm")

    assert "была 30 ₽, теперь 45 ₽" in talk.screen.text
    assert await talk.wallet() == ("110", "0")


async def test_the_menu_tells_of_a_topup_that_waits() -> None:
    town = Town()
    talk = await town.person()
    await talk.sends("topup:500")

    await talk.says("/start")
    assert "Пополнение на 500 ₽: ждём чек." in talk.screen.text
    await talk.attaches()
    await talk.says("/start")
    assert "Пополнение на 500 ₽: проверяем чек." in talk.screen.text


async def test_a_result_goes_on_in_two_ways_at_most() -> None:
    """The cheapest of each, and never the same once more."""
    town = Town()
    talk = await town.person()
    await talk.at_confirmation()
    await talk.presses("gen:confirm")
    ((_, talk.screen),) = await town.works()

    uses = [b for b in talk.screen.actions if b.action.parts[:2] == ("gen", "use")]
    labels = [button.label for button in uses]
    assert [label.split()[1] for label in labels] == ["Увеличить", "Оживить"]
    assert all("₽" in label for label in labels)
    assert len(talk.screen.buttons) <= 4

    await talk.presses(uses[0].action.encode())
    await answer_all(talk, CATALOG.by_key(uses[0].action.parts[3]))
    await talk.presses("gen:confirm")
    ((_, talk.screen),) = await town.works()
    uses = [b for b in talk.screen.actions if b.action.parts[:2] == ("gen", "use")]
    assert [button.label.split()[1] for button in uses] == ["Оживить"]


async def test_no_more_jobs_than_the_shop_takes() -> None:
    town = Town()
    talk = await town.person()
    for _ in range(2):
        await talk.at_confirmation()
        await talk.presses("gen:confirm")
    await talk.at_confirmation()

    await talk.presses("gen:confirm")

    assert "Деньги не тронуты" in talk.screen.text
    await talk.presses("gen:open")
    assert talk.has("gen:confirm")
    assert await talk.wallet() == ("940", "60")


async def test_a_failure_begins_with_the_money() -> None:
    town = Town()
    talk = await town.person()
    await talk.at_confirmation(words="fail")
    await talk.presses("gen:confirm")

    ((_, news),) = await town.works()

    assert news.text.startswith("30 ₽ снова на балансе")
    assert await talk.wallet() == ("1000", "0")
    talk.screen = news
    await talk.presses("gen:edit")
    assert isinstance(talk.screen.expects, Answer)
    await talk.says("рыжий кот")
    assert talk.has("gen:confirm")


async def test_again_is_a_new_offer_and_an_edit_a_new_question() -> None:
    town = Town()
    talk = await town.person()
    job = await talk.at_confirmation()
    await talk.presses("gen:confirm")
    ((_, talk.screen),) = await town.works()

    await talk.sends(f"gen:again:{job}")
    assert talk.has("gen:confirm")
    assert "«рыжий кот»" in talk.screen.text
    await talk.sends(f"gen:edit:{job}")
    await talk.says("чёрный кот")

    assert "«чёрный кот»" in talk.screen.text
    assert await talk.wallet() == ("970", "0")


async def test_a_result_becomes_the_next_input() -> None:
    town = Town()
    talk = await town.person()
    await talk.at_confirmation()
    await talk.presses("gen:confirm")
    ((_, talk.screen),) = await town.works()

    key = talk.button("gen:use").action.parts[3]
    await talk.presses("gen:use")
    await answer_all(talk, CATALOG.by_key(key))
    await talk.presses("gen:confirm")
    await town.works()

    job = (await town.kiebot.jobs(talk.id, 1))[0]
    assert job.status is JobStatus.SUCCEEDED
    assert any("stub.kie.invalid" in str(value) for value in job.params.values())


async def test_a_picture_can_be_had_as_a_file() -> None:
    town = Town()
    talk = await town.person()
    await talk.at_confirmation()
    await talk.presses("gen:confirm")
    ((_, talk.screen),) = await town.works()

    await talk.presses("history:file")

    assert [media.kind for media in talk.screen.media] == [MediaKind.DOCUMENT]


# --- What is not sold


@pytest.mark.parametrize(
    "model", [m for m in CATALOG.models if not m.on_sale], ids=lambda model: model.id
)
async def test_what_is_not_on_sale_cannot_be_bought(model: Model) -> None:
    town = Town()
    talk = await town.person()

    await talk.sends(f"mmodel:{model.key}")

    assert model.title in talk.screen.text
    assert talk.has("mcat")
    assert not await town.kiebot.draft_of(talk.id)


async def test_a_model_that_was_switched_off_meanwhile_is_not_sold() -> None:
    town = Town()
    talk = await town.person()
    job = await talk.at_confirmation()
    models = tuple(evolve(m, off="closed") if m.id == PICTURE else m for m in CATALOG.models)
    town.kiebot.catalog = evolve(CATALOG, models=models)

    for data in (f"gen:confirm:{job}", f"gen:open:{job}", f"gen:again:{job}", f"mopen:{job}:x"):
        await talk.sends(data)
        assert "не продаётся" in talk.screen.text
    await talk.says("/start")

    assert not talk.has("gen:open")
    assert await talk.wallet() == ("1000", "0")


async def test_a_changed_price_is_offered_and_not_taken() -> None:
    town = Town()
    talk = await town.person()
    await talk.at_confirmation()
    dear = tuple(evolve(row, kie_price=Money.rub("20.00")) for row in CATALOG.model(PICTURE).prices)
    models = tuple(evolve(m, prices=dear) if m.id == PICTURE else m for m in CATALOG.models)
    town.kiebot.catalog = evolve(CATALOG, models=models)

    await talk.presses("gen:confirm")

    assert "была 30 ₽, теперь 40 ₽" in talk.screen.text
    assert talk.button("gen:confirm").label.endswith("40 ₽")
    assert await talk.wallet() == ("1000", "0")


# --- Questions


async def test_a_command_beats_a_question() -> None:
    town = Town()
    talk = await town.person()
    await talk.sends("mmodel:" + CATALOG.model(PICTURE).key)

    await talk.says("/balance")

    assert talk.screen.expects is None
    assert talk.has("topup:main")
    await talk.says("/start")
    await talk.presses("gen:open")
    await talk.says("рыжий кот")
    assert talk.has("gen:confirm")


@pytest.mark.parametrize("text", ["/nonsense", "/imagine@some_bot"])
async def test_an_unknown_command_leaves_the_question_open(text: str) -> None:
    town = Town()
    talk = await town.person()
    await talk.sends("mmodel:" + CATALOG.model(PICTURE).key)
    asked = talk.screen.expects

    await talk.says(text)

    assert talk.screen.expects == asked
    await talk.says("/ кот и /menu на стене")
    assert "«/ кот и /menu на стене»" in talk.screen.text


async def test_start_takes_what_a_link_brings_along() -> None:
    town = Town()
    talk = await town.person()

    await talk.says("/start ref_123")

    assert talk.has("marketing:main")


@pytest.mark.parametrize(
    "command",
    ["start", "menu", "marketing", "balance", "history", "jobs", "help", "cancel", "language"],
)
async def test_every_command_has_a_screen(command: str) -> None:
    town = Town()
    talk = await town.person()

    await talk.says(f"/{command}")
    plain = talk.screen
    await talk.says(f"  /{command.upper()}@KieBot ")

    assert talk.screen == plain


@pytest.mark.parametrize("did", [Say("кот"), Attach(PHOTO)])
async def test_what_nobody_asked_for_is_answered(did: Did) -> None:
    town = Town()
    talk = await town.person()

    await talk.does(did)

    assert talk.has("marketing:main")
    assert talk.screen.expects is None


async def test_the_wrong_kind_of_answer_keeps_the_question() -> None:
    town = Town()
    talk = await town.person()
    await talk.sends("mmodel:" + CATALOG.model(PICTURE).key)
    asked = talk.screen.expects

    await talk.attaches()
    assert talk.screen.expects == asked
    await talk.says("x" * 100_000)
    assert talk.screen.expects == asked
    await talk.says("a\x00b")
    assert talk.screen.expects == asked
    await talk.sends("rubbish")

    assert talk.screen.expects == asked


async def test_a_file_question_takes_files_and_addresses() -> None:
    town = Town()
    talk = await town.person()
    model = CATALOG.model("flux-2/pro-image-to-image")
    await talk.sends(f"mmodel:{model.key}")
    asked = talk.screen.expects

    await talk.says("какие-то слова")
    assert talk.screen.expects == asked
    await talk.attaches(Attachment(reference="tg:1", mime="video/mp4"))
    assert talk.screen.expects == asked
    assert not talk.has("mdone")
    await talk.says("https://f.example.org/1.png")
    await talk.attaches(Attachment(reference="tg:2", mime="image/png"))
    assert "2 из 8" in talk.screen.text
    await talk.presses("mclear")
    assert not talk.has("mdone")
    await talk.attaches(Attachment(reference="tg:3", mime="image/png"))
    await talk.presses("mdone")
    await talk.says("сделай светлее")

    assert talk.has("gen:confirm")


async def test_a_choice_may_be_typed() -> None:
    town = Town()
    talk = await town.person()
    job = await talk.at_confirmation()
    await talk.sends(f"mopen:{job}:aspect_ratio")

    await talk.says("семь на восемь")
    assert isinstance(talk.screen.expects, Answer)
    await talk.says("16:9")

    assert "16:9" in talk.screen.text
    assert talk.has("gen:confirm")


async def test_files_left_open_are_complete_when_come_back_to() -> None:
    """Who wanders off from an optional list of files is not stuck before the confirmation."""
    town = Town()
    talk = await town.person()
    model = CATALOG.model("bytedance/seedance-1.5-pro")
    await talk.sends(f"mmodel:{model.key}")
    await answer_all(talk, model)
    job = talk.button("gen:confirm").action.parts[2]
    await talk.sends(f"mopen:{job}:input_urls")
    await talk.says("https://f.example.org/1.png")
    assert talk.has("mdone")

    await talk.says("/start")
    await talk.presses("gen:open")

    assert talk.has("gen:confirm")


@pytest.mark.parametrize("offered", [True, False])
async def test_cancel_drops_the_draft(offered: bool) -> None:
    town = Town()
    talk = await town.person()
    await talk.sends("mmodel:" + CATALOG.model(PICTURE).key)
    if offered:
        await talk.says("рыжий кот")

    await talk.says("/cancel")

    assert await town.kiebot.draft_of(talk.id) is None
    await talk.says("/cancel")
    assert "Отменять нечего" in talk.screen.text


async def test_an_answer_to_a_draft_that_grew_stale_finds_its_end() -> None:
    town = Town()
    talk = await town.person()
    await talk.sends("mmodel:" + CATALOG.model(PICTURE).key)
    town.clock.advance(25 * 3600)
    await town.kiebot.cancel_stale_drafts(None)

    await talk.says("рыжий кот")

    assert talk.has("gen:again")
    assert talk.screen.expects is None


# --- Money


async def test_the_wallet_shows_hold_and_charge_as_one_line() -> None:
    town = Town()
    talk = await town.person()
    await talk.at_confirmation()
    await talk.presses("gen:confirm")
    await talk.says("/balance")
    assert "В резерве: 30 ₽ — 1 работа" in talk.screen.text
    assert "−30 ₽" in talk.screen.text

    await town.works()
    await talk.says("/balance")

    assert talk.screen.text.count("30 ₽") == 1
    assert "В резерве" not in talk.screen.text


async def test_a_topup_from_amount_to_wallet() -> None:
    town = Town()
    talk, admin = await town.person(roubles="0"), await town.person(ADMIN, "0")
    await talk.says("/balance")
    await talk.presses("topup:main")
    await talk.presses("topup:custom")
    assert talk.screen.expects == Amount()
    await talk.says("много")
    assert talk.screen.expects == Amount()
    await talk.attaches()
    assert talk.screen.expects == Amount()
    await talk.says("1 000,50 ₽")
    assert "Переведите ровно 1 000,50 ₽" in talk.screen.text
    await talk.says("отправила")
    assert isinstance(talk.screen.expects, Receipt)
    await talk.attaches(evolve(PHOTO, mime="video/mp4"))
    assert isinstance(talk.screen.expects, Receipt)
    await talk.attaches()
    await talk.attaches(evolve(PHOTO, reference="tg:second", digest="d2"))
    assert "Добавили" in talk.screen.text

    news = await town.works()
    assert {user_id for user_id, _ in news} == {ADMIN}
    await admin.says("/admin")
    await admin.presses("admin:topups")
    await admin.presses("admin:topup:show")
    assert len(admin.screen.media) == 2
    await admin.presses("admin:topup:amount")
    await admin.says("-5")
    await admin.says("900")
    plain = ":".join(admin.button("admin:topup:approve").action.parts[:4])
    await admin.sends(plain)
    assert await talk.wallet() == ("0", "0")
    await admin.presses("admin:topup:approve")
    await admin.sends(plain)
    ((who, told),) = await town.works()

    assert await talk.wallet() == ("900", "0")
    assert who == talk.id
    assert "900 ₽ на балансе" in told.text
    assert "Зачислено 900 ₽" in admin.screen.text


@pytest.mark.parametrize("why", ["денег нет", ""])
async def test_a_rejection_tells_why(why: str) -> None:
    town = Town()
    talk, admin = await town.person(roubles="0"), await town.person(ADMIN, "0")
    await talk.sends("topup:500")
    await talk.attaches()
    ((_, admin.screen),) = await town.works()
    await admin.presses("admin:topup:reject")
    await admin.attaches()
    assert isinstance(admin.screen.expects, Reason)
    await admin.says("x" * 501)
    assert isinstance(admin.screen.expects, Reason)

    await (admin.says(why) if why else admin.presses("mskip"))

    ((who, news),) = await town.works()
    assert who == talk.id
    assert news.text.startswith("Баланс не изменился")
    assert why in news.text
    assert await talk.wallet() == ("0", "0")
    assert "Отклонено · Person 7" in admin.screen.text


async def test_a_receipt_seen_before_is_marked() -> None:
    town = Town()
    admin = await town.person(ADMIN, "0")
    for user_id in (ANYA, BORIS):
        talk = await town.person(user_id, "0")
        await talk.sends("topup:500")
        await talk.attaches()
    first, second = [screen for _, screen in await town.works()]

    admin.screen = second
    topup = admin.button("admin:topup:approve").action.parts[3]
    await admin.sends(f"admin:topup:show:{topup}")

    assert "⚠️" not in first.text
    assert "⚠️" in second.text
    assert "⚠️" in admin.screen.text


async def test_a_request_can_be_left_and_come_back_to() -> None:
    town = Town()
    talk = await town.person(roubles="0")
    await talk.sends("topup:500")
    await talk.says("/start")
    assert talk.screen.expects is None
    await talk.says("/balance")
    await talk.presses("topup:open")
    assert isinstance(talk.screen.expects, Receipt)

    await talk.presses("topup:cancel")
    topup = await town.kiebot.waiting_topup(talk.id)

    assert topup is None


async def test_a_receipt_finds_its_request_without_being_asked_for() -> None:
    town = Town()
    talk = await town.person(roubles="0")
    await town.person(ADMIN, "0")
    await talk.sends("topup:500")
    await talk.says("/start")

    await talk.attaches()

    assert "на проверке" in talk.screen.text


async def test_without_a_card_nobody_is_asked_for_money() -> None:
    town = Town(terms=Terms())
    talk = await town.person(roubles="10")

    for data in ("topup:main", "topup:custom", "topup:500"):
        await talk.sends(data)
        assert "недоступно" in talk.screen.text
        assert talk.screen.expects is None


@pytest.mark.parametrize("data", ["topup:5", "topup:100001", "topup:-100", "topup:x", "topup:1e3"])
async def test_an_amount_out_of_bounds_is_asked_again(data: str) -> None:
    town = Town()
    talk = await town.person(roubles="0")

    await talk.sends(data)

    assert talk.screen.expects == Amount()
    assert await town.kiebot.waiting_topup(talk.id) is None


async def test_administration_is_for_administrators() -> None:
    town = Town()
    talk = await town.person(roubles="0")
    await talk.sends("topup:500")
    await talk.attaches()
    topup = await town.kiebot.waiting_topup(talk.id)
    assert topup is not None

    for data in ("topups", *(f"topup:{verb}:{topup.id}" for verb in ("approve", "reject", "show"))):
        await talk.sends(f"admin:{data}")
        assert not talk.has("admin")
    await talk.sends(f"mskip:{topup.id}:reason")

    assert await talk.wallet() == ("0", "0")
    assert await town.kiebot.waiting_topup(talk.id) == topup


# --- History


async def test_the_history_is_paged() -> None:
    town = Town()
    talk = await town.person()
    for number in range(12):
        await talk.at_confirmation(words=f"кот номер {number}")
        await talk.presses("gen:confirm")
        await town.works()

    await talk.says("/history")
    first = {b.action.parts[2] for b in talk.screen.actions if b.action.parts[1] == "job"}
    await talk.presses("history:jobs:")
    second = {b.action.parts[2] for b in talk.screen.actions if b.action.parts[1] == "job"}
    await talk.presses("history:jobs")
    await talk.presses("history:job:")

    assert (len(first), len(second), first & second) == (10, 2, set())
    assert talk.screen.media


async def test_the_ledger_is_paged() -> None:
    town = Town()
    talk = await town.person(roubles="0")
    for number in range(1, 26):
        await town.kiebot.grant(talk.id, Money(number * 100), by="test", why="test")

    await talk.sends("history:ledger")
    assert "+25 ₽" in talk.screen.text
    await talk.presses("history:ledger:")

    assert "+25 ₽" not in talk.screen.text
    assert "+5 ₽" in talk.screen.text
    assert not talk.has("history:ledger:")


async def test_what_runs_is_shown_with_its_time() -> None:
    town = Town()
    talk = await town.person()
    await talk.at_confirmation()
    await talk.presses("gen:confirm")
    await town.works(20)
    await talk.at_confirmation()
    await talk.presses("gen:confirm")
    town.clock.advance(3)

    (progress,) = await town.conversation.progress(talk.id)
    await talk.says("/jobs")

    assert progress.line.startswith("Flux 2 Pro (text) · 0:03 · ")
    assert progress.usual is not None
    assert "3 с из обычных" in talk.screen.text
    assert not await town.conversation.is_idle(talk.id)
    await town.works()
    assert await town.conversation.is_idle(talk.id)


async def test_what_is_someone_elses_is_not_there() -> None:
    """A forged id finds nothing, and looks exactly like one that does not exist."""
    town = Town()
    anya, boris = await town.person(ANYA), await town.person(BORIS)
    job = await anya.at_confirmation()
    await anya.sends("topup:500")
    topup = await town.kiebot.waiting_topup(anya.id)
    assert topup is not None

    for verb in (
        "gen:open:{}",
        "gen:tune:{}",
        "gen:confirm:{}",
        "gen:cancel:{}",
        "gen:again:{}",
        "gen:edit:{}",
        "gen:use:{}:recraft/crisp-upscale",
        "history:job:{}",
        "history:file:{}",
        "history:jobs:{}",
        "mopen:{}:prompt",
        "mparam:{}:aspect_ratio:1",
        "mskip:{}:aspect_ratio",
        "mdone:{}:prompt",
        "mclear:{}:prompt",
        "topup:open:{}",
        "topup:cancel:{}",
    ):
        foreign = topup.id if verb.startswith("topup") else job
        assert await boris.sends(verb.format(foreign)) == await boris.sends(verb.format("nobody"))

    assert await anya.wallet() == await boris.wallet() == ("1000", "0")
    assert (await town.kiebot.job(ANYA, job)).status is JobStatus.DRAFT


# --- Language


async def test_the_language_is_that_of_the_frontend_until_chosen() -> None:
    town = Town()
    talk = await town.person(language=Language.EN)
    await talk.says("/start")
    assert talk.screen.text.startswith("Hi, Person 1!")
    await talk.presses("lang:ru")
    assert "Привет" in talk.screen.text

    await town.person(roubles="0", language=Language.EN)

    assert await town.conversation.language(talk.id) is Language.RU


async def test_somebody_nobody_introduced_is_answered_too() -> None:
    town = Town()

    screen = await town.conversation.handle(BORIS, Say("/start"))

    check(screen)
    assert await town.kiebot.wallet(BORIS) == Wallet(user_id=BORIS, available=ZERO, held=ZERO)


# --- Rubbish


PREFIXES = sorted(
    {":".join(parts) for owner in (Conversation, Desk) for parts in vars(owner)["_ROUTES"]}
)
PARTS = st.one_of(
    st.sampled_from([*(f"id{number:04}" for number in range(1, 10)), "nobody", ""]),
    st.sampled_from(["prompt", "aspect_ratio", "reason", "main", "-1", "0", "1", "999", "1" * 30]),
    st.sampled_from([model.key for model in CATALOG.models if not model.on_sale]),
    st.text(max_size=12),
)
DATA = st.builds(
    lambda prefix, parts: ":".join([prefix, *parts]),
    st.sampled_from(PREFIXES) | st.text(max_size=10),
    st.lists(PARTS, max_size=4),
)
FILES = st.builds(
    Attachment,
    reference=st.text(max_size=40) | st.just("tg:1"),
    name=st.text(max_size=40),
    mime=st.none() | st.sampled_from(sorted(MIMES.values())) | st.text(max_size=10),
    size=st.none() | st.integers(0, 2**40),
)
TEXTS = st.text(max_size=200) | st.sampled_from(["1", "да", "500", "https://x", "/", "/start x"])
DIDS = st.one_of(st.builds(Press.of, DATA), st.builds(Say, TEXTS), st.builds(Attach, FILES))


def run(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


@settings(max_examples=150)
@given(dids=st.lists(DIDS, min_size=1, max_size=12))
def test_whatever_is_sent_is_answered_and_moves_no_money(dids: list[Did]) -> None:
    """
    Whole sessions of rubbish by somebody with money and drafts of every kind.

    Only an offer of one's own can be paid for, and here it is more than there is in the wallet.
    """

    async def story() -> None:
        town = Town()
        boris, anya = await town.person(BORIS, "1000"), await town.person(ANYA, "30")
        await boris.at_confirmation()
        await anya.at_confirmation()
        await anya.presses("gen:confirm")
        await town.works()
        await anya.at_confirmation()
        await anya.sends("topup:500")
        await anya.sends("mmodel:" + CATALOG.model(PICTURE).key)
        draft = await town.kiebot.draft_of(ANYA)
        assert draft is not None
        assert draft.id <= "id0009"  # every id is among PARTS

        for did in dids:
            await anya.does(did)

        assert (await anya.wallet(), await boris.wallet()) == (("0", "0"), ("1000", "0"))
        kinds = [entry.kind for entry in await town.kiebot.ledger(ANYA, 100)]
        assert kinds == [EntryKind.CHARGE, EntryKind.GRANT]

    run(story)


def test_data_that_is_no_action_is_a_button_that_nobody_knows() -> None:
    assert Press.of("") == Press.of("a::b") == Press.of("x" * 65) == Press(Action.of("unknown"))
