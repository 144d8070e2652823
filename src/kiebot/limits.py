"""
Limits: how often an account may call KIE, kept across everything that runs on one database.

A limit is a number of slots. A call takes a slot, and the slot may be taken again one window after
the answer has come. KIE has counted a call before it answers, so that in no window more calls
reach it than the limit has slots, whatever the network does to them on their way. A process that
dies in a call leaves its slot taken for the longest time that a call may last.

Source of both limits: KIE's documentation, "20 new generation requests per 10 seconds" for an
account, and 10 status queries a second for a key.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from datetime import datetime, timedelta
from typing import Self

from attrs import field, frozen

from kiebot.core import waits
from kiebot.core.errors import StorageError
from kiebot.core.terms import Terms
from kiebot.ports.storage import Storage
from kiebot.ports.system import Clock

CREATES = timedelta(seconds=10)
QUERIES = timedelta(seconds=1)

SLACK = timedelta(milliseconds=20)
"""Added to a window: clocks tick apart."""

SHORTEST_WAIT_S = 0.005

log = logging.getLogger(__name__)


@frozen
class _Taken:
    """A slot that is ours; `until` is when others may take it if we are not heard of again."""

    slot: int
    until: datetime


@frozen
class Limit:
    """At most `slots` calls in any `window`, waited for in the order in which they are asked."""

    name: str
    slots: int
    window: timedelta
    _storage: Storage
    _clock: Clock
    _call_timeout: timedelta
    _queue: asyncio.Lock = field(factory=asyncio.Lock, init=False)
    _made: asyncio.Event = field(factory=asyncio.Event, init=False)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn; the block is one call."""
        async with self._queue:
            taken = await self._take()
        try:
            yield
        finally:
            await self._give_back(taken)

    async def _take(self) -> _Taken:
        while True:
            trying = asyncio.ensure_future(self._try())
            try:
                found = await asyncio.shield(trying)
            except asyncio.CancelledError:
                # The database may be giving us a slot at this moment; no call was made in it.
                with suppress(StorageError):
                    found = await trying
                    if isinstance(found, _Taken):
                        await self._give(found, timedelta(0))
                raise
            if isinstance(found, _Taken):
                return found
            await asyncio.sleep(found)

    async def _try(self) -> _Taken | float:
        """A slot, or in how many seconds to look again."""
        at = self._clock()
        longest = self._call_timeout + self.window + SLACK
        until, beyond = at + longest, waits.beyond(at, longest)
        async with self._storage.begin() as uow:
            if not self._made.is_set():
                await uow.limits.make(self.name, self.slots)
            slot = await uow.limits.take(self.name, self.slots, at, until, beyond)
            if slot is None:
                free_at = await uow.limits.free_at(self.name, self.slots)
        self._made.set()
        if slot is not None:
            return _Taken(slot, until)
        # While calls are under way `free_at` is only the latest that it can be. The answer to one
        # may be here next, and then its slot is free one window later: no slot is free sooner.
        soonest = self._clock() + self.window + SLACK
        wait = (min(free_at or soonest, soonest) - self._clock()).total_seconds()
        return max(wait, SHORTEST_WAIT_S)

    async def _give_back(self, taken: _Taken) -> None:
        giving = asyncio.ensure_future(self._give(taken, self.window + SLACK))
        try:
            await asyncio.shield(giving)
        except asyncio.CancelledError:
            # Still to its end: or the slot is lost for the longest time that a call may last.
            with suppress(StorageError):
                await giving
            raise
        except StorageError:
            # What the call brought must not be lost with it.
            log.warning("a turn was not given back", extra={"limit": self.name})

    async def _give(self, taken: _Taken, rest: timedelta) -> None:
        async with self._storage.once() as uow:
            await uow.limits.give(self.name, taken.slot, taken.until, self._clock() + rest)


@frozen
class Account:
    """The limits of an account at KIE; None where there is none, as with the stub."""

    creates: Limit | None = None
    queries: Limit | None = None

    @classmethod
    def of(cls, storage: Storage, clock: Clock, terms: Terms) -> Self:
        """The limits as the operator set them."""

        def limit(name: str, slots: int | None, window: timedelta) -> Limit | None:
            if slots is None:
                return None
            return Limit(name, slots, window, storage, clock, terms.call_timeout)

        return cls(
            creates=limit("creates", terms.creates_per_10s, CREATES),
            queries=limit("queries", terms.queries_per_s, QUERIES),
        )

    def creating(self) -> AbstractAsyncContextManager[None]:
        """A turn to create a task."""
        return nullcontext() if self.creates is None else self.creates.turn()

    def asking(self) -> AbstractAsyncContextManager[None]:
        """A turn to ask about a task."""
        return nullcontext() if self.queries is None else self.queries.turn()
