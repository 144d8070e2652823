"""
Desk: the administrators' part of the conversation.

Whoever comes here is an administrator: the conversation sees to it, and every use-case once more.
A review of a top-up is pushed to administrators in the middle of what they do as people, so it
leaves their own question open and asks it again when the review is done.
"""

import contextlib
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import ClassVar, TypeAlias

from attrs import evolve

from kiebot.app import Kiebot
from kiebot.core.acts import Act, ActKind, Deed, SubjectKind
from kiebot.core.dialog import admin, balance, desk, menu
from kiebot.core.dialog.balance import Movement
from kiebot.core.dialog.desk import Line, Work
from kiebot.core.dialog.history import Past
from kiebot.core.dialog.screen import Action, Screen
from kiebot.core.errors import (
    InsufficientFundsError,
    InvalidAmountError,
    KieError,
    NotFoundError,
    RefusedByStatusError,
    TopUpCorrectedError,
    UserError,
)
from kiebot.core.expect import Amount, Expect, Reason, Whom, own
from kiebot.core.jobs import Job
from kiebot.core.money import parse_roubles
from kiebot.core.topups import TopUpId, TopUpStatus
from kiebot.core.users import User, UserId
from kiebot.core.wallet import JobId, LedgerEntry
from kiebot.talk import (
    Person,
    Route,
    as_job_id,
    as_number,
    as_topup_id,
    as_user_id,
    clean,
)

ACTS = 10
"""Acts on one page of the journal."""

JOBS = 10
"""Open jobs, and failed ones, in one list."""

_NICKNAME = re.compile(r"(?:https?://)?(?:t\.me/|@)?([A-Za-z][A-Za-z0-9_]{2,31})", re.ASCII)
"""Telegram's usernames have 5 to 32 of these characters; those bought at auction fewer."""

_TYPED_ID = re.compile(r"(?:№\s*)?(-?\d{1,18})", re.ASCII)

Asked: TypeAlias = Amount | Reason | Whom
"""What an administrator may be asked here."""

AskAgain: TypeAlias = Callable[[Person, Expect], Awaitable[Screen | None]]
"""The screen of a question that is open; None where it leads nowhere any more."""


class Desk:
    """Administrators' presses and words -> screens. `tz` is the zone of the day and of moments."""

    def __init__(
        self,
        kiebot: Kiebot,
        *,
        tz: tzinfo,
        clock: Callable[[], datetime],
        ask_again: AskAgain,
    ) -> None:
        self._kiebot = kiebot
        self._tz = tz
        self._clock = clock
        self._ask_again = ask_again

    async def press(self, person: Person, action: Action) -> Screen | None:
        """The screen of a button; None where no button does this."""
        for length in (3, 2):
            route = self._ROUTES.get(action.parts[:length])
            rest = action.parts[length:]
            if route is not None and route.least <= len(rest) <= route.most:
                return await route.handler(self, person, *rest)
        return None

    async def say(self, person: Person, asked: Asked, text: str) -> Screen:
        """A typed answer to what was asked here."""
        match asked:
            case Whom():
                return await self._look_for(person, text)
            case Amount(deed=Deed() as deed):
                return await self._take_amount(person, deed, text)
            case Reason(deed=Deed() as deed):
                reason, note = self._reason(person, text)
                if note:
                    return await self._ask_why(person, deed, note)
                return await self._perform(person, deed, reason)
            case Amount(topup_id=str() as topup_id, after=after):
                return await self._correct(person, TopUpId(topup_id), text, after)
            case Reason(topup_id=str() as topup_id, after=after):
                reason, note = self._reason(person, text)
                if note:
                    return admin.reason_question(person.t, TopUpId(topup_id), note, after)
                return await self._reject(person, TopUpId(topup_id), reason)
            case _:
                return await self._main(person)

    async def attach(self, person: Person, asked: Asked) -> Screen:
        """A file where none was asked: the question again."""
        t = person.t
        match asked:
            case Whom():
                return await self.ask(person, asked, t.admin_whom_unclear)
            case Amount():
                return await self.ask(person, asked, t.not_an_amount_file)
            case Reason():
                return await self.ask(person, asked, t.admin_not_a_text)

    async def ask(self, person: Person, asked: Asked, note: str = "") -> Screen:
        """A question of these once more."""
        t = person.t
        match asked:
            case Whom():
                return desk.whom(t, note)
            case Amount(deed=Deed() as deed):
                return await self._ask_how_much(person, deed, note)
            case Reason(deed=Deed() as deed):
                return await self._ask_why(person, deed, note)
            case Amount(topup_id=str() as topup_id, after=after):
                terms = self._kiebot.terms
                return admin.amount_question(t, TopUpId(topup_id), terms, note, after)
            case Reason(topup_id=str() as topup_id, after=after):
                return admin.reason_question(t, TopUpId(topup_id), note, after)
            case _:
                return await self._main(person)

    async def drop(self, person: Person, asked: Asked) -> Screen:
        """What was asked is not to be done."""
        match asked:
            case Amount(deed=Deed() as deed) | Reason(deed=Deed() as deed):
                screen = await self._subject(person, deed.kind, deed.subject)
            case Amount(topup_id=str() as topup_id) | Reason(topup_id=str() as topup_id):
                screen = await self.request(person, topup_id)
            case _:
                screen = await self._main(person)
        return menu.noted(person.t.question_dropped, screen)

    async def reject_without_reason(self, person: Person, topup_id: str) -> Screen:
        """NotFoundError where it is no top-up."""
        return await self._reject(person, as_topup_id(topup_id), "")

    # Top-ups

    async def request(self, person: Person, topup_id: str) -> Screen:
        """A request as it is, which leaves the administrator's own question open."""
        review = await self._kiebot.review(person.id, TopUpId(topup_id))
        mine = own(await self._kiebot.expected(person.id))
        return evolve(admin.request(person.t, review, self._tz), expects=mine)

    async def _decided(self, person: Person, topup_id: str) -> Screen:
        """A request that was decided, and then the question that the review interrupted."""
        screen = await self.request(person, topup_id)
        if screen.expects is None:
            return screen
        question = None
        with contextlib.suppress(UserError):
            question = await self._ask_again(person, screen.expects)
        if question is None:
            return evolve(screen, expects=None)
        text = f"{screen.text}\n\n{question.text}"
        return evolve(question, text=text, media=screen.media, review=screen.review)

    async def _requests(self, person: Person) -> Screen:
        waiting = await self._kiebot.topups_to_review(person.id)
        return admin.topups(person.t, waiting, self._tz)

    async def _show_request(self, person: Person, topup_id: str) -> Screen:
        return await self.request(person, as_topup_id(topup_id))

    async def _approve(self, person: Person, topup_id: str, roubles: str | None = None) -> Screen:
        known = as_topup_id(topup_id)
        amount = None if roubles is None else parse_roubles(roubles)
        if roubles is not None and amount is None:
            return await self.request(person, known)
        try:
            await self._kiebot.approve_topup(person.id, known, amount)
        except RefusedByStatusError:
            pass  # the request says what was decided
        except TopUpCorrectedError:
            return await self.request(person, known)  # and here, what is to be confirmed
        return await self._decided(person, known)

    async def _correct(
        self, person: Person, topup_id: TopUpId, roubles: str, after: Expect | None
    ) -> Screen:
        try:
            await self._kiebot.correct_topup(person.id, topup_id, roubles)
        except InvalidAmountError:
            terms = self._kiebot.terms
            wrong = balance.wrong_amount(person.t, terms)
            return admin.amount_question(person.t, topup_id, terms, wrong, after)
        except RefusedByStatusError:
            return await self._decided(person, topup_id)
        return await self.request(person, topup_id)

    async def _ask_reason(self, person: Person, topup_id: str) -> Screen:
        topup, _ = await self._kiebot.topup_to_review(person.id, as_topup_id(topup_id))
        if topup.status is not TopUpStatus.MANUAL_REVIEW:
            return await self.request(person, topup.id)
        mine = own(await self._kiebot.expected(person.id))
        return admin.reason_question(person.t, topup.id, after=mine)

    async def _ask_amount(self, person: Person, topup_id: str) -> Screen:
        topup, _ = await self._kiebot.topup_to_review(person.id, as_topup_id(topup_id))
        if topup.status is not TopUpStatus.MANUAL_REVIEW:
            return await self.request(person, topup.id)
        mine = own(await self._kiebot.expected(person.id))
        return admin.amount_question(person.t, topup.id, self._kiebot.terms, after=mine)

    async def _reject(self, person: Person, topup_id: TopUpId, why: str) -> Screen:
        # Where it is refused, the request says what was decided.
        with contextlib.suppress(RefusedByStatusError):
            await self._kiebot.reject_topup(person.id, topup_id, why)
        return await self._decided(person, topup_id)

    # People

    async def _main(self, person: Person) -> Screen:
        waiting = await self._kiebot.topups_to_review(person.id)
        return desk.main(person.t, len(waiting))

    async def _find(self, person: Person) -> Screen:
        return desk.whom(person.t)

    async def _look_for(self, person: Person, text: str) -> Screen:
        """A number, or a nickname, with or without what stands around it."""
        t, typed = person.t, text.strip()
        number = _TYPED_ID.fullmatch(typed)
        if number is not None:
            try:
                return await self._user(person, number[1])
            except NotFoundError:
                return desk.whom(t, t.admin_whom_nobody(number[1]))
        named = _NICKNAME.fullmatch(typed)
        if named is None:
            return desk.whom(t, t.admin_whom_unclear)
        found = await self._kiebot.people_named(person.id, named[1])
        if not found:
            return desk.whom(t, t.admin_whom_nobody(f"@{named[1]}"))
        if len(found) > 1:
            return desk.several(t, found)
        return await self._user(person, str(found[0].id))

    async def _user(self, person: Person, user_id: str) -> Screen:
        dossier = await self._kiebot.dossier(person.id, as_user_id(user_id))
        who = dossier.person.id
        return desk.person(
            person.t,
            dossier,
            [self._past(person, job) for job in dossier.jobs],
            await self._movements(person, who, dossier.entries),
            await self._lines(person, dossier.acts),
            self._tz,
            is_admin=self._kiebot.terms.is_admin(who),
        )

    async def _movements(
        self, person: Person, user_id: UserId, entries: Sequence[LedgerEntry]
    ) -> tuple[Movement, ...]:
        movements = []
        for entry in entries:
            title = None
            if entry.job_id is not None:
                job = await self._kiebot.job(user_id, entry.job_id)
                title = self._past(person, job).title
            movements.append(Movement(entry=entry, title=title))
        return tuple(movements)

    # Jobs

    async def _jobs(self, person: Person) -> Screen:
        working, failed = await self._kiebot.troubles(person.id, JOBS)
        return desk.jobs(
            person.t,
            [await self._work(person, job) for job in working],
            [await self._work(person, job) for job in failed],
            self._tz,
        )

    async def _job(self, person: Person, job_id: str) -> Screen:
        job, who = await self._kiebot.any_job(person.id, as_job_id(job_id))
        return desk.job(person.t, self._working(person, job, who), self._tz)

    async def _work(self, person: Person, job: Job) -> Work:
        return self._working(person, job, await self._kiebot.user(job.user_id))

    def _working(self, person: Person, job: Job, who: User) -> Work:
        elapsed = max(self._clock() - (job.confirmed_at or job.created_at), timedelta())
        return Work(past=self._past(person, job), person=who, elapsed=elapsed)

    def _past(self, person: Person, job: Job) -> Past:
        return Past(job=job, model=person.catalog.find(job.model_id))

    # Numbers

    async def _today(self, person: Person) -> Screen:
        now = self._clock().astimezone(self._tz)
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)
        return desk.today(person.t, await self._kiebot.day(person.id, midnight), self._tz)

    async def _credits(self, person: Person) -> Screen:
        try:
            left, enough = await self._kiebot.stock(person.id)
        except KieError as error:
            return desk.no_credits(person.t, str(error))
        return desk.kie_credits(person.t, left, enough)

    # Models

    async def _models(self, person: Person, page: str = "1") -> Screen:
        off = {one.model_id: one for one in await self._kiebot.switched_off(person.id)}
        return desk.models(person.t, self._kiebot.catalog, off, as_number(page, 1))

    async def _model(self, person: Person, key: str) -> Screen:
        # Of the catalog itself, which knows why it does not sell what nobody switched off.
        model = self._kiebot.catalog.by_key(key)
        off = {one.model_id: one for one in await self._kiebot.switched_off(person.id)}
        switched = off.get(model.id)
        who = ""
        if switched is not None and switched.by.isdigit():
            with contextlib.suppress(NotFoundError):
                who = (await self._kiebot.user(as_user_id(switched.by))).name
        multiplier = self._kiebot.terms.price_multiplier
        return desk.model(person.t, model, switched, who, multiplier, self._tz)

    # The journal

    async def _acts(self, person: Person, cursor: str | None = None) -> Screen:
        before = None if cursor is None else as_number(cursor, 0)
        acts, names = await self._kiebot.acts(person.id, ACTS + 1, before)
        lines = await self._lines(person, acts[:ACTS], names)
        older = acts[ACTS - 1].id if len(acts) > ACTS else None
        return desk.acts(person.t, lines, older, self._tz, first=cursor is None)

    async def _lines(
        self, person: Person, acts: Sequence[Act], names: Mapping[str, str] | None = None
    ) -> list[Line]:
        if names is None:
            names = await self._kiebot.names(person.id, acts)
        return [
            Line(act=act, who=names.get(act.actor, ""), what=await self._what(person, act))
            for act in acts
        ]

    async def _what(self, person: Person, act: Act) -> str:
        """What an act was done to, where its id alone says little."""
        match act.subject_kind:
            case SubjectKind.MODEL:
                model = person.catalog.find(act.subject)
                return act.subject if model is None else model.title
            case SubjectKind.USER:
                with contextlib.suppress(NotFoundError):
                    return admin.person(person.t, await self._kiebot.user(as_user_id(act.subject)))
                return act.subject
            case SubjectKind.JOB | SubjectKind.TOPUP:
                return ""

    # What is to be done

    async def _give(self, person: Person, user_id: str) -> Screen:
        return await self._prepare(person, ActKind.GRANT, str(as_user_id(user_id)))

    async def _take(self, person: Person, user_id: str) -> Screen:
        return await self._prepare(person, ActKind.DEBIT, str(as_user_id(user_id)))

    async def _block(self, person: Person, user_id: str) -> Screen:
        return await self._prepare(person, ActKind.BLOCK, str(as_user_id(user_id)))

    async def _unblock(self, person: Person, user_id: str) -> Screen:
        return await self._prepare(person, ActKind.UNBLOCK, str(as_user_id(user_id)))

    async def _refund(self, person: Person, job_id: str) -> Screen:
        return await self._prepare(person, ActKind.REFUND, as_job_id(job_id))

    async def _switch_off(self, person: Person, key: str) -> Screen:
        model = self._kiebot.catalog.by_key(key)
        return await self._prepare(person, ActKind.SWITCH_OFF, model.id)

    async def _switch_on(self, person: Person, key: str) -> Screen:
        model = self._kiebot.catalog.by_key(key)
        return await self._prepare(person, ActKind.SWITCH_ON, model.id)

    async def _prepare(self, person: Person, kind: ActKind, subject: str) -> Screen:
        try:
            deed = await self._kiebot.prepare(person.id, kind, subject)
        except RefusedByStatusError:
            return menu.noted(person.t.admin_deed_over, await self._subject(person, kind, subject))
        if kind in {ActKind.GRANT, ActKind.DEBIT}:
            return await self._ask_how_much(person, deed)
        return await self._ask_why(person, deed)

    async def _take_amount(self, person: Person, deed: Deed, text: str) -> Screen:
        amount = parse_roubles(text)
        if amount is None or not amount:
            return await self._ask_how_much(person, deed, person.t.admin_not_roubles)
        if deed.kind is ActKind.DEBIT:
            available = (await self._kiebot.wallet(as_user_id(deed.subject))).available
            if amount > available:
                note = person.t.admin_too_much(person.t.money(available))
                return await self._ask_how_much(person, deed, note)
        return await self._ask_why(person, evolve(deed, amount=amount))

    async def _ask_how_much(self, person: Person, deed: Deed, note: str = "") -> Screen:
        what, _, _ = await self._told(person, deed)
        return desk.deed_amount(person.t, deed, what, note)

    async def _ask_why(self, person: Person, deed: Deed, note: str = "") -> Screen:
        what, key, deed = await self._told(person, deed)
        return desk.deed_reason(person.t, deed, what, key, note)

    async def _told(self, person: Person, deed: Deed) -> tuple[str, str, Deed]:
        """What it is done to, in words; the key where that is a model; the deed and its amount."""
        match deed.kind:
            case ActKind.REFUND:
                job, who = await self._kiebot.any_job(person.id, JobId(deed.subject))
                title = self._past(person, job).title
                return (
                    f"{title} ({admin.person(person.t, who)})",
                    "",
                    evolve(deed, amount=job.price),
                )
            case ActKind.SWITCH_OFF | ActKind.SWITCH_ON:
                model = self._kiebot.catalog.model(deed.subject)
                return model.title, model.key, deed
            case _:
                who = await self._kiebot.user(as_user_id(deed.subject))
                return admin.person(person.t, who), "", deed

    async def _perform(self, person: Person, deed: Deed, why: str) -> Screen:
        t = person.t
        try:
            await self._kiebot.perform(person.id, deed, why)
        except InsufficientFundsError as error:
            note = t.admin_too_much(t.money(error.available))
            return await self._ask_how_much(person, evolve(deed, amount=None), note)
        except RefusedByStatusError:
            return menu.noted(
                t.admin_deed_over, await self._subject(person, deed.kind, deed.subject)
            )
        done = t.admin_deed_done(deed.kind, "" if deed.amount is None else t.money(deed.amount))
        return menu.noted(done, await self._subject(person, deed.kind, deed.subject))

    async def _subject(self, person: Person, kind: ActKind, subject: str) -> Screen:
        """What it was to be done to, as it is now."""
        match kind:
            case ActKind.REFUND:
                return await self._job(person, subject)
            case ActKind.SWITCH_OFF | ActKind.SWITCH_ON:
                return await self._model(person, self._kiebot.catalog.model(subject).key)
            case _:
                return await self._user(person, subject)

    def _reason(self, person: Person, text: str) -> tuple[str, str]:
        """A reason, and what is wrong with it."""
        reason = clean(text, len(text))
        if len(reason) > admin.REASON_CHARS:
            return reason, person.t.admin_reason_too_long(admin.REASON_CHARS)
        return reason, "" if reason else person.t.admin_not_a_text

    _ROUTES: ClassVar[Mapping[tuple[str, ...], Route]] = {
        ("admin", "main"): Route(_main),
        ("admin", "topups"): Route(_requests),
        ("admin", "topup", "show"): Route(_show_request, 1, 1),
        ("admin", "topup", "approve"): Route(_approve, 1, 2),
        ("admin", "topup", "reject"): Route(_ask_reason, 1, 1),
        ("admin", "topup", "amount"): Route(_ask_amount, 1, 1),
        ("admin", "find"): Route(_find),
        ("admin", "user"): Route(_user, 1, 1),
        ("admin", "grant"): Route(_give, 1, 1),
        ("admin", "debit"): Route(_take, 1, 1),
        ("admin", "block"): Route(_block, 1, 1),
        ("admin", "unblock"): Route(_unblock, 1, 1),
        ("admin", "jobs"): Route(_jobs),
        ("admin", "job"): Route(_job, 1, 1),
        ("admin", "refund"): Route(_refund, 1, 1),
        ("admin", "today"): Route(_today),
        ("admin", "credits"): Route(_credits),
        ("admin", "models"): Route(_models, 0, 1),
        ("admin", "model"): Route(_model, 1, 1),
        ("admin", "off"): Route(_switch_off, 1, 1),
        ("admin", "on"): Route(_switch_on, 1, 1),
        ("admin", "acts"): Route(_acts, 0, 1),
    }
    """What each action does, as in the conversation."""
