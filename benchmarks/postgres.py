"""
A PostgreSQL that is as careful as the one of an operator: what it committed survives a power cut.

It is the tests' server, with nothing of its durability taken away.
"""

import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

import asyncpg

from tests.fakes import postgres
from tests.fakes.postgres import PostgresServer

T = TypeVar("T")

OPTIONS = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "max_connections": "100",
    "shared_buffers": "256MB",
    # So that no measurement pays for a checkpoint that another one made due.
    "max_wal_size": "4GB",
    "checkpoint_timeout": "30min",
    # Looked at by hand, with `vacuum analyze` before each measurement.
    "autovacuum": "off",
    "listen_addresses": "",
}


@contextmanager
def running() -> Iterator[PostgresServer]:
    """A server in a folder of its own; both are gone when the block ends."""
    folder = postgres.make_folder()
    try:
        yield postgres.shared_server(folder, OPTIONS)
    finally:
        postgres.stop(folder)


@contextmanager
def database(server: PostgresServer) -> Iterator[str]:
    """An empty database; its DSN."""
    dsn = server.create()
    try:
        yield dsn
    finally:
        server.drop(dsn)


async def vacuum(dsn: str) -> None:
    """Have a database tidy and its statistics right, as time would."""
    driver = await asyncpg.connect(dsn)
    try:
        await driver.execute("vacuum analyze")
        await driver.execute("checkpoint")
    finally:
        await driver.close()


def tidied(dsn: str, work: Callable[[], Awaitable[T]]) -> Callable[[], Awaitable[T]]:
    """
    The same work on a database that was made tidy right before: else a connection would go on with
    a plan of the time when a table was small, which nobody told it of.
    """

    async def tidy() -> T:
        await vacuum(dsn)
        return await work()

    return tidy


def pgbench(dsn: str, *arguments: str | Path) -> str:
    """Run pgbench on a database, through its socket; what it printed."""
    parts = urlsplit(dsn)
    options = ["-h", parse_qs(parts.query)["host"][0], "-U", parts.username or "postgres"]
    program = postgres.installed() / "pgbench"
    command = [str(part) for part in (program, *options, *arguments, parts.path.lstrip("/"))]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def version() -> str:
    """Of the server."""
    command = [str(postgres.installed() / "postgres"), "--version"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return said.split()[2]
