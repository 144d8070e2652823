"""The files of a shop that is for real: public addresses are read, everything is measured."""

from collections.abc import Collection
from contextlib import AbstractAsyncContextManager

from aiohttp.abc import AbstractResolver

from kiebot.adapters.media.fetch import SILENCE_S, TOTAL_S, Fetcher
from kiebot.adapters.media.measure import ProbeLimits, Spooler
from kiebot.core.addresses import HostPort
from kiebot.core.media import MAX_FILE_BYTES
from kiebot.ports.kie import InputFile
from kiebot.ports.media import SpooledFile


class LiveMedia:
    """
    Reads public addresses over HTTP, and measures files with FFmpeg's libraries.

    `allowed` hosts are read wherever they are: those of kie.ai, as the settings name them. Times
    are in seconds. To be closed.
    """

    reads_addresses = True

    def __init__(
        self,
        *,
        allowed: Collection[HostPort] = frozenset(),
        max_bytes: int = MAX_FILE_BYTES,
        total_s: float = TOTAL_S,
        silence_s: float = SILENCE_S,
        limits: ProbeLimits | None = None,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._fetcher = Fetcher(
            allowed=allowed,
            max_bytes=max_bytes,
            total_s=total_s,
            silence_s=silence_s,
            resolver=resolver,
        )
        self._spooler = Spooler(max_bytes=max_bytes, limits=limits)

    def fetch(self, url: str) -> AbstractAsyncContextManager[InputFile]:
        """As the port says."""
        return self._fetcher.fetch(url)

    def spool(
        self, file: InputFile, *, max_bytes: int | None = None, timed: bool = False
    ) -> AbstractAsyncContextManager[SpooledFile]:
        """As the port says."""
        return self._spooler.spool(file, max_bytes=max_bytes, timed=timed)

    async def close(self) -> None:
        """Close what is open."""
        await self._fetcher.close()
