"""
What every KieClient promises, whoever is behind it.

The suite knows the port, and the prompts that make the far side go wrong (the table in
`kiebot.adapters.kie.stub`). The live client speaks with the stub server, which is strict and lives
by the same clock. The last part is about the stub alone.
"""

import struct
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from urllib.parse import urlsplit

import pytest
from attrs import evolve, field, frozen

from kiebot.adapters.catalog import load_catalog
from kiebot.adapters.kie.live import LiveKieClient
from kiebot.adapters.kie.stub import BytesFile, Fault, StubKieClient
from kiebot.adapters.media.fetch import Fetcher
from kiebot.core.catalog import Model
from kiebot.core.errors import (
    KieNoAnswerError,
    KieOperatorError,
    KieRejectedError,
    KieUnavailableError,
    MediaError,
)
from kiebot.core.media import MediaKind, kind_of, sniff
from kiebot.core.params import FileParam, FilesParam, JsonValue
from kiebot.core.tasks import (
    FailReason,
    Failure,
    Result,
    TaskFailed,
    TaskId,
    TaskPending,
    TaskRequest,
    TaskStatus,
    TaskSucceeded,
)
from kiebot.core.wallet import JobId
from kiebot.ports.kie import KieClient
from tests.fakes import leaks
from tests.fakes.answers import good_answers
from tests.fakes.clock import FakeClock
from tests.fakes.kie_server import NO_LIMITS, kie_server

CATALOG = load_catalog(None)
ON_SALE = pytest.mark.parametrize("model", CATALOG.on_sale, ids=lambda model: model.id)
IMAGE_MODEL = CATALOG.model("flux-2/pro-text-to-image")
FILE_MODEL = CATALOG.model("recraft/crisp-upscale")
PNG = b"\x89PNG\r\n\x1a\n"


@frozen(kw_only=True)
class Kie:
    """A client, the clock that its far side lives by, and how to make another client for it."""

    clock: FakeClock
    connect: Callable[[], KieClient] = field(repr=False)
    client: KieClient = field(init=False)

    @client.default
    def _first(self) -> KieClient:
        return self.connect()

    async def end(self, request: TaskRequest, task_id: TaskId) -> TaskStatus:
        """How a task ends, asked every 3 s for two minutes at most."""
        for _ in range(40):
            status = await self.client.task_status(request, task_id)
            if not isinstance(status, TaskPending):
                return status
            self.clock.advance(3)
        raise AssertionError(f"{task_id} does not end")


@pytest.fixture(params=["stub", "live"])
async def kie(request: pytest.FixtureRequest, clock: FakeClock) -> AsyncIterator[Kie]:
    """Each adapter of the port in turn."""
    match request.param:
        case "stub":
            yield Kie(clock=clock, connect=lambda: StubKieClient(clock))
        case "live":
            async with live_kie(clock) as connect:
                yield Kie(clock=clock, connect=connect)
        case other:
            raise AssertionError(f"no adapter is called {other}")


@asynccontextmanager
async def live_kie(clock: FakeClock) -> AsyncIterator[Callable[[], KieClient]]:
    """Live clients for one stub server."""
    async with AsyncExitStack() as opened:
        server = await opened.enter_async_context(kie_server(clock, limits=NO_LIMITS))
        here = urlsplit(server.address)
        assert here.hostname is not None
        assert here.port is not None
        fetcher = Fetcher(allowed={(here.hostname, here.port)})
        opened.push_async_callback(fetcher.close)

        def connect() -> KieClient:
            client = LiveKieClient(
                api_url=server.address,
                upload_url=server.address,
                token=leaks.KIE_KEY,
                timeout_s=30,
                fetch=fetcher.fetch,
            )
            opened.push_async_callback(client.close)
            return client

        yield connect


def asks(model: Model = IMAGE_MODEL, job: str = "job1", **params: JsonValue) -> TaskRequest:
    answers = {**good_answers(model), **params}
    return TaskRequest(job_id=JobId(job), model=model, params=answers)


def without(request: TaskRequest, name: str) -> TaskRequest:
    return evolve(request, params={k: v for k, v in request.params.items() if k != name})


async def read(client: KieClient, url: str) -> bytes:
    async with client.open_result(url) as file:
        content = b"".join([chunk async for chunk in file.chunks()])
        assert file.size in {None, len(content)}
        assert file.mime == sniff(content[:64])
    return content


# --- What a task makes


@ON_SALE
async def test_every_model_on_sale_makes_what_it_sells(kie: Kie, model: Model) -> None:
    request = asks(model)

    task_id = await kie.client.create_task(request)
    status = await kie.end(request, task_id)

    assert isinstance(status, TaskSucceeded)
    if model.output is MediaKind.TEXT:
        assert status.result.text
        return
    assert status.result.urls
    for url in status.result.urls:
        content = await read(kie.client, url)
        assert kind_of(sniff(content[:64])) is model.output
        assert_opens(content)


async def test_a_task_takes_its_time(kie: Kie) -> None:
    request = asks()

    task_id = await kie.client.create_task(request)

    assert isinstance(await kie.client.task_status(request, task_id), TaskPending)


async def test_equal_requests_are_two_tasks(kie: Kie) -> None:
    """KIE knows no idempotency key; a stand-in that did would hide double submissions."""
    first = await kie.client.create_task(asks())
    second = await kie.client.create_task(asks())

    assert first != second


async def test_another_client_goes_on_with_a_task(kie: Kie) -> None:
    """The process that submitted may be dead when the result is there."""
    request = asks()
    task_id = await kie.client.create_task(request)

    after_restart = Kie(clock=kie.clock, connect=kie.connect)
    status = await after_restart.end(request, task_id)

    assert isinstance(status, TaskSucceeded)
    assert_opens(await read(kie.connect(), status.result.urls[0]))


async def test_a_task_is_known_by_its_request(kie: Kie) -> None:
    """A callback may name any task; only KIE's record says whose it is."""
    request, other = asks(), asks(CATALOG.model("recraft/crisp-upscale"))
    task_id = await kie.client.create_task(request)

    assert await kie.client.is_task_of(request, task_id)
    assert not await kie.client.is_task_of(other, task_id)
    assert not await kie.client.is_task_of(request, TaskId("task_flux2_1765180586443"))


async def test_several_pictures_come_as_several_files(kie: Kie) -> None:
    request = asks(CATALOG.model("bytedance/seedream-v4-text-to-image"), max_images=3)

    status = await kie.end(request, await kie.client.create_task(request))

    assert isinstance(status, TaskSucceeded)
    assert len(set(status.result.urls)) == 3


async def test_suno_makes_two_tracks(kie: Kie) -> None:
    request = asks(CATALOG.model("suno/V5"))

    status = await kie.end(request, await kie.client.create_task(request))

    assert isinstance(status, TaskSucceeded)
    assert len(set(status.result.urls)) == 2


# --- What the prompt makes go wrong


async def test_a_task_can_fail(kie: Kie) -> None:
    request = asks(prompt="fail")

    status = await kie.end(request, await kie.client.create_task(request))

    assert isinstance(status, TaskFailed)
    assert status.failure.reason is FailReason.MODEL_FAILED
    assert status.credits in {None, 0}


@pytest.mark.parametrize("prompt", ["FAIL", "  Fail\n"])
async def test_case_and_space_of_the_word_do_not_matter(kie: Kie, prompt: str) -> None:
    request = asks(prompt=prompt)

    assert isinstance(await kie.end(request, await kie.client.create_task(request)), TaskFailed)


async def test_the_word_among_others_is_only_a_word(kie: Kie) -> None:
    request = asks(prompt="people who fail")

    assert isinstance(await kie.end(request, await kie.client.create_task(request)), TaskSucceeded)


async def test_a_slow_task_takes_half_a_minute(kie: Kie) -> None:
    request = asks(prompt="slow")
    task_id = await kie.client.create_task(request)

    kie.clock.advance(29)
    early = await kie.client.task_status(request, task_id)
    kie.clock.advance(1)
    late = await kie.client.task_status(request, task_id)

    assert isinstance(early, TaskPending)
    assert isinstance(late, TaskSucceeded)


async def test_a_task_can_stall(kie: Kie) -> None:
    request = asks(prompt="stall")
    task_id = await kie.client.create_task(request)

    kie.clock.advance(24 * 3600)

    assert isinstance(await kie.client.task_status(request, task_id), TaskPending)


async def test_a_refusal_names_the_prompt(kie: Kie) -> None:
    with pytest.raises(KieRejectedError) as refusal:
        await kie.client.create_task(asks(prompt="refuse"))

    assert (refusal.value.code, refusal.value.param) == (422, "prompt")


async def test_a_busy_kie_takes_the_job_later(kie: Kie) -> None:
    request = asks(prompt="busy")
    with pytest.raises(KieUnavailableError):
        await kie.client.create_task(request)

    kie.clock.advance(3)
    task_id = await kie.client.create_task(request)

    assert isinstance(await kie.end(request, task_id), TaskSucceeded)


async def test_an_answer_can_be_lost(kie: Kie) -> None:
    with pytest.raises(KieNoAnswerError):
        await kie.client.create_task(asks(prompt="lost"))


async def test_the_operator_can_be_refused(kie: Kie) -> None:
    with pytest.raises(KieOperatorError) as refusal:
        await kie.client.create_task(asks(prompt="broke"))

    assert refusal.value.code == 402


# --- What is refused


async def test_a_missing_param_is_refused_by_name(kie: Kie) -> None:
    with pytest.raises(KieRejectedError) as refusal:
        await kie.client.create_task(without(asks(), "prompt"))

    assert (refusal.value.code, refusal.value.param) == (422, "prompt")


async def test_a_value_that_is_no_choice_is_refused_by_name(kie: Kie) -> None:
    with pytest.raises(KieRejectedError) as refusal:
        await kie.client.create_task(asks(resolution="9K"))

    assert (refusal.value.code, refusal.value.param) == (422, "resolution")


async def test_a_value_of_the_wrong_type_is_refused_by_name(kie: Kie) -> None:
    with pytest.raises(KieRejectedError) as refusal:
        await kie.client.create_task(asks(prompt=7))

    assert (refusal.value.code, refusal.value.param) == (422, "prompt")


async def test_an_unknown_param_is_refused(kie: Kie) -> None:
    with pytest.raises(KieRejectedError) as refusal:
        await kie.client.create_task(asks(colour="red"))

    assert refusal.value.code == 422


@pytest.mark.parametrize(
    "model",
    [m for m in CATALOG.on_sale if any(isinstance(p, FileParam | FilesParam) for p in m.params)],
    ids=lambda model: model.id,
)
async def test_a_file_that_was_not_uploaded_is_refused_by_name(kie: Kie, model: Model) -> None:
    """KIE fetches what it is given, so nothing but an address of the web can be right."""
    param = next(p for p in model.params if isinstance(p, FileParam | FilesParam))
    local = "file:///tmp/tram.png"
    value: JsonValue = [local] if isinstance(param, FilesParam) else local
    request = evolve(asks(model), params={**good_answers(model), param.name: value})

    with pytest.raises(KieRejectedError) as refusal:
        await kie.client.create_task(request)

    assert (refusal.value.code, refusal.value.param) == (422, param.name)


@pytest.mark.parametrize("foreign", ["", "nonsense", "task_flux2_1765180586443", "../../etc"])
async def test_a_foreign_task_never_succeeds(kie: Kie, foreign: str) -> None:
    """A database may outlive the KIE account, or be told of a task that is not its own."""
    status = await kie.client.task_status(asks(), TaskId(foreign))

    assert not isinstance(status, TaskSucceeded)


# --- Files


async def test_an_uploaded_file_is_taken_by_a_task(kie: Kie) -> None:
    address = await kie.client.upload(BytesFile(name="трамвай 1.png", content=PNG + b"..."))
    request = asks(FILE_MODEL, image=address)

    status = await kie.end(request, await kie.client.create_task(request))

    assert isinstance(status, TaskSucceeded)


async def test_files_of_one_name_get_addresses_of_their_own(kie: Kie) -> None:
    first = await kie.client.upload(BytesFile(name="tram.png", content=PNG + b"1"))
    second = await kie.client.upload(BytesFile(name="tram.png", content=PNG + b"2"))

    assert first != second


async def test_an_empty_file_is_refused(kie: Kie) -> None:
    with pytest.raises(KieRejectedError):
        await kie.client.upload(BytesFile(name="tram.png", content=b""))


class BrokenFile:
    """A file whose reading fails half-way."""

    name = "tram.png"
    mime = "image/png"
    size = 1000

    async def chunks(self) -> AsyncIterator[bytes]:
        yield PNG
        raise MediaError("file:///tram.png", "gone")


async def test_a_file_that_cannot_be_read_says_so(kie: Kie) -> None:
    with pytest.raises(MediaError):
        await kie.client.upload(BrokenFile())


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "file:///etc/passwd",
        "ftp://files.example.org/tram.png",
        "http://127.0.0.1:9/tram.png",
        "http://169.254.169.254/latest/meta-data",
    ],
)
async def test_an_address_that_is_not_a_result_is_not_read(kie: Kie, url: str) -> None:
    with pytest.raises(MediaError):
        async with kie.client.open_result(url):
            pass


async def test_credits_are_counted(kie: Kie) -> None:
    assert await kie.client.credits() > 0


# --- What only the stub promises


@pytest.fixture
def stub(clock: FakeClock) -> StubKieClient:
    return StubKieClient(clock)


async def test_a_scripted_fault_meets_one_call(stub: StubKieClient) -> None:
    stub.script(
        Fault("create_task", KieUnavailableError("429")),
        Fault("create_task", None),
        Fault("create_task", KieRejectedError(422, "no")),
    )

    with pytest.raises(KieUnavailableError):
        await stub.create_task(asks())
    task_id = await stub.create_task(asks())
    with pytest.raises(KieRejectedError):
        await stub.create_task(asks())

    assert stub.created == [("job1", task_id)]


async def test_a_scripted_status_is_answered_once(stub: StubKieClient) -> None:
    timed_out = TaskFailed(Failure(reason=FailReason.TIMED_OUT))
    stub.script(Fault("task_status", timed_out))
    request = asks()
    task_id = await stub.create_task(request)

    first = await stub.task_status(request, task_id)
    second = await stub.task_status(request, task_id)

    assert (first, second) == (timed_out, TaskPending("generating"))


async def test_every_call_can_be_scripted(clock: FakeClock) -> None:
    down = KieUnavailableError("down")
    gone = MediaError("https://stub.kie.invalid/x/1.png", "gone")
    faults = (Fault("upload", down), Fault("credits", down), Fault("open_result", gone))
    stub = StubKieClient(clock, faults=faults)

    with pytest.raises(KieUnavailableError):
        await stub.upload(BytesFile(name="tram.png", content=PNG))
    with pytest.raises(KieUnavailableError):
        await stub.credits()
    with pytest.raises(MediaError):
        await read(stub, gone.reference)
    assert await stub.credits() == Decimal(1000)


def test_only_task_status_answers_with_a_status() -> None:
    with pytest.raises(ValueError, match="create_task"):
        Fault("create_task", TaskPending())


@pytest.mark.parametrize("lose", ["prompt", "script"])
async def test_a_task_whose_answer_is_lost_was_made(stub: StubKieClient, lose: str) -> None:
    """Else nothing could show that the late result of a lost task is handled."""
    request = asks(prompt="lost" if lose == "prompt" else "tram")
    if lose == "script":
        stub.script(Fault("create_task", KieNoAnswerError("lost")))

    with pytest.raises(KieNoAnswerError):
        await stub.create_task(request)

    ((job_id, task_id),) = stub.created
    assert (job_id, await stub.task_status(request, task_id)) == ("job1", TaskPending("generating"))


async def test_a_task_is_done_when_its_delay_is_over(clock: FakeClock) -> None:
    stub = StubKieClient(clock, delay_s=2)
    request = asks()
    task_id = await stub.create_task(request)
    url = f"https://stub.kie.invalid/{task_id}/1.png"
    with pytest.raises(MediaError):
        await read(stub, url)

    clock.advance(2)

    done = TaskSucceeded(Result(urls=(url,)), credits=Decimal(5))
    # The id alone tells how long it takes, not the client that is asked.
    assert await StubKieClient(clock, delay_s=99).task_status(request, task_id) == done
    assert_opens(await read(stub, url))


async def test_a_task_of_another_kind_of_model_is_a_failure(stub: StubKieClient) -> None:
    task_id = await stub.create_task(asks())

    status = await stub.task_status(asks(CATALOG.model("suno/V5")), task_id)

    assert isinstance(status, TaskFailed)
    assert status.failure.reason is FailReason.NO_RESULT


@pytest.mark.parametrize("prompt", ["fail", "stall"])
async def test_a_task_without_a_result_has_no_file(
    stub: StubKieClient, clock: FakeClock, prompt: str
) -> None:
    task_id = await stub.create_task(asks(prompt=prompt))
    clock.advance(100)

    with pytest.raises(MediaError):
        await read(stub, f"https://stub.kie.invalid/{task_id}/1.png")


@pytest.mark.parametrize(
    ("ratio", "size"), [("1:1", (256, 256)), ("16:9", (256, 144)), ("9:16", (144, 256))]
)
async def test_a_picture_has_the_shape_asked_for(
    stub: StubKieClient, clock: FakeClock, ratio: str, size: tuple[int, int]
) -> None:
    task_id = await stub.create_task(asks(aspect_ratio=ratio))
    clock.advance(1)

    content = await read(stub, f"https://stub.kie.invalid/{task_id}/1.png")

    assert struct.unpack_from(">II", content, 16) == size


# --- Whether a file opens


def assert_opens(content: bytes) -> None:
    """A player or viewer would take it: the structure is whole from the first byte to the last."""
    match sniff(content[:64]):
        case "image/png":
            assert_png(content)
        case "video/mp4":
            assert_mp4(content)
        case "audio/mpeg":
            assert_mp3(content)
        case other:
            raise AssertionError(f"no way to open {other}")


def assert_png(content: bytes) -> None:
    """Every chunk has its checksum, and the pixels are as many as the header says."""
    chunks: list[tuple[bytes, bytes]] = []
    at = len(PNG)
    while at < len(content):
        (length,) = struct.unpack_from(">I", content, at)
        kind, body = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        (check,) = struct.unpack_from(">I", content, at + 8 + length)
        assert check == zlib.crc32(kind + body), kind
        chunks.append((kind, body))
        at += 12 + length
    assert (chunks[0][0], chunks[-1]) == (b"IHDR", (b"IEND", b""))
    width, height, depth, colour, *rest = struct.unpack(">IIBBBBB", chunks[0][1])
    assert (depth, colour, rest) == (8, 2, [0, 0, 0])
    pixels = zlib.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"))
    assert len(pixels) == height * (1 + 3 * width)
    assert set(pixels[:: 1 + 3 * width]) <= set(range(5))


def assert_mp4(content: bytes) -> None:
    """The boxes fill the file, and the index stands before what it is about."""
    kinds = [kind for kind, _ in _boxes(content)]
    assert kinds[0] == b"ftyp"
    assert kinds.index(b"moov") < kinds.index(b"mdat")
    (index,) = (body for kind, body in _boxes(content) if kind == b"moov")
    inside = [kind for kind, _ in _boxes(index)]
    assert b"mvhd" in inside
    assert b"trak" in inside
    assert b"avc1" in index


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at < len(content):
        size, kind = struct.unpack_from(">I4s", content, at)
        assert 8 <= size <= len(content) - at, kind
        yield kind, content[at + 8 : at + size]
        at += size


KBITS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
HERTZ = (44100, 48000, 32000)


def assert_mp3(content: bytes) -> None:
    """After the ID3 tag, frames of MPEG 1 layer III follow each other to the end."""
    at = 0
    if content.startswith(b"ID3"):
        at = 10 + sum((part & 0x7F) << 7 * (3 - n) for n, part in enumerate(content[6:10]))
    frames = 0
    while at < len(content):
        (head,) = struct.unpack_from(">I", content, at)
        assert head >> 17 == 0b111111111111101, f"no frame at {at}"
        bitrate = 1000 * KBITS[head >> 12 & 0xF]
        at += 144 * bitrate // HERTZ[head >> 10 & 3] + (head >> 9 & 1)
        frames += 1
    assert at == len(content)
    # A frame is 1152 samples: a second has 38.
    assert frames > 38
