"""
What people did, on its way to the bot: handed out by getUpdates, or posted to the webhook.

Sources: `getUpdates`, `setWebhook` in the Bot API documentation, and `Client.cpp` and
`WebhookActor.cpp` of tdlib/telegram-bot-api: a poll ends the one before it; a webhook gets one
update of a person at a time, until it is answered with 2xx.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from itertools import count, cycle
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from attrs import define, field, frozen

from tests.fakes.telegram_chats import Bell
from tests.fakes.telegram_rules import Json, RefusedError, bad, is_on

FIRST_UPDATE = 100_000_001
LIMIT = 100
LONGEST_POLL_S = 50
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"
SECRET_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
NOT_BY_DEFAULT = frozenset({"chat_member", "message_reaction", "message_reaction_count"})

WEBHOOK_IS_SET = (
    "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the"
    " webhook first"
)
OTHER_POLL = (
    "Conflict: terminated by other getUpdates request; make sure that only one bot instance is"
    " running"
)


@frozen(kw_only=True)
class Hook:
    """A webhook as it was set."""

    url: str
    secret: str | None
    connections: int


@define
class Posted:
    """One delivery to a webhook: where to, which update, and the status (None: no answer)."""

    to: str
    update_id: int
    status: int | None


@define
class Updates:
    """
    Updates that wait, oldest first.

    `copies` is how often each is handed out at once. While `is_held`, new ones do not come out.
    """

    bell: Bell
    waiting: list[Json] = field(factory=list)
    made: list[Json] = field(factory=list)
    """All that there ever were."""
    held: list[Json] = field(factory=list)
    is_held: bool = False
    copies: int = 1
    hook: Hook | None = None
    routes: dict[str, list[str]] = field(factory=dict)
    posted: list[Posted] = field(factory=list)
    last_error: str | None = None
    retry_s: float = 0.1
    patience_s: float = 60
    """How long a webhook may take to answer."""
    _ids: "count[int]" = field(factory=lambda: count(FIRST_UPDATE))
    _allowed: frozenset[str] | None = None
    _polling: asyncio.Future[str] | None = None
    _busy: dict[object, asyncio.Task[None]] = field(factory=dict)
    _session: aiohttp.ClientSession | None = None
    _turns: dict[str, Any] = field(factory=dict)

    # --- What came

    def add(self, kind: str, body: Json) -> Json | None:
        """A new update; None where the bot said that it does not want such ones."""
        update = {"update_id": next(self._ids), kind: body}
        is_usual = self._allowed is None and kind not in NOT_BY_DEFAULT
        if not is_usual and kind not in (self._allowed or ()):
            return None
        self.made.append(update)
        (self.held if self.is_held else self.waiting).append(update)
        self.go_on()
        return update

    def hold(self) -> None:
        """New ones do not come out until they are released."""
        self.is_held = True

    def release(self, order: Callable[[list[Json]], Iterable[Json]] = list) -> None:
        """Let out what was held, in this order, such as `reversed`."""
        held, self.held, self.is_held = self.held, [], False
        self.waiting += order(held)
        self.go_on()

    def redeliver(self, *update_ids: int) -> None:
        """Hand these out once more, though the bot has had them; all where none is named."""
        self.waiting += [
            update
            for update in self.made
            if (not update_ids or update["update_id"] in update_ids) and update not in self.waiting
        ]
        self.go_on()

    def go_on(self) -> None:
        """Something may be handed out now."""
        if self.hook is not None:
            self._post_more(self.hook)
        self.bell.ring()

    def allow(self, given: object) -> None:
        """Which kinds the bot wants from now on; an empty list: the usual ones."""
        if given is None:
            return
        if not isinstance(given, list):
            raise bad("can't parse allowed updates: Expected an Array")
        self._allowed = frozenset(given) or None

    # --- Polling

    async def poll(self, offset: int, limit: int, timeout_s: float) -> list[Json]:
        """`getUpdates`."""
        if self.hook is not None:
            raise RefusedError(409, WEBHOOK_IS_SET)
        self.end_poll(OTHER_POLL)
        if offset < 0:
            del self.waiting[:offset]
        else:
            self.waiting = [each for each in self.waiting if each["update_id"] >= offset]
        mine = self._polling = asyncio.get_running_loop().create_future()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + min(timeout_s, LONGEST_POLL_S)
        try:
            while not self.waiting and (left := deadline - loop.time()) > 0:
                rung = self.bell.next()
                try:
                    await asyncio.wait(
                        {mine, rung}, timeout=left, return_when=asyncio.FIRST_COMPLETED
                    )
                finally:
                    rung.cancel()
                if mine.done():
                    raise RefusedError(409, mine.result())
        finally:
            if self._polling is mine:
                self._polling = None
        chosen = self.waiting[: limit if 0 < limit <= LIMIT else LIMIT]
        return [update for update in chosen for _ in range(self.copies)]

    def end_poll(self, why: str) -> None:
        """Whoever is polling gets a conflict."""
        if self._polling is not None and not self._polling.done():
            self._polling.set_result(why)

    # --- Webhook

    def set_hook(self, given: Json) -> str:
        """`setWebhook` and, without an address, `deleteWebhook`; the description."""
        url = str(given.get("url") or "")
        secret = given.get("secret_token")
        if url:
            where = urlsplit(url)
            is_local = where.hostname in LOOPBACK
            if where.scheme not in {"http", "https"} or not where.hostname:
                raise bad("invalid webhook URL specified")
            if where.scheme != "https" and not is_local:
                raise bad("bad webhook: An HTTPS URL must be provided for webhook")
            if where.port not in {None, 80, 88, 443, 8443} and not is_local:
                raise bad("bad webhook: Webhook can be set up only on ports 80, 88, 443 or 8443")
            if secret and len(secret) > 256:
                raise bad("secret token is too long")
            if secret and not SECRET_CHARACTERS.issuperset(secret):
                raise bad("secret token contains illegal characters")
        if is_on(given.get("drop_pending_updates", "")):
            self.waiting.clear()
        self.allow(given.get("allowed_updates"))
        had = self.hook
        self.last_error = None
        if not url:
            self.hook = None
            self.bell.ring()
            return "Webhook was deleted" if had else "Webhook is already deleted"
        self.end_poll("Conflict: terminated by setWebhook request")
        connections = int(given.get("max_connections") or 40)
        self.hook = Hook(url=url, secret=secret or None, connections=connections)
        self.go_on()
        return "Webhook is already set" if had == self.hook else "Webhook was set"

    def hook_info(self) -> Json:
        """`getWebhookInfo`."""
        told: Json = {
            "url": self.hook.url if self.hook else "",
            "has_custom_certificate": False,
            "pending_update_count": len(self.waiting),
        }
        if self.hook:
            told["max_connections"] = self.hook.connections
        if self.last_error:
            told |= {"last_error_message": self.last_error, "last_error_date": 1}
        if self._allowed:
            told["allowed_updates"] = sorted(self._allowed)
        return told

    def _post_more(self, hook: Hook) -> None:
        for update in self.waiting:
            if len(self._busy) >= hook.connections:
                return
            person = _person(update)
            if person not in self._busy:
                task = asyncio.get_running_loop().create_task(self._post(hook, update))
                self._busy[person] = task
                task.add_done_callback(partial(self._posted, person))

    def _posted(self, person: object, _: object) -> None:
        del self._busy[person]
        self.go_on()

    async def _post(self, hook: Hook, update: Json) -> None:
        posts = [self._post_once(hook, update) for _ in range(self.copies)]
        if all(await asyncio.gather(*posts)):
            with suppress(ValueError):
                self.waiting.remove(update)
            return
        # Telegram waits a second, then longer and longer.
        await asyncio.sleep(self.retry_s)

    async def _post_once(self, hook: Hook, update: Json) -> bool:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        to = self._address(hook.url)
        posted = Posted(to, update["update_id"], None)
        self.posted.append(posted)
        headers = {SECRET_HEADER: hook.secret} if hook.secret else {}
        timeout = aiohttp.ClientTimeout(total=self.patience_s)
        if urlsplit(to).hostname not in LOOPBACK:
            # Tests do not leave this machine.
            self.last_error = "Failed to resolve host: Name or service not known"
            return False
        try:
            async with self._session.post(
                to, json=update, headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                await answer.read()
                posted.status = answer.status
                reason = answer.reason
        except (aiohttp.ClientError, TimeoutError) as exc:
            self.last_error = f"Connection failed: {type(exc).__name__}"
            return False
        finally:
            self.bell.ring()
        if 200 <= posted.status < 300:
            return True
        self.last_error = f"Wrong response from the webhook: {posted.status} {reason}"
        return False

    def _address(self, url: str) -> str:
        """The instance whose turn it is, behind the public address."""
        where = urlsplit(url)
        public = f"{where.scheme}://{where.netloc}"
        behind = self.routes.get(public)
        if not behind:
            return url
        turn = self._turns.get(public)
        if turn is None or turn[0] != behind:
            turn = self._turns[public] = ([*behind], cycle(behind))
        return (
            str(next(turn[1])).rstrip("/") + where.path + (f"?{where.query}" if where.query else "")
        )

    async def close(self) -> None:
        """Nothing is delivered any more."""
        self.hook = None
        tasks = [*self._busy.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()


def _person(update: Json) -> object:
    """Who did it."""
    _, body = [*update.items()][1]
    return body["from"]["id"]
