"""
The terminal: `kiebot chat` at a real pseudo-terminal, and its screen as SVG.

What differs from run to run is the day, the time and the ids: these become the same ones, before
anything is drawn.
"""

import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from attrs import frozen

from kiebot.core.language import Language
from tests.fakes.terminal import OPTION, Pty
from tools.screenshots import svg

COLUMNS = 80
ROWS = 140
"""So tall that nothing of a session leaves the screen."""

PROMPTS = {Language.EN: "a red cat on the moon", Language.RU: "рыжий кот на луне"}
NAMES = {Language.EN: "Anna", Language.RU: "Анна"}

SAME = (
    (re.compile(r"\d{4}-\d\d-\d\d-(\S+)-[0-9a-z]{12}\."), r"2026-01-01-\1-7q2k0v5x9mbd."),
    (re.compile(r"\b[A-Z][a-z]{2} \d{1,2}, \d\d:\d\d"), "Jan 1, 12:00"),
    (re.compile(r"\b\d\d\.\d\d \d\d:\d\d"), "01.01 12:00"),
)
"""What is never the same twice, and what stands in its place."""

FONT = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace"
SIZE, CELL, LINE = 14.0, 8.43, 19.0
"""Pixels: the type, and how far apart letters and lines are."""

MARGIN, BAR = 18.0, 34.0
COLOURS = {
    "default": "#d5dae3",
    "cyan": "#6fd3e3",
    "green": "#93d68a",
    "brown": "#e8c26a",
    "brightblack": "#7f8a9c",
}
BOLD, GROUND, BAR_GROUND, MARK = "#ffffff", "#171b22", "#232934", "#8f9bb0"

GAP = re.compile(r" {2,}")


@frozen
class Cell:
    """One sign on the screen; the second half of a wide one is empty."""

    text: str
    colour: str = "default"
    is_bold: bool = False


Row = tuple[Cell, ...]


@frozen(kw_only=True)
class Shot:
    """Rows of a screen; the column of the cursor in the last one."""

    rows: tuple[Row, ...]
    cursor: int

    @property
    def text(self) -> str:
        """All that can be read on it."""
        return "\n".join("".join(cell.text for cell in row).rstrip() for row in self.rows)


class Session:
    """One run of `kiebot chat`, from its first screen on."""

    def __init__(self, folder: Path, language: Language) -> None:
        command = [sys.executable, "-m", "kiebot", "chat", "--lang", language]
        home = {"HOME": str(folder), "PATH": os.defpath, "TZ": "UTC", "LANG": "C.UTF-8"}
        self._pty = Pty(
            command, {**home, "LOGNAME": NAMES[language]}, folder, rows=ROWS, columns=COLUMNS
        )
        self._top = 0
        self._pty.is_asked()

    def shot(self) -> Shot:
        """What came with the last answer, that included."""
        return self._rows(self._top)

    def says(self, answer: str, *signs: str) -> Shot:
        """Type an answer, and wait until the screen that it brings has these and asks again."""
        self._top = self._pty.screen.cursor.y
        # The line is read back first: what is typed while the last screen is drawn is not seen.
        self._pty.keys(answer)
        self._pty.until(lambda _: self._rows(self._top).text == f"› {answer}", answer)
        self._pty.keys("\r")

        def is_there(_: str) -> bool:
            now = self._rows(self._top)
            asks = now.text.rsplit("\n", 1)[-1].startswith("› ")
            return asks and len(now.rows) > 1 and all(sign in now.text for sign in signs)

        self._pty.until(is_there, signs)
        return self.shot()

    def chooses(self, label: str, *signs: str) -> Shot:
        """Type the number of an option."""
        options = OPTION.finditer(self.shot().text)
        (number,) = [found["key"] for found in options if label in found["label"]]
        return self.says(number, *signs)

    def ends(self) -> None:
        """Ctrl-D."""
        self._pty.ends()

    def _rows(self, top: int) -> Shot:
        screen = self._pty.screen
        rows = [
            same(_cells(screen.buffer[y], screen.columns)) for y in range(top, screen.cursor.y + 1)
        ]
        return Shot(rows=tuple(rows), cursor=screen.cursor.x)


def take(language: Language) -> dict[str, Shot]:
    """
    A session from the menu to the wallet: each screen by its name.

    `readme` is one picture bought, from the question to the file.
    """
    with tempfile.TemporaryDirectory(prefix="kiebot-shots-") as name:
        session = Session(Path(name), language)
        menu = session.shot()
        session.chooses("🎨", "🖼")
        category = session.chooses("🖼", "Flux 2 Pro (text)")
        model = session.chooses("Flux 2 Pro (text)", "/1")
        confirm = session.says(PROMPTS[language], "✅", "970 ₽")
        result = session.chooses("✅", "✓", "🔁")
        history = session.says("/history", "✅")
        wallet = session.says("/balance", "−30 ₽")
        session.ends()
    bought = (*model.rows[:-1], *confirm.rows[:-1], *result.rows)
    return {
        "readme": Shot(rows=bought, cursor=result.cursor),
        "menu": menu,
        "category": category,
        "model": model,
        "confirm": confirm,
        "result": result,
        "history": history,
        "wallet": wallet,
    }


def same(row: Row) -> Row:
    """A row with the same day, time and ids as in every other run."""
    for pattern, instead in SAME:
        text = "".join(cell.text or "\0" for cell in row)
        found = pattern.search(text)
        if found:
            first = row[found.start()]
            cells = [Cell(letter, first.colour, first.is_bold) for letter in found.expand(instead)]
            row = (*row[: found.start()], *cells, *row[found.end() :])
    return row


def _cells(line: Mapping[int, object], columns: int) -> Row:
    cells = []
    for x in range(columns):
        char: object = line[x]
        cells.append(Cell(char.data, char.fg, char.bold))  # type: ignore[attr-defined]
    while cells and cells[-1].text == " ":
        cells.pop()
    return tuple(cells)


def draw(shot: Shot, title: str) -> str:
    """A window with these rows in it, as SVG."""
    wide = 2 * MARGIN + COLUMNS * CELL
    high = BAR + 2 * MARGIN + len(shot.rows) * LINE - 6
    return svg.picture(wide, high, title, FONT, _window(shot, wide, high))


def _window(shot: Shot, wide: float, high: float) -> Iterator[str]:
    yield svg.box(0, 0, wide, high, round_=10, fill=GROUND)
    yield svg.element(
        "path", d=f"M0 {BAR:g}V10a10 10 0 0 1 10-10H{wide - 10:g}a10 10 0 0 1 10 10V{BAR:g}z",
        fill=BAR_GROUND,
    )  # fmt: skip
    for place, colour in enumerate(("#ec6a5e", "#f4bf4f", "#61c554")):
        yield svg.element("circle", cx=20 + 20 * place, cy=BAR / 2, r=6, fill=colour)
    yield svg.element(
        "text", "kiebot chat", x=wide / 2, y=BAR / 2 + 4.5, fill=MARK, font_size=13,
        text_anchor="middle",
    )  # fmt: skip
    for index, row in enumerate(shot.rows):
        y = BAR + MARGIN + LINE * index + SIZE - 3
        yield from _line(row, y)
    left = MARGIN + CELL * shot.cursor
    top = BAR + MARGIN + LINE * (len(shot.rows) - 1) - 4
    yield svg.box(left, top, CELL, LINE - 1, fill=COLOURS["default"], fill_opacity=0.55)


def _line(row: Row, y: float) -> Iterator[str]:
    for column, columns, text, cell in _runs(row):
        look: dict[str, str | float] = {"fill": COLOURS.get(cell.colour, COLOURS["default"])}
        if cell.is_bold:
            look = {"fill": BOLD if cell.colour == "default" else look["fill"], "font_weight": 600}
        yield svg.words(text, MARGIN + CELL * column, y, CELL * columns, font_size=SIZE, **look)


def _runs(row: Row) -> Iterator[tuple[int, int, str, Cell]]:
    """Column, columns, text and look of what stands together; a wide sign stands alone."""
    column = 0
    while column < len(row):
        first = row[column]
        if _is_sign(row, column):
            yield column, 2, first.text, first
            column += 2
            continue
        end = column
        while end < len(row) and _alike(row, end, first):
            end += 1
        text = "".join(cell.text for cell in row[column:end])
        for start, part in _parts(text):
            yield column + start, len(part), part, first
        column = end


def _alike(row: Row, column: int, first: Cell) -> bool:
    cell = row[column]
    alike = (cell.colour, cell.is_bold) == (first.colour, first.is_bold)
    return alike and not _is_sign(row, column)


def _is_sign(row: Row, column: int) -> bool:
    """Whether two columns are one sign: a wide one, or a picture with a space after it."""
    after = row[column + 1].text if column + 1 < len(row) else "end"
    return after == "" or (after == " " and row[column].text > "\uffff")


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """What is between wide gaps, and where it begins."""
    begin = 0
    for gap in [*GAP.finditer(text), None]:
        end = len(text) if gap is None else gap.start()
        part = text[begin:end].rstrip(" ")
        start = begin + len(part) - len(part.lstrip(" "))
        if part.strip(" "):
            yield start, part.lstrip(" ")
        begin = len(text) if gap is None else gap.end()
