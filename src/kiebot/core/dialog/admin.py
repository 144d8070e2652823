"""
For administrators: the top-ups that wait, one of them, and the decision.
"""

from collections.abc import Sequence
from datetime import tzinfo

from attrs import frozen

from kiebot.core.dialog import menu
from kiebot.core.dialog.menu import Row
from kiebot.core.dialog.screen import Action, Button, Media, Screen
from kiebot.core.dialog.texts import Texts, shortened
from kiebot.core.expect import Amount, Reason
from kiebot.core.media import Attachment, kind_of
from kiebot.core.money import Money
from kiebot.core.terms import Terms
from kiebot.core.topups import TopUp, TopUpId, TopUpStatus
from kiebot.core.users import User, UserId

REASON_CHARS = 500
"""Characters of a reason. Our choice: it is shown whole to the person."""


@frozen(kw_only=True)
class Case:
    """
    A top-up and what an administrator should know about it.

    `topped_up` are the amounts of the person's earlier top-ups; `seen_in` is another top-up with
    the same receipt; `decided_by` is the name of who decided, empty for the operator.
    """

    topup: TopUp
    person: User
    topped_up: tuple[Money, ...] = ()
    seen_in: TopUpId | None = None
    decided_by: str = ""


def topups(t: Texts, waiting: Sequence[TopUp], tz: tzinfo) -> Screen:
    """Everything that waits for a decision."""
    if not waiting:
        return menu.message(t, t.admin_no_topups)
    rows = [
        (
            Button(
                t.button_request(
                    topup.id.upper(), t.money(topup.amount), t.notation.at(topup.created_at, tz)
                ),
                Action.of("admin", "topup", "show", topup.id),
            ),
        )
        for topup in waiting
    ]
    return menu.message(t, t.admin_topups(len(waiting)), *rows)


def request(t: Texts, case: Case, tz: tzinfo) -> Screen:
    """One request: who, how much, the receipt, and what can be decided."""
    topup = case.topup
    total = Money(sum(amount.kopecks for amount in case.topped_up))
    known = ", ".join(
        (
            t.admin_known_since(t.notation.on(case.person.created_at, tz)),
            t.admin_topped_up(len(case.topped_up), t.money(total)),
        )
    )
    who = f"{person(t, case.person.id, case.person.name)} ({known})"
    lines = [t.admin_request(topup.id.upper(), t.money(topup.amount), who)]
    if topup.is_corrected:
        lines.append(t.admin_requested(t.money(topup.requested)))
    if case.seen_in is not None:
        lines.append(t.admin_seen(case.seen_in.upper()))
    if topup.receipt:
        lines.append(t.admin_receipts(len(topup.receipt)))
    lines += _decision(t, case, tz)
    return Screen(
        text="\n".join(lines),
        buttons=(*decision_rows(t, topup), (_list_button(t), *menu.menu_row(t))),
        media=receipt(topup.id, topup.receipt),
    )


def decision_rows(t: Texts, topup: TopUp) -> tuple[Row, ...]:
    """The buttons of a decision, where there is one to be made."""
    if topup.status is not TopUpStatus.MANUAL_REVIEW:
        return ()
    amount = topup.amount if topup.is_corrected else None
    return review_rows(t, topup.id, topup.amount, named=amount)


def review_rows(
    t: Texts, topup_id: TopUpId, amount: Money, *, named: Money | None
) -> tuple[Row, ...]:
    """Approve, correct, reject; an amount that was corrected is named in the action itself."""
    exact = () if named is None else (roubles(named),)
    return (
        (
            Button(
                t.button_approve(t.money(amount)),
                Action.of("admin", "topup", "approve", topup_id, *exact),
            ),
        ),
        (
            Button(t.button_other_sum, Action.of("admin", "topup", "amount", topup_id)),
            Button(t.button_reject, Action.of("admin", "topup", "reject", topup_id)),
        ),
    )


def amount_question(t: Texts, topup_id: TopUpId, terms: Terms, note: str = "") -> Screen:
    """The amount that really came."""
    asked = t.admin_amount_wanted(t.money(terms.topup_min), t.money(terms.topup_max))
    return Screen(
        text=f"{note}\n\n{asked}" if note else asked,
        buttons=((_show_button(t, topup_id),),),
        expects=Amount(topup_id=topup_id),
    )


def reason_question(t: Texts, topup_id: TopUpId, note: str = "") -> Screen:
    """Why it is rejected."""
    asked = t.admin_reason_wanted(topup_id.upper())
    skip = Button(t.button_no_reason, Action.of("mskip", topup_id, "reason"))
    return Screen(
        text=f"{note}\n\n{asked}" if note else asked,
        buttons=((skip,), (_show_button(t, topup_id),)),
        expects=Reason(topup_id=topup_id),
    )


def receipt(topup_id: TopUpId, files: Sequence[Attachment]) -> tuple[Media, ...]:
    """The files of a receipt, as they came."""
    return tuple(
        Media(url=file.reference, kind=kind_of(file.mime), name=f"receipt-{topup_id}-{number}")
        for number, file in enumerate(files, start=1)
    )


def person(t: Texts, user_id: UserId, name: str) -> str:
    """A person as an administrator knows them."""
    return t.admin_person(shortened(name, 64), str(user_id))


def roubles(amount: Money) -> str:
    """An amount inside an action, as `parse_roubles` reads it: `450` or `450.50`."""
    whole, kopecks = divmod(amount.kopecks, 100)
    return f"{whole}.{kopecks:02}" if kopecks else str(whole)


def _decision(t: Texts, case: Case, tz: tzinfo) -> list[str]:
    topup = case.topup
    who = shortened(case.decided_by, 64) or t.admin_operator
    when = "" if topup.reviewed_at is None else t.notation.at(topup.reviewed_at, tz)
    match topup.status:
        case TopUpStatus.PENDING:
            return [t.admin_pending]
        case TopUpStatus.CANCELLED:
            return [t.admin_cancelled]
        case TopUpStatus.APPROVED:
            return ["", t.admin_approved(t.money(topup.amount), who, when)]
        case TopUpStatus.REJECTED:
            why = [t.admin_rejected_why(topup.why)] if topup.why else []
            return ["", t.admin_rejected(who, when), *why]
        case TopUpStatus.MANUAL_REVIEW:
            return [t.admin_corrected(t.money(topup.amount))] if topup.is_corrected else []


def _list_button(t: Texts) -> Button:
    return Button(t.button_requests, Action.of("admin", "topups"), minor=True)


def _show_button(t: Texts, topup_id: TopUpId) -> Button:
    return Button(t.button_back, Action.of("admin", "topup", "show", topup_id), minor=True)
