"""
Waits: until when something is left alone, by clocks that are set right now and then.

Whoever leaves something alone stores the moment from which it may be taken up again. Where the
clock is then set back, by hours perhaps, that moment lies farther ahead than anybody ever waits.
Nobody waits until the clock is there again: it may be taken up now.
"""

from datetime import datetime, timedelta

CLOCKS_APART = timedelta(minutes=1)
"""How far apart clocks of machines may be that share a database. Our choice: NTP does better."""


def beyond(at: datetime, longest: timedelta) -> datetime:
    """
    What is left alone until after this was left so by a clock that was ahead.

    `longest` is the longest that anything of its kind is ever left alone.
    """
    return at + longest + CLOCKS_APART


def is_over(until: datetime, at: datetime, beyond: datetime | None = None) -> bool:
    """Whether what was left alone until then may be taken up at `at`."""
    return until <= at or (beyond is not None and until > beyond)


def is_recent(since: datetime, at: datetime, pause: timedelta) -> bool:
    """
    Whether something happened so recently that it does not happen again.

    What lies ahead by more than clocks are apart was noted by one that was wrong: it is no reason.
    """
    return -CLOCKS_APART <= at - since < pause
