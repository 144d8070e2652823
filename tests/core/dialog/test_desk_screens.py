"""Administrators' screens in both languages: sendable, no dead end, and a label on every button."""

from datetime import UTC, timedelta
from decimal import Decimal

import pytest
from attrs import evolve

from kiebot.adapters.catalog import load_catalog
from kiebot.core.acts import SAYS_WHY, Act, ActKind, Deed, SwitchedOff
from kiebot.core.catalog import Model
from kiebot.core.dialog import admin, balance, desk, menu, news
from kiebot.core.dialog.balance import Movement
from kiebot.core.dialog.desk import Line, Work
from kiebot.core.dialog.en import EN
from kiebot.core.dialog.history import Past
from kiebot.core.dialog.news import Background
from kiebot.core.dialog.ru import RU
from kiebot.core.dialog.screen import Screen
from kiebot.core.dialog.texts import Texts
from kiebot.core.events import TopUpToReview
from kiebot.core.jobs import Job, JobStatus
from kiebot.core.language import Language
from kiebot.core.margins import Margin, ModelSums, Report
from kiebot.core.media import Attachment
from kiebot.core.money import LARGEST_KOPECKS, Money
from kiebot.core.overview import Day, Dossier, Review
from kiebot.core.tasks import FailReason, Failure
from kiebot.core.terms import Terms
from kiebot.core.topups import TopUpId, TopUpStatus
from kiebot.core.users import User, UserId
from kiebot.core.wallet import EntryKind
from tests.fakes.values import ADMIN, BUYER, NOON, entry, job, topup, wallet

CATALOG = load_catalog()
TWICE = Decimal(2)
LONGEST = "Ы" * 5000
NAMES = ["Аня", "", LONGEST, "<b>&\u202e\n*_`", "😀" * 200]
MOST = UserId(2**52)
MOVED = (
    EntryKind.TOPUP,
    EntryKind.GRANT,
    EntryKind.DEBIT,
    EntryKind.HOLD,
    EntryKind.RELEASE,
    EntryKind.REFUND,
)

every_language = pytest.mark.parametrize("t", [RU, EN], ids=["ru", "en"])
every_name = pytest.mark.parametrize("name", NAMES, ids=["plain", "none", "long", "marks", "wide"])


def who(name: str = "Аня", **fields: object) -> User:
    made = User(id=MOST, name=name, language=Language.RU, created_at=NOON, nickname="anya_k")
    return evolve(made, **fields)  # type: ignore[arg-type]


def check(screen: Screen) -> None:
    """It can be sent, it is no dead end, and every button has a label that fits."""
    assert 0 < len(screen.text) <= 4096
    assert screen.actions
    assert len(screen.actions) <= 100
    assert all(button.label.strip() and len(button.label) <= 100 for button in screen.actions)
    assert all(len(button.action.encode().encode()) <= 64 for button in screen.actions)


def act(kind: ActKind, why: str = "") -> Act:
    return Act(
        actor=str(ADMIN),
        kind=kind,
        subject="7q2k",
        amount=Money(LARGEST_KOPECKS),
        why=why or ("шумит" if kind in SAYS_WHY else ""),
        at=NOON,
    )


def work(one: Job, name: str = "Аня") -> Work:
    past = Past(job=one, model=CATALOG.find(one.model_id))
    return Work(past=past, person=who(name), elapsed=timedelta(hours=3))


@every_language
@every_name
@pytest.mark.parametrize("is_blocked", [True, False])
def test_a_person(t: Texts, name: str, is_blocked: bool) -> None:
    person = who(name, blocked_at=NOON if is_blocked else None)
    dossier = Dossier(
        person=person,
        wallet=wallet(LARGEST_KOPECKS, LARGEST_KOPECKS),
        topped_up=(Money(5),),
        waiting=topup(status=TopUpStatus.MANUAL_REVIEW),
        jobs=tuple(job(status) for status in JobStatus),
        entries=tuple(entry(kind, 500, why=LONGEST, by="7") for kind in MOVED),
        acts=tuple(act(kind, LONGEST) for kind in ActKind)[:5],
    )

    screen = desk.person(
        t,
        dossier,
        [Past(job=one, model=None) for one in dossier.jobs],
        [Movement(entry=one, title="Flux") for one in dossier.entries],
        [Line(act=one, who=name, what=name[:64]) for one in dossier.acts],
        UTC,
        is_admin=False,
    )

    check(screen)
    pressed = [button.action.parts[1] for button in screen.actions]
    assert ("unblock" in pressed, "block" in pressed) == (is_blocked, not is_blocked)
    assert t.button_block not in [
        button.label for button in desk.person(t, dossier, [], [], [], UTC, is_admin=True).actions
    ]


@every_language
def test_a_person_who_never_did_anything(t: Texts) -> None:
    dossier = Dossier(
        person=who(nickname=None),
        wallet=wallet(),
        topped_up=(),
        waiting=None,
        jobs=(),
        entries=(),
        acts=(),
    )

    check(desk.person(t, dossier, [], [], [], UTC, is_admin=False))


@every_language
@pytest.mark.parametrize("note", ["", "Нет."])
def test_who_is_looked_for(t: Texts, note: str) -> None:
    check(desk.whom(t, note))
    check(desk.several(t, [who(name) for name in NAMES]))
    assert t.admin_whom_nobody("@x") != t.admin_whom_unclear


@every_language
@pytest.mark.parametrize("waiting", [0, 1, 2, 5])
def test_the_menu(t: Texts, waiting: int) -> None:
    check(desk.main(t, waiting))
    check(admin.topups(t, [topup()] * waiting, UTC))


@every_language
@every_name
@pytest.mark.parametrize("status", list(JobStatus))
def test_a_job_of_any_status(t: Texts, status: JobStatus, name: str) -> None:
    failure = Failure(reason=FailReason.MODEL_FAILED, detail=LONGEST)
    one = job(status, **({"failure": failure} if status is JobStatus.FAILED else {}))

    screen = desk.job(t, work(one, name), UTC)

    check(screen)
    refunds = [b for b in screen.actions if b.action.parts[1] == "refund"]
    assert len(refunds) == (status is JobStatus.SUCCEEDED)
    assert t.job_status[status] in screen.text


@every_language
@pytest.mark.parametrize("reason", list(FailReason))
def test_a_list_of_jobs(t: Texts, reason: FailReason) -> None:
    failure = Failure(reason=reason, detail=LONGEST)
    failed = [work(job(JobStatus.FAILED, failure=failure), LONGEST)] * 10
    working = [work(job(JobStatus.RUNNING, model_id="gone/" + "x" * 60), LONGEST)] * 10

    check(desk.jobs(t, working, failed, UTC))
    check(desk.jobs(t, [], [], UTC))


@every_language
@pytest.mark.parametrize("rate", [None, Decimal(80), Decimal(8000)])
@pytest.mark.parametrize("untold", [0, 1, 21])
def test_a_day(t: Texts, rate: Decimal | None, untold: int) -> None:
    sums = ModelSums(
        model_id="m", jobs=3, income=Money(100_00), credits=Decimal("12.5"), untold=untold
    )
    cost = None if rate is None else Money(int(rate * 625 // 100))
    report = Report(
        margins=(Margin(sums=sums, cost=cost),), rub_per_usd=rate, checked_at=rate or Decimal(110)
    )
    day = Day(
        since=NOON,
        came=21,
        new=2,
        jobs={JobStatus.SUCCEEDED: 5, JobStatus.QUEUED: 1, JobStatus.RUNNING: 2},
        moved={EntryKind.GRANT: Money(5)},
        report=report,
    )

    screen = desk.today(t, day, UTC)

    check(screen)
    if cost is not None:
        sign = "−" if cost > sums.income else ""
        margin = abs(sums.income.kopecks - cost.kopecks)
        assert t.admin_margin(f"{sign}{t.money(Money(margin))}") in screen.text


@every_language
def test_what_is_left_at_kie(t: Texts) -> None:
    check(desk.kie_credits(t, Decimal("-3.5"), Decimal(500)))
    check(desk.no_credits(t, LONGEST))


@every_language
@pytest.mark.parametrize("one", CATALOG.models, ids=lambda model: model.id)
def test_every_model_and_its_switch(t: Texts, one: Model) -> None:
    off = SwitchedOff(model_id=one.id, by="7", why=LONGEST, at=NOON)

    on = desk.model(t, one, None, "", TWICE, UTC)
    switched = desk.model(t, one, off, LONGEST, TWICE, UTC)

    check(on)
    check(switched)
    assert any(b.action.parts[1] == "off" for b in on.actions) == one.on_sale
    assert any(b.action.parts[1] == "on" for b in switched.actions)
    check(menu.not_on_sale(t, one, LONGEST))


@every_language
def test_every_model_stands_on_some_page(t: Texts) -> None:
    off = {
        CATALOG.models[0].id: SwitchedOff(model_id=CATALOG.models[0].id, by="7", why="x", at=NOON)
    }
    shown = set()
    for page in range(1, len(CATALOG.models)):
        screen = desk.models(t, CATALOG, off, page)
        check(screen)
        shown |= {b.action.parts[2] for b in screen.actions if b.action.parts[1] == "model"}

    assert shown == {model.key for model in CATALOG.models}


@every_language
@every_name
def test_the_journal(t: Texts, name: str) -> None:
    lines = [
        Line(act=act(kind, LONGEST), who=name, what=name[:64]) for kind in (*ActKind, *ActKind)
    ][:10]

    screen = desk.acts(t, lines, 5, UTC, first=False)

    check(screen)
    check(desk.acts(t, [], None, UTC, first=True))
    for line in lines:
        assert t.act[line.act.kind] in screen.text


@every_language
@every_name
@pytest.mark.parametrize("kind", list(ActKind))
def test_every_deed(t: Texts, kind: ActKind, name: str) -> None:
    deed = Deed(id="d", kind=kind, subject="1", amount=Money(500_00))
    what = admin.person(t, who(name))
    key = max((model.key for model in CATALOG.models), key=len)

    for screen in (
        desk.deed_amount(t, deed, what, t.admin_not_roubles("100 000 000 ₽")),
        desk.deed_reason(t, deed, what, note=t.admin_not_a_text),
        desk.deed_reason(t, evolve(deed, amount=None), what, key),
    ):
        check(screen)
        assert screen.expects is not None
    assert t.admin_deed_done(kind, "5 ₽")


# --- Top-ups


@every_language
@every_name
@pytest.mark.parametrize("status", list(TopUpStatus))
@pytest.mark.parametrize("seen", [None, *TopUpStatus])
def test_a_request_in_every_status(
    t: Texts, status: TopUpStatus, seen: TopUpStatus | None, name: str
) -> None:
    files = tuple(Attachment(reference=f"tg:{n}", mime="image/png") for n in range(10))
    one = topup(status=status, receipt=files, amount=Money(450_50), reviewed_at=NOON, why=LONGEST)
    other = None if seen is None else topup(id=TopUpId("6zk1"), status=seen)
    review = Review(
        topup=one,
        person=who(name, blocked_at=NOON),
        topped_up=(Money(5),) * 3,
        seen=other,
        decided_by=name,
    )

    screen = admin.request(t, review, UTC)

    if status is not TopUpStatus.REJECTED:  # a reason is never that long: see REASON_CHARS
        check(screen)
    assert len(screen.media) == 10
    decisions = [b for b in screen.actions if b.action.parts[1:3] == ("topup", "approve")]
    assert len(decisions) == (status is TopUpStatus.MANUAL_REVIEW)
    if seen is not None:
        assert "6ZK1" in screen.text
        assert t.topup_status[seen] in screen.text


@every_language
def test_what_is_pushed_is_the_request_as_it_is(t: Texts) -> None:
    """Told late, it says what was decided meanwhile; to who is no administrator, nothing."""
    event = TopUpToReview(
        user_id=ADMIN,
        topup_id=TopUpId("topup1"),
        amount=Money(500_00),
        person_id=BUYER,
        person_name="Аня",
        receipt=(),
    )
    now = Background(catalog=CATALOG, terms=Terms(), tz=UTC, available=Money(0))
    decided = topup(status=TopUpStatus.APPROVED, reviewed_by=ADMIN, reviewed_at=NOON)
    review = Review(topup=decided, person=who(), decided_by="Борис")

    told = news.screen(t, event, evolve(now, review=review))

    assert told == admin.request(t, review, UTC)
    when = t.notation.at(NOON, UTC)
    assert t.admin_approved(t.money(decided.amount), "Борис", when) in told.text
    assert news.screen(t, event, now) == menu.not_found(t)


# --- For everybody


@every_language
@pytest.mark.parametrize("contact", ["", "@helper", "x" * 200])
def test_who_is_shut_out_reads_one_line(t: Texts, contact: str) -> None:
    screen = menu.blocked(t, contact)

    assert "\n" not in screen.text
    assert contact in screen.text
    assert screen.buttons == ()
    check(menu.paysupport(t, 2**52, contact))
    assert contact in menu.paysupport(t, 1, contact).text


@every_language
def test_a_reason_stands_beside_its_movement_and_toy_money_has_none(t: Texts) -> None:
    given = Movement(entry=entry(EntryKind.GRANT, 500, why="за терпение", by="7"))
    toy = Movement(entry=entry(EntryKind.GRANT, 500, "demo:1", why="demo", by="kiebot"))

    assert "за терпение" in balance.movement_lines(t, [given], UTC)
    assert "demo" not in balance.movement_lines(t, [toy], UTC)


@every_language
def test_without_a_card_the_wallet_says_so(t: Texts) -> None:
    screen = balance.wallet(t, wallet(5), 0, [], None, UTC, is_open=Terms().payment is not None)

    check(screen)
    assert screen.actions[0].label == t.button_topup_closed
