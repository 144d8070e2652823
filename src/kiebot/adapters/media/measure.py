"""
Reading a file to its end once: onto the disk, with a limit, and measured there.

Who measures is a program of its own (`probe`), which is given the open file and nothing else: no
name, no setting or key of the environment. What it does with a hostile file ends with it.
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from decimal import Decimal, InvalidOperation
from typing import BinaryIO

from attrs import field, frozen

from kiebot.core.errors import MediaError, MediaTrouble
from kiebot.core.media import MAX_FILE_BYTES, SNIFF_BYTES, UNKNOWN_MIME, Measured, sniff
from kiebot.ports.kie import InputFile
from kiebot.ports.media import SpooledFile

CHUNK_BYTES = 256 * 1024
PROBES = 2
"""How many files are measured at once: each takes a processor."""

_ENVIRONMENT = ("PATH", "PYTHONPATH", "PYTHONHOME", "SYSTEMROOT", "LD_LIBRARY_PATH", "LANG")
"""What a program needs to start, and no secret is in."""

_MEASURED = ("audio/", "video/")


@frozen(kw_only=True)
class ProbeLimits:
    """
    What measuring one file may take: bytes of memory (address space), whole seconds of processor
    time, and seconds until it is stopped.

    Source: our own trials. Two hours of MP3 take 3 s of a busy machine; the libraries alone need
    between 128 and 200 MB.
    """

    memory_bytes: int = 1024 * 1024 * 1024
    cpu_s: int = 10
    deadline_s: float = 15.0


@frozen(kw_only=True)
class DiskSpool:
    """A file on our disk, without a name there."""

    name: str
    measured: Measured
    source: str
    file: BinaryIO = field(repr=False)

    @property
    def mime(self) -> str | None:
        """What its content is."""
        return self.measured.mime

    @property
    def size(self) -> int:
        """Its bytes."""
        return self.measured.size

    async def chunks(self) -> AsyncIterator[bytes]:
        """Its content, from the beginning."""
        place = 0
        while chunk := await asyncio.to_thread(self._at, place):
            place += len(chunk)
            yield chunk

    def _at(self, place: int) -> bytes:
        try:
            self.file.seek(place)
            return self.file.read(CHUNK_BYTES)
        except OSError as exc:
            raise MediaError(self.source, f"our disk does not give it back: {exc}") from exc


class Spooler:
    """Spools files, and has at most `PROBES` of them measured at once."""

    def __init__(
        self, *, max_bytes: int = MAX_FILE_BYTES, limits: ProbeLimits | None = None
    ) -> None:
        self._max_bytes = max_bytes
        self._limits = limits or ProbeLimits()
        self._probes = asyncio.Semaphore(PROBES)

    @asynccontextmanager
    async def spool(
        self, file: InputFile, *, max_bytes: int | None = None, timed: bool = False
    ) -> AsyncIterator[SpooledFile]:
        """As the port says."""
        most = self._max_bytes if max_bytes is None else min(max_bytes, self._max_bytes)
        if file.size is not None and file.size > most:
            raise _too_large(file, most)
        # It has no name from the start, so nothing of it is left, whatever happens to us.
        with tempfile.TemporaryFile(prefix="kiebot-") as disk:
            head, size = await _load(file, disk, most)
            mime = sniff(head) or UNKNOWN_MIME
            seconds = None
            if timed and mime.startswith(_MEASURED):
                async with self._probes:
                    seconds = await _seconds(disk, mime, self._limits)
            yield DiskSpool(
                name=file.name,
                measured=Measured(mime=mime, size=size, seconds=seconds),
                source=file.name,
                file=disk,
            )


async def _load(file: InputFile, disk: BinaryIO, most: int) -> tuple[bytes, int]:
    """Write a file to the disk; its first bytes and its size."""
    head, size = b"", 0
    async for chunk in file.chunks():
        size += len(chunk)
        if size > most:
            raise _too_large(file, most)
        if len(head) < SNIFF_BYTES:
            head += chunk[: SNIFF_BYTES - len(head)]
        try:
            await asyncio.to_thread(disk.write, chunk)
        except OSError as exc:
            raise MediaError(file.name, f"our disk does not take it: {exc}") from exc
    return head, size


async def _seconds(disk: BinaryIO, mime: str, limits: ProbeLimits) -> Decimal | None:
    """What the probe says; None where it says nothing in time."""
    disk.flush()
    disk.seek(0)
    probe = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "kiebot.adapters.media.probe",
        mime,
        str(limits.memory_bytes),
        str(limits.cpu_s),
        stdin=disk,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
        # Ctrl-C is for us: we stop it ourselves.
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(limits.deadline_s):
            said, _ = await probe.communicate()
    except TimeoutError:
        return None
    finally:
        if probe.returncode is None:
            with suppress(ProcessLookupError):
                probe.kill()
            await probe.wait()
    try:
        seconds = Decimal(said.decode("ascii"))
    except (UnicodeDecodeError, InvalidOperation):
        return None
    return seconds if probe.returncode == 0 and seconds.is_finite() and seconds > 0 else None


def _too_large(file: InputFile, most: int) -> MediaError:
    return MediaError(file.name, f"larger than {most // (1024 * 1024)} MB", MediaTrouble.TOO_LARGE)
