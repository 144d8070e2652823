"""
History: the last jobs, one job with its result, and what is being made now.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal

from attrs import field, frozen

from kiebot.core import drafts
from kiebot.core.catalog import Catalog, Model
from kiebot.core.dialog import generation, menu
from kiebot.core.dialog.menu import Row
from kiebot.core.dialog.screen import Action, Button, Media, Screen
from kiebot.core.dialog.texts import Texts, shortened
from kiebot.core.jobs import Job, JobStatus
from kiebot.core.media import MediaKind
from kiebot.core.money import Money
from kiebot.core.params import TextParam
from kiebot.core.tasks import FailReason, Result

SUMMARY_CHARS = 120
"""How much of the prompt stands under a result."""

_MARKS = {
    JobStatus.DRAFT: "📝",
    JobStatus.QUEUED: "⏳",
    JobStatus.RUNNING: "⏳",
    JobStatus.SUCCEEDED: "✅",
    JobStatus.FAILED: "✖️",
    JobStatus.REFUNDED: "↩️",
    JobStatus.CANCELLED: "✖️",
}


@frozen(kw_only=True)
class Past:
    """
    A job and what its screen says of it.

    `model` is None where the catalog no longer has it; `price` is what its answers cost today,
    None where they cannot be bought.
    """

    job: Job
    model: Model | None
    price: Money | None = None

    @property
    def title(self) -> str:
        return self.job.model_id if self.model is None else self.model.title

    @property
    def output(self) -> MediaKind:
        return MediaKind.DOCUMENT if self.model is None else self.model.output

    @property
    def summary(self) -> str:
        return "" if self.model is None else drafts.summary(self.model, self.job.params)


@frozen(kw_only=True)
class Going:
    """An open job: how long it has been going, and how long its model usually takes."""

    job: Job
    title: str
    elapsed: timedelta
    usual: timedelta | None = field(default=None)


def jobs(
    t: Texts, past: Sequence[Past], older: str | None, tz: tzinfo, *, is_first: bool
) -> Screen:
    """The last jobs; `older` is where the next page begins."""
    rows: list[Row] = [(_job_button(t, one, tz),) for one in past]
    turns = []
    if not is_first:
        turns.append(Button(t.button_newer, Action.of("history", "jobs"), minor=True))
    if older is not None:
        turns.append(Button(t.button_older, Action.of("history", "jobs", older), minor=True))
    if turns:
        rows.append(tuple(turns))
    if not past:
        rows.append((Button(t.button_create, Action.of("marketing", "main")),))
    rows.append((Button(t.button_all_movements, Action.of("history", "ledger"), minor=True),))
    return menu.message(t, t.jobs if past else t.no_jobs, *rows)


def open_jobs(t: Texts, going: Sequence[Going]) -> Screen:
    """What is being made now, and how long."""
    if not going:
        create = Button(t.button_create, Action.of("marketing", "main"))
        all_jobs = Button(t.button_history, Action.of("history", "jobs"), minor=True)
        return menu.message(t, t.no_open_jobs, (create,), (all_jobs,))
    lines = [f"⏳ {one.title} · {_running(t, one)}" for one in going]
    rows = [(Button(one.title, Action.of("history", "job", one.job.id)),) for one in going]
    refresh = Button(t.button_refresh, Action.of("history", "open"), minor=True)
    text = f"{t.open_jobs}\n\n" + "\n".join(lines)
    return menu.message(t, text, *rows, (refresh,))


def job(
    t: Texts, past: Past, catalog: Catalog, multiplier: Decimal, tz: tzinfo, *, as_files: bool
) -> Screen:
    """One job that is over: its result once more, or why there is none."""
    one = past.job
    head = f"{past.title} · {t.notation.when(one.updated_at, tz)}"
    back: Row = (Button(t.button_history, Action.of("history", "jobs"), minor=True),)
    if one.result is not None:
        media = files(past, one.result, MediaKind.DOCUMENT if as_files else past.output, tz)
        price = t.money(one.price) if one.price is not None else ""
        is_refunded = one.status is JobStatus.REFUNDED
        money = t.job_refunded(price) if is_refunded else t.result_unpriced(price)
        parts = [one.result.text or "", f"{caption(t, past.summary, head)}\n{money}"]
        if media:
            parts.append(t.result_expires)
        rows = result_rows(t, past, catalog, multiplier, original=not as_files)
        return Screen(
            text="\n\n".join(part for part in parts if part),
            buttons=(*rows, (*back, *menu.menu_row(t))),
            media=media,
            body=one.result.text or "",
        )
    parts = [head]
    if past.summary:
        parts.append(t.quoted(shortened(past.summary)))
    if one.failure is not None and one.price is not None:
        reason = one.failure.reason
        label = param_label(t, past.model, one.failure.param)
        parts.append(f"{t.failed(t.money(one.price), reason, label)}\n{t.advice[reason]}")
        rows = failure_rows(t, past, reason, one.failure.param)
        return Screen(text="\n\n".join(parts), buttons=(*rows, (*back, *menu.menu_row(t))))
    return Screen(text="\n\n".join(parts), buttons=((*back, *menu.menu_row(t)),))


def caption(t: Texts, summary: str, title: str) -> str:
    """What stands under a result: the person's words, and who made it."""
    return f"{t.quoted(shortened(summary, SUMMARY_CHARS))} · {title}" if summary else title


def files(past: Past, result: Result, kind: MediaKind, tz: tzinfo) -> tuple[Media, ...]:
    """The files of a result, named so that they can be told apart in a folder."""
    return tuple(
        Media(url=url, kind=kind, name=_file_name(past, number, len(result.urls), tz))
        for number, url in enumerate(result.urls, start=1)
    )


def result_rows(
    t: Texts, past: Past, catalog: Catalog, multiplier: Decimal, *, original: bool
) -> tuple[Row, ...]:
    """What can be done with a result."""
    job_id = past.job.id
    rows: list[Row] = []
    if past.model is not None and past.model.on_sale:
        label = t.button_again_unpriced
        if past.price is not None:
            label = t.button_again(t.money(past.price))
        rows.append(
            (
                Button(label, Action.of("gen", "again", job_id)),
                Button(t.button_edit, Action.of("gen", "edit", job_id)),
            )
        )
    result = past.job.result
    has_files = result is not None and bool(result.urls)
    if has_files and past.model is not None:
        more = list(generation.follow_ups(t, catalog, multiplier, job_id, past.model))
        if original and past.model.output is MediaKind.IMAGE:
            more.insert(0, Button(t.button_original, Action.of("history", "file", job_id)))
        rows += menu.in_rows(more)
    if not rows:
        rows.append((Button(t.button_create, Action.of("marketing", "main")),))
    return tuple(rows)


def failure_rows(t: Texts, past: Past, reason: FailReason, param: str | None) -> tuple[Row, ...]:
    """What can be done about a failure."""
    job_id = past.job.id
    model = past.model
    if model is None:
        return ((Button(t.button_create, Action.of("marketing", "main")),),)
    other = Button(t.button_other_model, Action.of("mcat", model.category))
    if not model.on_sale:
        return ((other,),)
    edit = Button(t.button_edit, Action.of("gen", "edit", job_id))
    label = t.button_retry if past.price is None else t.button_again(t.money(past.price))
    again = Button(label, Action.of("gen", "again", job_id))
    match reason:
        case FailReason.REFUSED_CONTENT:
            return ((Button(t.button_edit_text, edit.action), other),)
        case FailReason.BAD_INPUT | FailReason.UNREADABLE_FILE:
            asked = next((known for known in model.params if known.name == param), None)
            if asked is not None:
                is_prompt = asked.is_primary and isinstance(asked, TextParam)
                label = t.button_edit_text if is_prompt else t.button_edit
                edit = Button(label, Action.of("gen", "edit", job_id, asked.name))
            return ((edit, other),)
        case _:
            return ((again,), (edit, other))


def param_label(t: Texts, model: Model | None, name: str | None) -> str:
    """The question that a failure is about, as a person knows it; empty where there is none."""
    for param in () if model is None else model.params:
        if param.name == name:
            return t.of(param.label)
    return ""


def job_label(t: Texts, past: Past, tz: tzinfo) -> str:
    """A job on a button: how it stands, what it is, its price and moment."""
    one = past.job
    price = "" if one.price is None else f" · {t.money(one.price)}"
    moment = t.notation.at(one.confirmed_at or one.created_at, tz)
    title = shortened(past.title, menu.TITLE_CHARS)
    return f"{_MARKS[one.status]} {title}{price} · {moment}"


def _job_button(t: Texts, past: Past, tz: tzinfo) -> Button:
    return Button(job_label(t, past, tz), Action.of("history", "job", past.job.id))


def _running(t: Texts, going: Going) -> str:
    time = t.notation.lasting(going.elapsed)
    if going.usual is None:
        return t.running_for(time)
    if generation.is_longer(going.elapsed, going.usual):
        return t.running_longer(time)
    return t.running_of(time, t.notation.lasting(going.usual))


def _file_name(past: Past, number: int, count: int, tz: tzinfo) -> str:
    """`2026-11-22-flux-2-pro-7q2k`, with a number where there are several."""
    day: datetime = past.job.updated_at.astimezone(tz)
    letters = "".join(char if char.isascii() and char.isalnum() else " " for char in past.title)
    name = "-".join([f"{day:%Y-%m-%d}", *letters.lower().split(), past.job.id])
    return f"{name}-{number}" if count > 1 else name
