"""People change their minds, mistype and leave: nothing they paid for is lost by it."""

from tests.acceptance.conftest import OpenConsoleShop, OpenShop
from tests.acceptance.person import GRANT_KOP, PICTURE_MODEL, PRICE_KOP


def test_ctrl_c_leaves_the_question(open_terminal_shop: OpenConsoleShop) -> None:
    shop = open_terminal_shop()
    person = shop.person()
    person.presses(PICTURE_MODEL)
    person.sees("знаков)")

    person.interrupts()
    person.sees("Баланс: 1 000 ₽", "Вопрос оставлен")
    person.interrupts()
    person.sees("Ctrl-D")
    person.types("рыжий кот")

    person.sees("ни о чём не спрашивал")
    assert person.ends() == 0


def test_ctrl_c_loses_no_job(open_terminal_shop: OpenConsoleShop) -> None:
    shop = open_terminal_shop()
    person = shop.person()
    person.orders("slow")

    person.interrupts()
    person.sees("Баланс: 970 ₽")
    person.types("/jobs")

    person.sees("Flux 2 Pro (text)")
    assert shop.money() == (GRANT_KOP - PRICE_KOP, PRICE_KOP)


def test_who_leaves_with_a_job_running_is_told_at_the_next_start(
    open_terminal_shop: OpenConsoleShop,
) -> None:
    shop = open_terminal_shop()
    person = shop.person()
    person.orders("busy")  # not even taken in the first seconds

    assert person.ends() == 0
    assert "Ещё готовится: 1 работа" in person.terminal.text()
    person = shop.person()

    person.sees("Списано 30 ₽", "Сохранено")
    assert shop.money() == (GRANT_KOP - PRICE_KOP, 0)
    assert len(shop.kept()) == 1


def test_a_power_cut_loses_no_money(open_shop: OpenShop) -> None:
    shop = open_shop()
    person = shop.person()
    person.orders("stall")

    person.vanishes()
    assert shop.money() == (GRANT_KOP - PRICE_KOP, PRICE_KOP)
    shop.settings["JOB_TIMEOUT"] = "1"
    person = shop.person()

    person.sees("30 ₽ снова на балансе")
    assert shop.money() == (GRANT_KOP, 0)


def test_wrong_answers_change_nothing(open_console_shop: OpenConsoleShop) -> None:
    """Each gets one clear answer, and the screen stays what it was."""
    shop = open_console_shop()
    person = shop.person()

    person.types("99")
    person.sees("Варианта 99 нет: выберите 1–5")
    person.types("/blance")
    person.sees("Такой команды нет")
    person.types("gen:confirm:nothing")
    person.sees("‹ Меню")
    person.types("mmodel:no-such-model")
    person.sees("‹ Меню")
    person.types("x" * 5000)
    person.sees("ни о чём не спрашивал")

    assert shop.money() == (GRANT_KOP, 0)
    assert person.ends() == 0
