"""
StubServer: kie.ai's HTTP on loopback, for development and tests.

Answers as kie.ai does: HTTP 200 with a `code`, JSON inside strings, each family with its own paths
and words (`families.py`). Refuses what kie.ai would (`wire.py`), keeps its limits
(`limits.py`), and goes wrong as asked (`faults.py`).

All is in memory and goes with the server. The time comes from the clock that is handed in: with
one that stands still, a task is done when the clock is advanced.
"""

import asyncio
import hashlib
import heapq
import ipaddress
import json
import secrets
import tempfile
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any, Self, TypeAlias
from urllib.parse import unquote, urlsplit

from aiohttp import web
from attrs import frozen

from kiebot.adapters.kie.stub_server.answers import (
    NOTES,
    UPLOAD_PATHS,
    Answerer,
    Notes,
    UnreadableError,
    answered,
    forbidden,
    read_json,
    refused,
)
from kiebot.adapters.kie.stub_server.callbacks import Post, Teller, Telling
from kiebot.adapters.kie.stub_server.control import Control
from kiebot.adapters.kie.stub_server.families import FAMILIES, Family, Suno, number
from kiebot.adapters.kie.stub_server.faults import Call, Fault, FaultKind, Script, in_words
from kiebot.adapters.kie.stub_server.file_routes import FileRoutes
from kiebot.adapters.kie.stub_server.files import Uploads
from kiebot.adapters.kie.stub_server.limits import Counts, Limits, Window
from kiebot.adapters.kie.stub_server.tasks import StubTask, Timeline, parameters_of, prompt_of
from kiebot.adapters.kie.stub_server.wire import (
    NO_CALLBACK,
    WireModel,
    media_addresses,
    model_of,
    wire_problems,
)
from kiebot.ports.system import Clock

HOST = "127.0.0.1"
BALANCE = Decimal(10_000)
BUSY_S = 3.0

MAX_JSON_BYTES = 64 * 1024 * 1024
"""Of a body that is not streamed; base64 is for 10 MB at most."""

KEPT_CALLS = 100_000
"""How many of the last requests are remembered."""

TICK_S = 0.02
"""How often the clock is looked at while something is to be told."""

KIE_HOSTS = ("aiquickdraw.com", "redpandaai.co", "kie.ai")
"""Where kie.ai's own files are."""

_NO_AGENTS = ("python-urllib/",)
"""User agents that kie.ai's proxy turns away, beside none at all."""

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


@frozen(kw_only=True)
class Asked:
    """
    One request, and what was answered.

    `http` and `code` are the answer's; None where none was given. `call` is None for a path that
    kie.ai does not have.
    """

    at: datetime
    method: str
    path: str
    query: Mapping[str, str]
    call: Call | None
    model: str | None
    body: Any
    task_id: str | None
    http: int | None
    code: int | None

    def __str__(self) -> str:
        """A line for a person; no key, no address that was given."""
        said = [f"{self.at.astimezone():%H:%M:%S}", self.method, self.path]
        said += [part for part in (self.model, self.task_id) if part and part not in self.path]
        if self.http is None:
            answer = "no answer"
        elif self.code in {None, self.http}:
            answer = str(self.http)
        else:
            answer = f"{self.http}, code {self.code}"
        return f"{' '.join(said)} → {answer}"


class StubServer:
    """
    The server. `async with StubServer(clock) as kie:` starts and ends it.

    `strict` refuses names that kie.ai's pages do not have, and media that is neither uploaded here
    nor at a public name. `key` is the only one taken, any where it is None. `callback_secret`
    signs callbacks. `say` hears a line about every request and every callback.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        port: int = 0,
        key: str | None = None,
        strict: bool = False,
        timeline: Timeline | None = None,
        callback_secret: str | None = None,
        limits: Limits | None = None,
        balance: Decimal = BALANCE,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.balance = balance
        self.timeline = timeline or Timeline()
        self.tasks: dict[str, StubTask] = {}
        self.asked: deque[Asked] = deque(maxlen=KEPT_CALLS)
        self._clock = clock
        self._port = port
        self._key = key
        self._strict = strict
        limits = limits or Limits()
        self._creates = Window(10, limits.creates_in_10s)
        self._queries = Window(1, limits.queries_in_1s)
        self._script = Script()
        self._busy_since_ms: dict[str, int] = {}
        self._ends: list[tuple[int, int, StubTask]] = []
        self._order = count()
        self._say = say
        self._teller = Teller(self._told_body, self._now_ms, secret=callback_secret, say=say)
        self._runner: web.AppRunner | None = None
        self._answerer = Answerer(asyncio.Event())
        self._watching: asyncio.Task[None] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="kiebot-stub-kie-")
        self._uploads = Uploads(Path(self._folder.name))

    # --- For whoever runs it

    async def start(self) -> None:
        """
        Listen.

        Raises:
            OSError: The port is taken, or may not be used.
        """
        app = web.Application(client_max_size=MAX_JSON_BYTES, middlewares=[self._note])
        self._routes(app)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        try:
            await self._runner.setup()
            await web.TCPSite(self._runner, HOST, self._port).start()
        except BaseException:
            await self.close()
            raise
        self._port = self._runner.addresses[0][1]
        self._watching = asyncio.create_task(self._watch(), name="stub-kie callbacks")

    async def close(self) -> None:
        """Stop; whoever waits for an answer gets none."""
        self._answerer.closing.set()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self._teller.close()
        if self._runner is not None:
            await self._runner.cleanup()
        self._folder.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def address(self) -> str:
        """`http://127.0.0.1:8765`, for KIE_API_URL and KIE_UPLOAD_URL."""
        return f"http://{HOST}:{self._port}"

    @property
    def counts(self) -> Counts:
        return Counts(
            creates=self._creates.count,
            creates_refused=self._creates.refused,
            most_creates_in_10s=self._creates.most,
            queries=self._queries.count,
            queries_refused=self._queries.refused,
            most_queries_in_1s=self._queries.most,
        )

    @property
    def posts(self) -> list[Post]:
        """The callbacks that were posted, every try."""
        return self._teller.posts

    @property
    def uploads(self) -> int:
        """How many uploaded files there are."""
        return len(self._uploads)

    @property
    def coming(self) -> tuple[Fault, ...]:
        """The faults that were scripted and did not strike yet."""
        return self._script.coming

    def script(self, *faults: Fault) -> None:
        """Have coming calls go wrong: each takes the oldest fault that is for it."""
        self._script.add(*faults)

    def clear_script(self) -> None:
        """All goes well again."""
        self._script.clear()

    def tasks_told_to(self, address: str) -> list[StubTask]:
        """The tasks whose callback address contains this: all tasks of a job."""
        return [task for task in self.tasks.values() if address in (task.callback_url or "")]

    def calls(self, call: Call) -> list[Asked]:
        """The requests of one kind."""
        return [asked for asked in self.asked if asked.call is call]

    def route(self, public: str, behind: str) -> None:
        """Callbacks to this public address, `https://bot.example`, go there from now on."""
        self._teller.routes[public.rstrip("/")] = behind.rstrip("/")

    async def told(self) -> None:
        """Wait until every callback that is due by the clock was posted."""
        self.settle()
        await self._teller.told()

    async def tell(self, task_id: str, fault: Fault | None = None) -> int | None:
        """Post the callback of a task now; the HTTP status of the answer, None: none came."""
        return await self._teller.post(Telling(task=self.tasks[task_id], fault=fault))

    # --- Routes

    def _routes(self, app: web.Application) -> None:
        for family in FAMILIES:
            app.router.add_post(family.create, self._known(self._create, family, Call.CREATE))
            app.router.add_get(family.status, self._known(self._status, family, Call.STATUS))
        app.router.add_get("/api/v1/chat/credit", self._kie(self._credits, Call.CREDITS))
        for path in ("/api/v1/common/download-url", "/api/v1/gpt4o-image/download-url"):
            app.router.add_post(path, self._kie(self._download_url, Call.DOWNLOAD_URL))
        files = FileRoutes(self._uploads, self.tasks, self._script, self._answerer, self._clock)
        handlers = (files.stream_upload, files.base64_upload, files.url_upload)
        for path, handler in zip(UPLOAD_PATHS, handlers, strict=True):
            app.router.add_post(path, self._kie(handler, Call.UPLOAD))
        app.router.add_get("/files/{place:.+}", files.uploaded)
        app.router.add_get("/results/{task}/{number:[1-9]}", files.result)
        app.router.add_get("/results/{task}/{number:[1-9]}.{extension:\\w+}", files.result)
        Control(self).add_to(app)

    def _known(
        self,
        handler: Callable[[web.Request, Family], Awaitable[web.StreamResponse]],
        family: Family,
        call: Call,
    ) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await handler(request, family)

        return self._kie(handle, call)

    def _kie(self, handler: Handler, call: Call) -> Handler:
        """One of kie.ai's own calls: it is noted as such, and needs a key."""

        async def handle(request: web.Request) -> web.StreamResponse:
            request[NOTES].call = call
            if not self._may(request):
                return refused(request, 401)
            self.settle()
            return await handler(request)

        return handle

    @web.middleware
    async def _note(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Keep a note of every request, and give what no handler answered kie.ai's shape."""
        notes = request[NOTES] = Notes()
        answer: web.StreamResponse | None = None
        try:
            if _is_kie(request) and not _has_agent(request):
                answer = forbidden()
            else:
                answer = await handler(request)
        except web.HTTPException as error:
            answer = refused(request, error.status, http=error.status, msg=error.reason)
        except UnreadableError as error:
            answer = refused(request, 400, msg=str(error))
        finally:
            if not request.path.startswith("/stub/"):
                unanswered = notes.unanswered or answer is None
                asked = Asked(
                    at=self._clock(),
                    method=request.method,
                    path=request.path,
                    query=dict(request.query),
                    call=notes.call,
                    model=notes.model,
                    body=notes.body,
                    task_id=notes.task_id,
                    http=None if unanswered or answer is None else answer.status,
                    code=notes.code,
                )
                self.asked.append(asked)
                self._say(str(asked))
        return answer

    def _may(self, request: web.Request) -> bool:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key:
            return False
        return self._key is None or secrets.compare_digest(key.encode(), self._key.encode())

    # --- Tasks

    async def _create(self, request: web.Request, family: Family) -> web.StreamResponse:
        notes = request[NOTES]
        body = notes.body = await read_json(request)
        if not self._creates.take(self._now_ms() / 1000):
            return refused(request, 429, http=429)
        call = f"POST {family.create}"
        model = model_of(call, body)
        notes.model = str(body.get("model") or (model.name if model else family.name))
        fault = self._script.take(Call.CREATE, notes.model)
        spoken = self._spoken(body, fault)
        if fault is None:
            fault = spoken.get(Call.CREATE)
        if fault is not None and fault.kind is FaultKind.BUSY:
            if self._is_busy(fault, call, body):
                return refused(request, 429, http=429)
            fault = None
        spoils = fault is not None and fault.kind is not FaultKind.PASS
        if fault is not None and spoils and not fault.taken:
            unmade = answered(request, {"taskId": family.new_id()})
            return await self._answerer.answer(request, fault, unmade)
        refusal = self._refusal(call, body, model)
        if refusal is not None or model is None:
            code, text = refusal or (422, None)
            return refused(request, code, msg=text)
        task = self._make(request, family, model, body, spoken)
        if task is None:
            return refused(request, 402)
        notes.task_id = task.id
        answer = answered(request, {"taskId": task.id})
        if fault is not None and spoils:
            return await self._answerer.answer(request, fault, answer)
        return answer

    def _spoken(self, body: Mapping[str, Any], fault: Fault | None) -> dict[Call, Fault]:
        """What the prompt asks for; nothing where the call is to go its usual way."""
        if fault is not None and fault.kind is FaultKind.PASS:
            return {}
        name, prompt = prompt_of(body)
        return {spoken.call: spoken for spoken in in_words(prompt, name=name)}

    def _is_busy(self, fault: Fault, call: str, body: Mapping[str, Any]) -> bool:
        said = hashlib.sha256(json.dumps([call, body], sort_keys=True).encode()).hexdigest()
        seconds = BUSY_S if fault.seconds is None else fault.seconds
        now_ms = self._now_ms()
        if now_ms - self._busy_since_ms.setdefault(said, now_ms) < 1000 * seconds:
            return True
        del self._busy_since_ms[said]
        return False

    def _refusal(
        self, call: str, body: Mapping[str, Any], model: WireModel | None
    ) -> tuple[int, str] | None:
        """Why kie.ai does not do this: a code and a text."""
        problems = wire_problems(call, body, strict=self._strict)
        if problems:
            return 422, problems[0] if problems == [NO_CALLBACK] else "; ".join(problems)
        if model is not None and self._strict:
            for name, address in media_addresses(model, parameters_of(body)):
                if not self._is_readable(address):
                    return 422, f"{name}: the file could not be fetched"
        return None

    def _is_readable(self, address: str) -> bool:
        """Whether it is a file of this server, or at a public name."""
        parts = urlsplit(address)
        host = parts.hostname or ""
        if host in {HOST, "localhost"} and parts.port == self._port:
            if parts.path.startswith("/results/"):
                return parts.path.split("/")[2] in self.tasks
            place = unquote(parts.path.removeprefix("/files/"))
            return self._uploads.get(place) is not None
        try:
            return ipaddress.ip_address(host).is_global
        except ValueError:
            return "." in host.rstrip(".")

    def _make(
        self,
        request: web.Request,
        family: Family,
        model: WireModel,
        body: Mapping[str, Any],
        spoken: Mapping[Call, Fault],
    ) -> StubTask | None:
        """A new task, None where the balance is too low for it."""
        fault = self._script.take(Call.TASK, request[NOTES].model) or spoken.get(Call.TASK)
        cost = model.credits
        if fault is not None and fault.kind is FaultKind.CREDITS and fault.credits is not None:
            cost = Decimal(str(fault.credits))
        if self.balance < cost:
            return None
        telling = self._script.take(Call.CALLBACK, request[NOTES].model)
        looks = spoken.get(Call.STATUS)
        task = StubTask(
            id=family.new_id(),
            model=model,
            body=body,
            base=f"http://{request.host}",
            created_ms=self._now_ms(),
            timeline=self.timeline,
            cost=cost,
            fault=None if fault is not None and fault.kind is FaultKind.PASS else fault,
            telling=telling or spoken.get(Call.CALLBACK),
            looks=deque([looks] * looks.times if looks is not None else []),
        )
        self.balance -= cost
        self.tasks[task.id] = task
        if task.ends_ms is not None:
            heapq.heappush(self._ends, (task.ends_ms, next(self._order), task))
        self._teller.begin(task)
        return task

    async def _status(self, request: web.Request, family: Family) -> web.StreamResponse:
        notes = request[NOTES]
        task_id = request.query.get("taskId", "")
        task = self.tasks.get(task_id)
        notes.task_id = task_id or None
        if not self._queries.take(self._now_ms() / 1000):
            return refused(request, 429, http=429)
        if not task_id:
            return refused(request, 400, msg="taskId is required")
        if task is not None and task.family != family.name:
            task = None
        notes.model = task.model.name if task is not None else None
        fault = self._script.take(Call.STATUS, notes.model)
        if fault is None and task is not None and task.looks:
            fault = task.looks.popleft()
        now_ms = self._now_ms()
        if task is None or task.is_hidden(now_ms):
            answer = refused(request, 422, msg="recordInfo is null")
        else:
            answer = answered(request, family.record(task, now_ms))
        return await self._answerer.answer(request, fault, answer)

    def settle(self) -> int:
        """Give back what failed tasks took, and have ends told; the moment, in milliseconds."""
        now_ms = self._now_ms()
        while self._ends and self._ends[0][0] <= now_ms:
            task = heapq.heappop(self._ends)[2]
            task.is_settled = True
            self.balance += task.cost - task.taken
            self._teller.end(task)
        return now_ms

    async def _watch(self) -> None:
        while True:
            self.settle()
            self._teller.tell()
            await asyncio.sleep(TICK_S)

    def _told_body(self, task: StubTask, what: str) -> dict[str, Any]:
        family = next(family for family in FAMILIES if family.name == task.family)
        if isinstance(family, Suno) and what != "end":
            return family.news(task, what)
        return family.callback(task, self._now_ms(), self.balance)

    def _now_ms(self) -> int:
        return round(1000 * self._clock().timestamp())

    # --- The account

    async def _credits(self, request: web.Request) -> web.StreamResponse:
        fault = self._script.take(Call.CREDITS, None)
        answer = answered(request, number(self.balance))
        return await self._answerer.answer(request, fault, answer)

    async def _download_url(self, request: web.Request) -> web.StreamResponse:
        fault = self._script.take(Call.DOWNLOAD_URL, None)
        body = request[NOTES].body = await read_json(request)
        url = body.get("url")
        parts = urlsplit(url if isinstance(url, str) else "")
        is_own = parts.netloc == request.host and parts.path.startswith(("/results/", "/files/"))
        host = parts.hostname or ""
        if is_own or host in KIE_HOSTS or host.endswith(tuple(f".{name}" for name in KIE_HOSTS)):
            answer = answered(request, f"{url}?sig={secrets.token_hex(8)}")
        else:
            answer = refused(request, 422, msg="The url is not one of a file of ours")
        return await self._answerer.answer(request, fault, answer)


def _is_kie(request: web.Request) -> bool:
    return request.path.startswith("/api/")


def _has_agent(request: web.Request) -> bool:
    agent = request.headers.get("User-Agent", "").strip().lower()
    return bool(agent) and not agent.startswith(_NO_AGENTS)
