"""The shop that a story happens in."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.person import Shop

OpenShop = Callable[..., Shop]


@pytest.fixture(params=["terminal", "pipe"])
def open_shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenShop]:
    """Opens the shop, with these settings; the story is told at a terminal and on pipes."""
    yield from _open(tmp_path, request.param)


@pytest.fixture
def open_terminal_shop(tmp_path: Path) -> Iterator[OpenShop]:
    """The same for what only a real terminal has."""
    yield from _open(tmp_path, "terminal")


@pytest.fixture
def open_pipe_shop(tmp_path: Path) -> Iterator[OpenShop]:
    """The same for what only pipes have."""
    yield from _open(tmp_path, "pipe")


def _open(folder: Path, kind: str) -> Iterator[OpenShop]:
    shops: list[Shop] = []

    def open_shop(**settings: str) -> Shop:
        shops.append(Shop(folder, kind, settings))
        return shops[-1]

    yield open_shop
    for shop in shops:
        shop.close()
