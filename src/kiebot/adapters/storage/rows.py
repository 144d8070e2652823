"""
Rows: core values as databases keep them, and back.

The one place that knows both the names of the columns and the names in core. A moment comes back
as a `datetime` from PostgreSQL and as text of fixed width from SQLite, so that there the order of
the text is the order of time; JSON is text for both.
"""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any, Protocol, TypeVar

from cattrs import Converter
from cattrs.strategies import configure_tagged_union

from kiebot.core.acts import Act, ActKind, Deed, SwitchedOff
from kiebot.core.audit import JobFact, StrayFact, TopUpFact, WalletFact
from kiebot.core.events import Alert, Event, Untold
from kiebot.core.expect import Amount, Answer, AnswerForm, Expect, Reason, Receipt, Whom
from kiebot.core.figures import Figures
from kiebot.core.jobs import Job, JobStatus
from kiebot.core.language import Language
from kiebot.core.margins import Billed, ModelSums
from kiebot.core.media import Attachment, MediaKind, SentFile
from kiebot.core.money import LARGEST_KOPECKS, Money
from kiebot.core.notices import About, Notice
from kiebot.core.overview import Visitor
from kiebot.core.tasks import FailReason, Failure, Outcome, Result, Task, TaskId
from kiebot.core.topups import TopUp, TopUpId, TopUpStatus
from kiebot.core.updates import Update
from kiebot.core.users import User, UserId
from kiebot.core.wallet import EntryKind, JobId, LedgerEntry, Wallet

T = TypeVar("T")
Moment = str | datetime
"""A moment as a database hands it out."""


class Row(Protocol):
    """A row, by column names."""

    def __getitem__(self, column: str, /) -> Any: ...


MICRO = 1_000_000

USER = "id, name, language, created_at, nickname, seen_at, blocked_at"
WALLET = "user_id, balance_kop, hold_kop"
VISITOR = (
    "users.id as id, name, language, users.created_at as created_at, nickname, seen_at, blocked_at,"
    " balance_kop, hold_kop, model_id, actor, why, switched_off.created_at as off_at"
)
ENTRY = "id, user_id, kind, amount_kop, ref, job_id, actor, why, created_at"
JOB = (
    "id, user_id, model_id, params, status, price_kop, kie_price_kop, offered_at, confirmed_at,"
    " submissions, kie_task_id, next_check_at, result, error, error_detail, replaced_by,"
    " created_at, updated_at, measures"
)
ACT = "id, actor, act, subject, user_id, amount_kop, why, created_at"
SWITCHED_OFF = "model_id, actor, why, created_at"
TASK = "id, job_id, outcome, microcredits, created_at, updated_at"
TOPUP = (
    "id, user_id, amount_kop, requested_kop, status, receipt, created_at, reviewed_by,"
    " reviewed_at, why"
)
UPDATE = "update_id, user_id, body, done_at, tries"
SENT = "file_id, sent_as"
NOTICE = "user_id, message_id, about, ref, has_file"


def user(row: Row) -> User:
    """A row of `USER`."""
    return User(
        id=UserId(row["id"]),
        name=row["name"],
        language=Language(row["language"]),
        created_at=moment(row["created_at"]),
        nickname=row["nickname"],
        seen_at=_maybe_moment(row["seen_at"]),
        blocked_at=_maybe_moment(row["blocked_at"]),
    )


def user_row(value: User) -> tuple[object, ...]:
    """The values of `USER`."""
    return (
        value.id,
        text(value.name),
        str(value.language),
        value.created_at,
        text(value.nickname),
        value.seen_at,
        value.blocked_at,
    )


def visitor(found: Sequence[Row]) -> Visitor:
    """Rows of `VISITOR`: one for each model that is switched off, one where none is."""
    row = found[0]
    off = [
        SwitchedOff(
            model_id=one["model_id"], by=one["actor"], why=one["why"], at=moment(one["off_at"])
        )
        for one in found
        if one["model_id"] is not None
    ]
    return Visitor(
        user=user(row),
        wallet=Wallet(
            user_id=UserId(row["id"]),
            available=Money(row["balance_kop"]),
            held=Money(row["hold_kop"]),
        ),
        off=tuple(sorted(off, key=lambda one: one.model_id)),
    )


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


def act(row: Row) -> Act:
    """A row of `ACT`."""
    return Act(
        id=row["id"],
        actor=row["actor"],
        kind=ActKind(row["act"]),
        subject=row["subject"],
        user_id=None if row["user_id"] is None else UserId(row["user_id"]),
        amount=_money(row["amount_kop"]),
        why=row["why"],
        at=moment(row["created_at"]),
    )


def act_row(value: Act) -> tuple[object, ...]:
    """The values of `ACT` but the id, which is the database's, and the kind of the subject."""
    return (
        text(value.actor),
        str(value.kind),
        text(value.subject),
        value.user_id,
        _kopecks(value.amount),
        text(value.why),
        value.at,
        str(value.subject_kind),
    )


def switched_off(row: Row) -> SwitchedOff:
    """A row of `SWITCHED_OFF`."""
    return SwitchedOff(
        model_id=row["model_id"],
        by=row["actor"],
        why=row["why"],
        at=moment(row["created_at"]),
    )


def switched_off_row(value: SwitchedOff) -> tuple[object, ...]:
    """The values of `SWITCHED_OFF`."""
    return (text(value.model_id), text(value.by), text(value.why), value.at)


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


def sent_file(row: Row) -> SentFile:
    """A row of `SENT`."""
    return SentFile(file_id=row["file_id"], kind=MediaKind(row["sent_as"]))


def notice(row: Row) -> Notice:
    """A row of `NOTICE`."""
    about = About(row["about"])
    make = JobId if about is About.JOB else TopUpId
    return Notice(
        user_id=UserId(row["user_id"]),
        message_id=row["message_id"],
        about=about,
        ref=make(row["ref"]),
        has_file=bool(row["has_file"]),
    )


def address_key(address: str) -> str:
    """What stands for an address in a key: an address may be longer than an index takes."""
    return sha256(address.encode("utf-8", "surrogatepass")).hexdigest()


def update(row: Row) -> Update:
    """A row of `UPDATE`."""
    return Update(
        id=row["update_id"],
        user_id=UserId(row["user_id"]),
        body=row["body"],
        is_done=row["done_at"] is not None,
        tries=row["tries"],
    )


def figures(
    counted: Sequence[Row],
    work: Row | None,
    news: Row | None,
    requests: Row | None,
    updates: Row | None,
) -> Figures:
    """Jobs by status; what open jobs hold; and how many there are of the rest, and how old."""
    return Figures(
        jobs={JobStatus(row["status"]): int(row["jobs"]) for row in counted},
        oldest_open=_oldest(work),
        held=Money(0 if work is None else int(work["held"])),
        untold=_many(news),
        oldest_untold=_oldest(news),
        topups_waiting=_many(requests),
        oldest_topup=_oldest(requests),
        updates_waiting=_many(updates),
        oldest_update=_oldest(updates),
    )


def _many(row: Row | None) -> int:
    return 0 if row is None else int(row["many"])


def _oldest(row: Row | None) -> datetime | None:
    return None if row is None or row["oldest"] is None else moment(row["oldest"])


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
    return _expected(json.loads(stored))


def _expected(state: dict[str, Any]) -> Expect | None:
    # What was stored before there were administrators in the chat lacks the later keys.
    after = state.get("after")
    inner = None if after is None else _expected(after)
    match state:
        case {"expects": "amount"}:
            return Amount(topup_id=state["topup"], deed=_deed(state), after=inner)
        case {"expects": "receipt"}:
            return Receipt(topup_id=state["topup"])
        case {"expects": "reason"}:
            return Reason(topup_id=state["topup"], deed=_deed(state), after=inner)
        case {"whom": True}:
            return Whom()
        case {"for": None}:
            return None
        case _:
            form = AnswerForm.CHOICE if state["expects"] is None else AnswerForm(state["expects"])
            return Answer(job_id=state["job"], param=state["for"], form=form)


def dump_expect(value: Expect | None) -> str:
    """
    The public JSON of `ui_state.state`: `expects`, `for`, `job`, `topup`; of administrators also
    `deed`, `after`, `whom`.

    A question that is answered by a button expects nothing typed, and still is for a parameter.
    """
    return dump(_state(value))


def _state(value: Expect | None) -> dict[str, Any]:
    state: dict[str, Any] = {"expects": None, "for": None, "job": None, "topup": None}
    match value:
        case Answer(job_id=job_id, param=param, form=form):
            typed = None if form is AnswerForm.CHOICE else str(form)
            state |= {"expects": typed, "for": param, "job": job_id}
        case Amount(topup_id=topup_id, deed=deed, after=after):
            state |= {"expects": "amount", "topup": topup_id, **_of_admin(deed, after)}
        case Receipt(topup_id=topup_id):
            state |= {"expects": "receipt", "topup": topup_id}
        case Reason(topup_id=topup_id, deed=deed, after=after):
            state |= {"expects": "reason", "topup": topup_id, **_of_admin(deed, after)}
        case Whom():
            state |= {"expects": "text", "whom": True}
        case None:
            pass
    return state


def _of_admin(deed: Deed | None, after: Expect | None) -> dict[str, Any]:
    about: dict[str, Any] = {}
    if deed is not None:
        about["deed"] = deed
    if after is not None:
        about["after"] = _state(after)
    return about


def _deed(state: dict[str, Any]) -> Deed | None:
    stored = state.get("deed")
    return None if stored is None else _converter.structure(stored, Deed)


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
        many=row["many"],
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
        many=row["many"],
    )


def topup_fact(row: Row) -> TopUpFact:
    """See `wallet_fact`."""
    return TopUpFact(
        topup_id=row["topup_id"],
        status=row["status"],
        credits=row["credits"],
        foreign=row["others"],
        many=row["many"],
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
    plain = _converter.unstructure(value)
    written = _written(plain)
    # What cannot be stored is rare, and looked for part by part only where there is any.
    is_storable = "\\u0000" not in written and _UNSTORABLE.search(written) is None
    return written if is_storable else _written(_storable(plain))


def load(stored: str, kind: type[T]) -> T:
    """The value of JSON text."""
    return _converter.structure(json.loads(stored), kind)


def _written(plain: object) -> str:
    return json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


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
