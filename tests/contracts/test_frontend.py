"""
What every Frontend promises, wherever its people are.

The far side is a program at a real pseudo-terminal or on pipes; its conversation does as it is told
(`tests/fakes/talk.py`).
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes import talk
from tests.fakes.terminal import Pipe, Pty, Terminal


@pytest.fixture(params=["terminal", "pipe"])
def person(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Terminal]:
    """Somebody who has just come, and sees the menu."""
    kind = Pty if request.param == "terminal" else Pipe
    env = {"HOME": str(tmp_path), "PATH": os.defpath, "PYTHONPATH": os.pathsep.join(sys.path)}
    person = kind(talk.command(tmp_path), env, tmp_path)
    person.sees("What shall we make?", "Videos", "Pictures", "Menu")
    yield person
    if not person.has_ended:
        person.kill()


def press(person: Terminal, label: str) -> None:
    person.types(person.option(label))


def test_a_button_is_pressed(person: Terminal) -> None:
    press(person, "Pictures")

    person.sees("pressed mcat:visuals")


@pytest.mark.parametrize("words", ["рыжий кот 🐈", "1", "Skip", "x" * 100_000], ids=lambda w: w[:9])
def test_what_is_typed_is_handed_on(person: Terminal, words: str) -> None:
    """Where text is asked, whatever it looks like."""
    person.types("ask text")
    person.sees("text is asked")

    person.types(words)

    person.sees(f"said {len(words)} {words[:60]}")


def test_a_command_wins_over_a_question(person: Terminal) -> None:
    person.types("ask text")
    person.sees("text is asked")

    person.types("/balance")

    person.sees("pressed balance:main")


def test_an_option_is_there_beside_a_question(person: Terminal) -> None:
    person.types("ask number")
    person.sees("number is asked")

    press(person, "Skip")

    person.sees("pressed mskip:job1:prompt")


def test_what_is_attached_can_be_read(person: Terminal, tmp_path: Path) -> None:
    """Told by its content, not by its name; and as long as it is there."""
    file = tmp_path / "рыжий кот.txt"
    file.write_bytes(talk.picture())
    person.types("ask file")
    person.sees("file is asked")

    person.types(str(file))

    size = file.stat().st_size
    person.sees(f"attached {file.name} · image/png · {size}", f"read {size} of {size}")
    file.unlink()
    person.types("read again")
    person.sees("cannot be read")


def test_news_come_unasked_and_can_be_answered(person: Terminal) -> None:
    person.types("news a cat")
    person.sees("news: a cat")

    press(person, "Skip")

    person.sees("pressed mskip:job1:prompt")


def test_news_leave_a_question_open(person: Terminal) -> None:
    person.types("news a cat")
    person.types("ask text")
    person.sees("text is asked")

    person.types("a dog")

    person.sees("said 5 a dog")


def test_results_reach_the_person(person: Terminal, tmp_path: Path) -> None:
    person.types("news a cat")

    person.sees("2026-01-01-cat.png")

    assert (tmp_path / "results" / "2026-01-01-cat.png").read_bytes() == talk.picture()


def test_a_file_that_cannot_be_had_stops_nothing(person: Terminal, tmp_path: Path) -> None:
    """The news are what counts, and what else came with them."""
    person.types("bad news")

    person.sees("bad news", "could not be loaded", "moved.png", "2026-01-01-cat.png", "Skip")
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["2026-01-01-cat.png"]


def test_a_failure_of_the_database_is_said_and_survived(person: Terminal) -> None:
    person.types("break")
    person.sees("the database does not answer")

    person.types("/menu")

    person.sees("What shall we make?")


def test_strangers_words_are_only_words(person: Terminal) -> None:
    """No escape code in them reaches the terminal."""
    person.types("evil")

    person.sees("evil [31m]0;title words", "and more")


def test_it_ends_when_the_person_leaves(person: Terminal) -> None:
    assert person.ends() == 0
