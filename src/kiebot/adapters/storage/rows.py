"""
Rows: core values as databases keep them, and back.

The one place that knows both the names of the columns and the names in core. A moment comes back
as a `datetime` from PostgreSQL and as text of fixed width from SQLite, so that there the order of
the text is the order of time; JSON is text for both.
"""

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Protocol, TypeVar

from cattrs import Converter
from cattrs.strategies import configure_tagged_union

from kiebot.core.audit import JobFact, StrayFact, TopUpFact, WalletFact
from kiebot.core.events import Alert, Event, Untold
from kiebot.core.expect import Amount, Answer, AnswerForm, Expect, Reason, Receipt
from kiebot.core.jobs import Job, JobStatus
from kiebot.core.language import Language
from kiebot.core.margins import Billed, ModelSums
from kiebot.core.media import Attachment
from kiebot.core.money import LARGEST_KOPECKS, Money
from kiebot.core.tasks import FailReason, Failure, Outcome, Result, Task, TaskId
from kiebot.core.topups import TopUp, TopUpId, TopUpStatus
from kiebot.core.users import User, UserId
from kiebot.core.wallet import EntryKind, JobId, LedgerEntry, Wallet

T = TypeVar("T")
Moment = str | datetime
"""A moment as a database hands it out."""


class Row(Protocol):
    """A row, by column names."""

    def __getitem__(self, column: str, /) -> Any: ...


MICRO = 1_000_000

USER = "id, name, language, created_at"
WALLET = "user_id, balance_kop, hold_kop"
ENTRY = "id, user_id, kind, amount_kop, ref, job_id, actor, why, created_at"
JOB = (
    "id, user_id, model_id, params, status, price_kop, kie_price_kop, offered_at, confirmed_at,"
    " submissions, kie_task_id, next_check_at, result, error, error_detail, replaced_by,"
    " created_at, updated_at, measures"
)
TASK = "id, job_id, outcome, microcredits, created_at, updated_at"
TOPUP = (
    "id, user_id, amount_kop, requested_kop, status, receipt, created_at, reviewed_by,"
    " reviewed_at, why"
)


def user(row: Row) -> User:
    """A row of `USER`."""
    return User(
        id=UserId(row["id"]),
        name=row["name"],
        language=Language(row["language"]),
        created_at=moment(row["created_at"]),
    )


def user_row(value: User) -> tuple[object, ...]:
    """The values of `USER`."""
    return (value.id, text(value.name), str(value.language), value.created_at)


def wallet(row: Row) -> Wallet:
    """A row of `WALLET`."""
    return Wallet(
        user_id=UserId(row["user_id"]),
        available=Money(row["balance_kop"]),
        held=Money(row["hold_kop"]),
    )


def entry(row: Row) -> LedgerEntry:
    """A row of `ENTRY`."""
    return LedgerEntry(
        id=row["id"],
        user_id=UserId(row["user_id"]),
        kind=EntryKind(row["kind"]),
        amount=Money(row["amount_kop"]),
        ref=row["ref"],
        job_id=row["job_id"],
        by=row["actor"],
        why=row["why"],
        at=moment(row["created_at"]),
    )


def entry_row(value: LedgerEntry) -> tuple[object, ...]:
    """The values of `ENTRY` but the id, which is the database's."""
    return (
        value.user_id,
        str(value.kind),
        value.amount.kopecks,
        value.ref,
        value.job_id,
        text(value.by),
        text(value.why),
        value.at,
    )


def job(row: Row) -> Job:
    """A row of `JOB`."""
    return Job(
        id=JobId(row["id"]),
        user_id=UserId(row["user_id"]),
        model_id=row["model_id"],
        params=json.loads(row["params"]),
        status=JobStatus(row["status"]),
        price=_money(row["price_kop"]),
        kie_price=_money(row["kie_price_kop"]),
        offered_at=_maybe_moment(row["offered_at"]),
        confirmed_at=_maybe_moment(row["confirmed_at"]),
        submissions=row["submissions"],
        kie_task_id=None if row["kie_task_id"] is None else TaskId(row["kie_task_id"]),
        next_check_at=_maybe_moment(row["next_check_at"]),
        result=None if row["result"] is None else load(row["result"], Result),
        failure=_failure(row["error"], row["error_detail"]),
        replaced_by=row["replaced_by"],
        created_at=moment(row["created_at"]),
        updated_at=moment(row["updated_at"]),
        measures=_measures(row["measures"]),
    )


def job_row(value: Job) -> tuple[object, ...]:
    """The values of `JOB`."""
    failure = value.failure
    return (
        value.id,
        value.user_id,
        value.model_id,
        dump(value.params),
        str(value.status),
        _kopecks(value.price),
        _kopecks(value.kie_price),
        value.offered_at,
        value.confirmed_at,
        value.submissions,
        text(value.kie_task_id),
        value.next_check_at,
        None if value.result is None else dump(value.result),
        None if failure is None else _error(failure),
        None if failure is None else text(failure.detail),
        value.replaced_by,
        value.created_at,
        value.updated_at,
        dump({name: format(seconds, "f") for name, seconds in value.measures.items()}),
    )


def task(row: Row) -> Task:
    """A row of `TASK`."""
    return Task(
        id=TaskId(row["id"]),
        job_id=JobId(row["job_id"]),
        outcome=None if row["outcome"] is None else Outcome(row["outcome"]),
        credits=kie_credits(row["microcredits"]),
        created_at=moment(row["created_at"]),
        updated_at=moment(row["updated_at"]),
    )


def task_row(value: Task) -> tuple[object, ...]:
    """The values of `TASK`."""
    return (
        text(value.id),
        value.job_id,
        None if value.outcome is None else str(value.outcome),
        None if value.credits is None else _microcredits(value.credits),
        value.created_at,
        value.updated_at,
    )


def kie_credits(micro: int | None) -> Decimal | None:
    """KIE's credits of their millionths, which databases add up exactly."""
    return None if micro is None else (Decimal(micro) / MICRO).normalize() + 0


def model_sums(row: Row) -> ModelSums:
    """A row of sums, named as the fields are. PostgreSQL adds up 64-bit integers to a numeric."""
    return ModelSums(
        model_id=row["model_id"],
        jobs=row["jobs"],
        failed=row["failed"],
        refunded=row["refunded"],
        income=Money(int(row["income_kop"])),
        credits=kie_credits(int(row["microcredits"])) or Decimal(0),
        untold=int(row["untold"]),
    )


def billed(row: Row) -> Billed:
    """A row of `id, model_id, params, measures, price_kop, microcredits`."""
    return Billed(
        job_id=JobId(row["id"]),
        model_id=row["model_id"],
        params=json.loads(row["params"]),
        measures=_measures(row["measures"]),
        price=Money(row["price_kop"]),
        credits=kie_credits(row["microcredits"]) or Decimal(0),
    )


def topup(row: Row) -> TopUp:
    """A row of `TOPUP`."""
    return TopUp(
        id=TopUpId(row["id"]),
        user_id=UserId(row["user_id"]),
        amount=Money(row["amount_kop"]),
        requested=Money(row["requested_kop"]),
        status=TopUpStatus(row["status"]),
        receipt=load(row["receipt"], tuple[Attachment, ...]),
        created_at=moment(row["created_at"]),
        reviewed_by=None if row["reviewed_by"] is None else UserId(row["reviewed_by"]),
        reviewed_at=_maybe_moment(row["reviewed_at"]),
        why=row["why"],
    )


def topup_row(value: TopUp) -> tuple[object, ...]:
    """The values of `TOPUP`."""
    return (
        value.id,
        value.user_id,
        value.amount.kopecks,
        value.requested.kopecks,
        str(value.status),
        dump(value.receipt),
        value.created_at,
        value.reviewed_by,
        value.reviewed_at,
        text(value.why),
    )


def untold(row: Row) -> Untold:
    """A row of `id, event` in the outbox."""
    return Untold(id=row["id"], event=load_event(row["event"]))


def event_row(value: Event) -> tuple[object, ...]:
    """An event's `user_id, kind, event, cause`."""
    tagged = _converter.unstructure(value, Event)
    return (value.user_id, tagged["kind"], dump(tagged), cause(value))


def load_event(stored: str) -> Event:
    """The event of its JSON."""
    return _converter.structure(json.loads(stored), Event)  # type: ignore[arg-type]


def cause(event: Event) -> str | None:
    """What an alert is about, so that the same is not told too often."""
    return event.cause if isinstance(event, Alert) else None


def expect(stored: str) -> Expect | None:
    """The expectation of the JSON in `ui_state.state`."""
    state = json.loads(stored)
    match state:
        case {"expects": "amount"}:
            return Amount(topup_id=state["topup"])
        case {"expects": "receipt"}:
            return Receipt(topup_id=state["topup"])
        case {"expects": "reason"}:
            return Reason(topup_id=state["topup"])
        case {"for": None}:
            return None
        case _:
            form = AnswerForm.CHOICE if state["expects"] is None else AnswerForm(state["expects"])
            return Answer(job_id=state["job"], param=state["for"], form=form)


def dump_expect(value: Expect | None) -> str:
    """
    The public JSON of `ui_state.state`: `expects`, `for`, `job`, `topup`.

    A question that is answered by a button expects nothing typed, and still is for a parameter.
    """
    state: dict[str, str | None] = {"expects": None, "for": None, "job": None, "topup": None}
    match value:
        case Answer(job_id=job_id, param=param, form=form):
            typed = None if form is AnswerForm.CHOICE else str(form)
            state |= {"expects": typed, "for": param, "job": job_id}
        case Amount(topup_id=topup_id):
            state |= {"expects": "amount", "topup": topup_id}
        case Receipt(topup_id=topup_id):
            state |= {"expects": "receipt", "topup": topup_id}
        case Reason(topup_id=topup_id):
            state |= {"expects": "reason", "topup": topup_id}
        case None:
            pass
    return dump(state)


def wallet_fact(row: Row) -> WalletFact:
    """A row that is named as the fact's fields are; so are the next ones."""
    return WalletFact(
        user_id=row["user_id"],
        balance_kop=row["balance_kop"],
        hold_kop=row["hold_kop"],
        ledger_balance_kop=row["ledger_balance_kop"],
        ledger_hold_kop=row["ledger_hold_kop"],
        open_jobs_kop=row["open_jobs_kop"],
        entries=row["entries"],
    )


def job_fact(row: Row) -> JobFact:
    """See `wallet_fact`."""
    return JobFact(
        job_id=row["job_id"],
        status=row["status"],
        holds=row["holds"],
        charges=row["charges"],
        releases=row["releases"],
        refunds=row["refunds"],
        foreign=row["others"],
    )


def topup_fact(row: Row) -> TopUpFact:
    """See `wallet_fact`."""
    return TopUpFact(
        topup_id=row["topup_id"],
        status=row["status"],
        credits=row["credits"],
        foreign=row["others"],
    )


def stray_fact(row: Row) -> StrayFact:
    """See `wallet_fact`."""
    return StrayFact(ref=row["ref"], why=row["why"])


def moment(stored: Moment) -> datetime:
    """A moment, aware and in UTC."""
    return datetime.fromisoformat(stored) if isinstance(stored, str) else stored


def dump_moment(at: datetime) -> str:
    """A moment as SQLite keeps it: UTC, always six fractional digits."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


# PostgreSQL takes no NUL in a text or in JSON, and no database half a surrogate pair; what KIE or
# an exception says may hold both, and must not keep a job from ending.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def text(value: str | None) -> str | None:
    """A text that every database takes: what cannot be stored becomes U+FFFD."""
    return None if value is None else _UNSTORABLE.sub("\ufffd", value)


def dump(value: object) -> str:
    """JSON text of a value."""
    plain = _storable(_converter.unstructure(value))
    return json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def load(stored: str, kind: type[T]) -> T:
    """The value of JSON text."""
    return _converter.structure(json.loads(stored), kind)


def _storable(value: Any) -> Any:
    match value:
        case str():
            return text(value)
        case dict():
            return {text(key): _storable(part) for key, part in value.items()}
        case list() | tuple():
            return [_storable(part) for part in value]
        case _:
            return value


def _measures(stored: str) -> dict[str, Decimal]:
    return {reference: Decimal(seconds) for reference, seconds in json.loads(stored).items()}


def _maybe_moment(stored: Moment | None) -> datetime | None:
    return None if stored is None else moment(stored)


def _microcredits(value: Decimal) -> int | None:
    # KIE names at most two places; what it took is never less than nothing, nor more than a column
    # holds: a number that makes no sense must not keep a job from its end.
    if not value.is_finite():
        return None
    return int(min(max(value, Decimal(0)) * MICRO, Decimal(LARGEST_KOPECKS)).to_integral_value())


def _money(kopecks: int | None) -> Money | None:
    return None if kopecks is None else Money(kopecks)


def _kopecks(money: Money | None) -> int | None:
    return None if money is None else money.kopecks


def _error(failure: Failure) -> str:
    return failure.reason if failure.param is None else f"{failure.reason}:{failure.param}"


def _failure(error: str | None, detail: str | None) -> Failure | None:
    if error is None:
        return None
    reason, colon, param = error.partition(":")
    return Failure(reason=FailReason(reason), param=param if colon else None, detail=detail or "")


def _make_converter() -> Converter:
    converter = Converter()
    converter.register_unstructure_hook(Money, lambda money: money.kopecks)
    converter.register_structure_hook(Money, lambda kopecks, _: Money(kopecks))
    converter.register_unstructure_hook(Decimal, lambda number: format(number, "f"))
    converter.register_structure_hook(Decimal, lambda text, _: Decimal(text))
    configure_tagged_union(
        Event,
        converter,
        tag_name="kind",
        tag_generator=lambda kind: re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower(),
    )
    return converter


_converter = _make_converter()
