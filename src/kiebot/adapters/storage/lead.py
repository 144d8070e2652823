"""
Leading: one process at a time works for everybody of a scope.

What decides is a row with a token and a moment `until`, which the leader moves ahead every third
of the lease. Who finds it in the past takes the lead over and raises the token; what is still
written under the old token is refused. So a leader that was frozen and wakes up does no harm.

Beside the row there may be a lock that the system drops when its holder dies. It is only the fast
path by which a killed leader is noticed at once, and it counts only where the row says that the
leader had it: else a frozen leader's successor, which cannot have the lock, would be turned out by
whoever gets it next.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Protocol

from kiebot.core.errors import StorageError, StorageUnavailableError


class Seat(Protocol):
    """The leader's place of one scope in one database."""

    @property
    def alarm(self) -> asyncio.Event:
        """Set while our lock is gone and the row does not say so: others may take over now."""

    async def take(self) -> int | None:
        """Take the lead if nobody has it; the token, or None."""

    async def wait(self) -> None:
        """Until it may be worth trying again."""

    async def renew(self, token: int) -> bool:
        """Stay for another lease; False where the token is no longer ours."""

    async def leave(self, token: int) -> None:
        """Nobody leads now."""

    async def close(self) -> None:
        """Give the lock back."""


class HeldLead:
    """A lead while it is ours, and a little longer for who has not noticed."""

    def __init__(self, scope: str, token: int, seat: Seat, lease_s: float, asked_at: float) -> None:
        self.scope = scope
        self.token = token
        self.lost = asyncio.Event()
        self._seat = seat
        self._lease_s = lease_s
        self._until = asked_at + lease_s

    def holds(self) -> bool:
        """Whether it is ours still; the lease is counted from before the database was asked."""
        return (
            monotonic() < self._until and not self.lost.is_set() and not self._seat.alarm.is_set()
        )

    async def keep(self) -> None:
        """Renew it every third of the lease, until it is lost."""
        try:
            while await self._renewed():
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._lease_s / 3):
                        await self._seat.alarm.wait()
        finally:
            self.lost.set()

    async def _renewed(self) -> bool:
        """Renew it, again and again if need be; False where it is another's, or time is up."""
        while (left := self._until - monotonic()) > 0:
            asked_at = monotonic()
            renewing = asyncio.create_task(self._seat.renew(self.token))
            try:
                # A database that is silent must not keep us from knowing that time is up.
                await asyncio.wait([renewing], timeout=left)
                if not renewing.done():
                    return False
                is_ours = renewing.result()
            except StorageError:
                await asyncio.sleep(self._lease_s / 10)
                continue
            except asyncio.CancelledError:
                renewing.cancel()
                await asyncio.wait([renewing])
                raise
            finally:
                renewing.cancel()
                renewing.add_done_callback(_forget)
            if is_ours:
                self._until = asked_at + self._lease_s
            return is_ours
        return False


@asynccontextmanager
async def leading(scope: str, seat: Seat, lease_s: float) -> AsyncIterator[HeldLead]:
    """Wait for the seat, keep it while the block runs, and leave it."""
    try:
        lead = await _taken(scope, seat, lease_s)
        keeping = asyncio.create_task(lead.keep(), name=f"lead of {scope}")
        try:
            yield lead
        finally:
            keeping.cancel()
            await asyncio.wait([keeping])
            lead.lost.set()
            with suppress(StorageError):
                await seat.leave(lead.token)
    finally:
        await seat.close()


async def _taken(scope: str, seat: Seat, lease_s: float) -> HeldLead:
    while True:
        asked_at = monotonic()
        try:
            token = await seat.take()
            if token is not None:
                return HeldLead(scope, token, seat, lease_s, asked_at)
            await seat.wait()
        except StorageUnavailableError:
            # Who stands by has nothing better to do than to wait for the database as well.
            await asyncio.sleep(min(1.0, lease_s / 3))


def holder() -> str:
    """Who we are, for whoever reads the row."""
    return f"{socket.gethostname()}:{os.getpid()}"


def _forget(task: "asyncio.Task[bool]") -> None:
    """Take note of how it ended; nobody else will."""
    if not task.cancelled():
        task.exception()
