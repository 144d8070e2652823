"""
The reference: pages of `docs/reference/`, made from the code they are about.

    python -m tools.reference            # writes them
    python -m tools.reference --check    # exit 1 where they are no longer what the code says

What a page says of a thing is what stands beside it in the code: a docstring, a table, a sentence
of a setting. A thing of which nothing is said ends the run with an error.
"""

import ast
import asyncio
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from enum import EnumType, StrEnum
from functools import cache
from itertools import groupby
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import TypeVar

import click
from prometheus_client.parser import text_string_to_metric_families

from kiebot import conversation, desk
from kiebot.adapters.http import MAX_BODY_BYTES, Hook, Watching, application
from kiebot.adapters.metrics import Metrics
from kiebot.cli import COMMANDS as CLI_COMMANDS
from kiebot.cli import main as kiebot
from kiebot.config import variables
from kiebot.core import callbacks, errors, failures, jobs, topups, wallet
from kiebot.core.dialog.en import EN
from kiebot.core.dialog.ru import RU
from kiebot.core.dialog.screen import CALLBACK_BYTES, COMMANDS
from kiebot.core.errors import AnswerProblem, KieUnavailableError
from kiebot.core.failures import FailReason
from kiebot.core.figures import Figures
from kiebot.core.language import Language
from kiebot.core.money import Money
from kiebot.core.wallet import EFFECTS
from kiebot.ports import frontend, kie, media, storage, system
from tools import diagrams, scenes

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "reference"
MADE = "<!-- made by `python -m tools.reference`; change the code it is about -->"
WIDTH = 96

S = TypeVar("S", bound=StrEnum)


@cache
def pages() -> dict[str, str]:
    """Every file of the reference, by its name."""
    made = {
        "settings.md": settings(),
        "commands.md": commands(),
        "buttons.md": buttons(),
        "http.md": asyncio.run(http()),
        "metrics.md": asyncio.run(metrics()),
        "errors.md": asyncio.run(every_error()),
        "states.md": states(),
        "ports.md": ports(),
    }
    return made | diagrams.pictures()


# --- Settings


def settings() -> str:
    """Every variable of the environment."""
    parts = [
        "# Settings",
        (
            "Each is a variable of the environment, or a line of the file `.env` in the working"
            " folder; the environment wins. An empty one is not set. The same in a terminal:"
            " `kiebot settings`."
        ),
    ]
    for section, members in groupby(variables(), lambda one: one.section):
        rows = []
        for variable in members:
            names = ", ".join(f"`{name}`" for name in variable.names)
            default = "" if variable.default is None else f"`{variable.default}`"
            takes = plain(variable.takes) + (" (secret: never shown)" if variable.is_secret else "")
            rows.append((names, default, plain(variable.meaning), takes))
        parts += [f"## {section}", table(("variable", "default", "meaning", "takes"), rows)]
    return page(parts)


# --- Commands


def commands() -> str:
    """Every command with its own help."""
    parts = [
        "# Commands",
        (
            "What `--help` says of each. [The commands](../cli.md) tells what they have in common:"
            " databases, exit codes, amounts, JSON."
        ),
        fence(_help(kiebot, "kiebot")),
    ]
    root = click.Context(kiebot, info_name="kiebot")
    for name in CLI_COMMANDS:
        command = kiebot.get_command(root, name)
        assert command is not None
        parts += _commands(command, f"kiebot {name}", 2)
    return page(parts)


def _commands(command: click.Command, path: str, depth: int) -> Iterator[str]:
    yield f"{'#' * depth} `{path}`"
    yield fence(_help(command, path))
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from _commands(below, f"{path} {name}", depth + 1)


def _help(command: click.Command, path: str) -> str:
    context = click.Context(
        command, info_name=path, terminal_width=WIDTH, help_option_names=["-h", "--help"]
    )
    text = command.get_help(context)
    return "\n".join(line.rstrip() for line in text.splitlines())


# --- What a button carries


def buttons() -> str:
    """Every action of a button, and every command of the chat."""
    parts = [
        "# Buttons and chat commands",
        (
            f"A button carries its whole action, {CALLBACK_BYTES} bytes at most: fixed words, then"
            " what it is about, with a colon between them. It does the same however old it is; what"
            " is not the person's own is not found, and what means nothing gets the menu."
        ),
        "## Commands of the chat",
        table(
            ("command", "presses"),
            [(f"`/{name}`", f"`{action.encode()}`") for name, action in COMMANDS.items()],
        ),
        "## Everybody's buttons",
        table(("data", "then"), _routes(conversation, "Conversation")),
        "## Administrators' buttons",
        "To anybody else these are buttons that nobody knows.",
        table(("data", "then"), _routes(desk, "Desk")),
    ]
    return page(parts)


def _routes(module: ModuleType, owner: str) -> list[tuple[str, str]]:
    """The table `_ROUTES` of a class, with what its handlers take and say of themselves."""
    body = next(
        node.body
        for node in ast.parse(inspect.getsource(module)).body
        if isinstance(node, ast.ClassDef) and node.name == owner
    )
    handlers = {node.name: node for node in body if isinstance(node, ast.AsyncFunctionDef)}
    routes = next(
        node.value
        for node in body
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "_ROUTES"
    )
    assert isinstance(routes, ast.Dict)
    rows = []
    for key, route in zip(routes.keys, routes.values, strict=True):
        assert isinstance(key, ast.Constant | ast.Tuple)
        assert isinstance(route, ast.Call)
        handler = handlers[ast.unparse(route.args[0])]
        least, most = [*(int(ast.unparse(arg)) for arg in route.args[1:]), 0, 0][:2]
        fixed = [*ast.literal_eval(key)]
        rest = [f"<{arg.arg.removesuffix('_id')}>" for arg in handler.args.args[2:]]
        data = ":".join([*fixed, *rest[:least]])
        optional = "".join(f"[:{part}]" for part in rest[least:most])
        rows.append((f"`{data}{optional}`", plain(said(handler, handler.name))))
    return rows


# --- HTTP


async def http() -> str:
    """Every address that `kiebot serve` answers at."""

    async def never(_: object) -> None:
        return None

    async def no_metrics() -> bytes:
        return b""

    async with AsyncExitStack() as stack:
        shop = await scenes.Stage(Language.EN, stack).shop()
        app = application(
            shop.kiebot,
            lambda: scenes.NOON,
            watching=Watching(ready=lambda: (True, {}), metrics=no_metrics, metrics_type=""),
            hook=Hook(secret="-", take_in=never),
        )
    rows = []
    for route in app.router.routes():
        if route.method == "HEAD":
            continue
        assert route.resource is not None
        words = inspect.getdoc(route.handler)
        if words is None:
            raise ValueError(f"{route.resource.canonical} says nothing of itself")
        rows.append((f"`{route.method} {route.resource.canonical}`", plain(joined(words))))
    return page(
        [
            "# HTTP",
            (
                "What `kiebot serve` answers at `HOST` and `PORT`. Webhook and callbacks answer"
                " only where they are switched on. A body of more than"
                f" {MAX_BODY_BYTES // 1024 // 1024} MiB gets 413, one that is no JSON 400. A"
                f" callback is signed (`{callbacks.SIGNATURE_HEADER}`,"
                f" `{callbacks.TIMESTAMP_HEADER}`) not more than {callbacks.REPLAY_WINDOW_S}"
                " seconds ago."
            ),
            table(("address", "answers"), rows),
        ]
    )


# --- Metrics


async def metrics() -> str:
    """Every metric, by the page of an instance in which each was counted once."""

    async def figures() -> Figures:
        return Figures()

    counted = Metrics(lambda: scenes.NOON, figures, lambda: True)
    counted.update("done", 0.1)
    counted.telegram("sendMessage", "TelegramBadRequest", 0.1)
    with suppress(KieUnavailableError), counted.kie("create_task"):
        raise KieUnavailableError("to see the labels")
    rows = []
    text = (await counted.text()).decode()
    for family in text_string_to_metric_families(text):
        if family.name.endswith("_created"):
            continue
        labels = dict.fromkeys(name for one in family.samples for name in one.labels)
        shown = ", ".join(f"`{name}`" for name in labels if name != "le")
        name = family.name + ("_total" if family.type == "counter" else "")
        rows.append((f"`{name}`", family.type, shown, plain(family.documentation)))
    return page(
        [
            "# Metrics",
            (
                "What `GET /metrics` of `kiebot serve` tells Prometheus. Times are in seconds,"
                " money is in roubles. [Metrics and alerts](../operating.md#metrics-and-alerts)"
                " says which of them are worth a call at night."
            ),
            table(("metric", "type", "labels", "what it says"), rows),
        ]
    )


# --- Errors


async def every_error() -> str:
    """Every error, and what a person reads where one can be met by a person."""
    classes = [
        one
        for one in vars(errors).values()
        if isinstance(one, type)
        and issubclass(one, errors.KiebotError)
        and one.__module__ == errors.__name__
    ]
    parts = [
        "# Errors",
        ("An error has no number: its class is its code, and what it is about are its attributes."
        " The message is for the log, in English. What a person reads is made from the attributes,"
        " in their language."),
        fence(_tree(classes)),
        "## All of them",
        table(
            ("error", "attributes", "when"),
            [
                (f"`{one.__name__}`", ", ".join(f"`{name}`" for name in _attributes(one)),
                 plain(joined(inspect.getdoc(one) or "")))
                for one in classes
            ],
        ),
        "## What a person reads",
        "Each was met in a shop with the packaged catalog, as said above it.",
    ]  # fmt: skip
    for error, scene in scenes.SCENES.items():
        parts += [f"### {error.__name__}", plain(joined(scene.__doc__ or ""))]
        for language in Language:
            parts.append(quoted(await scenes.played(error, language)))
    parts += [
        "## An answer that is none",
        ("`InvalidAnswerError.problem`, and its sentence. *N* is the bound that was broken, *A, B*"
        " are the questions concerned."),
        table(
            ("problem", "in Russian", "in English"),
            [
                (f"`{one}`", *(plain(t.problem(one, "N", "A, B")) for t in (RU, EN)))
                for one in AnswerProblem
            ],
        ),
        "## A job that failed",
        "`Failure.reason`, and what the person is told, here of a job for 30 ₽.",
        table(
            ("reason", "when", "in Russian", "in English"),
            [
                (f"`{one}`", plain(meanings(failures, FailReason).get(one.name, "")),
                 *(plain(t.failed(t.money(Money.rub("30")), one, "")) for t in (RU, EN)))
                for one in FailReason
            ],
        ),
    ]  # fmt: skip
    return page(parts)


def _tree(classes: Sequence[type]) -> str:
    def below(parent: type, depth: int) -> Iterator[str]:
        yield "  " * depth + parent.__name__
        for one in classes:
            if one.__bases__[0] is parent:
                yield from below(one, depth + 1)

    return "\n".join(below(errors.KiebotError, 0))


def _attributes(error: type) -> list[str]:
    """What its maker is given is what it keeps; the words of a message are no attribute."""
    if "__init__" not in vars(error):
        return []
    maker = ast.parse(dedent(inspect.getsource(vars(error)["__init__"])))
    return [
        node.targets[0].attr
        for node in ast.walk(maker)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute)
    ]


# --- States


def states() -> str:
    """The machines of the core, drawn from their tables, and what an entry moves."""
    signs = {1: "+", 0: "", -1: "−"}
    return page(
        [
            "# States",
            ("Drawn from the tables of the core: a step that is not here cannot be taken. Grey is"
            " where nothing follows; an arrow is named after the function that takes the step."),
            "## A job",
            "![The statuses of a job](jobs.svg)",
            _statuses(jobs, jobs.JobStatus, jobs.TRANSITIONS),
            "## A top-up",
            "![The statuses of a top-up](topups.svg)",
            _statuses(topups, topups.TopUpStatus, topups.TRANSITIONS),
            "## A hold",
            "Money set aside for one job, folded from the ledger's entries of that job.",
            "![The statuses of a hold](holds.svg)",
            "## The money",
            "![What the ledger's entries move](money.svg)",
            table(
                ("entry", "available", "held", "means"),
                [
                    (f"`{kind}`", signs[available], signs[held],
                     plain(meanings(wallet, EFFECTS, keys=True).get(kind.name, "")))
                    for kind, (available, held) in EFFECTS.items()
                ],
            ),
            "[The money](../money.md) explains what makes each of them.",
        ]
    )  # fmt: skip


def _statuses(module: ModuleType, statuses: EnumType, ways: Mapping[S, Iterable[S]]) -> str:
    words = meanings(module, statuses)
    rows = []
    for status, following in ways.items():
        ordered = sorted(following, key=list(ways).index)
        then = ", ".join(f"`{one}`" for one in ordered) or "the end"
        rows.append((f"`{status}`", plain(words.get(status.name, "")), then))
    return table(("status", "means", "then"), rows)


# --- Ports


def ports() -> str:
    """The Protocols of `kiebot.ports`, in full."""
    modules = (storage, kie, frontend, media, system)
    parts = [
        "# Ports",
        (
            "What the application needs of the world. Whoever writes a class with these methods can"
            " hand it to `compose`; it inherits nothing. The docstring is the contract, and"
            " `tests/contracts/` holds every adapter to it."
            " The types are those of `kiebot` and `kiebot.core`."
        ),
    ]
    for module in modules:
        tree = ast.parse(inspect.getsource(module))
        name = module.__name__.rpartition(".")[2]
        parts += [f"## {name}", *prose(inspect.getdoc(module) or "")]
        parts += [part for part in _members(tree.body) if part]
    return page(parts)


def _members(body: Sequence[ast.stmt]) -> Iterator[str]:
    for node, after in zip(body, [*body[1:], ast.Pass()], strict=True):
        if isinstance(node, ast.ClassDef):
            yield f"### {node.name}"
            yield from prose(said(node, node.name))
            yield from _signatures(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(after, ast.Expr):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            yield f"### {ast.unparse(target)}"
            yield fence(f"{ast.unparse(target)} = {ast.unparse(node.value or target)}", "python")
            yield from prose(str(ast.literal_eval(after.value)))


def _signatures(owner: ast.ClassDef) -> Iterator[str]:
    """What a class is asked: of a Protocol its methods, of an enumeration its members."""
    if any(ast.unparse(base) in {"Enum", "StrEnum"} for base in owner.bases):
        yield fence("\n".join(ast.unparse(n) for n in owner.body if isinstance(n, ast.Assign)),
                    "python")  # fmt: skip
        return
    plain_properties = []
    for node in owner.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        words = ast.get_docstring(node)
        kind = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
        returns = "" if node.returns is None else f" -> {ast.unparse(node.returns)}"
        if any(ast.unparse(one) == "property" for one in node.decorator_list):
            line = f"{node.name}: {returns.removeprefix(' -> ')}"
            if words is None:
                plain_properties.append(line)
                continue
        else:
            line = f"{kind} {node.name}({ast.unparse(node.args)}){returns}"
        if words is None:
            raise ValueError(f"{owner.name}.{node.name} says nothing of itself")
        yield fence(line, "python")
        yield from prose(words)
    if plain_properties:
        yield fence("\n".join(plain_properties), "python")


# --- What stands beside the code


def said(node: ast.ClassDef | ast.AsyncFunctionDef, name: str) -> str:
    """A docstring in one line; ValueError where there is none."""
    words = ast.get_docstring(node)
    if words is None:
        raise ValueError(f"{name} says nothing of itself")
    return joined(words)


def meanings(module: ModuleType, table_of: object, *, keys: bool = False) -> dict[str, str]:
    """The comments behind the members of an enumeration, or (`keys`) behind the keys of EFFECTS."""
    source = inspect.getsource(module)
    if keys:
        source = source[source.index("EFFECTS:") :]
        pattern = r"^    EntryKind\.(\w+):[^#\n]*#\s*(.+)$"
    else:
        assert isinstance(table_of, EnumType)
        source = inspect.getsource(table_of)
        pattern = r"^    (\w+) = [^#\n]*#\s*(.+)$"
    return dict(re.findall(pattern, source, re.MULTILINE))


# --- Markdown


def page(parts: Sequence[str]) -> str:
    """A page of these paragraphs, saying that it is made."""
    return "\n\n".join([parts[0], MADE, *parts[1:]]) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a cell is one line, and a bar in it is no border."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def fence(text: str, language: str = "text") -> str:
    """As it is written."""
    return f"```{language}\n{text}\n```"


def plain(text: str) -> str:
    """Text in which what looks like markup is none, but for what stands between backticks."""
    parts = re.split(r"(`[^`]*`)", joined(text))
    return "".join(
        part if part.startswith("`") else re.sub(r"([<*_\[\]])", r"\\\1", part) for part in parts
    )


def quoted(text: str) -> str:
    """What somebody reads, line by line."""
    lines = [plain(line) for line in text.splitlines()]
    # A backslash at the end keeps the line.
    ends = [
        "\\" if line and after else "" for line, after in zip(lines, [*lines[1:], ""], strict=True)
    ]
    return "\n".join(f"> {line}{end}".rstrip() for line, end in zip(lines, ends, strict=True))


def prose(docstring: str) -> Iterator[str]:
    """The paragraphs of a docstring; what it raises as a list."""
    for paragraph in inspect.cleandoc(docstring).split("\n\n"):
        head, _, rest = paragraph.partition("\n")
        if head.strip() != "Raises:":
            yield plain(paragraph)
            continue
        raised = re.findall(r"^    (\S.*(?:\n     .*)*)", rest, re.MULTILINE)
        yield "Raises:"
        yield "\n".join(f"- {plain(one)}" for one in raised)


def joined(text: str) -> str:
    """In one line."""
    return " ".join(text.split())


# --- The command


def stale(folder: Path = FOLDER) -> list[str]:
    """The files that are no longer what the code says, or that nothing says any more."""
    made = pages()
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    different = [
        name
        for name, text in made.items()
        if name not in there or (folder / name).read_text("utf-8") != text
    ]
    return sorted([*different, *(there - set(made))])


def write(folder: Path = FOLDER) -> None:
    """Write every file, and remove what nothing says any more."""
    folder.mkdir(parents=True, exist_ok=True)
    made = pages()
    for path in folder.iterdir():
        if path.name not in made:
            path.unlink()
    for name, text in made.items():
        (folder / name).write_text(text, "utf-8")


def main(arguments: Sequence[str], say: Callable[[str], None] = print) -> int:
    """Write, or with `--check` compare; the exit code."""
    if arguments not in ([], ["--check"]):
        say("usage: python -m tools.reference [--check]")
        return 2
    if not arguments:
        write()
        return 0
    wrong = stale()
    for name in wrong:
        say(f"docs/reference/{name} is not what the code says: run `python -m tools.reference`")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
