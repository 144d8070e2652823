"""
Billing: the rules where work and money meet.

Each rule returns a `Change`: completely what is now true. Nothing here stores anything.
"""

from collections.abc import Iterable
from datetime import datetime

from attrs import frozen

from kiebot.core import holds, jobs, topups
from kiebot.core.acts import Act, ActKind, actor
from kiebot.core.catalog import Model
from kiebot.core.errors import IllegalTransitionError, PriceChangedError, TooManyJobsError
from kiebot.core.events import (
    Event,
    JobFailed,
    JobRefunded,
    JobSucceeded,
    ReceiptJoined,
    TopUpApproved,
    TopUpRejected,
    TopUpToReview,
)
from kiebot.core.expect import Expect
from kiebot.core.holds import Hold
from kiebot.core.jobs import Job, JobStatus
from kiebot.core.media import Attachment, MediaKind
from kiebot.core.money import Money
from kiebot.core.tasks import Failure, Result, Task
from kiebot.core.topups import TopUp, TopUpId, TopUpStatus
from kiebot.core.users import User, UserId
from kiebot.core.wallet import EntryKind, LedgerEntry, Wallet, post

DEMO_REF = "demo:"
"""How the refs of toy money begin; the person's id follows."""


@frozen
class JobStep:
    """A job as it is now, and the status it was read in (None: it is new)."""

    job: Job
    was: JobStatus | None


@frozen
class TopUpStep:
    """A top-up as it is now, and the status it was read in (None: it is new)."""

    topup: TopUp
    was: TopUpStatus | None


@frozen(kw_only=True)
class Expecting:
    """What a person's next typed answer is for; None where nothing is asked."""

    user_id: UserId
    expect: Expect | None


@frozen(kw_only=True)
class Change:
    """
    Everything that a rule decided; it is stored whole or not at all.

    `tasks` are tasks as they are now, new ones too. `acts` are what an administrator did thereby.
    `update_id` is the received update (in the inbox) that is thereby done.
    """

    jobs: tuple[JobStep, ...] = ()
    topups: tuple[TopUpStep, ...] = ()
    entry: LedgerEntry | None = None
    tasks: tuple[Task, ...] = ()
    events: tuple[Event, ...] = ()
    acts: tuple[Act, ...] = ()
    expecting: Expecting | None = None
    update_id: int | None = None


def confirm(
    job: Job,
    wallet: Wallet,
    at: datetime,
    *,
    price_now: Money | None,
    open_jobs: int,
    jobs_max: int,
) -> Change:
    """
    The person pays: the offer is queued and its price held.

    `price_now` is what its answers cost by today's catalog, None where they cannot be bought.

    Raises:
        IllegalTransitionError: It is no offer.
        PriceChangedError: It is not the price on the confirmation any more.
        TooManyJobsError: The person has `jobs_max` open jobs already.
        InsufficientFundsError: The wallet has less than the price.
    """
    queued = jobs.queue(job, at)
    if queued.price is None:
        raise IllegalTransitionError("job", "offer without a price", JobStatus.QUEUED)
    if price_now != queued.price:
        raise PriceChangedError(queued.price, price_now)
    if open_jobs >= jobs_max:
        raise TooManyJobsError(jobs_max)
    entry = holds.place(job.id, job.user_id, queued.price, at)
    post(wallet, entry)
    return Change(
        jobs=(JobStep(queued, job.status),),
        entry=entry,
        expecting=Expecting(user_id=job.user_id, expect=None),
    )


def succeed(
    job: Job,
    hold: Hold,
    result: Result,
    at: datetime,
    *,
    model: Model | None,
    summary: str,
    follow_at: datetime | None = None,
) -> Change:
    """The result came: the hold is charged. `follow_at` as in `jobs.succeed`."""
    event = JobSucceeded(
        user_id=job.user_id,
        job_id=job.id,
        model_id=job.model_id,
        title=_title(job, model),
        output=_output(result) if model is None else model.output,
        summary=summary,
        price=hold.amount,
        result=result,
    )
    return Change(
        jobs=(JobStep(jobs.succeed(job, result, at, follow_at), job.status),),
        entry=holds.charge(hold, at),
        events=(event,),
    )


def fail(
    job: Job,
    hold: Hold,
    failure: Failure,
    at: datetime,
    *,
    model: Model | None,
    follow_at: datetime | None = None,
) -> Change:
    """No result will come: the hold is released. `follow_at` as in `jobs.fail`."""
    event = JobFailed(
        user_id=job.user_id,
        job_id=job.id,
        model_id=job.model_id,
        title=_title(job, model),
        price=hold.amount,
        reason=failure.reason,
        param=failure.param,
    )
    return Change(
        jobs=(JobStep(jobs.fail(job, failure, at, follow_at), job.status),),
        entry=holds.release(hold, at),
        events=(event,),
    )


def refund(job: Job, hold: Hold, at: datetime, *, by: str, why: str, model: Model | None) -> Change:
    """The operator gives a charged job back."""
    event = JobRefunded(
        user_id=job.user_id, job_id=job.id, title=_title(job, model), price=hold.amount, why=why
    )
    return Change(
        jobs=(JobStep(jobs.refund(job, at), job.status),),
        entry=holds.refund(hold, by, why, at),
        events=(event,),
        acts=(
            Act(
                actor=actor(by),
                kind=ActKind.REFUND,
                subject=job.id,
                user_id=job.user_id,
                amount=hold.amount,
                why=why,
                at=at,
            ),
        ),
    )


def submit_receipt(
    topup: TopUp,
    receipt: Attachment,
    *,
    person: User,
    admins: Iterable[UserId],
    seen_in: TopUpId | None,
) -> Change:
    """
    The receipt came: every administrator is told, and somebody decides. Of a later file they are
    shown that file; of one that is there already nothing.
    """
    reviewed = topups.add_receipt(topup, receipt)
    events: tuple[Event, ...] = ()
    if topup.status is TopUpStatus.PENDING:
        events = tuple(
            TopUpToReview(
                user_id=admin,
                topup_id=topup.id,
                amount=topup.amount,
                person_id=person.id,
                person_name=person.name,
                receipt=reviewed.receipt,
                seen_in=seen_in,
            )
            for admin in admins
        )
    elif reviewed != topup:
        events = tuple(
            ReceiptJoined(
                user_id=admin,
                topup_id=topup.id,
                file=receipt,
                number=len(reviewed.receipt),
                seen_in=seen_in,
            )
            for admin in admins
        )
    return Change(
        topups=(TopUpStep(reviewed, topup.status),),
        events=events,
        expecting=Expecting(user_id=topup.user_id, expect=None),
    )


def approve(topup: TopUp, by: UserId, at: datetime) -> Change:
    """The money came: it is credited."""
    approved = topups.approve(topup, by, at)
    event = TopUpApproved(
        user_id=topup.user_id,
        topup_id=topup.id,
        amount=approved.amount,
        requested=approved.requested,
    )
    return Change(
        topups=(TopUpStep(approved, topup.status),),
        entry=topups.credit(approved, str(by), at),
        events=(event,),
        acts=(_decided(ActKind.APPROVE, approved, by, at),),
    )


def correct_topup(topup: TopUp, amount: Money, by: UserId, at: datetime) -> Change:
    """Another amount came than the person named: that one is to be approved."""
    corrected = topups.correct(topup, amount)
    return Change(
        topups=(TopUpStep(corrected, topup.status),),
        acts=(_decided(ActKind.CORRECT, corrected, by, at),),
    )


def reject(topup: TopUp, by: UserId, why: str, at: datetime) -> Change:
    """The money did not come: nothing moves, and the person is told."""
    event = TopUpRejected(user_id=topup.user_id, topup_id=topup.id, amount=topup.requested, why=why)
    return Change(
        topups=(TopUpStep(topups.reject(topup, by, why, at), topup.status),),
        events=(event,),
        acts=(_decided(ActKind.REJECT, topup, by, at, why),),
    )


def correct(
    user_id: UserId, kind: EntryKind, amount: Money, at: datetime, *, ref: str, by: str, why: str
) -> Change:
    """The operator gives (`grant`) or takes back (`debit`)."""
    return Change(
        entry=LedgerEntry(
            ref=ref, user_id=user_id, kind=kind, amount=amount, by=by, why=why, at=at
        ),
        acts=(
            Act(
                actor=actor(by),
                kind=ActKind(kind),
                subject=str(user_id),
                user_id=user_id,
                amount=amount,
                why=why,
                at=at,
            ),
        ),
    )


def demo_grant(user_id: UserId, amount: Money, at: datetime) -> Change:
    """The toy money of a demo database, once per person: nobody's act."""
    return Change(
        entry=LedgerEntry(
            ref=f"{DEMO_REF}{user_id}",
            user_id=user_id,
            kind=EntryKind.GRANT,
            amount=amount,
            by="kiebot",
            why="demo",
            at=at,
        )
    )


def _decided(kind: ActKind, topup: TopUp, by: UserId, at: datetime, why: str = "") -> Act:
    return Act(
        actor=actor(by),
        kind=kind,
        subject=topup.id,
        user_id=topup.user_id,
        amount=topup.amount,
        why=why,
        at=at,
    )


def _title(job: Job, model: Model | None) -> str:
    # A model may have left the catalog since.
    return job.model_id if model is None else model.title


def _output(result: Result) -> MediaKind:
    return MediaKind.DOCUMENT if result.urls else MediaKind.TEXT
