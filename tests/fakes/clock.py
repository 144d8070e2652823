"""A clock that stands still until it is told to go on."""

from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


class FakeClock:
    """Says the same moment (aware, UTC) until it is advanced or set."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now.astimezone(UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> datetime:
        """Let so many seconds pass, none of them backwards; the new moment."""
        if seconds < 0:
            raise ValueError(f"time does not go back: {seconds}")
        self.now += timedelta(seconds=seconds)
        return self.now
