"""
The account's limits at kie.ai, and how near a client came to them.

Source: kie.ai's "Getting Started" page, 20 new tasks in any 10 s for an account; its status page of
2025, 10 queries in any second for a key.
"""

from collections import deque

from attrs import frozen


@frozen(kw_only=True)
class Limits:
    """How many new tasks and looks are taken; None: as many as come."""

    creates_in_10s: int | None = 20
    queries_in_1s: int | None = 10


@frozen(kw_only=True)
class Counts:
    """
    What was asked for until now.

    `most_…` are the largest numbers that came within any window, whether taken or refused.
    """

    creates: int
    creates_refused: int
    most_creates_in_10s: int
    queries: int
    queries_refused: int
    most_queries_in_1s: int


class Window:
    """A sliding window: what came `seconds` ago or earlier does not count any more."""

    def __init__(self, seconds: float, limit: int | None) -> None:
        self.count = 0
        self.refused = 0
        self.most = 0
        self._seconds = seconds
        self._limit = limit
        self._seen: deque[float] = deque()
        self._taken: deque[float] = deque()

    def take(self, at: float) -> bool:
        """Whether there is room for one that comes now; `at` in seconds, never going back."""
        for moments in (self._seen, self._taken):
            while moments and moments[0] <= at - self._seconds:
                moments.popleft()
        self.count += 1
        self._seen.append(at)
        self.most = max(self.most, len(self._seen))
        if self._limit is not None and len(self._taken) >= self._limit:
            self.refused += 1
            return False
        self._taken.append(at)
        return True
