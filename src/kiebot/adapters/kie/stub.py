"""
StubKieClient: a KIE that lives in the process. No network, no cost, files of its own.

A task's id says all there is to know of it (what it makes, since when, how it will end), and so
does the address of a result. Another client, in another process, goes on where this one was
killed.

The prompt decides how it goes. Only the whole of it counts, in any case:

    prompt   then
    fail     the task fails after the usual while (MODEL_FAILED)
    slow     the task takes 30 s
    stall    the task never ends
    refuse   create_task: KieRejectedError, 422, about the prompt
    busy     create_task: KieUnavailableError in the first 3 s after this client first saw the job
    lost     create_task: KieNoAnswerError, and the task was made all the same
    broke    create_task: KieOperatorError, 402

Any other prompt succeeds. The prompt is the model's primary param if that is a text, else its
first text that must be given; models without one always succeed. What a program wants to go
wrong it says with `script`.
"""

import hashlib
import math
import re
import secrets
import struct
import zlib
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from colorsys import hsv_to_rgb
from contextlib import asynccontextmanager
from decimal import Decimal
from enum import StrEnum
from importlib.resources import files
from typing import Literal, Self, TypeAlias, TypeVar
from urllib.parse import quote

from attrs import field, frozen

from kiebot.core import costs, params
from kiebot.core.errors import (
    InvalidAnswerError,
    KieNoAnswerError,
    KieOperatorError,
    KieRejectedError,
    KieUnavailableError,
    MediaError,
)
from kiebot.core.media import SNIFF_BYTES, MediaKind, sniff
from kiebot.core.params import Answers, FileParam, FilesParam, JsonValue, TextParam
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
from kiebot.ports.kie import InputFile
from kiebot.ports.system import Clock

ORIGIN = "https://stub.kie.invalid"
"""Where the stub's files are. The name can never exist (RFC 2606), so nobody goes there."""

BUSY_S = 3.0
SLOW_S = 30.0

BALANCE = Decimal(1000)
"""The operator's credits, whatever was made."""

TASK_CREDITS = Decimal(5)
"""
What a task that succeeds is said to have taken, where the catalog does not say what KIE takes.
Invented, like everything here.
"""

CHUNK_BYTES = 64 * 1024
NAME_CHARS = 100
"""Characters of a file's name in its address, which must not outgrow `params.MAX_ADDRESS`."""

PICTURE_PX = 256
"""The longer side of a picture."""

MOST_FILES = 6
"""Files of one task. Source: the largest `max_images` of KIE's models."""

TRANSCRIPT = (
    "Здравствуйте! Это демонстрация kiebot: вашу запись никто не слушал, а этот текст готов"
    " заранее.\n"
    "Hello! This is a demonstration of kiebot: nobody listened to your recording, and this text"
    " was written beforehand."
)

EXTENSIONS = {MediaKind.IMAGE: "png", MediaKind.VIDEO: "mp4", MediaKind.AUDIO: "mp3"}
"""What the stub makes of each kind; of the others it makes a text."""

_COUNTS = ("max_images", "num_images", "nVariants", "n")
_SHAPES = ("aspect_ratio", "aspectRatio", "image_size", "size")
_WHOLE = re.compile(r"\d{1,3}(\.0)?", re.ASCII)
_RATIO = re.compile(r"(\d{1,2})[:_x](\d{1,2})")
_TASK_ID = re.compile(
    r"stub_(?P<output>[a-z]+)_(?P<count>[1-9])_(?P<fate>[a-z]+)_(?P<created_ms>\d{1,14})"
    r"_(?P<delay_ms>\d{1,9})_(?P<width>\d{2,3})x(?P<height>\d{2,3})_(?P<seed>[0-9a-f]{8})"
    r"_[0-9a-f]{8}",
    re.ASCII,
)
_RESULT_URL = re.compile(rf"{re.escape(ORIGIN)}/(?P<task>\w+)/(?P<number>\d)\.\w+", re.ASCII)

Call: TypeAlias = Literal[
    "create_task", "task_status", "is_task_of", "upload", "credits", "open_result"
]
_Member = TypeVar("_Member", bound=StrEnum)


class Word(StrEnum):
    """The prompts that make something go wrong."""

    FAIL = "fail"
    SLOW = "slow"
    STALL = "stall"
    REFUSE = "refuse"
    BUSY = "busy"
    LOST = "lost"
    BROKE = "broke"


@frozen
class Fault:
    """
    How the next call of this kind ends, in place of how it would.

    An exception is raised; a status is what `task_status` answers; None lets one call go its
    usual way. After a KieNoAnswerError from `create_task` the task was made all the same.
    """

    call: Call
    outcome: Exception | TaskStatus | None = field()

    @outcome.validator
    def _fits(self, _: object, outcome: Exception | TaskStatus | None) -> None:
        if isinstance(outcome, TaskStatus) and self.call != "task_status":
            raise ValueError(f"{self.call} does not answer with a status")


@frozen(kw_only=True)
class BytesFile:
    """A file that is in memory."""

    name: str
    content: bytes = field(repr=False)

    @property
    def mime(self) -> str | None:
        return sniff(self.content[:SNIFF_BYTES])

    @property
    def size(self) -> int:
        return len(self.content)

    async def chunks(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.content), CHUNK_BYTES):
            yield self.content[start : start + CHUNK_BYTES]


class StubKieClient:
    """
    A KieClient without KIE; what it answers is in the module's docstring.

    A task is done `delay_s` seconds after it was made. `created` lists the tasks that this
    client made, lost ones too.
    """

    def __init__(self, clock: Clock, *, delay_s: float = 0.4, faults: Iterable[Fault] = ()) -> None:
        self.created: list[tuple[JobId, TaskId]] = []
        self._clock = clock
        self._delay_s = delay_s
        self._faults = deque(faults)
        self._busy_since_ms: dict[JobId, int] = {}

    def script(self, *faults: Fault) -> None:
        """Have the coming calls go wrong: each call takes the oldest fault of its kind."""
        self._faults.extend(faults)

    async def create_task(self, request: TaskRequest) -> TaskId:
        fault = self._fault("create_task")
        if isinstance(fault, KieNoAnswerError):
            self._make(request)
        if isinstance(fault, Exception):
            raise fault
        _check(request)
        match word(request):
            case Word.REFUSE:
                raise KieRejectedError(422, "the prompt asks for a refusal", param=_prompt(request))
            case Word.BROKE:
                raise KieOperatorError(402, "the prompt asks for an empty balance")
            case Word.BUSY if self._is_busy(request.job_id):
                raise KieUnavailableError("429: the prompt asks for a busy KIE")
            case Word.LOST:
                raise KieNoAnswerError(f"the answer about {self._make(request)} is lost")
            case _:
                return self._make(request)

    async def task_status(self, request: TaskRequest, task_id: TaskId) -> TaskStatus:
        fault = self._fault("task_status")
        if isinstance(fault, Exception):
            raise fault
        if fault is not None:
            return fault
        task = _Task.decode(task_id)
        # Final, because asking again cannot turn a foreign id into one of ours.
        if task is None or task.output is not request.model.output:
            detail = f"{task_id} is no task of the stub's for {request.model.id}"
            return TaskFailed(Failure(reason=FailReason.NO_RESULT, detail=detail))
        if not task.is_over(self._now_ms()):
            return TaskPending("generating")
        if task.fate is _Fate.FAIL:
            failure = Failure(reason=FailReason.MODEL_FAILED, detail="the prompt asks for it")
            return TaskFailed(failure, credits=Decimal(0))
        credited = costs.kie_credits(request.model, request.params) or TASK_CREDITS
        return TaskSucceeded(task.result(task_id), credits=credited)

    async def is_task_of(self, request: TaskRequest, task_id: TaskId) -> bool:
        self._raise_fault("is_task_of")
        task = _Task.decode(task_id)
        return task is not None and task.seed == _seed(request)

    async def upload(self, file: InputFile) -> str:
        self._raise_fault("upload")
        digest = hashlib.sha256()
        size = 0
        async for chunk in file.chunks():
            digest.update(chunk)
            size += len(chunk)
        if not size:
            raise KieRejectedError(422, f"{file.name!r} is empty")
        # The end of a long name, because the extension is there.
        name = quote(file.name[-NAME_CHARS:], safe="", errors="replace") or "file"
        return f"{ORIGIN}/upload/{digest.hexdigest()[:16]}/{name}"

    async def credits(self) -> Decimal:
        self._raise_fault("credits")
        return BALANCE

    @asynccontextmanager
    async def open_result(self, url: str) -> AsyncIterator[InputFile]:
        self._raise_fault("open_result")
        found = _RESULT_URL.fullmatch(url)
        task = _Task.decode(found["task"]) if found else None
        if found is None or task is None or url not in task.urls(found["task"]):
            raise MediaError(url, "no result of the stub's")
        if task.fate is not _Fate.DONE or not task.is_over(self._now_ms()):
            raise MediaError(url, "not made")
        yield BytesFile(name=url.rsplit("/", 1)[-1], content=task.file(int(found["number"])))

    def _make(self, request: TaskRequest) -> TaskId:
        asked = word(request)
        fates = {Word.FAIL: _Fate.FAIL, Word.STALL: _Fate.STALL}
        width, height = _shape(request.params)
        task = _Task(
            output=request.model.output,
            count=_count(request),
            fate=fates.get(asked, _Fate.DONE) if asked else _Fate.DONE,
            created_ms=self._now_ms(),
            delay_ms=round(1000 * (SLOW_S if asked is Word.SLOW else self._delay_s)),
            width=width,
            height=height,
            seed=_seed(request),
        )
        task_id = task.encode()
        self.created.append((request.job_id, task_id))
        return task_id

    def _is_busy(self, job_id: JobId) -> bool:
        now_ms = self._now_ms()
        return now_ms - self._busy_since_ms.setdefault(job_id, now_ms) < 1000 * BUSY_S

    def _now_ms(self) -> int:
        return round(1000 * self._clock().timestamp())

    def _fault(self, call: Call) -> Exception | TaskStatus | None:
        for fault in self._faults:
            if fault.call == call:
                self._faults.remove(fault)
                return fault.outcome
        return None

    def _raise_fault(self, call: Call) -> None:
        fault = self._fault(call)
        if isinstance(fault, Exception):
            raise fault


def word(request: TaskRequest) -> Word | None:
    """The word of the module's table that the prompt is, or None."""
    name = _prompt(request)
    prompt = request.params.get(name) if name is not None else None
    return _member(Word, prompt.strip().lower()) if isinstance(prompt, str) else None


class _Fate(StrEnum):
    DONE = "done"
    FAIL = "fail"
    STALL = "stall"


@frozen(kw_only=True)
class _Task:
    """What a task's id says."""

    output: MediaKind
    count: int
    fate: _Fate
    created_ms: int
    delay_ms: int
    width: int
    height: int
    seed: str

    @classmethod
    def decode(cls, task_id: str) -> Self | None:
        """The task of this id, None if it is not one of the stub's."""
        found = _TASK_ID.fullmatch(task_id)
        output = _member(MediaKind, found["output"]) if found else None
        fate = _member(_Fate, found["fate"]) if found else None
        if found is None or output is None or fate is None:
            return None
        return cls(
            output=output,
            count=int(found["count"]),
            fate=fate,
            created_ms=int(found["created_ms"]),
            delay_ms=int(found["delay_ms"]),
            width=int(found["width"]),
            height=int(found["height"]),
            seed=found["seed"],
        )

    def encode(self) -> TaskId:
        """An id that says it, never the same twice: KIE makes a new task of an equal request."""
        return TaskId(
            f"stub_{self.output}_{self.count}_{self.fate}_{self.created_ms}_{self.delay_ms}"
            f"_{self.width}x{self.height}_{self.seed}_{secrets.token_hex(4)}"
        )

    def is_over(self, now_ms: int) -> bool:
        return self.fate is not _Fate.STALL and now_ms >= self.created_ms + self.delay_ms

    def urls(self, task_id: str) -> tuple[str, ...]:
        if self.output not in EXTENSIONS:
            return ()
        extension = EXTENSIONS[self.output]
        return tuple(f"{ORIGIN}/{task_id}/{n}.{extension}" for n in range(1, self.count + 1))

    def result(self, task_id: str) -> Result:
        urls = self.urls(task_id)
        return Result(urls=urls) if urls else Result(text=TRANSCRIPT)

    def file(self, number: int) -> bytes:
        """The content of one of its files, the first being number 1."""
        if self.output is MediaKind.IMAGE:
            return picture(f"{self.seed}{number}", self.width, self.height)
        name = f"stub.{EXTENSIONS[self.output]}"
        return files("kiebot.adapters.kie").joinpath("media", name).read_bytes()


def _check(request: TaskRequest) -> None:
    """Refuse what a strict KIE would: unknown, missing or wrong params, and files not uploaded."""
    try:
        params.verify(request.model, request.params)
    except InvalidAnswerError as exc:
        raise KieRejectedError(422, str(exc), param=exc.param) from exc
    for param in request.model.params:
        if not isinstance(param, FileParam | FilesParam):
            continue
        for reference in _references(request.params.get(param.name)):
            if not reference.startswith(("https://", "http://")):
                raise KieRejectedError(422, f"{reference}: not http(s)", param=param.name)


def _references(value: JsonValue) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Iterable):
        yield from (str(item) for item in value)


def _prompt(request: TaskRequest) -> str | None:
    main = params.primary(request.model)
    texts = [p for p in request.model.params if isinstance(p, TextParam) and p.required]
    if isinstance(main, TextParam):
        return main.name
    return texts[0].name if texts else None


def _count(request: TaskRequest) -> int:
    """How many files are asked for; two tracks of Suno's, as KIE's page of it says."""
    return 2 if request.model.family == "suno" else files_asked_for(request.params)


def files_asked_for(params: Mapping[str, object]) -> int:
    """How many files the params of a request ask for; one where they say nothing."""
    for name in _COUNTS:
        value = params.get(name)
        # Some models take the number as a text, some as 3.0.
        if isinstance(value, int | float | str) and _WHOLE.fullmatch(str(value)):
            return min(max(int(float(value)), 1), MOST_FILES)
    return 1


def _shape(answers: Answers) -> tuple[int, int]:
    """Width and height that go with an answer such as `16:9` or `portrait_4_3`, else a square."""
    for name in _SHAPES:
        value = str(answers.get(name) or "")
        found = _RATIO.search(value)
        if found is None or not int(found[1]) or not int(found[2]):
            continue
        ratio = min(max(int(found[1]) / int(found[2]), 0.25), 4.0)
        # KIE names portraits by the ratio of the landscape.
        if value.startswith("portrait"):
            ratio = min(ratio, 1 / ratio)
        shorter = round(PICTURE_PX * min(ratio, 1 / ratio))
        return (PICTURE_PX, shorter) if ratio >= 1 else (shorter, PICTURE_PX)
    return PICTURE_PX, PICTURE_PX


def _seed(request: TaskRequest) -> str:
    """
    Eight hexadecimal digits, equal for equal models and params. Files do not count: where they
    are is another place before they were uploaded.
    """
    files = {p.name for p in request.model.params if isinstance(p, FileParam | FilesParam)}
    given = sorted(item for item in request.params.items() if item[0] not in files)
    said = repr((request.model.id, given))
    return hashlib.sha256(said.encode(errors="replace")).hexdigest()[:8]


def _member(kind: type[_Member], value: str) -> _Member | None:
    return next((member for member in kind if member.value == value), None)


def picture(seed: str, width: int, height: int) -> bytes:
    """A PNG: a sun over hills, in the seed's colours."""
    dice = hashlib.sha256(seed.encode()).digest()
    hue = dice[0] / 256
    top, low = _colour(hue, 0.75, 0.45), _colour(hue + 0.3, 0.45, 1.0)
    sun = (width * (0.2 + 0.6 * dice[1] / 255), height * 0.42, min(width, height) * 0.16)
    hills = [
        (
            _colour(hue + 0.08, 0.6, 0.42 - 0.14 * near),
            [
                height
                * (0.64 + 0.16 * near + 0.07 * math.sin(dice[2 + near] + x * (5 + near) / width))
                for x in range(width)
            ],
        )
        for near in range(2)
    ]
    rows = bytearray()
    for y in range(height):
        share = y / height
        sky = bytes(round(a + (b - a) * share) for a, b in zip(top, low, strict=True))
        row = [sky] * width
        half = math.sqrt(max(sun[2] ** 2 - (y - sun[1]) ** 2, 0))
        left, right = round(sun[0] - half), round(sun[0] + half)
        row[left:right] = [b"\xff\xf4\xd6"] * (right - left)
        for colour, ridge in hills:
            row = [colour if y > edge else pixel for edge, pixel in zip(ridge, row, strict=True)]
        # Filter 0: the row is as it stands.
        rows += b"\0" + b"".join(row)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(rows))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in parts)


def _colour(hue: float, saturation: float, value: float) -> bytes:
    return bytes(round(255 * part) for part in hsv_to_rgb(hue % 1, saturation, value))


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)
