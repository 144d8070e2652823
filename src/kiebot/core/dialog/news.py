"""
News: event -> screen, for what a person is told without having asked.
"""

from datetime import tzinfo

from attrs import evolve, frozen

from kiebot.core.catalog import Catalog, Model
from kiebot.core.dialog import admin, generation, history, menu
from kiebot.core.dialog.history import Past
from kiebot.core.dialog.screen import Action, Button, Screen
from kiebot.core.dialog.texts import Texts, shortened
from kiebot.core.events import (
    Event,
    FileNotSent,
    JobFailed,
    JobRefunded,
    JobSucceeded,
    LateSuccess,
    LowCredits,
    OperatorAlert,
    ReceiptJoined,
    TopUpApproved,
    TopUpRejected,
    TopUpToReview,
)
from kiebot.core.jobs import Job
from kiebot.core.money import Money
from kiebot.core.overview import Review
from kiebot.core.terms import Terms

DETAIL_CHARS = 300
"""How much of the supplier's own words an administrator is shown."""


@frozen(kw_only=True)
class Background:
    """
    What is true now, beside what an event says was true when it happened.

    `past` is the job that it is about; `draft` is what the person left unpaid; `review` is the
    top-up that it is about, for an administrator.
    """

    catalog: Catalog
    terms: Terms
    tz: tzinfo
    available: Money
    past: Past | None = None
    draft: tuple[Job, Model] | None = None
    review: Review | None = None


def screen(t: Texts, event: Event, now: Background) -> Screen:
    """The screen that tells an event."""
    match event:
        case JobSucceeded():
            return _succeeded(t, event, now)
        case JobFailed():
            return _failed(t, event, now)
        case JobRefunded():
            return _refunded(t, event)
        case TopUpToReview():
            return _to_review(t, event, now)
        case ReceiptJoined():
            return _joined(t, event, now)
        case TopUpApproved():
            return _approved(t, event, now)
        case TopUpRejected():
            return _rejected(t, event)
        case OperatorAlert():
            return _alert(t, event)
        case LowCredits():
            return menu.message(
                t, t.admin_low_credits(t.credits(event.credits), t.credits(event.enough))
            )
        case FileNotSent():
            return _not_sent(t, event)
        case LateSuccess():
            return _late(t, event)


def _succeeded(t: Texts, event: JobSucceeded, now: Background) -> Screen:
    money = t.result(t.money(event.price), t.money(now.available))
    if now.past is None:
        return menu.message(t, f"{event.title}\n{money}")
    media = history.files(now.past, event.result, event.output, now.tz)
    under = f"{history.caption(t, event.summary, event.title)}\n{money}"
    about = [part for part in (event.result.text, under) if part]
    rows = history.result_rows(t, now.past, now.catalog, now.terms.price_multiplier, original=True)
    return evolve(
        menu.message(t, "\n\n".join(about), *rows),
        media=media,
        body=event.result.text or "",
        ended=event.job_id,
    )


def _failed(t: Texts, event: JobFailed, now: Background) -> Screen:
    model = None if now.past is None else now.past.model
    label = history.param_label(t, model, event.param)
    text = f"{t.failed(t.money(event.price), event.reason, label)}\n{t.advice[event.reason]}"
    rows: tuple[menu.Row, ...] = ()
    if now.past is not None:
        rows = history.failure_rows(t, now.past, event.reason, event.param)
    return evolve(menu.message(t, f"{text}\n\n{event.title}", *rows), ended=event.job_id)


def _refunded(t: Texts, event: JobRefunded) -> Screen:
    lines = [t.refunded(t.money(event.price), event.title)]
    if event.why:
        lines.append(t.refunded_why(shortened(event.why, admin.REASON_CHARS)))
    return menu.message(t, "\n".join(lines), _wallet_row(t))


def _to_review(t: Texts, event: TopUpToReview, now: Background) -> Screen:
    # As the request stands now: somebody may have decided since the event. Who is no administrator
    # any more is shown nothing of it.
    if now.review is None:
        return menu.not_found(t)
    shown = admin.request(t, now.review, now.tz)
    # Files that have joined since are told by events of their own.
    return evolve(shown, media=admin.receipt(event.topup_id, event.receipt))


def _joined(t: Texts, event: ReceiptJoined, now: Background) -> Screen:
    if now.review is None:
        return menu.not_found(t)
    warns = event.seen_in is not None
    return admin.joined(t, now.review, event.file, event.number, now.tz, warns=warns)


def _approved(t: Texts, event: TopUpApproved, now: Background) -> Screen:
    amount = t.money(event.amount)
    text = t.topup_approved(amount)
    if event.amount != event.requested:
        text = t.topup_approved_other(amount, t.money(event.requested))
    if now.draft is not None:
        return _back_to(t, text, *now.draft, now)
    balance = t.balance_line(t.money(now.available))
    create = Button(t.button_create, Action.of("marketing", "main"))
    return menu.message(t, f"{text}\n{balance}", (create,))


def _back_to(t: Texts, text: str, draft: Job, model: Model, now: Background) -> Screen:
    """The draft that waited for the money: its offer, what it still lacks, or that it waits."""
    if draft.is_offer and draft.price is not None and now.available >= draft.price:
        offer = generation.confirmation(t, model, draft, draft.price, now.available)
        return menu.noted(text, offer)
    text = f"{text}\n{t.balance_line(t.money(now.available))}"
    if draft.is_offer and draft.price is not None:
        lack = draft.price - now.available
        words = t.draft_lacks(model.title, t.money(draft.price), t.money(lack))
        cure = generation.not_enough(t, draft.price, now.available, draft, now.terms)
        return evolve(cure, text=f"{text}\n\n{words}")
    title = shortened(model.title, menu.TITLE_CHARS)
    label = t.button_draft(title)
    if draft.price is not None:
        label = t.button_draft_waits(title, t.money(draft.price))
    go_on = Button(label, Action.of("gen", "open", draft.id))
    return menu.message(t, f"{text}\n\n{t.draft_waits(model.title)}", (go_on,))


def _rejected(t: Texts, event: TopUpRejected) -> Screen:
    lines = [t.topup_rejected(event.topup_id.upper(), t.money(event.amount))]
    if event.why:
        lines.append(t.topup_rejected_why(shortened(event.why, admin.REASON_CHARS)))
    lines.append(t.topup_rejected_ask)
    again = Button(t.button_topup, Action.of("topup", "main"))
    support = Button(t.button_help, Action.of("paysupport", "main"), minor=True)
    return menu.message(t, "\n".join(lines), (again, support))


def _alert(t: Texts, event: OperatorAlert) -> Screen:
    lines = [t.admin_alert.get(event.code) or t.admin_alert_other(event.code)]
    if event.detail.strip():
        lines.append(t.quoted(shortened(event.detail, DETAIL_CHARS)))
    lines.append(t.admin_alert_after)
    return menu.message(t, "\n".join(lines))


def _not_sent(t: Texts, event: FileNotSent) -> Screen:
    lines = [t.admin_file_not_sent(event.name, str(event.person_id))]
    if event.why.strip():
        lines.append(t.quoted(shortened(event.why, DETAIL_CHARS)))
    return menu.message(t, "\n".join(lines))


def _late(t: Texts, event: LateSuccess) -> Screen:
    taken = t.admin_late_unknown
    if event.credits is not None:
        taken = t.credits(event.credits)
    return menu.message(t, t.admin_late(event.title, event.job_id.upper(), taken))


def _wallet_row(t: Texts) -> menu.Row:
    return (Button(t.button_balance, Action.of("balance", "main")),)
