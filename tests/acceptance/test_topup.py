"""Money that a person sent reaches their wallet when the operator has seen it, and only then."""

from tests.acceptance.conftest import OpenShop
from tests.acceptance.person import GRANT_KOP, Person, Shop
from tests.fakes.talk import picture

CARD = "2200 7000 0000 0000"


def send_receipt(shop: Shop, person: Person, roubles: str = "500") -> str:
    """From the wallet to the receipt; the id of the request."""
    person.types("/balance")
    person.sees("Баланс: 1 000 ₽")
    person.presses("Пополнить")
    person.sees("На сколько")
    person.presses("Другая сумма")
    person.sees("Напишите сумму")
    person.types(roubles)
    person.sees("Переведите ровно 500 ₽", CARD)
    receipt = shop.folder / "чек 1.png"
    receipt.write_bytes(picture())
    person.attaches(receipt)
    person.sees("Чек получен")
    (topup,) = shop.asks("admin", "topups")
    return str(topup["id"])


def test_from_the_amount_to_the_money(open_shop: OpenShop) -> None:
    shop = open_shop(PAYMENT_CARD=CARD)
    person = shop.person()

    topup = send_receipt(shop, person)
    assert shop.money() == (GRANT_KOP, 0)
    shop.operator("admin", "approve", topup)
    person.sees("1 500 ₽")

    assert shop.money() == (GRANT_KOP + 50_000, 0)
    assert shop.asks("admin", "topups") == []
    assert person.ends() == 0


def test_a_rejection_is_told_with_its_reason(open_shop: OpenShop) -> None:
    shop = open_shop(PAYMENT_CARD=CARD)
    person = shop.person()

    topup = send_receipt(shop, person, "500,00 ₽")
    shop.operator("admin", "reject", topup, "--why", "чек другого банка")
    person.sees("чек другого банка")

    assert shop.money() == (GRANT_KOP, 0)


def test_what_is_no_amount_is_asked_again(open_shop: OpenShop) -> None:
    """Nothing is guessed: neither a comma too many nor a number of an option."""
    shop = open_shop(PAYMENT_CARD=CARD)
    person = shop.person()
    person.presses("topup:custom")
    person.sees("Напишите сумму")

    for wrong in ("1", "100,505", "-100", "много", "1e3"):
        person.types(wrong)
        person.sees("от 10 ₽ до 100 000 ₽", "Назад")

    person.presses("Назад")
    person.sees("На сколько")


def test_who_was_away_is_told_when_they_come_back(open_shop: OpenShop) -> None:
    shop = open_shop(PAYMENT_CARD=CARD)
    person = shop.person()
    topup = send_receipt(shop, person)
    assert person.ends() == 0

    shop.operator("admin", "approve", topup)
    person = shop.person()

    person.sees("500 ₽", "1 500 ₽")
