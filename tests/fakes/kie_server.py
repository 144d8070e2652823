"""
kie.ai on loopback, in the process of the test.

    async with kie_server(clock) as kie:
        kie.script(Fault(call="status", kind="code", code=500))
        ...  # KIE_API_URL and KIE_UPLOAD_URL are kie.address, any key will do

It is strict, keeps the account's limits and shares the clock: with one that stands still, a task
is done half a second after the clock says so. `await kie.told()` waits for callbacks that are due.
"""

import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from kiebot.adapters.kie.stub_server.limits import Limits
from kiebot.adapters.kie.stub_server.server import BALANCE, StubServer
from kiebot.adapters.kie.stub_server.tasks import Timeline
from kiebot.ports.system import Clock
from tests.fakes import leaks

CALLBACK_SECRET = leaks.CALLBACK_SECRET
"""Signs callbacks, unless a test says otherwise."""

NO_LIMITS = Limits(creates_in_10s=None, queries_in_1s=None)


def now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def kie_server(
    clock: Clock = now,
    *,
    strict: bool = True,
    key: str | None = None,
    callback_secret: str | None = CALLBACK_SECRET,
    limits: Limits | None = None,
    timeline: Timeline | None = None,
    balance: Decimal = BALANCE,
    port: int = 0,
) -> AsyncIterator[StubServer]:
    """A stub server on a free port of loopback."""
    server = StubServer(
        clock,
        port=port,
        key=key,
        strict=strict,
        timeline=timeline,
        callback_secret=callback_secret,
        limits=limits,
        balance=balance,
    )
    async with server:
        yield server


@contextmanager
def kie_process(folder: Path, *options: str) -> Iterator[str]:
    """`kiebot stub-kie` as a process of its own; its address."""
    lines = folder / "stub-kie.log"
    command = [sys.executable, "-m", "kiebot", "stub-kie", "--port", "0", *options]
    with lines.open("w") as out, subprocess.Popen(command, stdout=out) as process:
        try:
            while not (first := lines.read_text("utf-8").partition("\n"))[1]:
                assert process.poll() is None
                time.sleep(0.02)
            yield first[0]
        finally:
            process.terminate()
