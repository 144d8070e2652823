"""
What strangers and forgers send is refused, or shown as what it is; nobody else's things change.

Through the real frontend, to a real database, at the strict Bot API server. The actions are taken
from the code: a new one is pressed here by itself.
"""

import asyncio
import json
import logging
import sqlite3
from collections.abc import AsyncIterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, cast

import pytest
from attrs import define

from kiebot.adapters.storage.sqlite import SqliteStorage
from kiebot.conversation import Conversation
from kiebot.core import updates
from kiebot.core.jobs import JobStatus
from kiebot.core.money import Money
from kiebot.core.topups import TopUpId
from kiebot.core.users import UserId
from kiebot.core.wallet import JobId
from kiebot.desk import Desk
from tests.fakes.served import Instance, served
from tests.fakes.shop import TERMS
from tests.fakes.talk import picture
from tests.fakes.telegram_chats import Message, Phone
from tests.fakes.telegram_faults import FaultKind
from tests.fakes.telegram_server import TelegramServer
from tests.fakes.telegram_shop import TelegramShop, telegram_shop
from tests.fakes.values import ADMIN

ANYA = UserId(7)
MODEL = "flux-2/pro-text-to-image"
FIRST_STRANGER = 1000
AT_ONCE = 25
"""Presses that wait at once: fewer than a person's queue holds."""

NOT_OF_PEOPLE = frozenset({"inbox", "inbox_people", "lead", "limits", "schema_migrations"})
"""Tables whose rows come and go by themselves."""

LONG = "очень длинное имя " * 556
MARKUP = (
    "<b>жирно</b> & <a href='tg://user?id=1'>я</a> &lt;i&gt; *звезда* _черта_ [т](http://x) `к`"
)
TURNED = "\u202eтёрок\u202c \u2066да\u2069 \u200fнет"
TURNING = frozenset("\u202d\u202e\u2066\u2067\u200f")
UNSEEN = "а\u200b\u200d\u2060\ufeffб\u00ad"
ACCENTED = "е" + "\u0301" * 500
FAMILIES = "👩‍👩‍👧‍👦" * 400
HARD = (MARKUP, TURNED, UNSEEN, LONG, "\u202e\u200b", ACCENTED, FAMILIES, "</code></pre>")
"""Names and prompts that somebody may try."""

WRONG = ("", "0", "-1", "9" * 30, "none", "ид", "😀", "..", "%00", "*", "'--", "x" * 17)
"""In place of an id or a number."""

RUBBISH = (
    *("", ":", "::::", "gen", "gen:", ":confirm", "gen:confirm", "GEN:CONFIRM:id1", "\0", "\n"),
    *("gen:confirm:id1:", "gen:confirm:id1:id2:id3", " gen:confirm:id1 ", "gen:confirm:\u202eid1"),
    *("nonsense:data", "menu", "admin", "admin:", "admin:topup", '{"a":1}', "mcat:../../passwd"),
    *("gen:confirm:" + "ё" * 100, "x" * 5000, "mparam:" + "a:" * 40),
    *("topup:1e9", "topup:-500", "topup:0", f"topup:{'9' * 30}"),
    *(f"history:ledger:{'9' * 30}", "history:jobs:-1"),
)
"""Callback data that nobody offered."""


@define
class House:
    """A shop where one person has something of everything, and an administrator."""

    telegram: TelegramServer
    shop: TelegramShop
    database: Path
    anya: Phone
    boss: Phone
    ids: dict[str, str]
    strangers: int = 0

    def stranger(self, name: str = "Чужой") -> Phone:
        """Somebody who has nothing; a name of their own may stand in every field."""
        self.strangers += 1
        number = FIRST_STRANGER + self.strangers
        if name == "Чужой":
            return self.telegram.person(number, name, language_code="ru")
        return self.telegram.person(number, name, language_code=name[:8], username=name[:32])

    async def handled(self) -> None:
        """Wait until everything that people did is answered."""
        await self.telegram.idle()
        async with asyncio.timeout(60):
            while self._rows("select 1 from inbox where answered_at is null"):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    def others(self) -> dict[str, list[Any]]:
        """All rows that are no stranger's."""
        found = {}
        for (table,) in self._rows("select name from sqlite_master where type = 'table'"):
            if table in NOT_OF_PEOPLE or table.startswith("sqlite_"):
                continue
            columns = [row[1] for row in self._rows(f"pragma table_info({table})")]
            owner = "id" if table == "users" else "user_id"
            rows = self._rows(f"select * from {table}")
            found[table] = [
                row
                for row in rows
                if owner not in columns or not self._is_stranger(row[columns.index(owner)])
            ]
        return found

    async def presses(self, data: Sequence[str]) -> None:
        """Strangers press all of this, each a part; every press leads to something readable."""
        for at in range(0, len(data), AT_ONCE):
            phone = self.stranger()
            phone.types("/start")
            await phone.sees("Создать")
            for one in data[at : at + AT_ONCE]:
                phone.forges(one)
            await self.handled()
            assert all(query.answers for query in self.telegram.queries.values())
            assert phone.last.text
            assert phone.last.buttons
            assert phone.last.touched_at > phone.mark, data[at : at + AT_ONCE]

    def _rows(self, query: str) -> list[Any]:
        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    def _is_stranger(self, user_id: int) -> bool:
        return user_id > FIRST_STRANGER


@pytest.fixture
async def house(
    tmp_path: Path, telegram: TelegramServer, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[House]:
    """In the end the money is right, and nothing was an error of ours."""
    telegram.patience_s = 25
    database = tmp_path / "kiebot.db"
    storage = await SqliteStorage.open(database)
    async with telegram_shop(telegram, storage, TERMS) as shop:
        anya = telegram.person(ANYA, "Аня", language_code="ru")
        boss = telegram.person(ADMIN, "Босс", language_code="ru")
        for phone in (anya, boss):
            phone.types("/start")
            await phone.sees("Создать")
        await shop.kiebot.grant(ANYA, Money(100_000), by="tests", why="a test", ref="g")
        ids = {}
        made = (await shop.kiebot.draft(ANYA, MODEL, {"prompt": "рыжий кот"})).job.id
        await shop.kiebot.confirm(ANYA, made)
        await anya.sees_file("photo")
        topup = await shop.kiebot.start_topup(ANYA, "500")
        ids = {
            "made": made,
            "offer": (await shop.kiebot.draft(ANYA, MODEL, {"prompt": "белый пёс"})).job.id,
            "topup": topup.id,
        }
        anya.sends_photo(picture())
        await boss.sees("500 ₽", "Зачислить 500 ₽")
        made_house = House(telegram, shop, database, anya, boss, ids)
        while await shop.kiebot.untold(1, local=False):  # noqa: ASYNC110 - nobody sets an event
            await asyncio.sleep(0.02)
        await made_house.handled()
        yield made_house
        assert (await shop.kiebot.audit()).problems == ()
    await storage.close()
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR or each.exc_info]


def of_every_route(ids: Sequence[str], further: Sequence[str]) -> list[str]:
    """Callback data of every action there is, with these in place of its first argument."""
    found = []
    for parts, route in [*Conversation._ROUTES.items(), *Desk._ROUTES.items()]:  # noqa: SLF001
        for number in range(route.least, route.most + 1):
            if number == 0:
                found.append(":".join(parts))
                continue
            for first, *rest in product(ids, *[further] * (number - 1)):
                found.append(":".join([*parts, first, *rest]))
    return found


async def test_nobody_reaches_what_is_anothers(house: House) -> None:
    """Every action of people and of administrators, with ids that exist."""
    before = house.others()
    ids = [*house.ids.values(), str(ANYA)]
    assert len(of_every_route(ids, ["prompt"])) > 100

    await house.presses(of_every_route(ids, ["prompt"]))
    for words in (f"/admin {house.ids['topup']}", "/admin", "/grant 7 100", "500"):
        house.stranger().types(words)
    await house.handled()

    assert house.others() == before
    seen = "\n".join(
        message.seen()
        for user_id, phone in house.telegram.phones.items()
        if user_id > FIRST_STRANGER
        for message in phone.messages
    )
    assert "рыжий кот" not in seen
    assert "белый пёс" not in seen
    assert "Аня" not in seen


async def test_rubbish_on_buttons_changes_nothing(house: House) -> None:
    before = house.others()

    await house.presses([*of_every_route(WRONG[:4], ["1"]), *RUBBISH])
    await house.presses([f"gen:confirm:{wrong}" for wrong in WRONG])
    await house.presses([f"mparam:{house.ids['offer']}:prompt:{wrong}" for wrong in WRONG])

    assert house.others() == before


async def test_more_than_a_button_carries_changes_nothing(house: House) -> None:
    """Every action there is, with 64 bytes and far more behind it."""
    before = house.others()
    long = ("x" * 64, "9" * 64, "ё" * 2000)

    await house.presses(of_every_route(long, ["1"]))

    assert house.others() == before


async def test_what_is_over_is_over(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Every action with what was the person's own and has ended: paid, given back, decided.

    All by one person, faster than anybody may be.
    """
    monkeypatch.setattr(updates, "STEADY", 10_000)
    kiebot, boss = house.shop.kiebot, UserId(ADMIN)
    await kiebot.approve_topup(boss, TopUpId(house.ids["topup"]))
    await kiebot.refund(JobId(house.ids["made"]), by="tests", why="a test")
    await kiebot.cancel(ANYA, JobId(house.ids["offer"]))
    before = house.others()
    money = ("ledger", "wallets", "topups", "acts")
    ended = (JobStatus.REFUNDED, JobStatus.CANCELLED)
    ids = [house.ids["made"], house.ids["offer"], house.ids["topup"]]

    for number, data in enumerate(of_every_route(ids, ["prompt", "1"])):
        house.anya.forges(data)
        if number % AT_ONCE == 0:
            await house.handled()
    await house.handled()

    now = house.others()
    assert {name: now[name] for name in money} == {name: before[name] for name in money}
    for job_id, status in zip((house.ids["made"], house.ids["offer"]), ended, strict=True):
        assert (await kiebot.job(ANYA, JobId(job_id))).status is status
    assert not await kiebot.open_jobs(ANYA)


HTML_PAGE = b"<html><script>alert(document.cookie)</script></html>"
POLYGLOT = (
    b"\xff\xd8\xff\xe0\0\x10JFIF\0" + b"<script>alert(1)</script>%PDF-1.7\nPK\x03\x04" + bytes(64)
)
RECEIPTS: Sequence[tuple[str, bytes, str | None, dict[str, Any]]] = (
    ("чек.jpg", HTML_PAGE, "image/jpeg", {}),
    ("чек.jpg.html", HTML_PAGE, "text/html", {}),
    (
        "чек.svg",
        b"<svg onload='alert(1)' xmlns='http://www.w3.org/2000/svg'/>",
        "image/svg+xml",
        {},
    ),
    ("чек.pdf.exe", b"MZ" + bytes(100), "application/pdf", {}),
    ("../../../etc/passwd", POLYGLOT, "image/jpeg", {}),
    ("чек\u202egpj.exe", POLYGLOT, "application/x-msdownload", {}),
    ("огромный.pdf", b"%PDF-1.7", "application/pdf", {"size": 4 * 1024**3}),
    ("пустой.pdf", b"", "application/pdf", {}),
)
"""Receipts that are not what they say, or larger than anybody reads."""


async def test_no_receipt_is_opened_here_or_shown_as_more_than_a_file(house: House) -> None:
    """
    It goes to administrators by Telegram's own id, as a file to be saved: no byte of it is read
    here, whatever it is named, says it is, or says it weighs.
    """
    anya = house.anya
    house.telegram.calls.clear()
    for number, (name, content, mime, more) in enumerate(RECEIPTS, 1):
        anya.forges("topup:100")
        await anya.sees("Переведите ровно 100 ₽")
        waiting = await house.shop.kiebot.waiting_topup(ANYA)
        anya.sends_document(name, content, mime, **more)
        await anya.sees("Чек получен")
        await house.telegram.until(
            lambda number=number: len(boss_files(house)) == number,  # type: ignore[misc]
            "the file for the administrator",
        )
        assert boss_files(house)[-1].content == content
        assert "100 ₽" in boss_files(house)[-1].text
        assert waiting is not None
        await house.shop.kiebot.reject_topup(ADMIN, waiting.id, "")
        await house.handled()

    sent = house.telegram.called("sendDocument", chat_id=ADMIN)
    assert len(sent) == len(RECEIPTS)
    assert all(not call.files for call in sent)
    assert house.telegram.called("getFile") == house.telegram.called("file") == []
    assert house.telegram.called("sendPhoto", chat_id=ADMIN) == []


def boss_files(house: House) -> list[Message]:
    """The documents that an administrator has, the latest last."""
    return [
        message for message in house.boss.chat() if message.file and message.file.kind == "document"
    ]


async def test_a_receipt_that_is_an_address_reads_nothing_of_ours(house: House) -> None:
    """As text a person may name an address; it is no way into the shop's own network."""
    anya = house.anya
    for address in ("file:///etc/passwd", "telegram:abc", "/etc/passwd", "data:text/html,x"):
        anya.forges("topup:100")
        await anya.sees("Переведите ровно 100 ₽")
        anya.types(address)
        await anya.sees("Жду чек файлом")
    await house.handled()
    assert house.telegram.called("file") == []


async def test_a_receipt_that_comes_again_and_again_is_marked(house: House) -> None:
    """The same file, under another name, of another person; and one person's ten at once."""
    anya, boss, other = house.anya, house.boss, house.stranger()
    content = b"%PDF-1.7 the same receipt"
    anya.forges("topup:100")
    await anya.sees("Переведите ровно 100 ₽")
    for number in range(3):
        anya.sends_document(f"чек-{number}.pdf", content, "application/pdf")
    await anya.sees("Чек получен")
    await house.handled()
    waiting = await house.shop.kiebot.waiting_topup(ANYA)
    assert waiting is not None
    await house.shop.kiebot.approve_topup(ADMIN, waiting.id)

    other.types("/start")
    await other.sees("Создать")
    other.forges("topup:500")
    await other.sees("Переведите ровно 500 ₽")
    other.sends_document("мой собственный.pdf", content, "application/pdf")
    await other.sees("Чек получен")

    await boss.sees("Этот же чек уже был в заявке", anywhere=True)
    assert await house.shop.kiebot.waiting_topup(UserId(other.user_id)) is not None
    assert (await house.shop.kiebot.wallet(UserId(other.user_id))).available == Money(0)


def plain(phone: Phone) -> bool:
    """Nothing that the bot said is shown as markup, or turned around."""
    said = [message for message in phone.messages if message.is_from_bot]
    kinds = {entity["type"] for each in said for entity in each.now.words.entities}
    # How Telegram shows the name of somebody's file is its own business.
    turned = [each for each in said if TURNING & {*each.text, *"".join(each.labels)}]
    return kinds <= {"code"} and not turned


async def test_names_and_prompts_are_only_words(house: House) -> None:
    """As a name, in words, under a picture; also where an administrator reads of them."""
    before = house.others()

    for words in HARD:
        phone, pushed = await tells(house, words)
        assert plain(phone), words
        if words == MARKUP:
            assert MARKUP[:60] in pushed.text
            assert MARKUP[:60] in phone.chat()[1].text
            assert any(f"«{MARKUP}»" in message.text for message in phone.messages)

    assert plain(house.boss)
    now = house.others()
    assert now["ledger"] == before["ledger"]
    assert now["jobs"] == before["jobs"]
    assert now["topups"] == before["topups"]


async def tells(house: House, words: str) -> tuple[Phone, Message]:
    """Somebody with this name says nothing else; what an administrator is shown of them."""
    phone = house.stranger(words)
    phone.types("/start")
    phone.forges("lang:ru", on=await phone.sees("Create"))
    await phone.sees("Создать")
    phone.types(words)
    await phone.sees("Создать")
    await house.shop.kiebot.grant(
        UserId(phone.user_id), Money(100_000), by="tests", why="a test", ref=f"g{phone.user_id}"
    )
    phone.forges(f"mmodel:{MODEL}")
    await phone.sees("5 000 знаков")
    phone.sends_photo(picture(), words[:1024])
    phone.types(words)
    await house.handled()
    phone.types("/balance")
    phone.forges("topup:500", on=await phone.sees("1 000 ₽"))
    await phone.sees("2200 7000 0000 0000")
    phone.sends_document(words[:200], b"%PDF-1.4 a receipt", "application/pdf", words[:1024])
    await phone.sees("на проверке")
    pushed = await house.boss.sees_file("document")
    house.boss.forges(f"admin:user:{phone.user_id}")
    await house.boss.sees(f"№ {phone.user_id}")
    await house.handled()
    return phone, pushed


def rubbish_updates(phone: Phone) -> list[tuple[str, Any]]:
    """Updates that are none, or whose words no database takes."""
    message = phone.told(phone.types("слова"))
    sender = message["from"]
    texts: list[Any] = ["\0", "a\0b", "\ud800", "", 5, None, []]
    senders: list[Any] = [None, {}, {"id": "7"}, {"id": 2**70}, 7]
    chats: list[Any] = [None, {}, {"id": 7, "type": "what"}]
    none: list[Any] = [{}, {"message_id": "x"}, "words", 5, None, []]
    press = {"id": "1", "from": sender, "chat_instance": "1", "data": "menu:main"}
    return [
        *(("message", {**message, "text": text}) for text in texts),
        *(("message", {**message, "from": wrong}) for wrong in senders),
        *(("message", {**message, "chat": bad}) for bad in chats),
        *(("message", wrong) for wrong in none),
        ("message", {**message, "photo": [{}]}),
        ("message", {**message, "text": None, "document": {"file_id": 5}}),
        ("message", {"message_id": 1, "from": sender}),
        ("callback_query", press),
        ("callback_query", {**press, "message": {}}),
        ("callback_query", {**press, "data": None, "game_short_name": "x"}),
        ("callback_query", {**press, "data": "\0\ud800"}),
        ("callback_query", {**press, "id": 5}),
        ("callback_query", {**press, "inline_message_id": "x"}),
        ("my_chat_member", {}),
        ("my_chat_member", {"from": sender, "chat": {}}),
        ("unheard_of", {"a": 1}),
    ]


async def test_updates_that_are_none_hold_up_nobody(house: House) -> None:
    before = house.others()
    phone = house.stranger()
    phone.types("/start")
    await phone.sees("Создать")

    for kind, body in rubbish_updates(phone):
        house.telegram.updates.add(kind, body)
    await house.handled()
    phone.types("/help")
    await phone.sees("Как это работает")

    assert house.others() == before


CARD = "2200 7000 0000 0000"
SECRET_WORDS = "розовый слон на велосипеде"


async def test_the_log_of_a_day_tells_nothing_of_people(
    tmp_path: Path, telegram: TelegramServer
) -> None:
    """Good news, bad news and faults, at the level where everything is written."""
    telegram.patience_s = 25
    settings = {
        "LOG_LEVEL": "debug", "PAYMENT_CARD": CARD, "PAYMENT_HOLDER": "Иван Икс",
        "ADMIN_IDS": str(ADMIN), "BOT_MODE": "webhook", "WEBHOOK_URL": "https://bot.example",
    }  # fmt: skip
    async with served(tmp_path, telegram, f"sqlite:///{tmp_path}/k.db", **settings) as shop:
        instance = await shop.start(ready=None)
        await instance.listens()
        telegram.route("https://bot.example", instance.address)
        await instance.becomes(200)
        anya = telegram.person(ANYA, "Аня Тайная", language_code="ru", username="anya_secret")
        boss = telegram.person(ADMIN, "Босс", language_code="ru")
        for phone in (anya, boss):
            phone.types("/start")
            await phone.sees("Создать")
        anya.forges("topup:500")
        await anya.sees(CARD)
        anya.sends_document("чек-тайный.pdf", b"%PDF-1.4", "application/pdf", SECRET_WORDS)
        await boss.sees("Зачислить 500 ₽")
        boss.presses("Зачислить 500 ₽")
        await anya.sees("500 ₽ на балансе")
        for number, kind in enumerate(("drop", "bad_gateway")):
            prompt = f"{SECRET_WORDS} {number}" if number else "fail"
            anya.forges(f"mmodel:{MODEL}")
            await anya.sees("5 000 знаков")
            anya.types(prompt)
            await anya.sees("Создать за 30 ₽")
            for method in ("sendPhoto", "sendMessage", "editMessageText", "answerCallbackQuery"):
                telegram.breaks(cast("FaultKind", kind), method, retry_after=1)
            anya.presses("Создать за 30 ₽")
            await (anya.sees("просто повторить") if prompt == "fail" else anya.sees_file("photo"))
            telegram.heals()
        await rubbish_for(instance)
        await telegram.idle()
        instance.terminate()
        assert await instance.ends() == 0

    log = instance.log
    lines = instance.lines
    assert len(lines) == len(log.splitlines())
    assert all({"event", "level", "logger", "timestamp"} <= line.keys() for line in lines)
    assert "Traceback" not in log
    for secret in (
        telegram.token, telegram.token.partition(":")[2], CARD, CARD.replace(" ", ""),
        "розовый", "слон", "Иван Икс", "Тайная", "anya_secret", "чек-тайный", "AgAD", "%PDF",
        telegram.updates.hook.secret if telegram.updates.hook else "",
    ):  # fmt: skip
        assert not secret or secret not in log, secret
    about_people = [line for line in lines if line["event"].startswith(("told later", "the reply"))]
    assert about_people
    assert all(line["user_id"] == ANYA for line in about_people)


async def rubbish_for(instance: Instance) -> None:
    """What no HTTP client would send, and what has no secret."""
    port = int(instance.address.rpartition(":")[2])
    for rubbish in (
        b"\x16\x03\x01\x02\x00",
        b"GET\r\n\r\n",
        b"\0" * 64,
        b"POST / HTTP/9.9\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(rubbish)
        writer.write_eof()
        answer = await reader.read()
        assert not answer.startswith(b"HTTP/1.1 5"), answer
        writer.close()
    body = json.dumps({"update_id": 1, "message": {"text": SECRET_WORDS}})
    for headers in ({}, {"X-Telegram-Bot-Api-Secret-Token": "guessed"}):
        url = f"{instance.address}/telegram/webhook"
        async with instance.session.post(url, data=body, headers=headers) as answered:
            assert answered.status == 401
