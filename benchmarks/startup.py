"""
How soon a command is there: each against a program that only imports what the command cannot do
without.

    python -m benchmarks.startup [--rounds 7] [--to FOLDER]

A command and its reference take turns, each in a fresh process with the bytecode of all modules in
place. What is waited for is the end of the process, or a sign in what it says: the first prompt of
`kiebot chat` in a terminal, `GET /ready` of `kiebot serve`.
"""

import os
import pty
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from select import select

from benchmarks import measure
from kiebot.adapters.frontend.terminal_markup import MARK

EMPTY = "import click\n\n@click.command()\ndef main():\n    pass\n\nmain()"
"""A command that does nothing."""

NEEDED = {
    "models": ("attrs", "click", "decimal", "json", "rich.console", "rich.table"),
    "chat": (
        *("asyncio", "attrs", "babel.numbers", "cattrs", "click", "decimal"),
        *(
            "json",
            "logging",
            "platformdirs",
            "prompt_toolkit.application",
            "prompt_toolkit.history",
        ),
        *("prompt_toolkit.shortcuts", "rich.console", "rich.markup", "sqlite3"),
    ),
    "serve": (
        *("aiogram", "aiohttp.web", "aiolimiter", "asyncio", "attrs", "babel.numbers"),
        *("cattrs", "click", "decimal", "json", "logging", "platformdirs"),
        *("prometheus_client", "sqlite3", "structlog", "yarl"),
    ),
}
"""Modules of others that a command cannot do without: those that it uses in any run of it."""

PROMPT = MARK.strip().encode()
WAIT_S = 120.0


def main() -> None:
    """Measure, and keep the page."""
    parser = measure.arguments(__doc__)
    parser.set_defaults(rounds=7)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kiebot-startup-") as name:
        folder = Path(name)
        commands = _commands(folder)
        for ready in commands.values():
            ready()  # what is made once, is: bytecode, databases
        found = measure.in_turn(commands, asked.rounds)
    measure.keep(_page(found), asked.to)


def _page(found: Mapping[str, Sequence[float]]) -> measure.Page:
    compared = {
        "kiebot --help": ("an empty click program", "empty"),
        "kiebot models": ("importing what it needs", "models"),
        "first prompt of kiebot chat": ("importing what it needs", "chat"),
        "kiebot serve, to ready": ("importing what it needs", "serve"),
    }
    return measure.Page(
        name="startup",
        title="Starting",
        about=ABOUT.strip(),
        rows=tuple(
            measure.Row(
                measured=measured,
                against=against,
                rounds=measure.ratios(found[measured], found[reference]),
                goal=measure.at_most(1.5),
                why=WHY,
            )
            for measured, (against, reference) in compared.items()
        ),
        figures=tuple(
            measure.Figure(of=name, unit="s", rounds=tuple(seconds))
            for name, seconds in found.items()
        ),
        packages=("attrs", "cattrs", "click", "prompt-toolkit", "rich"),
    )


ABOUT = f"""
From the start of a process to its end, to the first prompt in a terminal, or to the first answer of
`GET /ready` with 200 (beside a Bot API server on loopback). The databases are SQLite files that are
there already. The references import modules of others and nothing of kiebot: an empty `click`
program; for `models` {", ".join(NEEDED["models"])}; for `chat` {", ".join(NEEDED["chat"])}; for
`serve` {", ".join(NEEDED["serve"])}. They look for garbage as often as Python
does by itself; kiebot less often (`YOUNG` in `kiebot/cli/__init__.py`).
"""

WHY = (
    "Kiebot's own modules have about 150 value classes, and attrs compiles the methods of each when"
    " its module is loaded: that, reading the catalog with every check, and opening the database"
    " come on top of the imports that the reference makes, too."
)


def _commands(folder: Path) -> Mapping[str, Callable[[], float]]:
    kiebot = [str(Path(sys.executable).with_name("kiebot"))]
    python = [sys.executable, "-c"]
    return {
        "empty": partial(_to_end, [*python, EMPTY], folder),
        "kiebot --help": partial(_to_end, [*kiebot, "--help"], folder),
        "models": partial(_to_end, [*python, _imports("models")], folder),
        "kiebot models": partial(_to_end, [*kiebot, "models"], folder),
        "chat": partial(_to_end, [*python, _imports("chat")], folder),
        "first prompt of kiebot chat": partial(_to_prompt, [*kiebot, "chat"], folder),
        "serve": partial(_to_end, [*python, _imports("serve")], folder),
        "kiebot serve, to ready": partial(_to_ready, [*kiebot, "serve"], folder),
    }


def _imports(command: str) -> str:
    return "\n".join(f"import {name}" for name in NEEDED[command])


def _environment(folder: Path, **more: str) -> dict[str, str]:
    """Nothing of the person who measures."""
    return {"HOME": str(folder), "PATH": os.defpath, "LANG": "C.UTF-8", "TERM": "xterm", **more}


def _to_end(command: Sequence[str], folder: Path) -> float:
    begun_at = time.perf_counter()
    subprocess.run(
        command, check=True, cwd=folder, env=_environment(folder), stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - begun_at


def _to_prompt(command: Sequence[str], folder: Path) -> float:
    """Until it asks for the first answer, in a terminal."""
    ours, theirs = pty.openpty()
    begun_at = time.perf_counter()
    with subprocess.Popen(
        command,
        cwd=folder,
        env=_environment(folder, PROMPT_TOOLKIT_NO_CPR="1"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        try:
            said = b""
            while PROMPT not in said:
                if not select([ours], [], [], WAIT_S)[0]:
                    raise TimeoutError(f"no prompt after {said!r}")
                said += os.read(ours, 65536)
            return time.perf_counter() - begun_at
        finally:
            process.kill()
            process.wait()
            os.close(ours)


def _to_ready(command: Sequence[str], folder: Path) -> float:
    """Until it says that people are served."""
    with _telegram(folder) as telegram:
        port = _free_port()
        environment = _environment(
            folder,
            TELEGRAM_BOT_TOKEN="42:" + "A" * 35,
            TELEGRAM_API_URL=telegram,
            TEST_MODE="1",
            HOST="127.0.0.1",
            PORT=str(port),
            DATABASE_URL=f"sqlite:///{folder}/serve.db",
            LOG_LEVEL="error",
        )
        begun_at = time.perf_counter()
        with subprocess.Popen(command, cwd=folder, env=environment) as process:
            try:
                while not _is_ready(port):
                    if process.poll() is not None or time.perf_counter() - begun_at > WAIT_S:
                        raise RuntimeError("kiebot serve does not get ready")
                    time.sleep(0.01)
                return time.perf_counter() - begun_at
            finally:
                process.terminate()


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=WAIT_S) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


TELEGRAM = """
import http.server, json, time

class Telegram(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        result = True
        if self.path.lower().endswith("/getupdates"):
            time.sleep(0.2)
            result = []
        elif self.path.lower().endswith("/getme"):
            result = {"id": 42, "is_bot": True, "first_name": "bot", "username": "a_bot"}
        body = json.dumps({"ok": True, "result": result}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Telegram)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


@contextmanager
def _telegram(folder: Path) -> Iterator[str]:
    """A Bot API server to which nobody writes, as a process of its own; its address."""
    with subprocess.Popen(
        [sys.executable, "-c", TELEGRAM],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # nobody tells it that kiebot ends
        text=True,
    ) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        finally:
            server.kill()


if __name__ == "__main__":
    main()
