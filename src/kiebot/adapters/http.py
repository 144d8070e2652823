"""
The HTTP server of a shop: so far, where kie.ai says that a task may be done.

Rubbish gets an answer of 4xx and is forgotten. What is answered with 5xx is our own trouble: KIE
then says it once more.
"""

import asyncio
import logging

from aiohttp import web

from kiebot.app import Kiebot
from kiebot.core import callbacks
from kiebot.core.callbacks import SIGNATURE_HEADER, TIMESTAMP_HEADER
from kiebot.core.errors import KieError, NotFoundError, StorageError
from kiebot.core.wallet import JobId
from kiebot.ports.system import Clock

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 1024 * 1024
"""A callback repeats the whole request, with texts of 20,000 characters at most."""

PATIENCE_S = 12.0
"""How long a callback may take. Source: KIE waits 15 s for an answer."""


def application(kiebot: Kiebot, clock: Clock) -> web.Application:
    """The server's routes."""
    app = web.Application(client_max_size=MAX_BODY_BYTES)

    async def callback(request: web.Request) -> web.Response:
        return await _callback(request, kiebot, clock)

    app.router.add_post(callbacks.PATH, callback)
    return app


async def _callback(request: web.Request, kiebot: Kiebot, clock: Clock) -> web.Response:
    secrets = kiebot.terms.callbacks
    if secrets is None:
        return _answer(404, "no callbacks are taken here")
    job_id = request.query.get("job", "")
    if not secrets.knows(job_id, request.query.get("key", "")):
        return _answer(401, "job and key do not fit")
    try:
        body = await request.json()
    except web.HTTPRequestEntityTooLarge:
        return _answer(413, f"more than {MAX_BODY_BYTES} bytes")
    except (ValueError, LookupError, RecursionError):
        # Broken JSON, broken text, an encoding that does not exist.
        return _answer(400, "no JSON")
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
