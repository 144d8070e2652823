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
    """
    Plant known mistakes into copies, and show that the tests find each: `-- money`, with money,
    `-- security`, holes; all of them without either.
    """
    install(session, "test", project=True)
    session.run("python", "-m", "tests.plants", *session.posargs)


@nox.session
def chaos(session: nox.Session) -> None:
    """Kill `kiebot serve` 40 times under 200 people; `-- --people N --kills N --seed N`."""
    install(session, "test", project=True)
    options = session.posargs or ["--people", "200", "--kills", "40"]
    session.run("pytest", "tests/acceptance/test_serve_chaos.py", *options)


@nox.session
def torture(session: nox.Session) -> None:
    """
    Hurt it in every way for half an hour, and write docs/torture.md; `-- --minutes N --seed N
    --database sqlite|postgres --chapter NAME --report FILE` for less, and for other places.
    """
    install(session, "test", project=True)
    options = session.posargs or ["--minutes", "30", "--report", "docs/torture.md"]
    session.run("python", "-m", "tests.torture", *options)


BENCHMARKS = (
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
"""Modules of `benchmarks`, each with a session of its name."""


def measured(name: str) -> None:
    """Make the session of a benchmark."""

    def run(session: nox.Session) -> None:
        install(session, "bench", project=True)
        session.run("python", "-m", f"benchmarks.{name}", *session.posargs)
        session.run("python", "-m", "benchmarks.report")

    run.__doc__ = f"Measure what benchmarks/{name}.py says; `-- --rounds N` and its own options."
    nox.session(name=name)(run)


for benchmark in BENCHMARKS:
    measured(benchmark)


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Measure everything and write docs/performance.md: a quarter of an hour, if it is quiet."""
    install(session, "bench", project=True)
    for name in (*BENCHMARKS, "flame"):
        session.run("python", "-m", f"benchmarks.{name}")
    session.run("python", "-m", "benchmarks.report")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site of docs/ into build/site; a broken link or a stale page is an error."""
    install(session, "docs", project=True)
    session.run("python", "-m", "tools.reference", "--check")
    options = ["-W", "--keep-going", "-n", "-q", "-b", "html"]
    session.run("sphinx-build", *options, "docs", "build/site")
    session.log("the site is at build/site/index.html")


@nox.session
def screenshots(session: nox.Session) -> None:
    """Make the pictures of docs/images anew: of the terminal, and of Telegram."""
    install(session, "test", project=True)
    session.run("python", "-m", "tools.screenshots")


@nox.session
def lock(session: nox.Session) -> None:
    """Lock what the image installs, each release by its hashes (uv); every Python kiebot is for."""
    install(session, "lock", project=False)
    options = ["--quiet", "--universal", "--generate-hashes", "--upgrade"]
    # Who installs from it says where from.
    options += ["--no-emit-index-url", "--no-emit-find-links"]
    options += ["--python-version", "3.11", "--custom-compile-command", "nox -s lock"]
    session.run("uv", "pip", "compile", *options, "-o", "requirements.lock", "pyproject.toml")
    with tempfile.TemporaryDirectory() as name:
        needed = Path(name) / "build-system.in"
        needed.write_text("\n".join(PYPROJECT["build-system"]["requires"]), "utf-8")
        options += ["--no-annotate", "-o", "requirements-build.lock"]
        session.run("uv", "pip", "compile", *options, str(needed))


@nox.session
def audit_dependencies(session: nox.Session) -> None:
    """
    Look for known vulnerabilities in what is locked (pip-audit), by what PyPI knows of them.

    It needs the network, and fails, saying so, where nobody could be asked. `-- -s osv` asks
    another service.
    """
    install(session, "audit", project=False)
    with tempfile.TemporaryDirectory() as name:
        for lock_file in ("requirements.lock", "requirements-build.lock"):
            found = Path(name) / f"{lock_file}.json"
            # 1 is both: something was found, or nobody could be asked.
            session.run(
                *["pip-audit", "--requirement", lock_file, "--disable-pip", "--require-hashes"],
                *["--format", "json", "--output", str(found), "--progress-spinner", "off"],
                *session.posargs,
                success_codes=[0, 1],
            )
            said = found.read_text("utf-8") if found.exists() else ""
            known = json.loads(said)["dependencies"] if said else []
            # pip-audit calls it a success when it was told of no package at all.
            skipped = [each["name"] for each in known if "skip_reason" in each]
            if not known or skipped:
                session.error(
                    f"not audited: {len(skipped) or 'all'} packages of {lock_file}. The service"
                    " that knows of vulnerabilities could not be asked (no network, or a mirror"
                    " without it); try where it can be, or another one: `-- -s osv`"
                )
            wrong = [
                f"{each['name']} {each['version']}: {hole['id']}, mended in"
                f" {', '.join(hole['fix_versions']) or 'no release yet'}"
                for each in known
                for hole in each["vulns"]
            ]
            if wrong:
                session.error("known vulnerabilities:\n" + "\n".join(wrong))
            session.log(f"{lock_file}: {len(known)} packages, no known vulnerability")


@nox.session
def newcomer(session: nox.Session) -> None:
    """Follow the owner's tutorial to the letter in a fresh copy, installation and all."""
    install(session, "test", project=True)
    session.run("pytest", "--newcomer", "tests/acceptance/test_tutorial.py", *session.posargs)


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
