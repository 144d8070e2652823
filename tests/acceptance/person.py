"""
Person: somebody at kiebot as it is installed: a process, and nothing inside kiebot.

A story is written once, in what a Person can do, and runs at a real pseudo-terminal, on pipes, and
in Telegram (`person_telegram.py`). A shop is a folder with a database; who comes again finds what
was left there, and an operator uses the commands on it.
"""

import json
import os
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from attrs import define, field

from kiebot.core.media import SNIFF_BYTES, MediaKind, kind_of, sniff
from tests.fakes import launcher
from tests.fakes.terminal import COLUMNS, ROWS, Pipe, Pty, Terminal, bare

PICTURE_MODEL = "mmodel:flux-2/pro-text-to-image"
PRICE_KOP = 3000
GRANT_KOP = 100_000
"""What a person of a demo database has."""


class Person(ABC):
    """Somebody; `sees` is about what came since the last thing they did."""

    @abstractmethod
    def sees(self, *texts: str) -> str:
        """Wait until all of these are there; what is there then. Spaces do not count."""

    @abstractmethod
    def receives(self, *texts: str, kind: MediaKind = MediaKind.IMAGE) -> bytes:
        """Wait for a result of this kind, and all of these with it; the bytes of its last file."""

    @abstractmethod
    def presses(self, what: str) -> None:
        """Choose a button by its label, or do what this callback data does."""

    @abstractmethod
    def types(self, text: str) -> None:
        """Answer with words."""

    @abstractmethod
    def attaches(self, path: Path) -> None:
        """Answer with a file."""

    @abstractmethod
    def ends(self) -> int:
        """Nothing more is wanted of the program; its exit code."""

    @abstractmethod
    def vanishes(self) -> None:
        """The power goes where the program runs."""

    def orders(self, prompt: str) -> None:
        """One picture, from the model to the confirmation."""
        self.presses(PICTURE_MODEL)
        self.sees("до 5 000 знаков")
        self.types(prompt)
        self.sees("К оплате 30 ₽")
        self.presses("Создать за 30 ₽")
        self.sees("⏳")


@define
class ConsolePerson(Person):
    """Somebody at a terminal or on pipes, whose results come as files in a folder."""

    terminal: Terminal
    results: Path

    def sees(self, *texts: str) -> str:
        return self.terminal.sees(*texts)

    def receives(self, *texts: str, kind: MediaKind = MediaKind.IMAGE) -> bytes:
        named: list[Path] = []

        def is_there(shown: str) -> bool:
            files = self.results.iterdir() if self.results.exists() else ()
            named[:] = [file for file in files if file.name in bare(shown)]
            return bool(named) and all(bare(wanted) in bare(shown) for wanted in texts)

        self.terminal.until(is_there, (*texts, "a result"))
        for content in (file.read_bytes() for file in named):
            assert kind_of(sniff(content[:SNIFF_BYTES])) is kind
        return content

    def presses(self, what: str) -> None:
        self.types(what if is_data(what) else self.terminal.option(what))

    def types(self, text: str) -> None:
        self.terminal.types(text)

    def attaches(self, path: Path) -> None:
        """As a terminal pastes a file that is dropped on it."""
        self.types(f"'{path}'")

    def interrupts(self) -> None:
        """Ctrl-C; only a real terminal has it."""
        assert isinstance(self.terminal, Pty)
        self.terminal.interrupts()

    def ends(self) -> int:
        """Leave; on a pipe: no more answers."""
        return self.terminal.ends()

    def vanishes(self) -> None:
        self.terminal.kill()


@define
class Shop(ABC):
    """A database, and who comes to it. `user_id` is the first person's."""

    folder: Path
    settings: dict[str, str] = field(factory=dict)

    user_id: ClassVar[int]
    at_once: ClassVar[int] = 1
    """How many people can do something at the same time."""

    @abstractmethod
    def person(self, user_id: int | None = None) -> Person:
        """Somebody comes, or comes again: the first person or another one."""

    @abstractmethod
    def returns(self) -> Person:
        """The first person comes again after the program ended, saying nothing of a language."""

    @abstractmethod
    def close(self) -> None:
        """Nobody stays, and the money is right."""

    def operator(self, *arguments: str) -> str:
        """What a command of the operator says."""
        code, said = launcher.run(arguments, env=self._env, cwd=self.folder)
        assert code == 0, said
        return said

    def asks(self, *arguments: str) -> Any:
        """What a command says to programs."""
        return json.loads(self.operator(*arguments, "--json"))

    def wallet(self) -> Any:
        """The first person's."""
        return self.asks("admin", "wallet", str(self.user_id))

    def money(self) -> tuple[int, int]:
        """Kopecks that the first person has, and that are reserved."""
        wallet = self.wallet()
        return wallet["balance_kop"], wallet["hold_kop"]

    def _audit(self) -> None:
        audit = self.asks("audit")
        assert audit["problems"] == []

    @property
    def _database(self) -> str:
        return f"sqlite:///{self.folder / 'kiebot.db'}"

    @property
    def _env(self) -> dict[str, str]:
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        return {
            "HOME": str(home),
            "XDG_DATA_HOME": str(home / "data"),
            "PATH": os.defpath,
            "LANG": "C.UTF-8",
            "DATABASE_URL": self._database,
            "TEST_MODE": "1",
            **self.settings,
        }


@define
class ConsoleShop(Shop):
    """A shop of `kiebot chat`; `kind` is how people come: "terminal" or "pipe"."""

    kind: str = field(kw_only=True)
    _inside: list[Terminal] = field(factory=list, init=False)

    user_id = -1

    @property
    def results(self) -> Path:
        """Where results are kept."""
        return self.folder / "kiebot-results"

    def kept(self) -> list[Path]:
        """The results that are there."""
        return sorted(self.results.iterdir()) if self.results.exists() else []

    def person(
        self, user_id: int | None = None, *, rows: int = ROWS, columns: int = COLUMNS
    ) -> ConsolePerson:
        options = ("--user", str(user_id)) if user_id else ()
        person = self._enters("--lang", "ru", *options, rows=rows, columns=columns)
        person.sees("Баланс:", "Помощь")
        return person

    def returns(self) -> ConsolePerson:
        return self._enters()

    def _enters(self, *options: str, rows: int = ROWS, columns: int = COLUMNS) -> ConsolePerson:
        command = [sys.executable, "-m", "kiebot", "chat", *options]
        terminal: Terminal
        if self.kind == "terminal":
            terminal = Pty(command, self._env, self.folder, rows=rows, columns=columns)
        else:
            terminal = Pipe(command, self._env, self.folder)
        self._inside.append(terminal)
        return ConsolePerson(terminal, self.results)

    def close(self) -> None:
        for terminal in self._inside:
            if not terminal.has_ended:
                terminal.kill()
        self._audit()


def is_data(what: str) -> bool:
    """Whether this is callback data and not a label."""
    return ":" in what and " " not in what
