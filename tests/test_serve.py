"""`kiebot serve` as people run it: processes, signals, several at once, polling and webhook."""

import gc
import io
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kiebot.cli.serve import keep_what_is_loaded
from tests.fakes.served import Served, served
from tests.fakes.telegram_server import TelegramServer


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/kiebot.db"
    dsn: str = request.getfixturevalue("postgres_dsn")
    return dsn


@pytest.fixture
async def shop(tmp_path: Path, telegram: TelegramServer, database: str) -> AsyncIterator[Served]:
    async with served(tmp_path, telegram, database) as made:
        yield made


async def test_it_serves_until_it_is_told_to_stop(shop: Served, telegram: TelegramServer) -> None:
    instance = await shop.start(really=True)

    phone = telegram.person(7, "Аня", language_code="ru")
    phone.types("/start")
    await phone.sees("Баланс")

    for path in ("/", "/health", "/healthz"):
        assert await instance.get(path) == (200, '{"status": "ok"}')
    assert await instance.ready() == (200, {"role": "leader"})
    status, page = await instance.get("/metrics")
    assert status == 200
    assert "kiebot_is_leader 1.0" in page
    await instance.handled(1)
    instance.terminate()
    assert await instance.ends(10) == 0
    assert telegram.token not in instance.log
    assert "Traceback" not in instance.log


async def test_a_second_one_waits_and_takes_over(shop: Served, telegram: TelegramServer) -> None:
    first = await shop.start("first")
    second = await shop.start("second", ready=503)
    phone = telegram.person(7, "Аня", language_code="ru")
    phone.types("/start")
    await phone.sees("Баланс")
    await first.handled(1)

    assert await second.ready() == (503, {"role": "standby"})
    assert (await second.get("/health"))[0] == 200
    assert telegram.called(by="second") == []
    first.kill()

    assert await second.becomes(200, patience_s=5) == {"role": "leader"}
    phone.types("/help")
    await phone.sees("Как это работает")
    assert len(phone.chat()) == 4


async def test_one_that_stops_hands_over(shop: Served, telegram: TelegramServer) -> None:
    """As a deployment does it: the new one is started before the old one is stopped."""
    phone = telegram.person(7, "Аня", language_code="ru")
    old = await shop.start("old")
    new = await shop.start("new", ready=503)

    old.terminate()
    phone.types("/start")
    assert await old.ends(10) == 0
    await new.becomes(200, patience_s=5)

    await phone.sees("Баланс")
    assert len(phone.chat()) == 2


async def test_what_was_stored_is_handled_by_the_next(
    shop: Served, telegram: TelegramServer
) -> None:
    """Killed between the acknowledgement and the reply."""
    phone = telegram.person(7, "Аня", language_code="ru")
    first = await shop.start("first")
    silence = telegram.breaks("hang", "sendMessage", times=None)
    phone.types("/start")
    await telegram.until(lambda: silence.hits > 0, "the reply being sent")
    await telegram.until(lambda: not telegram.updates.waiting, "the acknowledgement")

    first.kill()
    telegram.heals()
    await shop.start("second")

    await phone.sees("Баланс")


async def test_another_bot_is_refused(shop: Served) -> None:
    instance = await shop.start()
    instance.terminate()
    await instance.ends()

    code, said = await shop.run(TELEGRAM_BOT_TOKEN="99999:AAE-another-bot-of-the-tests-0000000000")

    assert code == 2
    assert "this database is bot 4200000042's, not bot 99999's" in said
    assert "AAE-another" not in said


async def test_a_token_that_telegram_does_not_know_is_named(shop: Served) -> None:
    code, said = await shop.run(TELEGRAM_BOT_TOKEN="4200000042:AAE-wrong-0000000000000000000000000")

    assert code == 2
    assert said.splitlines()[-1].startswith("kiebot: TELEGRAM_BOT_TOKEN: Telegram refuses")
    assert "AAE-wrong" not in said
    assert "Traceback" not in said


async def test_a_port_that_is_taken_is_named(shop: Served) -> None:
    instance = await shop.start()

    code, said = await shop.run(PORT=instance.address.rpartition(":")[2])

    assert code == 2
    assert "kiebot: HOST, PORT: cannot listen on 127.0.0.1, port" in said


async def test_ctrl_c_ends_it_while_it_is_loading(shop: Served) -> None:
    instance = await shop.start(ready=None, really=True)
    await instance.says("starting")

    instance.process.send_signal(signal.SIGINT)

    assert await instance.ends() in {-signal.SIGINT, 128 + signal.SIGINT}
    assert [line["event"] for line in instance.lines] == ["starting"]


def test_what_was_loaded_is_not_looked_through_for_garbage() -> None:
    before = gc.get_freeze_count()
    try:
        keep_what_is_loaded()

        assert gc.get_freeze_count() > before
    finally:
        gc.unfreeze()


async def test_what_is_missing_is_named(shop: Served) -> None:
    code, said = await shop.run(really=True, TELEGRAM_BOT_TOKEN="", BOT_MODE="webhook")

    assert code == 2
    assert [line.split(":")[1].strip() for line in said.splitlines()] == [
        "TELEGRAM_BOT_TOKEN",
        "WEBHOOK_URL",
    ]


async def test_a_webhook_that_was_left_behind_is_removed(
    shop: Served, telegram: TelegramServer
) -> None:
    phone = telegram.person(7, "Аня", language_code="ru")
    async with telegram.session.post(
        f"{telegram.url}/bot{telegram.token}/setWebhook", json={"url": "https://old.example/hook"}
    ) as answer:
        assert answer.status == 200
    phone.types("/start")

    await shop.start()

    await phone.sees("Баланс")
    (removed,) = telegram.called("deleteWebhook")
    assert removed.params.get("drop_pending_updates") in {None, False, "false"}


@pytest.mark.parametrize("fault", ["bad_gateway", "drop", "error"])
async def test_what_goes_wrong_at_telegram_is_waited_for(
    tmp_path: Path, telegram: TelegramServer, fault: str
) -> None:
    phone = telegram.person(7, "Аня", language_code="ru")
    telegram.breaks(fault, "getUpdates", times=2)  # type: ignore[arg-type]
    async with served(tmp_path, telegram, f"sqlite:///{tmp_path}/kiebot.db") as shop:
        instance = await shop.start()
        phone.types("/start")
        await phone.sees("Баланс")

        assert telegram.token not in instance.log
        assert "Traceback" not in instance.log


# --- Webhook


WEBHOOK = {"BOT_MODE": "webhook", "WEBHOOK_URL": "https://bot.example"}


async def test_a_webhook_is_set_and_left(
    tmp_path: Path, telegram: TelegramServer, database: str
) -> None:
    phone = telegram.person(7, "Аня", language_code="ru")
    async with served(tmp_path, telegram, database, **WEBHOOK) as shop:
        instance = await shop.start()
        telegram.route("https://bot.example", instance.address)
        phone.types("/start")
        await phone.sees("Баланс")

        instance.terminate()
        assert await instance.ends(10) == 0

        assert telegram.called("deleteWebhook") == []
        assert telegram.called("getUpdates") == []
        assert instance.log.count("Traceback") == 0


async def test_strangers_cannot_speak_for_telegram(
    tmp_path: Path, telegram: TelegramServer
) -> None:
    async with served(
        tmp_path, telegram, f"sqlite:///{tmp_path}/kiebot.db", **WEBHOOK, WEBHOOK_SECRET="s3cret"
    ) as shop:
        instance = await shop.start()
        url = f"{instance.address}/telegram/webhook"
        header = "X-Telegram-Bot-Api-Secret-Token"

        async def post(body: bytes, secret: str | None = "s3cret") -> int:
            headers = {} if secret is None else {header: secret}
            async with shop.session.post(url, data=io.BytesIO(body), headers=headers) as answer:
                return answer.status

        update = b'{"update_id": 1, "message": {"from": {"id": 7}, "chat": {"type": "private"}}}'
        assert await post(update, None) == 401
        assert await post(update, "S3cret") == 401
        assert await post(update, "\udcff") == 401
        assert await post(b"{") == 400
        assert await post(b"[]") == 400
        assert await post(b'{"update_id": NaN}') == 400
        assert await post(b'{"update_id": -1}') == 400
        assert await post(b'{"update_id": 1e99}') == 400
        assert await post(b'{"update_id": 99999999999999999999999}') == 400
        assert await post(b'{"update_id": true}') == 400
        assert await post(b"x" * (1024 * 1024 + 1)) == 413
        assert await post(b'{"update_id": 5, "poll": {}}') == 200
        assert await post(b'{"update_id": 6, "message": {"from": {"id": "x"}}}') == 200
        assert await post(update) == 200
        assert await post(update) == 200
        async with shop.session.get(url) as answer:
            assert answer.status == 405
        assert "Traceback" not in instance.log


async def test_signals_end_one_that_only_waits(shop: Served) -> None:
    await shop.start("first")
    second = await shop.start("second", ready=503)

    second.terminate()

    assert await second.ends(5) == 0


async def test_a_second_signal_ends_at_once(shop: Served, telegram: TelegramServer) -> None:
    phone = telegram.person(7, "Аня", language_code="ru")
    instance = await shop.start()
    silence = telegram.breaks("hang", "sendMessage", times=None)
    phone.types("/start")
    await telegram.until(lambda: silence.hits > 0, "the reply being sent")

    instance.terminate()
    await instance.says("stopping")
    instance.terminate()

    assert await instance.ends(2) == -15
    telegram.heals()
