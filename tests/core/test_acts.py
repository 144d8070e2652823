"""What administrators do: acts, receipts seen before, models off sale, and whose a question is."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from attrs import evolve

from kiebot.adapters.catalog import load_catalog
from kiebot.core import billing, stock, topups
from kiebot.core.acts import CONSOLE, SAYS_WHY, SUBJECTS, Act, ActKind, Deed, SubjectKind, actor
from kiebot.core.errors import NotFoundError, NotOnSaleError
from kiebot.core.expect import Amount, Answer, AnswerForm, Expect, Reason, Receipt, Whom, own
from kiebot.core.holds import Hold, HoldStatus
from kiebot.core.jobs import JobStatus
from kiebot.core.money import Money
from kiebot.core.terms import OPERATOR
from kiebot.core.topups import TopUp, TopUpId, TopUpStatus
from kiebot.core.users import UserId
from kiebot.core.wallet import EntryKind, JobId
from tests.fakes.values import ADMIN, BUYER, NOON, job, topup

CATALOG = load_catalog()
MODEL = "flux-2/pro-text-to-image"
REVIEWED = topup(status=TopUpStatus.MANUAL_REVIEW)


def test_every_act_has_a_subject() -> None:
    assert set(SUBJECTS) == set(ActKind)
    assert Act(actor="7", kind=ActKind.REFUND, subject="j", why="w", at=NOON).subject_kind is (
        SubjectKind.JOB
    )


@pytest.mark.parametrize("kind", sorted(SAYS_WHY))
def test_an_act_that_is_somebodys_wish_says_why(kind: ActKind) -> None:
    with pytest.raises(ValueError, match="says why"):
        Act(actor="7", kind=kind, subject="1", at=NOON)


@pytest.mark.parametrize(("who", "subject"), [("", "1"), ("7", "")])
def test_an_act_names_who_and_to_what(who: str, subject: str) -> None:
    with pytest.raises(ValueError, match="names who"):
        Act(actor=who, subject=subject, kind=ActKind.APPROVE, at=NOON)


@pytest.mark.parametrize(
    ("by", "named"),
    [
        (ADMIN, "700"),
        (OPERATOR, CONSOLE),
        ("cli:root", CONSOLE),
        ("cli", CONSOLE),
        ("shop", "shop"),
    ],
)
def test_who_acts_is_named_the_same_everywhere(by: UserId | str, named: str) -> None:
    assert actor(by) == named


def test_every_rule_of_an_administrator_makes_its_act() -> None:
    hold = Hold(job_id=JobId("job1"), user_id=BUYER, amount=Money(3000))
    charged = evolve(hold, status=HoldStatus.CHARGED)
    changes = [
        billing.approve(REVIEWED, ADMIN, NOON),
        billing.correct_topup(REVIEWED, Money(400_00), ADMIN, NOON),
        billing.reject(REVIEWED, ADMIN, "денег нет", NOON),
        billing.correct(BUYER, EntryKind.GRANT, Money(5), NOON, ref="g", by="700", why="за дело"),
        billing.correct(BUYER, EntryKind.DEBIT, Money(5), NOON, ref="d", by="700", why="ошибка"),
        billing.refund(job(JobStatus.SUCCEEDED), charged, NOON, by="700", why="плохо", model=None),
    ]

    made = [act for change in changes for act in change.acts]

    assert [(a.kind, a.subject, a.amount, a.why) for a in made] == [
        (ActKind.APPROVE, "topup1", Money(500_00), ""),
        (ActKind.CORRECT, "topup1", Money(400_00), ""),
        (ActKind.REJECT, "topup1", Money(500_00), "денег нет"),
        (ActKind.GRANT, str(BUYER), Money(5), "за дело"),
        (ActKind.DEBIT, str(BUYER), Money(5), "ошибка"),
        (ActKind.REFUND, "job1", Money(3000), "плохо"),
    ]
    assert {(a.actor, a.user_id, a.at) for a in made} == {("700", BUYER, NOON)}


def test_toy_money_is_nobodys_act() -> None:
    assert billing.demo_grant(BUYER, Money(1000_00), NOON).acts == ()


# --- Receipts seen before


def other(name: str, minutes: int, status: TopUpStatus = TopUpStatus.REJECTED) -> TopUp:
    return topup(id=TopUpId(name), created_at=at(minutes), status=status)


def at(minutes: int) -> datetime:
    return NOON + timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("others", "warned_of"),
    [
        ([], None),
        ([other("later", 1)], None),
        ([other("first", -2), other("last", -1), other("later", 1)], "last"),
        ([other("credited", -9, TopUpStatus.APPROVED), other("last", -1)], "credited"),
        ([other("credited", 9, TopUpStatus.APPROVED), other("last", -1)], "credited"),
        ([other("a", 0), other("z", 0)], "a"),
    ],
)
def test_a_receipt_that_was_shown_before_is_warned_of(
    others: list[TopUp], warned_of: str | None
) -> None:
    """Whoever showed it first is not accused of what others made of it later."""
    seen = topups.seen_before(evolve(REVIEWED, id=TopUpId("m")), others)

    assert (None if seen is None else seen.id) == warned_of


# --- Models off sale


def test_a_catalog_without_a_model_says_why() -> None:
    less = CATALOG.without({MODEL: "дорого", "no/such-model": "-"})

    assert CATALOG.sold(MODEL).on_sale
    with pytest.raises(NotOnSaleError) as caught:
        less.sold(MODEL)
    assert caught.value.why == "дорого"
    assert [m.id for m in less.models] == [m.id for m in CATALOG.models]
    assert len(less.on_sale) == len(CATALOG.on_sale) - 1
    with pytest.raises(NotFoundError):
        less.sold("no/such-model")


def test_what_the_catalog_says_of_a_model_off_sale_stays() -> None:
    unsold = next(model for model in CATALOG.models if not model.on_sale)

    assert CATALOG.without({unsold.id: "again"}).model(unsold.id).off == unsold.off
    assert CATALOG.without({}) is CATALOG


def test_a_catalog_with_nothing_on_sale_still_stands() -> None:
    nothing = CATALOG.without({model.id: "ремонт" for model in CATALOG.models})

    assert nothing.on_sale == ()
    assert stock.enough(nothing) > Decimal(0)


# --- Whose a question is


QUESTION = Answer(job_id=JobId("j"), param="prompt", form=AnswerForm.TEXT)
TOPUP = TopUpId("t")
DEED = Deed(id="d", kind=ActKind.BLOCK, subject="1")


@pytest.mark.parametrize(
    ("expect", "mine"),
    [
        (None, None),
        (QUESTION, QUESTION),
        (Amount(), Amount()),
        (Receipt(topup_id=TOPUP), Receipt(topup_id=TOPUP)),
        (Whom(), None),
        (Amount(deed=DEED), None),
        (Reason(deed=DEED), None),
        (Reason(topup_id=TOPUP), None),
        (Reason(topup_id=TOPUP, after=QUESTION), QUESTION),
        (Amount(topup_id=TOPUP, after=Amount()), Amount()),
    ],
)
def test_a_review_lays_its_question_over_the_administrators_own(
    expect: Expect | None, mine: Expect | None
) -> None:
    assert own(expect) == mine
