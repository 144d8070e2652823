"""
LiveKieClient: kie.ai over HTTP.

What is asked and how answers are read is in `kiebot.adapters.kie.families`; here is the network,
and which of the port's errors its troubles are. The question with money in it is whether KIE may
have taken a create whose answer never came:

- Nothing of the request was sent: KIE did not take it (KieUnavailableError).
- Anything of it may have been sent: nobody knows (KieNoAnswerError).

aiohttp says when it begins to send. A create goes over a connection of its own, because one that
was kept may have been closed by the far side just then, and nobody could tell what that means.

No call follows redirects, lasts longer than its time-out, or reads more than `MAX_ANSWER`. Waiting
for the account's limits is the engine's part, and so is asking again.
"""

import json
import logging
import os
import re
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from importlib.metadata import version
from types import SimpleNamespace, TracebackType
from typing import Self

import aiohttp
from attrs import define, evolve, field

from kiebot.adapters.kie import families
from kiebot.adapters.kie.families import Answer
from kiebot.core.addresses import host_port
from kiebot.core.catalog import Model
from kiebot.core.errors import (
    KieError,
    KieNoAnswerError,
    KieOperatorError,
    KieRejectedError,
    KieUnavailableError,
    MediaError,
    MediaTrouble,
)
from kiebot.core.media import EXTENSIONS, SNIFF_BYTES, sniff
from kiebot.core.tasks import TaskFailed, TaskId, TaskRequest, TaskStatus
from kiebot.ports.kie import InputFile
from kiebot.ports.media import OpenFile

MAX_ANSWER = 4 * 1024 * 1024
"""Bytes of an answer that are read. The longest are transcripts, a few hundred thousand."""

SLOWEST_UPLOAD = 256 * 1024
"""Bytes in a second: an upload slower than this is given up."""

UNKNOWN_SIZE = 100 * 1024 * 1024
"""Bytes that a file of unknown size is given the time for."""

UPLOAD_PATH = "kiebot"
"""The folder of our files at KIE, which demands one."""

CREDIT_PATH = "/api/v1/chat/credit"
DOWNLOAD_URL_PATH = "/api/v1/common/download-url"
STREAM_UPLOAD_PATH = "/api/file-stream-upload"

log = logging.getLogger(__name__)


class LiveKieClient:
    """
    A KieClient that speaks with kie.ai.

    `timeout_s` is for one request, in seconds; an upload gets the time that its size needs beside
    it. `fetch` reads the results. Close it when done: `close()`, or as a context.
    """

    def __init__(
        self, *, api_url: str, upload_url: str, token: str, timeout_s: float, fetch: OpenFile
    ) -> None:
        self._api_url = api_url.rstrip("/")
        self._upload_url = upload_url.rstrip("/")
        self._token = token
        self._timeout_s = timeout_s
        self._fetch = fetch
        found = host_port(self._api_url)
        self._allowed = frozenset({found} if found else ())
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection; what is asked after this opens new ones."""
        while self._sessions:
            _, session = self._sessions.popitem()
            await session.close()

    async def create_task(self, request: TaskRequest) -> TaskId:
        """As the port says. Never repeated here: KIE bills every call it accepts."""
        family = families.family_of(request.model)
        if family is None:
            raise KieRejectedError(505, _not_spoken(request.model))
        body = json.dumps(families.create_body(request), allow_nan=False).encode()
        began_s = time.monotonic()
        try:
            answer = await self._call(
                self._session("create", force_close=True),
                "POST",
                f"{self._api_url}{family.create_path}",
                self._timeout_s,
                headers={"Content-Type": "application/json"},
                data=body,
            )
        except _LostError as lost:
            trouble = lost
        else:
            took_s = time.monotonic() - began_s
            task_id = families.task_id_of(answer.data) if answer.code == 200 else None
            if task_id is not None:
                log.info("job %s: KIE took task %s in %.2f s", request.job_id, task_id, took_s)
                return task_id
            log.warning(
                "job %s: KIE's answer to a create is code %s, HTTP %d, after %.2f s",
                request.job_id,
                answer.code,
                answer.status,
                took_s,
            )
            raise _create_error(request, answer)
        log.warning("job %s: no answer to a create: %s", request.job_id, trouble)
        raise KieNoAnswerError(str(trouble)) if trouble.sent else KieUnavailableError(str(trouble))

    async def task_status(self, request: TaskRequest, task_id: TaskId) -> TaskStatus:
        """As the port says. A task that KIE does not know is pending, in the state MISSING."""
        answer = await self._look(request, task_id)
        status = families.status_of(request, answer, self._allowed)
        if status is None:
            raise KieUnavailableError(_said(answer, request))
        if isinstance(status, TaskFailed):
            detail = self._struck(status.failure.detail)
            return evolve(status, failure=evolve(status.failure, detail=detail))
        return status

    async def is_task_of(self, request: TaskRequest, task_id: TaskId) -> bool:
        """As the port says."""
        answer = await self._look(request, task_id)
        if answer.code in families.NOT_FOUND_CODES:
            return False
        if answer.code != 200:
            raise KieUnavailableError(_said(answer, request))
        if not isinstance(answer.data, Mapping):
            return False
        return families.is_record_of(request, task_id, answer.data)

    async def upload(self, file: InputFile) -> str:
        """As the port says."""
        body = await _UploadBody.begin(file)
        size = UNKNOWN_SIZE if file.size is None else file.size
        began_s = time.monotonic()
        try:
            answer = await self._call(
                self._session("upload", force_close=True),
                "POST",
                f"{self._upload_url}{STREAM_UPLOAD_PATH}",
                self._timeout_s + size / SLOWEST_UPLOAD,
                headers=body.headers,
                data=body.parts(),
            )
        except _LostError as lost:
            trouble = str(lost)
        else:
            if answer.code == 200:
                data = answer.data
                address = data.get("downloadUrl") if isinstance(data, Mapping) else None
                if isinstance(address, str) and host_port(address) is not None:
                    took_s = time.monotonic() - began_s
                    log.info("uploaded %d bytes in %.2f s", body.sent, took_s)
                    return address
            trouble = ""
        # aiohttp hides why a body broke off in an error of its own.
        if body.broken is not None:
            raise body.broken
        if trouble:
            raise KieUnavailableError(trouble)
        raise _upload_error(answer)

    async def credits(self) -> Decimal:
        """As the port says."""
        answer = await self._ask(CREDIT_PATH)
        found = families.amount(answer.data) if answer.code == 200 else None
        if found is None:
            raise KieUnavailableError(_said(answer))
        return found

    @asynccontextmanager
    async def open_result(self, url: str) -> AsyncIterator[InputFile]:
        """As the port says. Links end sooner than files: for one that did, KIE gives another."""
        async with AsyncExitStack() as stack:
            try:
                file = await stack.enter_async_context(self._fetch(url))
            except MediaError as error:
                fresh = await self._fresh(url) if error.trouble is MediaTrouble.GONE else None
                if fresh is None:
                    raise
                file = await stack.enter_async_context(self._fetch(fresh))
            yield file

    async def _fresh(self, url: str) -> str | None:
        """Another link to a file of KIE's, None where it gives none."""
        try:
            answer = await self._call(
                self._session("ask"),
                "POST",
                f"{self._api_url}{DOWNLOAD_URL_PATH}",
                self._timeout_s,
                headers={"Content-Type": "application/json"},
                data=json.dumps({"url": url}).encode(),
            )
        except _LostError:
            return None
        is_link = answer.code == 200 and isinstance(answer.data, str) and answer.data != url
        return answer.data if is_link else None

    async def _look(self, request: TaskRequest, task_id: TaskId) -> Answer:
        """KIE's answer about a task."""
        family = families.family_of(request.model)
        if family is None:
            raise KieUnavailableError(_not_spoken(request.model))
        return await self._ask(family.status_path, taskId=task_id)

    async def _ask(self, path: str, **params: str) -> Answer:
        """
        The answer to a question that costs nothing.

        Raises:
            KieUnavailableError: None came.
            KieOperatorError: KIE refuses the operator.
        """
        began_s = time.monotonic()
        try:
            answer = await self._call(
                self._session("ask"),
                "GET",
                f"{self._api_url}{path}",
                self._timeout_s,
                params=params,
            )
        except _LostError as lost:
            trouble = str(lost)
        else:
            took_s = time.monotonic() - began_s
            log.debug("GET %s %s: code %s in %.2f s", path, params, answer.code, took_s)
            if answer.verdict in families.OPERATOR_CODES:
                raise KieOperatorError(answer.verdict or 0, _said(answer))
            return answer
        log.info("GET %s %s: %s", path, params, trouble)
        raise KieUnavailableError(trouble)

    async def _call(
        self,
        session: aiohttp.ClientSession,
        method: str,
        url: str,
        timeout_s: float,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        data: bytes | AsyncIterator[bytes] | None = None,
    ) -> Answer:
        """
        One request and its whole answer, whatever it says.

        Raises:
            _LostError: There is none.
        """
        sent = _Sent()
        try:
            async with session.request(
                method,
                url,
                headers=headers,
                params=params,
                data=data,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout_s),
                trace_request_ctx=sent,
            ) as response:
                answer = Answer.read(response.status, await _read(response))
                return evolve(answer, msg=self._struck(answer.msg))
        except TimeoutError:
            trouble = f"no answer within {timeout_s:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            trouble = _trouble(exc)
        # Raised here and not above: aiohttp's errors know the headers, and the key among them.
        raise _LostError(families.plain(trouble), sent=sent.begun)

    def _session(self, purpose: str, *, force_close: bool = False) -> aiohttp.ClientSession:
        """The session of one purpose; made here, because it belongs to the running loop."""
        if purpose not in self._sessions:
            trace = aiohttp.TraceConfig()
            trace.on_request_headers_sent.append(_mark_sent)
            self._sessions[purpose] = aiohttp.ClientSession(
                # How many calls there are at a time is decided by who makes them.
                connector=aiohttp.TCPConnector(limit=0, force_close=force_close),
                cookie_jar=aiohttp.DummyCookieJar(),
                trace_configs=[trace],
                headers={
                    "Authorization": f"Bearer {self._token}",
                    "Accept": "application/json",
                    # Without one KIE's front answers HTTP 403, "error code: 1010".
                    "User-Agent": f"kiebot/{version('kiebot')}",
                },
            )
        return self._sessions[purpose]

    def _struck(self, text: str) -> str:
        """KIE's text without the key, which it may quote when it refuses it."""
        return text.replace(self._token, "***") if self._token else text


def _trouble(exc: Exception) -> str:
    """An error of the network in words; aiohttp's own are about its insides."""
    is_about_tls = isinstance(exc, aiohttp.ClientSSLError)
    if is_about_tls or not isinstance(exc, aiohttp.ClientConnectorError):
        return f"{type(exc).__name__}: {exc}"
    cause, number = exc.os_error, exc.os_error.errno or 0
    # A name that is not found has a number below zero, and words of its own.
    said = os.strerror(number) if number > 0 else cause.strerror
    return f"no connection to {exc.host}:{exc.port}: {said or cause}"


class _LostError(Exception):
    """There is no answer; `sent` tells whether KIE may have got the request."""

    def __init__(self, why: str, *, sent: bool) -> None:
        super().__init__(why)
        self.sent = sent


@define
class _Sent:
    """Whether a request has begun to leave."""

    begun: bool = False


async def _mark_sent(
    _: aiohttp.ClientSession, context: SimpleNamespace, __: aiohttp.TraceRequestHeadersSentParams
) -> None:
    """
    Called by aiohttp just before the first byte of a request is written.

    aiohttp repeats what it takes for harmless when the connection breaks, and so would ask more
    often than the account may.
    """
    if context.trace_request_ctx.begun:
        raise aiohttp.ClientConnectionError("the connection was closed without an answer")
    context.trace_request_ctx.begun = True


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body; what is longer than we read is cut, and is then no JSON."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_ANSWER:
            # Else the rest would be read to keep the connection.
            response.close()
            break
    return bytes(body[: MAX_ANSWER + 1])


@define
class _UploadBody:
    """
    A multipart form with one file, made while it is sent.

    `broken` is why reading the file failed, `sent` how many of its bytes are on their way.
    """

    _file: InputFile
    _chunks: AsyncIterator[bytes]
    _first: bytes
    _boundary: str = field(factory=lambda: f"kiebot-{secrets.token_hex(16)}")
    sent: int = 0
    broken: MediaError | None = None

    @classmethod
    async def begin(cls, file: InputFile) -> Self:
        """
        Read the begin of a file.

        Raises:
            KieRejectedError: It is empty.
            MediaError: It cannot be read.
        """
        chunks = aiter(file.chunks())
        async for chunk in chunks:
            if chunk:
                return cls(file, chunks, chunk)
        raise KieRejectedError(422, f"{file.name!r} is empty")

    @property
    def headers(self) -> dict[str, str]:
        """Those of the form: its length, too, where that of the file is known."""
        headers = {"Content-Type": f"multipart/form-data; boundary={self._boundary}"}
        if self._file.size is not None:
            length = len(self._head()) + self._file.size + len(self._tail())
            headers["Content-Length"] = str(length)
        return headers

    async def parts(self) -> AsyncIterator[bytes]:
        """The form, piece by piece, as the network takes it."""
        try:
            yield self._head()
            yield self._counted(self._first)
            async for chunk in self._chunks:
                yield self._counted(chunk)
            if self._file.size not in {None, self.sent}:
                raise self._other_size()
            yield self._tail()
        except MediaError as exc:
            self.broken = exc
            raise

    def _counted(self, chunk: bytes) -> bytes:
        self.sent += len(chunk)
        if self._file.size is not None and self.sent > self._file.size:
            raise self._other_size()
        return chunk

    def _other_size(self) -> MediaError:
        return MediaError(self._file.name, f"it has not the {self._file.size} bytes it said")

    def _head(self) -> bytes:
        mime = self._file.mime or sniff(self._first[:SNIFF_BYTES])
        fields = {"uploadPath": UPLOAD_PATH, "fileName": self._name}
        lines = [
            f"--{self._boundary}\r\n"
            f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        ]
        lines.append(
            f"--{self._boundary}\r\n"
            f'Content-Disposition: form-data; name="file"; filename="{self._name}"\r\n'
            f"Content-Type: {mime if mime in EXTENSIONS else 'application/octet-stream'}\r\n\r\n"
        )
        return "".join(lines).encode()

    def _tail(self) -> bytes:
        return f"\r\n--{self._boundary}--\r\n".encode()

    @property
    def _name(self) -> str:
        # Who knows the link can read the file, so the name must not be guessed; and KIE would
        # put a file in the place of another of its name.
        mime = self._file.mime or sniff(self._first[:SNIFF_BYTES])
        given = re.search(r"\.([A-Za-z0-9]{1,8})$", self._file.name)
        extension = EXTENSIONS.get(mime or "") or (given[1].lower() if given else "bin")
        return f"{self._boundary.removeprefix('kiebot-')}.{extension}"


def _not_spoken(model: Model) -> str:
    return f"{model.id}: kiebot does not speak KIE's {model.family} interface"


def _said(answer: Answer, request: TaskRequest | None = None) -> str:
    """An answer for the log, without the person's words."""
    said = answer.msg if request is None else families.without_answers(request, answer.msg)
    code = "no code" if answer.code is None else f"code {answer.code}"
    return f"HTTP {answer.status}, {code}: {families.plain(said)}"


def _create_error(request: TaskRequest, answer: Answer) -> KieError:
    said = _said(answer, request)
    match answer.verdict:
        case code if code in families.UNAVAILABLE_CODES:
            return KieUnavailableError(said)
        case int(code) if code in families.OPERATOR_CODES:
            return KieOperatorError(code, said)
        case int(code) if 400 <= code < 500 or code in families.REFUSED_CODES:
            failure = families.failure(request, code, answer.msg)
            return KieRejectedError(code, said, failure.param, failure.reason)
        case _:
            return KieNoAnswerError(said)


def _upload_error(answer: Answer) -> KieError:
    said = _said(answer)
    match answer.verdict:
        # 408: the upload host had no patience; the next attempt may be quicker.
        case code if code in families.UNAVAILABLE_CODES or code == 408:
            return KieUnavailableError(said)
        case int(code) if code in families.OPERATOR_CODES:
            return KieOperatorError(code, said)
        case int(code) if 400 <= code < 500:
            return KieRejectedError(code, said)
        case _:
            return KieUnavailableError(said)
