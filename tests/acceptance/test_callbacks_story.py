"""`kiebot serve` with kie.ai in place of the stub: from a photo in Telegram to the result."""

from collections.abc import Iterator
from contextlib import contextmanager

from kiebot.adapters.kie.stub_server.faults import Call
from kiebot.adapters.kie.stub_server.server import StubServer
from tests.acceptance.conftest import OpenTelegramShop
from tests.acceptance.person import GRANT_KOP
from tests.acceptance.person_telegram import PUBLIC, TelegramShop
from tests.fakes.kie_server import CALLBACK_SECRET, kie_server
from tests.fakes.talk import picture

PRICE_KOP = 1600
LIVE = {
    "TEST_MODE": "0",
    "KIE_API_TOKEN": "kie-key-of-the-tests",
    "KIE_CALLBACK_SECRET": CALLBACK_SECRET,
    "WEBHOOK_URL": PUBLIC,
    # So rarely that what comes in this test comes by callback.
    "KIE_POLL_INTERVAL": "600",
}


@contextmanager
def kie_for(shop: TelegramShop) -> Iterator[StubServer]:
    """kie.ai, for a shop that is not open yet."""
    manager = kie_server(key=LIVE["KIE_API_TOKEN"])
    kie = shop.wait(manager.__aenter__())
    shop.settings |= {"KIE_API_URL": kie.address, "KIE_UPLOAD_URL": kie.address}
    try:
        yield kie
    finally:
        shop.wait(manager.__aexit__(None, None, None))


def test_a_photo_becomes_a_picture_by_callback(open_telegram_shop: OpenTelegramShop) -> None:
    """Telegram's file is uploaded to kie.ai, whose word that it is done brings the result."""
    shop = open_telegram_shop(**LIVE)
    with kie_for(shop) as kie:
        person = shop.person()
        kie.route(PUBLIC, shop.address)

        person.presses("mmodel:recraft/remove-background")
        person.sees("16 ₽", "Пришлите картинку")
        person.sends_photo(picture(64, 64))
        person.sees("К оплате 16 ₽")
        person.presses("Создать за 16 ₽")
        person.receives("Списано 16 ₽, осталось 984 ₽", "Ещё раз")

        # It was there when kie.ai had said so, and nobody asked before.
        (post,) = kie.posts
        assert post.status == 200
        (looked,) = kie.calls(Call.STATUS)
        assert looked.task_id == post.task_id
        assert kie.uploads == 1
        assert shop.money() == (GRANT_KOP - PRICE_KOP, 0)
        person.ends()
