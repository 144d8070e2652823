"""
LiveKieClient on the wire: what it sends, what its troubles become, and what it never does.

The far side is a server on loopback that says what a test has it say. What a stand-in of kie.ai
says of itself is in `tests/contracts/test_kie_client.py` and `tests/acceptance/test_wire.py`.
"""

import asyncio
import json
import logging
import os
import socket
import struct
import traceback
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from errno import ECONNREFUSED
from typing import Any

import pytest
from aiohttp import BodyPartReader, web
from aiohttp.test_utils import TestServer
from attrs import define, field, frozen

from kiebot.adapters.catalog import load_catalog
from kiebot.adapters.kie.live import MAX_ANSWER, LiveKieClient
from kiebot.adapters.kie.stub import BytesFile
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
from kiebot.core.params import JsonValue
from kiebot.core.tasks import (
    FailReason,
    Result,
    TaskFailed,
    TaskId,
    TaskPending,
    TaskRequest,
    TaskSucceeded,
)
from kiebot.core.wallet import JobId
from kiebot.ports.kie import InputFile
from kiebot.ports.media import OpenFile
from tests.fakes import leaks
from tests.fakes.answers import good_answers

CATALOG = load_catalog(None)
IMAGE = CATALOG.model("flux-2/pro-text-to-image")
SUNO = CATALOG.model("suno/V5")
CHAT = CATALOG.model("gemini-2.5-flash")
TOKEN = leaks.KIE_KEY
PROMPT = "a red tram that nobody may read about"
PNG = b"\x89PNG\r\n\x1a\n"
TASK = TaskId("task_1")
PATIENT_S = 30.0
"""A time-out that no test waits for."""

IMPATIENT_S = 0.2
"""A time-out that a test does wait for."""

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


@frozen(kw_only=True)
class Seen:
    """A request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str] = field(repr=False)
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@define
class Far:
    """The far side: it answers as it is told, and keeps what it was asked."""

    url: str = ""
    seen: list[Seen] = field(factory=list)
    answering: Answering | None = None

    def says(
        self, body: object = None, *, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        """Bytes as they are, all else as JSON."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()

        async def answer(_: web.Request) -> web.StreamResponse:
            return web.Response(status=status, body=raw, headers=headers)

        self.answering = answer

    def code(self, code: int, msg: str = "no", *, status: int = 200, data: object = None) -> None:
        self.says({"code": code, "msg": msg, "data": data}, status=status)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        assert self.answering is not None
        if request.content_type != "multipart/form-data":
            self.seen.append(
                Seen(
                    method=request.method,
                    path=request.path,
                    query=dict(request.query),
                    headers=dict(request.headers),
                    body=await request.read(),
                )
            )
        return await self.answering(request)


@pytest.fixture
async def far() -> AsyncIterator[Far]:
    made = Far()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    async with TestServer(app) as server:
        made.url = str(server.make_url("")).rstrip("/")
        yield made


@asynccontextmanager
async def no_file(url: str) -> AsyncIterator[InputFile]:
    raise MediaError(url, "nothing is read here")
    yield


def connect(url: str, timeout_s: float = PATIENT_S, fetch: OpenFile = no_file) -> LiveKieClient:
    return LiveKieClient(api_url=url, upload_url=url, token=TOKEN, timeout_s=timeout_s, fetch=fetch)


@pytest.fixture
async def kie(far: Far) -> AsyncIterator[LiveKieClient]:
    async with connect(far.url) as client:
        yield client


def asks(model: Model = IMAGE, callback_url: str | None = None, **params: JsonValue) -> TaskRequest:
    answers = {**good_answers(model), "prompt": PROMPT, **params}
    return TaskRequest(job_id=JobId("job1"), model=model, params=answers, callback_url=callback_url)


# --- What is sent


async def test_a_create_is_sent_as_kie_takes_it(far: Far, kie: LiveKieClient) -> None:
    far.code(200, data={"taskId": "task_1"})

    task_id = await kie.create_task(asks(callback_url="https://bot.example.org/cb", seed=None))

    (seen,) = far.seen
    assert task_id == "task_1"
    assert (seen.method, seen.path) == ("POST", "/api/v1/jobs/createTask")
    assert seen.json == {
        "model": "flux-2/pro-text-to-image",
        "callBackUrl": "https://bot.example.org/cb",
        "input": asks().params,
    }
    assert seen.headers["Content-Type"] == "application/json"
    assert seen.headers["Authorization"] == f"Bearer {TOKEN}"
    assert seen.headers["User-Agent"].startswith("kiebot/")
    # A connection of its own: see the module.
    assert seen.headers["Connection"] == "close"


@pytest.mark.parametrize(
    ("model_id", "create", "status"),
    [
        ("flux-2/pro-text-to-image", "/api/v1/jobs/createTask", "/api/v1/jobs/recordInfo"),
        ("veo3", "/api/v1/veo/generate", "/api/v1/veo/record-info"),
        ("suno/V5", "/api/v1/generate", "/api/v1/generate/record-info"),
        ("runway", "/api/v1/runway/generate", "/api/v1/runway/record-detail"),
        ("gpt4o-image", "/api/v1/gpt4o-image/generate", "/api/v1/gpt4o-image/record-info"),
        ("flux-kontext-pro", "/api/v1/flux/kontext/generate", "/api/v1/flux/kontext/record-info"),
    ],
)
async def test_every_family_has_its_endpoints(
    far: Far, kie: LiveKieClient, model_id: str, create: str, status: str
) -> None:
    request = asks(CATALOG.model(model_id))
    far.code(200, data={"taskId": "task_1"})

    await kie.create_task(request)
    far.code(422)
    await kie.task_status(request, TaskId("a/b&c=d ё"))

    asked = [(seen.method, seen.path, seen.query) for seen in far.seen]
    assert asked == [("POST", create, {}), ("GET", status, {"taskId": "a/b&c=d ё"})]


async def test_a_server_below_a_path_is_asked_there(far: Far) -> None:
    far.code(200, data=7)

    async with connect(f"{far.url}/kie/") as client:
        await client.credits()

    assert far.seen[0].path == "/kie/api/v1/chat/credit"


async def test_a_client_is_made_before_there_is_a_loop_and_used_after_it_was_closed(
    far: Far,
) -> None:
    far.code(200, data=7)
    client = await asyncio.to_thread(connect, far.url)

    first = await client.credits()
    await client.close()
    second = await client.credits()
    await client.close()

    assert [first, second] == [Decimal(7), Decimal(7)]


async def test_a_family_without_a_client_is_refused_without_asking(
    far: Far, kie: LiveKieClient
) -> None:
    with pytest.raises(KieRejectedError, match="does not speak KIE's chat interface"):
        await kie.create_task(asks(CHAT))
    with pytest.raises(KieUnavailableError, match="does not speak KIE's chat interface"):
        await kie.task_status(asks(CHAT), TASK)
    assert far.seen == []


# --- What KIE answers to a create

CREATE_CODES = {
    400: KieRejectedError,
    401: KieOperatorError,
    402: KieOperatorError,
    403: KieOperatorError,
    404: KieRejectedError,
    405: KieRejectedError,
    408: KieRejectedError,
    409: KieRejectedError,
    413: KieRejectedError,
    422: KieRejectedError,
    429: KieUnavailableError,
    433: KieOperatorError,
    451: KieRejectedError,
    455: KieUnavailableError,
    500: KieNoAnswerError,
    501: KieRejectedError,
    505: KieRejectedError,
    524: KieUnavailableError,
    531: KieRejectedError,
    550: KieUnavailableError,
    0: KieNoAnswerError,
    201: KieNoAnswerError,
    502: KieNoAnswerError,
    999: KieNoAnswerError,
}
"""Every code of KIE's table, and some that are in none."""

CREATE_STATUSES = {
    **{code: error for code, error in CREATE_CODES.items() if 400 <= code < 500},
    **dict.fromkeys(
        (201, 204, 301, 302, 307, 500, 501, 502, 503, 504, 505, 520, 524, 531, 550),
        KieNoAnswerError,
    ),
}
"""The same as HTTP statuses with a body that is not KIE's: of a 5xx nobody knows what it left."""


async def create_fails(far: Far, kie: LiveKieClient) -> KieError:
    """The error of a create that was sent once and never again."""
    with pytest.raises(KieError) as failed:
        await kie.create_task(asks())
    assert len(far.seen) == 1
    return failed.value


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize(("code", "error"), CREATE_CODES.items())
async def test_the_code_of_an_answer_counts_whatever_the_http_status(
    far: Far, kie: LiveKieClient, code: int, error: type[KieError], status: int
) -> None:
    far.code(code, status=status)

    failed = await create_fails(far, kie)

    assert type(failed) is error
    if isinstance(failed, KieRejectedError | KieOperatorError):
        assert failed.code == code


@pytest.mark.parametrize("body", [b"<html>no</html>", b"", b'{"error": "no"}', b'{"code": 4'])
@pytest.mark.parametrize(("status", "error"), CREATE_STATUSES.items())
async def test_without_a_code_the_http_status_counts(
    far: Far, kie: LiveKieClient, status: int, error: type[KieError], body: bytes
) -> None:
    far.says(b"" if status == 204 else body, status=status)

    assert type(await create_fails(far, kie)) is error


@pytest.mark.parametrize(
    "body",
    [
        {"code": 200, "msg": "success"},
        {"code": 200, "data": None},
        {"code": 200, "data": {}},
        {"code": 200, "data": {"taskId": ""}},
        {"code": 200, "data": "task_1"},
        {"data": {"taskId": "task_1"}},
        [],
        None,
        b"",
        b"<html>200</html>",
        b'{"code": 200, "data": {"taskId": "task',
        b"\xff" * 100,
    ],
)
async def test_an_acceptance_without_an_id_is_no_answer(
    far: Far, kie: LiveKieClient, body: object
) -> None:
    far.says(body)

    assert type(await create_fails(far, kie)) is KieNoAnswerError


async def test_an_acceptance_counts_whatever_the_http_status(far: Far, kie: LiveKieClient) -> None:
    far.code(200, data={"taskId": "task_1"}, status=500)

    assert await kie.create_task(asks()) == "task_1"


async def test_the_page_for_a_wrong_user_agent_is_the_operators(
    far: Far, kie: LiveKieClient
) -> None:
    far.says(b"error code: 1010", status=403)

    failed = await create_fails(far, kie)

    assert isinstance(failed, KieOperatorError)
    assert (failed.code, "1010" in failed.reason) == (403, True)


async def test_a_refusal_names_the_param_it_is_about(far: Far, kie: LiveKieClient) -> None:
    far.code(422, "aspect_ratio is not within the range of allowed options")

    failed = await create_fails(far, kie)

    assert isinstance(failed, KieRejectedError)
    assert (failed.code, failed.param) == (422, "aspect_ratio")
    assert "allowed options" in failed.reason


async def test_a_redirect_is_not_followed(far: Far, kie: LiveKieClient) -> None:
    """The key and the prompt are for KIE alone."""
    far.says(b"", status=307, headers={"Location": f"{far.url}/elsewhere"})

    assert type(await create_fails(far, kie)) is KieNoAnswerError


async def test_no_more_is_read_than_an_answer_can_be(far: Far, kie: LiveKieClient) -> None:
    async def flood(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b" " * 65536)
        except ConnectionError:
            return response

    far.answering = flood

    assert type(await create_fails(far, kie)) is KieNoAnswerError


async def test_a_long_answer_is_read(far: Far, kie: LiveKieClient) -> None:
    """Transcripts are long."""
    made = {"resultObject": {"text": "слово " * 100_000}}
    far.code(200, data={"state": "success", "resultJson": json.dumps(made)})

    found = await kie.task_status(asks(CATALOG.model("elevenlabs/speech-to-text")), TASK)

    assert isinstance(found, TaskSucceeded)
    assert len(found.result.text or "") == 599_999


async def test_what_is_too_long_is_no_answer(far: Far, kie: LiveKieClient) -> None:
    far.says({"code": 200, "data": {"taskId": "task_1"}, "x": "x" * MAX_ANSWER})

    assert type(await create_fails(far, kie)) is KieNoAnswerError


# --- Connections that break

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw_server(talk: Talk) -> AsyncIterator[str]:
    """A server that does with each connection what a test wants."""
    talks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        server.close()
        await server.wait_closed()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        (
            int(line[15:])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        ),
        0,
    )
    return head + await reader.readexactly(length)


async def drop_at_once(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    """The connection is made, and closed."""


async def drop(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await read_request(reader)


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def answers_with(raw: bytes) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(raw)
        await writer.drain()

    return talk


async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await read_request(reader)
    await asyncio.Event().wait()


async def hang_inside(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"code": 200,')
    await asyncio.Event().wait()


async def deaf(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


LOST: dict[str, Talk] = {
    "closed at once": drop_at_once,
    "closed after the request": drop,
    "reset": reset,
    "half a head": answers_with(b"HTTP/1.1 200 OK\r\nConte"),
    "half a body": answers_with(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"code": 200'),
    "half a chunk": answers_with(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{"),
    "no HTTP": answers_with(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    "a wrong head": answers_with(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"),
    "rubbish packed": answers_with(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"
    ),
    "silence": hang,
    "silence inside": hang_inside,
    "never read": deaf,
}
lost = pytest.mark.parametrize("talk", LOST.values(), ids=LOST.keys())


@lost
async def test_what_happens_after_sending_is_no_answer(talk: Talk) -> None:
    connections = 0

    async def counted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await talk(reader, writer)

    async with raw_server(counted) as url, connect(url, IMPATIENT_S) as client:
        with pytest.raises(KieNoAnswerError) as failed:
            await client.create_task(asks())

    assert connections == 1
    assert_silent(failed.value)


@lost
async def test_a_status_that_does_not_come_is_asked_for_later(talk: Talk) -> None:
    async with raw_server(talk) as url, connect(url, IMPATIENT_S) as client:
        with pytest.raises(KieUnavailableError) as failed:
            await client.task_status(asks(), TASK)
        with pytest.raises(KieUnavailableError):
            await client.is_task_of(asks(), TASK)
        with pytest.raises(KieUnavailableError):
            await client.credits()

    assert_silent(failed.value)


@lost
async def test_an_upload_that_breaks_is_tried_later(talk: Talk) -> None:
    async with raw_server(talk) as url, connect(url, IMPATIENT_S) as client:
        with pytest.raises(KieUnavailableError) as failed:
            await client.upload(BytesFile(name="tram.png", content=PNG))

    assert_silent(failed.value)


@pytest.mark.parametrize("breaks", [drop, reset])
async def test_no_question_is_asked_twice(breaks: Talk) -> None:
    """The account may ask so often, and no more; when to ask again is the engine's part."""
    asked: list[bytes] = []

    async def counted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        again = asyncio.StreamReader()
        again.feed_data(asked[-1])
        await breaks(again, writer)

    async with raw_server(counted) as url, connect(url) as client:
        with pytest.raises(KieUnavailableError):
            await client.task_status(asks(), TASK)

    assert len(asked) == 1


async def test_who_is_not_there_has_taken_nothing() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    async with connect(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(KieUnavailableError) as failed:
            await client.create_task(asks())
        with pytest.raises(KieUnavailableError):
            await client.task_status(asks(), TASK)
        with pytest.raises(KieUnavailableError):
            await client.upload(BytesFile(name="tram.png", content=PNG))

    # As `kiebot doctor` tells it.
    assert str(failed.value) == f"no connection to 127.0.0.1:{port}: {os.strerror(ECONNREFUSED)}"


async def test_a_name_that_leads_nowhere_has_taken_nothing() -> None:
    async with connect("http://kie.invalid") as client:
        with pytest.raises(KieUnavailableError, match=r"no connection to kie\.invalid:80: "):
            await client.create_task(asks())


async def test_who_does_not_speak_tls_has_taken_nothing(far: Far) -> None:
    far.code(200, data={"taskId": "task_1"})

    async with connect(far.url.replace("http://", "https://")) as client:
        with pytest.raises(KieUnavailableError):
            await client.create_task(asks())

    assert far.seen == []


# --- What KIE says of a task


async def test_a_status_is_read(far: Far, kie: LiveKieClient) -> None:
    url = "https://tempfile.aiquickdraw.com/x/tram.png"
    made = json.dumps({"resultUrls": [url]})
    far.code(200, data={"state": "success", "resultJson": made, "creditsConsumed": 0.96})

    found = await kie.task_status(asks(), TASK)

    assert found == TaskSucceeded(Result(urls=(url,)), credits=Decimal("0.96"))
    assert far.seen[0].query == {"taskId": "task_1"}


async def test_a_result_at_the_host_that_is_asked_is_read(far: Far, kie: LiveKieClient) -> None:
    for url, is_read in ((f"{far.url}/1.png", True), ("http://127.0.0.1:9/1.png", False)):
        far.code(200, data={"state": "success", "resultJson": {"resultUrls": [url]}})

        found = await kie.task_status(asks(), TASK)

        assert isinstance(found, TaskSucceeded if is_read else TaskFailed)


@pytest.mark.parametrize("code", [404, 422])
async def test_a_task_that_kie_does_not_know_is_missing(
    far: Far, kie: LiveKieClient, code: int
) -> None:
    far.code(code, "recordInfo is null", status=code)

    assert await kie.task_status(asks(), TASK) == TaskPending("missing")
    assert not await kie.is_task_of(asks(), TASK)


@pytest.mark.parametrize("code", [408, 409, 429, 455, 500, 505, 524, 550, 0, 502])
async def test_a_code_that_is_not_about_the_task_is_asked_again(
    far: Far, kie: LiveKieClient, code: int
) -> None:
    far.code(code)

    with pytest.raises(KieUnavailableError, match=f"code {code}"):
        await kie.task_status(asks(), TASK)
    with pytest.raises(KieUnavailableError):
        await kie.is_task_of(asks(), TASK)
    with pytest.raises(KieUnavailableError):
        await kie.credits()


@pytest.mark.parametrize("status", [200, 301, 404, 408, 422, 429, 500, 501, 502, 504, 524])
async def test_a_page_in_place_of_a_status_is_asked_again(
    far: Far, kie: LiveKieClient, status: int
) -> None:
    far.says(b"<html>sorry</html>", status=status)

    with pytest.raises(KieUnavailableError):
        await kie.task_status(asks(), TASK)
    with pytest.raises(KieUnavailableError):
        await kie.is_task_of(asks(), TASK)


@pytest.mark.parametrize("code", [401, 402, 403, 433])
@pytest.mark.parametrize("status", [200, 400])
async def test_the_operator_is_refused_at_a_status(
    far: Far, kie: LiveKieClient, code: int, status: int
) -> None:
    far.code(code, status=status)

    for call in (kie.task_status(asks(), TASK), kie.is_task_of(asks(), TASK), kie.credits()):
        with pytest.raises(KieOperatorError) as failed:
            await call
        assert failed.value.code == code


async def test_a_wrong_user_agent_is_told_at_a_status(far: Far, kie: LiveKieClient) -> None:
    far.says(b"error code: 1010", status=403)

    with pytest.raises(KieOperatorError, match="1010"):
        await kie.task_status(asks(), TASK)


async def test_a_code_about_the_task_ends_it(far: Far, kie: LiveKieClient) -> None:
    far.code(501)

    found = await kie.task_status(asks(), TASK)

    assert isinstance(found, TaskFailed)
    assert found.failure.reason is FailReason.MODEL_FAILED


async def test_whose_task_it_is_is_read_from_kies_record(far: Far, kie: LiveKieClient) -> None:
    param = json.dumps({"callBackUrl": "https://bot.example.org/cb?job=job1"})
    far.code(200, data={"taskId": TASK, "model": IMAGE.api_model, "param": param})

    ours = await kie.is_task_of(asks(callback_url="https://bot.example.org/cb?job=job1"), TASK)
    another = await kie.is_task_of(asks(callback_url="https://bot.example.org/cb?job=job2"), TASK)

    assert (ours, another) == (True, False)


async def test_a_record_that_is_null_is_nobodys(far: Far, kie: LiveKieClient) -> None:
    far.code(200, data=None)

    assert not await kie.is_task_of(asks(), TASK)


# --- Credits


@pytest.mark.parametrize(
    ("written", "left"), [(b"1847.5", "1847.5"), (b"0", "0"), (b"0.1", "0.1"), (b"100", "100")]
)
async def test_credits_are_exact(far: Far, kie: LiveKieClient, written: bytes, left: str) -> None:
    far.says(b'{"code": 200, "msg": "success", "data": ' + written + b"}")

    assert await kie.credits() == Decimal(left)
    assert far.seen[0].path == "/api/v1/chat/credit"


@pytest.mark.parametrize("data", [None, "7", {}, True, -1])
async def test_credits_that_are_no_number_are_no_answer(
    far: Far, kie: LiveKieClient, data: object
) -> None:
    far.code(200, data=data)

    with pytest.raises(KieUnavailableError):
        await kie.credits()


# --- Uploads


@define
class Form:
    """A multipart form as it came."""

    path: str
    length: int | None
    user_agent: str
    fields: dict[str, str] = field(factory=dict)
    file_name: str = ""
    mime: str = ""
    size: int = 0
    content: bytes = b""

    @classmethod
    async def read(cls, request: web.Request, keep: int = 1024 * 1024) -> "Form":
        form = cls(request.path, request.content_length, request.headers["User-Agent"])
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            assert isinstance(part, BodyPartReader)
            if part.name != "file":
                form.fields[part.name or ""] = await part.text()
                continue
            form.file_name = part.filename or ""
            form.mime = part.headers["Content-Type"]
            while chunk := await part.read_chunk(65536):
                form.size += len(chunk)
                form.content = (form.content + chunk)[:keep]
        return form


def takes_uploads(far: Far, keep: int = 1024 * 1024) -> list[Form]:
    """Have the far side take files as KIE does."""
    forms: list[Form] = []

    async def take(request: web.Request) -> web.StreamResponse:
        forms.append(await Form.read(request, keep))
        data = {"downloadUrl": f"https://tempfile.redpandaai.co/kiebot/{forms[-1].file_name}"}
        return web.json_response({"success": True, "code": 200, "msg": "ok", "data": data})

    far.answering = take
    return forms


@frozen(kw_only=True)
class Reel:
    """A file that is made while it is read; `fails` says when it cannot be read on."""

    name: str = "clip.mp4"
    mime: str | None = "video/mp4"
    size: int | None
    count: int
    chunk: bytes = bytes(65536)
    fails: bool = False

    async def chunks(self) -> AsyncIterator[bytes]:
        for _ in range(self.count):
            yield bytes(len(self.chunk))
        if self.fails:
            raise MediaError("tg:clip", "gone")


async def test_a_file_is_uploaded_whole(far: Far, kie: LiveKieClient) -> None:
    forms = takes_uploads(far)
    content = PNG + bytes(range(256)) * 1000

    address = await kie.upload(BytesFile(name='трамвай\r\n"1".png', content=content))

    (form,) = forms
    assert address == f"https://tempfile.redpandaai.co/kiebot/{form.file_name}"
    assert form.path == "/api/file-stream-upload"
    assert form.fields == {"uploadPath": "kiebot", "fileName": form.file_name}
    assert (form.content, form.mime) == (content, "image/png")
    assert form.length is not None
    assert form.user_agent.startswith("kiebot/")


@pytest.mark.parametrize(
    ("name", "content", "extension"),
    [
        ("a.jpg", PNG, "png"),
        ("a.JPEG", b"\x00\x01\x02", "jpeg"),
        ("a", b"\x00\x01\x02", "bin"),
        ("../../etc/passwd", b"\x00\x01\x02", "bin"),
    ],
)
async def test_a_file_gets_a_name_that_nobody_guesses(
    far: Far, kie: LiveKieClient, name: str, content: bytes, extension: str
) -> None:
    """The extension is that of the content where it is known: KIE's models look at it."""
    forms = takes_uploads(far)

    await kie.upload(BytesFile(name=name, content=content))
    await kie.upload(BytesFile(name=name, content=content))

    stems = {form.file_name.removesuffix(f".{extension}") for form in forms}
    assert len(stems) == 2
    assert all(len(stem) == 32 and stem.isalnum() for stem in stems)


@pytest.mark.parametrize("is_size_known", [True, False])
async def test_a_large_file_is_never_whole_in_memory(
    far: Far, kie: LiveKieClient, is_size_known: bool
) -> None:
    size = 64 * 1024 * 1024
    forms = takes_uploads(far, keep=0)
    file = Reel(size=size if is_size_known else None, count=1024)
    await kie.upload(Reel(size=None, count=1))

    tracemalloc.start()
    try:
        await kie.upload(file)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert forms[-1].size == size
    assert most < size / 8


@pytest.mark.parametrize("size", [None, 1024 * 1024])
async def test_a_file_that_breaks_off_says_so(
    far: Far, kie: LiveKieClient, size: int | None
) -> None:
    forms = takes_uploads(far)

    with pytest.raises(MediaError, match="gone"):
        await kie.upload(Reel(size=size, count=3, fails=True))

    assert forms == []


@pytest.mark.parametrize("size", [65536, 10 * 65536])
async def test_a_file_of_another_size_than_it_said_is_none(
    far: Far, kie: LiveKieClient, size: int
) -> None:
    forms = takes_uploads(far)

    with pytest.raises(MediaError, match=f"not the {size} bytes"):
        await kie.upload(Reel(size=size, count=3))

    assert forms == []


async def test_a_file_that_cannot_be_begun_says_so(far: Far, kie: LiveKieClient) -> None:
    takes_uploads(far)

    with pytest.raises(MediaError, match="gone"):
        await kie.upload(Reel(size=None, count=0, fails=True))


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (400, KieRejectedError),
        (401, KieOperatorError),
        (402, KieOperatorError),
        (403, KieOperatorError),
        (405, KieRejectedError),
        (408, KieUnavailableError),
        (413, KieRejectedError),
        (422, KieRejectedError),
        (429, KieUnavailableError),
        (455, KieUnavailableError),
        (500, KieUnavailableError),
        (501, KieUnavailableError),
        (502, KieUnavailableError),
    ],
)
@pytest.mark.parametrize("is_json", [True, False])
async def test_a_refused_upload_is_told_apart(
    far: Far, kie: LiveKieClient, code: int, error: type[KieError], is_json: bool
) -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        await request.read()
        if is_json:
            return web.json_response({"success": False, "code": code, "msg": "no"}, status=code)
        return web.Response(status=code, text="<html>no</html>")

    far.answering = refuse

    with pytest.raises(KieError) as failed:
        await kie.upload(BytesFile(name="tram.png", content=PNG))

    assert type(failed.value) is error


@pytest.mark.parametrize(
    "data", [None, {}, {"downloadUrl": ""}, {"downloadUrl": "file:///x"}, {"fileUrl": "https://x/"}]
)
async def test_an_upload_without_an_address_is_tried_later(
    far: Far, kie: LiveKieClient, data: object
) -> None:
    async def lose(request: web.Request) -> web.StreamResponse:
        await request.read()
        return web.json_response({"success": True, "code": 200, "msg": "ok", "data": data})

    far.answering = lose

    with pytest.raises(KieUnavailableError):
        await kie.upload(BytesFile(name="tram.png", content=PNG))


# --- Results


async def test_a_result_is_read_by_what_was_handed_in(far: Far, kie: LiveKieClient) -> None:
    far.code(422)

    with pytest.raises(MediaError, match="nothing is read here"):
        async with kie.open_result("https://tempfile.aiquickdraw.com/x/tram.png"):
            pass


class Links:
    """Reads the links that still lead somewhere, and notes which were tried."""

    def __init__(self, *living: str) -> None:
        self.tried: list[str] = []
        self._living = living

    @asynccontextmanager
    async def fetch(self, url: str) -> AsyncIterator[InputFile]:
        self.tried.append(url)
        if url not in self._living:
            trouble = MediaTrouble.NOT_PUBLIC if "10.0.0.1" in url else MediaTrouble.GONE
            raise MediaError(url, "404", trouble)
        yield BytesFile(name="tram.png", content=PNG)


LINK = "https://tempfile.aiquickdraw.com/x/tram.png"


async def test_a_link_that_ended_is_replaced_by_another(far: Far) -> None:
    links = Links(f"{LINK}?sig=demo")
    far.says({"code": 200, "msg": "success", "data": f"{LINK}?sig=demo"})

    async with connect(far.url, fetch=links.fetch) as kie, kie.open_result(LINK) as file:
        assert b"".join([chunk async for chunk in file.chunks()]) == PNG

    (asked,) = far.seen
    assert (asked.path, asked.json) == ("/api/v1/common/download-url", {"url": LINK})
    assert links.tried == [LINK, f"{LINK}?sig=demo"]


@pytest.mark.parametrize(
    "answered", [{"code": 422, "msg": "no file of ours"}, {"code": 200, "data": None}]
)
async def test_where_there_is_no_other_link_the_file_is_gone(far: Far, answered: object) -> None:
    far.says(answered)

    async with connect(far.url, fetch=Links().fetch) as kie:
        with pytest.raises(MediaError, match="404"):
            async with kie.open_result(LINK):
                pass


async def test_for_an_address_that_is_not_read_no_other_is_asked(far: Far) -> None:
    links = Links()

    async with connect(far.url, fetch=links.fetch) as kie:
        with pytest.raises(MediaError):
            async with kie.open_result("http://10.0.0.1/x.png"):
                pass

    assert links.tried == ["http://10.0.0.1/x.png"]


# --- What is never said


def assert_silent(error: BaseException) -> None:
    """Neither the key nor the person's words stand in an error or in what it knows."""
    said = "".join(traceback.format_exception(error))
    now: BaseException | None = error
    while now is not None:
        said += repr(now) + str(vars(now)) + repr(now.args)
        now = now.__cause__ or now.__context__
    assert TOKEN not in said
    assert PROMPT not in said


@pytest.mark.parametrize("code", [401, 422, 429, 500])
async def test_neither_key_nor_prompt_is_logged_or_told(
    far: Far, kie: LiveKieClient, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    """KIE, too, may quote them."""
    caplog.set_level(logging.DEBUG)
    said = f"key {TOKEN} of Bearer {TOKEN}: '{PROMPT}' is no prompt"

    far.code(code, said)
    with pytest.raises(KieError) as create:
        await kie.create_task(asks())
    with pytest.raises(KieError) as credit:
        await kie.credits()
    far.says(said.encode(), status=code)
    with pytest.raises(KieError) as page:
        await kie.create_task(asks())
    far.code(200, data={"taskId": "task_1"})
    await kie.create_task(asks())
    far.code(200, data={"state": "fail", "failCode": "500", "failMsg": said})
    found = await kie.task_status(asks(), TASK)

    for failed in (create, credit, page):
        assert TOKEN not in str(failed.value)
    assert_silent(create.value)
    assert_silent(page.value)
    assert isinstance(found, TaskFailed)
    assert PROMPT not in found.failure.detail
    assert TOKEN not in found.failure.detail
    assert "job1" in caplog.text
    assert TOKEN not in caplog.text
    assert PROMPT not in caplog.text


async def test_the_representation_of_a_client_keeps_the_key(kie: LiveKieClient) -> None:
    assert TOKEN not in repr(kie)
