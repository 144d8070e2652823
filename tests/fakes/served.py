"""
`kiebot serve` as processes of their own: forks of one that has loaded everything (`launcher`), or
with `really=True` begun as people begin it.

    async with served(tmp_path, telegram, database) as shop:
        first = await shop.start("first")           # until it is ready; `ready=None` does not wait
        second = await shop.start("second", ready=503)
        first.kill()
        await second.becomes(200)

Calls to Telegram are marked with the name: `telegram.called("getUpdates", by="second")`.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import aiohttp
from attrs import define, field

from tests.fakes import launcher
from tests.fakes.telegram_server import TelegramServer

PATIENCE_S = 90.0
LOOK_S = 0.05


async def until(condition: Callable[[], Awaitable[bool]], what: str, patience_s: float) -> None:
    """Wait for something in another process, which does not tell us when it happens."""
    try:
        async with asyncio.timeout(patience_s):
            while not await condition():  # noqa: ASYNC110 - nobody could set an event
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        raise AssertionError(f"not in {patience_s:g} s: {what}") from None


class Process(Protocol):
    """What is done with either kind of process."""

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""

    def wait(self, timeout: float, /) -> int:
        """Its exit code, when it has ended."""

    def send_signal(self, number: signal.Signals, /) -> None:
        """Nothing happens where it has ended."""


@define
class Instance:
    """One process."""

    name: str
    process: Process
    log_file: Path
    session: aiohttp.ClientSession
    address: str = ""

    @property
    def log(self) -> str:
        """All that it wrote."""
        return self.log_file.read_text("utf-8")

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Its log lines; what is none is an error that was printed."""
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]

    async def listens(self) -> None:
        """Until it can be asked for its health."""

        async def is_listening() -> bool:
            assert self.process.poll() is None, self.log
            ports = [line["port"] for line in self.lines if line.get("event") == "listening"]
            self.address = f"http://127.0.0.1:{ports[0]}" if ports else ""
            return bool(ports)

        await until(is_listening, f"{self.name} listens", PATIENCE_S)

    async def get(self, path: str) -> tuple[int, str]:
        """Status and body."""
        async with self.session.get(self.address + path) as answer:
            return answer.status, await answer.text()

    async def ready(self) -> tuple[int, dict[str, str]]:
        """What `/ready` says."""
        status, body = await self.get("/ready")
        return status, json.loads(body)

    async def becomes(self, status: int, patience_s: float = PATIENCE_S) -> dict[str, str]:
        """Wait until `/ready` has this status; what it says then."""
        said: dict[str, str] = {}

        async def is_so() -> bool:
            nonlocal said
            answered, said = await self.ready()
            return answered == status

        await until(is_so, f"{self.name} says {status} at /ready", patience_s)
        return said

    async def handled(self, number: int) -> None:
        """Wait until it has answered so many updates, and noted that."""
        wanted = f'kiebot_updates_total{{outcome="done"}} {number}.0'

        async def is_so() -> bool:
            return wanted in (await self.get("/metrics"))[1]

        await until(is_so, f"{self.name} answered {number}", PATIENCE_S)

    async def says(self, event: str) -> None:
        """Wait until this is in its log."""

        async def is_so() -> bool:
            return any(line.get("event") == event for line in self.lines)

        await until(is_so, f"{self.name} says {event!r}", PATIENCE_S)

    def terminate(self) -> None:
        """As a host that wants it to end."""
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """As a power cut."""
        self.process.send_signal(signal.SIGKILL)

    def freeze(self) -> None:
        """As a machine that is paused."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """The machine goes on."""
        self.process.send_signal(signal.SIGCONT)

    async def ends(self, patience_s: float = PATIENCE_S) -> int:
        """Its exit code."""
        return await asyncio.to_thread(self.process.wait, patience_s)


@define
class Served:
    """Instances on one database, with one bot."""

    folder: Path
    telegram: TelegramServer
    settings: dict[str, str]
    session: aiohttp.ClientSession
    instances: list[Instance] = field(factory=list)

    async def start(
        self,
        name: str = "only",
        *,
        ready: int | None = 200,
        really: bool = False,
        **settings: str,
    ) -> Instance:
        """One more."""
        environment = {
            key: value
            for key, value in os.environ.items()
            if key in {"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH"}
        }
        environment |= {"TELEGRAM_API_URL": self.telegram.url_of(name)}
        environment |= {**self.settings, **settings}
        log_file = self.folder / f"{name}-{len(self.instances)}.log"
        process: Process
        if really:
            command = [sys.executable, "-m", "kiebot", "serve"]
            with log_file.open("w") as log:
                process = subprocess.Popen(  # noqa: ASYNC220 - it does not wait
                    command, cwd=self.folder, env=environment, stdout=log, stderr=log
                )
        else:
            process = launcher.launch(["serve"], env=environment, cwd=self.folder, output=log_file)
        instance = Instance(name, process, log_file, self.session)
        self.instances.append(instance)
        if ready is not None:
            await instance.listens()
            await instance.becomes(ready)
        return instance

    async def run(self, *, really: bool = False, **settings: str) -> tuple[int, str]:
        """One that ends by itself: its exit code, and what it printed."""
        instance = await self.start("brief", ready=None, really=really, **settings)
        return await instance.ends(), instance.log


@asynccontextmanager
async def served(
    folder: Path, telegram: TelegramServer, database: str, **settings: str
) -> AsyncIterator[Served]:
    """Instances of the stub KIE; what still runs in the end is killed."""
    known = {
        "TELEGRAM_BOT_TOKEN": telegram.token,
        "DATABASE_URL": database,
        "TEST_MODE": "1",
        "HOST": "127.0.0.1",
        "PORT": "0",
        "LOG_FORMAT": "json",
        "LEASE_SECONDS": "5",
    }
    async with aiohttp.ClientSession() as session:
        shop = Served(folder, telegram, known | settings, session)
        try:
            yield shop
        finally:
            for instance in shop.instances:
                if instance.process.poll() is None:
                    instance.kill()
                    await instance.ends()
