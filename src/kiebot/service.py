"""
One instance of a shop that people reach from outside, beside others on the same database.

One of them leads: it works on jobs, tells people, and where updates have to be asked for, it alone
asks and handles them; the others stand by. Where updates come by themselves, everybody handles.
"""

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Protocol

from kiebot.app import Kiebot
from kiebot.core.errors import (
    LeadLostError,
    SchemaAheadError,
    StorageError,
    StorageUnavailableError,
    WrongDatabaseError,
)
from kiebot.core.updates import Update
from kiebot.ports.frontend import UpdateFrontend
from kiebot.ports.storage import Lead, Storage
from kiebot.reception import Reception
from kiebot.waiting import cancel, first
from kiebot.worker import Worker

log = logging.getLogger(__name__)

FINISH_S = 3.5
"""How long what is in hand may take when we are to stop."""

CLOSE_S = 2.5
"""
How long the frontend may then take to deliver replies. Together, with a last answer of KIE and the
end of the process itself, that is less than 10 seconds on a busy machine, too.
"""

LOOK_S = 2.0
"""How often a database is looked at that does not answer, or whose schema does not fit yet."""

PRUNE_S = 600.0
"""How often old updates and news are removed; while there are many, every second."""


class Asking(Protocol):
    """Where updates have to be asked for."""

    @property
    def is_receiving(self) -> bool:
        """Whether updates arrive."""

    async def run(self, lead: Lead) -> None:
        """Ask, and have stored what comes, until the lead is lost."""


class Calling(Protocol):
    """Where updates come by themselves, once it was said where to."""

    @property
    def is_receiving(self) -> bool:
        """Whether that was said."""

    async def set(self) -> None:
        """Say where to, until it is heard."""


class Service:
    """
    What an instance does, until it is told to stop.

    `facts` are what the database is to be used as (`Storage.claim`). Exactly one of `asking` and
    `calling` is given.
    """

    def __init__(
        self,
        kiebot: Kiebot,
        storage: Storage,
        worker: Worker,
        reception: Reception,
        frontend: UpdateFrontend,
        *,
        facts: Sequence[tuple[str, str]],
        asking: Asking | None = None,
        calling: Calling | None = None,
    ) -> None:
        self._kiebot = kiebot
        self._storage = storage
        self._worker = worker
        self._reception = reception
        self._frontend = frontend
        self._facts = tuple(facts)
        self._asking = asking
        self._calling = calling
        self._lead: Lead | None = None
        self._fits = asyncio.Event()
        self._stopping = asyncio.Event()
        self._is_connected = True
        self._trouble = ""

    # What others ask

    @property
    def is_leading(self) -> bool:
        """Whether this instance leads."""
        return self._lead is not None and self._lead.holds()

    def may_speak(self) -> bool:
        """Whether this instance may call the frontend's far side now."""
        return self._calling is not None or self.is_leading

    def readiness(self) -> tuple[bool, Mapping[str, str]]:
        """Whether people are served here, and as what; else why not."""
        if self._stopping.is_set():
            return False, {"reason": "stopping"}
        if self._calling is None and not self.is_leading:
            return False, {"role": "standby"} | self._reason("")
        role = "leader" if self.is_leading else "worker"
        if not self._fits.is_set():
            return False, {"role": role} | self._reason("the database is not migrated yet")
        if not self._is_connected:
            return False, {"role": role, "reason": "the database does not answer"}
        source = self._asking or self._calling
        if source is None or not source.is_receiving:
            return False, {"role": role, "reason": "no updates are received yet"}
        return True, {"role": role}

    async def take_in(self, update: Update) -> None:
        """An update came by itself (StorageError)."""
        if not self._fits.is_set():
            raise StorageUnavailableError("the database is not migrated yet")
        await self._reception.take_in([update])

    # Its life

    async def refuse_others(self) -> Mapping[str, str]:
        """
        Say no to a database that is used as something else, before anything is done; what it is
        used as.

        Raises:
            WrongDatabaseError: Another bot's, or live and not demo, or the reverse.
        """
        claimed = await self._storage.claimed()
        for what, wanted in self._facts:
            found = claimed.get(what, wanted)
            if found != wanted:
                raise WrongDatabaseError(what, found=found, wanted=wanted)
        return claimed

    async def run(self) -> None:
        """
        Until `stop`, and then until what is in hand is finished, or time is up.

        Raises:
            ConfigError: A setting is refused from outside.
            WrongDatabaseError: The database is used as something else.
            SchemaAheadError: The database is a newer release's.
        """
        await self._look_first()
        lives = [asyncio.create_task(self._lead_for_ever(), name="kiebot lead")]
        lives.append(asyncio.create_task(self._watch_database(), name="kiebot database"))
        if self._calling is not None:
            lives.append(asyncio.create_task(self._receive(self._calling), name="kiebot reception"))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({*lives, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not self._stopping.is_set():
                return
            log.info("stopping")
            await self._end(lives)
        finally:
            stopping.cancel()
            await cancel(lives)
            await self._reception.close()
            for life in lives:
                if not life.cancelled() and (error := life.exception()) is not None:
                    raise error

    def stop(self) -> None:
        """Take nothing up any more, finish what is in hand, and end."""
        self._stopping.set()
        self._reception.stop()
        self._worker.stop()

    # Inside

    async def _end(self, lives: Sequence[asyncio.Task[None]]) -> None:
        leading, watching, *receiving = lives
        watching.cancel()
        if self._lead is None:
            # It only waits for the lead.
            leading.cancel()
        if receiving:
            await asyncio.wait({leading, *receiving}, timeout=FINISH_S + 0.3)
            await self._frontend.close()
        else:
            # It closes the frontend itself, while it still leads.
            await asyncio.wait({leading}, timeout=FINISH_S + CLOSE_S)

    async def _look_first(self) -> None:
        """Make a new database ready at once; a used one is for who leads to change."""
        claimed = await self.refuse_others()
        if await self._storage.missing_migrations():
            if claimed:
                # Somebody may be using it still: it is for who leads to change it.
                return
            await self._storage.migrate()
        await self._claim()

    async def _claim(self) -> None:
        await self._storage.claim(self._facts)
        self._trouble = ""
        self._fits.set()

    async def _lead_for_ever(self) -> None:
        while not self._stopping.is_set():
            async with self._kiebot.lead(self._worker.scope) as lead:
                self._lead = lead
                log.info("leading", extra={"number": lead.token})
                try:
                    await self._lead_on(lead)
                except LeadLostError:
                    pass
                finally:
                    self._lead = None
            if not self._stopping.is_set():
                log.warning("the lead is lost")

    async def _lead_on(self, lead: Lead) -> None:
        works: list[Coroutine[Any, Any, None]] = [self._worker.serve(lead)]
        beside: list[Coroutine[Any, Any, None]] = [self._prune(lead), self._frontend.run()]
        if self._asking is not None:
            works.append(self._reception.run(lead))
            beside.append(self._asking.run(lead))
        preparing = asyncio.create_task(self._migrate())
        try:
            await first((lead.lost, self._stopping), (preparing,))
            if not preparing.done():
                return
            preparing.result()
            await self._do(lead.lost, works, beside)
        finally:
            await cancel([preparing])
            for unused in (*works, *beside):
                unused.close()
        if self._asking is not None and self._stopping.is_set() and lead.holds():
            # While we still may speak.
            await self._frontend.close()

    async def _receive(self, calling: Calling) -> None:
        """Where updates come by themselves."""
        while not self._fits.is_set():
            await self._wait_for_schema()
            if self._stopping.is_set():
                return
        never = asyncio.Event()
        await self._do(never, [self._reception.run()], [calling.set()])

    async def _do(
        self,
        lost: asyncio.Event,
        works: Sequence[Coroutine[Any, Any, None]],
        beside: Sequence[Coroutine[Any, Any, None]],
    ) -> None:
        """
        Do all of this until the lead is lost, or until told to stop: then `beside` ends at once,
        and `works` when they are finished, or time is up. What goes wrong in one ends all.
        """
        to_finish = [asyncio.create_task(work) for work in works]
        to_end = [asyncio.create_task(work) for work in beside]
        try:
            while not lost.is_set() and not self._stopping.is_set():
                await first((lost, self._stopping), (*to_finish, *to_end))
                for task in (*to_finish, *to_end):
                    if task.done():
                        task.result()
                to_end = [task for task in to_end if not task.done()]
                if all(task.done() for task in to_finish):
                    return
            await cancel(to_end)
            if not lost.is_set():
                left = [task for task in to_finish if not task.done()]
                await _first_all(left, lost, FINISH_S)
        finally:
            await cancel([*to_end, *to_finish])

    async def _migrate(self) -> None:
        """For who leads: bring the schema to this release, or wait for who may."""
        while not self._fits.is_set():
            try:
                if await self._storage.missing_migrations():
                    done = await self._storage.migrate()
                    log.info("migrated", extra={"migrations": list(done)})
                await self._claim()
            except (SchemaAheadError, WrongDatabaseError):
                raise
            except StorageError as error:
                self._trouble = "the database waits for `kiebot migrate`"
                log.warning("not migrated: %s", error)
                await asyncio.sleep(LOOK_S)

    async def _wait_for_schema(self) -> None:
        """For who does not lead: one look, and a pause where it does not fit."""
        try:
            if not await self._storage.missing_migrations():
                await self._claim()
                return
            self._trouble = "the database is not migrated yet"
        except (SchemaAheadError, WrongDatabaseError):
            raise
        except StorageError as error:
            log.warning("the schema cannot be read: %s", error)
        await first((self._fits, self._stopping), within_s=LOOK_S)

    async def _watch_database(self) -> None:
        while True:
            try:
                async with asyncio.timeout(LOOK_S * 2):
                    await self._kiebot.ping()
                self._is_connected = True
            except (StorageError, TimeoutError):
                self._is_connected = False
            await asyncio.sleep(LOOK_S)

    async def _prune(self, lead: Lead) -> None:
        while True:
            is_more = False
            try:
                is_more = await self._kiebot.inbox.prune(lead)
            except StorageError as error:
                log.debug("nothing was removed: %s", error)
            await asyncio.sleep(1.0 if is_more else PRUNE_S)

    def _reason(self, otherwise: str) -> dict[str, str]:
        reason = self._trouble or otherwise
        return {"reason": reason} if reason else {}


async def _first_all(
    tasks: Sequence[asyncio.Task[None]], lost: asyncio.Event, seconds: float
) -> None:
    """Wait until all the tasks are done, the lead is lost, or the time is over."""
    end = asyncio.get_running_loop().time() + seconds
    while not lost.is_set() and (left := end - asyncio.get_running_loop().time()) > 0:
        open_ = [task for task in tasks if not task.done()]
        if not open_:
            return
        await first((lost,), open_, within_s=left)
