"""
What every test may use.

The rules of a session:

- PostgreSQL is real: `postgres_dsn` is a fresh database of a server that the session starts once
  (`tests/fakes/postgres.py`) or, with `--postgres DSN`, of another one. No server is an error.
- In CI (the variable `CI` is set) a skipped test fails: what was not run was not tested.
- No test depends on how fast the machine is, so hypothesis has no deadlines.
- A test in which a secret was logged or said fails, whatever it was about (`tests/fakes/leaks.py`).
"""

import logging
import os
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.fakes import leaks, postgres
from tests.fakes.clock import FakeClock
from tests.fakes.postgres import PostgresServer
from tests.fakes.telegram_server import TelegramServer, telegram_server

settings.register_profile(
    "kiebot",
    deadline=None,
    derandomize=False,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("kiebot")

POSTGRES_FOLDER = pytest.StashKey[Path]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--postgres",
        metavar="DSN",
        help="a PostgreSQL server to make the tests' databases in, in place of one of our own",
    )
    parser.addoption(
        "--write-docs",
        action="store_true",
        help="write what was observed into the pages of docs/ that say so, in place of comparing",
    )
    parser.addoption(
        "--newcomer",
        action="store_true",
        help="follow the tutorial in a fresh copy of the project, installation and all",
    )
    chaos = parser.getgroup("chaos", "how hard it is for `kiebot serve`, and how it was")
    chaos.addoption("--people", type=int, help="how many people there are")
    chaos.addoption("--kills", type=int, help="how often a process is killed")
    chaos.addoption("--seed", type=int, help="the seed of a run that is to be seen again")


# --- A skip is a failure


def _is_ci() -> bool:
    return os.environ.get("CI", "").lower() not in {"", "0", "false", "no"}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """
    Fail a test that was skipped in CI; an expected failure is no skip. What a test logged may be no
    text that can be sent on by a worker, which would then end.
    """
    report = yield
    report.sections = [(name, _printable(text)) for name, text in report.sections]
    if report.skipped and not hasattr(report, "wasxfail") and _is_ci():
        report.outcome = "failed"
        report.longrepr = f"skipped, which is a failure in CI: {_reason(report.longrepr)}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail a module that was skipped in CI."""
    report = yield
    if report.skipped and _is_ci():
        report.outcome = "failed"
        report.longrepr = f"skipped, which is a failure in CI: {_reason(report.longrepr)}"
    return report


def _printable(text: str) -> str:
    """Broken characters as question marks."""
    return text.encode("utf-8", "replace").decode()


def _reason(longrepr: object) -> object:
    """Why, from pytest's (file, line, reason)."""
    return longrepr[-1] if isinstance(longrepr, tuple) else longrepr


# --- No secret is told


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Look into what the test said, now that all it started has ended."""
    yield
    # What was logged was heard as it was.
    for _, stream, text in item._report_sections:  # noqa: SLF001 - where pytest has it
        if stream != "log":
            leaks.hear_log(f"what went to {stream}", text)
    leaks.check()


# --- PostgreSQL


def pytest_configure(config: pytest.Config) -> None:
    logging.getLogger().addHandler(leaks.Ear())
    shared = getattr(config, "workerinput", {}).get("postgres_folder")
    config.stash[POSTGRES_FOLDER] = Path(shared) if shared else postgres.make_folder()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of xdist where the server is to be."""
    node.workerinput["postgres_folder"] = str(node.config.stash[POSTGRES_FOLDER])


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        postgres.stop(config.stash[POSTGRES_FOLDER])


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest) -> PostgresServer:
    """The session's PostgreSQL, shared by all workers."""
    given: str | None = request.config.getoption("--postgres")
    if given:
        return PostgresServer(given)
    return postgres.shared_server(request.config.stash[POSTGRES_FOLDER])


@pytest.fixture
def postgres_dsn(postgres_server: PostgresServer) -> Iterator[str]:
    """The DSN of an empty database of this test's own."""
    dsn = postgres_server.create()
    yield dsn
    postgres_server.drop(dsn)


# --- Telegram


@pytest.fixture
async def telegram() -> AsyncIterator[TelegramServer]:
    """Telegram on loopback; the test fails where the bot left a press unanswered."""
    async with telegram_server() as server:
        yield server


# --- Factories


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()
