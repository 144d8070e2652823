"""
Conversation: what a person did -> at most one use-case -> the next screen.

The table at the end of the class is the whole of it: from the name of an action to its handler.
Errors that a person can do something about become screens here, so that the same error looks the
same in every frontend.
"""

import contextlib
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import ClassVar

from attrs import evolve, frozen

from kiebot.app import Kiebot, OpenedFile
from kiebot.core import drafts, params, pricing
from kiebot.core.catalog import Model
from kiebot.core.dialog import balance, generation, history, menu, news
from kiebot.core.dialog.en import EN
from kiebot.core.dialog.history import Going, Past
from kiebot.core.dialog.menu import Visit
from kiebot.core.dialog.ru import RU
from kiebot.core.dialog.screen import COMMANDS, Action, Attach, Did, Media, Press, Say, Screen
from kiebot.core.dialog.texts import Texts, clock
from kiebot.core.drafts import Drafted
from kiebot.core.errors import (
    AnswerProblem,
    BlockedError,
    InsufficientFundsError,
    InvalidAmountError,
    InvalidAnswerError,
    NotAllowedError,
    NotFoundError,
    NotOnSaleError,
    PriceChangedError,
    PriceMissingError,
    RefusedByStatusError,
    StaleError,
    TooManyJobsError,
    TopUpClosedError,
    TopUpCorrectedError,
    UserError,
)
from kiebot.core.events import (
    Event,
    JobFailed,
    JobRefunded,
    JobSucceeded,
    ReceiptJoined,
    TopUpApproved,
    TopUpToReview,
)
from kiebot.core.expect import Amount, Answer, AnswerForm, Expect, Reason, Receipt, Whom
from kiebot.core.jobs import Job, JobStatus
from kiebot.core.language import Language
from kiebot.core.media import Attachment, MediaKind, SentFile, kind_of
from kiebot.core.params import FilesParam, JsonValue
from kiebot.core.topups import TopUp, TopUpId, TopUpStatus
from kiebot.core.users import UserId
from kiebot.core.wallet import JobId, LedgerEntry
from kiebot.desk import Desk
from kiebot.notices import NoticeBoard
from kiebot.talk import Person, Route, as_job_id, as_number, as_topup_id, clean

JOBS = 10
"""Jobs on one page of the history."""

ENTRIES = 20
"""Movements on one page."""

LATEST = 5
"""Movements under the balance."""

RECEIPT_FILES = 10
"""Files of one receipt: what one Telegram album holds."""

SEEN_EVERY = timedelta(minutes=1)
"""How exactly it is kept when a person was last here: a row is not written with every press."""

NAME_CHARS = 128
"""Characters of a name that are kept."""

_NUMBER = re.compile(r"\d{1,18}", re.ASCII)
_COMMAND = re.compile(r"/([A-Za-z_]+)(?:@\w+)?", re.ASCII)
_START = re.compile(r"/start(?:@\w+)?\s.*", re.ASCII | re.DOTALL)
_ADDRESS = re.compile(r"https?://\S+", re.IGNORECASE)

_TEXTS = {Language.RU: RU, Language.EN: EN}


@frozen(kw_only=True)
class Progress:
    """
    An open job, for a line that a frontend keeps up to date.

    `line` says it in the person's language; `usual` is how long such a job usually takes.
    """

    job_id: JobId
    title: str
    elapsed: timedelta
    usual: timedelta | None
    line: str


@frozen(kw_only=True)
class Making:
    """An open job as a screen, and what will come of it."""

    screen: Screen
    output: MediaKind


def utc_now() -> datetime:
    """The clock of the machine."""
    return datetime.now(UTC)


class Conversation:
    """
    The only partner of a frontend.

    Whatever a person sends gets a screen; what is not theirs, or means nothing, moves no money.
    `tz` is the zone in which moments are shown.
    """

    def __init__(
        self,
        kiebot: Kiebot,
        *,
        tz: tzinfo = UTC,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.pulse = kiebot.pulse
        self._kiebot = kiebot
        self._tz = tz
        self._clock = clock
        self._desk = Desk(kiebot, tz=tz, clock=clock, ask_again=self._ask_again)
        self._has_told: Callable[[], Awaitable[bool]] | None = None

    # For frontends

    def told_by(self, has_told: Callable[[], Awaitable[bool]]) -> None:
        """Who tells the one person of this frontend says whether all is told (`is_idle`)."""
        self._has_told = has_told

    async def meet(
        self, user_id: UserId, name: str, language: Language, nickname: str | None = None
    ) -> None:
        """
        Make a person known; again is harmless, and a language that was chosen stays. `nickname` is
        a name that no two people have at once, without its @; None where they have none.
        """
        nickname = None if nickname is None else clean(nickname, NAME_CHARS).lstrip("@") or None
        await self._kiebot.greet(user_id, clean(name, NAME_CHARS), language, nickname)

    async def language(self, user_id: UserId) -> Language:
        """The language that a person is spoken to in."""
        return (await self._person(user_id)).user.language

    async def texts(self, user_id: UserId) -> Texts:
        """The words for a person, for what a frontend says itself."""
        return (await self._person(user_id)).t

    async def asks_for_person(self, user_id: UserId) -> bool:
        """
        Whether an administrator was asked whom they look for.

        Then a forwarded message means who wrote it: `Say` of their id in digits, or of nothing
        where the frontend is not told who it was.
        """
        return isinstance(await self._kiebot.expected(user_id), Whom)

    async def available(self, user_id: UserId) -> str:
        """What a person can spend, as they read it."""
        person = await self._person(user_id)
        return person.t.money((await self._kiebot.wallet(user_id)).available)

    @property
    def is_demo(self) -> bool:
        """Whether the money is a toy."""
        return self._kiebot.terms.demo_grant is not None

    async def handle(self, user_id: UserId, did: Did) -> Screen:
        """
        What a person did, and the screen they see next.

        Its `expects` is stored: it is what their next typed answer is for.
        """
        person = await self._person(user_id)
        if person.user.is_blocked:
            return await self._undisturbed(person, self._blocked(person))
        await self._note_visit(person)
        for _ in range(3):
            try:
                screen = await self._screen(person, did)
                break
            except StaleError:
                # Two presses at once: the later one is answered by what the first one made.
                continue
        else:
            screen = await self._menu(person)
        if screen.expects != await self._kiebot.expected(user_id):
            await self._kiebot.expect(user_id, screen.expects)
        return screen

    async def where(self, user_id: UserId) -> Screen:
        """
        Where a person is: the open question, or what they did last as it is now.

        For who did something and never saw what came of it. Its `expects` is stored.
        """
        person = await self._person(user_id)
        if person.user.is_blocked:
            return await self._undisturbed(person, self._blocked(person))
        try:
            screen = await self._where(person)
        except UserError:
            screen = await self._menu(person)
        if screen.expects != await self._kiebot.expected(user_id):
            await self._kiebot.expect(user_id, screen.expects)
        return screen

    async def went_wrong(self, user_id: UserId) -> Screen:
        """What is shown in place of a screen that could not be made; what was asked stays asked."""
        person = await self._person(user_id)
        return await self._undisturbed(person, menu.message(person.t, person.t.went_wrong))

    async def news(self, event: Event) -> Screen:
        """The screen that tells an event, in the language of the person it tells."""
        person = await self._person(event.user_id)
        past = draft = review = None
        match event:
            case JobSucceeded() | JobFailed() | JobRefunded():
                with contextlib.suppress(NotFoundError):
                    past = self._past(person, await self._kiebot.job(person.id, event.job_id))
            case TopUpApproved():
                draft = await self._draft_of(person)
            case TopUpToReview(topup_id=topup_id) | ReceiptJoined(topup_id=topup_id):
                # Who is no administrator any more is not told.
                with contextlib.suppress(NotAllowedError, NotFoundError):
                    review = await self._kiebot.review(person.id, topup_id)
            case _:
                pass
        now = news.Background(
            catalog=person.catalog,
            terms=self._kiebot.terms,
            tz=self._tz,
            available=(await self._kiebot.wallet(person.id)).available,
            past=past,
            draft=draft,
            review=review,
        )
        return news.screen(person.t, event, now)

    async def progress(self, user_id: UserId) -> tuple[Progress, ...]:
        """What is being made for a person, oldest first."""
        person = await self._person(user_id)
        return tuple(
            Progress(
                job_id=going.job.id,
                title=going.title,
                elapsed=going.elapsed,
                usual=going.usual,
                line=person.t.terminal_progress(going.title, clock(going.elapsed)),
            )
            for going in await self._going(person)
        )

    async def in_work(self, user_id: UserId, job_id: JobId) -> Making | None:
        """An open job as it is now, None where it is over; nothing is asked or stored by this."""
        person = await self._person(user_id)
        try:
            job = await self._kiebot.job(user_id, job_id)
        except NotFoundError:
            return None
        if not job.is_open:
            return None
        past = self._past(person, job)
        return Making(screen=await self._in_work(person, past), output=past.output)

    async def is_idle(self, user_id: UserId) -> bool:
        """Whether nothing is being made for a person, and nothing is left to tell them."""
        if await self._kiebot.open_jobs(user_id):
            return False
        if self._has_told is not None:
            return await self._has_told()
        return not await self._kiebot.untold_of(user_id, 1)

    def open_media(self, media: Media) -> OpenedFile:
        """Read a result (MediaError). What a person attached is read by their frontend."""
        return self._kiebot.open_result(media.url)

    async def review(self, user_id: UserId, topup_id: TopUpId) -> Screen | None:
        """
        A top-up as an administrator sees it now, None for who is none; nothing is asked or stored
        by this.
        """
        person = await self._person(user_id)
        try:
            return evolve(await self._desk.request(person, topup_id), expects=None)
        except (NotAllowedError, NotFoundError):
            return None

    @property
    def notices(self) -> NoticeBoard:
        """Where a frontend keeps which of its messages go on telling something."""
        return self._kiebot.notices

    async def sent_as(self, media: Media) -> SentFile | None:
        """How a frontend sent this last."""
        return await self._kiebot.sent_as(media.url, media.kind)

    async def remember_sent(self, media: Media, sent: SentFile) -> None:
        """Keep under which id a frontend has this, to send it when its address is gone."""
        await self._kiebot.remember_sent(media.url, media.kind, sent)

    async def report_not_sent(self, user_id: UserId, media: Media, why: str) -> None:
        """Tell administrators that this could be sent in no way."""
        await self._kiebot.report_not_sent(user_id, media.name, why)

    async def _where(self, person: Person) -> Screen:
        expect = await self._kiebot.expected(person.id)
        match expect:
            case Answer(job_id=job_id, param=name):
                job = await self._kiebot.current(person.id, job_id)
                if job.status is JobStatus.DRAFT:
                    return await self._question(person, job, name)
                return await self._shown(person, job)
            case Receipt(topup_id=topup_id):
                return self._transfer(person, await self._kiebot.topup(person.id, topup_id))
            case Amount(topup_id=None, deed=None):
                return await self._own_amount(person)
            case Amount() | Reason() | Whom() if person.is_admin:
                return await self._desk.ask(person, expect)
            case _:
                pass
        draft = await self._kiebot.draft_of(person.id)
        latest = [*await self._kiebot.jobs(person.id, 1), *([draft] if draft else [])]
        if latest:
            job = max(latest, key=lambda one: one.confirmed_at or one.updated_at)
            # What is over is told as news, and is not told a second time here.
            if job.is_open or job.status is JobStatus.DRAFT:
                return await self._shown(person, job)
        return await self._menu(person)

    # From what was done to a handler

    async def _person(self, user_id: UserId) -> Person:
        try:
            user, catalog = await self._kiebot.visitor(user_id)
        except NotFoundError:
            await self._kiebot.greet(user_id, "", Language.of_locale(None))
            user, catalog = await self._kiebot.visitor(user_id)
        return Person(
            user=user,
            t=_TEXTS[user.language],
            catalog=catalog,
            # The console may do what administrators do, and is nobody to talk with.
            is_admin=user_id in self._kiebot.terms.admins,
        )

    async def _note_visit(self, person: Person) -> None:
        seen_at, now = person.user.seen_at, self._clock()
        if seen_at is None or now - seen_at >= SEEN_EVERY:
            await self._kiebot.saw(person.id)

    def _blocked(self, person: Person) -> Screen:
        return menu.blocked(person.t, self._kiebot.terms.support or "")

    async def _screen(self, person: Person, did: Did) -> Screen:
        try:
            return await self._respond(person, did)
        except UserError as error:
            cause: UserError = error
        for _ in range(3):
            try:
                return await self._sorry(person, did, cause)
            except UserError as error:
                # What was to be shown instead is in the way itself, such as a model switched off.
                cause = error
        return await self._menu(person)

    async def _respond(self, person: Person, did: Did) -> Screen:
        match did:
            case Press(action=action):
                return await self._press(person, action)
            case Say(text=text):
                return await self._say(person, text)
            case Attach():
                return await self._attach_with_words(person, did)

    async def _press(self, person: Person, action: Action) -> Screen:
        if action.parts[0] == "admin":
            # To anybody else it is a button that nobody knows.
            screen = await self._desk.press(person, action) if person.is_admin else None
            return await self._broken(person) if screen is None else screen
        for length in (3, 2, 1):
            route = self._ROUTES.get(action.parts[:length])
            rest = action.parts[length:]
            if route is not None and route.least <= len(rest) <= route.most:
                return await route.handler(self, person, *rest)
        return await self._broken(person)

    async def _say(self, person: Person, text: str) -> Screen:
        expect = await self._kiebot.expected(person.id)
        command = _command(text)
        if command is not None:
            is_known = command in COMMANDS and (command != "admin" or person.is_admin)
            if not is_known:
                return menu.unknown_command(person.t, expect)
            return await self._press(person, COMMANDS[command])
        match expect:
            case None:
                visit = await self._visit(person)
                return menu.nothing_asked(person.t, visit, is_file=False)
            case Answer(job_id=job_id, param=name):
                given = self._kiebot.answer(person.id, job_id, name, text)
                return await self._answered(person, job_id, name, given)
            case Amount(topup_id=None, deed=None):
                return await self._start_topup(person, text)
            case Receipt(topup_id=topup_id):
                file = _linked(text)
                if file is None:
                    return await self._receipt_again(person, topup_id)
                return await self._take_receipt(person, topup_id, file)
            case Amount() | Reason() | Whom():
                if not person.is_admin:
                    return menu.nothing_asked(person.t, await self._visit(person), is_file=False)
                return await self._desk.say(person, expect, text)

    async def _attach_with_words(self, person: Person, did: Attach) -> Screen:
        """A file and its caption: two answers at once, where a text is asked before or after it."""
        file = _as_attachment(did.file)
        words = "" if _command(did.words) else did.words
        before = await self._kiebot.expected(person.id)
        if words and _asks_text(before):
            screen = await self._say(person, words)
            await self._kiebot.expect(person.id, screen.expects)
            if not _asks_file(screen.expects):
                return screen
            return await self._attach(person, file, is_more=did.is_more)
        screen = await self._attach(person, file, is_more=did.is_more)
        if words and _asks_text(screen.expects) and screen.expects != before:
            await self._kiebot.expect(person.id, screen.expects)
            return await self._say(person, words)
        return screen

    async def _attach(self, person: Person, file: Attachment, *, is_more: bool = False) -> Screen:
        t, terms = person.t, self._kiebot.terms
        expect = await self._kiebot.expected(person.id)
        match expect:
            case None:
                topup = await self._kiebot.waiting_topup(person.id)
                if topup is not None:
                    return await self._take_receipt(person, topup.id, file)
                draft = await self._kiebot.draft_of(person.id) if is_more else None
                if draft is not None:
                    # One was asked for and several came: what the first led to stays.
                    return await self._shown(person, draft, t.telegram_only_one)
                return menu.nothing_asked(t, await self._visit(person), is_file=True)
            case Answer(job_id=job_id, param=name, form=form):
                note = {
                    AnswerForm.FILE: "",
                    AnswerForm.CHOICE: t.problem_press,
                    AnswerForm.TEXT: t.problem_file_for_text,
                    AnswerForm.NUMBER: t.problem_file_for_text,
                }[form]
                given = self._kiebot.answer(person.id, job_id, name, file)
                return await self._answered(person, job_id, name, given, note)
            case Amount(topup_id=None, deed=None):
                return balance.amount_question(t, terms, t.not_an_amount_file)
            case Receipt(topup_id=topup_id):
                return await self._take_receipt(person, topup_id, file)
            case Amount() | Reason() | Whom():
                if not person.is_admin:
                    return menu.nothing_asked(t, await self._visit(person), is_file=True)
                return await self._desk.attach(person, expect)

    async def _sorry(self, person: Person, did: Did, error: UserError) -> Screen:
        """What a person sees of an error."""
        t, terms = person.t, self._kiebot.terms
        match error:
            case InsufficientFundsError(needed=needed, available=available):
                draft = await self._offered_instead(person, error.draft_id)
                return generation.not_enough(t, needed, available, draft, terms)
            case TooManyJobsError(limit=limit):
                draft = await self._offered_instead(person, error.draft_id)
                return generation.too_many_jobs(t, limit, draft)
            case PriceChangedError(offered=offered, now=now):
                draft = await self._offered_instead(person, error.draft_id)
                note = (
                    t.price_gone if now is None else t.price_changed(*map(t.money, (offered, now)))
                )
                return menu.noted(
                    note,
                    await self._menu(person) if draft is None else await self._shown(person, draft),
                )
            case NotOnSaleError(model_id=model_id, why=why):
                model = person.catalog.model(model_id)
                return menu.not_on_sale(t, model, why if person.is_admin else "")
            case NotFoundError(what="model" | "category"):
                return menu.no_such_model(t, person.catalog, terms.price_multiplier)
            case BlockedError():
                screen = self._blocked(person)
            case InvalidAmountError():
                return balance.amount_question(t, terms, balance.wrong_amount(t, terms))
            case TopUpClosedError():
                return balance.topup_closed(t)
            case TopUpCorrectedError(topup_id=topup_id):
                return await self._desk.request(person, topup_id)
            case RefusedByStatusError(what="job", id=job_id):
                return await self._became(person, job_id, t.old_button)
            case RefusedByStatusError(what="top-up", id=topup_id):
                topup = await self._kiebot.topup(person.id, TopUpId(topup_id))
                return balance.topup_now(t, topup)
            case NotFoundError():
                screen = menu.not_found(t)
            case _:
                screen = menu.broken_button(t, await self._visit(person))
        # A press that led nowhere leaves what was asked asked; an answer that led nowhere ends it.
        return await self._undisturbed(person, screen) if isinstance(did, Press) else screen

    async def _undisturbed(self, person: Person, screen: Screen) -> Screen:
        """A screen that leaves what was asked asked."""
        return evolve(screen, expects=await self._kiebot.expected(person.id))

    async def _broken(self, person: Person) -> Screen:
        screen = menu.broken_button(person.t, await self._visit(person))
        return await self._undisturbed(person, screen)

    # Menu

    async def _menu(self, person: Person) -> Screen:
        return menu.start(person.t, await self._visit(person))

    async def _categories(self, person: Person) -> Screen:
        terms = self._kiebot.terms
        return menu.categories(person.t, person.catalog, terms.price_multiplier)

    async def _models(self, person: Person, slug: str, page: str = "1") -> Screen:
        catalog = person.catalog
        category = catalog.category(slug)
        multiplier = self._kiebot.terms.price_multiplier
        return menu.models(person.t, catalog, category, multiplier, as_number(page, 1))

    async def _help(self, person: Person) -> Screen:
        return menu.help_(person.t)

    async def _languages(self, person: Person) -> Screen:
        return menu.languages(person.t)

    async def _speak(self, person: Person, language: Language) -> Screen:
        await self._kiebot.speak(person.id, language)
        now = await self._person(person.id)
        return menu.noted(now.t.language_chosen, await self._menu(now))

    async def _speak_russian(self, person: Person) -> Screen:
        return await self._speak(person, Language.RU)

    async def _speak_english(self, person: Person) -> Screen:
        return await self._speak(person, Language.EN)

    async def _paysupport(self, person: Person) -> Screen:
        return menu.paysupport(person.t, person.id, self._kiebot.terms.support or "")

    async def _cancel_all(self, person: Person) -> Screen:
        """The command: whatever was begun is dropped."""
        t = person.t
        expect = await self._kiebot.expected(person.id)
        match expect:
            case Answer(job_id=job_id):
                return await self._cancel(person, job_id)
            case Receipt(topup_id=topup_id):
                return await self._cancel_topup(person, topup_id)
            case Amount(topup_id=None, deed=None):
                return menu.noted(t.question_dropped, await self._wallet(person))
            case Amount() | Reason() | Whom() if person.is_admin:
                return await self._desk.drop(person, expect)
            case _:
                pass
        draft = await self._kiebot.draft_of(person.id)
        if draft is not None:
            return await self._cancel(person, draft.id)
        visit = await self._visit(person)
        note = t.nothing_to_cancel_running if visit.open_jobs else t.nothing_to_cancel
        return menu.noted(note, menu.start(t, visit))

    # Generation

    async def _begin(self, person: Person, key: str) -> Screen:
        model = person.model(person.catalog.by_key(key).id)
        drafted = await self._kiebot.draft(person.id, model.id)
        return await self._drafted(person, drafted, is_first=True)

    async def _use(self, person: Person, job_id: str, key: str) -> Screen:
        """A result becomes the next model's input."""
        job = await self._kiebot.job(person.id, as_job_id(job_id))
        made_by = person.catalog.model(job.model_id)
        model = person.catalog.by_key(key)
        param = generation.input_for(model, made_by.output)
        if param is None or job.result is None or not job.result.urls:
            raise NotFoundError("result", job_id)
        url = job.result.urls[0]
        value: JsonValue = [url] if isinstance(param, FilesParam) else url
        try:
            drafted = await self._kiebot.draft(person.id, model.id, {param.name: value})
        except InvalidAnswerError as error:
            # Results are kept for some weeks, and not every model takes what another makes.
            drafted = await self._kiebot.draft(person.id, model.id)
            note = generation.problem(person.t, model, error)
            return await self._question(person, drafted.job, param.name, note=note)
        return await self._drafted(person, drafted, is_first=True)

    async def _choose(self, person: Person, job_id: str, name: str, number: str) -> Screen:
        given = self._kiebot.choose(person.id, as_job_id(job_id), name, as_number(number, 0))
        return await self._answered(person, job_id, name, given)

    async def _skip(self, person: Person, job_id: str, name: str) -> Screen:
        if name == "reason" and person.is_admin:
            try:
                return await self._desk.reject_without_reason(person, job_id)
            except NotFoundError:
                pass  # a model may well ask a question of this name
        given = self._kiebot.skip(person.id, as_job_id(job_id), name)
        return await self._answered(person, job_id, name, given)

    async def _files_done(self, person: Person, job_id: str, name: str) -> Screen:
        given = self._kiebot.finish_files(person.id, as_job_id(job_id), name)
        return await self._answered(person, job_id, name, given)

    async def _files_anew(self, person: Person, job_id: str, name: str) -> Screen:
        given = self._kiebot.clear_files(person.id, as_job_id(job_id), name)
        return await self._answered(person, job_id, name, given)

    async def _open(self, person: Person, job_id: str, name: str, page: str = "1") -> Screen:
        """A question of a draft, whether it was answered before or not."""
        job = await self._kiebot.current(person.id, as_job_id(job_id))
        if job.status is not JobStatus.DRAFT:
            return await self._shown(person, job, person.t.old_button)
        return await self._question(person, job, name, page=as_number(page, 1))

    async def _continue(self, person: Person, job_id: str) -> Screen:
        return await self._became(person, job_id)

    async def _tune(self, person: Person, job_id: str) -> Screen:
        job = await self._kiebot.current(person.id, as_job_id(job_id))
        if job.status is not JobStatus.DRAFT:
            return await self._shown(person, job, person.t.old_button)
        return generation.settings(person.t, person.model(job.model_id), job)

    async def _confirm(self, person: Person, job_id: str) -> Screen:
        try:
            job = await self._kiebot.confirm(person.id, as_job_id(job_id))
        except RefusedByStatusError:
            job = await self._kiebot.current(person.id, as_job_id(job_id))
            note = person.t.offer_changed if job.id != job_id else ""
            return await self._shown(person, job, note)
        return await self._shown(person, job)

    async def _cancel(self, person: Person, job_id: str) -> Screen:
        job = await self._kiebot.cancel(person.id, as_job_id(job_id))
        if job.status is not JobStatus.CANCELLED or job.replaced_by is not None:
            return await self._became(person, job.id, person.t.old_button)
        try:
            shelf = await self._models(person, person.catalog.model(job.model_id).category)
        except NotFoundError:
            shelf = await self._categories(person)
        return menu.noted(person.t.draft_dropped, shelf)

    async def _again(self, person: Person, job_id: str) -> Screen:
        return await self._drafted(person, await self._kiebot.again(person.id, as_job_id(job_id)))

    async def _edit(self, person: Person, job_id: str, name: str | None = None) -> Screen:
        """The same once more, with one answer to be given anew: the primary one, or this one."""
        drafted = await self._kiebot.again(person.id, as_job_id(job_id))
        model = person.model(drafted.job.model_id)
        primary = params.primary(model)
        name = name or (None if primary is None else primary.name)
        if name is None or not any(param.name == name for param in model.params):
            return await self._drafted(person, drafted)
        return await self._question(person, drafted.job, name)

    async def _answered(
        self,
        person: Person,
        job_id: str,
        name: str,
        given: Awaitable[Drafted],
        note: str = "",
    ) -> Screen:
        """What follows an answer; one that is none is asked again (`note` says why, if given)."""
        try:
            drafted = await given
        except InvalidAnswerError as error:
            job = await self._kiebot.current(person.id, as_job_id(job_id))
            if job.status is not JobStatus.DRAFT or error.problem is AnswerProblem.UNKNOWN:
                return await self._shown(person, job, person.t.old_button)
            model = person.model(job.model_id)
            note = note or generation.problem(person.t, model, error)
            return await self._question(person, job, name, note=note)
        return await self._drafted(person, drafted)

    async def _drafted(self, person: Person, drafted: Drafted, *, is_first: bool = False) -> Screen:
        """The next question, or the confirmation."""
        if drafted.question is None:
            return await self._shown(person, drafted.job)
        intro = ""
        if is_first:
            model = person.model(drafted.job.model_id)
            usual = await self._kiebot.usual_time(model.id)
            multiplier = self._kiebot.terms.price_multiplier
            intro = menu.headline(person.t, model, multiplier, usual)
        return await self._question(person, drafted.job, drafted.question.name, intro=intro)

    async def _question(
        self,
        person: Person,
        job: Job,
        name: str,
        *,
        intro: str = "",
        note: str = "",
        page: int = 1,
    ) -> Screen:
        model = person.model(job.model_id)
        try:
            param = params.param_for(model, job.params, name)
        except InvalidAnswerError:
            return await self._shown(person, job, person.t.old_button)
        return generation.question(
            person.t,
            person.catalog,
            model,
            job,
            param,
            self._kiebot.terms.price_multiplier,
            intro=intro,
            note=note,
            page=page,
        )

    async def _became(self, person: Person, job_id: str, note: str = "") -> Screen:
        """A job, or what took its place, as it is."""
        job = await self._kiebot.current(person.id, as_job_id(job_id))
        return await self._shown(person, job, note)

    async def _shown(self, person: Person, job: Job, note: str = "") -> Screen:
        """A job as it is."""
        t = person.t
        match job.status:
            case JobStatus.DRAFT:
                return menu.noted(note, await self._shown_draft(person, job))
            case JobStatus.QUEUED | JobStatus.RUNNING:
                screen = await self._in_work(person, self._past(person, job))
            case JobStatus.CANCELLED:
                model = self._past(person, job).model
                screen = generation.draft_cancelled(t, person.catalog, job, model)
            case JobStatus.SUCCEEDED | JobStatus.FAILED | JobStatus.REFUNDED:
                return self._over(person, job)
        return menu.noted(note, screen)

    async def _in_work(self, person: Person, past: Past) -> Screen:
        elapsed, usual = await self._pace(past.job)
        return generation.in_work(person.t, past.title, past.output, past.job, elapsed, usual)

    async def _shown_draft(self, person: Person, job: Job) -> Screen:
        t, multiplier = person.t, self._kiebot.terms.price_multiplier
        model = person.model(job.model_id)
        question = drafts.question(model, job.params)
        if question is not None:
            return await self._question(person, job, question.name)
        if not job.is_offer:
            try:
                pricing.quote(model, job.params, multiplier, job.measures)
            except PriceMissingError as why:
                return generation.no_price(t, model, job, why)
            # Nothing is missing any more: a list of files was left open, or a price came.
            job = (await self._kiebot.complete(person.id, job.id)).job
        if job.price is None:
            raise RefusedByStatusError("job", job.id, job.status)
        available = (await self._kiebot.wallet(person.id)).available
        return generation.confirmation(t, model, job, job.price, available)

    async def _offered_instead(self, person: Person, draft_id: str | None) -> Job | None:
        return None if draft_id is None else await self._kiebot.job(person.id, JobId(draft_id))

    # Balance

    async def _wallet(self, person: Person) -> Screen:
        entries = await self._kiebot.ledger(person.id, LATEST)
        return balance.wallet(
            person.t,
            await self._kiebot.wallet(person.id),
            len(await self._kiebot.open_jobs(person.id)),
            await self._movements(person, entries),
            await self._kiebot.waiting_topup(person.id),
            self._tz,
            is_open=self._kiebot.terms.payment is not None,
        )

    async def _amounts(self, person: Person) -> Screen:
        if self._kiebot.terms.payment is None:
            raise TopUpClosedError
        topup = await self._kiebot.waiting_topup(person.id)
        return balance.amounts(person.t, self._kiebot.terms, topup)

    async def _own_amount(self, person: Person) -> Screen:
        if self._kiebot.terms.payment is None:
            raise TopUpClosedError
        return balance.amount_question(person.t, self._kiebot.terms)

    async def _start_topup(self, person: Person, roubles: str) -> Screen:
        return self._transfer(person, await self._kiebot.start_topup(person.id, roubles))

    async def _open_topup(self, person: Person, topup_id: str) -> Screen:
        topup = await self._kiebot.topup(person.id, as_topup_id(topup_id))
        return self._transfer(person, topup)

    async def _cancel_topup(self, person: Person, topup_id: str) -> Screen:
        topup = await self._kiebot.cancel_topup(person.id, as_topup_id(topup_id))
        if topup.status is TopUpStatus.CANCELLED:
            return balance.topup_dropped(person.t)
        return balance.topup_now(person.t, topup)

    def _transfer(self, person: Person, topup: TopUp, note: str = "") -> Screen:
        payment = self._kiebot.terms.payment
        if topup.status is not TopUpStatus.PENDING:
            return menu.noted(note, balance.topup_now(person.t, topup))
        if payment is None:
            return balance.topup_closed(person.t)
        return balance.transfer(person.t, topup, payment, note)

    async def _receipt_again(self, person: Person, topup_id: TopUpId) -> Screen:
        topup = await self._kiebot.topup(person.id, topup_id)
        return self._transfer(person, topup, person.t.receipt_not_a_text)

    async def _take_receipt(self, person: Person, topup_id: TopUpId, file: Attachment) -> Screen:
        topup = await self._kiebot.topup(person.id, topup_id)
        if not topup.is_waiting:
            return balance.topup_now(person.t, topup)
        if not _is_receipt(file):
            return self._transfer(person, topup, person.t.receipt_not_a_text)
        if len(topup.receipt) >= RECEIPT_FILES:
            return menu.message(person.t, person.t.receipt_full(topup.id.upper()))
        topup = await self._kiebot.submit_receipt(person.id, topup_id, file)
        return balance.receipt_taken(person.t, topup)

    async def _movements(
        self, person: Person, entries: Sequence[LedgerEntry]
    ) -> tuple[balance.Movement, ...]:
        titles: dict[JobId, str] = {}
        if any(entry.job_id is not None for entry in entries):
            latest = await self._kiebot.jobs(person.id, 2 * ENTRIES)
            titles = {job.id: self._past(person, job).title for job in latest}
        for entry in entries:
            if entry.job_id is not None and entry.job_id not in titles:
                job = await self._kiebot.job(person.id, entry.job_id)
                titles[job.id] = self._past(person, job).title
        return tuple(
            balance.Movement(entry=e, title=None if e.job_id is None else titles[e.job_id])
            for e in entries
        )

    # History

    async def _jobs(self, person: Person, cursor: str | None = None) -> Screen:
        before = None
        if cursor is not None:
            before = (await self._kiebot.job(person.id, as_job_id(cursor))).id
        jobs = await self._kiebot.jobs(person.id, JOBS + 1, before)
        shown = [self._past(person, job) for job in jobs[:JOBS]]
        older = shown[-1].job.id if len(jobs) > JOBS else None
        return history.jobs(person.t, shown, older, self._tz, is_first=cursor is None)

    async def _open_jobs(self, person: Person) -> Screen:
        return history.open_jobs(person.t, await self._going(person))

    async def _job(self, person: Person, job_id: str) -> Screen:
        return await self._became(person, job_id)

    async def _files(self, person: Person, job_id: str) -> Screen:
        job = await self._kiebot.job(person.id, as_job_id(job_id))
        if job.result is None:
            return await self._became(person, job_id)
        return self._over(person, job, as_files=True)

    def _over(self, person: Person, job: Job, *, as_files: bool = False) -> Screen:
        return history.job(
            person.t,
            self._past(person, job),
            person.catalog,
            self._kiebot.terms.price_multiplier,
            self._tz,
            as_files=as_files,
        )

    async def _ledger(self, person: Person, cursor: str | None = None) -> Screen:
        before = None
        if cursor is not None:
            if not _NUMBER.fullmatch(cursor):
                return await self._broken(person)
            before = int(cursor)
        entries = await self._kiebot.ledger(person.id, ENTRIES + 1, before)
        shown = entries[:ENTRIES]
        older = shown[-1].id if len(entries) > ENTRIES else None
        movements = await self._movements(person, shown)
        return balance.ledger(person.t, movements, older, self._tz, is_first=cursor is None)

    # Questions that are asked again

    async def _ask_again(self, person: Person, expect: Expect) -> Screen | None:
        """The screen of an open question; None where it leads nowhere any more."""
        match expect:
            case Answer(job_id=job_id, param=name):
                job = await self._kiebot.job(person.id, job_id)
                if job.status is not JobStatus.DRAFT:
                    return None
                return await self._question(person, job, name)
            case Receipt(topup_id=topup_id):
                topup = await self._kiebot.topup(person.id, topup_id)
                is_open = topup.status is TopUpStatus.PENDING
                return self._transfer(person, topup) if is_open else None
            case Amount(topup_id=None, deed=None):
                return await self._own_amount(person)
            case _:
                return None

    # What screens say

    async def _visit(self, person: Person) -> Visit:
        return Visit(
            name=person.user.name,
            wallet=await self._kiebot.wallet(person.id),
            open_jobs=len(await self._kiebot.open_jobs(person.id)),
            draft=await self._draft_of(person),
            topup=await self._kiebot.waiting_topup(person.id),
            is_admin=person.is_admin,
        )

    async def _draft_of(self, person: Person) -> tuple[Job, Model] | None:
        """The draft that can still be paid for, if there is one."""
        draft = await self._kiebot.draft_of(person.id)
        if draft is None:
            return None
        model = self._past(person, draft).model
        return None if model is None or not model.on_sale else (draft, model)

    async def _going(self, person: Person) -> tuple[Going, ...]:
        going = []
        for job in await self._kiebot.open_jobs(person.id):
            elapsed, usual = await self._pace(job)
            title = self._past(person, job).title
            going.append(Going(job=job, title=title, elapsed=elapsed, usual=usual))
        return tuple(going)

    async def _pace(self, job: Job) -> tuple[timedelta, timedelta | None]:
        """How long a job has been going, and how long its model usually takes."""
        elapsed = self._clock() - (job.confirmed_at or job.created_at)
        return max(elapsed, timedelta()), await self._kiebot.usual_time(job.model_id)

    def _past(self, person: Person, job: Job) -> Past:
        model = person.catalog.find(job.model_id)
        if model is None:
            return Past(job=job, model=None)
        quote = None
        if model.on_sale:
            multiplier = self._kiebot.terms.price_multiplier
            quote = drafts.quote_of(model, job.params, multiplier, job.measures)
        return Past(job=job, model=model, price=None if quote is None else quote.price)

    _ROUTES: ClassVar[Mapping[tuple[str, ...], Route]] = {
        ("menu", "main"): Route(_menu),
        ("marketing", "main"): Route(_categories),
        ("mcat",): Route(_models, 1, 2),
        ("mmodel",): Route(_begin, 1, 1),
        ("mparam",): Route(_choose, 3, 3),
        ("mskip",): Route(_skip, 2, 2),
        ("mdone",): Route(_files_done, 2, 2),
        ("mclear",): Route(_files_anew, 2, 2),
        ("mopen",): Route(_open, 2, 3),
        ("gen", "open"): Route(_continue, 1, 1),
        ("gen", "tune"): Route(_tune, 1, 1),
        ("gen", "confirm"): Route(_confirm, 1, 1),
        ("gen", "cancel"): Route(_cancel, 1, 1),
        ("gen", "again"): Route(_again, 1, 1),
        ("gen", "edit"): Route(_edit, 1, 2),
        ("gen", "use"): Route(_use, 2, 2),
        ("balance", "main"): Route(_wallet),
        ("topup", "main"): Route(_amounts),
        ("topup", "custom"): Route(_own_amount),
        ("topup", "open"): Route(_open_topup, 1, 1),
        ("topup", "cancel"): Route(_cancel_topup, 1, 1),
        ("topup",): Route(_start_topup, 1, 1),
        ("history", "jobs"): Route(_jobs, 0, 1),
        ("history", "open"): Route(_open_jobs),
        ("history", "job"): Route(_job, 1, 1),
        ("history", "file"): Route(_files, 1, 1),
        ("history", "ledger"): Route(_ledger, 0, 1),
        ("help", "main"): Route(_help),
        ("cancel", "main"): Route(_cancel_all),
        ("lang", "main"): Route(_languages),
        ("lang", "ru"): Route(_speak_russian),
        ("lang", "en"): Route(_speak_english),
        ("paysupport", "main"): Route(_paysupport),
    }
    """What each action does: its fixed parts, the handler, and how many parts follow."""


def _command(text: str) -> str | None:
    """The name of a command: one word alone, or /start with what a link brought along."""
    words = text.strip()
    if _START.fullmatch(words):
        return "start"
    match = _COMMAND.fullmatch(words)
    return None if match is None else match[1].lower()


def _as_attachment(file: Attachment) -> Attachment:
    mime = None if file.mime is None else clean(file.mime, NAME_CHARS)
    return evolve(file, name=clean(file.name, NAME_CHARS), mime=mime)


def _linked(text: str) -> Attachment | None:
    """A file given by its address."""
    address = text.strip()
    if not _ADDRESS.fullmatch(address) or len(address) > params.MAX_ADDRESS:
        return None
    return Attachment(reference=address) if address == clean(address, len(address)) else None


def _asks_text(expect: Expect | None) -> bool:
    return isinstance(expect, Answer) and expect.form is AnswerForm.TEXT


def _asks_file(expect: Expect | None) -> bool:
    return isinstance(expect, Answer) and expect.form is AnswerForm.FILE


def _is_receipt(file: Attachment) -> bool:
    if file.reference != clean(file.reference, len(file.reference)):
        return False
    is_picture = kind_of(file.mime) is MediaKind.IMAGE
    return file.mime is None or is_picture or file.mime == "application/pdf"
