"""
The worker: which jobs are due, which events are untold, and when to look again.

It decides nothing about jobs or money; it calls `Kiebot`. `step` does all that is due now and
returns; `run` does that for as long as it may. Resume is not a mode: a fresh worker looks for due
jobs and untold events, as every step does.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from attrs import frozen

from kiebot.app import Kiebot
from kiebot.core.dialog.screen import Screen
from kiebot.core.errors import (
    FrontendRefusedError,
    FrontendUnavailableError,
    KiebotError,
    LeadLostError,
)
from kiebot.core.events import Event, Untold
from kiebot.core.users import UserId
from kiebot.core.wallet import JobId
from kiebot.ports.frontend import Frontend
from kiebot.ports.media import OpenFile
from kiebot.ports.storage import Lane, Lead

log = logging.getLogger(__name__)

AT_ONCE = 16
"""Jobs of a lane, or people, looked after side by side: one slow answer holds up nobody else."""

BATCH = 200
"""Events, or jobs of one `step`, read at a time."""

AT_ONCE_OF_ONE = 4
"""Jobs of one person that are submitted side by side: files may be slow, and others wait."""

ROWS = 4 * AT_ONCE
"""Due jobs of a lane read at a time: a person who has many must not hide all others."""

IDLE_S = 1.0
"""How soon work and news that another process left are noticed."""

REST_S = 5.0
"""How long a job, a person or a database that failed unexpectedly is left alone."""

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
        """Work and tell until cancelled."""
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
                group.create_task(self._until_over(lead, lambda: self._tell_under(lead)))

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
        by_person: dict[UserId, list[Untold]] = defaultdict(list)
        for untold in await self._untold():
            by_person[untold.event.user_id].append(untold)
        some = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(
            *(self._tell_person(some, events, lead) for events in by_person.values())
        )

    async def has_told(self) -> bool:
        """Whether nothing is left to tell here, also of what another frontend told meanwhile."""
        return not await self._untold()

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
                await _first(min(pause, IDLE_S), (beat, lead.lost, self._stopping), steps)
                for at_work in lanes.values():
                    for job_id in [id_ for id_, step in at_work.items() if step.task.done()]:
                        at_work.pop(job_id).task.result()
            steps = [step.task for at_work in lanes.values() for step in at_work.values()]
            if steps and not lead.lost.is_set():
                # A call that KIE answers to nobody could be paid twice.
                await asyncio.wait(steps)
        finally:
            steps = [step.task for at_work in lanes.values() for step in at_work.values()]
            await _cancel([watch, *steps])

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

    async def _tell(self) -> None:
        while True:
            beat = self._kiebot.pulse.next()
            await self.tell()
            await _first(IDLE_S, (beat,))

    async def _tell_under(self, lead: Lead) -> None:
        while not self._is_over(lead):
            beat = self._kiebot.pulse.next()
            await self.tell(lead)
            await _first(IDLE_S, (beat, lead.lost, self._stopping))

    async def _untold(self) -> Sequence[Untold]:
        if self._audience is None:
            return await self._kiebot.untold(BATCH, local=False)
        if self._seen is None:
            self._seen = await self._kiebot.last_event(self._audience)
        return await self._kiebot.untold_of(self._audience, BATCH, self._seen)

    async def _tell_person(
        self, some: asyncio.Semaphore, events: Sequence[Untold], lead: Lead | None
    ) -> None:
        async with some:
            for untold in events:
                user_id = untold.event.user_id
                if self._rests(user_id):
                    return
                if lead is not None and (self._is_over(lead) or not lead.holds()):
                    return
                try:
                    assert self._frontend is not None
                    await self._frontend.show(user_id, await self._make_screen(untold.event))
                except FrontendRefusedError:
                    # Who cannot be reached counts as told: the result stays in the history.
                    log.info("person cannot be reached", extra={"user_id": user_id})
                except FrontendUnavailableError as error:
                    log.info("told later: %s", error, extra={"user_id": user_id})
                    self._rest(user_id, error.retry_s or REST_S)
                    return
                except Exception:
                    log.exception(
                        "telling failed", extra={"user_id": user_id, "event_id": untold.id}
                    )
                    self._rest(user_id)
                    return
                await self._kiebot.told(untold.id, lead)
                if self._seen is not None:
                    self._seen = max(self._seen, untold.id)

    # Pace

    async def _forever(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except* LeadLostError:
                log.warning("the lead is lost", extra={"scope": self.scope})
            except* KiebotError as errors:
                log.error("work interrupted: %s", errors.exceptions[0])  # noqa: TRY400
                await asyncio.sleep(REST_S)

    async def _until_over(self, lead: Lead, work: Callable[[], Awaitable[None]]) -> None:
        while not self._is_over(lead):
            try:
                await work()
            except LeadLostError:
                return
            except KiebotError as error:
                log.error("work interrupted: %s", error)  # noqa: TRY400 - nobody's mistake
                await _first(REST_S, (lead.lost, self._stopping))

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


async def _first(
    seconds: float,
    events: Iterable[asyncio.Event],
    steps: Iterable[asyncio.Task[None]] = (),
) -> None:
    """Wait until one of the events is set, one of the steps is done, or the time is over."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait([*waits, *steps], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _cancel(waits)


async def _cancel(tasks: Iterable[asyncio.Future[Any]]) -> None:
    pending = [task for task in tasks if not task.done()]
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
