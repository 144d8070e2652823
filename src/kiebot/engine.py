"""
The engine: what KIE does for a job, step by step.

A step has the form short transaction, network, short transaction. It stores nothing unless the job
is still as it was read, so a step that comes late, or twice, changes nothing.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta

from kiebot.core import billing, drafts, holds, jobs
from kiebot.core.billing import Change, JobStep
from kiebot.core.catalog import Catalog, Model
from kiebot.core.errors import (
    KieNoAnswerError,
    KieOperatorError,
    KieRejectedError,
    KieUnavailableError,
    MediaError,
)
from kiebot.core.events import OperatorAlert
from kiebot.core.jobs import Job, JobStatus
from kiebot.core.params import JsonValue
from kiebot.core.tasks import (
    FailReason,
    Failure,
    TaskFailed,
    TaskPending,
    TaskRequest,
    TaskStatus,
    TaskSucceeded,
    deadline,
)
from kiebot.core.terms import Terms
from kiebot.ports.kie import InputFile, KieClient
from kiebot.ports.storage import Lead, Storage
from kiebot.ports.system import Clock

OpenFile = Callable[[str], AbstractAsyncContextManager[InputFile]]
"""Reads what a person attached, by its reference."""

ALERT_PAUSE = timedelta(hours=1)
"""Administrators are told of one cause once in this time."""


class Engine:
    """Has KIE make what was confirmed, and settles the money by what comes of it."""

    def __init__(
        self, storage: Storage, kie: KieClient, catalog: Catalog, terms: Terms, *, clock: Clock
    ) -> None:
        self._storage = storage
        self._kie = kie
        self._catalog = catalog
        self._terms = terms
        self._clock = clock

    async def advance(self, job: Job, lead: Lead | None, open_file: OpenFile) -> Job:
        """
        One step of a job: submit what is queued, check what runs. The job as it is then.

        Raises:
            LeadLostError: Another process leads; nothing was stored.
        """
        match job.status:
            case JobStatus.QUEUED:
                return await self._submit(job, lead, open_file)
            case JobStatus.RUNNING:
                return await self._check(job, lead)
            case _:
                return job

    async def _submit(self, job: Job, lead: Lead | None, open_file: OpenFile) -> Job:
        """Have KIE take a queued job."""
        model = self._catalog.find(job.model_id)
        if model is None:
            return await self._fail(job, lead, Failure(reason=FailReason.UNAVAILABLE))
        if self._is_late(job, model):
            return await self._fail(job, lead, Failure(reason=FailReason.TIMED_OUT))
        if job.submissions >= self._terms.submissions_max:
            return await self._fail(job, lead, Failure(reason=FailReason.NO_ANSWER))
        try:
            inputs = await self._upload(model, job, open_file)
        except KieUnavailableError:
            return await self._move(job, lead, lambda now, at: jobs.wait(now, self._retry(now), at))
        except MediaError as error:
            failure = Failure(reason=FailReason.UNREADABLE_FILE, detail=str(error))
            return await self._fail(job, lead, failure)
        except KieRejectedError as error:
            return await self._fail(job, lead, _bad_input(error))
        except KieOperatorError as error:
            return await self._refused(job, lead, error)

        counted = await self._count_submission(job, lead)
        if counted is None:
            return job
        job = counted
        request = TaskRequest(job_id=job.id, model=model, params=inputs)
        try:
            task_id = await self._kie.create_task(request)
        except KieUnavailableError:
            return await self._move(
                job, lead, lambda now, at: jobs.take_submission_back(now, self._retry(now), at)
            )
        except KieNoAnswerError as error:
            if job.submissions >= self._terms.submissions_max:
                failure = Failure(reason=FailReason.NO_ANSWER, detail=str(error))
                return await self._fail(job, lead, failure)
            return await self._move(job, lead, lambda now, at: jobs.wait(now, self._retry(now), at))
        except KieRejectedError as error:
            return await self._fail(job, lead, _bad_input(error))
        except KieOperatorError as error:
            return await self._refused(job, lead, error)
        return await self._move(
            job, lead, lambda now, at: jobs.start(now, task_id, self._next_look(now), at)
        )

    async def _count_submission(self, job: Job, lead: Lead | None) -> Job | None:
        """
        The job with one more submission counted, or None where somebody else was quicker.

        Counted before the call: if we die inside it, the count is what stops us from submitting
        for ever; and until the call must have ended nobody submits the job a second time.
        """
        async with self._storage.begin(lead) as uow:
            now = await uow.jobs.get(job.id)
            if not _is_same(now, job):
                return None
            at = self._clock()
            counted = jobs.count_submission(now, at + self._terms.call_timeout, at)
            await uow.record(Change(jobs=(JobStep(counted, now.status),)))
        return counted

    async def _check(self, job: Job, lead: Lead | None) -> Job:
        """Ask KIE about a running job."""
        model = self._catalog.find(job.model_id)
        if model is None or job.kie_task_id is None:
            return await self._fail(job, lead, Failure(reason=FailReason.UNAVAILABLE))
        request = TaskRequest(job_id=job.id, model=model, params=job.params)
        status: TaskStatus = TaskPending()
        try:
            status = await self._kie.task_status(request, job.kie_task_id)
        except KieUnavailableError:
            pass
        except KieOperatorError as error:
            await self._alert(error)
        match status:
            case TaskSucceeded(result=result):
                summary = drafts.summary(model, job.params)
                return await self._move_money(
                    job,
                    lead,
                    lambda now, hold, at: billing.succeed(
                        now, hold, result, at, model=model, summary=summary
                    ),
                )
            case TaskFailed(failure=failure):
                return await self._fail(job, lead, failure)
            case TaskPending():
                if self._is_late(job, model):
                    return await self._fail(job, lead, Failure(reason=FailReason.TIMED_OUT))
                return await self._move(
                    job, lead, lambda now, at: jobs.wait(now, self._next_look(now), at)
                )

    async def _fail(self, job: Job, lead: Lead | None, failure: Failure) -> Job:
        model = self._catalog.find(job.model_id)
        return await self._move_money(
            job, lead, lambda now, hold, at: billing.fail(now, hold, failure, at, model=model)
        )

    async def _refused(self, job: Job, lead: Lead | None, error: KieOperatorError) -> Job:
        await self._alert(error)
        return await self._fail(
            job, lead, Failure(reason=FailReason.UNAVAILABLE, detail=str(error))
        )

    async def _move(self, job: Job, lead: Lead | None, step: Callable[[Job, datetime], Job]) -> Job:
        """A step that moves no money, of a job that is still as it was; else the job as it is."""
        async with self._storage.begin(lead) as uow:
            now = await uow.jobs.get(job.id)
            if not _is_same(now, job):
                return now
            moved = step(now, self._clock())
            await uow.record(Change(jobs=(JobStep(moved, now.status),)))
        return moved

    async def _move_money(
        self, job: Job, lead: Lead | None, step: Callable[[Job, holds.Hold, datetime], Change]
    ) -> Job:
        """A step that settles the hold, of a job that is still as it was; else the job as it is."""
        async with self._storage.begin(lead) as uow:
            now = await uow.jobs.get(job.id)
            hold = holds.of(await uow.ledger.of_job(job.id))
            if not _is_same(now, job) or hold is None:
                return now
            change = step(now, hold, self._clock())
            await uow.record(change)
        return change.jobs[0].job

    async def _upload(self, model: Model, job: Job, open_file: OpenFile) -> dict[str, JsonValue]:
        """The answers with every file at an address that KIE reads."""

        async def address(reference: str) -> str:
            if reference.startswith(("https://", "http://")):
                return reference
            async with open_file(reference) as file:
                return await self._kie.upload(file)

        inputs = dict(job.params)
        for name in drafts.file_names(model):
            match inputs.get(name):
                case str(reference):
                    inputs[name] = await address(reference)
                case list(references):
                    inputs[name] = [await address(str(reference)) for reference in references]
                case _:
                    pass
        return inputs

    async def _alert(self, error: KieOperatorError) -> None:
        at = self._clock()
        cause = f"kie:{error.code}"
        async with self._storage.begin() as uow:
            last = await uow.outbox.last_alert(cause)
            if last is not None and at - last < ALERT_PAUSE:
                return
            events = tuple(
                OperatorAlert(user_id=admin, code=error.code, detail=error.reason)
                for admin in sorted(self._terms.admins)
            )
            await uow.record(Change(events=events))

    def _next_look(self, job: Job) -> datetime:
        at = self._clock()
        return at + self._terms.pace.pause(at - (job.confirmed_at or at))

    def _retry(self, job: Job) -> datetime:
        at = self._clock()
        return at + self._terms.pace.retry_pause(at - (job.confirmed_at or at))

    def _is_late(self, job: Job, model: Model) -> bool:
        confirmed_at = job.confirmed_at or job.created_at
        return self._clock() >= deadline(confirmed_at, self._terms.job_timeout, model)


def _is_same(now: Job, job: Job) -> bool:
    return (now.status, now.submissions, now.kie_task_id) == (
        job.status,
        job.submissions,
        job.kie_task_id,
    )


def _bad_input(error: KieRejectedError) -> Failure:
    return Failure(reason=FailReason.BAD_INPUT, param=error.param, detail=str(error))
