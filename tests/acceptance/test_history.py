"""What a person did and paid stays to be seen, and can be had once more."""

import re

from tests.acceptance.conftest import OpenShop
from tests.acceptance.person import GRANT_KOP, PRICE_KOP


def test_everything_is_kept_to_be_seen_again(open_shop: OpenShop) -> None:
    """Jobs that went well and badly, a result once more, the movements, also the next day."""
    shop = open_shop()
    person = shop.person()

    person.types("/history")
    person.sees("Пока ничего не создано")
    person.orders("рыжий кот на луне")
    picture = person.receives("Списано 30 ₽")
    person.orders("fail")
    person.sees("30 ₽ снова на балансе")
    person.types("/history")
    person.sees("Ваши работы", "✅ Flux 2 Pro (text) · 30 ₽", "✖️ Flux 2 Pro (text) · 30 ₽")
    person.presses("✖️ Flux 2 Pro (text)")
    person.sees("«fail»", "30 ₽ снова на балансе: у модели не получилось", "Ещё раз")
    person.types("/balance")
    person.sees("Баланс: 970 ₽", "−30 ₽", "возврат 30 ₽", "(не получилось)")
    person.presses("Все операции")
    shown = person.sees("Все операции", "−30 ₽", "возврат 30 ₽", "+1 000 ₽")
    # A hold and what settled it are one line.
    assert len(re.findall(r"(?:−|возврат\s)30\s₽\s+Flux 2 Pro", shown)) == 2

    assert person.ends() == 0
    person = shop.person()
    person.types("/history")
    person.sees("Ваши работы")
    person.presses("✅ Flux 2 Pro (text)")
    assert person.receives("«рыжий кот на луне»", "Списано 30 ₽", "Ещё раз") == picture
    assert shop.money() == (GRANT_KOP - PRICE_KOP, 0)


def test_the_same_once_more_and_another_of_it(open_shop: OpenShop) -> None:
    """ "Again" and "change" stand under a result, and pay as anything does."""
    shop = open_shop()
    person = shop.person()
    person.orders("рыжий кот")
    person.receives("Списано 30 ₽", "Ещё раз", "Изменить")

    person.presses("Ещё раз")
    person.sees("«рыжий кот»", "К оплате 30 ₽", "На балансе 970 ₽, останется 940 ₽")
    person.presses("Создать за 30 ₽")
    person.receives("Списано 30 ₽, осталось 940 ₽")
    person.presses("Изменить")
    person.sees("знаков)")
    person.types("рыжий кот на луне")
    person.sees("«рыжий кот на луне»", "К оплате 30 ₽")

    assert shop.money() == (GRANT_KOP - 2 * PRICE_KOP, 0)
