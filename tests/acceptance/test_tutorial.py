"""
The owner's tutorial, followed to the letter: every command and every line of the chat in it.

`docs/tutorial.md` is read from top to bottom. A block of `sh` is run as it is written; a block of
`text` is what is then read: a chat, where its lines begin with `you` and `bot`, else lines of what
the command printed. Telegram and kie.ai are on loopback; only where they are is told by the
environment, which wins over the `.env` that the tutorial has one write.

`nox -s newcomer` does the same in a fresh copy of the project, installation and all.
"""

import asyncio
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from attrs import define, frozen

from tests.fakes import launcher
from tests.fakes.served import Process
from tests.fakes.telegram_chats import Phone
from tests.fakes.telegram_server import TelegramServer

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorial.md"
PATIENCE_S = 300.0
"""When a test gives up: a fresh installation on a busy machine starts slowly."""
INSTALLING_S = 900.0
KIEBOT = ".venv/bin/kiebot "
SERVE = f"{KIEBOT}serve"
STUB = f"{KIEBOT}stub-kie"
INSTALL = "python3 -m venv"
PNG = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\x02\0\0\0\x90wS\xde"
    b"\0\0\0\x0cIDATx\x9cc\xf8\xcf\xc0\0\0\x03\1\1\0\xc9\xfe\x92\xef\0\0\0\0IEND\xaeB`\x82"
)


@frozen
class Block:
    """A fenced part of the page."""

    language: str
    lines: tuple[str, ...]

    @property
    def is_chat(self) -> bool:
        """Whether it is spoken with the bot."""
        return self.language == "text" and all(re.match(r"(you|bot) ", x) for x in self.lines)


def blocks() -> Iterator[Block]:
    found = re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    for language, text in found:
        yield Block(language, tuple(text.splitlines()))


def token() -> str:
    (found,) = set(re.findall(r"^TELEGRAM_BOT_TOKEN=(\S+)$", PAGE.read_text("utf-8"), re.MULTILINE))
    return str(found)


@define
class Owner:
    """
    Who follows the tutorial: a folder, terminals, and a phone.

    `is_new`: nothing is installed yet, and every command is the one that was installed; else it is
    a fork of a program that has loaded kiebot (`launcher`), with the same words.
    """

    folder: Path
    phone: Phone
    environment: dict[str, str]
    is_new: bool
    stub: Process | None = None
    shop: Process | None = None
    printed: str = ""

    async def follow(self, block: Block) -> None:
        if block.is_chat:
            for line in block.lines:
                await self._chat(line[:3], line[3:].strip())
        elif block.language == "text":
            # Amounts are written with a space at which no line breaks.
            shown = self.printed.replace("\u00a0", " ").splitlines()
            assert [line for line in block.lines if line not in shown] == []
        else:
            await self._type(list(block.lines))

    async def _type(self, lines: list[str]) -> None:
        if lines[0].startswith(INSTALL) and not self.is_new:
            return
        if lines == [STUB]:
            # The port of the page may be somebody else's on this machine.
            self.stub = self._start(f"{STUB} --port 0", "stub-kie")
            address = await self._said("stub-kie", r"(http://127\.0\.0\.1:\d+)")
            self.environment |= {"KIE_API_URL": address, "KIE_UPLOAD_URL": address}
        elif lines[-1] == SERVE:
            if self.shop is not None:
                self.shop.send_signal(signal.SIGINT)
                assert await asyncio.to_thread(self.shop.wait, PATIENCE_S) == 0
            if lines[:-1]:
                await self._run(lines[:-1])
            (self.folder / "serve.log").unlink(missing_ok=True)
            self.shop = self._start(SERVE, "serve")
            await self._said("serve", r'"event": "(leading)"')
        else:
            await self._run(lines)

    async def _run(self, lines: list[str]) -> None:
        self.printed = ""
        if self.is_new or not all(line.startswith(KIEBOT) for line in lines):
            await self._run_in_shell("\n".join(lines))
            return
        for line in lines:
            code, said = await asyncio.to_thread(
                launcher.run, _words(line), env=self.environment, cwd=self.folder
            )
            assert code == 0, f"{line}\n{said}"
            self.printed += said

    async def _run_in_shell(self, script: str) -> None:
        process = await asyncio.create_subprocess_exec(
            "bash", "-euo", "pipefail", "-c", script,
            cwd=self.folder, env=self.environment,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await asyncio.wait_for(process.communicate(), INSTALLING_S)
        self.printed = said.decode()
        assert process.returncode == 0, f"{script}\n{self.printed}"

    def _start(self, command: str, name: str) -> Process:
        output = self.folder / f"{name}.log"
        if not self.is_new:
            return launcher.launch(
                _words(command), env=self.environment, cwd=self.folder, output=output
            )
        with output.open("w") as log:
            return subprocess.Popen(
                command.split(), cwd=self.folder, env=self.environment, stdout=log, stderr=log
            )

    async def _said(self, name: str, pattern: str) -> str:
        """Wait until a terminal shows this; nobody could set an event in another process."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = re.search(pattern, (self.folder / f"{name}.log").read_text("utf-8"))
                if found is not None:
                    return found[1]
                await asyncio.sleep(0.05)

    async def _chat(self, who: str, what: str) -> None:
        phone = self.phone
        if who == "bot":
            if what == "(a picture)":
                await phone.sees_file()
            else:
                await phone.sees(what)
        elif what == "(a picture)":
            phone.sends_photo(PNG)
        elif what.startswith("["):
            label = what.strip("[]")
            # A button is pressed when it is there.
            await phone.sees(label)
            phone.presses(label)
        else:
            phone.types(what)

    async def leave(self) -> None:
        """Close all terminals."""
        for process in (self.shop, self.stub):
            if process is not None:
                process.send_signal(signal.SIGKILL)
                await asyncio.to_thread(process.wait, PATIENCE_S)


def _words(command: str) -> list[str]:
    """What follows `kiebot`."""
    return shlex.split(command)[1:]


@asynccontextmanager
async def owner(folder: Path, *, is_new: bool) -> AsyncIterator[Owner]:
    async with TelegramServer(token()) as telegram:
        someone = Owner(
            folder,
            telegram.person(7, "Anna", language_code="en"),
            {
                "PATH": os.environ["PATH"],
                "HOME": str(folder),
                "LC_ALL": "C.UTF-8",
                "TELEGRAM_API_URL": telegram.url,
                "HOST": "127.0.0.1",
                "PORT": "0",
                "KIE_POLL_INTERVAL": "0.2",
                # Where this machine's pip installs from.
                **{name: os.environ[name] for name in os.environ if name.startswith("PIP_")},
            },
            is_new,
        )
        try:
            yield someone
            await telegram.idle()
        finally:
            await someone.leave()


@pytest.fixture
def desk(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The folder of a clone, with the kiebot of the tests as its `.venv` unless one is made."""
    if request.config.getoption("--newcomer"):
        clone = tmp_path / "clone"
        names = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout.splitlines()  # fmt: skip
        for name in names:
            if (ROOT / name).is_file():
                (clone / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, clone / name)
        return clone
    commands = tmp_path / ".venv" / "bin"
    commands.mkdir(parents=True)
    script = commands / "kiebot"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m kiebot "$@"\n')
    script.chmod(0o755)
    return tmp_path


async def test_the_tutorial_works_to_the_letter(desk: Path, request: pytest.FixtureRequest) -> None:
    async with owner(desk, is_new=request.config.getoption("--newcomer")) as someone:
        for block in blocks():
            await someone.follow(block)

        assert any((desk / "kiebot-results").iterdir())


def test_the_tutorial_is_all_read() -> None:
    """A block of another kind, or a line of a chat that is neither's, would be read by nobody."""
    known = list(blocks())

    assert {block.language for block in known} == {"sh", "text"}
    mixed = [
        block
        for block in known
        if not block.is_chat and any(line.startswith(("you ", "bot ")) for line in block.lines)
    ]
    assert mixed == []
    assert sum(block.is_chat for block in known) >= 6
