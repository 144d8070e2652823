"""Files to be looked into."""

import io
import wave
from collections.abc import AsyncIterator
from importlib.resources import files

from attrs import field, frozen

MEDIA = files("kiebot.adapters.kie").joinpath("media")
MP3 = MEDIA.joinpath("stub.mp3").read_bytes()
MP4 = MEDIA.joinpath("stub.mp4").read_bytes()
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(100)


@frozen(kw_only=True)
class Bytes:
    """A file in memory."""

    content: bytes = field(repr=False)
    name: str = "file"
    mime: str | None = None
    size: int | None = None
    chunk: int = 100_000

    async def chunks(self) -> AsyncIterator[bytes]:
        for place in range(0, len(self.content), self.chunk):
            yield self.content[place : place + self.chunk]


def wav(seconds: float, rate: int = 8000) -> bytes:
    """Silence, by the standard library."""
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(bytes(2 * int(seconds * rate)))
    return target.getvalue()
