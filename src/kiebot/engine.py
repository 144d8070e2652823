"""
The engine: what KIE does for a job, step by step.

A step has the form short transaction, network, short transaction. It stores nothing unless the job
is still as it was read, so a step that comes late, or twice, changes nothing.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from attrs import evolve

from kiebot.core import billing, drafts, files, holds, jobs, pricing
from kiebot.core.billing import Change, JobStep
from kiebot.core.catalog import Catalog, Model
from kiebot.core.errors import (
    InvalidAnswerError,
    KieNoAnswerError,
    KieOperatorError,
    KieRejectedError,
    KieUnavailableError,
    MediaError,
    MediaTrouble,
    StaleError,
    StorageError,
)
from kiebot.core.events import LateSuccess, OperatorAlert
from kiebot.core.jobs import Job, JobStatus
from kiebot.core.media import Attachment
from kiebot.core.params import FileParam, FilesParam, JsonValue, most_bytes
from kiebot.core.tasks import (
    AGES,
    FOLLOWED_FOR,
    MISSING,
    FailReason,
    Failure,
    Outcome,
    Prospects,
    Result,
    Task,
    TaskId,
    TaskPending,
    TaskRequest,
    TaskStatus,
    deadline,
    give_up,
    heard,
    hope,
    verdict,
)
from kiebot.core.terms import Terms
from kiebot.core.wallet import JobId
from kiebot.limits import Account
from kiebot.ports.kie import KieClient
from kiebot.ports.media import Media, OpenFile
from kiebot.ports.storage import Lead, Storage
from kiebot.ports.system import Clock

log = logging.getLogger(__name__)

ALERT_PAUSE = timedelta(hours=1)
"""Administrators are told of one cause once in this time."""

LOAD_FOR = timedelta(seconds=5)
"""How long a count of the running jobs is good enough."""

LAST_ANSWER = timedelta(seconds=3)
"""
How long who is stopped waits for the answer to a create that is under way. Our choice: KIE answers
in about a second, and who stops us (Docker after 10 s) is patient for as long.
"""

KEEP_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Pauses between attempts to store a task that KIE took. Our choice: a database starts anew."""


class Engine:
    """Has KIE make what was confirmed, and settles the money by what comes of it."""

    def __init__(
        self,
        storage: Storage,
        kie: KieClient,
        catalog: Catalog,
        terms: Terms,
        *,
        clock: Clock,
        account: Account,
        media: Media,
    ) -> None:
        self._storage = storage
        self._kie = kie
        self._catalog = catalog
        self._terms = terms
        self._clock = clock
        self._account = account
        self._media = media
        self._load_now = 1.0
        self._load_until: datetime | None = None
        self._alerting = asyncio.Lock()
        # Only while KIE goes on not knowing them. Forgotten with the process: then it begins anew.
        self._missing_since: dict[TaskId, datetime] = {}

    async def advance(self, job: Job, lead: Lead | None, open_file: OpenFile) -> Job:
        """
        One step of a job: submit what is queued, ask about what runs, and about what has ended
        while a task of it still runs. The job as it is then.

        Raises:
            LeadLostError: Another process leads; nothing was stored but a task that KIE took.
        """
        match job.status:
            case JobStatus.QUEUED:
                return await self._submit(job, lead, open_file)
            case JobStatus.RUNNING:
                return await self._check(job, lead)
            case _ if job.next_check_at is not None:
                return await self._follow(job, lead)
            case _:
                return job

    # Submitting

    async def _submit(self, job: Job, lead: Lead | None, open_file: OpenFile) -> Job:
        """Have KIE take a queued job."""
        model = self._catalog.find(job.model_id)
        if model is None or model.is_outline:
            return await self._fail(job, lead, Failure(reason=FailReason.UNAVAILABLE))
        if self._is_late(job, model):
            return await self._fail(job, lead, Failure(reason=FailReason.TIMED_OUT))
        if job.submissions >= self._terms.submissions_max:
            return await self._lost(job, lead)
        try:
            # Places to submit are few: nobody's slow address may keep one for long.
            async with asyncio.timeout(self._terms.files_timeout.total_seconds()):
                inputs = await self._upload(model, job, open_file)
        except KieUnavailableError:
            return await self._move(job, lead, lambda now, at: jobs.wait(now, self._retry(now), at))
        except (MediaError, TimeoutError) as error:
            if isinstance(error, MediaError) and error.trouble is MediaTrouble.NOT_NOW:
                log.info("a file is read later: %s", error.why, extra={"job_id": job.id})
                return await self._move(
                    job, lead, lambda now, at: jobs.wait(now, self._retry(now), at)
                )
            detail = str(error) or "the files take too long to be read"
            failure = Failure(reason=FailReason.UNREADABLE_FILE, detail=detail)
            return await self._fail(job, lead, failure)
        except KieRejectedError as error:
            return await self._rejected(job, lead, error)
        except KieOperatorError as error:
            return await self._refused(job, lead, error)

        # The turn first: who waits long for it may have lost the lead, which counting finds out.
        async with self._account.creating():
            counted = None if self._is_late(job, model) else await self._count(job, lead)
            if counted is None:
                return job
            patience = min(LAST_ANSWER, self._terms.call_timeout)
            return await _to_its_end(self._create(counted, model, inputs, lead), patience)

    async def _create(
        self, job: Job, model: Model, inputs: Mapping[str, JsonValue], lead: Lead | None
    ) -> Job:
        try:
            task_id = await self._kie.create_task(self._request(job, model, inputs))
        except KieUnavailableError:
            return await self._move(
                job, lead, lambda now, at: jobs.take_submission_back(now, self._retry(now), at)
            )
        except KieNoAnswerError as error:
            log.warning("no answer to createTask: %s", error, extra={"job_id": job.id})
            if job.submissions >= self._terms.submissions_max:
                return await self._lost(job, lead, str(error))
            return await self._move(job, lead, lambda now, at: jobs.wait(now, self._retry(now), at))
        except KieRejectedError as error:
            return await self._rejected(job, lead, error)
        except KieOperatorError as error:
            return await self._refused(job, lead, error)
        return await self._keep(job.id, task_id)

    async def _keep(self, job_id: JobId, task_id: TaskId) -> Job:
        """A task that KIE took is stored: else it would be made, and paid, once more."""
        for pause_s in KEEP_PAUSES_S:
            try:
                return await self._took(job_id, task_id)
            except StorageError as error:
                log.warning(
                    "a task is not stored yet: %s",
                    error,
                    extra={"job_id": job_id, "task_id": task_id},
                )
                await asyncio.sleep(pause_s)
        return await self._took(job_id, task_id)

    async def _count(self, job: Job, lead: Lead | None) -> Job | None:
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

    async def _took(self, job_id: JobId, task_id: TaskId, *, by_callback: bool = False) -> Job:
        """
        KIE took a task of this job: it is kept, whatever became of the job meanwhile, and whoever
        leads by now.

        A callback may have been quicker with this task, or with one of a lost answer. One that is
        named by a callback is kept only while an answer is missing, and is looked at now.
        """
        async with self._storage.begin() as uow:
            now = await uow.jobs.get(job_id)
            if await uow.tasks.find(task_id) is not None:
                return now
            if by_callback and now.submissions <= len(await uow.tasks.of_job(job_id)):
                return now
            at = self._clock()
            task = Task(id=task_id, job_id=job_id, created_at=at, updated_at=at)
            match now.status:
                case JobStatus.QUEUED:
                    look_at = at if by_callback else self._next_look(now)
                    step = jobs.start(now, task_id, look_at, at)
                case JobStatus.RUNNING:
                    step = jobs.wait(now, at, at)
                case _:
                    step = jobs.follow(now, at)
            await uow.record(Change(jobs=(JobStep(step, now.status),), tasks=(task,)))
        return step

    async def _lost(self, job: Job, lead: Lead | None, detail: str = "") -> Job:
        """Every submission was made and none was answered: only a callback can help now."""
        if self._terms.callbacks is not None:
            return await self._move(job, lead, lambda now, at: jobs.wait(now, self._retry(now), at))
        return await self._fail(job, lead, Failure(reason=FailReason.NO_ANSWER, detail=detail))

    # Asking

    async def _check(self, job: Job, lead: Lead | None) -> Job:
        """Ask KIE about the tasks of a running job, and settle it where they say how it ends."""
        model = self._catalog.find(job.model_id)
        if model is None:
            return await self._fail(job, lead, Failure(reason=FailReason.UNAVAILABLE))
        answers = await self._ask(job, model)
        load = await self._load()
        async with self._storage.begin(lead) as uow:
            now = await uow.jobs.get(job.id)
            hold = holds.of(await uow.ledger.of_job(job.id))
            known = await uow.tasks.of_job(job.id)
            if now.status is not JobStatus.RUNNING or hold is None:
                return now
            at = self._clock()
            heard = self._heard(known, answers, at)
            prospects = Prospects(
                may_appear=self._terms.callbacks is not None and now.submissions > len(known),
                is_late=self._is_late(now, model),
            )
            follow_at = self._follow_at(heard, at)
            match verdict(heard, answers, prospects):
                case Result() as result:
                    change = billing.succeed(
                        now,
                        hold,
                        result,
                        at,
                        model=model,
                        summary=drafts.summary(model, now.params),
                        follow_at=follow_at,
                    )
                case Failure() as failure:
                    change = billing.fail(now, hold, failure, at, model=model, follow_at=follow_at)
                case None:
                    again = jobs.wait(now, self._next_look(now, load), at)
                    change = Change(jobs=(JobStep(again, now.status),))
            await uow.record(evolve(change, tasks=_changed(known, heard)))
        return change.jobs[0].job

    async def _follow(self, job: Job, lead: Lead | None) -> Job:
        """
        Ask about tasks of a job that has ended: they move no money of the person's, and what KIE
        took for them is the operator's cost.
        """
        model = self._catalog.find(job.model_id)
        answers = {} if model is None else await self._ask(job, model)
        async with self._storage.begin(lead) as uow:
            now = await uow.jobs.get(job.id)
            if now.is_open or now.next_check_at is None:
                return now
            known = await uow.tasks.of_job(job.id)
            at = self._clock()
            heard = self._heard(known, answers, at)
            if model is None or at - now.updated_at >= FOLLOWED_FOR:
                heard = [give_up(task, at) for task in heard]
            changed = _changed(known, heard)
            events = tuple(
                LateSuccess(
                    user_id=admin,
                    job_id=now.id,
                    title=now.model_id if model is None else model.title,
                    credits=task.credits,
                )
                for task in changed
                if task.outcome is Outcome.SUCCEEDED and now.status is JobStatus.FAILED
                for admin in sorted(self._terms.admins)
            )
            step = jobs.follow(now, self._follow_at(heard, at))
            await uow.record(
                Change(jobs=(JobStep(step, now.status),), tasks=changed, events=events)
            )
        return step

    async def _ask(self, job: Job, model: Model) -> dict[TaskId, TaskStatus]:
        """What KIE says of each task of a job that may still end; silence is left out."""
        async with self._storage.read() as uow:
            known = await uow.tasks.of_job(job.id)
        answers: dict[TaskId, TaskStatus] = {}
        for task in known:
            if task.outcome is not None:
                continue
            try:
                async with self._account.asking():
                    answer = await self._kie.task_status(self._request(job, model), task.id)
                answers[task.id] = answer
                self._note_missing(task.id, answer)
            except KieUnavailableError as error:
                log.info("no answer about a task: %s", error, extra={"job_id": job.id})
            except KieOperatorError as error:
                await self._alert(error)
        return answers

    def _note_missing(self, task_id: TaskId, answer: TaskStatus) -> None:
        """Since when KIE goes on not knowing a task; its silence says nothing about that."""
        if isinstance(answer, TaskPending) and answer.state == MISSING:
            self._missing_since.setdefault(task_id, self._clock())
        else:
            self._missing_since.pop(task_id, None)

    def _heard(
        self, known: Sequence[Task], answers: Mapping[TaskId, TaskStatus], at: datetime
    ) -> list[Task]:
        found = []
        for task in known:
            answer = answers.get(task.id, TaskPending())
            found.append(heard(task, answer, at, self._missing_since.get(task.id)))
            if found[-1].outcome is not None:
                self._missing_since.pop(task.id, None)
        return found

    async def adopt(self, job_id: JobId, task_id: TaskId) -> bool:
        """
        A callback named this task of this job: it is looked at now, also where it was thought
        lost. A task of a lost answer is kept, if KIE's own record of it is of this job's request.

        False where it is no task of this job's.

        Raises:
            NotFoundError: There is no such job.
            KieUnavailableError, KieOperatorError: KIE could not be asked whose task it is.
        """
        async with self._storage.begin() as uow:
            job = await uow.jobs.get(job_id)
            task = await uow.tasks.find(task_id)
            if task is not None:
                if task.job_id != job_id:
                    return False
                at = self._clock()
                hoped = hope(task, at)
                if hoped.outcome is None:
                    step = jobs.wait(job, at, at) if job.is_open else jobs.follow(job, at)
                    changed = _changed([task], [hoped])
                    await uow.record(Change(jobs=(JobStep(step, job.status),), tasks=changed))
                return True
            if job.submissions <= len(await uow.tasks.of_job(job_id)):
                return False
        model = self._catalog.find(job.model_id)
        if model is None:
            return False
        async with self._account.asking():
            is_ours = await self._kie.is_task_of(self._request(job, model), task_id)
        if not is_ours:
            return False
        # Another callback may be quicker, with another task of this job or this one of another's.
        with suppress(StaleError):
            await self._took(job_id, task_id, by_callback=True)
        async with self._storage.read() as uow:
            task = await uow.tasks.find(task_id)
        if task is None or task.job_id != job_id:
            return False
        log.info("a task of a lost answer is adopted", extra={"job_id": job_id, "task_id": task_id})
        return True

    # Moving

    async def _fail(self, job: Job, lead: Lead | None, failure: Failure) -> Job:
        """No result will come of a job that is still as it was."""
        model = self._catalog.find(job.model_id)
        async with self._storage.begin(lead) as uow:
            now = await uow.jobs.get(job.id)
            hold = holds.of(await uow.ledger.of_job(job.id))
            if not _is_same(now, job) or hold is None:
                return now
            at = self._clock()
            follow_at = self._follow_at(await uow.tasks.of_job(job.id), at)
            change = billing.fail(now, hold, failure, at, model=model, follow_at=follow_at)
            await uow.record(change)
        return change.jobs[0].job

    async def _rejected(self, job: Job, lead: Lead | None, error: KieRejectedError) -> Job:
        if error.why is FailReason.UNAVAILABLE:
            # Not the answers' fault: the model is gone, or switched off, and others will try it.
            await self._alert(error)
        failure = Failure(reason=error.why, param=error.param, detail=str(error))
        return await self._fail(job, lead, failure)

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

    async def _upload(self, model: Model, job: Job, open_file: OpenFile) -> dict[str, JsonValue]:
        """The answers with every file at an address that KIE reads."""
        inputs = dict(job.params)
        for param in model.params:
            if not isinstance(param, FileParam | FilesParam):
                continue
            match inputs.get(param.name):
                case str(reference):
                    inputs[param.name] = await self._hand_over(
                        model, job, param, reference, open_file
                    )
                case list(references):
                    inputs[param.name] = [
                        await self._hand_over(model, job, param, str(reference), open_file)
                        for reference in references
                    ]
                case _:
                    pass
        return inputs

    async def _hand_over(
        self,
        model: Model,
        job: Job,
        param: FileParam | FilesParam,
        reference: str,
        open_file: OpenFile,
    ) -> str:
        """
        The address from which KIE reads a file, which is what it was when the person answered.

        Raises:
            MediaError: It cannot be read, or is no longer what was paid for.
            KieError: As of `KieClient.upload`.
        """
        is_address = files.is_address(reference)
        if is_address and not self._media.reads_addresses:
            return reference
        opened = self._media.fetch(reference) if is_address else open_file(reference)
        is_timed = pricing.is_timed(model, param)
        async with (
            opened as source,
            self._media.spool(source, max_bytes=most_bytes(param), timed=is_timed) as file,
        ):
            found = file.measured
            attachment = Attachment(
                reference=reference,
                name=file.name,
                mime=found.mime,
                size=found.size,
                seconds=found.seconds,
            )
            try:
                files.check(model, param, attachment)
            except InvalidAnswerError as error:
                raise MediaError(reference, str(error)) from error
            paid = job.measures.get(reference)
            if is_timed and (paid is None or (found.seconds or 0) > paid):
                raise MediaError(reference, f"lasts {found.seconds} s, {paid} s were paid for")
            return await self._kie.upload(file)

    async def _alert(self, error: KieOperatorError | KieRejectedError) -> None:
        at = self._clock()
        cause = f"kie:{error.code}"
        # One after the other: of many that are refused at once only the first is news.
        async with self._alerting, self._storage.begin() as uow:
            last = await uow.outbox.last_alert(cause)
            if last is not None and at - last < ALERT_PAUSE:
                return
            events = tuple(
                OperatorAlert(user_id=admin, code=error.code, detail=error.reason)
                for admin in sorted(self._terms.admins)
            )
            await uow.record(Change(events=events))

    def _request(
        self, job: Job, model: Model, inputs: Mapping[str, JsonValue] | None = None
    ) -> TaskRequest:
        callbacks = self._terms.callbacks
        return TaskRequest(
            job_id=job.id,
            model=model,
            params=job.params if inputs is None else inputs,
            callback_url=None if callbacks is None else callbacks.url(job.id),
        )

    async def _load(self) -> float:
        """How many times more looks are wanted than KIE allows."""
        at = self._clock()
        limit = self._terms.queries_per_s
        if limit is not None and (self._load_until is None or at >= self._load_until):
            self._load_until = at + LOAD_FOR
            async with self._storage.read() as uow:
                ages = await uow.jobs.running([at - age for age in AGES])
            self._load_now = self._terms.pace.load(ages, limit)
        return self._load_now

    def _next_look(self, job: Job, load: float = 1.0) -> datetime:
        at = self._clock()
        return at + self._terms.pace.pause(at - (job.confirmed_at or at), load)

    def _follow_at(self, tasks: Sequence[Task], at: datetime) -> datetime | None:
        """When to ask again about tasks of a job that has ended; None where all have."""
        if all(task.outcome is not None for task in tasks):
            return None
        return at + self._terms.pace.follow_pause()

    def _retry(self, job: Job) -> datetime:
        at = self._clock()
        return at + self._terms.pace.retry_pause(at - (job.confirmed_at or at))

    def _is_late(self, job: Job, model: Model) -> bool:
        confirmed_at = job.confirmed_at or job.created_at
        return self._clock() >= deadline(confirmed_at, self._terms.job_timeout, model)


async def _to_its_end(call: Coroutine[Any, Any, Job], patience: timedelta) -> Job:
    """
    What a call of createTask comes to. Who is stopped meanwhile still waits for it, with patience:
    a task whose answer nobody heard would be made, and paid, once more.
    """
    calling = asyncio.ensure_future(call)
    try:
        return await asyncio.shield(calling)
    except asyncio.CancelledError:
        await asyncio.wait([calling], timeout=patience.total_seconds())
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        raise


def _is_same(now: Job, job: Job) -> bool:
    return (now.status, now.submissions, now.kie_task_id) == (
        job.status,
        job.submissions,
        job.kie_task_id,
    )


def _changed(before: Sequence[Task], after: Sequence[Task]) -> tuple[Task, ...]:
    return tuple(task for task in after if task not in before)
