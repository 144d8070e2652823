"""Languages and commands: every one works wherever a person is, and costs nothing."""

from tests.acceptance.conftest import OpenShop
from tests.acceptance.person import GRANT_KOP, PICTURE_MODEL


def test_a_language_that_was_chosen_stays(open_shop: OpenShop) -> None:
    """On all screens, for news, after a restart; and back again."""
    shop = open_shop()
    person = shop.person()

    person.types("/language")
    person.sees("На каком языке говорим?", "Русский", "English")
    person.presses("lang:en")
    person.sees("Balance:", "Help", "Русский")
    person.presses(PICTURE_MODEL)
    person.sees("up to 5,000 characters")
    person.types("a red cat on the moon")
    person.sees("“a red cat on the moon”", "To pay: 30 ₽")
    person.presses("Create for 30 ₽")
    person.receives("Charged 30 ₽, 970 ₽ left", "Again")

    assert person.ends() == 0
    person = shop.returns()
    person.types("/help")
    person.sees("How it works", "/paysupport")
    person.presses("lang:ru")
    person.sees("Готово, говорим по-русски", "Баланс: 970 ₽", "English")
    person.types("/help")
    person.sees("Как это работает")


def test_commands_beat_an_open_question(open_shop: OpenShop) -> None:
    """What is no command says so, and the question stays open; "cancel" drops what was begun."""
    shop = open_shop()
    person = shop.person()

    person.presses(PICTURE_MODEL)
    person.sees("Опишите, что нарисовать")
    person.types("/blance")
    person.sees("Такой команды нет", "Помощь")
    person.types("/admin")
    person.sees("Такой команды нет", "Помощь")
    person.types("рыжий кот")
    person.sees("К оплате 30 ₽")
    person.presses(PICTURE_MODEL)
    person.sees("Опишите, что нарисовать")
    person.types("/cancel")
    person.sees("Отменили, деньги не тронуты")
    person.types("рыжий кот")
    person.sees("ни о чём не спрашивал")

    person.types("/paysupport")
    person.sees("Вопросы об оплате", "её цена уже снова на балансе", "вернём её цену")
    person.types("/help")
    person.sees("Как это работает", "/history", "/paysupport")
    person.types("/jobs")
    person.sees("Сейчас ничего не готовится")
    # What was ready to be paid before is a draft as well.
    person.types("/cancel")
    person.sees("Отменили, деньги не тронуты")
    person.types("/cancel")
    person.sees("Отменять нечего: ничего не начато", "Баланс: 1 000 ₽")
    assert shop.money() == (GRANT_KOP, 0)
    assert person.ends() == 0
