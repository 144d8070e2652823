"""`kiebot settings`: every variable of the environment, explained."""

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from kiebot.cli.options import json_option
from kiebot.cli.printing import show_json

if TYPE_CHECKING:
    from kiebot.config import Variable

WIDTH = 100

HEAD = (
    "kiebot's settings, as `kiebot settings --env` prints them. Copy this file to .env in the"
    " folder kiebot is started in, and fill in what you need: a variable of the environment wins"
    " over this file, and an empty one is not set. A variable behind a # is shown with its default."
)


@click.command()
@click.option("--env", "as_env", is_flag=True, help="As a file .env to be filled in.")
@json_option
def settings(*, as_env: bool, as_json: bool) -> None:
    """
    Explain every setting, or write .env.example.

    Each is a variable of the environment. What is set now is not looked at: `kiebot doctor` checks
    that.
    """
    from kiebot.config import variables

    if as_env and as_json:
        raise click.UsageError("--env and --json are two forms: choose one")
    known = variables()
    if as_json:
        show_json([_json(variable) for variable in known])
        return
    lines = _env(known) if as_env else _explained(known)
    click.echo("\n".join(lines))


def _explained(known: "tuple[Variable, ...]") -> Iterator[str]:
    """For people; as wide as their window, and not wider than is good to read."""
    import shutil

    width = min(shutil.get_terminal_size((WIDTH, 24)).columns, WIDTH)
    for number, (section, members) in enumerate(groupby(known, lambda one: one.section)):
        if number:
            yield ""
        yield click.style(section, bold=True)
        for variable in members:
            default = "" if variable.default is None else f" = {variable.default}"
            yield f"  {variable.name}{default}"
            yield from _wrapped(_sentences(variable), width, "      ")


def _env(known: "tuple[Variable, ...]") -> Iterator[str]:
    """As a file: what has no default is empty, what has one is behind a #."""
    yield from _wrapped(HEAD, WIDTH, "# ")
    for section, members in groupby(known, lambda one: one.section):
        yield ""
        yield f"# --- {section}"
        for variable in members:
            yield ""
            yield from _wrapped(_sentences(variable), WIDTH, "# ")
            if variable.default is None:
                yield f"{variable.name}="
            else:
                yield f"#{variable.name}={variable.default}"


def _sentences(variable: "Variable") -> str:
    also = "".join(f" {name} is read too." for name in variable.also)
    return f"{variable.meaning} Takes {variable.takes}.{also}"


def _wrapped(text: str, width: int, indent: str) -> Iterator[str]:
    import textwrap

    yield from textwrap.wrap(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _json(variable: "Variable") -> dict[str, Any]:
    return {
        "name": variable.name,
        "also": list(variable.also),
        "section": variable.section,
        "meaning": variable.meaning,
        "takes": variable.takes,
        "default": variable.default,
        "secret": variable.is_secret,
    }
