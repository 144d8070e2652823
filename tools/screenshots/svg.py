"""
SVG, as text: the same input is always the same bytes.

Every line of words says how wide it is to be, so that it keeps its place in another font.
"""

from collections.abc import Iterable
from xml.sax.saxutils import escape, quoteattr


def number(value: float) -> str:
    """A length, without digits that nobody sees."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def element(name: str, *inside: str, **attributes: str | float) -> str:
    """An element; `stroke_width=2` is `stroke-width="2"`."""
    said = "".join(
        f" {key.rstrip('_').replace('_', '-')}="
        + quoteattr(value if isinstance(value, str) else number(value))
        for key, value in attributes.items()
    )
    content = "".join(inside)
    return f"<{name}{said}>{content}</{name}>" if content else f"<{name}{said}/>"


def words(text: str, x: float, y: float, wide: float, **attributes: str | float) -> str:
    """One line of text from `x` on, with its feet at `y`, exactly so wide."""
    return element(
        "text",
        # Several spaces in a row would be drawn as one.
        escape(text.replace("  ", "\u00a0 ")),
        x=x,
        y=y,
        textLength=wide,
        lengthAdjust="spacingAndGlyphs",
        **attributes,
    )


def box(
    x: float, y: float, wide: float, high: float, *, round_: float = 0, **attributes: str | float
) -> str:
    """A rectangle."""
    corners: dict[str, str | float] = {"rx": round_} if round_ else {}
    return element("rect", x=x, y=y, width=wide, height=high, **corners, **attributes)


def picture(wide: float, high: float, title: str, font: str, parts: Iterable[str]) -> str:
    """A whole file; the title is what a screen reader says."""
    head = {
        "xmlns": "http://www.w3.org/2000/svg",
        "viewBox": f"0 0 {number(wide)} {number(high)}",
        "width": number(wide),
        "height": number(high),
        "role": "img",
        "font-family": font,
    }
    attributes = "".join(f" {key}={quoteattr(value)}" for key, value in head.items())
    body = "\n".join([element("title", escape(title)), *parts])
    return f"<svg{attributes}>\n{body}\n</svg>\n"
