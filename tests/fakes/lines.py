"""Somebody at the frontend of docs/adapters.md (`examples/frontend.py`), by a connection."""

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from examples.frontend import LineFrontend
from kiebot import Conversation, UserId
from tests.fakes.talk import Talk
from tests.fakes.terminal import PATIENCE_S, Pipe

CALLER = UserId(42)

CALL = """
import os, socket, sys, threading
there = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def say():
    while line := os.read(0, 65536):
        there.sendall(line)
    there.shutdown(socket.SHUT_WR)
threading.Thread(target=say, daemon=True).start()
while heard := there.recv(65536):
    os.write(1, heard)
"""
"""What `nc 127.0.0.1 PORT` does."""


def call(port: int, folder: Path) -> Pipe:
    """Who has said who they are, and sees the first screen."""
    command = [sys.executable, "-I", "-S", "-c", CALL, str(port)]
    person = Pipe(command, {"PATH": os.defpath}, folder)
    person.sees("your name?")
    person.types(f"{CALLER} Anna")
    return person


@contextmanager
def somebody_calling(folder: Path) -> Iterator[Pipe]:
    """With a conversation that does as it is told behind the frontend (`talk.py`)."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        # Who starts a task keeps it: the loop does not.
        frontend, _running = asyncio.run_coroutine_threadsafe(_listen(folder), loop).result(
            PATIENCE_S
        )
        person = call(frontend.port, folder)
        yield person
        if not person.has_ended:
            assert person.ends() == 0
    finally:
        asyncio.run_coroutine_threadsafe(_end(), loop).result(PATIENCE_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE_S)
        loop.close()


async def _listen(folder: Path) -> "tuple[LineFrontend, asyncio.Task[None]]":
    talk = Talk(person=CALLER)
    frontend = LineFrontend(cast("Conversation", talk), 0, str(folder / "results"))
    talk.frontend = frontend
    running = asyncio.create_task(frontend.run())
    while not frontend.port and not running.done():  # noqa: ASYNC110 - it takes a few turns
        await asyncio.sleep(0)
    return frontend, running


async def _end() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
