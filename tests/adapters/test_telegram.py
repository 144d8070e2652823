"""Telegram: what people send becomes what they did, and screens become messages."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from attrs import define, evolve, field

from kiebot.adapters.frontend.telegram import REPLY_S, TelegramFrontend
from kiebot.adapters.frontend.telegram_send import Pace
from kiebot.adapters.frontend.telegram_updates import Watch, make_bot
from kiebot.adapters.kie.stub import BytesFile
from kiebot.adapters.storage.memory import MemoryStorage
from kiebot.conversation import Conversation
from kiebot.core.dialog.screen import Action, Button, Media, Screen
from kiebot.core.errors import (
    FrontendRefusedError,
    FrontendUnavailableError,
    MediaError,
    SilencedError,
)
from kiebot.core.media import MediaKind
from kiebot.core.terms import Terms
from kiebot.core.users import UserId
from kiebot.worker import Worker
from tests.adapters.test_telegram_send import TOKEN, FarSide, error
from tests.fakes.clock import FakeClock
from tests.fakes.shop import TERMS, Shop, stub_shop
from tests.fakes.talk import picture
from tests.fakes.telegram_chats import Phone
from tests.fakes.telegram_server import TelegramServer
from tests.fakes.values import ADMIN

BUYER = UserId(7)
FAST = Pace(rate=1000, burst=100, chat_rate=1000, chat_burst=100, spare_rate=1000)
PICTURE_MODEL = "mmodel:flux-2/pro-text-to-image"
HOSTILE = "<b>рыжий</b> & <script>кот</script> *на* _луне_ `код` \u202eток\u202c"


@define
class Bench:
    """A shop with Telegram before it: updates are handled as they come, jobs when told to."""

    telegram: TelegramServer
    shop: Shop
    bot: Bot
    frontend: TelegramFrontend
    worker: Worker
    feed: asyncio.Task[None] = field(init=False)

    async def works(self) -> None:
        """Let everything that is ordered be made and told."""
        for _ in range(20):
            await self.worker.step()
            if not await self.shop.kiebot.all_open_jobs(1):
                break
            self.shop.clock.advance(5)
        await self.worker.step()

    async def handled(self) -> None:
        """Wait until everything that people did is handled."""
        await self.telegram.until(lambda: not self.telegram.updates.waiting, "handled")

    async def pours(self) -> None:
        """Hand on updates as a source does: one at a time, each to its end."""
        offset = 0
        while True:
            for update in await self.bot.get_updates(offset=offset, timeout=20):
                raw = update.model_dump(mode="json", exclude_none=True, by_alias=True)
                await self.frontend.answer_press(raw)
                await self.frontend.handle(raw)
                offset = update.update_id + 1

    async def orders(self, phone: Phone, prompt: str = "рыжий кот") -> None:
        """A picture, from the model to the confirmation."""
        phone.types("/start")
        await phone.sees("Создать")
        phone.forges(PICTURE_MODEL)
        await phone.sees("до 5 000 знаков")
        phone.types(prompt)
        await phone.sees("К оплате 30 ₽")
        phone.presses("Создать за 30 ₽")
        await phone.sees("⏳")
        await self.handled()


@asynccontextmanager
async def serving(
    telegram: TelegramServer,
    clock: FakeClock,
    make: Callable[[Shop], Conversation] | None = None,
    terms: Terms = TERMS,
    reply_s: float = REPLY_S,
) -> AsyncIterator[Bench]:
    shop = stub_shop(MemoryStorage(clock=clock), clock, terms)
    conversation = make(shop) if make else Conversation(shop.kiebot, clock=clock)
    server = TelegramAPIServer.from_base(telegram.url)
    bot = Bot(telegram.token, AiohttpSession(api=server))
    frontend = TelegramFrontend(conversation, bot, admins=[ADMIN], pace=FAST, reply_s=reply_s)
    shop.kiebot.open_with(frontend.open)
    worker = Worker(shop.kiebot, frontend, conversation.news, audience=None)
    bench = Bench(telegram, shop, bot, frontend, worker)
    bench.feed = asyncio.create_task(bench.pours())
    try:
        yield bench
        assert not bench.feed.done(), bench.feed.exception()
    finally:
        bench.feed.cancel()
        with suppress(asyncio.CancelledError):
            await bench.feed
        await frontend.close()


@pytest.fixture
async def bench(telegram: TelegramServer, clock: FakeClock) -> AsyncIterator[Bench]:
    async with serving(telegram, clock) as bench:
        yield bench


@pytest.fixture
async def buyer(bench: Bench) -> Phone:
    await bench.shop.meet(BUYER, roubles=1000)
    return bench.telegram.person(BUYER, "Аня", language_code="ru")


def called(bench: Bench, method: str) -> list[object]:
    return list(bench.telegram.called(method))


# --- One living message


async def test_a_first_contact_is_greeted_in_the_language_of_their_telegram(bench: Bench) -> None:
    for number, (code, word) in enumerate(
        [("ru", "Привет"), ("uk", "Привет"), ("en", "Hi"), (None, "Hi"), ("de", "Hi")], start=100
    ):
        phone = bench.telegram.person(number, f"Person {number}", language_code=code)

        phone.starts("from-a-link")

        await phone.sees(word, f"Person {number}")


async def test_a_press_turns_the_message_into_the_next_screen(buyer: Phone) -> None:
    buyer.types("/start")
    menu = await buyer.sees("Создать")

    buyer.presses("Создать")
    shelf = await buyer.sees("Что создаём?")
    buyer.presses("Визуалы")
    models = await buyer.sees("Flux 2 Pro")

    assert menu.message_id == shelf.message_id == models.message_id


async def test_a_typed_answer_gets_a_new_message_and_the_old_buttons_go(
    bench: Bench, buyer: Phone
) -> None:
    buyer.types("/start")
    menu = await buyer.sees("Создать")

    buyer.types("/balance")

    balance = await buyer.sees("Баланс: 1 000 ₽")
    assert balance.message_id != menu.message_id
    await bench.telegram.until(lambda: not menu.buttons, "no buttons")


async def test_a_message_that_is_gone_is_sent_anew(buyer: Phone) -> None:
    buyer.types("/start")
    menu = await buyer.sees("Создать")
    buyer.deletes(menu)

    buyer.forges("marketing:main", on=menu)

    shelf = await buyer.sees("Что создаём?")
    assert shelf.message_id != menu.message_id


async def test_a_message_that_telegram_shows_no_more_is_sent_anew(buyer: Phone) -> None:
    buyer.types("/start")
    menu = await buyer.sees("Создать")

    buyer.forges("marketing:main", on=menu, is_accessible=False)

    shelf = await buyer.sees("Что создаём?")
    assert shelf.message_id != menu.message_id


async def test_two_presses_at_once_are_both_let_go_and_change_one_message(buyer: Phone) -> None:
    buyer.types("/start")
    await buyer.sees("Создать")
    first = buyer.presses("Создать")
    second = buyer.presses("Создать")

    await first.answered()
    await second.answered()

    await buyer.sees("Что создаём?")
    assert len([message for message in buyer.chat() if message.is_from_bot]) == 1


@pytest.mark.parametrize(
    "data", ["", "unknown", "mparam:x:y", "gen:confirm:someone", ":::", "admin:topups", "ы" * 30]
)
async def test_rubbish_on_a_button_is_answered(buyer: Phone, data: str) -> None:
    buyer.types("/start")
    await buyer.sees("Создать")

    buyer.forges(data)

    assert (await buyer.sees("Меню" if data[:3] == "gen" else "Создать")).buttons


# --- What people send


async def test_places_and_contacts_are_answered_with_a_hint(buyer: Phone) -> None:
    """What was asked stays asked."""
    buyer.types("/start")
    await buyer.sees("Создать")
    buyer.forges(PICTURE_MODEL)
    await buyer.sees("до 5 000 знаков")

    for kind in ("location", "contact", "dice"):
        buyer.sends_other(kind)
        await buyer.sees("не понимаю")

    buyer.types("рыжий кот")
    await buyer.sees("К оплате")


async def test_groups_channels_and_edits_are_left_alone(bench: Bench, buyer: Phone) -> None:
    buyer.types("/start")
    menu = await buyer.sees("Создать")
    group = {"id": -100500, "type": "supergroup", "title": "Чат"}
    person = buyer.user
    message = {"message_id": 1, "date": 1, "chat": group, "from": person, "text": "/start"}
    calls = len(bench.telegram.calls)

    await bench.frontend.handle({"update_id": 1, "message": message})
    await bench.frontend.handle({"update_id": 2, "channel_post": {**message, "text": "x"}})
    await bench.frontend.handle({"update_id": 3, "edited_message": {**message, "edit_date": 2}})
    await bench.frontend.handle({"update_id": 4, "message": {"rubbish": True}})
    await bench.frontend.handle({"update_id": 5})

    assert [
        call.method for call in bench.telegram.calls[calls:] if call.method != "getUpdates"
    ] == []
    assert menu.buttons


async def test_a_photo_is_an_answer_to_a_question_for_a_file(buyer: Phone) -> None:
    buyer.types("/start")
    await buyer.sees("Создать")
    buyer.forges("mmodel:recraft/remove-background")
    await buyer.sees("Пришлите картинку")

    buyer.sends_photo(picture())

    await buyer.sees("К оплате")


async def test_a_file_is_looked_into_and_not_believed(buyer: Phone) -> None:
    """A text that calls itself a picture is refused before anything is paid."""
    buyer.types("/start")
    await buyer.sees("Создать")
    buyer.forges("mmodel:recraft/remove-background")
    await buyer.sees("Пришлите картинку")

    buyer.sends_document("cat.png", b"no picture at all", "image/png")
    await buyer.sees("JPG, PNG")
    assert "К оплате" not in buyer.last.text

    buyer.sends_document("cat.png", picture(), "image/png")
    await buyer.sees("К оплате")


async def test_a_file_that_telegram_does_not_hand_out_is_refused_with_the_limit(
    buyer: Phone,
) -> None:
    buyer.types("/start")
    await buyer.sees("Создать")
    buyer.forges("mmodel:recraft/remove-background")
    await buyer.sees("Пришлите картинку")

    buyer.sends_document("cat.png", picture(), "image/png", size=21 * 1024 * 1024)

    await buyer.sees("МБ")
    assert "К оплате" not in buyer.last.text


async def test_an_album_is_answered_by_one_message(buyer: Phone) -> None:
    """One picture is asked for: the first is taken, and the others change nothing."""
    buyer.types("/start")
    await buyer.sees("Создать")
    buyer.forges("mmodel:recraft/remove-background")
    question = await buyer.sees("Пришлите картинку")

    buyer.sends_album(picture(), picture(9), picture(10))

    await buyer.sees("К оплате", "взят первый")
    answers = [m for m in buyer.chat() if m.is_from_bot and m.message_id > question.message_id]
    assert len(answers) == 1


async def test_an_attached_file_is_read_by_its_reference(bench: Bench) -> None:
    content = picture() + bytes(200_000)
    await bench.handled()
    file = bench.telegram.files.add("document", content, name="cat.png", mime="image/png")

    async with bench.frontend.open(f"telegram:{file.file_id}") as opened:
        read = b"".join([chunk async for chunk in opened.chunks()])

    assert (read, opened.mime, opened.size) == (content, "image/png", len(content))


@pytest.mark.parametrize("reference", ["telegram:nosuch", "telegram:", "file:///etc/passwd", "x"])
async def test_what_is_no_file_of_telegram_is_not_read(bench: Bench, reference: str) -> None:
    with pytest.raises(MediaError) as caught:
        async with bench.frontend.open(reference):
            pass

    assert bench.telegram.token not in str(caught.value)


# --- Making and results


async def test_a_picture_from_the_menu_to_the_result(bench: Bench, buyer: Phone) -> None:
    await bench.orders(buyer)
    work = await buyer.sees("⏳")

    await bench.works()

    result = await buyer.sees_file("photo")
    assert "Списано 30 ₽" in result.text
    assert "Ещё раз" in " ".join(result.labels)
    # What told the progress is gone: one message is left for one thought.
    assert work.is_deleted


async def test_words_of_any_kind_are_only_words(bench: Bench, buyer: Phone) -> None:
    await bench.orders(buyer, HOSTILE)
    await bench.works()

    result = await buyer.sees_file("photo")

    assert "<b>рыжий</b> & <script>" in result.text
    assert "\u202e" not in result.text


async def test_the_history_sends_the_copy_that_telegram_keeps(bench: Bench, buyer: Phone) -> None:
    await bench.orders(buyer)
    await bench.works()
    first = await buyer.sees_file("photo")
    buyer.types("/history")
    await buyer.sees("✅")

    buyer.presses("✅")

    again = await buyer.sees_file("photo")
    assert again.message_id != first.message_id
    assert again.file == first.file
    assert len(called(bench, "sendPhoto")) >= 2


async def test_the_original_comes_as_a_file(bench: Bench, buyer: Phone) -> None:
    await bench.orders(buyer)
    await bench.works()
    photo = await buyer.sees_file("photo")

    buyer.presses("Оригинал", on=photo)

    await buyer.sees_file("document")
    assert not photo.is_deleted
    assert photo.buttons


async def test_a_double_tap_sends_the_original_once(bench: Bench, buyer: Phone) -> None:
    await bench.orders(buyer)
    await bench.works()
    photo = await buyer.sees_file("photo")

    for _ in range(3):
        buyer.presses("Оригинал", on=photo)
    await bench.handled()

    assert len(called(bench, "sendDocument")) == 1
    buyer.types("/menu")
    await buyer.sees("Создать")
    buyer.presses("Оригинал", on=photo)
    await buyer.sees_file("document")
    assert len(called(bench, "sendDocument")) == 2


async def test_progress_is_kept_true_and_never_after_the_result(bench: Bench, buyer: Phone) -> None:
    await bench.orders(buyer, "slow")
    work = await buyer.sees("⏳")
    before = work.text
    bench.shop.clock.advance(30)

    await bench.frontend.look()

    assert work.text != before
    assert "30 с" in work.text
    assert called(bench, "sendChatAction")
    await bench.works()
    await buyer.sees_file("photo")
    edits = len(called(bench, "editMessageText"))
    await bench.frontend.look()
    await bench.frontend.look()
    assert len(called(bench, "editMessageText")) == edits


async def test_a_message_of_progress_that_nobody_ended_is_taken_away(
    bench: Bench, buyer: Phone
) -> None:
    """The news were told by another process: this one sees that the job is over."""
    await bench.orders(buyer)
    work = await buyer.sees("⏳")
    for _ in range(20):
        await bench.shop.worker.step()
        bench.shop.clock.advance(5)
    for job in await bench.shop.kiebot.all_open_jobs(9):
        for _ in range(9):
            await bench.shop.kiebot.advance(job.id, None)
            bench.shop.clock.advance(5)

    await bench.frontend.look()
    await bench.frontend.look()

    assert work.is_deleted


@asynccontextmanager
async def another(bench: Bench) -> AsyncIterator[TelegramFrontend]:
    """Another process on the same database, or the same one after a restart."""
    bot = Bot(bench.telegram.token, AiohttpSession(api=bench.bot.session.api))
    conversation = Conversation(bench.shop.kiebot, clock=bench.shop.clock)
    frontend = TelegramFrontend(conversation, bot, admins=[ADMIN], pace=FAST)
    try:
        yield frontend
    finally:
        await frontend.close()


async def test_progress_goes_on_where_another_process_showed_it(bench: Bench, buyer: Phone) -> None:
    await bench.orders(buyer, "slow")
    work = await buyer.sees("⏳")
    bench.shop.clock.advance(30)

    async with another(bench) as frontend:
        await frontend.look()

        assert "30 с" in work.text
        edits = len(called(bench, "editMessageText"))
        await frontend.look()
        assert len(called(bench, "editMessageText")) == edits
        worker = Worker(
            bench.shop.kiebot,
            frontend,
            Conversation(bench.shop.kiebot, clock=bench.shop.clock).news,
            audience=None,
        )
        bench.worker = worker
        await bench.works()
        await buyer.sees_file("photo")
        assert work.is_deleted


async def test_a_message_of_progress_that_the_person_deleted_is_left_alone(
    bench: Bench, buyer: Phone
) -> None:
    await bench.orders(buyer, "slow")
    work = await buyer.sees("⏳")
    buyer.deletes(work)
    for _ in range(3):
        bench.shop.clock.advance(30)
        await bench.frontend.look()

    edits = [call for call in bench.telegram.called("editMessageText") if "⏳" in str(call.params)]
    assert len(edits) <= 2
    assert await bench.shop.kiebot.notices.of_person(BUYER) == []


async def test_who_may_not_be_the_only_one_says_nothing(bench: Bench) -> None:
    """What was read may be what another instance has just stored for the same update."""
    bench.telegram.person(BUYER, "Аня").types("/start")
    await bench.handled()
    before = len(called(bench, "sendMessage"))
    said = {
        "update_id": 10**6,
        "message": {"message_id": 1, "from": {"id": BUYER}, "chat": {"id": BUYER}, "text": "/help"},
    }

    with pytest.raises(SilencedError):
        await bench.frontend.handle(said, lambda: False)

    assert len(called(bench, "sendMessage")) == before
    await bench.frontend.handle(said, lambda: True)
    assert len(called(bench, "sendMessage")) == before + 1


async def test_a_reply_that_was_not_given_is_known(telegram: TelegramServer) -> None:
    """For a moment it was not sure who leads: the update must not count as answered."""
    may_speak = [False]
    bot = make_bot(telegram.token, telegram.url, Watch(lambda: all(may_speak), lambda *_: None))
    clock = FakeClock()
    shop = stub_shop(MemoryStorage(clock=clock), clock, TERMS)
    telegram.person(BUYER, "Аня").types("/start")
    frontend = TelegramFrontend(Conversation(shop.kiebot, clock=clock), bot, pace=FAST)
    said = {
        "update_id": 1,
        "message": {"message_id": 1, "from": {"id": BUYER}, "chat": {"id": BUYER}, "text": "/help"},
    }

    with pytest.raises(SilencedError):
        await frontend.handle(said)
    may_speak.clear()
    await frontend.handle(said)

    assert len(telegram.called("sendMessage")) == 1
    await frontend.close()


# --- Receipts and administrators


async def boss(bench: Bench, number: UserId = ADMIN) -> Phone:
    phone = bench.telegram.person(number, f"Босс {number}", language_code="ru")
    phone.types("/start")
    await phone.sees("Создать")
    return phone


async def a_receipt(bench: Bench, buyer: Phone) -> None:
    buyer.types("/balance")
    await buyer.sees("Баланс")
    buyer.forges("topup:500")
    await buyer.sees("2200 7000 0000 0000")
    assert buyer.copies("2200") == "2200 7000 0000 0000"
    buyer.sends_photo(picture())
    await buyer.sees("на проверке")
    await bench.works()


async def test_a_decision_is_said_in_the_message_of_every_administrator(
    telegram: TelegramServer, clock: FakeClock
) -> None:
    second = UserId(701)
    terms = evolve(TERMS, admins=frozenset({ADMIN, second}))
    async with serving(telegram, clock, terms=terms) as bench:
        await bench.shop.meet(BUYER)
        buyer = telegram.person(BUYER, "Аня", language_code="ru")
        one, other = await boss(bench), await boss(bench, second)
        await a_receipt(bench, buyer)
        pushed = await one.sees_file("photo")
        beside = await other.sees_file("photo")
        assert "500 ₽" in pushed.text

        one.presses("Зачислить 500 ₽", on=pushed)
        await telegram.until(lambda: "Зачислить" not in str(beside.labels), "the decision", other)

        assert "Босс 700" in pushed.text
        assert "Босс 700" in beside.text
        await bench.works()
        await buyer.sees("500 ₽")


async def test_a_decision_is_said_in_messages_that_another_process_sent(
    telegram: TelegramServer, clock: FakeClock
) -> None:
    second = UserId(701)
    terms = evolve(TERMS, admins=frozenset({ADMIN, second}))
    async with serving(telegram, clock, terms=terms) as bench, another(bench) as frontend:
        await bench.shop.meet(BUYER)
        buyer = telegram.person(BUYER, "Аня", language_code="ru")
        one, other = await boss(bench), await boss(bench, second)
        conversation = Conversation(bench.shop.kiebot, clock=clock)
        bench.worker = Worker(bench.shop.kiebot, frontend, conversation.news, audience=None)
        await a_receipt(bench, buyer)
        pushed = await one.sees_file("photo")
        beside = await other.sees_file("photo")

        one.presses("Зачислить 500 ₽", on=pushed)
        await telegram.until(lambda: "Зачислить" not in str(beside.labels), "the decision", other)

        assert "Босс 700" in beside.text


async def test_a_receipt_of_any_kind_reaches_the_administrator(bench: Bench, buyer: Phone) -> None:
    phone = await boss(bench)
    buyer.types("/balance")
    await buyer.sees("Баланс")
    buyer.forges("topup:500")
    await buyer.sees("2200 7000 0000 0000")

    buyer.sends_document("чек.pdf", b"%PDF-1.4 receipt", "application/pdf")
    await buyer.sees("на проверке")
    buyer.sends_document("скан.png", picture(), "image/png")
    await buyer.sees("Добавили")
    await bench.works()

    await phone.sees("Зачислить 500 ₽", anywhere=True)
    shown = {message.file.name for message in phone.chat() if message.file}
    assert shown == {"чек.pdf", "скан.png"}


async def test_a_forwarded_message_says_whom_an_administrator_looks_for(
    bench: Bench, buyer: Phone
) -> None:
    phone = await boss(bench)
    written = buyer.types("/start")
    await buyer.sees("Создать")
    phone.forges("admin:find")
    await phone.sees("@")

    phone.forwards(written)

    await phone.sees(str(BUYER), "Аня")


# --- Screens that the shop does not make by itself

BACK = ((Button("‹ Меню", Action.of("menu", "main"), minor=True),),)


@define
class Files:
    """What is at addresses, in place of a shop's results."""

    content: dict[str, bytes] = field(factory=dict)
    opened: list[str] = field(factory=list)

    @asynccontextmanager
    async def open(self, url: str) -> AsyncIterator[BytesFile]:
        self.opened.append(url)
        name = url.rsplit("/", 1)[-1]
        if name not in self.content:
            raise MediaError(url, "gone")
        yield BytesFile(name=name, content=self.content[name])


def media(name: str, kind: MediaKind = MediaKind.IMAGE) -> Media:
    return Media(url=f"https://files.example.org/{name}", kind=kind, name=name.partition(".")[0])


def news(*files: Media, text: str = "Готово") -> Screen:
    return Screen(text=text, media=files, buttons=BACK)


@pytest.fixture
async def files() -> Files:
    return Files()


@pytest.fixture
async def teller(telegram: TelegramServer, clock: FakeClock, files: Files) -> AsyncIterator[Bench]:
    """A bench whose results are at addresses that Telegram cannot reach by itself."""

    class FromFiles(Conversation):
        def open_media(self, media: Media):  # type: ignore[no-untyped-def]
            return files.open(media.url)

    async with serving(telegram, clock, lambda shop: FromFiles(shop.kiebot)) as bench:
        await bench.shop.meet(BUYER)
        yield bench


async def reader(bench: Bench) -> Phone:
    phone = bench.telegram.person(BUYER, "Аня", language_code="ru")
    phone.types("/start")
    await phone.sees("Создать")
    await bench.handled()
    return phone


async def test_a_file_that_telegram_cannot_load_is_uploaded(teller: Bench, files: Files) -> None:
    phone = await reader(teller)
    files.content["cat.png"] = picture()

    await teller.frontend.show(BUYER, news(media("cat.png")))

    shown = await phone.sees_file("photo")
    assert shown.file is not None
    assert shown.file.content == picture()
    assert shown.text == "Готово"
    assert shown.labels == ["‹ Меню"]


async def test_a_file_is_sent_again_without_being_read_again(teller: Bench, files: Files) -> None:
    await reader(teller)
    files.content["cat.png"] = picture()
    await teller.frontend.show(BUYER, news(media("cat.png")))
    files.content.clear()
    opened = len(files.opened)

    await teller.frontend.show(BUYER, news(media("cat.png"), text="Ещё раз"))

    assert len(files.opened) == opened


async def test_a_picture_that_is_too_large_for_one_goes_as_a_document(
    teller: Bench, files: Files
) -> None:
    phone = await reader(teller)
    files.content["cat.png"] = picture() + bytes(11 * 1024 * 1024)

    await teller.frontend.show(BUYER, news(media("cat.png")))

    shown = await phone.sees_file("document")
    assert shown.text == "Готово"


async def test_a_file_that_cannot_be_sent_is_a_link_and_administrators_hear_of_it(
    teller: Bench,
) -> None:
    phone = await reader(teller)

    await teller.frontend.show(BUYER, news(media("cat.png")))

    shown = await phone.sees("Готово", "https://files.example.org/cat.png")
    assert shown.labels == ["‹ Меню"]
    told = await teller.shop.kiebot.untold_of(ADMIN, 9)
    assert [type(untold.event).__name__ for untold in told] == ["FileNotSent"]
    assert "cat" in (await Conversation(teller.shop.kiebot).news(told[0].event)).text


async def test_a_page_in_place_of_a_picture_is_no_picture(teller: Bench, files: Files) -> None:
    phone = await reader(teller)
    files.content["cat.png"] = b"<html>It is not here.</html>"

    await teller.frontend.show(BUYER, news(media("cat.png")))

    await phone.sees("Готово", "https://files.example.org/cat.png")


async def test_several_pictures_come_together_and_the_buttons_after_them(
    teller: Bench, files: Files
) -> None:
    phone = await reader(teller)
    names = [f"{number}.png" for number in range(12)]
    for number, name in enumerate(names, start=1):
        files.content[name] = picture(number, number)

    await teller.frontend.show(BUYER, news(*map(media, names)))

    groups = called(teller, "sendMediaGroup")
    assert groups
    shown = [message for message in phone.chat() if message.file]
    assert [message.file.content for message in shown if message.file] == [
        picture(number, number) for number in range(1, 13)
    ]
    assert not any(message.buttons for message in shown)
    assert phone.last.labels == ["‹ Меню"]


async def test_an_album_with_a_file_that_is_gone_comes_one_by_one(
    teller: Bench, files: Files
) -> None:
    phone = await reader(teller)
    files.content["1.png"] = picture(1, 1)

    await teller.frontend.show(BUYER, news(media("1.png"), media("2.png")))

    await phone.sees_file("photo")
    await phone.sees("Готово", "https://files.example.org/2.png")


async def test_a_long_text_comes_in_pieces_and_as_a_file(teller: Bench) -> None:
    phone = await reader(teller)
    body = "\n\n".join(f"{number} <тег> " + "слово " * 100 for number in range(20))

    await teller.frontend.show(BUYER, Screen(text=f"{body}\n\nГотово", body=body, buttons=BACK))

    file = await phone.sees_file("document")
    assert file.file is not None
    assert file.file.content.decode() == body
    assert phone.last.labels == ["‹ Меню"]
    assert phone.last.text.endswith("Готово")


# --- Whom nobody can reach, and faults


async def test_who_blocked_the_bot_is_refused(teller: Bench) -> None:
    phone = await reader(teller)
    phone.blocks()

    with pytest.raises(FrontendRefusedError):
        await teller.frontend.show(BUYER, news())


async def test_who_never_wrote_is_refused(teller: Bench) -> None:
    with pytest.raises(FrontendRefusedError):
        await teller.frontend.show(UserId(404_404), news())


@pytest.mark.parametrize("kind", ["bad_gateway", "error", "drop"])
async def test_news_that_cannot_be_told_now_are_told_later(teller: Bench, kind: str) -> None:
    phone = await reader(teller)
    teller.telegram.breaks(kind, "sendMessage")  # type: ignore[arg-type]

    with pytest.raises(FrontendUnavailableError):
        await teller.frontend.show(BUYER, news())
    await teller.frontend.show(BUYER, news())

    await phone.sees("Готово")


async def test_a_long_silence_that_telegram_wants_is_kept(teller: Bench) -> None:
    """Who is told to wait asks no more before that, and is told how long."""
    await reader(teller)
    teller.telegram.breaks("flood", "sendMessage", retry_after=100)

    with pytest.raises(FrontendUnavailableError) as first:
        await teller.frontend.show(BUYER, news())
    calls = len(called(teller, "sendMessage"))
    with pytest.raises(FrontendUnavailableError) as second:
        await teller.frontend.show(BUYER, news())

    assert first.value.retry_s == 100
    assert 0 < (second.value.retry_s or 0) <= 100
    assert len(called(teller, "sendMessage")) == calls


async def test_news_go_on_where_they_were_interrupted(teller: Bench, files: Files) -> None:
    """The picture that arrived is not sent once more because the text after it was refused."""
    phone = await reader(teller)
    files.content.update({"1.png": picture(1, 1), "2.png": picture(2, 2)})
    screen = news(media("1.png"), media("2.png"))
    teller.telegram.breaks("bad_gateway", "sendMessage")

    with pytest.raises(FrontendUnavailableError):
        await teller.frontend.show(BUYER, screen)
    await teller.frontend.show(BUYER, screen)

    assert len([message for message in phone.chat() if message.file]) == 2
    assert phone.last.text == "Готово"


async def test_a_reply_is_tried_until_it_arrives(bench: Bench, buyer: Phone) -> None:
    bench.telegram.breaks("bad_gateway", "sendMessage", times=2)

    buyer.types("/start")

    await buyer.sees("Создать")


async def test_a_reply_is_not_waited_for_by_others_and_a_newer_one_replaces_it(
    telegram: TelegramServer, clock: FakeClock
) -> None:
    """Telegram is silent in one chat: its presses are let go, and everybody else is served."""
    async with serving(telegram, clock, reply_s=0.05) as bench:
        one = telegram.person(1, "Аня", language_code="ru")
        other = telegram.person(2, "Боря", language_code="ru")
        one.types("/start")
        menu = await one.sees("Создать")
        silence = telegram.breaks("hang", "editMessageText", chat_id=1, times=None)

        press = one.forges("balance:main", on=menu)
        other.types("/start")
        await other.sees("Создать")
        await press.answered()
        one.forges("marketing:main", on=menu)
        await bench.handled()
        telegram.heals(silence)

        await one.sees("Что создаём?")
        assert len([version for version in menu.versions if "Баланс:" in version.words.text]) == 1


async def test_who_blocks_the_bot_in_between_is_no_error(bench: Bench, buyer: Phone) -> None:
    buyer.types("/start")
    menu = await buyer.sees("Создать")
    buyer.blocks()

    buyer.forges("balance:main", on=menu)
    await bench.handled()
    buyer.unblocks()
    buyer.types("/start")

    await buyer.sees("Создать")


async def test_what_telegram_takes_in_no_form_holds_up_nothing() -> None:
    """It is logged, and counts as told: the next message must not wait for it for ever."""
    bad = error(400, "Bad Request: can't parse entities")
    far = FarSide(bad, bad, bad)
    shop = stub_shop(MemoryStorage(clock=FakeClock()), FakeClock())
    bot = Bot(TOKEN, session=far)
    frontend = TelegramFrontend(Conversation(shop.kiebot), bot, pace=FAST)

    await frontend.show(BUYER, news())
    assert len(far.calls) == 3
    await frontend.show(BUYER, news())

    assert len(far.calls) == 4


async def test_commands_are_named_in_both_languages(bench: Bench) -> None:
    bench.telegram.person(ADMIN, "Босс", language_code="ru").types("/start")
    await bench.handled()

    await bench.frontend.name_commands()

    found = bench.telegram.commands
    english = bench.telegram.person(8, "Bob", language_code="en").menu()
    russian = bench.telegram.person(9, "Аня", language_code="uk").menu()
    assert english
    assert [line.split()[0] for line in english] == [line.split()[0] for line in russian]
    assert len({str(commands) for commands in found.values()}) == 4
    admin = bench.telegram.phones[ADMIN].menu()
    assert any("admin" in line for line in admin)
    assert not any("admin" in line for line in russian)
