"""The shop that a story happens in."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from tests.acceptance.person import ConsoleShop, Shop
from tests.acceptance.person_telegram import TelegramShop

S = TypeVar("S", bound=Shop)
OpenShop = Callable[..., Shop]
OpenConsoleShop = Callable[..., ConsoleShop]
OpenTelegramShop = Callable[..., TelegramShop]


@pytest.fixture(params=["terminal", "pipe", "polling", "webhook"])
def open_shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenShop]:
    """
    Opens the shop, with these settings.

    The story is told at a terminal, on pipes, and in Telegram: by polling on SQLite, and by a
    webhook on PostgreSQL.
    """
    if request.param in {"terminal", "pipe"}:
        yield from _open(lambda settings: ConsoleShop(tmp_path, settings, kind=request.param))
    else:
        yield from _open_telegram(request, tmp_path)


@pytest.fixture(params=["polling", "webhook"])
def open_telegram_shop(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[OpenTelegramShop]:
    """The same for what only Telegram has: administrators who talk with the shop."""
    yield from _open_telegram(request, tmp_path)


@pytest.fixture(params=["terminal", "pipe"])
def open_console_shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenConsoleShop]:
    """The same for what only a console has: numbers of options, several at once."""
    yield from _open(lambda settings: ConsoleShop(tmp_path, settings, kind=request.param))


@pytest.fixture
def open_terminal_shop(tmp_path: Path) -> Iterator[OpenConsoleShop]:
    """The same for what only a real terminal has."""
    yield from _open(lambda settings: ConsoleShop(tmp_path, settings, kind="terminal"))


@pytest.fixture
def open_pipe_shop(tmp_path: Path) -> Iterator[OpenConsoleShop]:
    """The same for what only pipes have."""
    yield from _open(lambda settings: ConsoleShop(tmp_path, settings, kind="pipe"))


def _open_telegram(
    request: pytest.FixtureRequest, folder: Path
) -> Iterator[Callable[..., TelegramShop]]:
    """By polling on SQLite, or by a webhook on PostgreSQL."""
    dsn = request.getfixturevalue("postgres_dsn") if request.param == "webhook" else None
    return _open(lambda settings: TelegramShop(folder, settings, dsn=dsn))


def _open(make: Callable[[dict[str, str]], S]) -> Iterator[Callable[..., S]]:
    shops: list[S] = []

    def open_shop(**settings: str) -> S:
        shops.append(make(settings))
        return shops[-1]

    yield open_shop
    for shop in shops:
        shop.close()
