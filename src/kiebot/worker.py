"""
The worker: which jobs are due, which events are untold, and when to look again.

It decides nothing about jobs or money; it calls `Kiebot`. `step` does all that is due now and
returns; `run` does that for as long as it may. Resume is not a mode: a fresh worker looks for due
jobs and untold events, as every step does.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from attrs import frozen

from kiebot.app import Kiebot
from kiebot.core.dialog.screen import Screen
from kiebot.core.errors import (
    FrontendRefusedError,
    FrontendUnavailableError,
    KiebotError,
    LeadLostError,
    StorageError,
)
from kiebot.core.events import Event, Untold
from kiebot.core.users import UserId
from kiebot.core.wallet import JobId
from kiebot.ports.frontend import Frontend
from kiebot.ports.media import OpenFile
from kiebot.ports.storage import Lane, Lead
from kiebot.waiting import cancel, first

log = logging.getLogger(__name__)

AT_ONCE = 16
"""Jobs of a lane, or people, looked after side by side: one slow answer holds up nobody else."""

BATCH = 200
"""Jobs of one `step` read at a time."""

NEWS = 16
"""Events told to a person before others have their turn."""

AT_ONCE_OF_ONE = 4
"""Jobs of one person that are submitted side by side: files may be slow, and others wait."""

ROWS = 4 * AT_ONCE
"""
Due jobs of a lane, or people with news, read at a time: a person who has many jobs must not hide
all others.
"""

IDLE_S = 1.0
"""How soon work and news that another process left are noticed."""

REST_S = 5.0
"""How long a job or a person that failed unexpectedly is left alone."""

DATABASE_REST_S = 1.0
"""How long to wait for a database that does not answer: it starts anew in about a second."""

SWEEP_S = 60.0
"""Seconds between looks for drafts that nobody touched for long."""

CREDITS_S = 4 * 60 * 60.0
"""Seconds between looks at what is left at KIE."""

MakeScreen = Callable[[Event], Awaitable[Screen]]
"""The screen that tells an event, in the language of the person it tells."""


class Worker:
    """
    Works on the jobs of a scope while it leads, and tells people at its frontend.

    `audience` is the one person that the frontend talks to; None: everybody who is not local.
    Without a frontend it only works: whoever embeds kiebot tells people, and files are addresses.
    """

    def __init__(
        self,
        kiebot: Kiebot,
        frontend: Frontend | None,
        make_screen: MakeScreen,
        *,
        audience: UserId | None,
    ) -> None:
        self._kiebot = kiebot
        self._frontend = frontend
        self._make_screen = make_screen
        self._audience = audience
        self._local = audience is not None
        self._resting: dict[object, float] = {}
        self._seen: int | None = None
        self._told_last: UserId | None = None
        self._stopping = asyncio.Event()
        self._swept_at = float("-inf")
        self._credits_at = float("-inf")

    @property
    def scope(self) -> str:
        """Which jobs it works on: those of people of the terminal, or those of everybody else."""
        return "local" if self._local else "remote"

    async def step(self, lead: Lead | None = None) -> None:
        """Everything that is due now: each due job one step, each untold event told."""
        await self._sweep(lead)
        for lane in Lane:
            jobs = await self._kiebot.due(BATCH, lane, local=self._local)
            await asyncio.gather(*(self._advance(job.id, lead) for job in jobs))
        await self._check_credits(lead)
        await self.tell()

    async def run(self) -> None:
        """Work and tell until cancelled, or told to stop."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._forever(self._work))
            if self._frontend is not None:
                group.create_task(self._forever(self._tell))

    async def serve(self, lead: Lead) -> None:
        """
        Work and tell under a lead that somebody else keeps, until it is lost, or told to stop:
        then when what is in hand is finished.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._until_over(lead, lambda: self._work_under(lead)))
            if self._frontend is not None:
                group.create_task(self._until_over(lead, lambda: self._tell(lead)))

    def stop(self) -> None:
        """Take nothing up any more; what is in hand is finished."""
        self._stopping.set()

    async def tell(self, lead: Lead | None = None) -> None:
        """
        Tell everybody what they were not told yet: each in order, people side by side.

        With a lead nothing is said when it is lost (LeadLostError, where it was lost meanwhile).
        """
        if self._frontend is None:
            return
        telling: dict[UserId, asyncio.Task[None]] = {}
        try:
            while True:
                await self._take_up_news(telling, lead)
                if not telling:
                    return
                await asyncio.wait(telling.values(), return_when=asyncio.FIRST_COMPLETED)
                _reap(telling)
        finally:
            await cancel(telling.values())

    async def has_told(self) -> bool:
        """Whether nothing is left to tell here, also of what another frontend told meanwhile."""
        return not await self._awaiting(None, 1)

    # Work

    async def _work(self) -> None:
        async with self._kiebot.lead(self.scope) as lead:
            await self._work_under(lead)

    async def _work_under(self, lead: Lead) -> None:
        log.debug("leading", extra={"scope": self.scope, "token": lead.token})
        lanes: dict[Lane, dict[JobId, _Step]] = {lane: {} for lane in Lane}
        watch = asyncio.create_task(self._watch_credits(lead))
        try:
            while not self._is_over(lead):
                beat = self._kiebot.pulse.next()
                await self._sweep(lead)
                for lane, at_work in lanes.items():
                    await self._take_up(lane, at_work, lead)
                steps = [step.task for at_work in lanes.values() for step in at_work.values()]
                pause = await self._kiebot.next_due_in(local=self._local)
                if pause is None or steps or self._resting:
                    # A due job that is being worked on is no reason to look again at once.
                    pause = IDLE_S
                await first((beat, lead.lost, self._stopping), steps, within_s=min(pause, IDLE_S))
                for at_work in lanes.values():
                    for job_id in [id_ for id_, step in at_work.items() if step.task.done()]:
                        at_work.pop(job_id).task.result()
            steps = [step.task for at_work in lanes.values() for step in at_work.values()]
            if steps and not lead.lost.is_set():
                # A call that KIE answers to nobody could be paid twice.
                await asyncio.wait(steps)
        finally:
            steps = [step.task for at_work in lanes.values() for step in at_work.values()]
            await cancel([watch, *steps])

    async def _take_up(self, lane: Lane, at_work: "dict[JobId, _Step]", lead: Lead) -> None:
        """Begin a step of each due job of a lane that has a free place."""
        if len(at_work) >= AT_ONCE:
            return
        # Not many more rows than can be of use: what is at work or rests is due as well.
        limit = ROWS + len(self._resting)
        for job in await self._kiebot.due(limit, lane, local=self._local):
            if len(at_work) >= AT_ONCE:
                return
            busy = sum(step.user_id == job.user_id for step in at_work.values())
            is_fair = lane is Lane.CHECK or self._local or busy < AT_ONCE_OF_ONE
            if is_fair and job.id not in at_work and not self._rests(job.id):
                step = asyncio.create_task(self._advance(job.id, lead))
                at_work[job.id] = _Step(job.user_id, step)

    async def _advance(self, job_id: JobId, lead: Lead | None) -> None:
        if lead is not None and not lead.holds():
            return
        try:
            await self._kiebot.advance(job_id, lead, self._open_file)
        except LeadLostError:
            raise
        except StorageError as error:
            log.warning("job step interrupted: %s", error, extra={"job_id": job_id})
            self._rest(job_id, DATABASE_REST_S)
        except Exception:
            # One job's trouble is its own: it is tried again, and the others go on.
            log.exception("job step failed", extra={"job_id": job_id})
            self._rest(job_id)

    async def _sweep(self, lead: Lead | None) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._swept_at >= SWEEP_S:
            self._swept_at = now
            await self._kiebot.cancel_stale_drafts(lead)

    async def _watch_credits(self, lead: Lead) -> None:
        """Beside the work: while KIE does not answer, jobs go on."""
        while True:
            await self._check_credits(lead)
            since = asyncio.get_running_loop().time() - self._credits_at
            await asyncio.sleep(max(CREDITS_S - since, IDLE_S))

    async def _check_credits(self, lead: Lead | None) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._credits_at < CREDITS_S:
            return
        self._credits_at = now
        try:
            await self._kiebot.check_credits(lead)
        except KiebotError as error:
            # Who lost the lead, or the database, hears of it in the work itself.
            log.debug("the credits could not be checked: %s", error)
        except Exception:
            log.exception("the credits could not be checked")

    @property
    def _open_file(self) -> OpenFile | None:
        return None if self._frontend is None else self._frontend.open

    # Telling

    async def _tell(self, lead: Lead | None = None) -> None:
        ends = (self._stopping,) if lead is None else (self._stopping, lead.lost)
        telling: dict[UserId, asyncio.Task[None]] = {}
        try:
            while not any(end.is_set() for end in ends):
                beat = self._kiebot.pulse.next()
                try:
                    await self._take_up_news(telling, lead)
                except StorageError as error:
                    # Who is being told already is told to the end.
                    log.warning("nothing is told: %s", error)
                    await first(ends, within_s=DATABASE_REST_S)
                else:
                    await first((beat, *ends), telling.values(), within_s=IDLE_S)
                _reap(telling)
            if telling and (lead is None or not lead.lost.is_set()):
                # What is half said is said to its end.
                await asyncio.wait(telling.values())
                _reap(telling)
        finally:
            await cancel(telling.values())

    async def _take_up_news(
        self, telling: dict[UserId, asyncio.Task[None]], lead: Lead | None
    ) -> None:
        """
        Begin to tell people who have news, as far as there are free places: whoever comes after
        the one who had the last turn, and once around.
        """
        if lead is not None and not self._may_tell(lead):
            return
        around_to, is_around = self._told_last, self._told_last is None
        while len(telling) < AT_ONCE:
            # Not many more rows than can be of use: who is being told or rests is found as well.
            limit = ROWS + len(self._resting)
            people = await self._awaiting(self._told_last, limit)
            for user_id in people:
                if len(telling) >= AT_ONCE:
                    return
                if is_around and around_to is not None and user_id > around_to:
                    return
                self._told_last = user_id
                if user_id not in telling and not self._rests(user_id):
                    telling[user_id] = asyncio.create_task(self._tell_person(user_id, lead))
            if len(people) < limit:
                self._told_last = None
                if is_around:
                    return
                is_around = True

    async def _awaiting(self, after: UserId | None, limit: int) -> Sequence[UserId]:
        """People who have news, by their ids, those above `after`."""
        if self._audience is None:
            return await self._kiebot.awaiting(limit, after, local=False)
        has_news = after is None and await self._news_of(self._audience, 1)
        return [self._audience] if has_news else []

    async def _news_of(self, user_id: UserId, limit: int) -> Sequence[Untold]:
        if self._audience is None:
            return await self._kiebot.untold_of(user_id, limit)
        if self._seen is None:
            self._seen = await self._kiebot.last_event(user_id)
        return await self._kiebot.untold_of(user_id, limit, self._seen)

    async def _tell_person(self, user_id: UserId, lead: Lead | None) -> None:
        """Some of their news, in order; they rest where that does not work now."""
        about: dict[str, object] = {"user_id": user_id}
        try:
            for untold in await self._news_of(user_id, NEWS):
                if lead is not None and not self._may_tell(lead):
                    return
                about["event_id"] = untold.id
                await self._show(user_id, untold.event)
                await self._kiebot.told(untold.id, lead)
                if self._seen is not None:
                    self._seen = max(self._seen, untold.id)
        except LeadLostError:
            raise
        except FrontendUnavailableError as error:
            log.info("told later: %s", error, extra=about)
            self._rest(user_id, error.retry_s or REST_S)
        except StorageError as error:
            log.warning("told later: %s", error, extra=about)
            self._rest(user_id, DATABASE_REST_S)
        except Exception:
            log.exception("telling failed", extra=about)
            self._rest(user_id)

    async def _show(self, user_id: UserId, event: Event) -> None:
        assert self._frontend is not None
        try:
            await self._frontend.show(user_id, await self._make_screen(event))
        except FrontendRefusedError:
            # Who cannot be reached counts as told: the result stays in the history.
            log.info("person cannot be reached", extra={"user_id": user_id})

    def _may_tell(self, lead: Lead) -> bool:
        return lead.holds() and not self._is_over(lead)

    # Pace

    async def _forever(self, work: Callable[[], Awaitable[None]]) -> None:
        while not self._stopping.is_set():
            try:
                await work()
            except* LeadLostError:
                log.warning("the lead is lost", extra={"scope": self.scope})
            except* KiebotError as errors:
                log.warning("work interrupted: %s", errors.exceptions[0])
                await asyncio.sleep(REST_S)

    async def _until_over(self, lead: Lead, work: Callable[[], Awaitable[None]]) -> None:
        while not self._is_over(lead):
            try:
                await work()
            except LeadLostError:
                return
            except KiebotError as error:
                # Nobody's mistake, and made up for.
                log.warning("work interrupted: %s", error)
                rest_s = DATABASE_REST_S if isinstance(error, StorageError) else REST_S
                await first((lead.lost, self._stopping), within_s=rest_s)

    def _is_over(self, lead: Lead) -> bool:
        return self._stopping.is_set() or lead.lost.is_set()

    def _rest(self, what: object, seconds: float = REST_S) -> None:
        self._resting[what] = asyncio.get_running_loop().time() + seconds

    def _rests(self, what: object) -> bool:
        until = self._resting.get(what)
        if until is None:
            return False
        if asyncio.get_running_loop().time() < until:
            return True
        del self._resting[what]
        return False


@frozen
class _Step:
    """A step of a job that is being taken."""

    user_id: UserId
    task: asyncio.Task[None]


def _reap(tasks: dict[UserId, asyncio.Task[None]]) -> None:
    """Take out those that are done, and raise what one of them raised."""
    for key in [key for key, task in tasks.items() if task.done()]:
        tasks.pop(key).result()
