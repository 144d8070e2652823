"""
The pages of `docs/` say what is so: the reference is what the code says now, commands that are
named exist with their options, what a page shows as printed is printed, and buttons are called as
on the screen.
"""

import ast
import re
import shlex
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import kiebot
from kiebot.cli import main as command
from kiebot.compose import load_catalog
from kiebot.core import audit, errors, jobs, pricing
from kiebot.core.dialog import en
from kiebot.core.money import parse_roubles
from tools import diagrams, reference, scenes

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])
WRITTEN = [page for page in PAGES if page.parent != reference.FOLDER]


def text(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


def blocks(page: Path, language: str) -> list[str]:
    pattern = rf"^ *```{language}\n(.*?)^ *```"
    return re.findall(pattern, page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


# --- What is made


def test_the_reference_is_what_the_code_says() -> None:
    """`python -m tools.reference` writes it anew."""
    assert reference.stale() == []


def test_a_page_that_was_changed_by_hand_is_noticed(tmp_path: Path) -> None:
    reference.write(tmp_path)
    (tmp_path / "metrics.md").write_text("# Metrics\n")
    (tmp_path / "jobs.svg").unlink()
    (tmp_path / "gone.md").write_text("# Of code that is gone\n")

    assert reference.stale(tmp_path) == ["gone.md", "jobs.svg", "metrics.md"]


def test_every_error_that_a_person_can_mend_has_its_scene() -> None:
    def below(parent: type[object]) -> Iterator[type[object]]:
        for one in parent.__subclasses__():
            if one.__subclasses__():
                yield from below(one)
            else:
                yield one

    ours = {one for one in below(errors.UserError) if one.__module__ == errors.__name__}

    assert ours == set(scenes.SCENES)


def test_a_diagram_has_every_status_and_every_step() -> None:
    drawn = diagrams.pictures()["jobs.svg"]

    assert re.findall(r'class="name"[^>]*>(\w+)<', drawn) == sorted(
        jobs.TRANSITIONS, key=re.findall(r'class="name"[^>]*>(\w+)<', drawn).index
    )
    assert drawn.count('class="way"') == sum(map(len, jobs.TRANSITIONS.values()))
    assert set(re.findall(r'class="step"[^>]*>(\w+)<', drawn)) == {
        "queue", "start", "succeed", "fail", "refund", "cancel",
    }  # fmt: skip


# --- What is written


def commands_of(page: Path) -> Iterator[list[str]]:
    """The words of every `kiebot …` that the page has people type."""
    for block in blocks(page, "(?:sh|console)"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            for at, word in enumerate(words):
                if re.fullmatch(r"(?:\S*/)?kiebot", word) and _is_typed(words[:at]):
                    yield [*_until_operator(words[at + 1 :])]
    for typed in re.findall(r"`(?:\.venv/bin/)?kiebot ([^`]+)`", page.read_text("utf-8")):
        if not re.search(r"[…\[]|[A-Z]{3}", typed):
            yield shlex.split(typed)


def _is_typed(before: list[str]) -> bool:
    """Whether what follows is a command, and not the name of something."""
    last = before[-1] if before else ""
    # `docker exec kiebot kiebot …` and `sudo -u kiebot kiebot …`: the second one is.
    return not before or last in {"|", "&&", "kiebot"} or "=" in last


def _until_operator(words: list[str]) -> Iterator[str]:
    for word in words:
        if word in {"|", "&&", "&", ">", ";", ")", "||", ">>"}:
            return
        yield word.removesuffix(")")
        if word.endswith(")"):
            return


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.stem)
def test_commands_exist_and_take_what_they_are_given(page: Path) -> None:
    for words in commands_of(page):
        if words and words[0] == "python":
            continue
        _parse(command, words, "kiebot")


def _parse(one: click.Command, words: list[str], name: str) -> None:
    """UsageError where there is no such command, option, or place for an argument."""
    context = click.Context(one, info_name=name)
    parser = one.make_parser(context)
    # The id of a person of the terminal is no option; those commands see to it themselves.
    words = [re.sub(r"^-(?=\d)", "", word) for word in words]
    if not isinstance(one, click.Group):
        _, rest, _ = parser.parse_args(list(words))
        assert rest == [], f"{name}: {rest} is too much"
        return
    _, rest, _ = parser.parse_args(list(words))
    if rest:
        below = one.get_command(context, rest[0])
        assert below is not None, f"{name}: no command {rest[0]!r}"
        _parse(below, rest[1:], f"{name} {rest[0]}")


def test_a_command_that_does_not_exist_is_noticed() -> None:
    with pytest.raises(AssertionError, match="no command 'give'"):
        _parse(command, ["admin", "give", "7"], "kiebot")
    with pytest.raises(click.NoSuchOption):
        _parse(command, ["audit", "--fast"], "kiebot")


def sessions() -> set[str]:
    """The names of nox's sessions: functions that are one, and what a session is made for."""
    tree = ast.parse((ROOT / "noxfile.py").read_text("utf-8"))
    found: set[str] = set()
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=name, decorator_list=[decorator]):
                if ast.unparse(decorator) == "nox.session":
                    found.add(name)
            case ast.Assign(targets=[ast.Name(id="BENCHMARKS")], value=value):
                found |= set(ast.literal_eval(value))
            case _:
                pass
    return found


def test_sessions_that_are_named_exist() -> None:
    written = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
    written += [
        *(ROOT / "tests").rglob("*.py"),
        *(ROOT / "benchmarks").rglob("*.py"),
        *(ROOT / "tools").rglob("*.py"),
    ]
    named = {
        (name, path.name)
        for path in written
        for name in re.findall(r"nox -s ([a-z_]{3,})", path.read_text("utf-8"))
    }

    assert len(named) > 10
    assert {(name, path) for name, path in named if name not in sessions()} == set()


def test_what_is_shown_as_printed_is_printed() -> None:
    shown = 0
    for page in WRITTEN:
        for block in blocks(page, "console"):
            asked, *printed = block.splitlines()
            words = shlex.split(asked.removeprefix("$ "))
            settings = dict(word.split("=", 1) for word in words[: words.index("kiebot")])

            said = CliRunner().invoke(
                command, words[words.index("kiebot") + 1 :], env=settings, catch_exceptions=False
            )

            # A price is written with a space at which no line breaks.
            assert said.output.replace("\u00a0", " ").splitlines() == printed
            shown += 1
    assert shown >= 2


def test_buttons_are_called_as_on_the_screen() -> None:
    """A label in a guide is written as `[Label]`."""
    labels = Path(en.__file__).read_text("utf-8")
    named = [
        label
        for page in WRITTEN
        for label in re.findall(r"`\[([^\]`]+)\]`", page.read_text("utf-8"))
    ]

    assert len(named) >= 8
    assert [label for label in named if label not in labels] == []


def test_every_page_is_in_the_contents() -> None:
    contents = text("docs/index.md")
    missing = [
        str(page.relative_to(DOCS).with_suffix(""))
        for page in PAGES
        if page.is_relative_to(DOCS) and page.name != "index.md" and page.parent.name != "how-to"
    ]

    assert [name for name in missing if f"\n{name}\n" not in contents] == []
    assert "\nhow-to/*\n" in contents


# --- The money


def test_units_are_priced_as_the_page_says() -> None:
    model = load_catalog(None).model("elevenlabs/text-to-speech-multilingual-v2")
    rows = re.findall(
        r"^\| (\d+) \| (\d+) \| (\d+ ₽) \| (\d+ ₽) \|$", text("docs/money.md"), re.MULTILINE
    )

    assert len(rows) == 4
    for characters, units, kie_price, price in rows:
        answers = {"text": "a" * int(characters), "voice": "Rachel"}
        counted = pricing.count(model, answers)
        quote = pricing.quote(model, answers, Decimal(2))
        assert counted is not None
        assert counted.units == int(units)
        assert (quote.kie_price, quote.price) == (parse_roubles(kie_price), parse_roubles(price))


def test_the_page_names_every_rule_of_the_audit() -> None:
    tree = ast.parse(Path(audit.__file__).read_text("utf-8"))
    named = [
        node.args[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Problem"
    ]
    # Where the rule is chosen, the name stands for one of two.
    named += [
        choice
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "rule"
        for choice in ast.walk(node.value)
        if isinstance(choice, ast.expr)
    ]
    rules = {str(node.value) for node in named if isinstance(node, ast.Constant)}
    told = text("docs/money.md")

    assert len(rules) >= 13
    assert [rule for rule in rules if f"| {rule} |" not in told] == []


# --- As a library


def test_the_example_of_the_guide_is_that_of_the_readme() -> None:
    """Which is run; the guide leaves lines out and adds none."""
    (guide,) = blocks(DOCS / "how-to" / "use-as-a-library.md", "python")
    (readme,) = blocks(ROOT / "README.md", "python")
    (names,) = re.findall(r"from kiebot import (.*)", guide)

    assert set(guide.splitlines()) <= set(readme.splitlines())
    assert set(names.split(", ")) <= set(kiebot.__all__)
