"""Updates: how much one person may do."""

from kiebot.core.updates import BURST, STEADY, Tally


def done(seconds: int, a_second: int) -> int:
    """How many updates of somebody who does so many a second are not too much."""
    tally, taken = Tally(), 0
    for number in range(seconds * a_second):
        now = number / a_second
        if not tally.is_full(now):
            tally = tally.plus_one(now)
            taken += 1
    return taken


def test_nobody_who_uses_their_hands_is_too_fast() -> None:
    assert done(60, STEADY) == 60 * STEADY
    assert done(1, BURST) == BURST


def test_a_flood_is_cut_to_what_is_steady() -> None:
    assert BURST + 9 * STEADY <= done(10, 1000) <= BURST + 10 * STEADY


def test_a_silence_is_forgotten() -> None:
    tally = Tally().plus_one(100.0)

    assert not tally.is_empty(100.0)
    assert tally.is_empty(100.0 + 1 / STEADY)
