"""
Balance: the wallet, the amounts of a top-up, where to send the money, the receipt.
"""

from collections.abc import Sequence
from datetime import tzinfo

from attrs import frozen

from kiebot.core.billing import DEMO_REF
from kiebot.core.dialog import menu
from kiebot.core.dialog.generation import QUICK_TOPUPS
from kiebot.core.dialog.menu import Row
from kiebot.core.dialog.screen import Action, Button, Screen
from kiebot.core.dialog.texts import Texts, shortened
from kiebot.core.expect import Amount, Receipt
from kiebot.core.terms import PaymentDetails, Terms
from kiebot.core.topups import TopUp, TopUpStatus
from kiebot.core.wallet import EntryKind, LedgerEntry, Wallet

CARD_DIGITS = 16
"""Digits of a card number that is written in fours. Source: ISO/IEC 7812, as banks issue them."""

WHY_CHARS = 100
"""Characters of a reason beside a movement."""


@frozen(kw_only=True)
class Movement:
    """A line of the ledger and, where it belongs to a job, the title of its model."""

    entry: LedgerEntry
    title: str | None = None


def wallet(
    t: Texts,
    purse: Wallet,
    open_jobs: int,
    movements: Sequence[Movement],
    topup: TopUp | None,
    tz: tzinfo,
    *,
    is_open: bool = True,
) -> Screen:
    """What there is, what is set aside, and what moved lately. `is_open`: top-ups are taken."""
    head = t.balance(t.money(purse.available))
    if purse.held:
        head = f"{head}\n{t.reserved(t.money(purse.held), open_jobs)}"
    parts = [head, movement_lines(t, movements, tz) or t.no_movements]
    rows: list[Row] = []
    if topup is not None:
        parts.append(_waiting(t, topup))
        rows += _waiting_rows(t, topup)
    rows.append(
        (
            Button(
                t.button_topup if is_open else t.button_topup_closed, Action.of("topup", "main")
            ),
            Button(t.button_all_movements, Action.of("history", "ledger")),
        )
    )
    return menu.message(t, "\n\n".join(parts), *rows)


def movement_lines(t: Texts, movements: Sequence[Movement], tz: tzinfo) -> str:
    """Movements, one a line; a hold and what settled it are one."""
    return "\n".join(_line(t, movement, tz) for movement in movements)


def amounts(t: Texts, terms: Terms, topup: TopUp | None) -> Screen:
    """How much to top up."""
    limits = t.topup_limits(t.money(terms.topup_min), t.money(terms.topup_max))
    parts = [f"{t.topup}\n{limits}"]
    rows: list[Row] = []
    if topup is not None:
        parts.append(_waiting(t, topup))
        rows += _waiting_rows(t, topup)
    quick = [amount for amount in QUICK_TOPUPS if terms.topup_min <= amount <= terms.topup_max]
    rows += menu.in_rows(
        Button(t.money(amount), Action.of("topup", amount.kopecks // 100)) for amount in quick
    )
    rows.append((Button(t.button_other_amount, Action.of("topup", "custom")),))
    return Screen(text="\n\n".join(parts), buttons=(*rows, _back_row(t)))


def amount_question(t: Texts, terms: Terms, note: str = "") -> Screen:
    """Another amount, to be typed."""
    asked = t.amount_wanted(t.money(terms.topup_min), t.money(terms.topup_max))
    text = f"{note}\n\n{asked}" if note else asked
    back = Button(t.button_back, Action.of("topup", "main"), minor=True)
    return Screen(text=text, buttons=((back,),), expects=Amount())


def wrong_amount(t: Texts, terms: Terms) -> str:
    """What was typed is no amount."""
    return t.not_an_amount(t.money(terms.topup_min), t.money(terms.topup_max))


def transfer(t: Texts, topup: TopUp, payment: PaymentDetails, note: str = "") -> Screen:
    """Where to send the money; the receipt is asked for."""
    card = card_number(payment.card)
    where = " · ".join(word for word in (payment.bank, card, payment.holder) if word)
    parts = [f"{t.transfer(t.money(topup.amount))}\n{where}", t.receipt_wanted]
    if note:
        parts.insert(0, note)
    cancel = Button(t.button_topup_cancel, Action.of("topup", "cancel", topup.id), minor=True)
    return Screen(
        text="\n\n".join(parts),
        buttons=((cancel,), menu.menu_row(t)),
        expects=Receipt(topup_id=topup.id),
        copyable=(card,),
    )


def card_number(card: str) -> str:
    """As it stands on the card: sixteen digits in fours; anything else as the owner wrote it."""
    digits = "".join(card.split())
    if len(digits) != CARD_DIGITS or not (digits.isascii() and digits.isdigit()):
        return card
    return " ".join(digits[at : at + 4] for at in range(0, CARD_DIGITS, 4))


def receipt_taken(t: Texts, topup: TopUp) -> Screen:
    """The receipt, or one more file of it, is here."""
    number = topup.id.upper()
    text = t.receipt_taken(number) if len(topup.receipt) < 2 else t.receipt_joined(number)
    return menu.message(t, text, _wallet_row(t))


def topup_now(t: Texts, topup: TopUp) -> Screen:
    """A request that is no longer what an old button says."""
    match topup.status:
        case TopUpStatus.APPROVED:
            text = t.topup_approved(t.money(topup.amount))
        case TopUpStatus.REJECTED:
            text = t.topup_rejected(topup.id.upper(), t.money(topup.requested))
        case TopUpStatus.MANUAL_REVIEW:
            text = t.topup_reviewed(topup.id.upper(), t.money(topup.amount))
        case TopUpStatus.PENDING:
            text = t.topup_pending(t.money(topup.amount))
        case TopUpStatus.CANCELLED:
            text = t.topup_cancelled
    return menu.message(t, text, _wallet_row(t))


def topup_dropped(t: Texts) -> Screen:
    """The person cancelled the request."""
    return menu.message(t, t.topup_dropped, _wallet_row(t))


def topup_closed(t: Texts) -> Screen:
    """There is nowhere to send money to."""
    support = Button(t.button_help, Action.of("paysupport", "main"), minor=True)
    wallet_button = Button(t.button_balance, Action.of("balance", "main"), minor=True)
    return menu.message(t, t.topup_closed, (wallet_button, support))


def ledger(
    t: Texts, movements: Sequence[Movement], older: int | None, tz: tzinfo, *, is_first: bool
) -> Screen:
    """The movements of a person; `older` is where the next page begins."""
    lines = movement_lines(t, movements, tz) or t.no_movements
    turns = []
    if not is_first:
        turns.append(Button(t.button_newer, Action.of("history", "ledger"), minor=True))
    if older is not None:
        turns.append(Button(t.button_older, Action.of("history", "ledger", older), minor=True))
    rows: tuple[Row, ...] = (tuple(turns),) if turns else ()
    return Screen(text=f"{t.ledger}\n\n{lines}", buttons=(*rows, _back_row(t)))


def _line(t: Texts, movement: Movement, tz: tzinfo) -> str:
    entry = movement.entry
    amount = t.money(entry.amount)
    match entry.kind:
        case EntryKind.TOPUP | EntryKind.GRANT | EntryKind.REFUND:
            moved = f"+{amount}"
        case EntryKind.DEBIT | EntryKind.HOLD | EntryKind.CHARGE:
            moved = f"−{amount}"
        case EntryKind.RELEASE:
            moved = t.movement_back(amount)
    words = t.movement[entry.kind]
    if movement.title is not None:
        words = t.movement_job[entry.kind](shortened(movement.title, 60))
    # The toy money of a demo has no reason that is a person's business.
    if entry.why and not entry.ref.startswith(DEMO_REF):
        words = t.colon(words, shortened(entry.why, WHY_CHARS))
    return f"{t.notation.at(entry.at, tz)}  {moved}  {words}"


def _waiting(t: Texts, topup: TopUp) -> str:
    if topup.status is TopUpStatus.PENDING:
        return t.topup_pending(t.money(topup.amount))
    return t.topup_reviewed(topup.id.upper(), t.money(topup.amount))


def _waiting_rows(t: Texts, topup: TopUp) -> list[Row]:
    if topup.status is not TopUpStatus.PENDING:
        return []
    return [
        (
            Button(t.button_topup_open, Action.of("topup", "open", topup.id)),
            Button(t.button_topup_cancel, Action.of("topup", "cancel", topup.id), minor=True),
        )
    ]


def _wallet_row(t: Texts) -> Row:
    return (Button(t.button_balance, Action.of("balance", "main")),)


def _back_row(t: Texts) -> Row:
    back = Button(t.button_balance, Action.of("balance", "main"), minor=True)
    return (back, *menu.menu_row(t))
