"""
Person: somebody at `kiebot chat`, as it is installed: a process, and nothing inside kiebot.

The same story runs at a real pseudo-terminal and on pipes. A shop is a folder with a database; who
comes again finds what was left there, and an operator uses the commands on it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import define, field

from tests.fakes.terminal import COLUMNS, PATIENCE_S, ROWS, Pipe, Pty, Terminal

PICTURE_MODEL = "mmodel:flux-2/pro-text-to-image"
PRICE_KOP = 3000
GRANT_KOP = 100_000
"""What a person of a demo database has."""


@define
class Person:
    """Somebody at a terminal. `sees` and `presses` are about what came since the last answer."""

    terminal: Terminal

    def sees(self, *texts: str) -> str:
        """Wait until all of these are there; what is there then."""
        return self.terminal.sees(*texts)

    def presses(self, what: str) -> None:
        """Choose an option by its label, or do what this callback data does."""
        is_data = ":" in what and " " not in what
        self.types(what if is_data else self.terminal.option(what))

    def types(self, text: str) -> None:
        """Answer with words."""
        self.terminal.types(text)

    def attaches(self, path: Path) -> None:
        """Answer with a file, as a terminal pastes one that is dropped on it."""
        self.types(f"'{path}'")

    def interrupts(self) -> None:
        """Ctrl-C; only a real terminal has it."""
        assert isinstance(self.terminal, Pty)
        self.terminal.interrupts()

    def ends(self) -> int:
        """Leave (on a pipe: no more answers); the exit code."""
        return self.terminal.ends()

    def vanishes(self) -> None:
        """The power goes."""
        self.terminal.kill()

    def orders(self, prompt: str) -> None:
        """One picture, from the model to the confirmation."""
        self.presses(PICTURE_MODEL)
        self.sees("от 3 до 5 000 знаков")
        self.types(prompt)
        self.sees("К оплате 30 ₽")
        self.presses("Создать за 30 ₽")
        self.sees("⏳")


@define
class Shop:
    """A database, and who comes to it; `kind` is how: "terminal" or "pipe"."""

    folder: Path
    kind: str
    settings: dict[str, str] = field(factory=dict)
    _inside: list[Terminal] = field(factory=list)

    @property
    def results(self) -> Path:
        """Where results are kept."""
        return self.folder / "kiebot-results"

    def kept(self) -> list[Path]:
        """The results that are there."""
        return sorted(self.results.iterdir()) if self.results.exists() else []

    def person(self, *options: str, rows: int = ROWS, columns: int = COLUMNS) -> Person:
        """Somebody comes."""
        command = self._command("chat", "--lang", "ru", *options)
        terminal: Terminal
        if self.kind == "terminal":
            terminal = Pty(command, self._env, self.folder, rows=rows, columns=columns)
        else:
            terminal = Pipe(command, self._env, self.folder)
        self._inside.append(terminal)
        person = Person(terminal)
        person.sees("Баланс:", "Помощь")
        return person

    def operator(self, *arguments: str) -> str:
        """What a command of the operator says."""
        done = subprocess.run(
            self._command(*arguments),
            env=self._env,
            cwd=self.folder,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def asks(self, *arguments: str) -> Any:
        """What a command says to programs."""
        return json.loads(self.operator(*arguments, "--json"))

    def money(self) -> tuple[int, int]:
        """Kopecks that the person has, and that are reserved."""
        wallet = self.asks("admin", "wallet", "-1")
        return wallet["balance_kop"], wallet["hold_kop"]

    def close(self) -> None:
        """Nobody stays, and the money is right."""
        for terminal in self._inside:
            if not terminal.has_ended:
                terminal.kill()
        audit = self.asks("audit")
        assert audit["problems"] == []

    def _command(self, *arguments: str) -> Sequence[str]:
        command, *rest = arguments
        return [sys.executable, "-m", "kiebot", command, *rest]

    @property
    def _env(self) -> dict[str, str]:
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        return {
            "HOME": str(home),
            "XDG_DATA_HOME": str(home / "data"),
            "PATH": os.defpath,
            "LANG": "C.UTF-8",
            "DATABASE_URL": f"sqlite:///{self.folder / 'kiebot.db'}",
            "TEST_MODE": "1",
            **self.settings,
        }
