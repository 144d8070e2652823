"""A person gets what they paid for, and pays for nothing else."""

from kiebot.core.media import SNIFF_BYTES, sniff
from tests.acceptance.conftest import OpenConsoleShop, OpenShop
from tests.acceptance.person import GRANT_KOP, PRICE_KOP


def test_from_the_menu_to_the_picture(open_shop: OpenShop) -> None:
    """The whole way, by what is printed."""
    shop = open_shop()
    person = shop.person()

    person.presses("Создать")
    person.sees("Что создаём?", "Визуалы")
    person.presses("Визуалы")
    person.sees("Flux 2 Pro (text)", "30 ₽")
    person.presses("Flux 2 Pro (text)")
    person.sees("Опишите, что нарисовать")
    person.types("рыжий кот на луне")
    person.sees("«рыжий кот на луне»", "К оплате 30 ₽", "останется 970 ₽")
    person.presses("Создать за 30 ₽")
    picture = person.receives("Списано 30 ₽, осталось 970 ₽", "Ещё раз")

    assert sniff(picture[:SNIFF_BYTES]) == "image/png"
    assert shop.money() == (GRANT_KOP - PRICE_KOP, 0)
    person.types("/history")
    person.sees("Ваши работы")
    person.presses("Flux 2 Pro (text)")
    assert person.receives("«рыжий кот на луне»") == picture
    assert person.ends() == 0


def test_results_are_saved_as_files(open_console_shop: OpenConsoleShop) -> None:
    """Once each: the history names the same file."""
    shop = open_console_shop()
    person = shop.person()

    person.orders("рыжий кот на луне")
    shown = person.sees("Списано 30 ₽", "✓ Сохранено: kiebot-results")

    (picture,) = shop.kept()
    assert picture.name in shown.replace("\n", "")
    person.types("/history")
    person.sees("Ваши работы")
    person.presses("Flux 2 Pro (text)")
    person.sees("«рыжий кот на луне»", picture.name)
    assert shop.kept() == [picture]


def test_a_failure_costs_nothing(open_shop: OpenShop) -> None:
    shop = open_shop()
    person = shop.person()

    person.orders("fail")
    person.sees("30 ₽ снова на балансе")

    assert shop.money() == (GRANT_KOP, 0)
    assert person.ends() == 0


def test_confirming_again_pays_once(open_shop: OpenShop) -> None:
    """The same button, pressed by a person who saw nothing happen."""
    shop = open_shop()
    person = shop.person()
    person.orders("рыжий кот")
    person.sees("Списано 30 ₽")

    charge = shop.wallet()["entries"][0]
    person.presses(f"gen:confirm:{charge['job_id']}")
    person.sees("рыжий кот")

    assert shop.money() == (GRANT_KOP - PRICE_KOP, 0)


def test_a_picture_made_from_a_file(open_shop: OpenShop) -> None:
    """What a person has goes to KIE."""
    shop = open_shop()
    person = shop.person()
    source = shop.folder / "рыжий кот.png"
    source.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 100)

    person.presses("mmodel:recraft/remove-background")
    person.sees("16 ₽", "‹")
    person.attaches(source)
    person.sees("К оплате 16 ₽")
    person.presses("Создать за 16 ₽")
    person.receives("Списано 16 ₽")

    assert shop.money() == (GRANT_KOP - 1600, 0)


def test_a_file_that_is_not_there_is_said_so(open_console_shop: OpenConsoleShop) -> None:
    shop = open_console_shop()
    person = shop.person()

    person.presses("mmodel:recraft/remove-background")
    person.sees("16 ₽", "‹")
    person.attaches(shop.folder / "no cat.png")

    person.sees("Файла нет", "no cat.png")


def test_what_is_running_is_waited_for_at_the_end_of_the_input(
    open_pipe_shop: OpenConsoleShop,
) -> None:
    """A script needs no patience of its own: its last answer may be the confirmation."""
    shop = open_pipe_shop()
    person = shop.person()
    person.orders("рыжий кот")

    code = person.ends()

    assert code == 0
    assert "Списано 30 ₽" in person.terminal.text()
    assert len(shop.kept()) == 1
