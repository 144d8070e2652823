"""How Telegram goes wrong on demand, and how much it takes in a second."""

import asyncio
import math
import re
import time
from collections.abc import Callable
from typing import Literal, TypeAlias

from attrs import define, field, frozen

from tests.fakes.telegram_rules import RefusedError

FaultKind: TypeAlias = Literal["flood", "bad_gateway", "error", "forbidden", "drop", "hang"]

BAD_GATEWAY = """<html>
<head><title>502 Bad Gateway</title></head>
<body>
<center><h1>502 Bad Gateway</h1></center>
<hr><center>nginx/1.18.0</center>
</body>
</html>
"""

ROUNDED_S = 1e-6
"""What sums of seconds may be wrong by."""

COUNTED = re.compile(r"(send(?!chataction)|edit|copy|forward)")
"""The methods that count for the limits: each shows a person something."""


@define(eq=False)
class Fault:
    """
    What goes wrong.

    `flood` is 429 with `retry_after` seconds, `bad_gateway` a page of 502, `error` 500,
    `forbidden` 403; `drop` closes the connection, `hang` is silent until the fault is healed.
    For this method and chat only where they are given, so often (None: until healed). Where it
    `is_taken`, Telegram did what it was asked before that. `hits` is how often it happened. The
    method of a download is `file`.
    """

    kind: FaultKind
    method: str | None = None
    chat_id: int | None = None
    times: int | None = 1
    retry_after: int = 3
    is_taken: bool = False
    hits: int = 0
    over: asyncio.Event = field(factory=asyncio.Event)

    def is_for(self, method: str, chat_id: object) -> bool:
        """Whether this call goes wrong."""
        return (
            not self.over.is_set()
            and (self.times is None or self.hits < self.times)
            and (self.method is None or self.method.lower() == method)
            and (self.chat_id is None or str(self.chat_id) == str(chat_id))
        )


@frozen(kw_only=True)
class Limits:
    """
    How many messages Telegram takes, in all within a second and for one chat a second; None: any.

    Source: "My bot is hitting limits" in Telegram's bots FAQ, 30 and 1, and that short bursts in a
    chat are let pass: `burst` at once. What an edit counts there is not said. `clock` is in
    seconds.
    """

    overall: int | None = 30
    chat: float | None = 1
    burst: float = 3
    edit: float = 0.5
    clock: Callable[[], float] = time.monotonic


@define
class Meter:
    """Counts messages; `floods` are those that came too fast."""

    limits: Limits = field(factory=lambda: Limits(overall=None, chat=None))
    sent: list[tuple[float, int]] = field(factory=list)
    """When each was taken and for which chat."""
    floods: int = 0
    _due: dict[int, float] = field(factory=dict)
    """When all that a chat was sent would have gone at its pace."""

    def count(self, method: str, chat_id: int | None, number: int = 1) -> None:
        """
        Take a call, of so many messages.

        Raises:
            RefusedError: 429, it came too fast.
        """
        if chat_id is None or not COUNTED.match(method):
            return
        limits, now = self.limits, self.limits.clock()
        if limits.overall is not None:
            lately = [at for at, _ in self.sent[-limits.overall :] if at > now - 1]
            if len(lately) >= limits.overall:
                raise self._flooded(lately[0] + 1 - now)
        if limits.chat is not None:
            due = max(self._due.get(chat_id, now), now)
            weight = limits.edit if method.startswith("edit") else number
            # An album may be more than a burst; it is taken where a message would be.
            allowed = (limits.burst - min(weight, 1)) / limits.chat
            if due - now > allowed + ROUNDED_S:
                raise self._flooded(due - now - allowed)
            self._due[chat_id] = due + weight / limits.chat
        self.sent += [(now, chat_id)] * number

    def most_in_a_second(self, chat_id: int | None = None) -> int:
        """The most that were taken within any second, in all or for a chat."""
        times = [at for at, to in self.sent if chat_id in {None, to}]
        return max((sum(at <= each < at + 1 for each in times) for at in times), default=0)

    def _flooded(self, seconds: float) -> RefusedError:
        self.floods += 1
        return flood(max(1, math.ceil(seconds)))


def flood(seconds: int) -> RefusedError:
    """Telegram wants to hear nothing for so long."""
    return RefusedError(429, f"Too Many Requests: retry after {seconds}", retry_after=seconds)
