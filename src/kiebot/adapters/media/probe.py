"""
How long a sound or clip lasts: a program of its own, for one file that may be hostile.

    python -m kiebot.adapters.media.probe MIME MEMORY_BYTES CPU_SECONDS < FILE

It prints the seconds, to the millisecond and rounded up, or nothing where they cannot be told. It
is run apart from the shop (`measure`), under limits that it sets itself before it looks at the
file: memory, processor time, and no further file or connection can be opened.

What is stated in a header is not believed: every packet is read, and the later of the two ends
counts. Where a format states no duration at all (MP3, raw AAC), what libraries call one is a guess
from the bit rate, so only the packets count. In a WAV file the size of its sound is only stated,
so everything up to the end of the file counts.
"""

import sys
from contextlib import suppress
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction
from typing import BinaryIO

import av
import av.error
import av.subtitles.stream  # av would load it when it opens a file, and then no file can be opened
from attrs import frozen

try:
    import resource
except ImportError:  # a system without limits: the deadline of whoever runs this must do
    resource = None  # type: ignore[assignment]


@frozen(kw_only=True)
class Format:
    """How a type is read: the demuxer, whether its header states a duration, and its options."""

    name: str
    states_duration: bool = True
    options: tuple[tuple[str, str], ...] = ()


FORMATS = {
    "audio/mpeg": Format(name="mp3", states_duration=False),
    "audio/aac": Format(name="aac", states_duration=False),
    "audio/mp4": Format(name="mov"),
    "audio/ogg": Format(name="ogg"),
    "audio/wav": Format(name="wav", options=(("ignore_length", "1"),)),
    "audio/flac": Format(name="flac"),
    "audio/x-ms-wma": Format(name="asf"),
    "video/mp4": Format(name="mov"),
    "video/quicktime": Format(name="mov"),
    "video/webm": Format(name="matroska"),
    "video/x-matroska": Format(name="matroska"),
    "video/x-msvideo": Format(name="avi"),
}
"""The types that are measured. Playlists and the like are none of them: they name other files."""

PADDING = Fraction(1, 10)
"""
Seconds that a header may leave out: encoders fill up the last packets with silence, and say so.

Source: LAME's tag counts 576 to 2,880 samples of delay and padding; AAC encoders add about as many.
"""

_MILLISECOND = Decimal("0.001")


def seconds(file: BinaryIO, mime: str) -> Decimal | None:
    """How long a file lasts, None where that cannot be told."""
    form = FORMATS.get(mime)
    if form is None:
        return None
    try:
        with av.open(file, "r", format=form.name, options=dict(form.options)) as container:
            lasts = _packets(container)
            stated = Fraction(container.duration or 0, av.time_base)
    except (av.error.FFmpegError, OSError, ValueError, MemoryError):
        return None
    if lasts - PADDING <= stated <= lasts or (form.states_duration and stated > lasts):
        lasts = stated
    if lasts <= 0:
        return None
    exact = Decimal(lasts.numerator) / Decimal(lasts.denominator)
    return exact.quantize(_MILLISECOND, rounding=ROUND_CEILING)


def _packets(container: av.container.InputContainer) -> Fraction:
    """From the first to the last moment of any sound or moving picture."""
    streams = [
        stream
        for stream in (*container.streams.audio, *container.streams.video)
        # The cover of a song is a stream of one picture.
        if not stream.disposition & av.stream.Disposition.attached_pic
    ]
    if not streams:
        return Fraction(0)
    # Whole numbers of each stream's own clock: there can be a million packets.
    firsts: dict[int, int] = {}
    lasts: dict[int, int] = {}
    for packet in container.demux(streams):
        begins = packet.pts
        if begins is None:
            continue
        number = packet.stream_index
        ends = begins + (packet.duration or 0)
        if number not in firsts:
            firsts[number], lasts[number] = begins, ends
        elif ends > lasts[number]:
            lasts[number] = ends
        elif begins < firsts[number]:
            firsts[number] = begins
    clocks = {stream.index: stream.time_base or Fraction(0) for stream in streams}
    begin = min((at * clocks[number] for number, at in firsts.items()), default=Fraction(0))
    end = max((at * clocks[number] for number, at in lasts.items()), default=Fraction(0))
    return end - begin


def main() -> None:
    """Measure standard input."""
    mime, memory_bytes, cpu_s = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    _limit(memory_bytes, cpu_s)
    av.logging.set_level(None)
    lasts = seconds(sys.stdin.buffer, mime)
    if lasts is not None:
        sys.stdout.write(str(lasts))


def _limit(memory_bytes: int, cpu_s: int) -> None:
    if resource is None:
        return
    for what, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 3),  # the three standard ones: nothing more is opened
    ):
        # Not every system has every limit.
        with suppress(OSError, ValueError):
            resource.setrlimit(what, (most, most))


if __name__ == "__main__":
    main()
