"""
The files of a shop that is a demo: no network, and nothing is refused for what cannot be known.

An address is taken unread. What has no length that can be measured counts as `SECONDS`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from urllib.parse import unquote, urlsplit

from attrs import evolve, frozen

from kiebot.adapters.media.measure import ProbeLimits, Spooler
from kiebot.core.errors import MediaError
from kiebot.core.media import MAX_FILE_BYTES, Measured
from kiebot.ports.kie import InputFile
from kiebot.ports.media import SpooledFile

SECONDS = Decimal(5)
"""How long a sound or clip is taken to last. Our choice: as long as the stub's own."""


@frozen(kw_only=True)
class UnreadFile:
    """What stands for the content of an address that is not read."""

    name: str
    measured: Measured

    @property
    def mime(self) -> None:
        """Nobody looked."""
        return

    @property
    def size(self) -> None:
        """Nobody counted."""
        return

    async def chunks(self) -> AsyncIterator[bytes]:
        """Nothing."""
        return
        yield b""  # a generator, as reading is


class StubMedia:
    """Measures files as the live one does, and reads no address."""

    reads_addresses = False

    def __init__(
        self, *, max_bytes: int = MAX_FILE_BYTES, limits: ProbeLimits | None = None
    ) -> None:
        self._spooler = Spooler(max_bytes=max_bytes, limits=limits)

    @asynccontextmanager
    async def fetch(self, url: str) -> AsyncIterator[InputFile]:
        """An address, unread."""
        try:
            parts = urlsplit(url)
            if parts.scheme not in {"http", "https"} or not parts.hostname:
                raise MediaError(url, "no http or https address")
        except ValueError as exc:
            raise MediaError(url, f"no address: {exc}") from exc
        name = unquote(parts.path).rsplit("/", 1)[-1] or "file"
        yield UnreadFile(name=name, measured=Measured(mime=None, size=0, seconds=None))

    @asynccontextmanager
    async def spool(
        self, file: InputFile, *, max_bytes: int | None = None, timed: bool = False
    ) -> AsyncIterator[SpooledFile]:
        """As the port says; what is timed always has its seconds."""
        if isinstance(file, UnreadFile):
            yield evolve(file, measured=_timed(file.measured) if timed else file.measured)
            return
        async with self._spooler.spool(file, max_bytes=max_bytes, timed=timed) as spooled:
            yield _Timed(spooled) if timed else spooled


@frozen
class _Timed:
    """A file that was measured, or else counts as if it had been."""

    file: SpooledFile

    @property
    def name(self) -> str:
        return self.file.name

    @property
    def mime(self) -> str | None:
        return self.file.mime

    @property
    def size(self) -> int | None:
        return self.file.size

    @property
    def measured(self) -> Measured:
        return _timed(self.file.measured)

    def chunks(self) -> AsyncIterator[bytes]:
        return self.file.chunks()


def _timed(measured: Measured) -> Measured:
    return measured if measured.seconds is not None else evolve(measured, seconds=SECONDS)
