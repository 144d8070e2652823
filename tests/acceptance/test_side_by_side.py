"""Several `kiebot chat` on one SQLite file: each person is served, whoever does the work."""

from tests.acceptance.conftest import OpenConsoleShop
from tests.acceptance.person import GRANT_KOP, PRICE_KOP


def test_two_people_at_once(open_console_shop: OpenConsoleShop) -> None:
    """The one who came first works for both; when it is killed, the other takes over."""
    shop = open_console_shop()
    first, second = shop.person(), shop.person(-2)

    second.orders("кот второго")
    second.sees("Списано 30 ₽, осталось 970 ₽", "✓ Сохранено")
    first.orders("кот первого")
    first.sees("Списано 30 ₽, осталось 970 ₽", "✓ Сохранено")
    first.vanishes()
    second.orders("ещё один кот")
    second.sees("Списано 30 ₽, осталось 940 ₽", "✓ Сохранено")

    assert second.ends() == 0
    assert shop.money() == (GRANT_KOP - PRICE_KOP, 0)
    assert len(shop.kept()) == 3


def test_one_person_at_two_terminals_sees_the_result_at_both(
    open_console_shop: OpenConsoleShop,
) -> None:
    shop = open_console_shop()
    one, other = shop.person(), shop.person()

    other.orders("рыжий кот")

    for terminal in (one, other):
        terminal.sees("Списано 30 ₽, осталось 970 ₽", "✓ Сохранено")
        assert terminal.ends() == 0
    assert shop.money() == (GRANT_KOP - PRICE_KOP, 0)
