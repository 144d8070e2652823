"""What every reader of files promises, the live one and that of the demo."""

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from kiebot.adapters.media.live import LiveMedia
from kiebot.adapters.media.stub import StubMedia
from kiebot.core.errors import MediaError, MediaTrouble
from kiebot.core.media import Measured
from kiebot.ports.media import Media
from tests.fakes.media import MP4, PNG, Bytes, wav
from tests.fakes.site import Names, answer, site


@pytest.fixture(params=["live", "stub"])
async def media(request: pytest.FixtureRequest) -> AsyncIterator[Media]:
    if request.param == "stub":
        yield StubMedia(max_bytes=1_000_000)
        return
    live = LiveMedia(max_bytes=1_000_000, resolver=Names(["127.0.0.1"]))
    yield live
    await live.close()


async def test_a_file_is_known_by_its_content(media: Media) -> None:
    file = Bytes(content=PNG, name="cat.jpg", mime="image/jpeg")

    async with media.spool(file) as spooled:
        assert (spooled.name, spooled.mime, spooled.size) == ("cat.jpg", "image/png", len(PNG))
        assert spooled.measured == Measured(mime="image/png", size=len(PNG))


@pytest.mark.parametrize("seconds", ["1", "12.5"])
async def test_a_sound_is_measured(media: Media, seconds: str) -> None:
    async with media.spool(Bytes(content=wav(float(seconds))), timed=True) as spooled:
        assert spooled.measured.seconds == Decimal(seconds)


async def test_a_spooled_file_is_read_as_often_as_wanted(media: Media) -> None:
    async with media.spool(Bytes(content=MP4), timed=True) as spooled:
        for _ in range(2):
            assert b"".join([chunk async for chunk in spooled.chunks()]) == MP4


async def test_an_empty_file_is_one(media: Media) -> None:
    async with media.spool(Bytes(content=b"")) as spooled:
        assert spooled.measured == Measured(mime="application/octet-stream", size=0)
        assert [chunk async for chunk in spooled.chunks()] == []


@pytest.mark.parametrize("max_bytes", [None, 500_000])
async def test_there_is_a_limit(media: Media, max_bytes: int | None) -> None:
    with pytest.raises(MediaError) as caught:
        async with media.spool(Bytes(content=bytes(1_000_001)), max_bytes=max_bytes):
            pass

    assert caught.value.trouble is MediaTrouble.TOO_LARGE


async def test_what_breaks_off_is_told_as_it_is(media: Media) -> None:
    class Broken(Bytes):
        async def chunks(self) -> AsyncIterator[bytes]:
            yield b"x"
            raise MediaError("broken", "it breaks off")

    with pytest.raises(MediaError, match="it breaks off"):
        async with media.spool(Broken(content=b"")):
            pass


@pytest.mark.parametrize("url", ["ftp://example.org/cat.png", "file:///etc/passwd", "cat.png", ""])
async def test_only_addresses_are_read(media: Media, url: str) -> None:
    with pytest.raises(MediaError):
        async with media.fetch(url):
            pass


async def test_nobody_reads_this_machine(media: Media) -> None:
    """The live one refuses, the demo never asks."""
    troubles = []
    async with site({"/secret": answer(body=PNG)}) as here:
        try:
            async with media.fetch(here.url("/secret", "private.example")) as file:
                assert [chunk async for chunk in file.chunks()] == []
        except MediaError as error:
            troubles.append(error.trouble)

        assert here.asked == []
    assert troubles == ([MediaTrouble.NOT_PUBLIC] if media.reads_addresses else [])
