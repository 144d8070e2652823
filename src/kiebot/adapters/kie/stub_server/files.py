"""
The stub server's files: what was uploaded, and what tasks made.

Uploads are on disk, in a folder that goes with the server. What a task made is drawn when it is
asked for, with whatever is wrong with it.
"""

import mimetypes
import secrets
from collections.abc import AsyncIterator
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from attrs import frozen

from kiebot.adapters.kie.stub import CHUNK_BYTES, PICTURE_PX, picture
from kiebot.adapters.kie.stub_server.answers import PAGE
from kiebot.adapters.kie.stub_server.faults import FaultKind
from kiebot.adapters.kie.stub_server.tasks import StubTask
from kiebot.core.media import SNIFF_BYTES, sniff

HUGE_BYTES = 500 * 1024 * 1024

PICTURES = ("png", "jpeg")
"""What is named a JPEG is a PNG all the same: only content counts."""

MIMES = {**dict.fromkeys(PICTURES, "image/png"), "mp4": "video/mp4", "mp3": "audio/mpeg"}
"""Of a file's extension."""


@frozen(kw_only=True)
class Upload:
    """A file that was handed in. `place` is its folder and name, as the client chose them."""

    place: str
    path: Path
    size: int
    mime: str


class Uploads:
    """Files by their place; the same place overwrites, as at kie.ai."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, Upload] = {}

    def __len__(self) -> int:
        return len(self._files)

    def get(self, place: str) -> Upload | None:
        return self._files.get(place)

    async def take(self, chunks: AsyncIterator[bytes]) -> tuple[Path, int, bytes]:
        """Write a file as it comes; its path, size and first bytes."""
        # Never named after what the client says: that could lead out of the folder.
        path = self._folder / secrets.token_hex(16)
        size = 0
        head = b""
        with path.open("wb") as file:
            async for chunk in chunks:
                file.write(chunk)
                size += len(chunk)
                if len(head) < SNIFF_BYTES:
                    head += chunk[: SNIFF_BYTES - len(head)]
        return path, size, head

    def keep(self, place: str, path: Path, size: int, head: bytes) -> Upload:
        """Give a file its place."""
        guessed = mimetypes.guess_type(place)[0]
        mime = sniff(head) or guessed or "application/octet-stream"
        upload = Upload(place=place, path=path, size=size, mime=mime)
        before = self._files.get(place)
        self._files[place] = upload
        if before is not None:
            before.path.unlink(missing_ok=True)
        return upload


@lru_cache(maxsize=64)
def media(seed: str, extension: str) -> bytes:
    """The content of a file that a task made."""
    if extension in {"mp4", "mp3"}:
        return files("kiebot.adapters.kie").joinpath("media", f"stub.{extension}").read_bytes()
    return picture(seed, PICTURE_PX, PICTURE_PX)


def made(task: StubTask, number: int, extension: str) -> bytes:
    """The content of one of a task's files."""
    if task.has(FaultKind.WRONG_KIND):
        return PAGE.format(status=200).encode()
    return media(f"{task.seed}{number}", extension)


async def huge(head: bytes) -> AsyncIterator[bytes]:
    """500 MB that begin like a real file."""
    yield head
    left = HUGE_BYTES - len(head)
    zeros = bytes(CHUNK_BYTES)
    while left > 0:
        yield zeros[:left]
        left -= min(left, CHUNK_BYTES)
