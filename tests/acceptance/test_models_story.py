"""Each model that is on sale, bought by people, from the question to the result."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

from kiebot.adapters.kie.stub import TRANSCRIPT
from kiebot.core import pricing
from kiebot.core.catalog import Model
from kiebot.core.dialog.ru import RU
from kiebot.core.media import MediaKind
from kiebot.core.params import FileParam, FilesParam, Param, TextParam, defaults, next_question
from tests.acceptance.conftest import OpenShop
from tests.acceptance.person import GRANT_KOP, Person, Shop
from tests.fakes.answers import WORDS, good_answer
from tests.fakes.media import MP3, MP4
from tests.fakes.shop import CATALOG
from tests.fakes.talk import picture

ON_SALE = [model for model in CATALOG.models if model.on_sale]
FILES = {
    MediaKind.IMAGE: ("трамвай.png", picture()),
    MediaKind.AUDIO: ("трамвай.mp3", MP3),
    MediaKind.VIDEO: ("трамвай.mp4", MP4),
}
PURSE = 3000
"""Roubles, of each: enough for all models."""


def price_of(model: Model) -> int:
    """Kopecks, of the plainest answers."""
    return pricing.lowest(model, Decimal(2)).price.kopecks


def questions(model: Model) -> Iterator[Param]:
    """What a person is asked before the confirmation, in this order."""
    answers = defaults(model)
    while question := next_question(model, answers):
        yield question
        answers[question.name] = good_answer(question)


def buys(person: Person, model: Model, folder: Path) -> None:
    """From the model to the result, which comes as what it is and says what it took."""
    price = RU.money(pricing.lowest(model, Decimal(2)).price)
    person.presses(f"mmodel:{model.key}")
    for question in questions(model):
        match question:
            case TextParam():
                person.sees("знаков)")
                person.types(WORDS)
            case FileParam(media=media):
                person.sees("Пришлите")
                person.attaches(folder / FILES[media][0])
            case FilesParam(media=media):
                person.sees("Пришлите")
                person.attaches(folder / FILES[media][0])
                person.sees("Уже есть 1")
                person.presses("Это все")
            case _:
                raise AssertionError(f"{model.id} asks {question}")
    person.sees(f"К оплате {price}")
    person.presses(f"Создать за {price}")
    if model.output is MediaKind.TEXT:
        person.sees(TRANSCRIPT, f"Списано {price}")
    else:
        person.receives(f"Списано {price}", kind=model.output)


def test_each_model_is_bought_and_delivered(open_shop: OpenShop) -> None:
    """By several people at once where several can be there."""
    shop = open_shop(USER_JOBS_MAX="30")
    for name, content in FILES.values():
        (shop.folder / name).write_bytes(content)
    people = [shop.person(shop.user_id + number) for number in range(shop.at_once)]
    ids = [shop.user_id + number for number in range(shop.at_once)]
    for user_id in ids:
        shop.operator("admin", "grant", str(user_id), str(PURSE), "--why", "на всё")
    shares = [ON_SALE[number :: len(people)] for number in range(len(people))]

    def spends(person: Person, share: list[Model]) -> None:
        for model in share:
            buys(person, model, shop.folder)

    with ThreadPoolExecutor(len(people)) as together:
        for done in [*map(together.submit, [spends] * len(people), people, shares)]:
            done.result()

    assert sum(len(share) for share in shares) == 23
    for user_id, share in zip(ids, shares, strict=True):
        spent = sum(map(price_of, share))
        assert _money(shop, user_id) == (GRANT_KOP + 100 * PURSE - spent, 0)


def _money(shop: Shop, user_id: int) -> tuple[int, int]:
    wallet = shop.asks("admin", "wallet", str(user_id))
    return wallet["balance_kop"], wallet["hold_kop"]
