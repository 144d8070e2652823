"""
The stub server's answers: kie.ai's envelope, and everything that can become of it on the way.
"""

import asyncio
import json
from typing import Any

from aiohttp import web
from attrs import define

from kiebot.adapters.kie.stub_server.faults import CODES, Call, Fault, FaultKind

UPLOAD_PATHS = ("/api/file-stream-upload", "/api/file-base64-upload", "/api/file-url-upload")

PAGE = (
    "<!DOCTYPE html>\n<html><head><title>{status}</title></head>\n"
    "<body><center><h1>{status} error</h1></center><hr><center>cloudflare</center></body></html>\n"
)
"""What a proxy answers when the server behind it does not."""


@define(kw_only=True, eq=False)
class Notes:
    """What a handler finds out about a request."""

    call: Call | None = None
    model: str | None = None
    body: Any = None
    task_id: str | None = None
    code: int | None = None
    unanswered: bool = False


NOTES = web.RequestKey("notes", Notes)


class UnreadableError(Exception):
    """A body that is not JSON, or no object."""


async def read_json(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.read())
    except ValueError:
        raise UnreadableError("The request body is not valid JSON") from None
    if not isinstance(body, dict):
        raise UnreadableError("The request body is not a JSON object")
    return body


def answered(request: web.Request, data: Any) -> web.Response:
    request[NOTES].code = 200
    return web.json_response({"code": 200, "msg": "success", "data": data}, dumps=_dumps)


def refused(
    request: web.Request, code: int, *, http: int = 200, msg: str | None = None
) -> web.Response:
    request[NOTES].code = code
    text = msg or CODES.get(code, "Unknown error")
    if request.path in UPLOAD_PATHS:
        # As kie.ai's upload host does: 400 and 405 are true statuses there.
        status = code if code in {400, 405} else http
        shape: dict[str, Any] = {"success": False, "code": code, "msg": text}
        return web.json_response(shape, status=status)
    shape = {"code": code, "msg": text}
    if code != 401:
        shape["data"] = None
    return web.json_response(shape, status=http, dumps=_dumps)


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def forbidden() -> web.Response:
    return web.Response(status=403, text="error code: 1010")


def _content(answer: web.Response) -> bytes:
    return answer.body if isinstance(answer.body, bytes) else b""


class Answerer:
    """Answers well, or as a fault has it. `closing` is set when the server ends."""

    def __init__(self, closing: asyncio.Event) -> None:
        self.closing = closing

    async def answer(
        self, request: web.Request, fault: Fault | None, whole: web.Response
    ) -> web.StreamResponse:
        """The answer as the fault leaves it; all of it where there is none."""
        if fault is None or fault.kind is FaultKind.PASS:
            return whole
        notes = request[NOTES]
        if fault.kind is not FaultKind.CODE:
            notes.code = None
        match fault.kind:
            case FaultKind.CODE:
                code = fault.code or 0
                usual = code if notes.call is Call.FILE else 200
                http = usual if fault.http is None else fault.http
                return refused(request, code, http=http, msg=fault.text)
            case FaultKind.PAGE:
                status = 502 if fault.http is None else fault.http
                text = PAGE.format(status=status)
                return web.Response(status=status, text=text, content_type="text/html")
            case FaultKind.FORBIDDEN:
                return forbidden()
            case FaultKind.HANG:
                notes.unanswered = True
                while not await self.is_left(request, 0.1):
                    pass
            case FaultKind.TRUNCATED:
                half = _content(whole)
                mime = whole.content_type
                return web.Response(body=half[: len(half) // 2], content_type=mime)
            case FaultKind.CUT:
                notes.unanswered = True
                return await _cut(request, _content(whole), whole.content_type)
        notes.unanswered = True
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)

    async def is_left(self, request: web.Request, seconds: float) -> bool:
        """Wait; whether the other side has gone, or the server ends."""
        try:
            await asyncio.wait_for(self.closing.wait(), seconds)
        except TimeoutError:
            return request.transport is None or request.transport.is_closing()
        return True


async def _cut(request: web.Request, content: bytes, mime: str) -> web.StreamResponse:
    """Promise the whole, send half, and go."""
    answer = web.StreamResponse(headers={"Content-Type": mime})
    answer.content_length = len(content)
    await answer.prepare(request)
    await answer.write(content[: len(content) // 2])
    if request.transport is not None:
        request.transport.close()
    return answer
