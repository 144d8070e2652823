"""
Administration in the chat: what administrators press and read, and that nobody else can.

The people, the shop and `Town` are those of the conversation's tests.
"""

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from kiebot.conversation import Conversation
from kiebot.core.acts import ActKind
from kiebot.core.dialog.screen import Action, Attach, Did, Press, Say, Screen
from kiebot.core.errors import (
    BlockedError,
    NotAllowedError,
    NotOnSaleError,
    RefusedByStatusError,
)
from kiebot.core.expect import Amount, Answer, Reason, Receipt, Whom
from kiebot.core.jobs import JobStatus
from kiebot.core.language import Language
from kiebot.core.media import Attachment
from kiebot.core.money import Money
from kiebot.core.terms import OPERATOR, Terms
from kiebot.core.topups import TopUpId
from kiebot.core.users import UserId
from kiebot.core.wallet import EntryKind
from tests.test_conversation import (
    ADMIN,
    ANYA,
    BORIS,
    CATALOG,
    PHOTO,
    PICTURE,
    TERMS,
    Talk,
    Town,
)

SECOND = UserId(8)
TWO = evolve(TERMS, admins=frozenset({ADMIN, SECOND}))
FLUX = CATALOG.model(PICTURE)


class Desk(Talk):
    """An administrator: their screens may name kie.ai."""

    async def does(self, did: Did) -> Screen:
        self.screen = await self.town.conversation.handle(self.id, did)
        assert 0 < len(self.screen.text) <= 4096
        assert self.screen.actions
        assert await self.town.kiebot.expected(self.id) == self.screen.expects
        return self.screen


async def administrator(
    town: Town, user_id: UserId = ADMIN, language: Language = Language.RU
) -> Desk:
    await town.conversation.meet(user_id, f"Person {user_id}", language)
    return Desk(town, user_id)


async def receipt_of(talk: Talk, roubles: int = 500, file: Attachment = PHOTO) -> str:
    """A top-up that waits for a decision: its id."""
    await talk.sends(f"topup:{roubles}")
    await talk.attaches(file)
    topup = await talk.town.kiebot.waiting_topup(talk.id)
    assert topup is not None
    return topup.id


async def bought(talk: Talk) -> str:
    """A picture that was paid for: its job's id."""
    job = await talk.at_confirmation()
    await talk.presses("gen:confirm")
    await talk.town.works()
    return job


async def acts(town: Town) -> list[tuple[str, ActKind, str, int | None, str]]:
    """What administrators did, first things first."""
    found, _ = await town.kiebot.acts(ADMIN, 100)
    return [
        (a.actor, a.kind, a.subject, None if a.amount is None else a.amount.kopecks, a.why)
        for a in reversed(found)
        if a.why != "test"
    ]


# --- Who may


async def test_to_anybody_else_it_is_a_command_that_there_is_not() -> None:
    town = Town()
    talk = await town.person()
    await talk.says("/nonsense")
    unknown = talk.screen

    for command in ("/admin", "/ADMIN", " /admin@KieBot "):
        assert await talk.says(command) == unknown


@pytest.mark.parametrize("expected", [None, "a question"])
async def test_to_anybody_else_its_buttons_mean_nothing(expected: str | None) -> None:
    """Every action of administrators, with ids that are real: as any invented data."""
    town = Town()
    anya, boris = await town.person(), await town.person(BORIS)
    job, topup = await bought(anya), await receipt_of(anya)
    if expected:
        await boris.sends(f"mmodel:{FLUX.key}")
    await boris.sends("invented:data")
    unknown = boris.screen
    before = await town.kiebot.waiting_topup(ANYA)

    for data in (
        *("main", "topups", "find", "jobs", "today", "credits", "models", "models:2", "acts"),
        *(f"topup:{verb}:{topup}" for verb in ("show", "approve", "reject", "amount")),
        f"topup:approve:{topup}:500",
        *(f"{verb}:{ANYA}" for verb in ("user", "grant", "debit", "block", "unblock")),
        *(f"{verb}:{job}" for verb in ("job", "refund")),
        *(f"{verb}:{FLUX.key}" for verb in ("model", "off", "on")),
        "acts:1",
    ):
        assert await boris.sends(f"admin:{data}") == unknown, data

    assert await town.kiebot.waiting_topup(ANYA) == before
    assert await acts(town) == []


async def test_every_use_case_looks_by_itself_who_asks() -> None:
    """A button that should not be there would do nothing."""
    town = Town()
    anya = await town.person()
    await town.person(BORIS)
    job, topup = await bought(anya), await receipt_of(anya)
    kiebot = town.kiebot
    deed = await kiebot.prepare(ADMIN, ActKind.GRANT, str(BORIS))
    given = evolve(deed, amount=Money(100))
    asked = (await kiebot.topup_to_review(ADMIN, TopUpId(topup)))[0]

    for call in (
        kiebot.topups_to_review(BORIS),
        kiebot.topup_to_review(BORIS, asked.id),
        kiebot.review(BORIS, asked.id),
        kiebot.correct_topup(BORIS, asked.id, "100"),
        kiebot.approve_topup(BORIS, asked.id),
        kiebot.reject_topup(BORIS, asked.id, "no"),
        kiebot.dossier(BORIS, ANYA),
        kiebot.people_named(BORIS, "anya"),
        kiebot.any_job(BORIS, (await kiebot.jobs(ANYA, 1))[0].id),
        kiebot.troubles(BORIS, 5),
        kiebot.day(BORIS, town.clock()),
        kiebot.stock(BORIS),
        kiebot.switched_off(BORIS),
        kiebot.acts(BORIS, 5),
        kiebot.names(BORIS, ()),
        kiebot.prepare(BORIS, ActKind.REFUND, job),
        kiebot.perform(BORIS, given, "gift"),
        kiebot.block(BORIS, ANYA, "why"),
        kiebot.unblock(BORIS, ANYA, "why"),
        kiebot.switch_off(BORIS, PICTURE, "why"),
        kiebot.switch_on(BORIS, PICTURE, "why"),
    ):
        with pytest.raises(NotAllowedError):
            await call

    assert await acts(town) == []


async def test_the_console_is_nobody_to_talk_with() -> None:
    town = Town()
    talk = Talk(town, OPERATOR)
    await talk.says("/nonsense")
    unknown = talk.screen

    assert await talk.says("/admin") == unknown
    await talk.sends("admin:main")

    assert not talk.has("admin")


async def test_who_is_no_administrator_any_more_is_asked_nothing_and_told_nothing() -> None:
    town = Town()
    anya, admin = await town.person(roubles="0"), await administrator(town)
    await receipt_of(anya)
    ((_, admin.screen),) = await town.works()
    await admin.presses("admin:topup:reject")
    await anya.attaches(evolve(PHOTO, reference="tg:2", digest="d2"))
    town.kiebot.terms = evolve(TERMS, admins=frozenset())

    ((_, told),) = await town.works()
    plain = Talk(town, ADMIN)
    await plain.says("денег нет")

    assert not told.media
    assert "500" not in told.text
    assert plain.screen.expects is None
    topup = await town.kiebot.waiting_topup(ANYA)
    assert topup is not None


# --- Looking


@pytest.mark.parametrize("language", list(Language))
async def test_every_way_from_the_menu_leads_somewhere(language: Language) -> None:
    town = Town()
    anya, admin = await town.person(), await administrator(town, language=language)
    await bought(anya)
    await anya.at_confirmation(words="fail")
    await anya.presses("gen:confirm")
    await town.works()
    await anya.at_confirmation()
    await anya.presses("gen:confirm")
    await receipt_of(anya)
    t = await town.conversation.texts(admin.id)

    await admin.says("/admin")
    assert t.button_admin_topups(1) in [b.label for b in admin.screen.actions]
    seen, ways = set[str](), [b.action.encode() for b in admin.screen.actions]
    while ways:
        way = ways.pop()
        if way in seen or not way.startswith("admin"):
            continue
        seen.add(way)
        await admin.sends(way)
        ways += [b.action.encode() for b in admin.screen.actions]

    kinds = {way.split(":")[1] for way in seen}
    assert kinds == {
        *("main", "topups", "topup", "find", "user", "grant", "debit", "block", "jobs", "job"),
        *("refund", "today", "credits", "models", "model", "off", "acts"),
    }


@pytest.mark.parametrize(
    "typed", ["1", " № 1 ", "@anya_K", "Anya_k", "t.me/anya_k", "https://t.me/anya_k"]
)
async def test_a_person_is_found_by_number_or_name(typed: str) -> None:
    town = Town()
    await town.person()
    admin = await administrator(town)
    await town.conversation.meet(ANYA, "Аня", Language.RU, "@anya_k")
    await admin.says("/admin")
    await admin.presses("admin:find")
    assert admin.screen.expects == Whom()
    assert await town.conversation.asks_for_person(ADMIN)

    await admin.says(typed)

    assert admin.screen.text.startswith("Аня, № 1, @anya_k (с 01.01.2026")
    assert admin.screen.expects is None
    assert not await town.conversation.asks_for_person(ADMIN)


@pytest.mark.parametrize("did", [Say("404"), Say("@nobody"), Say(""), Say("?!"), Attach(PHOTO)])
async def test_who_is_not_found_is_asked_for_again(did: Did) -> None:
    town = Town()
    admin = await administrator(town)
    await admin.sends("admin:find")

    await admin.does(did)

    assert admin.screen.expects == Whom()
    await admin.says("/cancel")
    assert admin.has("admin:find")


async def test_several_who_had_a_name_are_all_offered() -> None:
    town = Town()
    admin = await administrator(town)
    for user_id in (ANYA, BORIS):
        await town.conversation.meet(user_id, f"P{user_id}", Language.RU, "anya")
    await admin.sends("admin:find")

    await admin.says("@anya")
    await admin.presses(f"admin:user:{BORIS}")

    assert admin.screen.text.startswith("P2, № 2")


async def test_a_person_is_shown_with_their_money_and_jobs() -> None:
    town = Town()
    anya, admin = await town.person(roubles="0"), await administrator(town)
    topup = await receipt_of(anya)
    await admin.sends(f"admin:topup:approve:{topup}")
    job = await bought(anya)
    await anya.at_confirmation()
    await anya.presses("gen:confirm")

    await admin.sends(f"admin:user:{ANYA}")

    text = admin.screen.text
    assert "пополнений: 1 на 500 ₽" in text
    assert "Баланс: 440 ₽, в резерве: 30 ₽" in text
    assert "+500 ₽  Пополнение" in text
    assert f"зачисление 500 ₽ · {topup.upper()}" in text
    await admin.presses(f"admin:job:{job}")
    assert "готово, оплачено" in admin.screen.text
    assert admin.has(f"admin:refund:{job}")


async def test_open_and_failed_jobs_are_listed() -> None:
    town = Town()
    anya, admin = await town.person(), await administrator(town)
    await anya.at_confirmation(words="fail")
    await anya.presses("gen:confirm")
    await town.works()
    running = await anya.at_confirmation()
    await anya.presses("gen:confirm")
    town.clock.advance(90)

    await admin.sends("admin:jobs")

    assert "⏳ Flux 2 Pro (text) · Person 1, № 1 · уже 90 с" in admin.screen.text
    assert "у модели не получилось" in admin.screen.text
    await admin.presses(f"admin:job:{running}")
    assert "в очереди" in admin.screen.text
    assert not admin.has("admin:refund")


async def test_today_in_numbers() -> None:
    """Since midnight of the shop's zone; what was yesterday does not count."""
    town = Town()
    town.conversation = Conversation(town.kiebot, tz=timezone(timedelta(hours=3)), clock=town.clock)
    town.kiebot.catalog = evolve(CATALOG, rub_per_usd=Decimal(100))
    anya, admin = await town.person(roubles="0"), await administrator(town)
    await receipt_of(anya)
    town.clock.now = datetime(2026, 1, 1, 20, 59, tzinfo=UTC)
    await bought(await town.person(BORIS))
    town.clock.now = datetime(2026, 1, 1, 21, 1, tzinfo=UTC)
    topup = await town.kiebot.waiting_topup(ANYA)
    assert topup is not None
    await admin.sends(f"admin:topup:approve:{topup.id}")
    await bought(anya)
    await anya.at_confirmation(words="fail")
    await anya.presses("gen:confirm")
    await town.works()
    await anya.at_confirmation()
    await anya.presses("gen:confirm")

    await admin.sends("admin:today")

    took = next(row.credits for row in FLUX.credits)
    lines = admin.screen.text.splitlines()
    assert lines[0] == "Сегодня, 02.01.2026"
    assert "Пришли: 2 человека, из них впервые 0" in lines
    assert "Работы: готово 1, не получилось 1, возвращено 0, в работе 1" in lines
    assert "Пополнения: 500 ₽" in lines
    assert "Доход от работ: 30 ₽" in lines
    report = await town.kiebot.costs(datetime(2026, 1, 1, 21, tzinfo=UTC))
    assert report.total_cost is not None
    assert took > 0
    t = await town.conversation.texts(ADMIN)
    assert t.admin_cost(t.credits(report.total.credits), t.money(report.total_cost)) in lines
    margin = Money(30_00 - report.total_cost.kopecks)
    assert f"Маржа: {t.money(margin)}" in lines


async def test_without_a_rate_no_cost_is_made_up() -> None:
    town = Town()
    town.kiebot.catalog = evolve(CATALOG, rub_per_usd=None)
    anya, admin = await town.person(), await administrator(town)
    await bought(anya)

    await admin.sends("admin:today")

    assert "Курс не задан" in admin.screen.text
    assert "Маржа:" not in admin.screen.text


async def test_the_balance_at_kie() -> None:
    town = Town()
    admin = await administrator(town)

    await admin.sends("admin:credits")

    assert "На счёте kie.ai:" in admin.screen.text


# --- Giving and taking


async def test_money_is_given_with_a_reason_that_the_person_reads() -> None:
    town = Town()
    anya, admin = await town.person(roubles="0"), await administrator(town)
    await admin.sends(f"admin:user:{ANYA}")
    await admin.presses("admin:grant")
    assert isinstance(admin.screen.expects, Amount)
    for wrong in ("много", "-5", "0", "1e3"):
        await admin.says(wrong)
        assert isinstance(admin.screen.expects, Amount), wrong
    await admin.attaches()
    assert isinstance(admin.screen.expects, Amount)
    await admin.says("150,50")
    assert isinstance(admin.screen.expects, Reason)
    assert "150,50 ₽" in admin.screen.text
    for no_reason in (" ", "\0", "x" * 501):
        await admin.says(no_reason)
        assert isinstance(admin.screen.expects, Reason), no_reason
    await admin.attaches()
    assert isinstance(admin.screen.expects, Reason)

    await admin.says("за терпение")

    assert admin.screen.text.startswith("✅ Начислено 150,50 ₽.")
    assert await anya.wallet() == ("150.5", "0")
    assert await acts(town) == [("7", ActKind.GRANT, "1", 150_50, "за терпение")]
    (entry,) = await town.kiebot.ledger(ANYA, 9)
    assert (entry.by, entry.why) == ("7", "за терпение")
    await anya.says("/balance")
    assert "+150,50 ₽  Подарок от магазина: за терпение" in anya.screen.text
    assert (await town.kiebot.audit()).problems == ()


async def test_what_is_taken_is_never_more_than_there_is() -> None:
    town = Town()
    anya, admin = await town.person(roubles="100"), await administrator(town)
    await admin.sends(f"admin:debit:{ANYA}")

    await admin.says("100,01")
    assert "на балансе 100 ₽" in admin.screen.text
    await admin.says("90")
    await town.kiebot.debit(ANYA, Money(50_00), by="test", why="test")
    await admin.says("ошибка")
    assert "на балансе 50 ₽" in admin.screen.text
    assert isinstance(admin.screen.expects, Amount)
    await admin.says("50")
    await admin.says("ошибка")

    assert await anya.wallet() == ("0", "0")
    assert await acts(town) == [("7", ActKind.DEBIT, "1", 50_00, "ошибка")]
    await anya.sends("history:ledger")
    assert "−50 ₽  Списание магазином: ошибка" in anya.screen.text


async def test_a_reason_that_comes_twice_gives_once() -> None:
    """Two instances hand the same message in: the deed has an id of its own."""
    town = Town()
    anya, admin = await town.person(roubles="0"), await administrator(town)
    await admin.sends(f"admin:grant:{ANYA}")
    await admin.says("100")
    asked = admin.screen.expects

    await admin.says("подарок")
    await town.kiebot.expect(ADMIN, asked)
    await admin.says("подарок")

    assert await anya.wallet() == ("100", "0")
    assert len(await acts(town)) == 1


async def test_a_job_is_given_back_once_and_the_person_told() -> None:
    town = Town()
    anya, admin = await town.person(), await administrator(town)
    job = await bought(anya)
    await admin.sends(f"admin:refund:{job}")
    assert "30 ₽" in admin.screen.text

    await admin.says("размыто")
    ((who, told),) = await town.works()
    refunded = admin.screen.text
    await admin.sends(f"admin:refund:{job}")

    assert refunded.startswith("✅ Возвращено 30 ₽.")
    assert "деньги возвращены" in admin.screen.text
    assert admin.screen.expects is None
    assert who == ANYA
    assert "размыто" in told.text
    assert await anya.wallet() == ("1000", "0")
    assert await acts(town) == [("7", ActKind.REFUND, job, 30_00, "размыто")]
    await anya.says("/balance")
    assert "(возврат): размыто" in anya.screen.text


@pytest.mark.parametrize("asked", ["grant", "block"])
async def test_a_deed_can_be_left(asked: str) -> None:
    town = Town()
    await town.person()
    admin = await administrator(town)
    await admin.sends(f"admin:{asked}:{ANYA}")
    assert admin.has(f"admin:user:{ANYA}")

    await admin.says("/cancel")

    assert admin.screen.expects is None
    assert admin.has(f"admin:{asked}:{ANYA}")
    assert await acts(town) == []


@pytest.mark.parametrize(
    "data",
    [
        *(f"admin:{verb}:404" for verb in ("user", "grant", "debit", "block", "unblock")),
        *(f"admin:{verb}:{'9' * 30}" for verb in ("user", "grant")),
        *(f"admin:{verb}:nobody" for verb in ("user", "grant", "job", "refund", "off", "model")),
        "admin:topup:show:nobody",
        "admin:topup:approve:nobody:x",
        "admin:acts:x",
        "admin:models:99",
        "admin:nothing",
        "admin",
        "admin:main:x",
    ],
)
async def test_data_that_leads_nowhere_is_answered(data: str) -> None:
    town = Town()
    admin = await administrator(town)

    await admin.sends(data)

    assert await acts(town) == []


async def test_a_draft_cannot_be_refunded_nor_an_administrator_blocked() -> None:
    town = Town(terms=TWO)
    anya, admin = await town.person(), await administrator(town)
    await administrator(town, SECOND)
    job = await anya.at_confirmation()

    for data in (f"admin:refund:{job}", f"admin:block:{SECOND}", f"admin:unblock:{ANYA}"):
        await admin.sends(data)
        assert admin.screen.expects is None, data
    with pytest.raises(RefusedByStatusError):
        await town.kiebot.block(ADMIN, SECOND, "why")

    assert await acts(town) == []


# --- Blocked people


BLOCKED = "Доступ закрыт. Вопросы: @helper."


async def test_for_who_is_blocked_nothing_is_done() -> None:
    town = Town(terms=evolve(TERMS, support="@helper"))
    anya, admin = await town.person(), await administrator(town)
    offer = await anya.at_confirmation()
    await anya.sends(f"mmodel:{FLUX.key}")
    asked = anya.screen.expects
    await admin.sends(f"admin:block:{ANYA}")

    await admin.says("шумит")

    assert "⛔ Доступ закрыт с" in admin.screen.text
    for did in (
        Say("/start"),
        Say("рыжий кот"),
        Attach(PHOTO),
        Press.of(f"gen:confirm:{offer}"),
        Press.of("topup:500"),
        Press.of("lang:en"),
        Press.of("rubbish"),
    ):
        screen = await town.conversation.handle(ANYA, did)
        assert (screen.text, screen.buttons) == (BLOCKED, ()), did
    assert (await town.kiebot.job(ANYA, offer)).status is JobStatus.DRAFT
    assert await town.kiebot.waiting_topup(ANYA) is None
    assert await town.kiebot.expected(ANYA) == asked
    assert await town.conversation.language(ANYA) is Language.RU
    assert await anya.wallet() == ("1000", "0")

    await admin.presses("admin:unblock")
    await admin.says("договорились")
    await anya.says("рыжий кот")

    assert anya.has("gen:confirm")
    assert [(kind, why) for _, kind, _, _, why in await acts(town)] == [
        (ActKind.BLOCK, "шумит"),
        (ActKind.UNBLOCK, "договорились"),
    ]


async def test_what_was_begun_for_who_is_blocked_goes_on() -> None:
    town = Town()
    anya = await town.person()
    await anya.at_confirmation()
    await anya.presses("gen:confirm")
    await town.kiebot.block(ADMIN, ANYA, "шумит")

    ((who, result),) = await town.works()

    assert who == ANYA
    assert result.media
    assert await anya.wallet() == ("970", "0")


async def test_a_program_cannot_buy_for_who_is_blocked() -> None:
    town = Town()
    anya = await town.person()
    offer = await anya.at_confirmation()
    await anya.sends("topup:500")
    topup = await town.kiebot.waiting_topup(ANYA)
    assert topup is not None
    await town.kiebot.block(ADMIN, ANYA, "шумит")

    for call in (
        town.kiebot.confirm(ANYA, offer),
        town.kiebot.draft(ANYA, PICTURE),
        town.kiebot.order(ANYA, PICTURE, {"prompt": "кот"}),
        town.kiebot.start_topup(ANYA, "500"),
        town.kiebot.submit_receipt(ANYA, topup.id, PHOTO),
    ):
        with pytest.raises(BlockedError):
            await call


# --- Models off and on


async def test_a_model_is_taken_off_sale_and_put_back() -> None:
    town = Town()
    anya, admin = await town.person(), await administrator(town)
    other = Conversation(town.kiebot, clock=town.clock)
    offer = await anya.at_confirmation()
    paid = await anya.at_confirmation()
    await anya.presses("gen:confirm")
    await admin.sends(f"admin:model:{FLUX.key}")
    await admin.presses("admin:off")

    await admin.says("дорого")

    assert "⛔ Снята с продажи · Person 7" in admin.screen.text
    assert "дорого" in admin.screen.text
    for data in (
        f"mmodel:{FLUX.key}",
        f"gen:confirm:{offer}",
        f"gen:open:{offer}",
        f"gen:again:{paid}",
        f"mopen:{offer}:prompt",
    ):
        await anya.sends(data)
        assert "не продаётся" in anya.screen.text, data
        assert "дорого" not in anya.screen.text, data
    shelf = await other.handle(ANYA, Press.of(f"mcat:{FLUX.category}"))
    assert f"mmodel:{FLUX.key}" not in [b.action.encode() for b in shelf.actions]
    await admin.sends(f"mmodel:{FLUX.key}")
    assert "Видят только администраторы: дорого" in admin.screen.text
    await town.works()
    assert (await town.kiebot.job(ANYA, paid)).status is JobStatus.SUCCEEDED

    await admin.sends(f"admin:model:{FLUX.key}")
    await admin.presses("admin:on")
    await admin.says("подешевела")
    await anya.sends(f"gen:confirm:{offer}")

    assert await anya.wallet() == ("940", "30")
    assert [kind for _, kind, *_ in await acts(town)] == [ActKind.SWITCH_OFF, ActKind.SWITCH_ON]


async def test_a_program_cannot_buy_what_is_switched_off() -> None:
    town = Town()
    anya = await town.person()
    offer = await anya.at_confirmation()
    await town.kiebot.switch_off(ADMIN, PICTURE, "дорого")

    for call in (
        town.kiebot.draft(ANYA, PICTURE),
        town.kiebot.confirm(ANYA, offer),
        town.kiebot.order(ANYA, PICTURE, {"prompt": "кот"}),
        town.kiebot.answer(ANYA, offer, "prompt", "кот"),
    ):
        with pytest.raises(NotOnSaleError):
            await call

    assert await anya.wallet() == ("1000", "0")


async def test_an_answer_to_a_model_that_was_switched_off_is_refused() -> None:
    """Somebody types a prompt while the administrator presses."""
    town = Town()
    anya = await town.person()
    await anya.sends(f"mmodel:{FLUX.key}")
    await town.kiebot.switch_off(ADMIN, PICTURE, "дорого")

    await anya.says("рыжий кот")

    assert "не продаётся" in anya.screen.text
    assert anya.screen.expects is None


async def test_what_the_catalog_does_not_sell_has_no_switch() -> None:
    town = Town()
    admin = await administrator(town)
    unsold = next(model for model in CATALOG.models if not model.on_sale)

    await admin.sends(f"admin:model:{unsold.key}")

    assert "Не продаётся по каталогу" in admin.screen.text
    assert not admin.has("admin:on")
    assert not admin.has("admin:off")


async def test_with_everything_off_every_screen_still_stands() -> None:
    town = Town()
    anya = await town.person()
    for model in CATALOG.on_sale:
        await town.kiebot.switch_off(ADMIN, model.id, "ремонт")

    for did in (Say("/start"), Say("/marketing"), Press.of(f"mcat:{FLUX.category}")):
        await anya.does(did)
        assert not anya.has("mmodel")


# --- The journal


async def test_the_journal_is_paged_and_says_who_did_what_and_why() -> None:
    town = Town()
    await town.person(roubles="0")
    admin = await administrator(town)
    for number in range(15):
        await town.kiebot.grant(ANYA, Money(100), by="cli:root", why=f"подарок {number}")
    await town.kiebot.block(ADMIN, ANYA, "шумит")

    await admin.sends("admin:acts")
    first = admin.screen.text
    await admin.presses("admin:acts:")
    second = admin.screen.text

    assert "Person 7 · доступ закрыт · Person 1, № 1: шумит" in first
    assert "оператор · начисление 1 ₽ · Person 1, № 1: подарок 14" in first
    assert "подарок 0" not in first
    assert "подарок 0" in second
    assert not admin.has("admin:acts:")


async def test_the_console_acts_as_the_console() -> None:
    town = Town()
    anya = await town.person(roubles="0")
    topup = await receipt_of(anya)
    asked, _ = await town.kiebot.topup_to_review(OPERATOR, TopUpId(topup))

    await town.kiebot.correct_topup(OPERATOR, asked.id, "400")
    await town.kiebot.approve_topup(OPERATOR, asked.id, Money(400_00))
    await town.kiebot.debit(ANYA, Money(1_00), by="cli:root", why="ошибка")

    assert await acts(town) == [
        ("console", ActKind.CORRECT, topup, 400_00, ""),
        ("console", ActKind.APPROVE, topup, 400_00, ""),
        ("console", ActKind.DEBIT, "1", 1_00, "ошибка"),
    ]


# --- Top-ups


async def test_a_request_says_who_it_is_and_what_they_did_before() -> None:
    town = Town(terms=TWO)
    anya = await town.person(roubles="0")
    admin, second = await administrator(town), await administrator(town, SECOND)
    await town.conversation.meet(ANYA, "Аня", Language.RU, "anya")
    for roubles in (300, 200):
        topup = await receipt_of(anya, roubles, evolve(PHOTO, digest=f"d{roubles}"))
        await admin.sends(f"admin:topup:approve:{topup}")
    await town.works()
    topup = await receipt_of(anya, 500, evolve(PHOTO, digest="d300"))

    news = await town.works()

    assert sorted(who for who, _ in news) == [ADMIN, SECOND]
    for _, screen in news:
        assert "500 ₽ · Аня, № 1, @anya (с 01.01.2026, пополнений: 2 на 500 ₽)" in screen.text
        assert "⚠️ Этот же чек уже был в заявке" in screen.text
        assert "(подтверждена, 01.01.2026)" in screen.text
        assert screen.media
    await second.sends(f"admin:topup:show:{topup}")
    assert second.screen.text == news[0][1].text


async def test_an_album_of_a_receipt_is_one_request_and_its_further_files() -> None:
    town = Town(terms=TWO)
    anya, boris = await town.person(roubles="0"), await town.person(BORIS, "0")
    admin, second = await administrator(town), await administrator(town, SECOND)
    known = evolve(PHOTO, reference="telegram:known", digest="d7")
    await receipt_of(boris, 300, known)
    await town.works()
    files = [evolve(PHOTO, reference=f"telegram:{n}", digest=f"d{n}") for n in (0, 1)]
    await anya.sends("topup:500")
    for file in (*files, evolve(known, reference="telegram:7"), files[1]):
        await anya.attaches(file)

    news = await town.works()

    for who in (ADMIN, SECOND):
        first, *more = [screen for user_id, screen in news if user_id == who]
        assert [one.url for one in first.media] == ["telegram:0"]
        assert "Чек: 3 файла" in first.text
        assert [[one.url for one in screen.media] for screen in more] == [
            ["telegram:1"],
            ["telegram:7"],
        ]
        assert ["⚠️" in screen.text for screen in more] == [False, True]
        for number, screen in enumerate(more, start=2):
            assert "500 ₽ · Person 1, № 1" in screen.text
            assert f"Ещё один файл чека, {number}-й" in screen.text
            assert len(screen.text) < len(first.text)
    admin.screen = second.screen = more[0]
    topup = admin.button("admin:topup:show").action.parts[3]
    await admin.presses("admin:topup:approve")
    await second.presses("admin:topup:reject")
    assert "✅ Зачислено 500 ₽" in second.screen.text
    assert await anya.wallet() == ("500", "0")

    # Who is shown a file only after the decision reads of the decision.
    await town.works()
    await anya.sends("topup:200")
    for file in files:
        await anya.attaches(evolve(file, digest=None))
    waiting = await town.kiebot.waiting_topup(ANYA)
    assert waiting is not None
    assert waiting.id != topup
    await town.kiebot.approve_topup(ADMIN, waiting.id)
    late = [screen for user_id, screen in await town.works() if user_id == SECOND]
    assert [len(screen.media) for screen in late] == [1, 1]
    for screen in late:
        assert "✅ Зачислено 200 ₽" in screen.text
        assert not any(b.action.parts[2:3] == ("approve",) for b in screen.actions)


async def test_a_credited_receipt_is_warned_of_before_later_ones() -> None:
    town = Town()
    anya, boris = await town.person(roubles="0"), await town.person(BORIS, "0")
    admin = await administrator(town)
    credited = await receipt_of(anya)
    await admin.sends(f"admin:topup:approve:{credited}")
    for _ in range(3):
        town.clock.advance(60)
        rejected = await receipt_of(boris)
        await admin.sends(f"admin:topup:reject:{rejected}")
        await admin.presses("mskip")
    town.clock.advance(60)
    topup = await receipt_of(boris)

    await admin.sends(f"admin:topup:show:{topup}")

    assert f"заявке {credited.upper()} (подтверждена" in admin.screen.text


async def test_the_second_administrator_sees_who_decided_what_and_when() -> None:
    town = Town(terms=TWO)
    anya = await town.person(roubles="0")
    admin, second = await administrator(town), await administrator(town, SECOND)
    await receipt_of(anya)
    (_, admin.screen), (_, second.screen) = await town.works()

    await admin.presses("admin:topup:approve")
    await second.presses("admin:topup:approve")
    decided = second.screen.text
    await second.sends(admin.button("admin:topups").action.encode())

    assert decided == admin.screen.text
    assert "✅ Зачислено 500 ₽ · Person 7, 01.01" in decided
    assert not second.has("admin:topup:show")
    assert await anya.wallet() == ("500", "0")
    assert await acts(town) == [("7", ActKind.APPROVE, *(await approved(town)), 500_00, "")]


async def approved(town: Town) -> tuple[str]:
    (entry,) = await town.kiebot.ledger(ANYA, 9)
    assert entry.kind is EntryKind.TOPUP
    return (entry.ref.removeprefix("topup:"),)


async def test_who_comes_too_late_to_reject_or_correct_sees_the_decision() -> None:
    town = Town(terms=TWO)
    anya = await town.person(roubles="0")
    admin, second = await administrator(town), await administrator(town, SECOND)
    topup = await receipt_of(anya)
    await second.sends(f"admin:topup:reject:{topup}")
    await admin.sends(f"admin:topup:amount:{topup}")
    await town.kiebot.approve_topup(ADMIN, TopUpId(topup))

    await second.says("денег нет")
    assert "✅ Зачислено 500 ₽ · Person 7" in second.screen.text
    await admin.says("400")
    assert "✅ Зачислено 500 ₽ · Person 7" in admin.screen.text

    assert await anya.wallet() == ("500", "0")


async def at_question(admin: Talk) -> Answer:
    """An administrator who is buying something, too."""
    await admin.sends(f"mmodel:{FLUX.key}")
    assert isinstance(admin.screen.expects, Answer)
    return admin.screen.expects


@pytest.mark.parametrize(
    "decide",
    [
        ("admin:topup:approve",),
        ("admin:topup:reject", "денег нет"),
        ("admin:topup:reject", "!mskip"),
        ("admin:topup:amount", "400", "!admin:topup:approve"),
        ("admin:topup:reject", "x" * 501, "денег нет"),
    ],
    ids=lambda steps: " ".join(step[:30] for step in steps),
)
async def test_an_administrators_own_question_returns_after_a_decision(
    decide: tuple[str, ...],
) -> None:
    town = Town()
    anya, admin = await town.person(roubles="0"), await administrator(town)
    await town.kiebot.grant(ADMIN, Money(100_00), by="test", why="test")
    asked = await at_question(admin)
    question = admin.screen.text
    topup = await receipt_of(anya)

    press, *steps = decide
    await admin.sends(f"{press}:{topup}")
    for step in steps:
        await (admin.presses(step[1:]) if step.startswith("!") else admin.says(step))

    assert admin.screen.expects == asked
    assert "Person 7" in admin.screen.text
    assert question.splitlines()[-1] in admin.screen.text
    await admin.says("рыжий кот")
    assert admin.has("gen:confirm")


async def test_looking_at_a_request_leaves_the_own_question_open() -> None:
    town = Town()
    anya, admin = await town.person(roubles="0"), await administrator(town)
    asked = await at_question(admin)
    topup = await receipt_of(anya)

    await admin.sends(f"admin:topup:show:{topup}")
    assert admin.screen.expects == asked
    await admin.presses("admin:topup:reject")
    await admin.presses("admin:topup:show")
    assert admin.screen.expects == asked
    await admin.presses("admin:topup:amount")
    await admin.says("/cancel")

    assert admin.screen.expects == asked


async def test_an_own_receipt_returns_too_and_what_is_over_does_not() -> None:
    town = Town(terms=TWO)
    anya, admin = await town.person(roubles="0"), await administrator(town)
    await admin.sends("topup:700")
    mine = admin.screen.expects
    assert isinstance(mine, Receipt)
    first = await receipt_of(anya)
    await admin.sends(f"admin:topup:approve:{first}")
    assert admin.screen.expects == mine
    assert "Переведите ровно 700 ₽" in admin.screen.text
    second = await receipt_of(anya)
    await admin.sends(f"admin:topup:reject:{second}")
    await town.kiebot.cancel_topup(ADMIN, mine.topup_id)
    await town.kiebot.expect(ADMIN, Reason(topup_id=TopUpId(second), after=mine))

    await admin.says("денег нет")

    assert admin.screen.expects is None
    assert "🚫 Отклонено" in admin.screen.text


async def test_without_a_card_the_button_says_so() -> None:
    town = Town(terms=Terms())
    talk = await town.person(roubles="10")

    await talk.says("/balance")
    assert "недоступно" in talk.button("topup:main").label
    await talk.at_confirmation()
    await talk.presses("gen:confirm")

    assert "недоступно" in talk.button("topup:main").label


@pytest.mark.parametrize("language", list(Language))
async def test_paysupport_says_how_money_comes_back_and_who_answers(language: Language) -> None:
    named = Town(terms=evolve(TERMS, support="@helper"))
    nobody = Town()

    with_contact = await (await named.person(language=language)).says("/paysupport")
    without = await (await nobody.person(language=language)).says("/paysupport")

    assert "@helper" in with_contact.text
    assert with_contact.copyable == ("@helper",)
    assert without.copyable == ()
    assert "@helper" not in without.text
    for screen in (with_contact, without):
        assert "1." in screen.text
    words = "вернём" if language is Language.RU else "return its price"
    assert words in without.text


# --- Rubbish


PREFIXES = (
    *("main", "find", "user", "grant", "debit", "block", "unblock", "job", "refund", "off", "on"),
    *("model", "models", "acts", "topup:approve", "topup:reject", "topup:amount", "topup:show"),
)
PARTS = st.sampled_from(
    ["1", "2", "7", "404", "-1", "id0001", "id0002", "id0003", "id0004", FLUX.key, "500", "x", "0"]
)
PRESSES = st.builds(
    lambda prefix, parts: Press.of(":".join(["admin", prefix, *parts])),
    st.sampled_from(PREFIXES),
    st.lists(PARTS, max_size=2),
)
SAYS = st.builds(
    Say, st.sampled_from(["1", "@anya", "100", "за дело", "/cancel", "/admin", ""]) | st.text()
)
DIDS = st.one_of(PRESSES, SAYS, st.just(Attach(PHOTO)), st.just(Press(Action.of("mskip", "x"))))


@settings(max_examples=100)
@given(dids=st.lists(DIDS, min_size=1, max_size=15))
def test_whatever_an_administrator_sends_is_answered_and_adds_up(dids: list[Did]) -> None:
    """Money may move, for they may move it: every movement has its act, and every rule holds."""

    async def story() -> None:
        town = Town()
        anya, admin = await town.person(), await administrator(town)
        await bought(anya)
        await receipt_of(anya)
        for did in dids:
            await admin.does(did)

        assert (await town.kiebot.audit()).problems == ()
        moved = [
            (entry.amount, entry.why or "")
            for user_id in (ANYA, ADMIN)
            for entry in await town.kiebot.ledger(user_id, 99)
            if entry.by == str(ADMIN)
        ]
        done, _ = await town.kiebot.acts(ADMIN, 99)
        booked = [
            (act.amount, act.why)
            for act in done
            if act.actor == str(ADMIN)
            and act.kind in {ActKind.APPROVE, ActKind.GRANT, ActKind.DEBIT, ActKind.REFUND}
        ]
        assert sorted(moved, key=str) == sorted(booked, key=str)

    asyncio.run(story())
