"""
TerminalFrontend: the conversation on standard input and output.

On a terminal it is a line with completion and history, and a status line below it while something
is made; on pipes it is one answer a line and plain text. What answers mean is in `terminal_markup`.

Screens never mix: one is drawn at a time. The numbers of the latest screen stay what they are: the
options of news are numbered on after them, until the next answer brings the next screen.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import NoReturn, Protocol, TextIO

from kiebot.adapters.frontend.terminal_files import (
    Results,
    Trouble,
    is_there,
    local_path,
    look,
    open_file,
)
from kiebot.adapters.frontend.terminal_look import Note, is_dumb
from kiebot.adapters.frontend.terminal_markup import (
    Asked,
    LocalFiles,
    Meaning,
    NoSuchOption,
    Offer,
    Option,
    Quit,
    Reader,
)
from kiebot.adapters.frontend.terminal_pipe import BadLine, DumbDesk, PipeDesk
from kiebot.adapters.frontend.terminal_prompt import TtyDesk
from kiebot.conversation import Conversation, Progress
from kiebot.core.dialog.screen import COMMANDS, Action, Attach, Did, Media, Press, Say, Screen
from kiebot.core.dialog.texts import Texts, shortened
from kiebot.core.errors import KiebotError
from kiebot.core.language import Language
from kiebot.core.media import Attachment, MediaKind, kind_of
from kiebot.core.users import UserId
from kiebot.ports.kie import InputFile

HOME = COMMANDS["menu"]

SPINNER = "⠋⠙⠸⠴⠦"
"""One turn takes as long as the status line stays the same."""

SPIN_S = 0.2
"""How often the status line is drawn anew while something is made."""

LOOK_S = 1.0
"""How soon jobs of another process are noticed, and that they are done."""

ROWS = 3
"""Jobs that the status line has room for."""

SHOWN_CHARS = 200
"""How much of a path that was typed is shown back."""


class Desk(Protocol):
    """Where answers come from and screens go to."""

    async def ask(self, hint: str, before: str) -> str | BadLine:
        """
        The next answer; `before` is one that could not be taken, to be typed on.

        Raises:
            EOFError: There will be none.
            KeyboardInterrupt: Ctrl-C; its argument is what was typed so far.
        """

    async def draw(self, screen: Screen, options: Sequence[Option], notes: Sequence[Note]) -> None:
        """Show a screen; OSError where nobody is there to see it."""

    async def say(self, note: Note) -> None:
        """Show one line; OSError likewise."""

    def below(self, rows: Sequence[str]) -> None:
        """Show what is being made, where there is a place for it."""

    def open(self) -> AbstractAsyncContextManager[None]:
        """What is to be arranged while a person is served."""


class TerminalFrontend:
    """
    The one person at this terminal.

    `output` is the folder that results are kept in, `history_file` has what was typed in earlier
    runs; `language` is the one asked for, None for the person's own.
    Where both streams are terminals it is interactive, else plain.
    """

    def __init__(
        self,
        conversation: Conversation,
        user_id: UserId,
        *,
        name: str,
        output: Path,
        language: Language | None = None,
        history_file: Path | None = None,
        stdin: TextIO | None = None,
        stdout: TextIO | None = None,
    ) -> None:
        self._conversation = conversation
        self._user_id = user_id
        self._name = name
        self._language = language
        self._results = Results(output)
        self._reader = Reader(folder=Path(), home=Path.home(), exists=is_there)
        stdin = stdin or sys.stdin
        stdout = stdout or sys.stdout
        self._is_interactive = stdin.isatty() and stdout.isatty()
        self._offer = Offer()
        self._desk: Desk
        if not self._is_interactive:
            self._desk = PipeDesk(stdin.buffer, stdout.buffer)
        elif is_dumb(os.environ):
            self._desk = DumbDesk(stdin.buffer, stdout.buffer)
        else:
            self._desk = TtyDesk(lambda: self._offer, history_file)
        self._drawing = asyncio.Lock()
        self._opened = asyncio.Event()
        self._gone = asyncio.Event()
        self._is_home = False
        self._t: Texts

    # The port

    async def show(self, user_id: UserId, screen: Screen) -> None:  # noqa: ARG002 - only one is here
        """
        Show news: above the line that is typed on, never inside another screen.

        Who has left is told nothing: this waits until it is cancelled, so that the news stays
        untold and comes at the next start.
        """
        await self._opened.wait()
        notes = await self._keep(screen)
        async with self._drawing:
            if not self._opened.is_set():
                await _for_ever()
            offer = self._offer.plus(screen)
            try:
                await self._desk.draw(screen, offer.since(self._offer), notes)
            except OSError:
                self._gone.set()
                await _for_ever()
            self._offer = offer

    def open(self, reference: str) -> AbstractAsyncContextManager[InputFile]:
        """Read a file of this machine (MediaError). Addresses are not opened here."""
        return open_file(reference)

    async def run(self) -> None:
        """Serve the person until they leave; on pipes, until the last answer and its results."""
        async with self._desk.open():
            serve = asyncio.create_task(self._serve())
            gone = asyncio.create_task(self._gone.wait())
            watch = asyncio.create_task(self._watch())
            try:
                await asyncio.wait({serve, gone}, return_when=asyncio.FIRST_COMPLETED)
                if serve.done():
                    await serve
            except _HungUp:
                pass
            finally:
                self._opened.clear()
                for task in (serve, gone, watch):
                    task.cancel()
                await asyncio.gather(serve, gone, watch, return_exceptions=True)

    # The loop

    async def _serve(self) -> None:
        await self._begin()
        before = ""
        while True:
            try:
                typed = await self._desk.ask(self._hint, before)
            except EOFError:
                break
            except KeyboardInterrupt as interrupt:
                before = ""
                await self._interrupted(typed=str(interrupt))
                continue
            before = ""
            if isinstance(typed, BadLine):
                is_text = typed is BadLine.TOO_LONG
                await self._trouble(
                    self._t.terminal_too_long if is_text else self._t.terminal_not_text
                )
            elif typed.strip():
                meaning = self._reader.read(typed, self._offer)
                if isinstance(meaning, Quit):
                    break
                if not await self._answer(meaning):
                    before = typed
        await (self._leave() if self._is_interactive else self._finish())

    async def _begin(self) -> None:
        """The first screen; an error here is the end."""
        wanted = self._language or Language.of_locale(_locale(os.environ))
        await self._conversation.meet(self._user_id, self._name, wanted)
        if self._language not in {None, await self._conversation.language(self._user_id)}:
            await self._conversation.handle(self._user_id, Press(Action.of("lang", self._language)))
        self._t = await self._conversation.texts(self._user_id)
        balance = await self._conversation.available(self._user_id)
        banner = self._t.terminal_demo if self._conversation.is_demo else self._t.terminal_live
        async with self._drawing:
            await self._say(Note(text=banner(balance)))
            if self._is_interactive:
                await self._say(Note(text=self._t.terminal_intro))
            await self._turn(Press(HOME))
            self._opened.set()

    async def _answer(self, meaning: Meaning) -> bool:
        """Do what an answer means; False where the database let it down."""
        match meaning:
            case Press() | Say():
                return await self._handle(meaning)
            case Attachment():
                return await self._handle(Attach(meaning))
            case LocalFiles(paths):
                return await self._attach(paths)
            case NoSuchOption(number, 0):
                await self._trouble(self._t.terminal_no_options(number))
            case NoSuchOption(number, last):
                await self._trouble(self._t.terminal_no_option(number, self._numbers(last)))
            case Quit():
                pass
        return True

    async def _attach(self, paths: Sequence[Path]) -> bool:
        """Hand files on, one after the other: all of them or, if one is none, nothing."""
        files = []
        for path in paths:
            found = await asyncio.to_thread(look, path)
            if isinstance(found, Trouble):
                await self._trouble(self._about(found)(shortened(str(path), SHOWN_CHARS)))
                return True
            files.append(found)
        for file in files:
            if not await self._handle(Attach(file)):
                return False
            if self._offer.asked not in {Asked.FILE, Asked.NOTHING}:
                # Something else is asked by now, to which the rest is no answer.
                break
        return True

    async def _handle(self, did: Did) -> bool:
        """Hand an answer on and draw the screen that comes of it; news wait meanwhile."""
        async with self._drawing:
            try:
                await self._turn(did)
            except KiebotError:
                await self._say(Note(text=self._t.terminal_failed, is_trouble=True))
                return False
        return True

    async def _turn(self, did: Did) -> None:
        screen = await self._conversation.handle(self._user_id, did)
        self._t = await self._conversation.texts(self._user_id)
        notes = await self._keep(screen)
        self._offer = Offer.of(screen)
        self._is_home = did == Press(HOME)
        try:
            await self._desk.draw(screen, self._offer.options, notes)
        except OSError as exc:
            raise _HungUp from exc

    async def _interrupted(self, typed: str) -> None:
        """Ctrl-C: out of the question, and at the menu a word on how to end."""
        if self._offer.asked is not Asked.NOTHING:
            if await self._handle(Press(HOME)):
                await self._note(self._t.terminal_left)
        elif typed:
            # As in a shell: the line is dropped, and that can be seen.
            pass
        elif self._is_home or not await self._handle(Press(HOME)):
            await self._note(self._t.terminal_how_to_leave)

    async def _leave(self) -> None:
        with suppress(KiebotError):
            running = await self._conversation.progress(self._user_id)
            if running:
                await self._note(self._t.terminal_leave_running(len(running)))
        await self._note(self._t.terminal_goodbye)

    async def _finish(self) -> None:
        """Wait for what is being made, and until it was told."""
        while True:
            beat = self._conversation.pulse.next()
            if await self._conversation.is_idle(self._user_id):
                return
            await _wait(beat, LOOK_S)

    async def _watch(self) -> None:
        """Keep the status line true, as long as something is made."""
        if not self._is_interactive:
            return
        # Whoever is not met yet is not to be asked about: that would make them known, nameless.
        await self._opened.wait()
        while True:
            beat = self._conversation.pulse.next()
            running: tuple[Progress, ...] = ()
            with suppress(KiebotError):
                running = await self._conversation.progress(self._user_id)
            rows = [job.line for job in running[:ROWS]]
            if len(running) > ROWS:
                rows[-1] += f" · +{len(running) - ROWS}"
            for turn in range(round(LOOK_S / SPIN_S)):
                sign = SPINNER[turn % len(SPINNER)]
                self._desk.below([f"{sign} {row}" for row in rows])
                await _wait(beat, SPIN_S if rows else LOOK_S)
                if beat.is_set() or not rows:
                    break

    # Words

    @property
    def _hint(self) -> str:
        match self._offer.asked:
            case Asked.TEXT | Asked.NUMBER:
                has_options = bool(self._offer.options)
                return self._t.terminal_bare_number if has_options else ""
            case Asked.FILE:
                return self._t.terminal_file
            case Asked.CHOICE:
                return self._t.terminal_choose
            case Asked.NOTHING:
                return self._t.terminal_answer

    def _numbers(self, last: int) -> str:
        slash = "/" if self._offer.asked.takes_numbers else ""
        return f"{slash}1" if last == 1 else f"{slash}1–{slash}{last}"

    def _about(self, trouble: Trouble) -> Callable[[str], str]:
        match trouble:
            case Trouble.MISSING:
                return self._t.terminal_no_file
            case Trouble.FOLDER:
                return self._t.terminal_file_folder
            case Trouble.EMPTY:
                return self._t.terminal_file_empty
            case Trouble.UNREADABLE:
                return self._t.terminal_file_unreadable

    async def _note(self, text: str) -> None:
        async with self._drawing:
            await self._say(Note(text=text))

    async def _trouble(self, text: str) -> None:
        async with self._drawing:
            await self._say(Note(text=text, is_trouble=True))

    async def _say(self, note: Note) -> None:
        try:
            await self._desk.say(note)
        except OSError as exc:
            raise _HungUp from exc

    # Files

    async def _keep(self, screen: Screen) -> list[Note]:
        """Store the files of a screen, and say of each where it is or why it is not."""
        return [await self._keep_one(media) for media in screen.media]

    async def _keep_one(self, media: Media) -> Note:
        own = local_path(media.url)
        if own is not None:
            # It is of this machine already.
            return Note(text=self._t.terminal_saved(str(own)), path=own)
        try:
            async with self._conversation.open_media(media) as file:
                if media.kind in PICTURES_AND_SOUNDS and kind_of(file.mime) is MediaKind.TEXT:
                    # A page that says why there is no file is not the file.
                    return Note(text=self._t.terminal_not_loaded(media.url), is_trouble=True)
                path = await self._results.keep(file, media.name)
        except KiebotError:
            return Note(text=self._t.terminal_not_loaded(media.url), is_trouble=True)
        except OSError:
            folder = str(self._results.folder)
            text = self._t.terminal_not_saved(folder, media.url)
            return Note(text=text, is_trouble=True)
        return Note(text=self._t.terminal_saved(str(path)), path=path)


PICTURES_AND_SOUNDS = frozenset({MediaKind.IMAGE, MediaKind.VIDEO, MediaKind.AUDIO})


class _HungUp(Exception):  # noqa: N818 - no error: the person left without a word
    """Nobody reads any more."""


def _locale(environment: Mapping[str, str]) -> str:
    """As the environment names it: it need not be one that this system has."""
    names = ("LC_ALL", "LC_MESSAGES", "LANG")
    return next((environment[name] for name in names if environment.get(name)), "")


async def _for_ever() -> NoReturn:
    while True:
        await asyncio.get_running_loop().create_future()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
