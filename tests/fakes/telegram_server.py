"""
Telegram on loopback: a Bot API server, and people with phones. For tests.

    async with telegram_server() as telegram:           # or the fixture `telegram`
        phone = telegram.person(7, "Аня", language_code="ru")
        ...                                             # start the bot: TELEGRAM_API_URL is
                                                        # telegram.url, the token telegram.token
        phone.types("/start")
        message = await phone.sees("Баланс", "Создать") # one message that has all these words
        phone.presses("Создать")                        # a label, or callback data
        await phone.sees("Что создаём?")

A `Bot` in the test is `Bot(telegram.token, AiohttpSession(api=TelegramAPIServer.from_base(
telegram.url)))`. `telegram.url_of("first")` marks the calls of one instance with a name
(`telegram.called("getUpdates", by="first")`). Webhooks: `telegram.route("https://bot.example",
"http://127.0.0.1:8081", ...)` says who is behind the public address, one after another.

It is strict (`telegram_rules.py`), and goes wrong as asked:

    telegram.breaks("bad_gateway", "sendMessage", times=2)
    telegram.breaks("drop", is_taken=True)              # the message went, the answer did not
    hang = telegram.breaks("hang"); ...; telegram.heals(hang)
    telegram.meter.limits = Limits()                    # 30 a second, 1 a second for a chat

`telegram.meter` counts messages, limits or not. `telegram.calls` has all that the bot said, files
too; `telegram.said()` is all of it as text. `telegram.updates` knows what was not handed out yet
(`waiting`), and what was posted where (`posted`); `updates.hold()` and `updates.release(reversed)`,
`updates.copies = 2`, `updates.redeliver(id)` make it difficult.

`await telegram.until(condition, "what")` waits for anything, `await telegram.idle()` for every
update taken and every press answered. The context fails in the end where a press was never
answered; a test that kills its bot may say `telegram.expire()`, but the try must still come.

For tests without a loop of their own, `telegram_thread()` runs it in a thread:

    with telegram_thread() as thread:
        phone = thread.do(lambda telegram: telegram.person(7))
        thread.wait(phone.sees("Баланс"))
"""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import aiohttp
from aiohttp import web
from attrs import define, frozen

from tests.fakes import telegram_rules as rules
from tests.fakes.telegram_chats import (
    PATIENCE_S,
    Query,
)
from tests.fakes.telegram_faults import BAD_GATEWAY, Fault, FaultKind, Meter, flood
from tests.fakes.telegram_methods import Call, Described, Telegram
from tests.fakes.telegram_rules import Json, RefusedError, forbidden

TOKEN = "4200000042:AAE-the-bot-of-the-tests-0000000000000"
HOST = "127.0.0.1"
T = TypeVar("T")


class TelegramServer(Telegram):
    """Telegram for one bot. `async with TelegramServer() as telegram:` starts and ends it."""

    def __init__(self, token: str = TOKEN, *, username: str = "kiebot_test_bot") -> None:
        super().__init__(token, username)
        self.url = ""
        self.calls: list[Call] = []
        self.meter = Meter()
        self.faults: list[Fault] = []
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> "TelegramServer":
        app = web.Application(client_max_size=1 << 30)
        for prefix in ("", "/as/{by}"):
            app.router.add_route("*", prefix + "/bot{token}/{method}", self._serve)
            app.router.add_get(prefix + "/file/bot{token}/{path:.+}", self._fetched)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://{HOST}:{port}"
        self.session = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.heals()
        self.updates.end_poll("Conflict: the tests' server ends")
        await self.updates.close()
        assert self._runner is not None
        await self.session.close()
        await self._runner.cleanup()

    def url_of(self, name: str) -> str:
        """An address of the same server; calls that come by it are marked with the name."""
        return f"{self.url}/as/{name}"

    def route(self, public: str, *behind: str) -> None:
        """Who is behind a public address, `https://bot.example`: updates go to each in turn."""
        self.updates.routes[public.rstrip("/")] = [*behind]

    # --- What happened

    def called(
        self, method: str | None = None, *, chat_id: int | None = None, by: str | None = None
    ) -> list[Call]:
        """The bot's calls, of this method, about this chat, by this address."""
        return [
            call
            for call in self.calls
            if (method is None or call.name == method.lower())
            and (chat_id is None or call.chat_id == chat_id)
            and (by is None or call.by == by)
        ]

    def said(self) -> str:
        """Every parameter of every call, and what is text in the uploads."""
        parts = []
        for call in self.calls:
            parts.append(json.dumps(call.params, ensure_ascii=False))
            for name, mime, content in call.files.values():
                parts += [name, mime, content.decode(errors="ignore")]
        return "\n".join(parts)

    async def idle(self) -> None:
        """Wait until the bot has taken every update and answered every press."""
        await self.until(
            lambda: not self.updates.waiting and not self.unanswered(),
            "end of what is waiting",
        )

    # --- Going wrong

    def breaks(
        self,
        kind: FaultKind,
        method: str | None = None,
        *,
        chat_id: int | None = None,
        times: int | None = 1,
        retry_after: int = 3,
        is_taken: bool = False,
    ) -> Fault:
        """From now on this goes wrong."""
        fault = Fault(kind, method, chat_id, times, retry_after, is_taken)
        self.faults.append(fault)
        return fault

    def heals(self, *faults: Fault) -> None:
        """These are over; all where none is named."""
        for fault in faults or self.faults:
            fault.over.set()

    def expire(self, *queries: Query) -> None:
        """It is too late to answer these; all that are open where none is named."""
        for query in queries or self.unanswered():
            query.is_expired = True

    # --- HTTP

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        params, files = await _read(request)
        call = Call(method, params, files, request.match_info.get("by", ""), self.next_moment())
        self.calls.append(call)
        self.bell.ring()
        if request.match_info["token"] != self.token:
            return _sent(_refused(call, RefusedError(401, "Unauthorized")), request)
        return _sent(await self.take(call), request)

    async def take(self, call: Call) -> "Answer | None":
        """What a call is answered; None where the connection is closed without a word."""
        fault = self._fault(call)
        if fault is not None and not fault.is_taken:
            return await self._broken(call, fault)
        try:
            media = call.params.get("media") if call.name == "sendmediagroup" else None
            number = len(media) if isinstance(media, list) else 1
            self.meter.count(call.name, call.chat_id, number)
            answer = _answer(call, await self.do(call))
        except RefusedError as refusal:
            answer = _refused(call, refusal)
        self.bell.ring()
        if fault is not None:
            return await self._broken(call, fault)
        return answer

    def _fault(self, call: Call) -> Fault | None:
        chat_id = call.params.get("chat_id")
        if call.name == "answercallbackquery":
            query = self.queries.get(str(call.params.get("callback_query_id")))
            chat_id = query.phone.user_id if query else None
        found = next((each for each in self.faults if each.is_for(call.name, chat_id)), None)
        if found is not None:
            found.hits += 1
            if call.name == "answercallbackquery" and query:
                query.tries.append(call.params)
        return found

    async def _broken(self, call: Call, fault: Fault) -> "Answer | None":
        self.bell.ring()
        match fault.kind:
            case "flood":
                return _refused(call, flood(fault.retry_after))
            case "bad_gateway":
                call.code = 502
                return Answer(502, BAD_GATEWAY, "text/html")
            case "error":
                return _refused(call, RefusedError(500, "Internal Server Error"))
            case "forbidden":
                return _refused(call, forbidden("bot was blocked by the user"))
            case "hang":
                await fault.over.wait()
            case "drop":
                pass
        call.code = None
        return None

    async def fetch(self, call: Call) -> "bytes | Answer | None":
        """The file of an address, or what is said in its place; None as in `take`."""
        fault = self._fault(call)
        if fault is not None:
            return await self._broken(call, fault)
        file = self.files.at(str(call.params["path"]))
        if file is None:
            return Answer(404, '{"ok":false,"error_code":404,"description":"Not Found"}')
        return file.content

    async def _fetched(self, request: web.Request) -> web.StreamResponse:
        path, by = request.match_info["path"], request.match_info.get("by", "")
        call = Call("file", {"path": path}, {}, by, self.next_moment())
        self.calls.append(call)
        if request.match_info["token"] != self.token:
            return _sent(_refused(call, RefusedError(404, "Not Found")), request)
        found = await self.fetch(call)
        if isinstance(found, bytes):
            return web.Response(body=found, content_type="application/octet-stream")
        return _sent(found, request)


@frozen
class Answer:
    """What is said to a call over HTTP."""

    status: int
    body: str
    content_type: str = "application/json"


async def _read(request: web.Request) -> tuple[Json, dict[str, tuple[str, str, bytes]]]:
    """The parameters, from wherever the Bot API takes them, and the uploads."""
    params: Json = dict(request.query)
    files = {}
    if request.content_type == "application/json":
        given = await request.json()
        params |= given if isinstance(given, dict) else {}
    elif request.can_read_body:
        for name, value in (await request.post()).items():
            if isinstance(value, web.FileField):
                files[name] = (value.filename, value.content_type, value.file.read())
            else:
                params[name] = value
    for name in rules.JSON_FIELDS & params.keys():
        try:
            params[name] = rules.loaded(params[name])
        except RefusedError:
            params[name] = "no JSON"
    return params, files


def _answer(call: Call, result: object) -> Answer:
    call.code = 200
    told: Json = {"ok": True, "result": result}
    if isinstance(result, Described):
        told = {"ok": True, "result": result.result, "description": result.description}
    return Answer(200, json.dumps(told))


def _refused(call: Call, refusal: RefusedError) -> Answer:
    call.code, call.description = refusal.code, refusal.description
    told: Json = {"ok": False, "error_code": refusal.code, "description": refusal.description}
    if refusal.parameters:
        told["parameters"] = refusal.parameters
    return Answer(refusal.code, json.dumps(told))


def _sent(answer: Answer | None, request: web.Request) -> web.Response:
    if answer is None:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()
    return web.Response(status=answer.status, text=answer.body, content_type=answer.content_type)


# --- Starting it


@asynccontextmanager
async def telegram_server(token: str = TOKEN) -> AsyncIterator[TelegramServer]:
    """A server of one test's own. In the end every press must have been answered."""
    async with TelegramServer(token) as telegram:
        yield telegram
        unanswered = [query.data for query in telegram.unanswered()]
    assert unanswered == [], "the bot never answered these presses"


@define
class TelegramThread:
    """A server in a thread with a loop of its own, for tests that have none."""

    telegram: TelegramServer
    loop: asyncio.AbstractEventLoop

    def do(self, act: Callable[[TelegramServer], T]) -> T:
        """Do this where the server is."""

        async def doing() -> T:
            return act(self.telegram)

        return self.wait(doing())

    def wait(self, awaited: Coroutine[Any, Any, T]) -> T:
        """Wait for this where the server is."""
        return asyncio.run_coroutine_threadsafe(awaited, self.loop).result()


@contextmanager
def telegram_thread(token: str = TOKEN) -> Iterator[TelegramThread]:
    """The same in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="telegram", daemon=True)
    thread.start()
    manager = telegram_server(token)
    enter, leave = manager.__aenter__, manager.__aexit__

    def run(awaited: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(awaited, loop).result(2 * PATIENCE_S)

    try:
        server = TelegramThread(run(enter()), loop)
        try:
            yield server
        except BaseException as exc:
            if not run(leave(type(exc), exc, exc.__traceback__)):
                raise
        else:
            run(leave(None, None, None))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
