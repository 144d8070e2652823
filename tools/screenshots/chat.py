"""A chat as Telegram shows it, as SVG: bubbles, the buttons under them, and pictures."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from attrs import frozen

from tests.fakes.telegram_rules import dimensions
from tools.screenshots import hills, svg
from tools.screenshots.letters import width
from tools.screenshots.telegram import Bubble, Chat

FONT = "Arial, 'Liberation Sans', Helvetica, sans-serif"
CODE_FONT = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"

WIDE = 400.0
"""Pixels, as everything here: about a phone."""

MARGIN, HEAD, GAP = 10.0, 54.0, 10.0
TYPE, LINE = 15.0, 20.0
PAD_X, PAD_Y = 12.0, 8.0
BUBBLE_MIN, BUBBLE_MAX = 232.0, 356.0
BUTTON, BUTTON_GAP, BUTTON_TYPE = 36.0, 4.0, 13.5
PICTURE_WIDE = 320.0
CLOCK_TYPE, CLOCK = 11.0, 42.0
"""The time of a message, and the room that the last line leaves for it."""

GROUND, HEAD_GROUND = "#cfdde6", "#ffffff"
THEIRS, MINE = "#ffffff", "#e3fbd0"
INK, FAINT, ACCENT = "#15191e", "#8b99a5", "#3a8dd4"
BUTTON_GROUND = "#6f8798"

PIECE = re.compile(r"\n| +|[^ \n]+")
RECEIPT_WIDE, RECEIPT_HIGH = 150.0, 190.0


@frozen
class Span:
    """Letters that look alike."""

    text: str
    style: str = ""

    @property
    def wide(self) -> float:
        """In pixels."""
        return width(
            self.text, TYPE, is_bold=self.style == "bold", is_code=self.style in {"code", "pre"}
        )


Line = tuple[Span, ...]


def draw(chat: Chat, title: str) -> str:
    """A phone's screen with these messages, as SVG."""
    parts, high = _messages(chat)
    return svg.picture(WIDE, high, title, FONT, [*_phone(high), *parts])


def draw_beside(chats: Sequence[Chat], title: str) -> str:
    """Several screens, side by side."""
    space = 24.0
    drawn = [_messages(chat, name=f"p{number}") for number, chat in enumerate(chats)]
    high = max(each for _, each in drawn)
    parts = [
        svg.element(
            "g",
            *_phone(high),
            *screen,
            transform=f"translate({svg.number(place * (WIDE + space))} 0)",
        )
        for place, (screen, _) in enumerate(drawn)
    ]
    return svg.picture(len(chats) * (WIDE + space) - space, high, title, FONT, parts)


def _phone(high: float) -> Iterator[str]:
    yield svg.box(0, 0, WIDE, high, round_=16, fill=GROUND)
    yield svg.element(
        "path", d=f"M0 {HEAD:g}V16a16 16 0 0 1 16-16H{WIDE - 16:g}a16 16 0 0 1 16 16V{HEAD:g}z",
        fill=HEAD_GROUND,
    )  # fmt: skip
    yield svg.element("circle", cx=34, cy=HEAD / 2, r=18, fill=ACCENT)
    yield _word("k", 34 - width("k", 19, is_bold=True) / 2, HEAD / 2 + 6.5, 19, "#fff", bold=True)
    yield _word("kiebot", 62, HEAD / 2 - 2, 15.5, INK, bold=True)
    yield _word("bot", 62, HEAD / 2 + 15, 12.5, FAINT)


def _messages(chat: Chat, name: str = "p") -> tuple[list[str], float]:
    parts: list[str] = []
    y = HEAD + GAP
    for number, bubble in enumerate(chat):
        drawn, high = _message(bubble, y, f"{name}-{number}")
        parts += drawn
        y += high + GAP
    return parts, y + 2


def _message(bubble: Bubble, y: float, name: str) -> tuple[list[str], float]:
    """One message with its buttons, and how high it is."""
    wide = _bubble_wide(bubble)
    x = WIDE - MARGIN - wide if bubble.is_mine else MARGIN
    lines = wrapped(_spans(bubble), wide - 2 * PAD_X)
    inside: list[str] = []
    high = 0.0
    if bubble.file is not None:
        inside, high = _picture(bubble.file.content, x, y, wide, name, is_alone=not lines)
    if lines:
        for number, line in enumerate(lines):
            inside += _line(line, x + PAD_X, y + high + PAD_Y + LINE * number + TYPE - 1)
        has_room = _wide(lines[-1]) + 2 * PAD_X + CLOCK <= wide
        high += 2 * PAD_Y + LINE * (len(lines) + (0 if has_room else 0.7)) - 2
        clock = f"{bubble.at:%H:%M}"
        clock_at = x + wide - PAD_X + 2 - width(clock, CLOCK_TYPE)
        inside.append(_word(clock, clock_at, y + high - 7, CLOCK_TYPE, FAINT))
    ground = svg.box(x, y, wide, high, round_=14, fill=MINE if bubble.is_mine else THEIRS)
    below, more = _keyboard(bubble.keyboard, x, y + high + BUTTON_GAP, wide)
    return [ground, *inside, *below], high + (more + BUTTON_GAP if more else 0)


def _bubble_wide(bubble: Bubble) -> float:
    """As wide as its words, its buttons and the time want it, up to a phone's width."""
    if bubble.file is not None:
        return PICTURE_WIDE if bubble.text else RECEIPT_WIDE
    lines = wrapped(_spans(bubble), BUBBLE_MAX - 2 * PAD_X)
    wants = [_wide(line) for line in lines] + [_wide(line) + CLOCK for line in lines[-1:]]
    wide = max(wants) + 2 * PAD_X
    if bubble.keyboard:
        wide = max(wide, BUBBLE_MIN, *(_row_wide(row) for row in bubble.keyboard))
    return min(wide, BUBBLE_MAX)


def _picture(
    content: bytes, x: float, y: float, wide: float, name: str, *, is_alone: bool
) -> tuple[list[str], float]:
    """What is above the words: the stub's picture, or a receipt somebody took a picture of."""
    size = dimensions(content)
    assert size is not None
    if min(size) < 100:
        return list(_receipt(x, y, wide, is_alone=is_alone)), RECEIPT_HIGH
    high = wide * size[1] / size[0]
    corner = svg.box(x, y, wide, high + (0 if is_alone else 14), round_=14)
    clip = svg.element("clipPath", corner, id=f"{name}-round")
    drawn = svg.element(
        "g", *hills.traced(content, x, y, wide, name), clip_path=f"url(#{name}-round)"
    )
    return [svg.element("defs", clip), drawn], high


def _receipt(x: float, y: float, wide: float, *, is_alone: bool) -> Iterator[str]:
    """A bill on a table, in place of what the person took a picture of."""
    yield svg.box(x, y, wide, RECEIPT_HIGH, round_=14, fill="#a9b7c1")
    if not is_alone:
        yield svg.box(x, y + RECEIPT_HIGH - 14, wide, 14, fill="#a9b7c1")
    left, top, paper = x + wide / 2 - 42, y + 18, 84.0
    teeth = "".join("l6 6l6 -6" for _ in range(7))
    yield svg.element(
        "path", d=f"M{left:g} {top:g}h{paper:g}v148{teeth.replace('l6 ', 'l-6 ')}z", fill="#ffffff"
    )
    yield svg.element("circle", cx=left + 42, cy=top + 26, r=13, fill="#61b36a")
    yield svg.element(
        "path", d=f"M{left + 36:g} {top + 26:g}l5 5l8 -9", fill="none", stroke="#fff",
        stroke_width=2.6, stroke_linecap="round", stroke_linejoin="round",
    )  # fmt: skip
    for row, share in enumerate((1.0, 0.7, 0.85, 0.55)):
        yield svg.box(left + 12, top + 54 + 15 * row, 60 * share, 5, round_=2.5, fill="#d3dae0")
    yield svg.box(left + 12, top + 122, 60, 8, round_=4, fill="#8b99a5")


def _keyboard(
    keyboard: Iterable[Sequence[dict[str, object]]], x: float, y: float, wide: float
) -> tuple[list[str], float]:
    parts: list[str] = []
    top = y
    for row in keyboard:
        each = (wide - BUTTON_GAP * (len(row) - 1)) / len(row)
        for place, button in enumerate(row):
            left = x + place * (each + BUTTON_GAP)
            parts.append(svg.box(left, top, each, BUTTON, round_=8, fill=BUTTON_GROUND))
            label = _fitting(str(button["text"]), each - 12)
            space = _label_wide(label)
            parts.append(
                _word(label, left + (each - space) / 2, top + BUTTON / 2 + 4.8, BUTTON_TYPE, "#fff",
                      bold=True)
            )  # fmt: skip
        top += BUTTON + BUTTON_GAP
    return parts, max(top - y - BUTTON_GAP, 0)


def _fitting(label: str, most: float) -> str:
    """A label, cut as Telegram cuts it where there is no room."""
    if _label_wide(label) <= most:
        return label
    while label and _label_wide(label + "…") > most:
        label = label[:-1]
    return label.rstrip() + "…"


def _label_wide(label: str) -> float:
    return width(label, BUTTON_TYPE, is_bold=True)


def _row_wide(row: Sequence[dict[str, object]]) -> float:
    widest = max(_label_wide(str(button["text"])) for button in row)
    return len(row) * (widest + 20) + BUTTON_GAP * (len(row) - 1)


def _word(text: str, x: float, y: float, size: float, colour: str, *, bold: bool = False) -> str:
    weight: dict[str, str | float] = {"font_weight": 600} if bold else {}
    return svg.words(
        text, x, y, width(text, size, is_bold=bold), font_size=size, fill=colour, **weight
    )


# --- Words


def _spans(bubble: Bubble) -> Iterator[Span]:
    """The text in parts of one look each; entities are counted in UTF-16 units."""
    styles: list[str] = []
    for letter in bubble.text:
        styles += [""] * (2 if ord(letter) > 0xFFFF else 1)
    for entity in bubble.styles:
        first, last = entity["offset"], entity["offset"] + entity["length"]
        styles[first:last] = [entity["type"]] * (last - first)
    place = 0
    looks = []
    for letter in bubble.text:
        looks.append((letter, styles[place]))
        place += 2 if ord(letter) > 0xFFFF else 1
    for style, letters in groupby(looks, key=lambda look: look[1]):
        yield Span("".join(letter for letter, _ in letters), style)


def wrapped(spans: Iterable[Span], most: float) -> list[Line]:
    """Lines no wider than that, broken at spaces; a wider word stands alone."""
    lines: list[list[Span]] = []
    now: list[Span] = []
    for span in spans:
        for piece in PIECE.findall(span.text):
            if piece == "\n":
                lines.append(now)
                now = []
                continue
            part = Span(piece, span.style)
            if now and not piece.isspace() and _wide(now) + part.wide > most:
                lines.append(now)
                now = []
            if now or not piece.isspace():
                now.append(part)
    if now:
        lines.append(now)
    return [_joined(line) for line in lines]


def _joined(line: Sequence[Span]) -> Line:
    """Neighbours of one look as one, without the space at the end."""
    kept = list(line)
    while kept and kept[-1].text.isspace():
        kept.pop()
    return tuple(
        Span("".join(span.text for span in alike), style)
        for style, alike in groupby(kept, key=lambda span: span.style)
    )


def _wide(line: Iterable[Span]) -> float:
    return sum(span.wide for span in line)


def _line(line: Line, x: float, y: float) -> Iterator[str]:
    for span in line:
        look: dict[str, str | float] = {"fill": INK}
        match span.style:
            case "bold":
                look["font_weight"] = 600
            case "italic":
                look["font_style"] = "italic"
            case "code" | "pre":
                look |= {"font_family": CODE_FONT, "fill": "#a2385f"}
            case "":
                pass
            case _:
                look["fill"] = ACCENT
        text, start = span.text, x
        if text.strip():
            lead = text[: len(text) - len(text.lstrip(" "))]
            start += width(lead, TYPE)
            shown = Span(text.strip(" "), span.style)
            yield svg.words(shown.text, start, y, shown.wide, font_size=TYPE, **look)
        x += span.wide
