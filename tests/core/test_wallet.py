"""Wallets and ledger entries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiebot.core.errors import InsufficientFundsError
from kiebot.core.money import Money
from kiebot.core.wallet import EFFECTS, EntryKind, LedgerEntry, fold, post
from tests.fakes.values import BUYER, NOON, entry, wallet

AFTER = {
    EntryKind.TOPUP: wallet(1100, 500),
    EntryKind.GRANT: wallet(1100, 500),
    EntryKind.DEBIT: wallet(900, 500),
    EntryKind.HOLD: wallet(900, 600),
    EntryKind.CHARGE: wallet(1000, 400),
    EntryKind.RELEASE: wallet(1100, 400),
    EntryKind.REFUND: wallet(1100, 500),
}


@pytest.mark.parametrize("kind", EntryKind)
def test_each_kind_does_what_the_table_of_the_interface_says(kind: EntryKind) -> None:
    assert post(wallet(1000, 500), entry(kind, 100)) == AFTER[kind]


@pytest.mark.parametrize("kind", [kind for kind in EntryKind if min(EFFECTS[kind]) < 0])
def test_nothing_falls_below_zero(kind: EntryKind) -> None:
    with pytest.raises(InsufficientFundsError):
        post(wallet(99, 99), entry(kind, 100))


def test_an_entry_moves_more_than_nothing() -> None:
    with pytest.raises(ValueError, match="more than nothing"):
        entry(EntryKind.TOPUP, 0)


def test_an_operators_entry_names_who_and_why() -> None:
    with pytest.raises(ValueError, match="who and why"):
        LedgerEntry(
            ref="grant:1", user_id=BUYER, kind=EntryKind.GRANT, amount=Money(1), at=NOON, by="ann"
        )


def test_an_entry_of_a_job_names_it() -> None:
    with pytest.raises(ValueError, match="job id"):
        entry(EntryKind.HOLD, 1, job_id=None)


@given(st.lists(st.tuples(st.sampled_from(EntryKind), st.integers(1, 10**12))))
def test_a_wallet_is_the_sum_of_what_was_applied(moves: list[tuple[EntryKind, int]]) -> None:
    now, applied = wallet(), []
    for number, (kind, kopecks) in enumerate(moves):
        move = entry(kind, kopecks, ref=f"{number}")
        try:
            now = post(now, move)
        except InsufficientFundsError:
            continue
        applied.append(move)

    assert fold(BUYER, applied) == now
    assert now.available.kopecks == sum(EFFECTS[e.kind][0] * e.amount.kopecks for e in applied)
    assert now.held.kopecks == sum(EFFECTS[e.kind][1] * e.amount.kopecks for e in applied)
