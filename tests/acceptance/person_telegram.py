"""
Somebody in Telegram, for the same stories: `kiebot serve` as a process, Telegram on loopback.

Polling on SQLite, or a webhook on PostgreSQL. The person has the money that `kiebot chat` gives
away, by the operator's grant.
"""

import signal
import socket
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

from attrs import define, field

from kiebot.core.media import MediaKind
from tests.acceptance.person import GRANT_KOP, Person, Shop, is_data
from tests.fakes import launcher
from tests.fakes.telegram_chats import Message, Phone
from tests.fakes.telegram_server import TelegramThread, telegram_thread
from tests.fakes.terminal import bare

PUBLIC = "https://bot.example.org"
"""The address of the webhook."""

STOP_S = 10
"""A host waits so long for the end, and then kills."""

SENT_AS = {MediaKind.IMAGE: "photo", MediaKind.VIDEO: "video", MediaKind.AUDIO: "audio"}
"""What Telegram shows or plays; all else is a document."""

T = TypeVar("T")


@define
class TelegramPerson(Person):
    """A phone, in the words of a story."""

    shop: "TelegramShop"
    phone: Phone

    def sees(self, *texts: str) -> str:
        self._until(lambda: has(self.phone.came(), texts), str(texts))
        return self.shop.do(self.phone.came)

    def receives(self, *texts: str, kind: MediaKind = MediaKind.IMAGE) -> bytes:
        """It is sent as what it is; the words stand under it, but an album has them beside it."""
        sent_as = SENT_AS.get(kind, "document")
        files: list[Message] = []

        def is_there() -> bool:
            files[:] = [each for each in self.phone.new() if _sent_as(each) == sent_as]
            if len(files) == 1:
                return has(files[0].seen(), texts)
            return bool(files) and has(self.phone.came(), texts)

        self._until(is_there, f"{texts} under a {sent_as}")
        return files[-1].content

    def finds(self, *texts: str, sent_as: str | None = None) -> Message:
        """Wait for one message with all of these: words alone, or a file that is sent as this."""
        found: list[Message] = []

        def is_there() -> bool:
            found[:] = [
                message
                for message in self.phone.new()
                if _sent_as(message) == sent_as and has(message.seen(), texts)
            ]
            return bool(found)

        self._until(is_there, f"{texts} under a {sent_as or 'message'}")
        return found[-1]

    def presses(self, what: str) -> None:
        """By a label on the newest message that has it; unknown data as a forger would."""
        if not is_data(what):
            self._until(lambda: self._has_button(what), f"button {what}")
            self.shop.do(lambda: self.phone.presses(what))
        elif self.shop.do(lambda: self._has_button(what)):
            self.shop.do(lambda: self.phone.presses(what))
        else:
            self.shop.do(lambda: self.phone.forges(what))

    def types(self, text: str) -> None:
        self.shop.do(lambda: self.phone.types(text))

    def attaches(self, path: Path) -> None:
        """As a file, so that Telegram changes nothing of it."""
        content = path.read_bytes()
        self.shop.do(lambda: self.phone.sends_document(path.name, content))

    def sends_photo(self, content: bytes) -> None:
        """A picture as a photo."""
        self.shop.do(lambda: self.phone.sends_photo(content))

    def copies(self, what: str) -> str:
        """Press a button that copies; what is then in the clipboard."""
        return self.shop.do(lambda: self.phone.copies(what))

    def ends(self) -> int:
        """The host stops the bot."""
        return self.shop.stops(signal.SIGTERM)

    def vanishes(self) -> None:
        self.shop.stops(signal.SIGKILL)

    def _has_button(self, what: str) -> bool:
        return any(message.button(what) for message in self.phone.chat())

    def _until(self, is_so: Callable[[], bool], what: str) -> None:
        self.shop.until(is_so, what, self.phone)


@define
class TelegramShop(Shop):
    """A shop of `kiebot serve`; `dsn` is a PostgreSQL database, and then it has a webhook."""

    dsn: str | None = field(default=None, kw_only=True)
    _stack: ExitStack = field(factory=ExitStack, init=False)
    _thread: TelegramThread = field(init=False)
    _process: launcher.Process | None = field(default=None, init=False)

    user_id = 7
    at_once = 6

    def __attrs_post_init__(self) -> None:
        self._thread = self._stack.enter_context(telegram_thread())

    def person(self, user_id: int | None = None, name: str = "Аня") -> TelegramPerson:
        """Who comes for the first time is given what a demo gives, and sees it in the menu."""
        self._serve()
        number = user_id or self.user_id
        phone = self.do(lambda: self._thread.telegram.person(number, name))
        person = TelegramPerson(self, phone)
        if not phone.has_started:
            person.types("/start")
            person.sees("Баланс:", "Помощь")
            amount = str(GRANT_KOP // 100)
            self.operator("admin", "grant", str(number), amount, "--why", "демо")
            person.types("/start")
            person.sees("Баланс: 1 000 ₽")
        return person

    def returns(self) -> TelegramPerson:
        return self.person()

    def close(self) -> None:
        """
        Nobody stays, the money is right, no secret was told. Telegram, which ends with the shop,
        fails the test where a press was never answered.
        """
        try:
            if self._process is not None:
                assert self.stops(signal.SIGTERM) == 0
            self._audit()
            token = self._thread.telegram.token
            assert token not in self._thread.telegram.said()
            assert token not in self._log
            assert "Traceback" not in self._log, self._log
        finally:
            if self._process is not None:
                self.stops(signal.SIGKILL)
            self._stack.close()

    def do(self, act: Callable[[], T]) -> T:
        """Do this where Telegram is."""
        return self._thread.do(lambda _: act())

    def wait(self, awaited: Coroutine[Any, Any, T]) -> T:
        """Wait for this where Telegram is."""
        return self._thread.wait(awaited)

    @property
    def address(self) -> str:
        """Where the program serves HTTP."""
        return f"http://127.0.0.1:{self.settings['PORT']}"

    def until(self, is_so: Callable[[], bool], what: str, phone: Phone) -> None:
        """Wait for this where Telegram is; what the program said is told where it does not come."""
        try:
            self._thread.wait(self._thread.telegram.until(is_so, what, phone))
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{self._log[-4000:]}") from None

    def stops(self, how: signal.Signals) -> int:
        """The program is told to end, or killed; its exit code. The next who comes starts it."""
        assert self._process is not None
        self._process.send_signal(how)
        code = self._process.wait(STOP_S)
        self._process = None
        return code

    def _serve(self) -> None:
        if self._process is not None:
            return
        self.settings["PORT"] = str(_free_port())
        if self.dsn:
            self.settings |= {"BOT_MODE": "webhook", "WEBHOOK_URL": PUBLIC}
            self.do(lambda: self._thread.telegram.route(PUBLIC, self.address))
        self._process = launcher.launch(
            ["serve"], env=self._env, cwd=self.folder, output=self._log_file
        )

    @property
    def _log_file(self) -> Path:
        return self.folder / "serve.log"

    @property
    def _log(self) -> str:
        return self._log_file.read_text("utf-8")

    @property
    def _database(self) -> str:
        return self.dsn or super()._database

    @property
    def _env(self) -> dict[str, str]:
        return {
            **super()._env,
            "TELEGRAM_BOT_TOKEN": self._thread.telegram.token,
            "TELEGRAM_API_URL": self._thread.telegram.url,
            "HOST": "127.0.0.1",
            "LEASE_SECONDS": "5",
            "LOG_LEVEL": "debug",
            **self.settings,
        }


def has(seen: str, texts: Sequence[str]) -> bool:
    """Whether all of these are there. Spaces do not count."""
    return all(bare(wanted) in bare(seen) for wanted in texts)


def _sent_as(message: Message) -> str | None:
    """`photo`, `document`...; None for words alone."""
    return None if message.file is None else message.file.kind


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
