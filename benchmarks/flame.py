"""
Where the time goes: flame graphs of a whole job on each database, and of a press, by py-spy.

    python -m benchmarks.flame [--seconds 15] [--to docs/performance]

The pictures stand in the sections of those benchmarks. Watched is what goes on when all is loaded,
filled and prepared.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import postgres, press, shop
from benchmarks.measure import FOLDER
from benchmarks.shop import AT_ONCE, Shop

PICTURES = {
    "postgres": "whole_job_postgres-flame.svg",
    "sqlite": "whole_job_sqlite-flame.svg",
    "press": "press-flame.svg",
}

READY = "ready\n"
WARM_UP_S = 2.0
MARGIN_S = 5.0


def main() -> None:
    """Draw them all, or be what is drawn."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--to", type=Path, default=FOLDER, help="the folder of the pictures")
    parser.add_argument("--role", choices=PICTURES, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.role is not None:
        asyncio.run(_work(asked.role, asked.seconds))
        return
    asked.to.mkdir(parents=True, exist_ok=True)
    for role, name in PICTURES.items():
        _draw(role, asked.to / name, asked.seconds)


def _draw(role: str, path: Path, seconds: float) -> None:
    # It goes on for longer than it is watched.
    lasting = str(seconds + MARGIN_S)
    work = [sys.executable, "-m", "benchmarks.flame", "--role", role, "--seconds", lasting]
    program = str(Path(sys.executable).with_name("py-spy"))
    with subprocess.Popen(work, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        if said != READY:
            raise AssertionError(said)
        how = ["--rate", "200", "--duration", str(round(seconds)), "--output", str(path)]
        subprocess.run([program, "record", *how, "--pid", str(process.pid)], check=True)
    if process.returncode:
        raise AssertionError(process.returncode)


async def _work(role: str, seconds: float) -> None:
    if role == "postgres":
        with postgres.running() as server, postgres.database(server) as dsn:
            async with shop.on_postgres(dsn) as kiebot:
                await _whole_jobs(kiebot, seconds)
    elif role == "press":
        await press.press_on(seconds, _say_ready)
    else:
        with tempfile.TemporaryDirectory(prefix="kiebot-bench-") as folder:
            async with shop.on_sqlite(Path(folder) / "kiebot.db") as kiebot:
                await _whole_jobs(kiebot, seconds)


async def _whole_jobs(kiebot: Shop, seconds: float) -> None:
    await kiebot.fill(AT_ONCE)
    await shop.rate(kiebot.job, AT_ONCE, WARM_UP_S, people=AT_ONCE)
    _say_ready()
    await shop.rate(kiebot.job, AT_ONCE, seconds, people=AT_ONCE)


def _say_ready() -> None:
    sys.stdout.write(READY)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
