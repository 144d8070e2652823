"""The three state machines: every pair of statuses is tried, straight from the tables."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from attrs import evolve

from kiebot.core import holds, jobs, topups
from kiebot.core.errors import IllegalTransitionError
from kiebot.core.holds import HoldStatus
from kiebot.core.jobs import Job, JobStatus
from kiebot.core.media import Attachment
from kiebot.core.money import Money
from kiebot.core.tasks import TaskId
from kiebot.core.topups import TopUp, TopUpStatus
from kiebot.core.users import UserId
from kiebot.core.wallet import EntryKind, JobId
from tests.fakes.values import BUYER, FAILURE, NOON, RESULT, entry, job, topup

LATER = NOON + timedelta(seconds=7)
OFFER = job(offered_at=NOON)
REVIEWER = UserId(700)

JOB_STEPS: dict[JobStatus, Callable[[Job], Job]] = {
    JobStatus.QUEUED: lambda now: jobs.queue(now, LATER),
    JobStatus.RUNNING: lambda now: jobs.start(now, TaskId("task-9"), LATER, LATER),
    JobStatus.SUCCEEDED: lambda now: jobs.succeed(now, RESULT, LATER),
    JobStatus.FAILED: lambda now: jobs.fail(now, FAILURE, LATER),
    JobStatus.REFUNDED: lambda now: jobs.refund(now, LATER),
    JobStatus.CANCELLED: lambda now: jobs.cancel(now, LATER),
}
TOPUP_STEPS: dict[TopUpStatus, Callable[[TopUp], TopUp]] = {
    TopUpStatus.MANUAL_REVIEW: lambda now: topups.add_receipt(now, Attachment(reference="tg:1")),
    TopUpStatus.APPROVED: lambda now: topups.approve(now, REVIEWER, LATER),
    TopUpStatus.REJECTED: lambda now: topups.reject(now, REVIEWER, "", LATER),
    TopUpStatus.CANCELLED: topups.cancel,
}


def test_every_step_of_a_job_is_tried() -> None:
    assert set(JOB_STEPS) | {JobStatus.DRAFT} == set(JobStatus)
    assert set(TOPUP_STEPS) | {TopUpStatus.PENDING} == set(TopUpStatus)


@pytest.mark.parametrize("now", JobStatus)
@pytest.mark.parametrize("to", JOB_STEPS)
def test_a_job_moves_only_as_its_table_says(now: JobStatus, to: JobStatus) -> None:
    before = OFFER if now is JobStatus.DRAFT else job(now)

    if to in jobs.TRANSITIONS[now]:
        after = JOB_STEPS[to](before)
        assert after.status is to
        assert after.updated_at == LATER
    else:
        with pytest.raises(IllegalTransitionError):
            JOB_STEPS[to](before)


@pytest.mark.parametrize("now", TopUpStatus)
@pytest.mark.parametrize("to", TOPUP_STEPS)
def test_a_topup_moves_only_as_its_table_says(now: TopUpStatus, to: TopUpStatus) -> None:
    before = topup(status=now)
    stays = now is to is TopUpStatus.MANUAL_REVIEW  # one more file of the receipt

    if to in topups.TRANSITIONS[now] or stays:
        assert TOPUP_STEPS[to](before).status is to
    else:
        with pytest.raises(IllegalTransitionError):
            TOPUP_STEPS[to](before)


@pytest.mark.parametrize("now", HoldStatus)
@pytest.mark.parametrize("to", [HoldStatus.CHARGED, HoldStatus.RELEASED])
def test_a_hold_is_settled_once(now: HoldStatus, to: HoldStatus) -> None:
    hold = holds.Hold(job_id=JobId("job1"), user_id=BUYER, amount=Money(3000), status=now)
    settle = holds.charge if to is HoldStatus.CHARGED else holds.release

    if now is HoldStatus.HELD:
        settled = settle(hold, LATER)
        assert (settled.ref, settled.amount) == ("settle:job1", Money(3000))
    else:
        with pytest.raises(IllegalTransitionError):
            settle(hold, LATER)


def test_a_hold_is_what_the_entries_of_its_job_say() -> None:
    held, charged = entry(EntryKind.HOLD, 3000), entry(EntryKind.CHARGE, 3000)
    released = entry(EntryKind.RELEASE, 3000)

    assert holds.of([]) is None
    assert [hold and hold.status for hold in map(holds.of, ([held], [held, charged]))] == [
        HoldStatus.HELD,
        HoldStatus.CHARGED,
    ]
    assert holds.of([held, released]) == holds.Hold(
        job_id=JobId("job1"), user_id=BUYER, amount=Money(3000), status=HoldStatus.RELEASED
    )
    with pytest.raises(IllegalTransitionError):
        holds.of([held, charged, released])


def test_only_a_charge_is_refunded() -> None:
    held = holds.Hold(job_id=JobId("job1"), user_id=BUYER, amount=Money(3000))

    with pytest.raises(IllegalTransitionError):
        holds.refund(held, "cli:ann", "blurred", LATER)


def test_an_offer_takes_no_answers() -> None:
    """What was shown on a confirmation is what is paid for."""
    with pytest.raises(IllegalTransitionError):
        jobs.answer(OFFER, {}, price=Money(1), kie_price=None, at=LATER)


def test_a_draft_without_a_price_is_never_an_offer() -> None:
    with pytest.raises(IllegalTransitionError):
        jobs.offer(job(price=None), LATER)


def test_a_draft_that_was_never_shown_cannot_be_queued() -> None:
    with pytest.raises(IllegalTransitionError):
        jobs.queue(job(), LATER)


def test_a_receipt_can_grow_until_somebody_decides() -> None:
    one, two = Attachment(reference="tg:1"), Attachment(reference="tg:2")

    reviewed = topups.add_receipt(topups.add_receipt(topup(), one), two)

    assert topups.add_receipt(reviewed, two).receipt == (one, two)
    with pytest.raises(IllegalTransitionError):
        topups.add_receipt(topups.approve(reviewed, REVIEWER, LATER), one)


def test_a_correction_is_credited() -> None:
    reviewed = topups.add_receipt(topup(), Attachment(reference="tg:1"))

    corrected = topups.correct(reviewed, Money(30000))

    assert corrected.is_corrected
    assert topups.credit(topups.approve(corrected, REVIEWER, LATER), "700", LATER).amount == Money(
        30000
    )
    with pytest.raises(IllegalTransitionError):
        topups.correct(topup(), Money(1))
    with pytest.raises(IllegalTransitionError):
        topups.credit(corrected, "700", LATER)


@pytest.mark.parametrize("status", JobStatus)
def test_only_what_was_paid_and_has_ended_is_followed(status: JobStatus) -> None:
    """Following asks what tasks cost: it moves nothing, and is no news of the job."""
    before = OFFER if status is JobStatus.DRAFT else job(status)

    if before.confirmed_at is not None and not before.is_open:
        assert jobs.follow(before, LATER) == evolve(before, next_check_at=LATER)
        assert jobs.follow(jobs.follow(before, LATER), None) == evolve(before, next_check_at=None)
    else:
        with pytest.raises(IllegalTransitionError):
            jobs.follow(before, LATER)


def test_a_job_ends_with_the_next_look_at_what_still_runs() -> None:
    running = job(JobStatus.RUNNING, next_check_at=NOON)

    assert jobs.succeed(running, RESULT, LATER).next_check_at is None
    assert jobs.fail(running, FAILURE, LATER).next_check_at is None
    assert jobs.succeed(running, RESULT, LATER, LATER).next_check_at == LATER
    assert jobs.fail(running, FAILURE, LATER, LATER).next_check_at == LATER
    refunded = jobs.refund(jobs.succeed(running, RESULT, LATER, LATER), LATER)
    assert refunded.next_check_at == LATER
