"""
A conversation that does what it is told, at a real TerminalFrontend.

Run as a program it is what `tests/fakes/terminal.py` starts: arguments are the folder of results,
the history file, and the language. Every answer is said back. These are understood beside:

    ask text, ask number, ask amount, ask choice, ask file, ask receipt    a screen that expects it
    news WORDS     a screen that nobody asked for comes, with a file and two options; a little
                   later where the words begin so
    bad news       one with files that cannot be loaded
    read again     what was attached last is read once more
    break          the database fails
    run, stop      something is being made; nothing is any more
    evil           a screen whose words have escape codes in them
    long           a screen with a long text
"""

# ruff: noqa: ARG002 - the methods are those of a Conversation

import asyncio
import struct
import sys
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TextIO, cast

from attrs import define, evolve, field

from kiebot.adapters.frontend.terminal import TerminalFrontend
from kiebot.adapters.kie.stub import BytesFile
from kiebot.app import Pulse
from kiebot.conversation import Conversation, Making, Progress
from kiebot.core.dialog.en import EN
from kiebot.core.dialog.ru import RU
from kiebot.core.dialog.screen import (
    COMMANDS,
    Action,
    Attach,
    Button,
    Did,
    Media,
    Press,
    Say,
    Screen,
)
from kiebot.core.dialog.texts import Texts
from kiebot.core.errors import MediaError, StorageError
from kiebot.core.expect import Amount, Answer, AnswerForm, Expect, Receipt
from kiebot.core.language import Language
from kiebot.core.media import Attachment, MediaKind, SentFile
from kiebot.core.topups import TopUpId
from kiebot.core.users import UserId
from kiebot.core.wallet import JobId
from kiebot.ports.frontend import Frontend
from kiebot.ports.kie import InputFile

JOB = JobId("job1")
PERSON = UserId(-1)

MENU = Screen(
    text="Menu\nWhat shall we make?",
    buttons=(
        (Button("🎥 Videos · from 120 ₽", Action.of("mcat", "video")),),
        (Button("🖼️ Pictures · from 20 ₽", Action.of("mcat", "visuals")),),
        (Button("‹ Menu", Action.of("menu", "main"), minor=True),),
    ),
)

ASKED: dict[str, Expect] = {
    **{form.value: Answer(job_id=JOB, param="prompt", form=form) for form in AnswerForm},
    "amount": Amount(),
    "receipt": Receipt(topup_id=TopUpId("topup1")),
}
BACK = ((Button("Skip", Action.of("mskip", JOB, "prompt")),), *MENU.buttons[2:])
CHOICES = (
    (
        Button("10 seconds · +42 ₽", Action.of("mparam", JOB, "length", 1)),
        Button("720p", Action.of("mparam", JOB, "length", 2)),
    ),
    *BACK,
)


def picture(width: int = 8, height: int = 8) -> bytes:
    """A PNG of one colour."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x20\x80\xc0" * width) * height)
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@define
class Talk:
    """In place of a Conversation."""

    frontend: Frontend | None = None
    pulse: Pulse = field(factory=Pulse)
    tongue: Language = Language.EN
    news: list[asyncio.Task[None]] = field(factory=list)
    attached: Attachment | None = None
    is_running: bool = False
    is_demo: bool = True
    person: UserId = PERSON

    async def meet(
        self, user_id: UserId, name: str, language: Language, nickname: str | None = None
    ) -> None:
        """The person speaks the language of the terminal."""
        self.tongue = language

    async def language(self, user_id: UserId) -> Language:
        """The person's language."""
        return self.tongue

    async def texts(self, user_id: UserId) -> Texts:
        """The words for the person."""
        return EN if self.tongue is Language.EN else RU

    async def available(self, user_id: UserId) -> str:
        """What the person has."""
        return "1 000 ₽"

    async def handle(self, user_id: UserId, did: Did) -> Screen:
        """A screen that says what was done."""
        match did:
            case Press(Action(("menu", "main"))):
                return MENU
            case Press(Action(("lang", code))):
                self.tongue = Language(code)
                return MENU
            case Press(action):
                return evolve(MENU, text=f"pressed {action.encode()}")
            case Attach(file):
                self.attached = file
                text = f"attached {file.name} · {file.mime} · {file.size}\n{file.reference}"
                return evolve(MENU, text=f"{text}\n{file.digest}\n{await self._read()}")
            case Say("read again"):
                return evolve(MENU, text=await self._read())
            case Say(text) if text.startswith("/") and text[1:] in COMMANDS:
                return await self.handle(user_id, Press(COMMANDS[text[1:]]))
            case Say(text):
                return self._said(text)

    async def _read(self) -> str:
        """What the frontend reads of what was attached."""
        assert self.frontend is not None
        assert self.attached is not None
        try:
            async with self.frontend.open(self.attached.reference) as file:
                content = b"".join([chunk async for chunk in file.chunks()])
        except MediaError:
            return "cannot be read"
        return f"read {len(content)} of {file.size}, {file.name}, {file.mime}"

    def _said(self, text: str) -> Screen:
        match text.split(maxsplit=1):
            case ["break"]:
                raise StorageError("gone")
            case ["ask", what]:
                buttons = CHOICES if what == "choice" else BACK
                return Screen(text=f"{what} is asked", buttons=buttons, expects=ASKED[what])
            case ["news", words]:
                if words.startswith("later"):
                    # Not before the line that was typed is gone, and the next one begun.
                    asyncio.get_running_loop().call_later(0.5, self._news, words)
                else:
                    self._news(words)
            case ["bad", "news"]:
                self._tell(screen("bad news", *_media("broken", "moved", "cat")))
            case ["run" | "stop" as order]:
                self.is_running = order == "run"
                self.pulse.beat()
            case ["evil"]:
                return evolve(MENU, text="evil \x1b[31m\x1b]0;title\x07 words\r\nand \u202emore")
            case ["long"]:
                return evolve(MENU, text=" ".join(f"word{n}" for n in range(100)))
            case _:
                pass
        return evolve(MENU, text=f"said {len(text)} {text[:60]}")

    def _news(self, words: str) -> None:
        self._tell(screen(f"news: {words}", *_media("cat")))

    def _tell(self, screen: Screen) -> None:
        if self.frontend is not None:
            self.news.append(asyncio.create_task(self.frontend.show(self.person, screen)))

    async def progress(self, user_id: UserId) -> tuple[Progress, ...]:
        """What is being made."""
        if not self.is_running:
            return ()
        return (
            Progress(
                job_id=JOB,
                title="FLUX",
                elapsed=timedelta(seconds=3),
                usual=None,
                line="FLUX · 0:03 · you can go on",
            ),
        )

    async def in_work(self, user_id: UserId, job_id: JobId) -> Making | None:
        """Nothing is in work for long."""
        return None

    async def sent_as(self, media: Media) -> SentFile | None:
        """Nothing is kept."""
        return None

    async def remember_sent(self, media: Media, sent: SentFile) -> None:
        """Nothing is kept."""

    async def report_not_sent(self, user_id: UserId, media: Media, why: str) -> None:
        """There are no administrators."""

    async def asks_for_person(self, user_id: UserId) -> bool:
        """There are no administrators."""
        return False

    async def is_idle(self, user_id: UserId) -> bool:
        """Whether all that was to be told is told."""
        return all(task.done() for task in self.news)

    @asynccontextmanager
    async def open_media(self, media: Media) -> AsyncIterator[InputFile]:
        """A picture, but not of what is broken, and a page in place of what has moved."""
        if "broken" in media.url:
            raise MediaError(media.url, "broken")
        if "moved" in media.url:
            yield BytesFile(name="cat.png", content=b"<html>It is not here.</html>")
            return
        yield BytesFile(name="cat.png", content=picture())


def screen(text: str, *media: Media) -> Screen:
    """A screen with two options."""
    return Screen(text=text, buttons=BACK, media=media)


def _media(*names: str) -> tuple[Media, ...]:
    return tuple(
        Media(
            url=f"https://example.org/{name}.png",
            kind=MediaKind.IMAGE,
            name=f"2026-01-01-{name}",
        )
        for name in names
    )


def frontend_of(
    talk: Talk,
    output: Path,
    history: Path | None = None,
    language: Language | None = None,
    stdin: TextIO | None = None,
    stdout: TextIO | None = None,
) -> TerminalFrontend:
    """A terminal that speaks with this."""
    talk.frontend = TerminalFrontend(
        cast("Conversation", talk),
        PERSON,
        name="Anna",
        output=output,
        language=language,
        history_file=history,
        stdin=stdin,
        stdout=stdout,
    )
    return talk.frontend


def main(output: str, history: str, language: str) -> None:
    """Serve the person at standard input and output."""

    async def serve() -> None:
        talk = Talk()
        await frontend_of(
            talk, Path(output), Path(history), Language(language) if language else None
        ).run()

    asyncio.run(serve())


def command(folder: Path, *, language: str = "en", output: str = "results") -> list[str]:
    """How to start this program, with what it keeps in a folder."""
    return [sys.executable, __file__, str(folder / output), str(folder / "history"), language]


if __name__ == "__main__":
    main(*sys.argv[1:])
