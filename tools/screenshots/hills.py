"""
The stub's picture as SVG: its sky, sun and hills, traced from the bytes that were sent.

The bytes themselves differ with the library that packs them; what they show does not.
"""

import struct
import zlib
from collections import Counter
from collections.abc import Iterator

from attrs import frozen

from tools.screenshots import svg

SUN = (255, 244, 214)
"""Source: `kiebot.adapters.kie.stub.picture`."""

STEPS = 16
"""How many parts the sky's colours and the ridges of the hills are traced in."""

Colour = tuple[int, int, int]


@frozen
class Pixels:
    """A PNG of three bytes a pixel, each row as it stands (filter 0)."""

    wide: int
    high: int
    rows: tuple[bytes, ...]

    @classmethod
    def of(cls, png: bytes) -> "Pixels":
        """Unpacked."""
        packed, place = b"", 8
        wide, high = struct.unpack(">II", png[16:24])
        while place < len(png):
            (length,) = struct.unpack(">I", png[place : place + 4])
            if png[place + 4 : place + 8] == b"IDAT":
                packed += png[place + 8 : place + 8 + length]
            place += 12 + length
        raw, step = zlib.decompress(packed), 1 + 3 * wide
        rows = tuple(raw[step * y + 1 : step * (y + 1)] for y in range(high))
        return cls(wide, high, rows)

    def at(self, x: int, y: int) -> Colour:
        """One pixel."""
        red, green, blue = self.rows[y][3 * x : 3 * x + 3]
        return red, green, blue


def traced(png: bytes, x: float, y: float, wide: float, name: str) -> Iterator[str]:
    """The picture, so wide, with its corner there; `name` is no other picture's in the file."""
    pixels = Pixels.of(png)
    scale = wide / pixels.wide
    high = pixels.high * scale
    edge = pixels.wide - 1
    columns = [round(edge * part / STEPS) for part in range(STEPS + 1)]
    near = _hill(pixels, columns, dict.fromkeys(columns, pixels.high))
    far = _hill(pixels, columns, near[1])
    # The sky is read where the sun is not.
    has_sun = any(pixels.at(0, row) == SUN for row in range(pixels.high))
    beside = edge if has_sun else 0
    last = far[1][beside]
    stops = [
        svg.element("stop", offset=row / pixels.high, stop_color=_hex(pixels.at(beside, row)))
        for row in (round((last - 1) * part / STEPS) for part in range(STEPS + 1))
    ]
    yield svg.element(
        "defs",
        svg.element("linearGradient", *stops, id=name, x1="0", y1="0", x2="0", y2="1"),
        svg.element("clipPath", svg.box(x, y, wide, high), id=f"{name}-edge"),
    )
    yield svg.box(x, y, wide, high, fill=f"url(#{name})")
    suns = [
        (column, row)
        for row in range(0, pixels.high, 2)
        for column in range(0, pixels.wide, 2)
        if pixels.at(column, row) == SUN
    ]
    left, right = min(column for column, _ in suns), max(column for column, _ in suns)
    radius = scale * (right - left) / 2
    top = min(row for _, row in suns)
    yield svg.element(
        "circle", cx=x + scale * (left + right) / 2, cy=y + scale * top + radius, r=radius,
        fill=_hex(SUN), clip_path=f"url(#{name}-edge)",
    )  # fmt: skip
    for colour, ridge in (far, near):
        points = [(column * wide / edge, ridge[column] * scale) for column in columns]
        path = "L".join(f"{svg.number(x + px)} {svg.number(y + py)}" for px, py in points)
        bottom = svg.number(y + high)
        shape = f"M{path}L{svg.number(x + wide)} {bottom}L{svg.number(x)} {bottom}z"
        yield svg.element("path", d=shape, fill=_hex(colour))


def _hill(
    pixels: Pixels, columns: list[int], below: dict[int, int]
) -> tuple[Colour, dict[int, int]]:
    """The hill that begins right above `below`: its colour, and where it ends in each column."""
    seen = Counter(pixels.at(column, below[column] - 1) for column in columns)
    colour = seen.most_common(1)[0][0]
    ridge = {}
    for column in columns:
        row = below[column]
        while row > 0 and pixels.at(column, row - 1) == colour:
            row -= 1
        ridge[column] = row
    return colour, ridge


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
