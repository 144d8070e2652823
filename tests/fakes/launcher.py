"""
`kiebot` as a process, again and again, without loading it again and again.

    process = launch(["serve"], env=environment, cwd=folder, output=folder / "serve.log")
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0

Loading aiogram takes seconds of a core, far longer than most stories. Here one program loads all
of it once, and each process is a fork of it that has done nothing yet: its own memory, environment,
folder and signals. What depends on how an interpreter starts is tested with real ones elsewhere.

Run as a program it is the one that loads; it ends, and ends what it began, when its tests do.
"""

import atexit
import gc
import json
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from attrs import define

PATIENCE_S = 120.0
"""When a test gives up; loading takes long on a slow machine."""

MOST_BYTES = 1 << 17
"""Of one request."""

LOADED = (
    "kiebot.cli.admin",
    "kiebot.cli.audit",
    "kiebot.cli.migrate",
    "kiebot.cli.serve",
    "kiebot.compose",
    "kiebot.service",
    "kiebot.adapters.frontend.telegram",
    "kiebot.adapters.http",
    "kiebot.adapters.metrics",
    "kiebot.adapters.kie.live",
    "kiebot.adapters.kie.stub",
    "kiebot.adapters.media.live",
    "kiebot.adapters.media.stub",
    "kiebot.adapters.storage.postgres",
    "kiebot.adapters.storage.sqlite",
)


@define
class Process:
    """One process; `returncode` is None until it was waited for, negative after a signal."""

    pid: int
    returncode: int | None
    _told: int

    def send_signal(self, number: signal.Signals) -> None:
        """Nothing happens where it has ended."""
        if self.returncode is None:
            # That it has ended may be about to be told.
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        if self.returncode is None and select.select([self._told], [], [], 0)[0]:
            return self.wait(PATIENCE_S)
        return self.returncode

    def wait(self, seconds: float) -> int:
        """
        Its exit code.

        Raises:
            TimeoutError: It has not ended by then.
        """
        if self.returncode is None:
            self.returncode = int(_line(self._told, seconds))
            os.close(self._told)
        return self.returncode


def launch(arguments: Sequence[str], *, env: Mapping[str, str], cwd: Path, output: Path) -> Process:
    """Start `kiebot` with these arguments. What it prints is added to the file."""
    told, telling = os.pipe()
    with Path(os.devnull).open("rb") as nothing, output.open("ab") as log:
        request = json.dumps([list(arguments), dict(env), str(cwd)])
        given = [nothing.fileno(), log.fileno(), log.fileno(), telling]
        socket.send_fds(_loaded(), [request.encode()], given)
        os.close(telling)
    return Process(int(_line(told, PATIENCE_S)), None, told)


def run(arguments: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> tuple[int, str]:
    """The exit code of a command that ends by itself, and all that it printed."""
    with tempfile.NamedTemporaryFile(prefix="kiebot-said-") as said:
        code = launch(arguments, env=env, cwd=cwd, output=Path(said.name)).wait(PATIENCE_S)
        return code, said.read().decode("utf-8")


def _line(told: int, seconds: float) -> str:
    if not select.select([told], [], [], seconds)[0]:
        raise TimeoutError(f"it has not ended in {seconds:g} s")
    line = b""
    while not line.endswith(b"\n"):
        more = os.read(told, 1)
        assert more, "the launcher ended"
        line += more
    return line.decode()


@cache
def _loaded() -> socket.socket:
    """The way to the program that has loaded everything."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    program = subprocess.Popen(
        [sys.executable, __file__, str(theirs.fileno())],
        env={"PATH": os.defpath, "LANG": "C.UTF-8"},
        pass_fds=[theirs.fileno()],
        # Ctrl-C is for the tests, which then end what they began.
        start_new_session=True,
    )
    theirs.close()

    def end() -> None:
        ours.close()
        program.wait(PATIENCE_S)

    atexit.register(end)
    return ours


# --- The program


def _serve(requests: socket.socket) -> None:
    """Start what is asked for and tell how it ends, until nobody can ask any more."""
    for name in LOADED:
        import_module(name)
    # What is loaded is never looked at again, so that its memory stays shared.
    gc.freeze()
    running: dict[int, tuple[int, int]] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(requests, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd == requests.fileno():
                    asked, fds, _, _ = socket.recv_fds(requests, MOST_BYTES, 4)
                    if not asked:
                        for pid, _ in running.values():
                            os.kill(pid, signal.SIGKILL)
                        return
                    *streams, telling = fds
                    pid = os.fork()
                    if not pid:
                        _become(json.loads(asked), streams)
                    for stream in streams:
                        os.close(stream)
                    ended = os.pidfd_open(pid)
                    running[ended] = (pid, telling)
                    selector.register(ended, selectors.EVENT_READ)
                    os.write(telling, b"%d\n" % pid)
                else:
                    pid, telling = running.pop(key.fd)
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                    _tell(telling, code)


def _tell(telling: int, code: int) -> None:
    # Perhaps nobody waits for this one.
    with suppress(BrokenPipeError):
        os.write(telling, b"%d\n" % code)
    os.close(telling)


def _become(asked: tuple[list[str], dict[str, str], str], streams: Sequence[int]) -> NoReturn:
    """`kiebot`, in a process that has just been forked."""
    code: object = 1
    try:
        arguments, environment, folder = asked
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.closerange(3, 1024)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        import_module("kiebot.cli").main(arguments)
    except SystemExit as ended:
        code = ended.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
