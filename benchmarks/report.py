"""
The page of the figures: `docs/performance.md`, made of what every benchmark kept.

    python -m benchmarks.report [--to docs/performance]
"""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from benchmarks import measure
from benchmarks.measure import FOLDER, Page, Plot, Row

ORDER = (
    "whole_job_postgres",
    "whole_job_sqlite",
    "hot_wallet",
    "peers",
    "press",
    "ledger_growth",
    "open_jobs",
    "startup",
    "audit",
)
"""In which order pages come; others come after these."""

HEAD = """
# Performance

Each row compares two things that took turns in the same run, several rounds long: the ratio is the
median of the rounds, and in brackets are the lowest and the highest. Single figures depend on the
machine and on what else it does; ratios less so. Nothing here decides whether a change is good: it
is measured by hand: `nox -s benchmarks` takes a quarter of an hour and writes this page.
"""


def main() -> None:
    """Write the page beside the folder of the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--to", type=Path, default=FOLDER, help="the folder that has the figures")
    folder: Path = parser.parse_args().to
    pages = sorted((measure.load(path) for path in folder.glob("*.json")), key=_place)
    for page in pages:
        for plot in page.plots:
            draw(plot, folder / _file(page, plot))
    path = folder.with_suffix(".md")
    path.write_text(written(pages, folder.name), encoding="utf-8")
    print(path)


def written(pages: Sequence[Page], folder: str) -> str:
    """The whole page, in Markdown; pictures are in the folder of this name."""
    sections = [_section(page, folder) for page in pages]
    return "\n\n".join([HEAD.strip(), _table(pages), *sections]) + "\n"


def draw(plot: Plot, path: Path) -> None:
    """A plot as an SVG file, the same bytes for the same points."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "kiebot"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    for name, points in plot.curves.items():
        axes.plot([x for x, _ in points], [y for _, y in points], marker=".", label=name)
    axes.set(title=plot.title, xlabel=plot.x, ylabel=plot.y)
    axes.set_ylim(bottom=0)
    if plot.log:
        axes.set_xscale("log")
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
    pyplot.close(figure)


def _table(pages: Iterable[Page]) -> str:
    lines = [
        "| measured | against | goal | ratio | reached | made by |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for page in pages:
        for row in page.rows:
            goal = measure.goal_said(row) or "written down"
            made_by = f"[`nox -s {page.name}`](#{_anchor(page.title)})"
            cells = (row.measured, row.against, goal, _ratio(row), _reached(row), made_by)
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _section(page: Page, folder: str) -> str:
    return "\n\n".join([f"## {page.title}", page.about, *_body(page, folder)])


def _body(page: Page, folder: str) -> Iterator[str]:
    if page.figures:
        yield _figures(page)
    for plot in page.plots:
        yield f"![{plot.title}]({folder}/{_file(page, plot)})"
    missed = [row for row in page.rows if not row.is_reached]
    for why in dict.fromkeys(row.why for row in missed if row.why):
        yield f"**Where the goal is missed.** {why}"
    for shows, file in page.pictures.items():
        yield f"[{shows}]({folder}/{file}) (a flame graph, to be opened in a browser)."
    if page.run is not None:
        yield _run(page.run)


def _figures(page: Page) -> str:
    rounds = max(len(figure.rounds) for figure in page.figures)
    numbers = " | ".join(str(number) for number in range(1, rounds + 1))
    lines = [f"| | unit | median | {numbers} |", "| --- | --- | " + "---: | " * (rounds + 1)]
    for figure in page.figures:
        values = [measure.number(value) for value in (figure.median, *figure.rounds)]
        padding = [""] * (rounds - len(figure.rounds))
        lines.append(f"| {' | '.join([figure.of, figure.unit, *values, *padding])} |")
    return "\n".join(lines)


def _run(run: measure.Run) -> str:
    facts = chain(run.machine.items(), run.versions.items())
    said = ", ".join(f"{name} {value}" for name, value in facts)
    return (
        f"`{run.command}`, {run.at:%Y-%m-%d %H:%M} UTC, {run.took_s:.0f} s;"
        f" load of the machine before it {run.load:.1f}; {said}."
    )


def _ratio(row: Row) -> str:
    spread = f"{measure.number(min(row.rounds))} to {measure.number(max(row.rounds))}"
    return f"**{measure.number(row.median)}** {row.unit} ({spread})"


def _reached(row: Row) -> str:
    if row.goal is None and not row.also:
        return ""
    return "yes" if row.is_reached else "**no**"


def _file(page: Page, plot: Plot) -> str:
    return f"{page.name}-{plot.name}.svg"


def _anchor(title: str) -> str:
    kept = [sign for sign in title.lower() if sign.isalnum() or sign in " -"]
    return "".join(kept).replace(" ", "-")


def _place(page: Page) -> tuple[int, str]:
    return (ORDER.index(page.name) if page.name in ORDER else len(ORDER), page.name)


if __name__ == "__main__":
    main()
