"""`kiebot serve`: the Telegram deployment."""

import asyncio
import gc
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

import click

from kiebot.cli.options import DOTENV, read_settings

if TYPE_CHECKING:
    from kiebot.config import Settings


@click.command()
def serve() -> None:
    """
    Sell in Telegram: the bot, the worker, and an HTTP server for who watches over them.

    Everything is set by the environment and `.env`; `.env.example` lists it. Several may run on
    one database: one leads, the others stand by, and with BOT_MODE=webhook help. SIGTERM or Ctrl-C
    finishes what is in hand within 10 seconds; the second one ends at once.
    """
    import logging

    from kiebot.compose import configure_logs
    from kiebot.config import misspelt

    settings = read_settings()
    configure_logs(settings)
    # What is missing is said at once.
    settings.for_serve()
    log = logging.getLogger(__name__)
    log.info("starting")
    for name, meant in misspelt(DOTENV).items():
        log.warning("%s: %s is no setting and means nothing; is %s meant?", DOTENV, name, meant)
    _load("kiebot.adapters.frontend.telegram")
    asyncio.run(_serve(settings))


def _load(module: str) -> None:
    """
    Import what takes seconds, while Ctrl-C ends the process at once: nothing is open yet, and as an
    exception it would come out of pydantic as another one.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        import_module(module)
    finally:
        signal.signal(signal.SIGINT, before)


async def _serve(settings: "Settings") -> None:
    from kiebot.compose import serve as composed

    async with composed(settings) as service:
        keep_what_is_loaded()
        with _ending(service.stop):
            await service.run()


def keep_what_is_loaded() -> None:
    """
    Python looks for garbage among everything, which takes a quarter of a second with all that
    aiogram brings, and nobody is answered meanwhile: from now on only among what comes new.
    """
    gc.collect()
    gc.freeze()


@contextmanager
def _ending(stop: Callable[[], None]) -> Iterator[None]:
    """The first signal to end calls `stop`; the second has its usual effect, which is the end."""
    loop = asyncio.get_running_loop()
    signals = [signal.SIGINT, signal.SIGTERM]
    if sys.platform == "win32":
        signals.append(signal.SIGBREAK)

    def heard(*_: object) -> None:
        for one in signals:
            signal.signal(one, signal.SIG_DFL)
        # Signals are handled between two steps of the loop, which may be asleep.
        loop.call_soon_threadsafe(stop)

    before = {one: signal.signal(one, heard) for one in signals}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
