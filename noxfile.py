"""
What is checked before a change is good: `nox` runs all of it, `nox -s NAME` one session.

Every session makes its own environment and installs what it needs; nothing else has to be there,
PostgreSQL included.
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nox

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"
# The tests come last, so that their closing line is near the end of what is printed.
nox.options.sessions = ["lint", "types", "package", "tests"]

PYPROJECT = nox.project.load_toml("pyproject.toml")

MEMORY = Path("/dev/shm")
"""Where Linux keeps files in memory."""

ROOM = 4 << 30
"""Bytes that the tests' files need at most, with room to spare."""

GENERATION = ["mcat:visuals", "mmodel:flux-2/pro-text-to-image", "a red cat", "1"]
"""What a person answers in `kiebot chat` for one picture, from the category to the confirmation."""


def install(session: nox.Session, group: str, *, project: bool) -> None:
    """Install a dependency group and, editable, kiebot itself."""
    packages = nox.project.dependency_groups(PYPROJECT, group)
    session.install(*packages, *(["-e", "."] if project else []))


@nox.session
def lint(session: nox.Session) -> None:
    """Look for mistakes and for another style (ruff)."""
    install(session, "lint", project=False)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types, strictly (mypy)."""
    install(session, "types", project=True)
    session.run("mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests, or with `-- ARGS` pytest with these arguments."""
    install(session, "test", project=True)
    # Many tests wait, for pauses that Telegram wants kept: more of them than cores at once.
    arguments = session.posargs or ["-n", "4", "--dist", "load", "--maxschedchunk", "1"]
    with quick_folder() as environment:
        session.run("pytest", *arguments, env=environment)


@contextmanager
def quick_folder() -> Iterator[dict[str, str | None]]:
    """
    Variables for tests that make many small databases: their files in memory, if there is room.

    Programs that are started again and again are compiled once, whatever the machine's habit.
    """
    compiled: dict[str, str | None] = {"PYTHONDONTWRITEBYTECODE": None}
    if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < ROOM:
        yield compiled
        return
    with tempfile.TemporaryDirectory(prefix="kiebot-", dir=MEMORY) as name:
        # The tests' PostgreSQL may belong to another user, and has to get to its own folder inside.
        Path(name).chmod(0o711)
        yield {**compiled, "TMPDIR": name}


@nox.session
def plants(session: nox.Session) -> None:
    """Plant known mistakes with money into copies, and show that the tests find each."""
    install(session, "test", project=True)
    session.run("python", "-m", "tests.plants")


@nox.session
def chaos(session: nox.Session) -> None:
    """Kill `kiebot serve` 40 times under 200 people; `-- --people N --kills N --seed N`."""
    install(session, "test", project=True)
    options = session.posargs or ["--people", "200", "--kills", "40"]
    session.run("pytest", "tests/acceptance/test_serve_chaos.py", *options)


@nox.session
def open_jobs(session: nox.Session) -> None:
    """Measure what 10,000 open jobs take of one process; `-- --jobs N --seconds S`."""
    install(session, "test", project=True)
    session.run("python", "-m", "benchmarks.open_jobs", *session.posargs)


@nox.session
def package(session: nox.Session) -> None:
    """Build the wheel, install it where nothing else is, and make one generation with it."""
    install(session, "package", project=False)
    with tempfile.TemporaryDirectory(prefix="kiebot-package-") as name:
        folder = Path(name)
        session.run("python", "-m", "build", "--wheel", "--outdir", str(folder / "dist"))
        (wheel,) = (folder / "dist").glob("*.whl")
        session.run("virtualenv", "--quiet", str(folder / "venv"))
        scripts = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        session.run(str(scripts / "python"), "-m", "pip", "install", "-q", str(wheel),
                    external=True)  # fmt: skip
        try_out(session, scripts / "kiebot", folder)


def try_out(session: nox.Session, kiebot: Path, folder: Path) -> None:
    """Use the installed command as a person with nothing configured would."""
    home = folder / "home"
    home.mkdir()
    results = folder / "results"
    database = f"sqlite:///{home / 'kiebot.db'}"
    # No variable of the person who runs this session takes part.
    environment = {"HOME": str(home), "PATH": os.defpath, "DATABASE_URL": database}

    def run(*arguments: str, answers: str = "") -> str:
        session.log("kiebot " + " ".join(arguments))
        done = subprocess.run(
            [str(kiebot), *arguments],
            input=answers,
            env=environment,
            cwd=home,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
        if done.returncode != 0:
            session.error(f"exit {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    run("--help")
    said = run(
        "chat", "--database", database, "--output", str(results),
        answers="".join(f"{answer}\n" for answer in GENERATION),
    )  # fmt: skip
    files = [path for path in results.rglob("*") if path.is_file() and path.stat().st_size]
    if not files:
        session.error(f"no result in {results}; kiebot said:\n{said}")
    audit = json.loads(run("audit", "--json"))
    if audit["ok"] is not True:
        session.error(f"the audit found {audit['problems']}")
    session.log(f"made {', '.join(path.name for path in files)}; the audit is content")
