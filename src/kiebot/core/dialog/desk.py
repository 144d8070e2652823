"""
The desk: what administrators see of the shop. People and what is done to them, jobs, the day in
numbers, models, and the journal of acts. Top-ups are in `admin.py`.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta, tzinfo
from decimal import Decimal

from attrs import frozen

from kiebot.core.acts import Act, ActKind, Deed, SubjectKind, SwitchedOff
from kiebot.core.catalog import Catalog, Model
from kiebot.core.dialog import admin, balance, history, menu
from kiebot.core.dialog.balance import Movement
from kiebot.core.dialog.history import Past
from kiebot.core.dialog.menu import Row
from kiebot.core.dialog.screen import Action, Button, Screen
from kiebot.core.dialog.texts import Texts, shortened
from kiebot.core.expect import Amount, Reason, Whom
from kiebot.core.jobs import JobStatus
from kiebot.core.money import Money
from kiebot.core.overview import Day, Dossier
from kiebot.core.users import User
from kiebot.core.wallet import EntryKind

LINE_CHARS = 120
"""Characters of a reason in a list."""

NAME_CHARS = 40
"""Characters of a name in a list."""

DETAIL_CHARS = 300
"""How much of the supplier's own words is shown."""

MODELS_ON_PAGE = 8


@frozen(kw_only=True)
class Line:
    """An act in a list: the name of who did it (empty: of nobody known), and of what to."""

    act: Act
    who: str = ""
    what: str = ""


@frozen(kw_only=True)
class Work:
    """A job in a list: whose it is, and how long it has been going."""

    past: Past
    person: User
    elapsed: timedelta


def main(t: Texts, waiting: int) -> Screen:
    """Everything that administrators can look at."""
    rows = (
        (Button(t.button_admin_topups(waiting), Action.of("admin", "topups")),),
        (
            Button(t.button_admin_person, Action.of("admin", "find")),
            Button(t.button_admin_jobs, Action.of("admin", "jobs")),
        ),
        (
            Button(t.button_admin_today, Action.of("admin", "today")),
            Button(t.button_admin_credits, Action.of("admin", "credits")),
        ),
        (
            Button(t.button_admin_models, Action.of("admin", "models")),
            Button(t.button_admin_acts, Action.of("admin", "acts")),
        ),
    )
    return menu.message(t, t.admin_menu, *rows)


# People


def whom(t: Texts, note: str = "") -> Screen:
    """Who is looked for."""
    return Screen(
        text=f"{note}\n\n{t.admin_whom}" if note else t.admin_whom,
        buttons=(_back_row(t),),
        expects=Whom(),
    )


def several(t: Texts, people: Sequence[User]) -> Screen:
    """More than one had this nickname."""
    rows = [
        (Button(_label(admin.person(t, one)), Action.of("admin", "user", one.id)),)
        for one in people
    ]
    return Screen(text=t.admin_whom_several, buttons=(*rows, _back_row(t)))


def person(
    t: Texts,
    dossier: Dossier,
    jobs: Sequence[Past],
    movements: Sequence[Movement],
    acts: Sequence[Line],
    tz: tzinfo,
    *,
    is_admin: bool,
) -> Screen:
    """A person: their money, their latest jobs, and what can be done. `is_admin`: they are one."""
    who, purse = dossier.person, dossier.wallet
    head = [
        admin.person_known(t, who, dossier.topped_up, tz),
        t.admin_wallet(t.money(purse.available), t.money(purse.held)),
    ]
    if who.blocked_at is not None:
        head.append(t.admin_blocked_since(t.notation.when(who.blocked_at, tz)))
    if dossier.waiting is not None:
        waiting = dossier.waiting
        head.append(t.topup_reviewed(waiting.id.upper(), t.money(waiting.amount)))
    lines = balance.movement_lines(t, movements, tz) or t.no_movements
    parts = ["\n".join(head), f"{t.admin_movements}\n{lines}"]
    if acts:
        parts.append("\n".join([t.admin_acts_on, *(_act(t, line, tz) for line in acts)]))
    parts.append(t.admin_jobs_of if jobs else t.admin_no_jobs_of)
    rows: list[Row] = [
        (Button(history.job_label(t, one, tz), Action.of("admin", "job", one.job.id)),)
        for one in jobs
    ]
    rows.append(
        (
            Button(t.button_grant, Action.of("admin", "grant", who.id)),
            Button(t.button_debit, Action.of("admin", "debit", who.id)),
        )
    )
    if who.is_blocked:
        rows.append((Button(t.button_unblock, Action.of("admin", "unblock", who.id)),))
    elif not is_admin:
        rows.append((Button(t.button_block, Action.of("admin", "block", who.id)),))
    if dossier.waiting is not None:
        show = Action.of("admin", "topup", "show", dossier.waiting.id)
        rows.append((Button(t.button_requests_one(dossier.waiting.id.upper()), show),))
    again = Button(t.button_admin_person, Action.of("admin", "find"), minor=True)
    return Screen(text="\n\n".join(parts), buttons=(*rows, (again, *_back_row(t))))


# Jobs


def jobs(t: Texts, working: Sequence[Work], failed: Sequence[Work], tz: tzinfo) -> Screen:
    """What is being made, and what failed lately."""
    parts = [t.admin_no_open_jobs]
    if working:
        lines = [_working(t, work) for work in working]
        parts = ["\n".join([t.admin_open_jobs, *lines])]
    if failed:
        parts.append("\n".join([t.admin_failed_jobs, *(_failed(t, work, tz) for work in failed)]))
    rows = [
        (
            Button(
                _label(history.job_label(t, work.past, tz)),
                Action.of("admin", "job", work.past.job.id),
            ),
        )
        for work in (*working, *failed)
    ]
    refresh = Button(t.button_refresh, Action.of("admin", "jobs"), minor=True)
    return Screen(text="\n\n".join(parts), buttons=(*rows, (refresh, *_back_row(t))))


def job(t: Texts, work: Work, tz: tzinfo) -> Screen:
    """One job of anybody's."""
    one = work.past.job
    price = "" if one.price is None else f" · {t.money(one.price)}"
    lines = [
        f"{shortened(work.past.title, menu.TITLE_CHARS)}{price} · {one.id.upper()}",
        admin.person(t, work.person),
        f"{t.job_status[one.status]} · {t.notation.when(one.confirmed_at or one.created_at, tz)}",
    ]
    if one.is_open:
        lines.append(t.running_for(t.notation.lasting(work.elapsed)))
    if one.kie_task_id is not None:
        lines.append(t.admin_task(shortened(one.kie_task_id, 64)))
    if one.failure is not None:
        lines.append(t.failed_why(one.failure.reason, ""))
        if one.failure.detail.strip():
            lines.append(t.quoted(shortened(one.failure.detail, DETAIL_CHARS)))
    rows: list[Row] = []
    if one.status is JobStatus.SUCCEEDED and one.price is not None and one.price:
        refund = Action.of("admin", "refund", one.id)
        rows.append((Button(t.button_refund(t.money(one.price)), refund),))
    rows.append((_person_button(t, work.person),))
    back = Button(t.button_admin_jobs, Action.of("admin", "jobs"), minor=True)
    return Screen(text="\n".join(lines), buttons=(*rows, (back, *_back_row(t))))


# Numbers


def today(t: Texts, day: Day, tz: tzinfo) -> Screen:
    """The day in numbers."""
    total = day.report.total
    credits_ = t.credits(total.credits)
    lines = [
        t.admin_today(t.notation.on(day.since, tz)),
        "",
        t.admin_came(day.came, day.new),
        t.admin_made(
            day.jobs.get(JobStatus.SUCCEEDED, 0),
            day.jobs.get(JobStatus.FAILED, 0),
            day.jobs.get(JobStatus.REFUNDED, 0),
            day.open_jobs,
        ),
        "",
        t.admin_topped_up_sum(t.money(day.of(EntryKind.TOPUP))),
    ]
    if day.of(EntryKind.GRANT):
        lines.append(t.admin_granted_sum(t.money(day.of(EntryKind.GRANT))))
    lines.append(t.admin_income(t.money(total.income)))
    cost = day.report.total_cost
    if cost is None:
        lines.append(t.admin_cost_unknown(credits_))
    else:
        lines.append(t.admin_cost(credits_, t.money(cost)))
        lines.append(t.admin_margin(_signed(t, total.income.kopecks - cost.kopecks)))
    if total.untold:
        lines.append(t.admin_cost_untold(total.untold))
    refresh = Button(t.button_refresh, Action.of("admin", "today"), minor=True)
    return Screen(text="\n".join(lines), buttons=((refresh, *_back_row(t)),))


def kie_credits(t: Texts, left: Decimal, enough: Decimal) -> Screen:
    """What is left at KIE."""
    return _message(t, t.admin_credits(t.credits(left), t.credits(enough)), "credits")


def no_credits(t: Texts, why: str) -> Screen:
    """KIE does not say."""
    said = t.quoted(shortened(why, DETAIL_CHARS))
    return _message(t, f"{t.admin_credits_unknown}\n{said}", "credits")


# Models


def models(t: Texts, catalog: Catalog, off: Mapping[str, SwitchedOff], page: int) -> Screen:
    """Every model, and whether it is sold; first those that the catalog sells."""
    ordered = sorted(catalog.models, key=lambda one: not one.on_sale)
    shown, turns = menu.paged(ordered, page, MODELS_ON_PAGE, ("admin", "models"))
    rows = [
        (
            Button(
                f"{_mark(model, off)} {shortened(model.title, menu.TITLE_CHARS)}",
                Action.of("admin", "model", model.key),
            ),
        )
        for model in shown
    ]
    sold = sum(model.on_sale and model.id not in off for model in catalog.models)
    text = t.admin_models(sold, len(catalog.models))
    return Screen(text=text, buttons=(*rows, *turns, _back_row(t)))


def model(
    t: Texts,
    one: Model,
    switched: SwitchedOff | None,
    who: str,
    multiplier: Decimal,
    tz: tzinfo,
) -> Screen:
    """One model: whether it is sold, and if not, who took it off sale and why."""
    lines = [f"{one.title} · {one.id}"]
    if switched is not None:
        when = t.notation.when(switched.at, tz)
        why = shortened(switched.why, admin.REASON_CHARS)
        lines.append(t.admin_model_off(_who(t, who, switched.by), when, why))
    if one.off is not None:
        lines.append(t.admin_model_off_catalog(shortened(one.off, DETAIL_CHARS)))
    elif switched is None:
        lines.append(t.admin_model_on(menu.price_tag(t, one, multiplier)))
    rows: list[Row] = []
    if switched is not None:
        rows.append((Button(t.button_switch_on, Action.of("admin", "on", one.key)),))
    elif one.on_sale:
        rows.append((Button(t.button_switch_off, Action.of("admin", "off", one.key)),))
    back = Button(t.button_admin_models, Action.of("admin", "models"), minor=True)
    return Screen(text="\n".join(lines), buttons=(*rows, (back, *_back_row(t))))


# The journal


def acts(t: Texts, lines: Sequence[Line], older: int | None, tz: tzinfo, *, first: bool) -> Screen:
    """What administrators did; `older` is where the next page begins."""
    turns = []
    if not first:
        turns.append(Button(t.button_newer, Action.of("admin", "acts"), minor=True))
    if older is not None:
        turns.append(Button(t.button_older, Action.of("admin", "acts", older), minor=True))
    text = "\n".join([t.admin_acts, "", *(_act(t, line, tz) for line in lines)])
    rows: tuple[Row, ...] = (tuple(turns),) if turns else ()
    return Screen(text=text if lines else t.admin_no_acts, buttons=(*rows, _back_row(t)))


# What is to be done


def deed_amount(t: Texts, deed: Deed, what: str, note: str = "") -> Screen:
    """How much is given or taken."""
    asked = t.admin_deed_amount(deed.kind, what)
    return Screen(
        text=f"{note}\n\n{asked}" if note else asked,
        buttons=((_subject_button(t, deed.kind, deed.subject),),),
        expects=Amount(deed=deed),
    )


def deed_reason(t: Texts, deed: Deed, what: str, key: str = "", note: str = "") -> Screen:
    """Why it is done. `key` is that of a model."""
    amount = "" if deed.amount is None else t.money(deed.amount)
    asked = t.admin_deed_why(deed.kind, what, amount)
    return Screen(
        text=f"{note}\n\n{asked}" if note else asked,
        buttons=((_subject_button(t, deed.kind, key or deed.subject),),),
        expects=Reason(deed=deed),
    )


def _subject_button(t: Texts, kind: ActKind, subject: str) -> Button:
    """Back to what it would be done to."""
    match kind:
        case ActKind.REFUND:
            name = "job"
        case ActKind.SWITCH_OFF | ActKind.SWITCH_ON:
            name = "model"
        case _:
            name = "user"
    return Button(t.button_back, Action.of("admin", name, subject), minor=True)


def _act(t: Texts, line: Line, tz: tzinfo) -> str:
    one = line.act
    amount = "" if one.amount is None else f" {t.money(one.amount)}"
    shown = one.subject_kind in {SubjectKind.TOPUP, SubjectKind.JOB}
    subject = shortened(line.what, NAME_CHARS) or (one.subject.upper() if shown else one.subject)
    parts = [
        t.notation.at(one.at, tz),
        _who(t, line.who, one.actor),
        f"{t.act[one.kind]}{amount}",
        subject,
    ]
    why = f": {shortened(one.why, LINE_CHARS)}" if one.why else ""
    return " · ".join(parts) + why


def _who(t: Texts, name: str, actor: str) -> str:
    """Who did it: by name, else as the row says it; the console is the operator."""
    if name.strip():
        return shortened(name, NAME_CHARS)
    return t.admin_person("", actor) if actor.isdigit() else t.admin_operator


def _working(t: Texts, work: Work) -> str:
    time = t.running_for(t.notation.lasting(work.elapsed))
    return f"⏳ {shortened(work.past.title, menu.TITLE_CHARS)} · {_short(t, work.person)} · {time}"


def _failed(t: Texts, work: Work, tz: tzinfo) -> str:
    one = work.past.job
    why = "" if one.failure is None else f" · {t.failed_why(one.failure.reason, '')}"
    moment = t.notation.at(one.updated_at, tz)
    title = shortened(work.past.title, menu.TITLE_CHARS)
    return f"✖️ {moment} · {title} · {_short(t, work.person)}{why}"


def _short(t: Texts, who: User) -> str:
    return t.admin_person(shortened(who.name, NAME_CHARS), str(who.id))


def _mark(model: Model, off: Mapping[str, SwitchedOff]) -> str:
    if model.id in off:
        return "⛔"
    return "✅" if model.on_sale else "💤"


def _signed(t: Texts, kopecks: int) -> str:
    sign = "−" if kopecks < 0 else ""
    return f"{sign}{t.money(Money(abs(kopecks)))}"


def _label(text: str) -> str:
    return shortened(text, 90)


def _message(t: Texts, text: str, again: str) -> Screen:
    refresh = Button(t.button_refresh, Action.of("admin", again), minor=True)
    return Screen(text=text, buttons=((refresh, *_back_row(t)),))


def _person_button(t: Texts, who: User) -> Button:
    label = _label(admin.person(t, who))
    return Button(f"👤 {label}", Action.of("admin", "user", who.id))


def _back_row(t: Texts) -> Row:
    back = Button(t.button_admin_menu, Action.of("admin", "main"), minor=True)
    return (back, *menu.menu_row(t))
