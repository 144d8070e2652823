"""
The rooms of kiebot, and who may know whom.

`ROOMS` is the table; every import of every file is read against it, those inside functions and
under TYPE_CHECKING too. A file that is in no room fails, so a new kind of file needs a decision.
"""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from attrs import field, frozen

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src" / "kiebot"
TESTS = ROOT / "tests"
FILES = sorted(SRC.rglob("*.py"))


def names(text: str) -> frozenset[str]:
    return frozenset(text.split())


@frozen(kw_only=True)
class Room:
    """
    Which files are in it (patterns under `src/kiebot`) and what they may import.

    `kiebot` has rooms' modules; a name ending in `.*` has everything under it too. `others` has
    third-party packages. `lazily` says what may be imported inside a function: nothing, the
    packages named, or "everything".
    """

    files: frozenset[str]
    kiebot: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    lazily: frozenset[str] = field(default=frozenset())


EVERYTHING = names("everything")

ROOMS = {
    # Rules. A file in a folder belongs to the first room that has it.
    "core/dialog": Room(
        files=names("core/dialog/*.py"),
        kiebot=names("kiebot.core.*"),
        others=names("attrs babel"),
    ),
    "core": Room(
        files=names("core/*.py"),
        kiebot=names("kiebot.core.*"),
        others=names("attrs"),
    ),
    "ports": Room(
        files=names("ports/*.py"),
        kiebot=names("kiebot.core.* kiebot.ports.*"),
    ),
    # The application.
    "limits": Room(
        files=names("limits.py"),
        kiebot=names("kiebot.core.* kiebot.ports.*"),
        others=names("attrs"),
    ),
    "engine": Room(
        files=names("engine.py"),
        kiebot=names("kiebot.core.* kiebot.ports.* kiebot.limits"),
        others=names("attrs"),
    ),
    "inbox": Room(
        files=names("inbox.py"),
        kiebot=names("kiebot.core.* kiebot.ports.*"),
        others=names("attrs"),
    ),
    "inputs": Room(
        files=names("inputs.py"),
        kiebot=names("kiebot.core.* kiebot.ports.*"),
        others=names("attrs"),
    ),
    "notices": Room(
        files=names("notices.py"),
        kiebot=names("kiebot.core.* kiebot.ports.*"),
    ),
    "app": Room(
        files=names("app.py"),
        kiebot=names(
            "kiebot.core.* kiebot.ports.* kiebot.engine kiebot.inbox kiebot.inputs kiebot.limits"
            " kiebot.notices"
        ),
        others=names("attrs"),
    ),
    "conversation": Room(
        files=names("conversation.py desk.py talk.py"),
        kiebot=names("kiebot.core.* kiebot.app kiebot.desk kiebot.notices kiebot.talk"),
        others=names("attrs"),
    ),
    "waiting": Room(
        files=names("waiting.py"),
    ),
    "worker": Room(
        files=names("worker.py"),
        # Of storage and media it knows the types of what it hands on.
        kiebot=names(
            "kiebot.core.* kiebot.app kiebot.waiting"
            " kiebot.ports.frontend kiebot.ports.media kiebot.ports.storage"
        ),
        others=names("attrs"),
    ),
    "reception": Room(
        files=names("reception.py"),
        kiebot=names(
            "kiebot.core.* kiebot.app kiebot.waiting kiebot.ports.frontend kiebot.ports.storage"
        ),
        others=names("attrs"),
    ),
    "service": Room(
        files=names("service.py"),
        kiebot=names(
            "kiebot.core.* kiebot.app kiebot.reception kiebot.waiting kiebot.worker"
            " kiebot.ports.frontend kiebot.ports.storage"
        ),
    ),
    # The outside world. No adapter knows one of another port.
    "adapters/storage": Room(
        files=names("adapters/storage/*.py"),
        kiebot=names("kiebot.core.* kiebot.ports.* kiebot.adapters.storage.*"),
        others=names("aiosqlite asyncpg attrs cattrs"),
    ),
    "adapters/kie": Room(
        files=names("adapters/kie/*.py adapters/kie/stub_server/*.py"),
        kiebot=names("kiebot.core.* kiebot.ports.* kiebot.adapters.kie.*"),
        others=names("aiohttp aiolimiter attrs cattrs jsonschema stamina"),
    ),
    "adapters/media": Room(
        files=names("adapters/media/*.py"),
        kiebot=names("kiebot.core.* kiebot.ports.* kiebot.adapters.media.*"),
        others=names("aiohttp attrs av yarl"),
    ),
    "adapters/frontend": Room(
        files=names("adapters/frontend/*.py"),
        kiebot=names("kiebot.core.* kiebot.ports.* kiebot.adapters.frontend.* kiebot.conversation"),
        others=names("aiogram aiohttp aiolimiter attrs prompt_toolkit rich stamina"),
    ),
    "adapters/catalog": Room(
        files=names("adapters/catalog.py"),
        kiebot=names("kiebot.core.*"),
        others=names("attrs cattrs"),
    ),
    "adapters/http": Room(
        files=names("adapters/http.py"),
        kiebot=names("kiebot.core.* kiebot.app kiebot.ports.system"),
        others=names("aiohttp attrs"),
    ),
    "adapters/metrics": Room(
        files=names("adapters/metrics.py"),
        kiebot=names("kiebot.core.* kiebot.ports.*"),
        others=names("prometheus_client"),
    ),
    "adapters/logs": Room(
        files=names("adapters/logs.py"),
        kiebot=names("kiebot.core.*"),
        others=names("attrs structlog"),
        lazily=names("structlog"),
    ),
    # Putting it together.
    "config": Room(
        files=names("config.py"),
        kiebot=names("kiebot.core.errors kiebot.core.money"),
        others=names("attrs cattrs dotenv platformdirs"),
        lazily=names("dotenv platformdirs"),
    ),
    "compose": Room(
        files=names("compose.py"),
        kiebot=names("kiebot.*"),
        others=names(
            "aiogram aiohttp aiolimiter aiosqlite asyncpg attrs cattrs"
            " prompt_toolkit rich stamina structlog"
        ),
        lazily=EVERYTHING,
    ),
    "cli": Room(
        files=names("cli/*.py"),
        kiebot=names("kiebot.cli.* kiebot.compose kiebot.config kiebot.core.*"),
        others=names("attrs click rich"),
        lazily=EVERYTHING,
    ),
    "__main__": Room(files=names("__main__.py"), kiebot=names("kiebot.cli.*")),
    # The public names; `__getattr__` fetches each when it is asked for.
    "__init__": Room(files=names("__init__.py"), kiebot=names("kiebot.*"), lazily=EVERYTHING),
    # Folders that are no rooms of their own.
    "adapters": Room(files=names("adapters/__init__.py")),
}

TECHNOLOGIES = {
    "aiosqlite": "adapters/storage/sqlite*.py",
    "asyncpg": "adapters/storage/postgres*.py",
    "aiogram": "adapters/frontend/telegram*.py",
    "prompt_toolkit": "adapters/frontend/terminal*.py",
    "structlog": "adapters/logs.py",
    "prometheus_client": "adapters/metrics.py",
    "jsonschema": "adapters/kie/stub_server/wire.py",
    "av": "adapters/media/probe.py",
    "babel": "core/dialog/*.py",
    "click": "cli/*.py",
}
"""Packages that only the files of one technology know, beside compose."""

NOT_IN_CORE = names(
    "asyncio concurrent ftplib getpass http logging multiprocessing os queue random sched secrets"
    " select selectors shelve shutil signal smtplib socket socketserver sqlite3 ssl subprocess"
    " tempfile threading time urllib.request uuid"
)
"""Parts of the standard library that do I/O, or know the time, chance or the environment."""

NOT_CALLED_IN_CORE = names("open print input exec eval __import__ now utcnow today")


@frozen(kw_only=True)
class Import:
    """One name imported; `module` is whole, `inside` tells whether a function does it."""

    module: str
    line: int
    inside: bool

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]

    @property
    def is_stdlib(self) -> bool:
        return self.package in sys.stdlib_module_names


def relative(path: Path) -> str:
    return path.relative_to(SRC).as_posix()


def room_of(path: Path) -> Room | None:
    name = relative(path)
    for room in ROOMS.values():
        if any(fits(name, pattern) for pattern in room.files):
            return room
    return None


def fits(name: str, pattern: str) -> bool:
    """Like a shell: `*` does not go down into folders."""
    return name.count("/") == pattern.count("/") and fnmatchcase(name, pattern)


def is_module(name: str) -> bool:
    path = SRC.parent.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def imports(path: Path) -> Iterator[Import]:
    """Every import of a file; `from package import module` is one of the module."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)

    def walk(node: ast.AST, inside: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(module=alias.name, line=child.lineno, inside=inside)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{relative(path)}:{child.lineno}: a relative import"
                assert child.module is not None
                for alias in child.names:
                    whole = f"{child.module}.{alias.name}"
                    module = whole if is_module(whole) else child.module
                    yield Import(module=module, line=child.lineno, inside=inside)
            else:
                yield from walk(child, inside or isinstance(child, functions))

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), inside=False)


def is_allowed(module: str, allowed: frozenset[str]) -> bool:
    for name in allowed:
        stem = name.removesuffix(".*")
        if module == stem or (name.endswith(".*") and module.startswith(f"{stem}.")):
            return True
    return False


def calls(path: Path) -> Iterator[tuple[str, int]]:
    """The last name of everything that is called, and the line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr=name)):
                yield name, node.lineno


every_file = pytest.mark.parametrize("path", FILES, ids=relative)


@every_file
def test_every_file_is_in_a_room(path: Path) -> None:
    assert room_of(path) is not None, f"{relative(path)} is in no room"


@every_file
def test_a_file_imports_what_its_room_may(path: Path) -> None:
    room = room_of(path)
    assert room is not None

    wrong = [
        f"{relative(path)}:{found.line} imports {found.module}"
        for found in imports(path)
        if not found.is_stdlib
        and not is_allowed(found.module, room.kiebot)
        and found.package not in room.others
    ]

    assert wrong == []


@every_file
def test_only_the_composition_root_imports_inside_functions(path: Path) -> None:
    """A driver is loaded where it is chosen; everywhere else an import is seen at the top."""
    room = room_of(path)
    assert room is not None

    wrong = [
        f"{relative(path)}:{found.line} imports {found.module} inside a function"
        for found in imports(path)
        if found.inside and not found.is_stdlib
        if room.lazily != EVERYTHING and found.package not in room.lazily
    ]

    assert wrong == []


@every_file
def test_no_import_is_hidden(path: Path) -> None:
    """What is imported by a string is not seen by this table."""
    room = room_of(path)
    assert room is not None
    if room.lazily == EVERYTHING:
        return

    assert [line for name, line in calls(path) if name in {"import_module", "__import__"}] == []


@every_file
def test_a_technology_stays_in_its_files(path: Path) -> None:
    if path == SRC / "compose.py":
        return

    wrong = [
        f"{relative(path)}:{found.line} imports {found.module}"
        for found in imports(path)
        if found.package in TECHNOLOGIES
        and not fnmatchcase(relative(path), TECHNOLOGIES[found.package])
    ]

    assert wrong == []


@pytest.mark.parametrize(
    "path", [file for file in FILES if relative(file).startswith("core/")], ids=relative
)
def test_core_is_pure(path: Path) -> None:
    """No I/O, clock, chance, environment or `await`: time and ids come in as arguments."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    awaiting = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)

    impure = [found.module for found in imports(path) if is_impure(found.module)]
    waits = [node.lineno for node in ast.walk(tree) if isinstance(node, awaiting)]
    called = [f"{name} in line {line}" for name, line in calls(path) if name in NOT_CALLED_IN_CORE]

    assert (impure, waits, called) == ([], [], [])


def is_impure(module: str) -> bool:
    return module in NOT_IN_CORE or module.partition(".")[0] in NOT_IN_CORE


@pytest.mark.parametrize(
    "path", [file for file in FILES if file.name == "__init__.py"], ids=relative
)
def test_subpackages_are_empty(path: Path) -> None:
    """One name, one import path; only the public names and the commands are gathered."""
    if path.parent in {SRC, SRC / "cli"}:
        return

    assert path.read_text() == ""


def test_every_room_is_lived_in() -> None:
    """A pattern that fits no file is a typing mistake, or a room that has gone."""
    lived_in = {relative(path) for path in FILES}

    empty = [
        pattern
        for room in ROOMS.values()
        for pattern in room.files
        if not any(fits(name, pattern) for name in lived_in)
    ]

    assert empty == []


def test_what_is_imported_is_a_declared_dependency() -> None:
    """Not something that only comes along with something else."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {normal(re.split(r"[<>=!~ ;\[]", line)[0]) for line in project["dependencies"]}
    distributions = packages_distributions()

    used: dict[str, set[str]] = {}
    for path in FILES:
        for found in imports(path):
            if not found.is_stdlib and found.package != "kiebot":
                used.setdefault(found.package, set()).add(relative(path))
    undeclared = {
        package: files
        for package, files in used.items()
        if not declared & {normal(name) for name in distributions.get(package, [])}
    }

    assert undeclared == {}


def normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


@pytest.mark.parametrize(
    "path", sorted(path for path in SRC.rglob("*") if path.suffix in {".py", ".sql"}), ids=relative
)
def test_nothing_is_left_for_later(path: Path) -> None:
    """Work that is still to be done is an issue, not a comment."""
    text = path.read_text(encoding="utf-8")

    assert re.findall(r"\b(?:TODO|FIXME|XXX|HACK)\b.*|pytest\.skip.*", text) == []


@pytest.mark.parametrize(
    "path", sorted(TESTS.rglob("*.py")), ids=lambda path: path.relative_to(TESTS).as_posix()
)
def test_no_test_is_skipped(path: Path) -> None:
    """What cannot run fails. A test is for the code, so there is always a way to run it."""
    skips = {"skip", "skipif", "importorskip", "skipUnless", "skipIf"}
    tree = ast.parse(path.read_text(encoding="utf-8"))

    found = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in skips
    ]

    assert found == []


# What each command loads: nobody waits for what they do not use.

TERMINAL = {"prompt-toolkit"}
TELEGRAM = {"aiogram", "aiohttp", "aiolimiter", "prometheus-client", "pydantic", "yarl"}
DATABASES = {"aiosqlite", "asyncpg", "cattrs"}
MEASURING = {"av"}
CHECKING = {"jsonschema", "stamina"}

NOT_LOADED = {
    "models": TERMINAL | TELEGRAM | DATABASES | MEASURING | CHECKING | {"structlog"},
    "chat": TELEGRAM | {"asyncpg"} | MEASURING | CHECKING,
    "audit": TERMINAL | TELEGRAM | {"asyncpg"} | MEASURING | CHECKING,
}


def loaded_by(folder: Path, *arguments: str) -> set[str]:
    """The distributions of others of which a command loaded something, as a process of its own."""
    script = (
        "import json, runpy, sys\n"
        f"sys.argv = ['kiebot', *{arguments!r}]\n"
        "try:\n"
        "    runpy.run_module('kiebot', run_name='__main__', alter_sys=True)\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        "print()\n"
        "print(json.dumps(sorted(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env={**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}
    distributions = packages_distributions()
    return {
        normal(distribution)
        for package in loaded
        for distribution in distributions.get(package, [])
        # A start file of setuptools or virtualenv may be loaded in any Python of the environment.
        if normal(distribution) not in {"setuptools", "virtualenv"}
    }


def test_help_loads_click_and_nothing_else(tmp_path: Path) -> None:
    """`kiebot --help` must be there at once, on a small machine too."""
    assert loaded_by(tmp_path, "--help") - {"kiebot"} == {"click"}


def test_commands_load_what_they_use(tmp_path: Path) -> None:
    """The terminal needs no Telegram, a list of prices no database, and nobody both databases."""
    database = f"sqlite:///{tmp_path / 'shop.db'}"
    commands = {
        "models": ("models",),
        "chat": ("chat", "--database", database),
        "audit": ("audit", "--database", database),
    }

    loaded = {name: loaded_by(tmp_path, *words) for name, words in commands.items()}

    assert {name: loaded[name] & NOT_LOADED[name] for name in commands} == {
        name: set() for name in commands
    }
