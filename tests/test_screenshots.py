"""The pictures in docs/images: they are made anew, and the kept ones are the same."""

import re
from pathlib import Path

import pytest

from kiebot.core.language import Language
from tools.screenshots.__main__ import IMAGES, of_telegram, of_terminal

PAGE = IMAGES.parent / "screens.md"
MADE = ("terminal*.svg", "telegram*.svg")


def kept() -> dict[str, str]:
    return {path.name: path.read_text("utf-8") for glob in MADE for path in IMAGES.glob(glob)}


def compare(made: dict[str, str]) -> None:
    old = [name for name, picture in made.items() if kept().get(name) != picture]
    assert not old, f"`nox -s screenshots` makes another picture of {', '.join(sorted(old))}"


@pytest.mark.parametrize("language", Language)
def test_the_pictures_of_the_terminal_are_true(language: Language) -> None:
    compare(of_terminal(language))


def test_the_pictures_of_telegram_are_true_and_there_are_no_others() -> None:
    made = of_telegram(Language.EN) | of_telegram(Language.RU)

    compare(made)
    assert {name for name in kept() if name.startswith("telegram")} == set(made)


def test_the_page_shows_every_picture() -> None:
    """And none that is not there."""
    shown = re.findall(r"!\[[^]]+\]\(images/([^)]+)\)", PAGE.read_text("utf-8"))

    assert sorted(shown) == sorted(kept())
    assert all(Path(IMAGES, name).is_file() for name in shown)
