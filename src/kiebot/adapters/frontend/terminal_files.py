"""
Files of the terminal: those a person names as an answer, and those that results are kept in.

Nothing is ever overwritten, and a file is there under its name only once it is whole.
"""

import asyncio
import errno
import hashlib
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from attrs import field, frozen

from kiebot.core.errors import MediaError
from kiebot.core.media import EXTENSIONS, SNIFF_BYTES, Attachment, sniff
from kiebot.ports.kie import InputFile

CHUNK_BYTES = 256 * 1024
NAME_CHARS = 60
"""Characters of a result's name: most file systems take 255 bytes, three for a letter."""

DIGEST_BYTES = 200 * 1024 * 1024
"""Larger files get no digest: only receipts need one, and no receipt is so large."""


class Trouble(Enum):
    """Why a named file is no answer."""

    MISSING = "missing"
    FOLDER = "folder"
    EMPTY = "empty"
    UNREADABLE = "unreadable"


def is_there(path: Path) -> bool:
    """Whether something has this path; what cannot be a path has none."""
    try:
        return path.exists()
    except (OSError, ValueError):
        # Too long for a name, no right to look, a NUL.
        return False


def look(path: Path) -> Attachment | Trouble:
    """A file as an answer: told by its content, with its size and digest (SHA-256)."""
    try:
        if path.is_dir():
            return Trouble.FOLDER
        if not path.is_file():
            # A pipe or a device is no file to hand on: it can be read once, or without end.
            return Trouble.UNREADABLE if path.exists() else Trouble.MISSING
        with path.open("rb") as file:
            head = file.read(SNIFF_BYTES)
            size = os.fstat(file.fileno()).st_size
            file.seek(0)
            digest = _digest(file) if size <= DIGEST_BYTES else None
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return Trouble.MISSING
    except OSError as exc:
        return Trouble.UNREADABLE if not _is_too_long(exc) else Trouble.MISSING
    if not head:
        return Trouble.EMPTY
    return Attachment(
        reference=path.resolve().as_uri(),
        name=path.name,
        mime=sniff(head),
        size=size,
        digest=digest,
    )


def local_path(reference: str) -> Path | None:
    """The path of a `file:` reference, None for any other."""
    parts = urlsplit(reference)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


@frozen(kw_only=True)
class DiskFile:
    """A file of this machine, being read."""

    name: str
    mime: str | None
    size: int | None
    reference: str
    file: BinaryIO = field(repr=False)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Its content; MediaError where reading fails."""
        while True:
            try:
                chunk = await asyncio.to_thread(self.file.read, CHUNK_BYTES)
            except OSError as exc:
                raise MediaError(self.reference, str(exc)) from exc
            if not chunk:
                return
            yield chunk


@asynccontextmanager
async def open_file(reference: str) -> AsyncIterator[InputFile]:
    """Read a file by its `file:` reference (MediaError)."""
    path = local_path(reference)
    if path is None:
        raise MediaError(reference, "no file of this machine")
    try:
        file = await asyncio.to_thread(path.open, "rb")
    except (OSError, ValueError) as exc:
        raise MediaError(reference, str(exc)) from exc
    with file:
        try:
            head = file.read(SNIFF_BYTES)
            file.seek(0)
            size = os.fstat(file.fileno()).st_size
        except OSError as exc:
            raise MediaError(reference, str(exc)) from exc
        yield DiskFile(name=path.name, mime=sniff(head), size=size, reference=reference, file=file)


@frozen
class Results:
    """The folder that results are kept in; made when there is something to keep."""

    folder: Path

    async def keep(self, file: InputFile, name: str) -> Path:
        """
        Store a file as `<name>.<what its content is>`, and say where.

        A file that is there already with the same content is it; one with other content stays,
        and this one becomes `<name>-2`.

        Raises:
            OSError: It cannot be written here.
            MediaError: It cannot be read.
        """
        name = _safe(name)
        await asyncio.to_thread(self.folder.mkdir, parents=True, exist_ok=True)
        part = self.folder / f".{name}.{secrets.token_hex(4)}.part"
        try:
            head, digest = await self._load(file, part)
            extension = EXTENSIONS.get(sniff(head) or "", "bin")
            return await asyncio.to_thread(self._settle, part, name, extension, digest)
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)

    async def _load(self, file: InputFile, part: Path) -> tuple[bytes, str]:
        head = b""
        digest = hashlib.sha256()
        with await asyncio.to_thread(part.open, "xb") as target:
            async for chunk in file.chunks():
                if len(head) < SNIFF_BYTES:
                    head += chunk[:SNIFF_BYTES]
                digest.update(chunk)
                await asyncio.to_thread(target.write, chunk)
        return head[:SNIFF_BYTES], digest.hexdigest()

    def _settle(self, part: Path, name: str, extension: str, digest: str) -> Path:
        size = part.stat().st_size
        number = 1
        while True:
            path = self.folder / f"{name}{'' if number == 1 else f'-{number}'}.{extension}"
            try:
                _name(part, path)
            except FileExistsError:
                if path.is_file() and path.stat().st_size == size:
                    with path.open("rb") as file:
                        if _digest(file) == digest:
                            return path
                number += 1
                continue
            return path


def _name(part: Path, path: Path) -> None:
    """Give a file its name, unless another has it (FileExistsError)."""
    try:
        # Whole from the first moment on: another window may be storing the same result.
        path.hardlink_to(part)
    except FileExistsError:
        raise
    except OSError:
        # Not every file system has links (those of memory cards have none).
        path.touch(exist_ok=False)
        part.replace(path)


def _digest(file: BufferedReader) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()


def _is_too_long(exc: OSError) -> bool:
    return exc.errno == errno.ENAMETOOLONG


def _safe(name: str) -> str:
    """A file name that every system takes, and that stays in its folder."""
    kept = "".join(char if char.isalnum() or char in "-_." else "-" for char in name)
    return kept.strip("-.")[:NAME_CHARS].strip("-.") or "result"
