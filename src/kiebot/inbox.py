"""
The inbox: updates that were received, who handles them, and what marks them as done.

What an update asks for happens once: the first change that is recorded while it is handled says, in
the same transaction, that it is done, and is refused where that was said before. An update that
changes nothing is done when it is answered.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, cast

from attrs import define, evolve

from kiebot.core.billing import Change
from kiebot.core.errors import StaleError, UpdateDoneError
from kiebot.core.figures import Figures
from kiebot.core.updates import KEPT, PRUNED, QUEUE, Update
from kiebot.core.users import UserId
from kiebot.ports.storage import Lead, Storage, UnitOfWork
from kiebot.ports.system import Clock

PRESENT = timedelta(seconds=15)
"""After so long without a word a taker is thought dead."""


class Inbox:
    """
    Updates of people, from their arrival to their reply.

    Whoever works through it has a name of its own (`taker`). With a `lead` nothing is written after
    it is lost (LeadLostError). All raise StorageError.
    """

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock

    @contextmanager
    def handling(self, update: Update, lead: Lead | None = None) -> Iterator[None]:
        """
        What is recorded inside is what this update asks for.

        Recording raises UpdateDoneError where another instance was quicker, and LeadLostError where
        the lead is another's; what is read is not concerned.
        """
        token = _HANDLING.set(_Handling(update.id, lead, is_done=update.is_done))
        try:
            yield
        finally:
            _HANDLING.reset(token)

    async def receive(
        self, updates: Sequence[Update], lead: Lead | None = None
    ) -> tuple[Sequence[Update], Sequence[Update]]:
        """
        Store updates; those that are new, and those for which the person's queue is too long.

        Known ones are passed over.
        """
        at = self._clock()
        new: list[Update] = []
        refused: list[Update] = []
        waiting: dict[UserId, int] = {}
        async with self._storage.begin(lead) as uow:
            for update in updates:
                person = update.user_id
                if person not in waiting:
                    waiting[person] = await uow.inbox.waiting_of(person)
                if waiting[person] >= QUEUE:
                    if not await uow.inbox.knows(update.id):
                        refused.append(update)
                elif await uow.inbox.store(update.id, person, update.body, at):
                    waiting[person] += 1
                    new.append(update)
        return new, refused

    async def take(
        self, taker: str, limit: int, lease: timedelta, lead: Lead | None = None
    ) -> Sequence[Update]:
        """Take some people of whom updates wait; the oldest update of each."""
        at = self._clock()
        async with self._storage.begin(lead) as uow:
            return await uow.inbox.take(taker, limit, at, at + lease)

    async def keep(
        self, taker: str, people: Sequence[UserId], lease: timedelta, lead: Lead | None = None
    ) -> set[UserId]:
        """Keep people for another while; those who are still this taker's."""
        async with self._storage.begin(lead) as uow:
            return await uow.inbox.renew(taker, people, self._clock() + lease)

    async def answered(self, taker: str, update: Update, lead: Lead | None = None) -> None:
        """Nothing is left to do for this update, and the person's next one may be taken."""
        at = self._clock()
        async with self._storage.begin(lead) as uow:
            await uow.inbox.answered(update.id, at)
            await uow.inbox.give_back(taker, update.user_id, at)

    async def put_off(
        self,
        taker: str,
        update: Update,
        pause: timedelta,
        *,
        failed: bool,
        lead: Lead | None = None,
    ) -> None:
        """Leave the person alone for a while, then try again; `failed`: count it."""
        async with self._storage.begin(lead) as uow:
            if failed:
                await uow.inbox.failed(update.id)
            await uow.inbox.give_back(taker, update.user_id, self._clock() + pause)

    async def is_waiting(self, user_id: UserId) -> bool:
        """Whether more than one update of a person waits."""
        async with self._storage.read() as uow:
            return await uow.inbox.waiting_of(user_id) > 1

    async def free(self, lead: Lead) -> None:
        """For who alone handles updates now: nobody else has taken anybody."""
        async with self._storage.begin(lead) as uow:
            await uow.inbox.free()

    async def present(self, taker: str) -> int:
        """This taker lives; how many do, with it."""
        at = self._clock()
        async with self._storage.begin() as uow:
            return await uow.instances.note(taker, at, at - PRESENT)

    async def leave(self, taker: str) -> None:
        """This taker is about to end."""
        async with self._storage.begin() as uow:
            await uow.instances.leave(taker)

    async def prune(self, lead: Lead | None = None) -> bool:
        """Remove some of what was answered and told long ago; whether there may be more."""
        before = self._clock() - KEPT
        async with self._storage.begin(lead) as uow:
            updates = await uow.inbox.prune(before, PRUNED)
        async with self._storage.begin(lead) as uow:
            events = await uow.outbox.prune(before, PRUNED)
        async with self._storage.begin(lead) as uow:
            notices = await uow.notices.prune(before, PRUNED)
        return max(updates, events, notices) == PRUNED

    async def figures(self) -> Figures:
        """How much of everything there is."""
        async with self._storage.read() as uow:
            return await uow.figures()


def marking(storage: Storage) -> Storage:
    """The storage, but what is recorded while an update is handled says that it is done."""
    return cast("Storage", _MarkingStorage(storage))


@define
class _Handling:
    """The update that is being handled; `is_done` once a change said so."""

    update_id: int
    lead: Lead | None
    is_done: bool


_HANDLING: ContextVar[_Handling | None] = ContextVar("kiebot_handling", default=None)


class _MarkingStorage:
    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    @asynccontextmanager
    async def begin(self, lead: Lead | None = None) -> AsyncIterator[UnitOfWork]:
        handling = _HANDLING.get()
        if handling is None:
            async with self._storage.begin(lead) as uow:
                yield uow
            return
        marked: _MarkingUnitOfWork | None = None
        async with self._storage.begin(lead or handling.lead) as uow:
            if handling.is_done:
                yield uow
            else:
                marked = _MarkingUnitOfWork(uow, handling.update_id)
                yield cast("UnitOfWork", marked)
        # Only now: what was rolled back has marked nothing.
        if marked is not None and marked.has_marked:
            handling.is_done = True


class _MarkingUnitOfWork:
    def __init__(self, uow: UnitOfWork, update_id: int) -> None:
        self._uow = uow
        self._update_id = update_id
        self.has_marked = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._uow, name)

    async def record(self, change: Change) -> None:
        if self.has_marked:
            await self._uow.record(change)
            return
        try:
            await self._uow.record(evolve(change, update_id=self._update_id))
        except StaleError as error:
            if error.what == "update":
                raise UpdateDoneError(self._update_id) from error
            raise
        self.has_marked = True
