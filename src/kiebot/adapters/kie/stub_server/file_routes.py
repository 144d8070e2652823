"""
The stub server's files over HTTP: the three ways to upload, and reading what there is.
"""

import base64
import binascii
import secrets
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import aiohttp
from aiohttp import web

from kiebot.adapters.kie.stub import CHUNK_BYTES
from kiebot.adapters.kie.stub_server.answers import NOTES, Answerer, read_json, refused
from kiebot.adapters.kie.stub_server.faults import Call, FaultKind, Script
from kiebot.adapters.kie.stub_server.files import (
    HUGE_BYTES,
    MIMES,
    PICTURES,
    Upload,
    Uploads,
    huge,
    made,
    media,
)
from kiebot.adapters.kie.stub_server.tasks import Phase, StubTask, private_address
from kiebot.ports.system import Clock

DRIP_S = 1.0
"""Between two bytes of a result that drips."""

URL_PATIENCE_S = 30
"""How long file-url-upload reads an address. Source: kie.ai's upload pages."""


class FileRoutes:
    """Handlers of everything that is a file."""

    def __init__(
        self,
        uploads: Uploads,
        tasks: Mapping[str, StubTask],
        script: Script,
        answerer: Answerer,
        clock: Clock,
    ) -> None:
        self._uploads = uploads
        self._tasks = tasks
        self._script = script
        self._answerer = answerer
        self._clock = clock

    # --- Uploads

    async def stream_upload(self, request: web.Request) -> web.StreamResponse:
        fault = self._script.take(Call.UPLOAD, None)
        if fault is not None and fault.kind is not FaultKind.PASS:
            # At once: the other side may be in the middle of a large file.
            return await self._answerer.answer(
                request, fault, self._stored(request, "file", "lost", None)
            )
        if not request.content_type.startswith("multipart/"):
            return refused(request, 400, msg="The request is not multipart/form-data")
        fields = {"uploadPath": "", "fileName": ""}
        found: tuple[Path, int, bytes] | None = None
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            if not isinstance(part, aiohttp.BodyPartReader):
                return refused(request, 400, msg="The request is not multipart/form-data")
            if part.name == "file":
                fields["fileName"] = fields["fileName"] or part.filename or ""
                found = await self._uploads.take(_chunks(part))
            elif part.name in fields:
                fields[part.name] = (await part.text()).strip() or fields[part.name]
        request[NOTES].body = dict(fields)
        if found is None:
            return refused(request, 400, msg="Missing required parameter: file")
        return self._stored(request, fields["uploadPath"], fields["fileName"], found)

    async def base64_upload(self, request: web.Request) -> web.StreamResponse:
        fault = self._script.take(Call.UPLOAD, None)
        body = await read_json(request)
        data = body.get("base64Data")
        place, name = _text(body, "uploadPath"), _text(body, "fileName")
        request[NOTES].body = {"uploadPath": place, "fileName": name}
        if not isinstance(data, str) or not data:
            return refused(request, 400, msg="Missing required parameter: base64Data")
        try:
            content = base64.b64decode(data.rpartition("base64,")[2], validate=True)
        except binascii.Error:
            return refused(request, 400, msg="base64Data is not valid base64")
        found = await self._uploads.take(_once(content))
        return await self._answerer.answer(
            request, fault, self._stored(request, place, name, found)
        )

    async def url_upload(self, request: web.Request) -> web.StreamResponse:
        fault = self._script.take(Call.UPLOAD, None)
        body = await read_json(request)
        url, place, name = (_text(body, part) for part in ("fileUrl", "uploadPath", "fileName"))
        request[NOTES].body = {"fileUrl": url, "uploadPath": place, "fileName": name}
        if not url.startswith(("http://", "https://")):
            return refused(request, 400, msg="Missing required parameter: fileUrl")
        timeout = aiohttp.ClientTimeout(total=URL_PATIENCE_S)
        try:
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as got:
                got.raise_for_status()
                found = await self._uploads.take(got.content.iter_chunked(CHUNK_BYTES))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return refused(request, 400, msg="The file could not be fetched from fileUrl")
        name = name or unquote(urlsplit(url).path.rsplit("/", 1)[-1])
        return await self._answerer.answer(
            request, fault, self._stored(request, place, name, found)
        )

    def _stored(
        self, request: web.Request, place: str, name: str, found: tuple[Path, int, bytes] | None
    ) -> web.Response:
        folder = place.strip("/")
        if not folder:
            return refused(request, 400, http=400, msg="Missing required parameter: uploadPath")
        name = name.replace("\\", "/").rsplit("/", 1)[-1] or secrets.token_hex(8)
        where = f"{folder}/{name}"
        if found is None:
            upload = Upload(place=where, path=Path(), size=0, mime="application/octet-stream")
        else:
            upload = self._uploads.keep(where, *found)
        data = {
            "fileName": name,
            "filePath": where,
            "downloadUrl": f"http://{request.host}/files/{quote(where)}",
            "fileSize": upload.size,
            "mimeType": upload.mime,
            "uploadedAt": f"{self._clock():%Y-%m-%dT%H:%M:%S}.000Z",
        }
        request[NOTES].code = 200
        return web.json_response(
            {"success": True, "code": 200, "msg": "File uploaded successfully", "data": data}
        )

    # --- Files

    async def uploaded(self, request: web.Request) -> web.StreamResponse:
        request[NOTES].call = Call.FILE
        upload = self._uploads.get(request.match_info["place"])
        if upload is None:
            return refused(request, 404, http=404)
        fault = self._script.take(Call.FILE, None)
        if fault is not None and fault.kind is not FaultKind.PASS:
            head = upload.path.read_bytes()
            return await self._answerer.answer(request, fault, web.Response(body=head))
        return web.FileResponse(upload.path, headers={"Content-Type": upload.mime})

    async def result(self, request: web.Request) -> web.StreamResponse:
        notes = request[NOTES]
        notes.call = Call.FILE
        notes.task_id = request.match_info["task"]
        task = self._tasks.get(notes.task_id)
        place = int(request.match_info["number"])
        now_ms = round(1000 * self._clock().timestamp())
        if task is None or task.phase(now_ms) is not Phase.SUCCESS or place > task.count:
            return refused(request, 404, http=404)
        notes.model = task.model.name
        if task.extension is None or task.has(FaultKind.GONE):
            return refused(request, 404, http=404)
        # Suno's stream has no extension; clips and tracks come with a picture.
        extension = request.match_info.get("extension") or task.extension
        if extension not in {task.extension, *PICTURES}:
            return refused(request, 404, http=404)
        mime = MIMES[extension]
        fault = self._script.take(Call.FILE, notes.model)
        if fault is not None and fault.kind is not FaultKind.PASS:
            whole = web.Response(body=made(task, place, extension), content_type=mime)
            return await self._answerer.answer(request, fault, whole)
        match task.fault.kind if task.fault is not None else None:
            case FaultKind.REDIRECT if "moved" not in request.query:
                raise_to = f"{request.path}?moved=1"
            case FaultKind.REDIRECT_LOOP:
                raise_to = request.path
            case FaultKind.REDIRECT_PRIVATE:
                address = task.fault.address if task.fault is not None else None
                raise_to = address or private_address(f"{place}.{extension}")
            case FaultKind.HUGE | FaultKind.HUGE_UNSIZED:
                return await self._huge(request, task, place, extension, mime)
            case FaultKind.DRIP:
                return await self._drip(request, made(task, place, extension), mime)
            case _:
                return web.Response(body=made(task, place, extension), content_type=mime)
        return web.Response(status=302, headers={"Location": raise_to})

    async def _huge(
        self, request: web.Request, task: StubTask, place: int, extension: str, mime: str
    ) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": mime})
        if task.has(FaultKind.HUGE):
            answer.content_length = HUGE_BYTES
        try:
            await answer.prepare(request)
            async for chunk in huge(media(f"{task.seed}{place}", extension)):
                if self._answerer.closing.is_set():
                    break
                await answer.write(chunk)
        except ConnectionError:
            request[NOTES].unanswered = True  # the other side has read enough
        return answer

    async def _drip(self, request: web.Request, content: bytes, mime: str) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": mime})
        answer.content_length = len(content)
        try:
            await answer.prepare(request)
            for place in range(len(content)):
                await answer.write(content[place : place + 1])
                if await self._answerer.is_left(request, DRIP_S):
                    break
        except ConnectionError:
            request[NOTES].unanswered = True
        return answer


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    return value if isinstance(value, str) else ""


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def _chunks(part: aiohttp.BodyPartReader) -> AsyncIterator[bytes]:
    while chunk := await part.read_chunk(CHUNK_BYTES):
        yield part.decode(chunk) if part.headers.get("Content-Transfer-Encoding") else chunk
