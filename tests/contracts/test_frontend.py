"""
What every Frontend promises, wherever its people are.

The far side is a program at a real pseudo-terminal or on pipes, or Telegram on loopback; the
conversation does as it is told (`tests/fakes/talk.py`). What only a terminal can do or show is
asked `at_a_terminal`.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.fakes import talk
from tests.fakes.talk_telegram import TelegramPerson, somebody
from tests.fakes.terminal import Pipe, Pty, Terminal

Person: TypeAlias = Terminal | TelegramPerson


@pytest.fixture(params=["terminal", "pipe", "telegram"])
def person(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Person]:
    """Somebody who has just come, and sees the menu."""
    if request.param == "telegram":
        with somebody() as person:
            person.sees("What shall we make?", "Videos", "Pictures", "Menu")
            yield person
    else:
        with at_home(request.param, tmp_path) as terminal:
            yield terminal


@pytest.fixture(params=["terminal", "pipe"])
def at_a_terminal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Terminal]:
    """The same, at a terminal."""
    with at_home(request.param, tmp_path) as terminal:
        yield terminal


@contextmanager
def at_home(where: str, tmp_path: Path) -> Iterator[Terminal]:
    kind = Pty if where == "terminal" else Pipe
    env = {"HOME": str(tmp_path), "PATH": os.defpath, "PYTHONPATH": os.pathsep.join(sys.path)}
    person = kind(talk.command(tmp_path), env, tmp_path)
    person.sees("What shall we make?", "Videos", "Pictures", "Menu")
    yield person
    if not person.has_ended:
        person.kill()


def press(person: Person, label: str) -> None:
    if isinstance(person, TelegramPerson):
        person.presses(label)
    else:
        person.types(person.option(label))


def test_a_button_is_pressed(person: Person) -> None:
    press(person, "Pictures")

    person.sees("pressed mcat:visuals")


@pytest.mark.parametrize("words", ["рыжий кот 🐈", "1", "Skip", "x" * 4000], ids=lambda w: w[:9])
def test_what_is_typed_is_handed_on(person: Person, words: str) -> None:
    """Where text is asked, whatever it looks like."""
    person.types("ask text")
    person.sees("text is asked")

    person.types(words)

    person.sees(f"said {len(words)} {words[:60]}")


def test_a_very_long_line_is_handed_on(at_a_terminal: Terminal) -> None:
    at_a_terminal.types("x" * 100_000)

    at_a_terminal.sees(f"said 100000 {'x' * 60}")


def test_a_command_wins_over_a_question(person: Person) -> None:
    person.types("ask text")
    person.sees("text is asked")

    person.types("/balance")

    person.sees("pressed balance:main")


def test_an_option_is_there_beside_a_question(person: Person) -> None:
    person.types("ask number")
    person.sees("number is asked")

    press(person, "Skip")

    person.sees("pressed mskip:job1:prompt")


def test_what_is_attached_can_be_read(at_a_terminal: Terminal, tmp_path: Path) -> None:
    """Told by its content, not by its name; and as long as it is there."""
    file = tmp_path / "рыжий кот.txt"
    file.write_bytes(talk.picture())
    at_a_terminal.types("ask file")
    at_a_terminal.sees("file is asked")

    at_a_terminal.types(str(file))

    size = file.stat().st_size
    at_a_terminal.sees(f"attached {file.name} · image/png · {size}", f"read {size} of {size}")
    file.unlink()
    at_a_terminal.types("read again")
    at_a_terminal.sees("cannot be read")


def test_what_is_attached_to_a_message_can_be_read() -> None:
    """Told by its content, not by its name."""
    with somebody() as person:
        person.types("ask file")
        person.sees("file is asked")

        person.attaches("рыжий кот.txt", talk.picture())

        size = len(talk.picture())
        person.sees("attached рыжий кот.txt", f"read {size} of {size}", "image/png")


def test_news_come_unasked_and_can_be_answered(person: Person) -> None:
    person.types("news a cat")
    person.sees("news: a cat")

    press(person, "Skip")

    person.sees("pressed mskip:job1:prompt")


def test_news_leave_a_question_open(person: Person) -> None:
    person.types("news a cat")
    person.types("ask text")
    person.sees("text is asked")

    person.types("a dog")

    person.sees("said 5 a dog")


def test_results_reach_the_person(at_a_terminal: Terminal, tmp_path: Path) -> None:
    at_a_terminal.types("news a cat")

    at_a_terminal.sees("2026-01-01-cat.png")

    assert (tmp_path / "results" / "2026-01-01-cat.png").read_bytes() == talk.picture()


def test_a_file_that_cannot_be_had_stops_nothing(at_a_terminal: Terminal, tmp_path: Path) -> None:
    """The news are what counts, and what else came with them."""
    at_a_terminal.types("bad news")

    at_a_terminal.sees("bad news", "could not be loaded", "moved.png", "2026-01-01-cat.png", "Skip")
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["2026-01-01-cat.png"]


def test_a_failure_of_the_database_is_said_and_survived(at_a_terminal: Terminal) -> None:
    at_a_terminal.types("break")
    at_a_terminal.sees("the database does not answer")

    at_a_terminal.types("/menu")

    at_a_terminal.sees("What shall we make?")


def test_strangers_words_are_only_words(person: Person) -> None:
    """No escape code in them reaches the terminal."""
    person.types("evil")

    person.sees("evil [31m]0;title words", "and more")


def test_it_ends_when_the_person_leaves(at_a_terminal: Terminal) -> None:
    assert at_a_terminal.ends() == 0
