"""
`kiebot serve` under load while its processes are killed, frozen and replaced.

What is random comes of one seed, which a failing test says. `nox -s chaos` does the same with more
people and more kills; `--people`, `--kills` and `--seed` say how many, and which.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.chaos import PATIENCE_S, WEBHOOK, Chaos, chaos, gives, stored_in
from tests.fakes.crowd import FAILS, Customer
from tests.fakes.telegram_chats import Message
from tests.fakes.telegram_server import TelegramServer

PATIENT = {"LEASE_SECONDS": "30"}
"""Where nobody dies: on a slow machine a short lease ends while its holder is only busy."""

ANSWERS = {
    "/help": "Как это работает",
    "/language": "На каком языке",
    "/paysupport": "Назовите ваш номер",
    "/unknown": "Такой команды нет",
}
"""What commands are answered that change nothing."""


def taken(telegram: TelegramServer, customer: Customer) -> Counter[str]:
    """How often Telegram took what of the bot for a customer."""
    calls = telegram.called(chat_id=customer.user_id)
    return Counter(call.name for call in calls if call.code == 200)


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Said by a test that fails."""
    given: int | None = request.config.getoption("--seed")
    chosen = random.SystemRandom().randrange(1_000_000) if given is None else given
    print(f"--seed {chosen}")
    return chosen


@pytest.fixture
def size(request: pytest.FixtureRequest) -> Callable[[int, int], tuple[int, int]]:
    """How many people and kills: those of the options, else these."""

    def chosen(people: int, kills: int) -> tuple[int, int]:
        option = request.config.getoption
        return option("--people") or people, option("--kills") or kills

    return chosen


Size = Callable[[int, int], tuple[int, int]]


# --- Killed under load


async def test_one_that_is_killed_again_and_again(
    tmp_path: Path, telegram: TelegramServer, seed: int, size: Size
) -> None:
    """Polling on SQLite: nobody is there until the next one was started."""
    people, kills = size(12, 2)
    async with chaos(tmp_path, telegram, f"sqlite:///{tmp_path}/kiebot.db", seed) as shop:
        shop.crowd.fill(people)
        await gives(shop)
        await shop.starts(ready=200)
        async with shop.crowd.shopping():
            while shop.kills < kills and not shop.crowd.is_done:
                await shop.some_calls(1, 8 * people // kills)
                await shop.replaces(shop.running[0], ready=200)
        await shop.settles()
        await shop.ends()
        await shop.all_is_right()
        assert shop.kills > 0


async def test_a_standby_takes_over_again_and_again(
    tmp_path: Path, telegram: TelegramServer, postgres_dsn: str, seed: int, size: Size
) -> None:
    """Polling on PostgreSQL: of two, one is killed, or frozen and woken when it is too late."""
    people, kills = size(12, 2)
    async with chaos(tmp_path, telegram, postgres_dsn, seed) as shop:
        shop.crowd.fill(people)
        await gives(shop)
        await shop.starts(ready=200)
        await shop.starts(ready=503)
        frozen = 0
        async with shop.crowd.shopping():
            while shop.kills < kills and not shop.crowd.is_done:
                await shop.some_calls(1, 8 * people // kills)
                if frozen == 0 or shop.rng.random() < 0.2:
                    await _freezes(shop)
                    frozen += 1
                else:
                    await shop.replaces(shop.rng.choice(shop.running), ready=None)
                    await shop.leader()
        assert frozen > 0
        await shop.settles()
        await shop.ends()
        await shop.all_is_right()


async def _freezes(shop: Chaos) -> None:
    """Who leads is frozen in the middle of everything, and says no more when it wakes up."""
    first = await shop.leader()
    first.freeze()
    shop.running.remove(first)
    second = await shop.leader()
    # What it had said before it froze has arrived long ago.
    said = len(shop.telegram.called(by=first.name))
    first.thaw()
    shop.running.append(first)
    assert await first.becomes(503, PATIENCE_S) == {"role": "standby"}
    assert len(shop.telegram.called(by=first.name)) == said
    assert second is await shop.leader()


async def test_three_that_are_killed_again_and_again(
    tmp_path: Path, telegram: TelegramServer, postgres_dsn: str, seed: int, size: Size
) -> None:
    """A webhook on PostgreSQL: any of three, the one that leads too, while two go on."""
    people, kills = size(60, 3)
    async with chaos(tmp_path, telegram, postgres_dsn, seed, **WEBHOOK) as shop:
        shop.crowd.fill(people)
        await gives(shop)
        await shop.starts_some(3)
        async with shop.crowd.shopping():
            while shop.kills < kills and not shop.crowd.is_done:
                await shop.some_calls(1, 8 * people // kills)
                await shop.replaces(shop.rng.choice(shop.running), ready=200)
        await shop.settles()
        await shop.ends()
        await shop.all_is_right()


# --- Frozen


async def test_one_that_wakes_up_too_late_says_and_writes_nothing(
    tmp_path: Path, telegram: TelegramServer, postgres_dsn: str, seed: int
) -> None:
    """It is frozen over a reply, over news and over a job; another one has done it all since."""
    async with chaos(tmp_path, telegram, postgres_dsn, seed) as shop:
        waiting = shop.crowd.add(1, "рыжий кот", roubles=100)
        making = shop.crowd.add(2, "рыжий кот", roubles=100)
        await gives(shop)
        first = await shop.starts(ready=200)
        second = await shop.starts(ready=503)
        news = telegram.breaks("hang", "sendPhoto", chat_id=1, times=None)
        reply = telegram.breaks("hang", "sendMessage", chat_id=3, times=None)
        asking = telegram.person(3, "Аня", language_code="ru")
        making.pay = lambda *_: None

        async with shop.crowd.shopping():
            await telegram.until(lambda: news.hits > 0, "result being told", waiting.phone)
            asking.types("/help")
            await telegram.until(lambda: reply.hits > 0, "reply being sent", asking)
            await telegram.until(lambda: bool(making.confirmed), "offer", making.phone)
            await making.phone.presses("gen:confirm:" + making.confirmed[0]).answered()
            first.freeze()
            telegram.heals()
            assert await second.becomes(200, patience_s=30) == {"role": "leader"}
        await asking.sees("Как это работает")
        await shop.settles()

        said, stored = len(telegram.called(by=first.name)), await stored_in(postgres_dsn)
        first.thaw()
        await first.says("the lead is lost")
        assert await first.becomes(503, PATIENCE_S) == {"role": "standby"}
        assert len(telegram.called(by=first.name)) == said
        assert await stored_in(postgres_dsn) == stored

        asking.types("/start")
        await asking.sees("Баланс")
        assert len(telegram.called(by=first.name)) == said
        await shop.ends()
        await shop.all_is_right()


# --- Replaced in working hours


@pytest.mark.parametrize("mode", ["polling", "webhook"])
async def test_a_deployment_loses_and_doubles_nothing(
    tmp_path: Path, telegram: TelegramServer, postgres_dsn: str, seed: int, mode: str
) -> None:
    """The host starts the new one, and stops the old one when that is there."""
    settings = PATIENT | (WEBHOOK if mode == "webhook" else {})
    async with chaos(tmp_path, telegram, postgres_dsn, seed, **settings) as shop:
        for number in range(12):
            shop.crowd.add(1001 + number, FAILS if number % 4 == 0 else "рыжий кот", roubles=100)
        await gives(shop)
        await shop.starts(ready=200)
        async with shop.crowd.shopping():
            await shop.some_calls(15, 50)
            await shop.deploys()
        await shop.settles()
        await shop.ends()
        await shop.all_is_right()
        for customer in shop.crowd.customers:
            names = taken(telegram, customer)
            has_failed = FAILS in customer.prompts
            # The menu, the offer, and what it came to.
            assert names["sendmessage"] == 2 + has_failed, customer.phone.screen()
            assert names["sendphoto"] == 1 - has_failed, customer.phone.screen()


# --- Shared by three


async def test_three_share_a_thousand_updates(
    tmp_path: Path, telegram: TelegramServer, postgres_dsn: str, seed: int
) -> None:
    """Each is sent to all three, and many once more when they are long done."""
    people = 100
    settings = PATIENT | WEBHOOK
    async with chaos(tmp_path, telegram, postgres_dsn, seed, **settings) as shop:
        for number in range(people):
            shop.crowd.add(1001 + number, "рыжий кот", roubles=100, taps=3)
        await gives(shop)
        await shop.starts_some(3)
        roles = [(await instance.ready())[1]["role"] for instance in shop.running]
        assert sorted(roles) == ["leader", "worker", "worker"]
        telegram.updates.copies = 3

        async with shop.crowd.shopping():
            pass
        # The second and third press of each are answered, too.
        await shop.settles()
        asked = {
            customer.user_id: [shop.rng.choice(sorted(ANSWERS)) for _ in range(4)]
            for customer in shop.crowd.customers
        }
        before = telegram.next_moment()
        for number in range(4):
            for customer in shop.crowd.customers:
                customer.phone.types(asked[customer.user_id][number])
        done = [update["update_id"] for update in telegram.updates.made[: people * 6]]
        telegram.updates.redeliver(*shop.rng.sample(done, people))
        await shop.settles()

        assert len(telegram.updates.made) >= 1000
        for customer in shop.crowd.customers:
            who = customer.user_id
            replies = [
                message.versions[0].seen()
                for message in customer.phone.messages
                if message.is_from_bot and message.versions[0].at > before
            ]
            # In order; a reply that waits for Telegram is replaced by the next, the last never.
            left = iter(asked[who])
            for reply in replies:
                assert any(ANSWERS[command] in reply for command in left), customer.phone.screen()
            assert ANSWERS[asked[who][-1]] in replies[-1], customer.phone.screen()
        shares = [len(telegram.called("sendMessage", by=each.name)) for each in shop.running]
        assert all(shares), shares
        await shop.ends()
        await shop.all_is_right()


# --- Impatient people


@pytest.mark.parametrize("mode", ["polling", "webhook"])
async def test_however_often_confirm_is_pressed_it_is_paid_once(
    tmp_path: Path, telegram: TelegramServer, request: pytest.FixtureRequest, seed: int, mode: str
) -> None:
    """Twice, twenty times at once, with everything else at once, on two devices at once."""
    is_webhook = mode == "webhook"
    database = f"sqlite:///{tmp_path}/kiebot.db"
    if is_webhook:
        database = request.getfixturevalue("postgres_dsn")
    settings = PATIENT | (WEBHOOK if is_webhook else {})
    async with chaos(tmp_path, telegram, database, seed, **settings) as shop:
        shop.crowd.add(11, "рыжий кот", roubles=1000, taps=2)
        # Who presses what is done long ago gets its result again, at a message a second.
        shop.crowd.add(12, FAILS, roubles=1000, taps=20)
        mixed = shop.crowd.add(13, FAILS, roubles=1000)
        devices = shop.crowd.add(14, FAILS, roubles=1000, taps=6)

        def press_all(message: Message, offer: str) -> None:
            job_id = offer.rpartition(":")[2]
            others = ("menu:main", "balance:main", "marketing:main", f"history:job:{job_id}")
            for number in range(20):
                mixed.phone.forges(offer if number % 2 else others[number // 2 % 4], on=message)

        deliveries: list[asyncio.Task[None]] = []

        def press_on_two(message: Message, offer: str) -> None:
            # Telegram would send a person's one after another; here they come all at once.
            telegram.updates.hold()
            for _ in range(devices.taps):
                devices.phone.forges(offer, on=message)
            held, telegram.updates.held = telegram.updates.held, []
            telegram.updates.release()
            deliveries.append(asyncio.create_task(shop.posts(held)))

        mixed.pay = press_all
        if is_webhook:
            devices.pay = press_on_two
        await gives(shop)
        await shop.starts_some(3 if is_webhook else 1)
        telegram.updates.copies = 3 if is_webhook else 2

        async with shop.crowd.shopping():
            pass
        await asyncio.gather(*deliveries)

        await shop.settles()
        await shop.ends()
        await shop.all_is_right()
        assert all(query.answers for query in telegram.queries.values())
