"""
The HTTP server of a shop: where kie.ai says that a task may be done, where Telegram says what
people did, and where those who watch over it look.

Rubbish gets an answer of 4xx and is forgotten. What is answered with 5xx is our own trouble: KIE
and Telegram then say it once more.
"""

import asyncio
import hmac
import json
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from attrs import frozen

from kiebot.app import Kiebot
from kiebot.core import callbacks
from kiebot.core.callbacks import SIGNATURE_HEADER, TIMESTAMP_HEADER
from kiebot.core.errors import ConfigError, KieError, NotFoundError, StorageError
from kiebot.core.wallet import JobId
from kiebot.ports.system import Clock

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 1024 * 1024
"""A callback repeats the whole request, with texts of 20,000 characters at most."""

PATIENCE_S = 12.0
"""How long a callback may take. Source: KIE waits 15 s for an answer."""

STORING_S = 20.0
"""How long storing an update may take. Our choice; Telegram waits longer than that."""

CLOSE_S = 0.5
"""How long requests may still take when the server closes."""

WEBHOOK_PATH = "/telegram/webhook"
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"


@frozen(kw_only=True)
class Watching:
    """
    What those who watch over an instance are told.

    `ready` is what `/ready` says and whether that is good news; `metrics` the page of `/metrics`,
    and its content type.
    """

    ready: Callable[[], tuple[bool, Mapping[str, str]]]
    metrics: Callable[[], Awaitable[bytes]]
    metrics_type: str


@frozen(kw_only=True)
class Hook:
    """
    Where Telegram's updates go.

    `take_in` stores one: ValueError where it is none, StorageError where it cannot be stored now.
    """

    secret: str
    take_in: Callable[[object], Awaitable[None]]


def application(
    kiebot: Kiebot, clock: Clock, *, watching: Watching | None = None, hook: Hook | None = None
) -> web.Application:
    """The server's routes."""
    app = web.Application(client_max_size=MAX_BODY_BYTES)

    async def callback(request: web.Request) -> web.Response:
        return await _callback(request, kiebot, clock)

    app.router.add_post(callbacks.PATH, callback)
    if hook is not None:
        _add_hook(app, hook)
    if watching is not None:
        _add_watching(app, watching)
    return app


@asynccontextmanager
async def serving(app: web.Application, host: str, port: int) -> AsyncIterator[int]:
    """
    Serve while the block runs; the port, which with 0 is any free one.

    No line is logged for a request: addresses hold keys.

    Raises:
        ConfigError: Nobody can listen there.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
            raise ConfigError(
                [f"HOST, PORT: cannot listen on {host}, port {port}: {why}"]
            ) from None
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _add_watching(app: web.Application, watching: Watching) -> None:
    async def health(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def ready(_: web.Request) -> web.Response:
        is_ready, words = watching.ready()
        return web.json_response(dict(words), status=200 if is_ready else 503)

    async def metrics(_: web.Request) -> web.Response:
        page = await watching.metrics()
        return web.Response(body=page, headers={"Content-Type": watching.metrics_type})

    for path in ("/", "/health", "/healthz"):
        app.router.add_get(path, health)
    app.router.add_get("/ready", ready)
    app.router.add_get("/metrics", metrics)


def _add_hook(app: web.Application, hook: Hook) -> None:
    secret = hook.secret.encode()

    async def update(request: web.Request) -> web.Response:
        given = request.headers.get(SECRET_HEADER, "").encode(errors="surrogateescape")
        if not hmac.compare_digest(given, secret):
            return _answer(401, "the secret token is missing or wrong")
        raw = await _json(request)
        if isinstance(raw, web.Response):
            return raw
        try:
            async with asyncio.timeout(STORING_S):
                await hook.take_in(raw)
        except ValueError:
            return _answer(400, "no update")
        except (StorageError, TimeoutError) as error:
            log.warning("an update could not be stored: %s", str(error) or "too slow")
            return _answer(503, "try again")
        return _answer(200, "stored")

    app.router.add_post(WEBHOOK_PATH, update)


async def _json(request: web.Request) -> Any:
    """The body, or the answer to one that is no JSON."""
    try:
        return await request.json(loads=_loads)
    except web.HTTPRequestEntityTooLarge:
        return _answer(413, f"more than {MAX_BODY_BYTES} bytes")
    except (ValueError, LookupError, RecursionError):
        # Broken JSON, broken text, an encoding that does not exist.
        return _answer(400, "no JSON")


def _loads(text: str) -> Any:
    """JSON as its standard has it: what Python reads beyond that, no database would take."""
    return json.loads(text, parse_constant=_refuse)


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


async def _callback(request: web.Request, kiebot: Kiebot, clock: Clock) -> web.Response:
    secrets = kiebot.terms.callbacks
    if secrets is None:
        return _answer(404, "no callbacks are taken here")
    job_id = request.query.get("job", "")
    if not secrets.knows(job_id, request.query.get("key", "")):
        return _answer(401, "job and key do not fit")
    body = await _json(request)
    if isinstance(body, web.Response):
        return body
    task_id = callbacks.task_id(body)
    if task_id is None:
        return _answer(400, "no task is named")
    signed = secrets.is_signed(
        task_id,
        request.headers.get(TIMESTAMP_HEADER, ""),
        request.headers.get(SIGNATURE_HEADER, ""),
        clock(),
    )
    if not signed:
        return _answer(401, "the signature is wrong, or too old")
    try:
        async with asyncio.timeout(PATIENCE_S):
            is_ours = await kiebot.called_back(JobId(job_id), task_id)
    except NotFoundError:
        return _answer(404, "there is no such job")
    except (KieError, StorageError, TimeoutError) as error:
        log.warning("a callback could not be used: %s", error, extra={"job_id": job_id})
        return _answer(503, "try again")
    if not is_ours:
        return _answer(404, "no task of this job")
    return _answer(200, "thank you")


def _answer(status: int, what: str) -> web.Response:
    return web.json_response({"ok": status == 200, "detail": what}, status=status)
