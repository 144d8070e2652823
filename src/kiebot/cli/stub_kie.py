"""`kiebot stub-kie`: an HTTP server on loopback that answers as kie.ai does."""

import asyncio
import contextlib
import os
import signal

import click

PORT = 8765


class _Port(click.IntRange):
    """The number of a port, which a refusal calls by its name."""

    name = "port: a whole number from 0 to 65535"


@click.command("stub-kie")
@click.option(
    "--port",
    type=_Port(0, 65535),
    metavar="N",
    default=PORT,
    show_default=True,
    help="Where to listen on 127.0.0.1; 0: any free port.",
)
@click.option("--key", metavar="KEY", help="The only key that is taken. Else any is.")
@click.option("--strict", is_flag=True, help="Refuse names that kie.ai's pages do not have.")
@click.option(
    "--delay",
    type=click.FloatRange(min=0),
    default=0.5,
    show_default=True,
    metavar="SECONDS",
    help="How long a task takes.",
)
@click.option(
    "--callback-secret", metavar="SECRET", help="Signs callbacks, as KIE_CALLBACK_SECRET."
)
@click.option(
    "--limits/--no-limits",
    default=True,
    show_default=True,
    help="20 new tasks in 10 s and 10 looks in 1 s, as at kie.ai.",
)
def stub_kie(
    port: int,
    key: str | None,
    *,
    strict: bool,
    delay: float,
    callback_secret: str | None,
    limits: bool,
) -> None:
    """
    Answer as kie.ai does, for development and tests.

    The first line is the address, for KIE_API_URL and KIE_UPLOAD_URL; then a line for each
    request. What can go wrong, and how to ask for it, is in docs/stub.md.
    """
    asyncio.run(
        _serve(
            port,
            key=key,
            strict=strict,
            delay_s=delay,
            callback_secret=callback_secret,
            limits=limits,
        )
    )


async def _serve(
    port: int,
    *,
    key: str | None,
    strict: bool,
    delay_s: float,
    callback_secret: str | None,
    limits: bool,
) -> None:
    from kiebot.compose import stub_server

    server = stub_server(
        port=port,
        key=key,
        strict=strict,
        delay_s=delay_s,
        callback_secret=callback_secret,
        limits=limits,
        say=_say,
    )
    try:
        await server.start()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise click.ClickException(
            f"cannot listen on port {port}: {reason}; choose another with --port, 0 takes any"
        ) from None
    ended = asyncio.Event()
    with contextlib.suppress(NotImplementedError):  # Windows ends a process without asking it
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    try:
        _say(server.address)
        await ended.wait()
    finally:
        await server.close()


def _say(line: str) -> None:
    # Whoever read the lines may have gone; the server is still of use.
    with contextlib.suppress(OSError):
        click.echo(line)
