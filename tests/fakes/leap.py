"""A loop whose clock leaps: who sleeps wakes at once, at the moment they wanted. No real I/O."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

TICK_S = 1e-6
"""What each turn of the loop takes."""


class _LeapSelector(selectors.SelectSelector):
    """Nothing is waited for: the time that would have passed has passed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise AssertionError("everybody waits for something that never comes")
        # A clock that stands still while something is done would have no end of "not yet".
        self.now += max(timeout, TICK_S)
        return super().select(0)


class LeapLoop(asyncio.SelectorEventLoop):
    """Begins at 0 seconds."""

    def __init__(self) -> None:
        self._leaps = _LeapSelector()
        super().__init__(self._leaps)

    def time(self) -> float:
        """Seconds since it began, most of them never spent."""
        return self._leaps.now

    def run_in_executor(  # type: ignore[override]
        self,
        executor: Any,  # noqa: ARG002 - no thread
        func: Any,
        *args: Any,
    ) -> Any:
        """At once, and in no thread: time would leap while it works."""
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as exc:
            done.set_exception(exc)
        return done


def leap(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run to the end, however long that would take."""
    with asyncio.Runner(loop_factory=LeapLoop) as runner:
        return runner.run(coroutine)
