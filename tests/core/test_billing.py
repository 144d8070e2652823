"""Where work and money meet: what each rule changes, as a whole."""

from datetime import timedelta

import pytest
from attrs import evolve

from kiebot.core import billing, holds
from kiebot.core.billing import Change, JobStep
from kiebot.core.errors import (
    IllegalTransitionError,
    InsufficientFundsError,
    PriceChangedError,
    TooManyJobsError,
)
from kiebot.core.events import (
    Event,
    JobFailed,
    JobRefunded,
    ReceiptJoined,
    TopUpApproved,
    TopUpRejected,
    TopUpToReview,
)
from kiebot.core.jobs import Job, JobStatus
from kiebot.core.language import Language
from kiebot.core.media import Attachment
from kiebot.core.money import Money
from kiebot.core.topups import TopUpId, TopUpStatus
from kiebot.core.users import User
from kiebot.core.wallet import EntryKind, Wallet
from tests.fakes.values import ADMIN, BUYER, FAILURE, NOON, RESULT, entry, job, topup, wallet

LATER = NOON + timedelta(minutes=1)
OFFER = job(offered_at=NOON)
HOLD = holds.Hold(job_id=OFFER.id, user_id=BUYER, amount=Money(3000))


def confirm(
    offer: Job = OFFER,
    purse: Wallet = wallet(3000),  # noqa: B008 - a frozen value
    price_now: Money | None = Money(3000),  # noqa: B008 - a frozen value
    open_jobs: int = 0,
) -> Change:
    return billing.confirm(
        offer, purse, LATER, price_now=price_now, open_jobs=open_jobs, jobs_max=2
    )


def test_a_confirmation_queues_and_holds_exactly_the_price() -> None:
    change = confirm()

    (step,) = change.jobs
    assert (step.was, step.job.status, step.job.confirmed_at) == (
        JobStatus.DRAFT,
        JobStatus.QUEUED,
        LATER,
    )
    assert change.entry == entry(
        EntryKind.HOLD, 3000, ref=f"hold:{OFFER.id}", job_id=OFFER.id, at=LATER
    )


def test_one_kopeck_too_little_is_too_little() -> None:
    with pytest.raises(InsufficientFundsError) as caught:
        confirm(purse=wallet(2999))

    assert (caught.value.needed, caught.value.available) == (Money(3000), Money(2999))


@pytest.mark.parametrize("price_now", [Money(2999), Money(3001), None])
def test_another_price_than_the_one_shown_is_never_paid(price_now: Money | None) -> None:
    with pytest.raises(PriceChangedError):
        confirm(price_now=price_now)


def test_open_jobs_are_limited() -> None:
    assert confirm(open_jobs=1).entry is not None
    with pytest.raises(TooManyJobsError):
        confirm(open_jobs=2)


@pytest.mark.parametrize("status", [s for s in JobStatus if s is not JobStatus.DRAFT])
def test_only_an_offer_is_confirmed(status: JobStatus) -> None:
    with pytest.raises(IllegalTransitionError):
        confirm(offer=job(status))


def test_a_result_charges_and_a_failure_releases_the_hold() -> None:
    running = job(JobStatus.RUNNING)

    succeeded = billing.succeed(running, HOLD, RESULT, LATER, model=None, summary="кот")
    failed = billing.fail(running, HOLD, FAILURE, LATER, model=None)

    assert succeeded.entry is not None
    assert failed.entry is not None
    assert (succeeded.entry.kind, failed.entry.kind) == (EntryKind.CHARGE, EntryKind.RELEASE)
    assert succeeded.entry.ref == failed.entry.ref
    assert succeeded.jobs[0].job.result == RESULT
    assert isinstance(failed.events[0], JobFailed)
    assert failed.events[0].price == Money(3000)


def test_a_refund_gives_the_charge_back_and_says_why() -> None:
    charged = evolve(HOLD, status=holds.HoldStatus.CHARGED)

    change = billing.refund(
        job(JobStatus.SUCCEEDED), charged, LATER, by="cli:ann", why="blurred", model=None
    )

    assert change.jobs == (
        JobStep(evolve(job(JobStatus.REFUNDED), updated_at=LATER), JobStatus.SUCCEEDED),
    )
    assert change.entry is not None
    assert (change.entry.kind, change.entry.by) == (EntryKind.REFUND, "cli:ann")
    assert isinstance(change.events[0], JobRefunded)


def test_every_administrator_is_told_of_a_receipt() -> None:
    person = User(id=BUYER, name="Аня", language=Language.RU, created_at=NOON)

    change = billing.submit_receipt(
        topup(),
        Attachment(reference="tg:1"),
        person=person,
        admins=[ADMIN],
        seen_in=TopUpId("other"),
    )

    assert change.entry is None
    assert [type(event) for event in change.events] == [TopUpToReview]
    assert change.topups[0].topup.status is TopUpStatus.MANUAL_REVIEW


def test_a_later_file_of_a_receipt_is_told_by_itself_and_the_same_file_not_at_all() -> None:
    person = User(id=BUYER, name="Аня", language=Language.RU, created_at=NOON)
    first, second = Attachment(reference="tg:1"), Attachment(reference="tg:2")
    waiting = topup(status=TopUpStatus.MANUAL_REVIEW, receipt=(first,))

    def told(file: Attachment) -> tuple[Event, ...]:
        return billing.submit_receipt(
            waiting, file, person=person, admins=[ADMIN], seen_in=None
        ).events

    assert told(second) == (
        ReceiptJoined(user_id=ADMIN, topup_id=waiting.id, file=second, number=2),
    )
    assert told(first) == ()


def test_an_approval_credits_and_a_rejection_does_not() -> None:
    reviewed = topup(status=TopUpStatus.MANUAL_REVIEW, amount=Money(30000))

    approved = billing.approve(reviewed, ADMIN, LATER)
    rejected = billing.reject(reviewed, ADMIN, "чек не читается", LATER)

    assert approved.entry is not None
    assert (approved.entry.kind, approved.entry.amount) == (EntryKind.TOPUP, Money(30000))
    assert isinstance(approved.events[0], TopUpApproved)
    assert rejected.entry is None
    assert isinstance(rejected.events[0], TopUpRejected)
