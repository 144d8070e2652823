"""How long a file lasts is told by what is in it, and nothing in it can hurt whoever asks."""

import asyncio
import io
import os
import struct
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import av
import pytest
from attrs import evolve
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream

from kiebot.adapters.media.measure import ProbeLimits, Spooler
from kiebot.adapters.media.probe import FORMATS
from kiebot.adapters.media.stub import SECONDS, StubMedia
from kiebot.core.errors import MediaError, MediaTrouble
from kiebot.core.media import Measured
from tests.fakes.media import MP3, MP4, PNG, Bytes, wav


def with_data_size(content: bytes, size: int) -> bytes:
    """A WAV file that states another size of its sound."""
    place = content.index(b"data") + 4
    return content[:place] + struct.pack("<I", size) + content[place + 4 :]


def with_duration(content: bytes, box: bytes, share: float) -> bytes:
    """An MP4 file of which every box of a kind states a share of its duration."""
    patched = bytearray(content)
    # After the name: version and flags, two dates, (the track or) the time scale, the duration.
    place = content.find(box)
    while place >= 0:
        at = place + 4 + 4 + 4 + 4 + (8 if box == b"tkhd" else 4)
        (duration,) = struct.unpack_from(">I", patched, at)
        struct.pack_into(">I", patched, at, int(duration * share))
        place = content.find(box, place + 4)
    return bytes(patched)


def sound(container: str, codec: str) -> bytes:
    """Three seconds of silence."""
    target = io.BytesIO()
    with av.open(target, "w", format=container) as file:
        stream = file.add_stream(codec, rate=48_000, layout="stereo")
        assert isinstance(stream, AudioStream)
        stream.bit_rate = 128_000
        resampler = AudioResampler(
            format=stream.format, layout="stereo", rate=48_000, frame_size=stream.frame_size or 1024
        )
        for number in range(3 * 48_000 // 960):
            frame = AudioFrame(format="s16", layout="stereo", samples=960)
            frame.planes[0].update(bytes(frame.planes[0].buffer_size))
            frame.sample_rate, frame.pts = 48_000, number * 960
            for part in resampler.resample(frame):
                file.mux(stream.encode(part))
        for part in resampler.resample(None):
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))
    return target.getvalue()


async def measure(content: bytes, limits: ProbeLimits | None = None) -> Measured:
    async with Spooler(limits=limits).spool(Bytes(content=content), timed=True) as spooled:
        return spooled.measured


@pytest.mark.parametrize("seconds", ["0.5", "1", "7.25", "61"])
async def test_a_wav_lasts_as_long_as_its_samples(seconds: str) -> None:
    content = wav(float(seconds))

    assert await measure(content) == Measured(
        mime="audio/wav", size=len(content), seconds=Decimal(seconds)
    )


@pytest.mark.parametrize("stated", [0, 2, 16_000, 0x7FFF_FFFF, 0xFFFF_FFFF])
async def test_what_a_wav_states_is_not_believed(stated: int) -> None:
    measured = await measure(with_data_size(wav(10), stated))

    assert measured.seconds is not None
    assert measured.seconds >= 10


async def test_a_song_lasts_as_long_as_it_is_heard() -> None:
    """Two seconds and some silence that the encoder adds, and says so."""
    assert await measure(MP3) == Measured(
        mime="audio/mpeg", size=len(MP3), seconds=Decimal("2.000")
    )


async def test_a_song_is_counted_and_not_guessed() -> None:
    """What a tag states of a song that goes on and on is not believed."""
    measured = await measure(MP3 + 29 * MP3[MP3.index(b"\xff\xfb", 1000) :])

    assert measured.seconds is not None
    assert measured.seconds > 50


async def test_a_clip_is_measured() -> None:
    assert await measure(MP4) == Measured(mime="video/mp4", size=len(MP4), seconds=Decimal(2))


@pytest.mark.parametrize("box", [b"mvhd", b"mdhd", b"tkhd"])
async def test_a_clip_that_states_less_is_not_believed(box: bytes) -> None:
    measured = await measure(with_duration(MP4, box, 0.1))

    assert measured.seconds is not None
    assert Decimal("1.9") <= measured.seconds <= Decimal("2.1")


@pytest.mark.parametrize(
    ("container", "codec", "mime"),
    [
        ("mp3", "libmp3lame", "audio/mpeg"),
        ("adts", "aac", "audio/aac"),
        ("ipod", "aac", "audio/mp4"),
        ("mp4", "aac", "video/mp4"),
        ("mov", "aac", "video/quicktime"),
        ("ogg", "libopus", "audio/ogg"),
        ("wav", "pcm_s16le", "audio/wav"),
        ("flac", "flac", "audio/flac"),
        ("asf", "wmav2", "audio/x-ms-wma"),
        ("webm", "libopus", "video/webm"),
        ("matroska", "aac", "video/x-matroska"),
        ("avi", "pcm_s16le", "video/x-msvideo"),
    ],
)
async def test_every_format_is_measured(container: str, codec: str, mime: str) -> None:
    measured = await measure(sound(container, codec))

    assert measured.mime == mime
    assert measured.seconds is not None
    assert Decimal("2.9") < measured.seconds < Decimal("3.2")


def test_every_format_is_tried() -> None:
    (mark,) = test_every_format_is_measured.pytestmark  # type: ignore[attr-defined]

    assert {mime for _, _, mime in mark.args[1]} == set(FORMATS)


async def test_a_sound_that_states_more_is_taken_at_its_word() -> None:
    """Who bills by the header bills that, too."""
    content = bytearray(sound("flac", "flac"))
    # STREAMINFO ends in 36 bits of samples and the checksum: ten times as many are stated.
    (samples,) = struct.unpack_from(">I", content, 22)
    struct.pack_into(">I", content, 22, samples * 10)

    measured = await measure(bytes(content))

    assert measured.seconds is not None
    assert measured.seconds >= 30


@pytest.mark.parametrize(
    "content",
    [
        b"RIFF\x24\0\0\0WAVEfmt ",
        b"RIFF\x24\0\0\0WAVE" + os.urandom(5000),
        b"\0\0\0\x18ftypisom" + bytes(5000),
        b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm" + os.urandom(5000),
        b"OggS\0\x02" + bytes(300),
        b"fLaC\0\0\0\x22" + bytes(34),
        b"ID3\x04\0\0\x7f\x7f\x7f\x7f",
        MP4[:1000],
    ],
)
async def test_what_cannot_be_read_has_no_length(content: bytes) -> None:
    measured = await measure(content)

    assert (measured.size, measured.seconds) == (len(content), None)


@pytest.mark.parametrize(
    "content",
    [
        PNG,
        b"GIF89a" + bytes(50),
        b"%PDF-1.7",
        # Playlists name other files, which nobody asked for.
        b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
    ],
)
async def test_what_does_not_last_is_not_measured(content: bytes) -> None:
    assert (await measure(content)).seconds is None


async def test_what_nobody_knows_is_called_so() -> None:
    assert await measure(b"\0\1\2\3") == Measured(mime="application/octet-stream", size=4)


async def test_only_what_is_to_be_timed_is() -> None:
    async with Spooler().spool(Bytes(content=MP4)) as spooled:
        assert spooled.measured == Measured(mime="video/mp4", size=len(MP4))


async def test_a_spooled_file_is_the_file() -> None:
    """It can be handed on more than once: an upload may be tried again."""
    async with Spooler().spool(Bytes(content=MP4, name="a.mp4"), timed=True) as spooled:
        one = b"".join([chunk async for chunk in spooled.chunks()])
        two = b"".join([chunk async for chunk in spooled.chunks()])

        assert (spooled.name, spooled.mime, spooled.size) == ("a.mp4", "video/mp4", len(MP4))
    assert one == two == MP4


async def test_nothing_is_left_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even while it is there: a killed process leaves nothing behind."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    async with Spooler().spool(Bytes(content=MP4), timed=True):
        assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240 - a folder in memory


@pytest.mark.parametrize("size", [None, 1001])
async def test_a_file_that_is_too_large_is_not_taken(size: int | None) -> None:
    file = Bytes(content=bytes(1001), size=size, chunk=10)

    with pytest.raises(MediaError) as caught:
        async with Spooler(max_bytes=5000).spool(file, max_bytes=1000):
            pass

    assert caught.value.trouble is MediaTrouble.TOO_LARGE


async def test_a_limit_cannot_be_raised() -> None:
    with pytest.raises(MediaError):
        async with Spooler(max_bytes=1000).spool(Bytes(content=bytes(1001)), max_bytes=5000):
            pass


@pytest.mark.parametrize(
    "limits",
    [
        pytest.param(ProbeLimits(memory_bytes=48 * 1024 * 1024), id="memory"),
        pytest.param(ProbeLimits(deadline_s=0.01), id="deadline"),
    ],
)
async def test_a_file_that_asks_too_much_has_no_length(limits: ProbeLimits) -> None:
    assert (await measure(MP4, limits)).seconds is None


async def test_who_waits_no_longer_stops_the_measuring() -> None:
    """Somebody who went away leaves no program behind."""
    spooler = Spooler()

    async def look() -> None:
        async with spooler.spool(Bytes(content=wav(60)), timed=True):
            pass

    for _ in range(4):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await look()

    async with spooler.spool(Bytes(content=MP4), timed=True) as spooled:
        assert spooled.measured.seconds == 2


async def test_many_are_measured_side_by_side() -> None:
    spooler = Spooler()

    async def seconds(content: bytes) -> Decimal | None:
        async with spooler.spool(Bytes(content=content), timed=True) as spooled:
            return spooled.measured.seconds

    found = await asyncio.gather(*(seconds(wav(n)) for n in range(1, 7)))

    assert found == [Decimal(n) for n in range(1, 7)]


def test_the_probe_opens_nothing_and_gets_no_secret() -> None:
    """Even code that took it over could reach no file and no machine."""
    script = (
        "import socket, sys\n"
        "from kiebot.adapters.media import probe\n"
        "probe._limit(1 << 30, 10)\n"
        "for act in (lambda: open('/etc/hostname'), lambda: socket.socket()):\n"
        "    try:\n"
        "        act()\n"
        "    except OSError as exc:\n"
        "        print(exc.errno)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == ["24", "24"]  # EMFILE: no more files can be opened


# The demo


async def test_a_demo_reads_no_address() -> None:
    media = StubMedia()

    async with (
        media.fetch("https://files.example.org/a%20b.mp3") as file,
        media.spool(file, timed=True) as spooled,
    ):
        assert (file.name, file.mime, file.size) == ("a b.mp3", None, None)
        assert spooled.measured == Measured(mime=None, size=0, seconds=SECONDS)


async def test_a_demo_measures_what_it_can() -> None:
    media = StubMedia()
    broken = evolve(Bytes(content=MP4[:1000]), name="broken")

    async with media.spool(Bytes(content=wav(7)), timed=True) as spooled:
        assert spooled.measured.seconds == 7
    async with media.spool(broken, timed=True) as spooled:
        assert spooled.measured == Measured(mime="video/mp4", size=1000, seconds=SECONDS)
