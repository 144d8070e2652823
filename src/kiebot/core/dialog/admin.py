"""
For administrators: the top-ups that wait, one of them, and the decision.
"""

from collections.abc import Sequence
from datetime import tzinfo

from kiebot.core.dialog import menu
from kiebot.core.dialog.menu import Row
from kiebot.core.dialog.screen import Action, Button, Media, Screen
from kiebot.core.dialog.texts import Texts, shortened
from kiebot.core.expect import Amount, Expect, Reason
from kiebot.core.media import Attachment, kind_of
from kiebot.core.money import Money
from kiebot.core.overview import Review
from kiebot.core.terms import Terms
from kiebot.core.topups import TopUp, TopUpId, TopUpStatus
from kiebot.core.users import User

REASON_CHARS = 500
"""Characters of a reason. Our choice: it is shown whole to the person."""


def topups(t: Texts, waiting: Sequence[TopUp], tz: tzinfo) -> Screen:
    """Everything that waits for a decision."""
    back = Button(t.button_admin_menu, Action.of("admin", "main"), minor=True)
    if not waiting:
        return Screen(text=t.admin_no_topups, buttons=((back, *menu.menu_row(t)),))
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
    text = t.admin_topups(len(waiting))
    return Screen(text=text, buttons=(*rows, (back, *menu.menu_row(t))))


def request(t: Texts, case: Review, tz: tzinfo) -> Screen:
    """One request: who, how much, the receipt, and what can be decided, or what was."""
    topup = case.topup
    who = person_known(t, case.person, case.topped_up, tz)
    lines = [t.admin_request(topup.id.upper(), t.money(topup.amount), who)]
    if case.person.blocked_at is not None:
        lines.append(t.admin_blocked_since(t.notation.when(case.person.blocked_at, tz)))
    if topup.is_corrected:
        lines.append(t.admin_requested(t.money(topup.requested)))
    lines += _warning(t, case.seen, tz)
    if topup.receipt:
        lines.append(t.admin_receipts(len(topup.receipt)))
    lines += _decision(t, case, tz)
    return Screen(
        text="\n".join(lines),
        buttons=(
            *decision_rows(t, topup),
            (_person_button(t, case.person),),
            (_list_button(t), *menu.menu_row(t)),
        ),
        media=receipt(topup.id, topup.receipt),
        review=topup.id,
    )


def joined(
    t: Texts, case: Review, file: Attachment, number: int, tz: tzinfo, *, warns: bool
) -> Screen:
    """
    One more file of a request that was shown before, and the decision once more. `warns`: it was
    seen with another request.
    """
    topup = case.topup
    who = person(t, case.person)
    lines = [
        t.admin_request(topup.id.upper(), t.money(topup.amount), who),
        t.admin_receipt_more(str(number)),
        *_warning(t, case.seen if warns else None, tz),
        *_decision(t, case, tz),
    ]
    show = Button(
        t.button_request(
            topup.id.upper(), t.money(topup.amount), t.notation.at(topup.created_at, tz)
        ),
        Action.of("admin", "topup", "show", topup.id),
        minor=True,
    )
    return Screen(
        text="\n".join(lines),
        buttons=(*decision_rows(t, topup), (show,), (_list_button(t), *menu.menu_row(t))),
        media=(_file(topup.id, file, number),),
    )


def decision_rows(t: Texts, topup: TopUp) -> tuple[Row, ...]:
    """The buttons of a decision, where there is one to be made."""
    if topup.status is not TopUpStatus.MANUAL_REVIEW:
        return ()
    # An amount that was corrected is named in the action itself.
    exact = (roubles(topup.amount),) if topup.is_corrected else ()
    return (
        (
            Button(
                t.button_approve(t.money(topup.amount)),
                Action.of("admin", "topup", "approve", topup.id, *exact),
            ),
        ),
        (
            Button(t.button_other_sum, Action.of("admin", "topup", "amount", topup.id)),
            Button(t.button_reject, Action.of("admin", "topup", "reject", topup.id)),
        ),
    )


def amount_question(
    t: Texts, topup_id: TopUpId, terms: Terms, note: str = "", after: Expect | None = None
) -> Screen:
    """The amount that really came."""
    asked = t.admin_amount_wanted(t.money(terms.topup_min), t.money(terms.topup_max))
    return Screen(
        text=f"{note}\n\n{asked}" if note else asked,
        buttons=((_show_button(t, topup_id),),),
        expects=Amount(topup_id=topup_id, after=after),
    )


def reason_question(
    t: Texts, topup_id: TopUpId, note: str = "", after: Expect | None = None
) -> Screen:
    """Why it is rejected."""
    asked = t.admin_reason_wanted(topup_id.upper())
    skip = Button(t.button_no_reason, Action.of("mskip", topup_id, "reason"))
    return Screen(
        text=f"{note}\n\n{asked}" if note else asked,
        buttons=((skip,), (_show_button(t, topup_id),)),
        expects=Reason(topup_id=topup_id, after=after),
    )


def receipt(topup_id: TopUpId, files: Sequence[Attachment]) -> tuple[Media, ...]:
    """The files of a receipt, as they came."""
    return tuple(_file(topup_id, file, number) for number, file in enumerate(files, start=1))


def person(t: Texts, who: User) -> str:
    """A person as an administrator knows them."""
    named = t.admin_person(shortened(who.name, 64), str(who.id))
    return named if who.nickname is None else f"{named}, @{shortened(who.nickname, 64)}"


def person_known(t: Texts, who: User, topped_up: Sequence[Money], tz: tzinfo) -> str:
    """A person, since when they are known, and what they topped up so far."""
    total = Money(sum(amount.kopecks for amount in topped_up))
    known = (
        t.admin_known_since(t.notation.on(who.created_at, tz)),
        t.admin_topped_up(len(topped_up), t.money(total)),
    )
    return f"{person(t, who)} ({', '.join(known)})"


def roubles(amount: Money) -> str:
    """An amount inside an action, as `parse_roubles` reads it: `450` or `450.50`."""
    whole, kopecks = divmod(amount.kopecks, 100)
    return f"{whole}.{kopecks:02}" if kopecks else str(whole)


def _warning(t: Texts, seen: TopUp | None, tz: tzinfo) -> list[str]:
    if seen is None:
        return []
    when = t.notation.on(seen.reviewed_at or seen.created_at, tz)
    return [t.admin_seen(seen.id.upper(), t.topup_status[seen.status], when)]


def _file(topup_id: TopUpId, file: Attachment, number: int) -> Media:
    return Media(url=file.reference, kind=kind_of(file.mime), name=f"receipt-{topup_id}-{number}")


def _decision(t: Texts, case: Review, tz: tzinfo) -> list[str]:
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


def _person_button(t: Texts, who: User) -> Button:
    label = t.button_person(shortened(who.name, 40) or str(who.id))
    return Button(label, Action.of("admin", "user", who.id), minor=True)


def _list_button(t: Texts) -> Button:
    return Button(t.button_requests, Action.of("admin", "topups"), minor=True)


def _show_button(t: Texts, topup_id: TopUpId) -> Button:
    return Button(t.button_back, Action.of("admin", "topup", "show", topup_id), minor=True)
