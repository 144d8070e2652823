"""A top-up from the lack of money to the approval, with administrators who are in Telegram, too."""

from tests.acceptance.conftest import OpenTelegramShop
from tests.acceptance.person import PICTURE_MODEL
from tests.acceptance.person_telegram import TelegramPerson, TelegramShop
from tests.fakes.talk import picture

CARD = "2200 7000 0000 0000"
FIRST, SECOND = 101, 102
PAYMENT = {
    "PAYMENT_CARD": CARD,
    "PAYMENT_BANK": "Т-Банк",
    "PAYMENT_HOLDER": "Анна К.",
    "ADMIN_IDS": f"{FIRST},{SECOND}",
}
PDF = b"%PDF-1.7\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n"


def administrators(shop: TelegramShop) -> tuple[TelegramPerson, TelegramPerson]:
    """Two, who have spoken with the bot."""
    return shop.person(FIRST, "Борис"), shop.person(SECOND, "Вера")


def asks_for(person: TelegramPerson, amount: str) -> None:
    """From the wallet to the details of the payment."""
    person.types("/balance")
    person.sees("Баланс")
    person.presses("Пополнить")
    person.sees("На сколько")
    person.presses(amount)
    person.sees(f"Переведите ровно {amount}", "Т-Банк", CARD, "Анна К.")


def test_what_lacked_money_is_bought_after_the_approval(
    open_telegram_shop: OpenTelegramShop,
) -> None:
    shop = open_telegram_shop(**PAYMENT)
    boris, vera = administrators(shop)
    person = shop.person(name="Аня")
    shop.operator("admin", "debit", str(shop.user_id), "990", "--why", "демо")

    person.presses(PICTURE_MODEL)
    person.sees("Опишите, что нарисовать")
    person.types("рыжий кот")
    person.sees("К оплате 30 ₽", "не хватает 20 ₽")
    person.presses("Создать за 30 ₽")
    person.sees("Не хватает 20 ₽", "Черновик сохранён")
    person.presses("Пополнить на 100 ₽")
    details = person.finds("Переведите ровно 100 ₽", "чек", CARD)
    assert details.entities("code") == [CARD]
    assert person.copies(CARD) == CARD
    person.sends_photo(picture())
    person.sees("Чек получен", "на проверке")

    for admin in (boris, vera):
        pushed = admin.finds("100 ₽", "Аня, № 7", "пополнений ещё не было", sent_as="photo")
        assert pushed.content == picture()
        assert "Зачислить 100 ₽" in pushed.seen()
    vera_has = pushed
    boris.presses("Другая сумма")
    boris.sees("Сколько пришло на самом деле?")
    boris.types("80")
    boris.sees("Сумма исправлена: 80 ₽", "Человек назвал 100 ₽")
    boris.presses("Зачислить 80 ₽")
    boris.sees("Зачислено 80 ₽ · Борис")

    # Nobody else is asked any more: the same message says who decided.
    shop.until(lambda: vera_has.has("Зачислено 80 ₽ · Борис"), "the decision", vera.phone)
    assert not [label for label in vera_has.labels if "Зачислить" in label]
    person.sees(
        "80 ₽ на балансе: столько пришло по заявке на 100 ₽",
        "«рыжий кот»",
        "К оплате 30 ₽",
        "останется 60 ₽",
    )
    assert shop.money() == (9000, 0)
    person.presses("Создать за 30 ₽")
    person.receives("Списано 30 ₽, осталось 60 ₽")
    person.types("/balance")
    person.sees("Баланс: 60 ₽", "+80 ₽", "Пополнение")
    assert shop.money() == (6000, 0)


def test_a_receipt_is_seen_twice_and_money_comes_once(
    open_telegram_shop: OpenTelegramShop,
) -> None:
    """A PDF; two administrators at once; the same file once more, rejected with a reason."""
    shop = open_telegram_shop(**PAYMENT)
    boris, vera = administrators(shop)
    person = shop.person(name="Аня")
    receipt = shop.folder / "чек.pdf"
    receipt.write_bytes(PDF)

    asks_for(person, "500 ₽")
    person.types("сейчас пришлю")
    person.sees("Жду чек файлом")
    person.attaches(receipt)
    person.sees("Чек получен")
    for admin in (boris, vera):
        pushed = admin.finds("500 ₽", "Аня, № 7", sent_as="document")
        assert pushed.content == PDF
        assert "⚠️" not in pushed.seen()
    boris.presses("Зачислить 500 ₽")
    vera.presses("Зачислить 500 ₽")
    for admin in (boris, vera):
        admin.sees("Зачислено 500 ₽")
    person.sees("500 ₽ на балансе: пополнение подтверждено")
    assert shop.money() == (150_000, 0)

    asks_for(person, "500 ₽")
    person.attaches(receipt)
    person.sees("Чек получен")
    for admin in (boris, vera):
        admin.finds("Этот же чек уже был в заявке", "подтверждена", sent_as="document")
    vera.presses("Отклонить")
    vera.sees("Почему отклоняем заявку")
    vera.types("этот чек уже был")
    vera.sees("Отклонено · Вера", "Причина: этот чек уже был")
    person.sees("Баланс не изменился", "Причина: этот чек уже был")

    assert shop.money() == (150_000, 0)
    assert shop.asks("admin", "topups") == []
