"""
Diagrams: the state machines of the core, and the ways of the money, as SVG.

Boxes and arrows are those of the tables in `kiebot.core`; nothing here says what may follow what.
A status stands in the column of the longest way to it, and an arrow is named after the function
that takes the step.
"""

import ast
import inspect
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import groupby
from types import ModuleType
from typing import TypeVar
from xml.sax.saxutils import escape

from attrs import frozen

from kiebot.core import holds, jobs, topups
from kiebot.core.wallet import EFFECTS

S = TypeVar("S", bound=StrEnum)

BOX = (134, 40)
STEP = (228, 110)
MARGIN = 16
CHAR = 6.2
"""Width of a letter of a label, in pixels, of the font below."""

STYLE = """\
  .box { fill: #eef2ff; stroke: #4f46e5; stroke-width: 1.5 }
  .end { fill: #f4f4f5; stroke: #71717a }
  .name { font: 600 14px system-ui, sans-serif; fill: #18181b }
  .step { font: 12px system-ui, sans-serif; fill: #3f3f46 }
  .paper { fill: #ffffff }
  .way { stroke: #52525b; stroke-width: 1.4; fill: none; marker-end: url(#tip) }
"""


@frozen
class Point:
    """A place in the picture, in pixels."""

    x: float
    y: float


@frozen(kw_only=True)
class Box:
    """Something that can be: where its middle is, and whether nothing follows it."""

    name: str
    at: Point
    is_end: bool = False


@frozen(kw_only=True)
class Arrow:
    """What leads from one box to another; `lift` bends it, in pixels off the straight line."""

    start: str
    end: str
    label: str = ""
    lift: float = 0


def pictures() -> dict[str, str]:
    """Every diagram, by its file name."""
    return {
        "jobs.svg": machine("The statuses of a job", jobs, jobs.TRANSITIONS),
        "topups.svg": machine("The statuses of a top-up", topups, topups.TRANSITIONS),
        "holds.svg": machine("The statuses of a hold", holds, holds.TRANSITIONS),
        "money.svg": money(),
    }


def machine(title: str, module: ModuleType, table: Mapping[S, Iterable[S]]) -> str:
    """The diagram of a table of transitions, and of the functions of its module."""
    ranks = _ranks(table)
    boxes = []
    for rank, members in groupby(sorted(table, key=lambda one: ranks[one]), lambda s: ranks[s]):
        # What goes on stands above what has ended, else in the order of the table.
        column = sorted(members, key=lambda one: not table[one])
        boxes += [
            Box(name=str(status), at=_place(rank, row), is_end=not table[status])
            for row, status in enumerate(column)
        ]
    verbs = steps(module)
    arrows = [
        Arrow(start=str(start), end=str(end), label=verbs.get(end.name, ""))
        for start, ends in table.items()
        for end in sorted(ends, key=list(table).index)
    ]
    return draw(title, boxes, arrows)


def money() -> str:
    """The ways of the money: what each kind of ledger entry moves, and where to."""
    outside, available, held = "outside", "available", "held"
    boxes = [
        Box(name=outside, at=_place(0, 0), is_end=True),
        Box(name=available, at=_place(1.5, 0)),
        Box(name=held, at=_place(3, 0)),
    ]
    ways: dict[tuple[str, str], list[str]] = {}
    for kind, (on_available, on_held) in EFFECTS.items():
        parts = {available: on_available, held: on_held}
        source = next((part for part, sign in parts.items() if sign < 0), outside)
        target = next((part for part, sign in parts.items() if sign > 0), outside)
        ways.setdefault((source, target), []).append(str(kind))
    columns = [outside, available, held]
    arrows = []
    for (source, target), kinds in ways.items():
        distance = columns.index(target) - columns.index(source)
        # Forth above, back below; over a box in between far enough to miss it.
        lift = 16.0 if abs(distance) == 1 else 66.0
        arrows.append(Arrow(start=source, end=target, label=", ".join(kinds), lift=lift))
    return draw("What the ledger's entries move", boxes, arrows)


def steps(module: ModuleType) -> dict[str, str]:
    """By the name of a status, the function of the module that enters it and no other."""
    found: dict[str, str] = {}
    for function in ast.parse(inspect.getsource(module)).body:
        if not isinstance(function, ast.FunctionDef) or function.name.startswith("_"):
            continue
        entered = {
            call.args[1].attr
            for call in ast.walk(function)
            if isinstance(call, ast.Call)
            and isinstance(call.func, ast.Name)
            and call.func.id == "_enter"
            and isinstance(call.args[1], ast.Attribute)
        }
        if len(entered) == 1:
            found[entered.pop()] = function.name.replace("_", " ")
    return found


def draw(title: str, boxes: Sequence[Box], arrows: Sequence[Arrow]) -> str:
    """The picture as SVG; the same for the same boxes and arrows, to the byte."""
    places = {box.name: box for box in boxes}
    lines = [part for arrow in arrows for part in _arrow(places, arrow)]
    width = max(box.at.x for box in boxes) + BOX[0] / 2 + MARGIN
    top = MARGIN
    height = max(box.at.y for box in boxes) + BOX[1] / 2 + MARGIN
    height += max((abs(arrow.lift) for arrow in arrows), default=0)
    return "\n".join(
        [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width:g}"'
                f' height="{height + top:g}" viewBox="0 {-top:g} {width:g} {height + top:g}">'
            ),
            f"<title>{escape(title)}</title>",
            f"<style>\n{STYLE}</style>",
            (
                '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7"'
                ' markerHeight="7" orient="auto"><path d="M0 0L10 5L0 10z" fill="#52525b"/>'
                "</marker></defs>"
            ),
            f'<rect class="paper" x="0" y="{-top:g}" width="100%" height="100%" rx="6"/>',
            *lines,
            *(part for box in boxes for part in _box(box)),
            "</svg>",
            "",
        ]
    )


def _ranks(table: Mapping[S, Iterable[S]]) -> dict[S, int]:
    """How many steps the longest way to each status has; tables of kiebot have no circles."""
    ranks = dict.fromkeys(table, 0)
    for _ in table:
        for status, following in table.items():
            for one in following:
                ranks[one] = max(ranks[one], ranks[status] + 1)
    return ranks


def _place(column: float, row: float) -> Point:
    return Point(
        MARGIN + BOX[0] / 2 + column * STEP[0],
        BOX[1] / 2 + row * STEP[1],
    )


def _box(box: Box) -> list[str]:
    x, y = box.at.x - BOX[0] / 2, box.at.y - BOX[1] / 2
    look = "box end" if box.is_end else "box"
    return [
        f'<rect class="{look}" x="{x:g}" y="{y:g}" width="{BOX[0]}" height="{BOX[1]}" rx="8"/>',
        (
            f'<text class="name" x="{box.at.x:g}" y="{box.at.y + 5:g}" text-anchor="middle">'
            f"{escape(box.name)}</text>"
        ),
    ]


def _arrow(places: Mapping[str, Box], arrow: Arrow) -> list[str]:
    start, end = places[arrow.start].at, places[arrow.end].at
    forth = 1 if end.x > start.x else -1
    if arrow.lift:
        # Forth above, back below: y grows downwards.
        bend = -forth * arrow.lift
        far = abs(end.x - start.x) > 2 * STEP[0]
        lean = 0 if far else BOX[0] / 2
        edge = -forth * (BOX[1] / 2 if far else 7)
        a = Point(start.x + forth * lean, start.y + edge)
        b = Point(end.x - forth * lean, end.y + edge)
        turn = 0 if far else (b.x - a.x) / 3
        way = (
            f"M{a.x:g} {a.y:g}C{a.x + turn:g} {a.y + bend:g}"
            f" {b.x - turn:g} {b.y + bend:g} {b.x:g} {b.y:g}"
        )
        middle = Point((a.x + b.x) / 2, (a.y + b.y) / 2 + 0.75 * bend)
    else:
        if start.x == end.x:
            a, b = Point(start.x, start.y + BOX[1] / 2), Point(end.x, end.y - BOX[1] / 2)
        elif start.y == end.y:
            a, b = Point(start.x + BOX[0] / 2, start.y), Point(end.x - BOX[0] / 2, end.y)
        else:
            a = Point(start.x + BOX[0] / 4, start.y + BOX[1] / 2)
            b = Point(end.x - BOX[0] / 2, end.y)
        way = f"M{a.x:g} {a.y:g}L{b.x:g} {b.y:g}"
        # A slanting arrow is named near its end, where fewer of them meet.
        part = 0.5 if a.y == b.y else 0.62
        middle = Point(a.x + (b.x - a.x) * part, a.y + (b.y - a.y) * part)
    drawn = [f'<path class="way" d="{way}"/>']
    if arrow.label:
        wide = CHAR * len(arrow.label) + 8
        drawn += [
            (
                f'<rect class="paper" x="{middle.x - wide / 2:g}" y="{middle.y - 9:g}"'
                f' width="{wide:g}" height="18"/>'
            ),
            (
                f'<text class="step" x="{middle.x:g}" y="{middle.y + 4:g}" text-anchor="middle">'
                f"{escape(arrow.label)}</text>"
            ),
        ]
    return drawn
