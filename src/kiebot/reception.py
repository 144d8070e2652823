"""
Reception: updates as they come, stored at once, and handled one by one for each person.

It decides nothing about what people want; its frontend does, with the conversation. It sees to it
that nothing that was stored is lost, that what an update asks for happens once, that people are
served side by side, and that nobody can slow the others down.
"""

import asyncio
import json
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

from attrs import define, field

from kiebot.app import Kiebot, Pulse
from kiebot.core.dialog.screen import Screen
from kiebot.core.errors import (
    FrontendRefusedError,
    FrontendUnavailableError,
    LeadLostError,
    SilencedError,
    StorageError,
    UpdateDoneError,
)
from kiebot.core.updates import BURST, TRIES, Tally, Update, pause
from kiebot.core.users import UserId
from kiebot.ports.frontend import UpdateFrontend
from kiebot.ports.storage import Lead
from kiebot.waiting import cancel, first

log = logging.getLogger(__name__)

AT_ONCE = 32
"""People who are served side by side: one slow answer holds up nobody else."""

IDLE_S = 1.0
"""How soon updates that another instance stored, or left behind, are noticed."""

REST_S = 1.0
"""How long to wait for a database that does not answer."""

PATIENCE_S = 300.0
"""How long handling an update may take. Our choice: longer than it takes to look into a file."""

UNREACHED = timedelta(seconds=5)
"""How long a person who cannot be reached now is left alone. A newer update does not wait."""

LINGERING = 100
"""People whose reply is waited for beside those who are served; of more only this process knows."""

TURNED_AWAY_S = 10.0
"""How often at most a person is told in a message that they are too fast."""

TURNED_AWAY = 10
"""Presses of a person that are told so in that time; whoever presses on has been told."""

SILENT_S = 3.0
"""
Seconds without an answer, for want of the database, after which a person is told that it takes
longer. Our choice: it starts anew in less.
"""

HELD_UP = 1000
"""People who are told so in one outage, at most."""

PACES = 1000
"""People of whom it is known how much they did before those are forgotten who did nothing since."""

PRESENCE_S = 5.0
"""How often an instance that is not alone says that it lives, and asks how many do."""

PRESSES_AT_ONCE = 64
"""Presses that are answered side by side; who waits longer sees it when it is handled."""

ShowScreen = Callable[[UserId], Awaitable[Screen]]
"""A screen for a person that no update asked for."""

TurnAway = Callable[[Update, bool], Awaitable[None]]
"""
Says that an update is not taken, as much of the person's waits already: to a press in a word, and
with True in a message, too. Raises nothing.
"""

AskToWait = Callable[[Update], Awaitable[None]]
"""
Says that an update is kept, here or where it came from, and its answer takes longer. It needs no
database, and raises nothing.
"""

Note = Callable[[str, float], None]
"""Hears how an update ended (`done`, `elsewhere`, `refused`, `failed`, ...) and its seconds."""


async def say_nothing(_: Update) -> None:
    """For a frontend in which nobody has to be asked to wait."""


class Reception:
    """
    Takes updates in, and has each handled by the frontend.

    `where` is the screen for who did something and never saw what came of it, `went_wrong` the one
    for who will never see it. `lease_s` is how long a silent instance keeps the people it serves.
    """

    def __init__(
        self,
        kiebot: Kiebot,
        frontend: UpdateFrontend,
        *,
        where: ShowScreen,
        went_wrong: ShowScreen,
        turn_away: TurnAway,
        lease_s: float,
        ask_to_wait: AskToWait = say_nothing,
        note: Note = lambda *_: None,
    ) -> None:
        self._inbox = kiebot.inbox
        self._frontend = frontend
        self._where = where
        self._went_wrong = went_wrong
        self._turn_away = turn_away
        self._ask_to_wait = ask_to_wait
        self._lease = timedelta(seconds=lease_s)
        self._note = note
        self._taker = secrets.token_hex(8)
        self._pulse = Pulse()
        self._at_work: dict[UserId, asyncio.Task[None]] = {}
        self._lingering: dict[UserId, asyncio.Event] = {}
        self._until: dict[UserId, float] = {}
        self._presses = asyncio.Semaphore(PRESSES_AT_ONCE)
        self._beside: set[asyncio.Task[None]] = set()
        self._turned_away: dict[UserId, _Told] = {}
        self._paces: dict[UserId, _Pace] = {}
        self._held_up: dict[UserId, Update] = {}
        self._instances = 0
        self._stopping = asyncio.Event()

    async def take_in(self, updates: Sequence[Update], lead: Lead | None = None) -> None:
        """
        Store updates. When this returns they may be acknowledged: they will be handled.

        Of who is far too fast none is stored, and the database is not asked: that nobody else waits
        for it.

        Raises:
            StorageError: None was stored.
            LeadLostError: None was stored, and another instance leads.
        """
        began = asyncio.get_running_loop().time()
        slow = []
        for update in updates:
            if self._pace(update.user_id).is_too_fast(began):
                self._refuse(update)
            else:
                slow.append(update)
        if not slow:
            return
        try:
            await self._store_in_turn(slow, lead)
        except (StorageError, asyncio.CancelledError):
            # Whoever sent it sends it again; how soon is theirs to say.
            for update in slow:
                self._hold_up(update, lead, began)
            raise

    async def _store_in_turn(self, updates: Sequence[Update], lead: Lead | None) -> None:
        people = {update.user_id for update in updates}
        if len(people) > 1:
            await self._store(updates, lead)
            return
        # Each takes one place at the database at a time, however much they send at once.
        async with self._pace(people.pop()).turn():
            await self._store(updates, lead)

    async def _store(self, updates: Sequence[Update], lead: Lead | None) -> None:
        new, refused = await self._inbox.receive(updates, lead)
        for update in new:
            self._pace(update.user_id).note(asyncio.get_running_loop().time())
            self._do_beside(self._answer_press(update))
            if update.user_id in self._lingering:
                self._lingering[update.user_id].set()
        for update in refused:
            self._pace(update.user_id).note(asyncio.get_running_loop().time())
            self._refuse(update)
        if new:
            self._pulse.beat()

    async def run(self, lead: Lead | None = None) -> None:
        """
        Handle what waits, until told to stop, cancelled, or the lead is lost.

        With a lead it is the only one on its database that does, so that it takes over at once what
        another one had in hand.
        """
        keeping = asyncio.create_task(self._keep(lead))
        living = asyncio.create_task(self._live() if lead is None else _nothing())
        self._held_up.clear()
        try:
            while lead is not None and not self._stopping.is_set():
                try:
                    await self._inbox.free(lead)
                    break
                except StorageError as error:
                    await self._rest(error)
            while not self._stopping.is_set() and (lead is None or not lead.lost.is_set()):
                beat = self._pulse.next()
                await self._take_up(lead)
                await first((beat, self._stopping), self._at_work.values(), within_s=IDLE_S)
                self._tidy()
            if self._stopping.is_set() and self._at_work:
                await asyncio.wait(list(self._at_work.values()))
        except LeadLostError:
            pass
        finally:
            await cancel([keeping, living, *self._at_work.values()])
            self._at_work.clear()

    def stop(self) -> None:
        """Take nothing up any more; `run` returns when what is in hand is finished."""
        self._stopping.set()

    @property
    def in_hand(self) -> int:
        """How many people are being served."""
        return len(self._at_work)

    async def close(self) -> None:
        """End what is done beside."""
        await cancel(self._beside)

    # Inside

    async def _take_up(self, lead: Lead | None) -> None:
        room = AT_ONCE - len(self._at_work) + len(self._lingering)
        if room <= 0 or (lead is not None and not lead.holds()):
            return
        until = self._lease_from_now()
        try:
            taken = await self._inbox.take(self._taker, room, self._lease, lead)
        except StorageError as error:
            await self._rest(error)
            return
        self._tidy()
        for update in taken:
            name = f"update {update.id}"
            earlier = self._at_work.get(update.user_id)
            if earlier is not None and earlier.get_name() == name:
                # We were too busy to say in time that we serve them, and still do.
                continue
            self._until[update.user_id] = until
            self._at_work[update.user_id] = asyncio.create_task(
                self._handle(update, lead, earlier), name=name
            )

    async def _handle(
        self, update: Update, lead: Lead | None, earlier: asyncio.Task[None] | None = None
    ) -> None:
        """
        One update, to its end; only being cancelled leaves it.

        `earlier` has given the person back, and is about to end.
        """
        began = asyncio.get_running_loop().time()
        how = ""
        try:
            if earlier is not None:
                await asyncio.wait({earlier})
            how = await self._answer(update, lead)
            await self._finish(update, how, lead)
            self._held_up.pop(update.user_id, None)
        except (StorageError, LeadLostError) as error:
            if not how:
                self._hold_up(update, lead, began)
            # The lease ends, and it is taken up again, here or elsewhere.
            how = "interrupted"
            log.warning("update interrupted: %s", error, extra=_about(update))
            await self._give_back(update, lead)
        except asyncio.CancelledError:
            await self._give_back(update, lead)
            raise
        self._note(how, asyncio.get_running_loop().time() - began)

    async def _answer(self, update: Update, lead: Lead | None) -> str:
        """Do what it asks for, or show what came of it; how it went."""
        if update.is_done:
            # It was done, and whoever did it died before they could say so.
            self._do_beside(self._answer_press(update))
            with self._inbox.handling(update, lead):
                return await self._show(update, self._where)
        try:
            with self._inbox.handling(update, lead):
                async with asyncio.timeout(PATIENCE_S):
                    reply = await self._frontend.handle(
                        json.loads(update.body), lambda: self._is_ours(update, lead)
                    )
        except (UpdateDoneError, SilencedError):
            return "elsewhere"
        except FrontendRefusedError:
            return "refused"
        except FrontendUnavailableError:
            return "unreached"
        except (StorageError, LeadLostError):
            raise
        except Exception:
            log.exception("update failed", extra={**_about(update), "tries": update.tries + 1})
            if update.tries + 1 < TRIES:
                return "failed"
            with self._inbox.handling(update, lead):
                await self._show(update, self._went_wrong)
            return "given_up"
        return "done" if reply is None else await self._linger(update, reply)

    async def _linger(self, update: Update, reply: asyncio.Future[None]) -> str:
        """
        Until the reply is delivered, or a newer update brings another: whoever comes after us
        would else not know that it never was. No place of those who are served is taken by it.
        """
        if len(self._lingering) >= LINGERING:
            return "done"
        newer = self._lingering[update.user_id] = asyncio.Event()
        self._pulse.beat()
        try:
            while not reply.done():
                newer.clear()
                if await self._inbox.is_waiting(update.user_id):
                    return "replaced"
                if self._stopping.is_set():
                    return "unreached"
                await first((newer, self._stopping), (reply,), within_s=IDLE_S)
        finally:
            del self._lingering[update.user_id]
        is_silenced = not reply.cancelled() and isinstance(reply.exception(), SilencedError)
        return "elsewhere" if is_silenced else "done"

    async def _show(self, update: Update, make_screen: ShowScreen) -> str:
        try:
            await self._frontend.show(update.user_id, await make_screen(update.user_id))
        except FrontendRefusedError:
            return "refused"
        except SilencedError:
            return "elsewhere"
        except FrontendUnavailableError:
            return "unreached"
        except (StorageError, LeadLostError):
            raise
        except Exception:
            # It is not worth a second try: the person has a menu.
            log.exception("a screen could not be shown", extra=_about(update))
        return "shown"

    async def _finish(self, update: Update, how: str, lead: Lead | None) -> None:
        match how:
            case "failed":
                await self._inbox.put_off(
                    self._taker, update, pause(update.tries + 1), failed=True, lead=lead
                )
            case "elsewhere":
                # Whoever did it may be gone before they could say so: then it is for us to show.
                await self._inbox.put_off(
                    self._taker, update, timedelta(seconds=REST_S), failed=False, lead=lead
                )
            case "unreached" if not await self._inbox.is_waiting(update.user_id):
                await self._inbox.put_off(self._taker, update, UNREACHED, failed=False, lead=lead)
            case _:
                await self._inbox.answered(self._taker, update, lead)

    async def _give_back(self, update: Update, lead: Lead | None) -> None:
        """As soon as may be: else the person waits until the lease ends."""
        until = self._until.get(update.user_id, 0.0)
        if not await self._is_given_back(update, lead):
            self._do_beside(self._give_back_later(update, lead, until))

    async def _give_back_later(self, update: Update, lead: Lead | None, until: float) -> None:
        """When the database answers again, if nobody can have taken the person meanwhile."""
        now = asyncio.get_running_loop().time
        while now() + REST_S < until and (lead is None or not lead.lost.is_set()):
            await asyncio.sleep(REST_S)
            if await self._is_given_back(update, lead):
                self._pulse.beat()
                return

    async def _is_given_back(self, update: Update, lead: Lead | None) -> bool:
        try:
            await self._inbox.put_off(
                self._taker, update, timedelta(seconds=REST_S), failed=False, lead=lead
            )
        except LeadLostError:
            # Whoever leads now frees everybody.
            return True
        except StorageError as error:
            log.debug("not given back: %s", error, extra=_about(update))
            return False
        return True

    async def _keep(self, lead: Lead | None) -> None:
        """Say in time that people are still being served; let go of whom another one has."""
        pause_s = self._lease.total_seconds() / 3
        while True:
            await asyncio.sleep(pause_s)
            people = list(self._at_work)
            if not people:
                continue
            until = self._lease_from_now()
            try:
                kept = await self._inbox.keep(self._taker, people, self._lease, lead)
            except (StorageError, LeadLostError) as error:
                log.debug("not kept: %s", error)
                continue
            self._until |= {user_id: until for user_id in kept if user_id in self._at_work}
            for user_id in set(people) - kept:
                handling = self._at_work.get(user_id)
                if handling is not None and not handling.done():
                    log.warning("another instance serves the person", extra={"user_id": user_id})
                    handling.cancel()

    def _is_ours(self, update: Update, lead: Lead | None) -> bool:
        """Whether nobody else can have taken the person meanwhile."""
        if lead is not None:
            return lead.holds()
        return asyncio.get_running_loop().time() < self._until.get(update.user_id, 0.0)

    def _lease_from_now(self) -> float:
        return asyncio.get_running_loop().time() + self._lease.total_seconds()

    async def _live(self) -> None:
        """Share what the frontend may send in a second with the other instances."""
        try:
            while True:
                try:
                    self._instances = await self._inbox.present(self._taker)
                    self._frontend.share(self._instances)
                except StorageError as error:
                    log.debug("not counted: %s", error)
                await asyncio.sleep(PRESENCE_S)
        finally:
            # Else the others notice it in time.
            with suppress(StorageError, TimeoutError):
                async with asyncio.timeout(REST_S):
                    await self._inbox.leave(self._taker)

    async def _answer_press(self, update: Update) -> None:
        async with self._presses:
            try:
                await self._frontend.answer_press(json.loads(update.body))
            except Exception:
                log.exception("a press was not answered", extra=_about(update))

    def _hold_up(self, update: Update, lead: Lead | None, began: float) -> None:
        """It has to wait for the database: whose it is is told so, once, if that goes on."""
        if update.user_id not in self._held_up and len(self._held_up) < HELD_UP:
            self._held_up[update.user_id] = update
            self._do_beside(self._say_so(update, lead, began + SILENT_S))

    async def _say_so(self, update: Update, lead: Lead | None, at: float) -> None:
        await asyncio.sleep(at - asyncio.get_running_loop().time())
        # Where there are others, one of them may have answered, or have said so.
        is_alone = self._instances == 1 if lead is None else lead.holds()
        if is_alone and self._held_up.get(update.user_id) is update:
            log.info("asked to wait", extra=_about(update))
            await self._ask_to_wait(update)

    def _refuse(self, update: Update) -> None:
        """Say that it is not taken, as often as anybody can read that."""
        self._note("turned_away", 0.0)
        now = asyncio.get_running_loop().time()
        for known in [k for k, v in self._turned_away.items() if now - v.since >= TURNED_AWAY_S]:
            del self._turned_away[known]
        told = self._turned_away.setdefault(update.user_id, _Told(now))
        told.times += 1
        if told.times <= TURNED_AWAY:
            log.info("too fast", extra=_about(update))
            self._do_beside(self._turn_away(update, told.times == 1))

    def _pace(self, user_id: UserId) -> "_Pace":
        if len(self._paces) >= PACES and user_id not in self._paces:
            now = asyncio.get_running_loop().time()
            self._paces = {k: v for k, v in self._paces.items() if not v.is_idle(now)}
        return self._paces.setdefault(user_id, _Pace())

    def _do_beside(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    def _tidy(self) -> None:
        for user_id in [id_ for id_, task in self._at_work.items() if task.done()]:
            task = self._at_work.pop(user_id)
            self._until.pop(user_id, None)
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("handling ended unexpectedly", exc_info=error)

    async def _rest(self, error: StorageError) -> None:
        log.warning("the inbox cannot be read: %s", error)
        await asyncio.sleep(REST_S)


@define
class _Pace:
    """How much a person did lately, and how many of their updates wait to be stored."""

    tally: Tally = field(factory=Tally)
    waiting: int = 0
    storing: asyncio.Lock = field(factory=asyncio.Lock)

    def is_too_fast(self, now: float) -> bool:
        """Whether no more is taken of them now."""
        return self.waiting >= BURST or self.tally.is_full(now)

    def is_idle(self, now: float) -> bool:
        """Whether nothing has to be remembered."""
        return not self.waiting and self.tally.is_empty(now)

    def note(self, now: float) -> None:
        """One more was stored, or refused by the database: what it knows already is no haste."""
        self.tally = self.tally.plus_one(now)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """One after the other."""
        self.waiting += 1
        try:
            async with self.storing:
                yield
        finally:
            self.waiting -= 1


@define
class _Told:
    """Since when, and how often, a person did what was turned away."""

    since: float
    times: int = 0


def _about(update: Update) -> dict[str, Any]:
    return {"update_id": update.id, "user_id": update.user_id}


async def _nothing() -> None:
    """Who leads alone has nobody to share with."""
