"""
A loop with real I/O in which nobody who only sleeps is waited for.

Where nothing has come for a moment and no database is being asked, its clock leaps towards the next
moment that somebody wants: a pause of five seconds takes hundredths of one. What the machine really
does takes the time that it takes, so that no timeout is over before its time by much.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, TypeVar

from tests.fakes.clock import START

T = TypeVar("T")

QUIET_S = 0.01
"""How long nothing must have come before the clock leaps."""

LEAP_S = 5.0
"""The longest leap: shorter than any timeout that a database is given."""


class _HastySelector(selectors.DefaultSelector):
    """Cuts waiting short, and knows by how much."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped_s = 0.0
        self.is_busy: Callable[[], bool] = lambda: False

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None or timeout <= QUIET_S:
            return super().select(timeout)
        found = super().select(QUIET_S)
        if not found and not self.is_busy():
            self.skipped_s += min(timeout - QUIET_S, LEAP_S)
        return found


class HastyLoop(asyncio.SelectorEventLoop):
    """Its clock leaps where all are asleep."""

    def __init__(self) -> None:
        self._hasty = _HastySelector()
        super().__init__(self._hasty)
        self._began = super().time()

    def time(self) -> float:
        """Seconds, with those that nobody spent."""
        return super().time() + self._hasty.skipped_s

    def now(self) -> datetime:
        """The loop's time as that of a day."""
        return START + timedelta(seconds=self.time() - self._began)

    def mind(self, is_busy: Callable[[], bool]) -> None:
        """Leap only while this says that nobody works for us."""
        self._hasty.is_busy = is_busy


def now() -> datetime:
    """A clock that goes as the hasty loop's does."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, HastyLoop)
    return loop.now()


def hasten(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run to the end, with nobody's pauses."""
    with asyncio.Runner(loop_factory=HastyLoop) as runner:
        return runner.run(coroutine)
