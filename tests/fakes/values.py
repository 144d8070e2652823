"""Values for tests: built with only the telling field given."""

from datetime import UTC, datetime
from typing import Any

from kiebot.core.jobs import Job, JobStatus
from kiebot.core.money import Money
from kiebot.core.tasks import FailReason, Failure, Result, TaskId
from kiebot.core.topups import TopUp, TopUpId
from kiebot.core.users import UserId
from kiebot.core.wallet import EntryKind, JobId, LedgerEntry, Wallet

BUYER = UserId(-1)
OTHER = UserId(-2)
ADMIN = UserId(700)
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
RESULT = Result(urls=("https://stub.kie.invalid/x/1.png",))
FAILURE = Failure(reason=FailReason.MODEL_FAILED)

_FIELDS: dict[JobStatus, dict[str, Any]] = {
    JobStatus.DRAFT: {},
    JobStatus.CANCELLED: {},
    JobStatus.QUEUED: {"offered_at": NOON, "confirmed_at": NOON, "next_check_at": NOON},
    JobStatus.RUNNING: {
        "offered_at": NOON,
        "confirmed_at": NOON,
        "next_check_at": NOON,
        "submissions": 1,
        "kie_task_id": TaskId("task-1"),
    },
    JobStatus.SUCCEEDED: {"offered_at": NOON, "confirmed_at": NOON, "result": RESULT},
    JobStatus.FAILED: {"offered_at": NOON, "confirmed_at": NOON, "failure": FAILURE},
    JobStatus.REFUNDED: {"offered_at": NOON, "confirmed_at": NOON, "result": RESULT},
}


def job(status: JobStatus = JobStatus.DRAFT, **fields: Any) -> Job:
    """A job in a status, with what a job of that status has."""
    standard: dict[str, Any] = {
        "id": JobId("job1"),
        "user_id": BUYER,
        "model_id": "flux-2/pro-text-to-image",
        "params": {"prompt": "кот"},
        "price": Money(3000),
        "kie_price": Money(1500),
        "created_at": NOON,
        "updated_at": NOON,
    }
    return Job(status=status, **{**standard, **_FIELDS[status], **fields})


def topup(**fields: Any) -> TopUp:
    """A top-up of 500 roubles."""
    standard: dict[str, Any] = {
        "id": TopUpId("topup1"),
        "user_id": BUYER,
        "amount": Money(50000),
        "requested": Money(50000),
        "created_at": NOON,
    }
    return TopUp(**{**standard, **fields})


def entry(kind: EntryKind, kopecks: int, ref: str = "", **fields: Any) -> LedgerEntry:
    """A ledger entry; its kind's obligations are met."""
    standard: dict[str, Any] = {"user_id": BUYER, "at": NOON}
    if kind in {EntryKind.GRANT, EntryKind.DEBIT}:
        standard |= {"by": "tests", "why": "a test"}
    if kind in {EntryKind.HOLD, EntryKind.CHARGE, EntryKind.RELEASE, EntryKind.REFUND}:
        standard["job_id"] = JobId("job1")
    return LedgerEntry(
        ref=ref or f"{kind}:1", kind=kind, amount=Money(kopecks), **{**standard, **fields}
    )


def wallet(available: int = 0, held: int = 0, user_id: UserId = BUYER) -> Wallet:
    """A wallet, in kopecks."""
    return Wallet(user_id=user_id, available=Money(available), held=Money(held))
