"""
Kiebot: one method per use-case.

A use-case loads what it needs, lets a rule of the core decide, and records the rule's `Change`.
Only this module and the engine open transactions, and none is open while the network is waited for.
"""

import asyncio
import contextlib
import logging
import statistics
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeAlias, TypeVar

from attrs import evolve

from kiebot.core import (
    audit,
    billing,
    drafts,
    files,
    holds,
    jobs,
    margins,
    params,
    pricing,
    stock,
    topups,
    waits,
)
from kiebot.core.acts import Act, ActKind, Deed, SwitchedOff, actor
from kiebot.core.billing import Change, Expecting, JobStep, TopUpStep
from kiebot.core.catalog import Catalog, Model
from kiebot.core.drafts import Drafted
from kiebot.core.errors import (
    BlockedError,
    DuplicateRefError,
    InsufficientFundsError,
    InvalidAnswerError,
    KieError,
    MediaError,
    NotAllowedError,
    NotFoundError,
    NotOnSaleError,
    PriceChangedError,
    RefusedByStatusError,
    TooManyJobsError,
    TopUpClosedError,
    TopUpCorrectedError,
)
from kiebot.core.events import FileNotSent, LowCredits, Untold
from kiebot.core.expect import Amount, Expect, Reason, Receipt, own
from kiebot.core.jobs import Job, JobStatus
from kiebot.core.language import Language
from kiebot.core.media import Attachment, MediaKind, SentFile
from kiebot.core.money import Money
from kiebot.core.overview import Day, Dossier, Review, Visitor
from kiebot.core.params import JsonValue
from kiebot.core.pricing import NO_MEASURES, Quote
from kiebot.core.tasks import TaskId, TaskRequest, TaskStatus
from kiebot.core.terms import Terms
from kiebot.core.topups import TopUp, TopUpId, TopUpStatus
from kiebot.core.users import User, UserId
from kiebot.core.wallet import EntryKind, JobId, LedgerEntry, Wallet
from kiebot.engine import Engine
from kiebot.inbox import Inbox, marking
from kiebot.inputs import Inputs
from kiebot.limits import Account
from kiebot.notices import NoticeBoard
from kiebot.ports.kie import InputFile, KieClient
from kiebot.ports.media import Media, OpenFile
from kiebot.ports.storage import Lane, Lead, Storage, UnitOfWork
from kiebot.ports.system import Clock, NewId

log = logging.getLogger(__name__)

SAME_RECEIPT = 20
"""Other top-ups with the same receipt that are looked at. Our choice."""

LOW_CREDITS_PAUSE = timedelta(days=1)
"""Administrators are told once in this time that KIE's credits run low."""

ALERT_PAUSE = timedelta(hours=1)
"""Administrators are told of files that cannot be sent once in this time."""

OpenedFile: TypeAlias = AbstractAsyncContextManager[InputFile]
"""A file to be read."""


class Pulse:
    """Wakes whoever waits for work or news in this process."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def beat(self) -> None:
        """Something happened."""
        self._next.set()
        self._next = asyncio.Event()

    def next(self) -> asyncio.Event:
        """The event that the next beat sets: take it, look for work, then wait for it."""
        return self._next


class Kiebot:
    """
    The shop: what people, programs and operators can have it do.

    What belongs to someone else is not found (NotFoundError). Methods raise the errors of
    `kiebot.core.errors`; whatever they raise, nothing was stored unless they say so.
    """

    def __init__(
        self,
        storage: Storage,
        kie: KieClient,
        catalog: Catalog,
        terms: Terms,
        *,
        media: Media,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self.catalog = catalog
        self.terms = terms
        self.pulse = Pulse()
        self.inbox = Inbox(storage, clock)
        self.notices = NoticeBoard(storage, clock)
        self._storage = marking(storage)
        self._kie = kie
        self._inputs = Inputs(media)
        self._account = Account.of(storage, clock, terms)
        self._engine = Engine(
            storage, kie, catalog, terms, clock=clock, account=self._account, media=media
        )
        self._clock = clock
        self._new_id = new_id

    # People

    async def greet(
        self, user_id: UserId, name: str, language: Language, nickname: str | None = None
    ) -> User:
        """
        Make a person known, with a wallet; again is harmless, and keeps the name and nickname.

        In a demo database they are given its toy money, once.
        """
        at = self._clock()
        async with self._storage.begin() as uow:
            user = User(
                id=user_id,
                name=name,
                nickname=nickname,
                language=language,
                created_at=at,
                seen_at=at,
            )
            await uow.users.add(user)
            user = await uow.users.get(user_id)
            grant = self.terms.demo_grant
            if grant is not None:
                change = billing.demo_grant(user_id, grant, at)
                if change.entry and await uow.ledger.by_ref(change.entry.ref) is None:
                    await uow.record(change)
        return user

    async def user(self, user_id: UserId) -> User:
        """Who this is."""
        async with self._storage.glance() as uow:
            return await uow.users.get(user_id)

    async def visitor(self, user_id: UserId) -> tuple[Visitor, Catalog]:
        """Who this is, and what is on sale at this moment, whichever process switched what off."""
        async with self._storage.glance() as uow:
            visitor = await uow.users.visitor(user_id)
        return visitor, self._without(visitor.off)

    async def saw(self, user_id: UserId) -> None:
        """The person did something."""
        async with self._storage.once() as uow:
            await uow.users.saw(user_id, self._clock())

    async def speak(self, user_id: UserId, language: Language) -> None:
        """Choose the person's language."""
        async with self._storage.once() as uow:
            await uow.users.speak(user_id, language)

    async def expected(self, user_id: UserId) -> Expect | None:
        """What the person's next typed answer is for."""
        async with self._storage.glance() as uow:
            return await uow.ui_state.get(user_id)

    async def expect(self, user_id: UserId, expect: Expect | None) -> None:
        """Say what the person's next typed answer is for."""
        async with self._storage.once() as uow:
            await uow.record(Change(expecting=Expecting(user_id=user_id, expect=expect)))

    # What the screens and listings show

    async def wallet(self, user_id: UserId) -> Wallet:
        """The person's money."""
        async with self._storage.glance() as uow:
            return await uow.wallets.get(user_id)

    async def ledger(
        self, user_id: UserId, limit: int, before: int | None = None
    ) -> Sequence[LedgerEntry]:
        """The person's movements, newest first; a hold and what settles it are one."""
        async with self._storage.glance() as uow:
            return await uow.ledger.recent(user_id, limit, before)

    async def jobs(self, user_id: UserId, limit: int, before: JobId | None = None) -> Sequence[Job]:
        """The person's confirmed jobs, newest first."""
        async with self._storage.glance() as uow:
            return await uow.jobs.recent(user_id, limit, before)

    async def open_jobs(self, user_id: UserId) -> Sequence[Job]:
        """What is being made for the person, oldest first."""
        async with self._storage.glance() as uow:
            return await uow.jobs.open_of(user_id)

    async def count_open_jobs(self, user_id: UserId) -> int:
        """How many jobs are being made for the person."""
        async with self._storage.glance() as uow:
            return await uow.jobs.count_open_of(user_id)

    async def job(self, user_id: UserId, job_id: JobId) -> Job:
        """One job of the person's."""
        async with self._storage.glance() as uow:
            return _own("job", job_id, user_id, await uow.jobs.get(job_id))

    async def current(self, user_id: UserId, job_id: JobId) -> Job:
        """The job, or the draft that took its place, or the one that took that one's."""
        async with self._storage.read() as uow:
            job = _own("job", job_id, user_id, await uow.jobs.get(job_id))
            while job.replaced_by is not None:
                job = await uow.jobs.get(job.replaced_by)
            return job

    async def draft_of(self, user_id: UserId) -> Job | None:
        """The draft that the person touched last."""
        async with self._storage.glance() as uow:
            return await uow.jobs.draft_of(user_id)

    async def usual_time(self, model_id: str) -> timedelta | None:
        """
        How long a model usually takes, learned from its last jobs: a second or more; None while
        nobody knows.
        """
        async with self._storage.glance() as uow:
            seconds = await uow.jobs.times(model_id, 20)
        return timedelta(seconds=max(statistics.median(seconds), 1.0)) if seconds else None

    def model(self, model_id: str) -> Model:
        """
        A model that the catalog sells; NotFoundError, or NotOnSaleError with the reason. What an
        administrator switched off is refused where it would be bought.
        """
        return self.catalog.sold(model_id)

    async def offers(self) -> Catalog:
        """The catalog at this moment, without what administrators switched off."""
        async with self._storage.glance() as uow:
            return self._without(await uow.switches.off())

    # From a model to an offer

    def open_with(self, open_file: OpenFile) -> None:
        """How what people attach is read; until then only files at addresses are looked into."""
        self._inputs.open_with(open_file)

    def quote(
        self,
        model_id: str,
        answers: Mapping[str, JsonValue],
        measures: Mapping[str, Decimal] = NO_MEASURES,
    ) -> Quote:
        """
        What these answers cost, once the model's defaults are filled in; `measures` are the
        seconds of the files among them.

        Raises:
            InvalidAnswerError: An answer is missing or wrong.
            PriceMissingError: No row of the price table fits.
        """
        model = self.model(model_id)
        complete = params.verify(model, {**params.defaults(model), **answers})
        return pricing.quote(model, complete, self.terms.price_multiplier, measures)

    async def draft(
        self,
        user_id: UserId,
        model_id: str,
        answers: Mapping[str, JsonValue] | None = None,
        measures: Mapping[str, Decimal] = NO_MEASURES,
    ) -> Drafted:
        """
        A new draft: a model, its defaults, and what is answered already, with the seconds of the
        files among it as far as they are known. Files are looked into as by `answer`.

        Raises:
            InvalidAnswerError: A file cannot be read, or is no answer to its question.
        """
        model, given = self.model(model_id), answers or {}
        measures = await self._inputs.measures(model, given, measures)
        return await self._begin(user_id, model, given, measures)

    async def _begin(
        self,
        user_id: UserId,
        model: Model,
        answers: Mapping[str, JsonValue],
        measures: Mapping[str, Decimal],
    ) -> Drafted:
        drafted = drafts.begin(
            self._job_id(),
            user_id,
            model,
            answers,
            self.terms.price_multiplier,
            self._clock(),
            measures,
        )
        async with self._storage.once() as uow:
            visitor = await uow.users.visitor(user_id)
            self._sold(_let_in(visitor), model.id)
            await uow.record(_drafted(user_id, drafted))
        return drafted

    async def answer(
        self, user_id: UserId, job_id: JobId, name: str, given: str | Attachment
    ) -> Drafted:
        """
        Answer a question with a text or a file; a file joins the list where several are asked.

        A file is looked into first, and for that read where that is needed: its kind, its size,
        and how long it lasts where that matters. Nothing is locked meanwhile.

        Raises:
            InvalidAnswerError: Not an answer to this question, or a file that cannot be read.
            RefusedByStatusError: It is no draft any more.
        """
        found = await self._look(user_id, job_id, name, given)
        measures = {file.reference: file.seconds for file in found if file.seconds is not None}

        def changed(model: Model, before: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
            for one in found or (given,):
                before = {**before, name: params.read(model, before, name, one)}
            return before

        return await self._answer(
            user_id, job_id, name, changed, collecting=True, measures=measures
        )

    async def _look(
        self, user_id: UserId, job_id: JobId, name: str, given: str | Attachment
    ) -> Sequence[Attachment]:
        """The files that an answer names, looked into; none where it is no file that is asked."""
        job = await self.job(user_id, job_id)
        if job.status is not JobStatus.DRAFT:
            return ()
        model = self.model(job.model_id)
        if files.file_param(model, name) is None:
            return ()
        # What is wrong at first sight is said before anything is read.
        params.read(model, job.params, name, given)
        if isinstance(given, Attachment):
            return (await self._inputs.look(model, name, given),)
        named = [Attachment(reference=address) for address in given.split()]
        return await self._inputs.look_all(model, name, named)

    async def choose(self, user_id: UserId, job_id: JobId, name: str, number: int) -> Drafted:
        """Answer a question by the number of one of its options."""
        return await self._answer(
            user_id,
            job_id,
            name,
            lambda model, before: {**before, name: params.option(model, before, name, number)},
        )

    async def skip(self, user_id: UserId, job_id: JobId, name: str) -> Drafted:
        """Take a question's default, or leave out what is optional."""
        return await self._answer(
            user_id, job_id, name, lambda model, before: drafts.skipped(model, before, name)
        )

    async def finish_files(self, user_id: UserId, job_id: JobId, name: str) -> Drafted:
        """The list of files is complete; InvalidAnswerError where it has too few."""
        return await self._answer(
            user_id, job_id, name, lambda model, before: drafts.finished(model, before, name)
        )

    async def complete(self, user_id: UserId, job_id: JobId) -> Drafted:
        """Nothing more is added: a draft in which nothing is missing becomes an offer."""
        return await self._answer(user_id, job_id, None, lambda _, before: before)

    async def clear_files(self, user_id: UserId, job_id: JobId, name: str) -> Drafted:
        """Begin a list of files anew."""
        return await self._answer(
            user_id,
            job_id,
            name,
            lambda model, before: drafts.cleared(model, before, name),
            collecting=True,
        )

    async def again(self, user_id: UserId, job_id: JobId) -> Drafted:
        """A new draft with the answers of an earlier job, as far as the model still takes them."""
        job = await self.job(user_id, job_id)
        model = self.model(job.model_id)
        known = {param.name for param in model.params}
        answers = {name: value for name, value in job.params.items() if name in known}
        trusted = {one for name in answers for one in files.references(answers, name)}
        while True:
            try:
                measures = await self._inputs.measures(model, answers, job.measures, trusted)
            except InvalidAnswerError as error:
                # A file of it is no longer what it was, so it is asked for again.
                answers.pop(error.param)
                continue
            return await self._begin(user_id, model, answers, measures)

    async def confirm(self, user_id: UserId, job_id: JobId) -> Job:
        """
        Pay for an offer: its price is held, and it is queued.

        Again is harmless: what is confirmed already is returned as it is.

        Raises:
            RefusedByStatusError: It is no offer (yet, or any more).
            InsufficientFundsError, TooManyJobsError, PriceChangedError: Refused, and for good: a
                new draft with the same answers was stored in its place (`draft_id`).
            NotOnSaleError: The model was switched off meanwhile.
        """
        at = self._clock()
        refusal: InsufficientFundsError | TooManyJobsError | PriceChangedError
        async with self._storage.begin() as uow:
            job = _own("job", job_id, user_id, await uow.jobs.get(job_id))
            if job.status not in {JobStatus.DRAFT, JobStatus.CANCELLED}:
                return job
            if not job.is_offer:
                raise RefusedByStatusError("job", job.id, job.status)
            # Locks the wallet: of a person's confirmations one is counted after the other.
            visitor = _let_in(await uow.users.visitor(user_id))
            model = self._sold(visitor, job.model_id)
            try:
                change = billing.confirm(
                    job,
                    visitor.wallet,
                    at,
                    price_now=drafts.price_now(
                        model, job.params, self.terms.price_multiplier, job.measures
                    ),
                    open_jobs=await uow.jobs.count_open_of(user_id),
                    jobs_max=self.terms.user_jobs_max,
                )
            except (InsufficientFundsError, TooManyJobsError, PriceChangedError) as error:
                drafted = drafts.reoffer(
                    job, model, self.terms.price_multiplier, at, new_id=self._job_id()
                )
                await uow.record(_drafted(user_id, drafted))
                refusal = error
                refusal.draft_id = drafted.job.id
            else:
                await uow.record(change)
                self.pulse.beat()
                return change.jobs[0].job
        raise refusal

    async def order(
        self,
        user_id: UserId,
        model_id: str,
        answers: Mapping[str, JsonValue],
        measures: Mapping[str, Decimal] = NO_MEASURES,
    ) -> Job:
        """For programs: draft and confirm at once; every answer must be given."""
        model = self.model(model_id)
        # Before any file is read.
        params.verify(model, {**params.defaults(model), **answers})
        measures = await self._inputs.measures(model, answers, measures)
        self.quote(model_id, answers, measures)
        drafted = await self._begin(user_id, model, answers, measures)
        return await self.confirm(user_id, drafted.job.id)

    async def cancel(self, user_id: UserId, job_id: JobId) -> Job:
        """Drop a draft; what is no draft any more is returned as it is."""
        async with self._storage.begin() as uow:
            job = _own("job", job_id, user_id, await uow.jobs.get(job_id))
            if job.status is not JobStatus.DRAFT:
                return job
            cancelled = jobs.cancel(job, self._clock())
            await uow.record(
                Change(
                    jobs=(JobStep(cancelled, job.status),),
                    expecting=Expecting(user_id=user_id, expect=None),
                ),
            )
            return cancelled

    async def follow(
        self, user_id: UserId, job_id: JobId, every_s: float = 1.0
    ) -> AsyncIterator[Job]:
        """
        The job now and after each of its changes, until nothing more will happen.

        Changes of other processes are noticed within `every_s` seconds.
        """
        seen: Job | None = None
        while True:
            beat = self.pulse.next()
            job = await self.job(user_id, job_id)
            if seen is None or job.updated_at != seen.updated_at or job.status != seen.status:
                yield job
            if not job.is_open:
                return
            seen = job
            await _wait(beat, every_s)

    # Work on jobs

    async def due(self, limit: int, lane: Lane, *, local: bool) -> Sequence[Job]:
        """Jobs of a lane to be worked on now."""
        at = self._clock()
        beyond = waits.beyond(at, self._engine.longest_pause)
        async with self._storage.glance() as uow:
            return await uow.jobs.due(at, limit, lane, local=local, beyond=beyond)

    async def next_due_in(self, *, local: bool) -> float | None:
        """Seconds until the next job is due, None where none is open."""
        async with self._storage.glance() as uow:
            moment = await uow.jobs.next_due(local=local)
        return None if moment is None else max((moment - self._clock()).total_seconds(), 0.0)

    def lead(self, scope: str) -> AbstractAsyncContextManager[Lead]:
        """Wait for the right to work on the jobs of a scope; one process has it at a time."""
        return self._storage.lead(scope)

    async def advance(
        self, job_id: JobId, lead: Lead | None, open_file: OpenFile | None = None
    ) -> Job:
        """
        One step of one job: submit what is queued, check what runs. The job as it is then.

        Without `open_file` only files that are given by address can be read.

        Raises:
            LeadLostError: Another process leads; nothing was stored.
        """
        async with self._storage.glance() as uow:
            job = await uow.jobs.get(job_id)
        moved = await self._engine.advance(job, lead, open_file or _only_addresses)
        if moved != job:
            self.pulse.beat()
        return moved

    async def called_back(self, job_id: JobId, task_id: TaskId) -> bool:
        """
        KIE says that this task of this job may be done: look at it now. Whoever calls has made
        sure that it was KIE who said so.

        False where it is no task of this job's.

        Raises:
            NotFoundError: There is no such job.
            KieUnavailableError, KieOperatorError: KIE could not be asked whose task it is.
        """
        is_ours = await self._engine.adopt(job_id, task_id)
        if is_ours:
            self.pulse.beat()
        return is_ours

    async def cancel_stale_drafts(self, lead: Lead | None, limit: int = 100) -> int:
        """Cancel drafts that nobody touched for long; how many."""
        at = self._clock()
        async with self._storage.read() as uow:
            stale = await uow.jobs.stale_drafts(at - self.terms.draft_age, limit)
        for draft in stale:
            async with self._storage.begin(lead) as uow:
                job = await uow.jobs.get(draft.id)
                if job.status is JobStatus.DRAFT and job.updated_at == draft.updated_at:
                    await uow.record(Change(jobs=(JobStep(jobs.cancel(job, at), job.status),)))
        return len(stale)

    async def check_credits(self, lead: Lead | None) -> None:
        """
        Tell administrators that KIE's credits run low: once in a day, whoever asks how often.

        KIE is not asked where nobody would be told, and its silence is no news: the jobs say it.

        Raises:
            LeadLostError: Another process leads; nothing was stored.
        """
        if not self.terms.watches_credits or not self.terms.admins:
            return
        at = self._clock()
        async with self._storage.read() as uow:
            if await _was_told_of_credits(uow, at):
                return
        try:
            left = await self._kie.credits()
        except KieError as error:
            log.debug("no answer about the credits: %s", error)
            return
        enough = stock.enough(await self.offers())
        if stock.judge(left, enough) == "enough":
            return
        events = tuple(
            LowCredits(user_id=admin, credits=left, enough=enough)
            for admin in sorted(self.terms.admins)
        )
        async with self._storage.begin(lead) as uow:
            if await _was_told_of_credits(uow, at):
                return
            await uow.record(Change(events=events))
        self.pulse.beat()

    # Telling

    async def untold(self, limit: int, *, local: bool) -> Sequence[Untold]:
        """Events that nobody was told yet, oldest first."""
        async with self._storage.glance() as uow:
            return await uow.outbox.untold(limit, local=local)

    async def awaiting(
        self, limit: int, after: UserId | None = None, *, local: bool
    ) -> Sequence[UserId]:
        """People who were not told something yet, by their ids, those above `after`."""
        async with self._storage.glance() as uow:
            return await uow.outbox.awaiting(limit, after, local=local)

    async def untold_of(
        self, user_id: UserId, limit: int, since: int | None = None
    ) -> Sequence[Untold]:
        """
        Events that this person was not told yet, oldest first; and those with a number above
        `since` even where another frontend of theirs was quicker to tell them.
        """
        async with self._storage.glance() as uow:
            return await uow.outbox.untold_of(user_id, limit, since)

    async def last_event(self, user_id: UserId) -> int:
        """The number of the person's latest event, 0 where there is none."""
        async with self._storage.glance() as uow:
            return await uow.outbox.last_of(user_id)

    async def told(self, event_id: int, lead: Lead | None = None) -> None:
        """An event was shown."""
        async with self._storage.once(lead) as uow:
            await uow.outbox.told(event_id, self._clock())

    def open_result(self, url: str) -> OpenedFile:
        """Read a file that a task made (MediaError)."""
        return self._kie.open_result(url)

    async def sent_as(self, address: str, kind: MediaKind) -> SentFile | None:
        """How a frontend sent a file last, when it was to be shown as this kind."""
        async with self._storage.glance() as uow:
            return await uow.sent.get(address, kind)

    async def remember_sent(self, address: str, kind: MediaKind, sent: SentFile) -> None:
        """Keep under which id a frontend has a file."""
        async with self._storage.once() as uow:
            await uow.sent.save(address, kind, sent, self._clock())

    async def report_not_sent(self, person_id: UserId, name: str, why: str) -> None:
        """Tell administrators, once in an hour, that a file could be sent in no way."""
        at = self._clock()
        events = tuple(
            FileNotSent(user_id=admin, person_id=person_id, name=name, why=why)
            for admin in sorted(self.terms.admins)
        )
        async with self._storage.begin() as uow:
            last = await uow.outbox.last_alert(FileNotSent.cause)
            if not events or (last is not None and waits.is_recent(last, at, ALERT_PAUSE)):
                return
            await uow.record(Change(events=events))
        self.pulse.beat()

    # Top-ups

    async def start_topup(self, user_id: UserId, amount: str) -> TopUp:
        """
        A person wants to send money; an earlier request without a receipt is replaced.

        Raises:
            TopUpClosedError: There is nowhere to send it to.
            InvalidAmountError: Not an amount, or outside the limits.
        """
        if self.terms.payment is None:
            raise TopUpClosedError
        asked = self.terms.topup_amount(amount)
        topup = TopUp(
            id=TopUpId(self._new_id()),
            user_id=user_id,
            amount=asked,
            requested=asked,
            created_at=self._clock(),
        )
        async with self._storage.begin() as uow:
            # The wallet is what two requests of one person at once wait for each other at.
            _let_in(await uow.users.visitor(user_id))
            earlier = await uow.topups.pending_of(user_id)
            replaced = (
                () if earlier is None else (TopUpStep(topups.cancel(earlier), earlier.status),)
            )
            await uow.record(
                Change(
                    topups=(*replaced, TopUpStep(topup, None)),
                    expecting=Expecting(user_id=user_id, expect=Receipt(topup_id=topup.id)),
                ),
            )
        return topup

    async def submit_receipt(
        self, user_id: UserId, topup_id: TopUpId, receipt: Attachment
    ) -> TopUp:
        """The receipt, or one more file of it. Administrators are told."""
        async with self._storage.begin() as uow:
            topup = _own("top-up", topup_id, user_id, await uow.topups.get(topup_id))
            if not topup.is_waiting:
                raise RefusedByStatusError("top-up", topup.id, topup.status)
            seen = topups.seen_before(topup, await _same_receipt(uow, topup.id, (receipt,)))
            change = billing.submit_receipt(
                topup,
                receipt,
                person=_let_in(await uow.users.visitor(user_id)).user,
                admins=sorted(self.terms.admins),
                seen_in=None if seen is None else seen.id,
            )
            await uow.record(change)
        self.pulse.beat()
        return change.topups[0].topup

    async def topup(self, user_id: UserId, topup_id: TopUpId) -> TopUp:
        """One top-up of the person's."""
        async with self._storage.glance() as uow:
            return _own("top-up", topup_id, user_id, await uow.topups.get(topup_id))

    async def waiting_topup(self, user_id: UserId) -> TopUp | None:
        """The person's top-up that waits for a receipt, else the latest that waits for review."""
        async with self._storage.glance() as uow:
            return await uow.topups.waiting_of(user_id)

    async def cancel_topup(self, user_id: UserId, topup_id: TopUpId) -> TopUp:
        """Drop a request that has no receipt yet; any other is returned as it is."""
        async with self._storage.begin() as uow:
            topup = _own("top-up", topup_id, user_id, await uow.topups.get(topup_id))
            if topup.status is not TopUpStatus.PENDING:
                return topup
            cancelled = topups.cancel(topup)
            await uow.record(
                Change(
                    topups=(TopUpStep(cancelled, topup.status),),
                    expecting=Expecting(user_id=user_id, expect=None),
                ),
            )
            return cancelled

    async def topups_to_review(self, by: UserId, limit: int = 50) -> Sequence[TopUp]:
        """What waits for a decision, oldest first."""
        self._allow(by)
        async with self._storage.glance() as uow:
            return await uow.topups.to_review(limit)

    async def topup_to_review(self, by: UserId, topup_id: TopUpId) -> tuple[TopUp, User]:
        """One top-up, whatever its status, and its person."""
        self._allow(by)
        async with self._storage.read() as uow:
            topup = await uow.topups.get(topup_id)
            return topup, await uow.users.get(topup.user_id)

    async def review(self, by: UserId, topup_id: TopUpId) -> Review:
        """One top-up, whatever its status, and what an administrator should know of it."""
        self._allow(by)
        async with self._storage.read() as uow:
            topup = await uow.topups.get(topup_id)
            person = await uow.users.get(topup.user_id)
            entries = await uow.ledger.topped_up(topup.user_id)
            others = await _same_receipt(uow, topup.id, topup.receipt)
            decided_by = ""
            if topup.reviewed_by is not None:
                # The operator at the console is no user.
                with contextlib.suppress(NotFoundError):
                    decided_by = (await uow.users.get(topup.reviewed_by)).name
        return Review(
            topup=topup,
            person=person,
            topped_up=tuple(e.amount for e in entries if e.ref != f"topup:{topup.id}"),
            seen=topups.seen_before(topup, others),
            decided_by=decided_by,
        )

    async def correct_topup(self, by: UserId, topup_id: TopUpId, amount: str) -> TopUp:
        """Name the amount that really came; then only that amount can be approved."""
        self._allow(by)
        corrected = self.terms.topup_amount(amount)
        async with self._storage.begin() as uow:
            topup = _undecided(await uow.topups.get(topup_id))
            change = billing.correct_topup(topup, corrected, by, self._clock())
            await uow.record(evolve(change, expecting=await _without(uow, by, topup_id)))
        return change.topups[0].topup

    async def approve_topup(
        self, by: UserId, topup_id: TopUpId, amount: Money | None = None
    ) -> TopUp:
        """
        Credit the money: once, whoever presses how often.

        Raises:
            RefusedByStatusError: Somebody decided already.
            TopUpCorrectedError: The amount was corrected, and this is not the corrected one.
        """
        self._allow(by)
        async with self._storage.begin() as uow:
            topup = _undecided(await uow.topups.get(topup_id))
            if (amount is None and topup.is_corrected) or amount not in {None, topup.amount}:
                raise TopUpCorrectedError(topup.id, topup.amount)
            change = billing.approve(topup, by, self._clock())
            await uow.record(change)
        self.pulse.beat()
        return change.topups[0].topup

    async def reject_topup(self, by: UserId, topup_id: TopUpId, why: str) -> TopUp:
        """The money did not come; `why` may be empty."""
        self._allow(by)
        async with self._storage.begin() as uow:
            topup = _undecided(await uow.topups.get(topup_id))
            change = billing.reject(topup, by, why, self._clock())
            await uow.record(evolve(change, expecting=await _without(uow, by, topup_id)))
        self.pulse.beat()
        return change.topups[0].topup

    # Administrators

    async def dossier(self, by: UserId, user_id: UserId, limit: int = 5) -> Dossier:
        """A person, and the latest of what they did and of what was done to them."""
        self._allow(by)
        async with self._storage.read() as uow:
            return Dossier(
                person=await uow.users.get(user_id),
                wallet=await uow.wallets.get(user_id),
                topped_up=tuple(e.amount for e in await uow.ledger.topped_up(user_id)),
                waiting=await uow.topups.reviewed_of(user_id),
                jobs=tuple(await uow.jobs.recent(user_id, limit)),
                entries=tuple(await uow.ledger.recent(user_id, limit)),
                acts=tuple(await uow.acts.recent(limit, user_id=user_id)),
            )

    async def people_named(self, by: UserId, nickname: str, limit: int = 5) -> Sequence[User]:
        """Who has this nickname, whoever came last first."""
        self._allow(by)
        async with self._storage.glance() as uow:
            return await uow.users.named(nickname, limit)

    async def any_job(self, by: UserId, job_id: JobId) -> tuple[Job, User]:
        """Anybody's job, and whose it is."""
        self._allow(by)
        async with self._storage.read() as uow:
            job = await uow.jobs.get(job_id)
            return job, await uow.users.get(job.user_id)

    async def troubles(self, by: UserId, limit: int) -> tuple[Sequence[Job], Sequence[Job]]:
        """Of everybody: open jobs, oldest first, and failed ones, the latest failure first."""
        self._allow(by)
        async with self._storage.glance() as uow:
            return await uow.jobs.open(limit), await uow.jobs.failed(limit)

    async def day(self, by: UserId, since: datetime) -> Day:
        """Numbers since a moment."""
        self._allow(by)
        async with self._storage.read() as uow:
            came, new = await uow.users.came(since)
            jobs = await uow.jobs.counts(since)
            moved = await uow.ledger.moved(since)
        report = await self.costs(since)
        return Day(since=since, came=came, new=new, jobs=jobs, moved=moved, report=report)

    async def stock(self, by: UserId) -> tuple[Decimal, Decimal]:
        """The credits that are left at KIE, and how many would be enough (KieError)."""
        self._allow(by)
        return await self.credits(), stock.enough(await self.offers())

    async def switched_off(self, by: UserId) -> Sequence[SwitchedOff]:
        """What administrators took off sale."""
        self._allow(by)
        async with self._storage.read() as uow:
            return await uow.switches.off()

    async def acts(
        self, by: UserId, limit: int, before: int | None = None
    ) -> tuple[Sequence[Act], Mapping[str, str]]:
        """What administrators did, newest first, and their names by who they are in acts."""
        self._allow(by)
        async with self._storage.read() as uow:
            acts = await uow.acts.recent(limit, before)
            return acts, await _names(uow, acts)

    async def names(self, by: UserId, acts: Sequence[Act]) -> Mapping[str, str]:
        """The names of who did these, by who they are in acts."""
        self._allow(by)
        async with self._storage.read() as uow:
            return await _names(uow, acts)

    async def prepare(self, by: UserId, kind: ActKind, subject: str) -> Deed:
        """
        An act that is to be done, once its amount and reason are known.

        Raises:
            NotFoundError: There is no such person, job or model.
            RefusedByStatusError: It cannot be done to it, or was done already.
        """
        self._allow(by)
        async with self._storage.read() as uow:
            match kind:
                case ActKind.GRANT | ActKind.DEBIT:
                    await uow.users.get(_user_id(subject))
                case ActKind.BLOCK | ActKind.UNBLOCK:
                    person = await uow.users.get(_user_id(subject))
                    if kind is ActKind.BLOCK and self.terms.is_admin(person.id):
                        raise RefusedByStatusError("user", subject, "administrator")
                    if person.is_blocked == (kind is ActKind.BLOCK):
                        raise RefusedByStatusError("user", subject, _blocked(person))
                case ActKind.REFUND:
                    job = await uow.jobs.get(JobId(subject))
                    if job.status is not JobStatus.SUCCEEDED:
                        raise RefusedByStatusError("job", job.id, job.status)
                case ActKind.SWITCH_OFF | ActKind.SWITCH_ON:
                    self.catalog.model(subject)
                    is_off = await uow.switches.find(subject) is not None
                    if is_off == (kind is ActKind.SWITCH_OFF):
                        raise RefusedByStatusError("model", subject, "off" if is_off else "on")
                case ActKind.APPROVE | ActKind.CORRECT | ActKind.REJECT:
                    raise NotFoundError("deed", kind)
        return Deed(id=self._new_id(), kind=kind, subject=subject)

    async def perform(self, by: UserId, deed: Deed, why: str) -> None:
        """
        Do what was prepared; again is harmless.

        Raises:
            InsufficientFundsError: There is less to take than was to be taken.
            RefusedByStatusError: It was done meanwhile, or can no longer be done.
        """
        self._allow(by)
        match deed.kind:
            case ActKind.GRANT | ActKind.DEBIT if deed.amount is not None:
                await self._correct(
                    _user_id(deed.subject),
                    EntryKind(deed.kind),
                    deed.amount,
                    by=str(by),
                    why=why,
                    ref=f"{deed.kind}:{deed.id}",
                )
            case ActKind.REFUND:
                await self.refund(JobId(deed.subject), by=str(by), why=why)
            case ActKind.BLOCK:
                await self.block(by, _user_id(deed.subject), why)
            case ActKind.UNBLOCK:
                await self.unblock(by, _user_id(deed.subject), why)
            case ActKind.SWITCH_OFF:
                await self.switch_off(by, deed.subject, why)
            case ActKind.SWITCH_ON:
                await self.switch_on(by, deed.subject, why)
            case _:
                raise NotFoundError("deed", deed.kind)

    async def block(self, by: UserId, user_id: UserId, why: str) -> None:
        """
        Do nothing for a person any more; what is being made for them goes on.

        Raises:
            RefusedByStatusError: They are blocked already, or an administrator.
        """
        self._allow(by)
        if self.terms.is_admin(user_id):
            raise RefusedByStatusError("user", str(user_id), "administrator")
        await self._shut(by, user_id, why, ActKind.BLOCK)

    async def unblock(self, by: UserId, user_id: UserId, why: str) -> None:
        """Do things for a person again (RefusedByStatusError: they are not blocked)."""
        self._allow(by)
        await self._shut(by, user_id, why, ActKind.UNBLOCK)

    async def switch_off(self, by: UserId, model_id: str, why: str) -> None:
        """
        Take a model off sale at once, in every process; what is confirmed goes on.

        Raises:
            RefusedByStatusError: It is switched off already.
        """
        self._allow(by)
        self.catalog.model(model_id)
        at = self._clock()
        switched = SwitchedOff(model_id=model_id, by=actor(by), why=why, at=at)
        async with self._storage.begin() as uow:
            if not await uow.switches.switch_off(switched):
                raise RefusedByStatusError("model", model_id, "off")
            await uow.record(_acted(by, ActKind.SWITCH_OFF, model_id, why, at))

    async def switch_on(self, by: UserId, model_id: str, why: str) -> None:
        """Leave a model to its catalog again (RefusedByStatusError: it is not switched off)."""
        self._allow(by)
        async with self._storage.begin() as uow:
            if not await uow.switches.switch_on(model_id):
                raise RefusedByStatusError("model", model_id, "on")
            await uow.record(_acted(by, ActKind.SWITCH_ON, model_id, why, self._clock()))

    # The operator

    async def grant(
        self, user_id: UserId, amount: Money, *, by: str, why: str, ref: str | None = None
    ) -> Wallet:
        """
        Give money; the wallet after it.

        `ref` makes a repeat harmless: the same movement under the same ref is applied once.

        Raises:
            DuplicateRefError: The ref stands for another amount or person.
        """
        return await self._correct(user_id, EntryKind.GRANT, amount, by=by, why=why, ref=ref)

    async def debit(
        self, user_id: UserId, amount: Money, *, by: str, why: str, ref: str | None = None
    ) -> Wallet:
        """Take money back, as `grant` gives it (InsufficientFundsError)."""
        return await self._correct(user_id, EntryKind.DEBIT, amount, by=by, why=why, ref=ref)

    async def refund(self, job_id: JobId, *, by: str, why: str) -> Job:
        """
        Give a charged job back; one that was given back already is returned as it is.

        Raises:
            RefusedByStatusError: It was never charged.
        """
        async with self._storage.begin() as uow:
            job = await uow.jobs.get(job_id)
            if job.status is JobStatus.REFUNDED:
                return job
            hold = holds.of(await uow.ledger.of_job(job_id))
            if job.status is not JobStatus.SUCCEEDED or hold is None:
                raise RefusedByStatusError("job", job.id, job.status)
            change = billing.refund(
                job, hold, self._clock(), by=by, why=why, model=self.catalog.find(job.model_id)
            )
            await uow.record(change)
        self.pulse.beat()
        return change.jobs[0].job

    async def all_open_jobs(self, limit: int) -> Sequence[Job]:
        """What is being made for anybody, oldest first."""
        async with self._storage.glance() as uow:
            return await uow.jobs.open(limit)

    async def look(self, job: Job) -> TaskStatus:
        """What KIE says of a running job; nothing is stored (KieError, NotFoundError)."""
        if job.kie_task_id is None:
            raise NotFoundError("task of job", job.id)
        model = self.catalog.model(job.model_id)
        request = TaskRequest(job_id=job.id, model=model, params=job.params)
        async with self._account.asking():
            return await self._kie.task_status(request, job.kie_task_id)

    async def audit(
        self, progress: Callable[[audit.Part, int], None] = lambda *_: None
    ) -> audit.Audit:
        """
        Recompute everything from the ledger; `progress` is told which part is looked at, and how
        many wallets, jobs and top-ups were looked at until now.
        """
        problems: list[audit.Problem] = []
        wallets = entries = count = seen = 0
        async with self._storage.read() as uow:
            for part in audit.Part:
                progress(part, seen)
                async for fact in uow.facts(part):
                    problems.extend(audit.judge(fact))
                    match fact:
                        case audit.WalletFact():
                            wallets += fact.many
                            entries += fact.entries
                        case audit.JobFact():
                            count += fact.many
                        case _:
                            pass
                    if not isinstance(fact, audit.StrayFact):
                        seen += fact.many
                    progress(part, seen)
        return audit.Audit(problems=tuple(problems), wallets=wallets, entries=entries, jobs=count)

    async def costs(
        self, since: datetime | None = None, rub_per_usd: Decimal | None = None
    ) -> margins.Report:
        """
        What was sold of each model in jobs confirmed since then, what KIE took for it at this rate
        (else the catalog's), and where a price no longer fits.
        """
        async with self._storage.read() as uow:
            sums = await uow.jobs.costs(since)
            billed = await uow.jobs.billed(since, margins.ALIKE, margins.WORST)
        return margins.report(sums, billed, self.catalog, self.terms.price_multiplier, rub_per_usd)

    async def credits(self) -> Decimal:
        """What the operator has left at KIE, in its credits (KieError)."""
        return await self._kie.credits()

    async def ping(self) -> None:
        """StorageError where the database does not answer."""
        await self._storage.ping()

    # Inside

    async def _answer(
        self,
        user_id: UserId,
        job_id: JobId,
        name: str | None,
        changed: Callable[[Model, Mapping[str, JsonValue]], Mapping[str, JsonValue]],
        *,
        collecting: bool = False,
        measures: Mapping[str, Decimal] = NO_MEASURES,
    ) -> Drafted:
        async with self._storage.begin() as uow:
            job = _own("job", job_id, user_id, await uow.jobs.get(job_id))
            if job.status is not JobStatus.DRAFT:
                raise RefusedByStatusError("job", job.id, job.status)
            visitor = _let_in(await uow.users.visitor(user_id))
            model = self._sold(visitor, job.model_id)
            answers = changed(model, job.params)
            param = None if name is None else params.param_for(model, answers, name)
            is_open = collecting and param is not None and drafts.has_room(param, answers)
            drafted = drafts.answer(
                job,
                model,
                answers,
                self.terms.price_multiplier,
                self._clock(),
                new_id=self._job_id(),
                collecting=param if is_open else None,
                measures=measures,
            )
            await uow.record(_drafted(user_id, drafted))
        return drafted

    async def _correct(
        self,
        user_id: UserId,
        kind: EntryKind,
        amount: Money,
        *,
        by: str,
        why: str,
        ref: str | None,
    ) -> Wallet:
        ref = ref or f"{kind}:{self._new_id()}"
        change = billing.correct(user_id, kind, amount, self._clock(), ref=ref, by=by, why=why)
        try:
            async with self._storage.begin() as uow:
                await uow.record(change)
        except DuplicateRefError as error:
            if not error.same:
                raise
        return await self.wallet(user_id)

    async def _shut(self, by: UserId, user_id: UserId, why: str, kind: ActKind) -> None:
        at = self._clock()
        async with self._storage.begin() as uow:
            person = await uow.users.get(user_id)
            if not await uow.users.block(user_id, at if kind is ActKind.BLOCK else None):
                raise RefusedByStatusError("user", str(user_id), _blocked(person))
            await uow.record(_acted(by, kind, str(user_id), why, at, user_id))

    def _without(self, off: Sequence[SwitchedOff]) -> Catalog:
        return self.catalog.without({one.model_id: one.why for one in off})

    def _sold(self, visitor: Visitor, model_id: str) -> Model:
        """The model, where it can be bought at this moment (NotOnSaleError)."""
        model = self.model(model_id)
        for one in visitor.off:
            if one.model_id == model_id:
                raise NotOnSaleError(model_id, one.why)
        return model

    def _allow(self, by: UserId) -> None:
        if not self.terms.is_admin(by):
            raise NotAllowedError(by)

    def _job_id(self) -> JobId:
        return JobId(self._new_id())


@contextlib.asynccontextmanager
async def _only_addresses(reference: str) -> AsyncIterator[InputFile]:
    raise MediaError(reference, "only addresses are read here")
    yield  # a generator, as a context manager needs


def _drafted(user_id: UserId, drafted: Drafted) -> Change:
    return Change(jobs=drafted.steps, expecting=Expecting(user_id=user_id, expect=drafted.expect))


Owned = TypeVar("Owned", Job, TopUp)


def _own(what: str, id: str, user_id: UserId, thing: Owned) -> Owned:  # noqa: A002 - the attribute
    if thing.user_id != user_id:
        raise NotFoundError(what, id)
    return thing


def _undecided(topup: TopUp) -> TopUp:
    if topup.status is not TopUpStatus.MANUAL_REVIEW:
        raise RefusedByStatusError("top-up", topup.id, topup.status)
    return topup


async def _was_told_of_credits(uow: UnitOfWork, at: datetime) -> bool:
    last = await uow.outbox.last_alert(LowCredits.cause)
    return last is not None and waits.is_recent(last, at, LOW_CREDITS_PAUSE)


async def _without(uow: UnitOfWork, user_id: UserId, topup_id: TopUpId) -> Expecting | None:
    """
    The question about this top-up is answered, and what it was laid over is asked again; any other
    question stays.
    """
    expect = await uow.ui_state.get(user_id)
    asked = isinstance(expect, Amount | Reason) and expect.topup_id == topup_id
    return Expecting(user_id=user_id, expect=own(expect)) if asked else None


def _let_in(visitor: Visitor) -> Visitor:
    """Who this is; BlockedError where nothing is to be done for them."""
    if visitor.user.is_blocked:
        raise BlockedError(visitor.user.id)
    return visitor


async def _same_receipt(
    uow: UnitOfWork, topup_id: TopUpId, receipt: Sequence[Attachment]
) -> Sequence[TopUp]:
    """Other top-ups that one of these files was shown for."""
    digests = {file.digest for file in receipt if file.digest is not None}
    return [
        other
        for digest in digests
        for other in await uow.topups.with_receipt(digest, topup_id, SAME_RECEIPT)
    ]


async def _names(uow: UnitOfWork, acts: Sequence[Act]) -> Mapping[str, str]:
    names = {}
    for who in {act.actor for act in acts}:
        if who.isascii() and who.isdigit():
            with contextlib.suppress(NotFoundError):
                names[who] = (await uow.users.get(UserId(int(who)))).name
    return names


def _acted(
    by: UserId, kind: ActKind, subject: str, why: str, at: datetime, user_id: UserId | None = None
) -> Change:
    act = Act(actor=actor(by), kind=kind, subject=subject, user_id=user_id, why=why, at=at)
    return Change(acts=(act,))


def _user_id(subject: str) -> UserId:
    return UserId(int(subject))


def _blocked(person: User) -> str:
    return "blocked" if person.is_blocked else "not blocked"


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
