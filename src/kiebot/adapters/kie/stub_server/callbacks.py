"""
How the stub server tells the end of a task: posts to `callBackUrl`, signed, with three tries.

Nothing is posted to names that can never exist (RFC 2606), so a client that gives such an address
because it must, costs nobody a look-up.
"""

import asyncio
import heapq
import json
import secrets
from collections.abc import Callable
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from attrs import frozen

from kiebot.adapters.kie.stub_server.families import Suno
from kiebot.adapters.kie.stub_server.faults import Fault, FaultKind
from kiebot.adapters.kie.stub_server.tasks import StubTask
from kiebot.core.callbacks import SIGNATURE_HEADER, TIMESTAMP_HEADER, sign

TRIES = 3
"""How often one callback is tried. Source: kie.ai's callback pages."""

PAUSE_S = 1.0
"""Between two tries. kie.ai does not say how long it waits."""

PATIENCE_S = 15
"""How long an answer may take. Source: kie.ai's callback pages."""

LATE_S = 60.0
STALE_S = 3600.0
REPEATS = 3

_NO_HOSTS = (".invalid", ".test", ".example", "example.com", "example.net", "example.org")


@frozen(kw_only=True)
class Post:
    """One try to tell something. `status` is the HTTP status of the answer, None: none came."""

    task_id: str
    url: str
    kind: str
    status: int | None

    def __str__(self) -> str:
        """A line for a person, without path and query: the key of a job is there."""
        parts = urlsplit(self.url)
        where = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        answer = "no answer" if self.status is None else self.status
        return f"callback {self.kind} {self.task_id} to {where} → {answer}"


@frozen(kw_only=True)
class Telling:
    """What is to be told: `text` and `first` on the way of a Suno task, `end` of any task."""

    task: StubTask
    what: str = "end"
    fault: Fault | None = None
    attempt: int = 1


class Teller:
    """Posts callbacks when they are due."""

    def __init__(
        self,
        body: Callable[[StubTask, str], dict[str, Any]],
        now_ms: Callable[[], int],
        *,
        secret: str | None,
        say: Callable[[str], None],
    ) -> None:
        self.posts: list[Post] = []
        self.routes: dict[str, str] = {}
        self._body = body
        self._now_ms = now_ms
        self._secret = secret
        self._say = say
        self._due: list[tuple[int, int, Telling]] = []
        self._order = count()
        self._posting: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None

    @property
    def waits(self) -> bool:
        """Whether something is still to be told."""
        return bool(self._due)

    def begin(self, task: StubTask) -> None:
        """A Suno task tells on its way, too."""
        if task.family != Suno.name or task.fails or task.ends_ms is None:
            return
        if task.callback_url is not None and task.telling is None:
            took_ms = task.ends_ms - task.created_ms
            for what, share in (("text", 0.4), ("first", 0.7)):
                due_ms = task.created_ms + round(share * took_ms)
                self._schedule(due_ms, Telling(task=task, what=what))

    def end(self, task: StubTask) -> None:
        """The end of a task is to be told, as its fault says."""
        fault = task.telling
        kind = None if fault is None else fault.kind
        if task.callback_url is None or task.ends_ms is None or kind is FaultKind.SILENT:
            return
        due_ms = task.ends_ms
        if fault is not None and kind is FaultKind.LATE:
            due_ms += round(1000 * (LATE_S if fault.seconds is None else fault.seconds))
        for _ in range(REPEATS if kind is FaultKind.REPEATED else 1):
            self._schedule(due_ms, Telling(task=task, fault=fault))

    def tell(self) -> None:
        """Post what is due by now."""
        now_ms = self._now_ms()
        while self._due and self._due[0][0] <= now_ms:
            telling = heapq.heappop(self._due)[2]
            posting = asyncio.create_task(self._try(telling))
            self._posting.add(posting)
            posting.add_done_callback(self._posting.discard)

    async def told(self) -> None:
        """Wait until all that is due by now was posted."""
        self.tell()
        while self._posting:
            await asyncio.wait(self._posting)
            self.tell()

    async def close(self) -> None:
        for posting in self._posting:
            posting.cancel()
        await asyncio.gather(*self._posting, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def post(self, telling: Telling) -> int | None:
        """Post once, now; the HTTP status of the answer, None where none came."""
        url = telling.task.callback_url
        if url is None:
            raise ValueError(f"{telling.task.id} has no callBackUrl")
        content, headers = self._letter(telling)
        where = self._behind(url)
        status = None if _is_nowhere(where) else await self._send(where, content, headers)
        kind = telling.what if telling.fault is None else str(telling.fault.kind)
        post = Post(task_id=telling.task.id, url=url, kind=kind, status=status)
        self.posts.append(post)
        self._say(str(post))
        return status

    def _behind(self, url: str) -> str:
        """Where an address leads; `routes` knows those that no name server does."""
        for public, behind in self.routes.items():
            if url.startswith(f"{public}/"):
                return behind + url.removeprefix(public)
        return url

    async def _try(self, telling: Telling) -> None:
        status = await self.post(telling)
        if status == 200 or telling.attempt == TRIES:
            return
        again = Telling(
            task=telling.task,
            what=telling.what,
            fault=telling.fault,
            attempt=telling.attempt + 1,
        )
        self._schedule(self._now_ms() + round(1000 * PAUSE_S), again)

    def _schedule(self, due_ms: int, telling: Telling) -> None:
        heapq.heappush(self._due, (due_ms, next(self._order), telling))

    def _letter(self, telling: Telling) -> tuple[bytes, dict[str, str]]:
        """Body and headers."""
        fault = telling.fault
        kind = None if fault is None else fault.kind
        task_id = telling.task.id
        body = self._body(telling.task, telling.what)
        if kind is FaultKind.TAMPERED:
            body = _lie(body)
        content = json.dumps(body, ensure_ascii=False)
        if fault is not None and kind is FaultKind.FORGED:
            other = fault.task_id or secrets.token_hex(16)
            content = content.replace(task_id, other)
            task_id = other
        headers = {"Content-Type": "application/json", "User-Agent": "kiebot-stub-kie"}
        if self._secret is not None and kind is not FaultKind.UNSIGNED:
            age_s = STALE_S if kind is FaultKind.STALE else 0
            timestamp = str(int(self._now_ms() / 1000 - age_s))
            secret = secrets.token_hex(16) if kind is FaultKind.BAD_SIGNATURE else self._secret
            headers[TIMESTAMP_HEADER] = timestamp
            headers[SIGNATURE_HEADER] = sign(secret, task_id, timestamp)
        return content.encode(), headers

    async def _send(self, url: str, content: bytes, headers: dict[str, str]) -> int | None:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_S))
        try:
            answer = await self._session.post(
                url, data=content, headers=headers, allow_redirects=False
            )
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return None
        answer.release()
        return answer.status


def _is_nowhere(url: str) -> bool:
    host = (urlsplit(url).hostname or "").rstrip(".")
    return not host or f".{host}".endswith(tuple(f".{name.lstrip('.')}" for name in _NO_HOSTS))


def _lie(body: dict[str, Any]) -> dict[str, Any]:
    """The same task, and nothing true about it."""
    data = body["data"]
    ids = {name: data[name] for name in ("taskId", "task_id") if name in data}
    lies = {
        "model": "nobody/nothing",
        "state": "success",
        "param": "{}",
        "resultJson": '{"resultUrls":["https://files.invalid/lie.png"]}',
        "callbackType": "complete",
        "data": [{"audio_url": "https://files.invalid/lie.mp3"}],
        "info": {"resultUrls": ["https://files.invalid/lie.mp4"]},
        "video_url": "https://files.invalid/lie.mp4",
        "consumeCredits": 0,
    }
    kept = {name: lie for name, lie in lies.items() if name in data}
    return {"code": 200, "msg": "success", "data": {**ids, **kept}}
