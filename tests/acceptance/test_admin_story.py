"""An administrator runs the shop from the chat; a stranger cannot tell that this exists."""

from tests.acceptance.conftest import OpenTelegramShop
from tests.acceptance.person import GRANT_KOP, PICTURE_MODEL, PRICE_KOP

ADMIN = 101


def test_people_and_jobs(open_telegram_shop: OpenTelegramShop) -> None:
    """Money given, taken and given back, access closed and opened: each act is a row with a why."""
    shop = open_telegram_shop(ADMIN_IDS=str(ADMIN))
    admin = shop.person(ADMIN, "Борис")
    person = shop.person(name="Аня")
    person.orders("рыжий кот")
    person.receives("Списано 30 ₽")
    person.orders("fail")
    person.sees("30 ₽ снова на балансе")

    admin.types("/admin")
    admin.sees("Управление магазином", "Заявок нет", "Журнал")
    admin.presses("Найти человека")
    admin.sees("Кого ищем?")
    admin.types("7")
    admin.sees("Аня, № 7", "Баланс: 970 ₽, в резерве: 0 ₽", "✅ Flux 2 Pro (text)", "Начислить")

    admin.presses("Начислить")
    admin.sees("Сколько начислить?")
    admin.types("много")
    admin.sees("нужна сумма в рублях")
    admin.types("50,50")
    admin.sees("Начисляем 50,50 ₽", "За что?")
    admin.types("за терпение")
    admin.sees("Начислено 50,50 ₽", "Баланс: 1 020,50 ₽")
    admin.presses("Списать")
    admin.sees("Сколько списать?")
    admin.types("5000")
    admin.sees("Столько списать нельзя: на балансе 1 020,50 ₽")
    admin.types("20,50")
    admin.sees("Списываем 20,50 ₽", "За что?")
    admin.types("ошиблись на копейки")
    admin.sees("Списано 20,50 ₽", "Баланс: 1 000 ₽")
    admin.presses("✅ Flux 2 Pro (text)")
    admin.sees("готово, оплачено", "Аня, № 7", "Вернуть 30 ₽")
    admin.presses("Вернуть 30 ₽")
    admin.sees("Возвращаем 30 ₽", "Почему?")
    admin.types("кот не рыжий")
    admin.sees("Возвращено 30 ₽", "деньги возвращены")
    person.sees("30 ₽ снова на балансе: вернули за Flux 2 Pro (text)", "кот не рыжий")
    assert shop.money() == (GRANT_KOP + PRICE_KOP, 0)

    admin.presses(f"admin:user:{shop.user_id}")
    admin.sees("Аня, № 7", "Баланс: 1 030 ₽")
    admin.presses("Закрыть доступ")
    admin.sees("Закрываем доступ", "Почему?")
    admin.types("спорит о цвете")
    admin.sees("Доступ закрыт")
    person.types("/balance")
    shown = person.sees("Доступ закрыт")
    assert "Баланс" not in shown
    admin.presses("Открыть доступ")
    admin.sees("Почему?")
    admin.types("помирились")
    admin.sees("Доступ открыт")

    person.types("/balance")
    person.sees(
        "Баланс: 1 030 ₽",
        "+50,50 ₽  Подарок от магазина: за терпение",
        "−20,50 ₽  Списание магазином: ошиблись на копейки",
        "Flux 2 Pro (text) (возврат)",
    )
    admin.presses("admin:acts")
    journal = admin.sees(
        "Что делали администраторы",
        "Борис · начисление 50,50 ₽ · Аня, № 7: за терпение",
        "Борис · списание 20,50 ₽ · Аня, № 7: ошиблись на копейки",
        "кот не рыжий",
        "Борис · доступ закрыт · Аня, № 7: спорит о цвете",
        "Борис · доступ открыт · Аня, № 7: помирились",
    )
    assert journal.count("· Борис ·") == 5


def test_the_shop(open_telegram_shop: OpenTelegramShop) -> None:
    """Numbers, jobs, KIE's balance; a model off sale and on again; nothing of it for strangers."""
    shop = open_telegram_shop(ADMIN_IDS=str(ADMIN))
    admin = shop.person(ADMIN, "Борис")
    person = shop.person(name="Аня")
    person.orders("рыжий кот")
    person.receives("Списано 30 ₽")
    person.orders("fail")
    person.sees("30 ₽ снова на балансе")
    person.orders("stall")

    admin.types("/admin")
    admin.sees("Управление магазином")
    admin.presses("Работы")
    admin.sees("Готовится сейчас", "⏳ Flux 2 Pro (text) · Аня, № 7", "Последние неудачи", "✖️")
    admin.presses("admin:today")
    admin.sees(
        "Пришли: 2 человека, из них впервые 2",
        "готово 1, не получилось 1, возвращено 0, в работе 1",
        "Пополнения: 0 ₽",
        "Доход от работ: 30 ₽",
        "Взял kie.ai",
    )
    admin.presses("admin:credits")
    admin.sees("На счёте kie.ai: 1 000 кредитов")

    admin.presses("admin:model:flux-2/flex-text-to-image")
    admin.sees("Продаётся: 20 ₽")
    admin.presses("Снять с продажи")
    admin.sees("Снимаем с продажи", "Почему?")
    admin.types("рисует собак")
    admin.sees("Снято с продажи", "Снята с продажи · Борис", "рисует собак")
    person.presses("mmodel:flux-2/flex-text-to-image")
    shown = person.sees("сейчас не продаётся. Деньги не тронуты")
    assert "рисует собак" not in shown
    admin.presses("Вернуть в продажу")
    admin.sees("Почему?")
    admin.types("научили")
    admin.sees("Снова в продаже", "Продаётся: 20 ₽")
    person.presses("mmodel:flux-2/flex-text-to-image")
    person.sees("20 ₽", "Опишите, что нарисовать")

    # A stranger reads of all this what anybody reads of what there is not.
    for command in ("/admin", "/nothing"):
        person.types(command)
        person.sees("Такой команды нет")
    for data in ("admin:main", f"admin:grant:{shop.user_id}", "admin:off:veo3", "nothing:main"):
        person.presses(data)
        shown = person.sees("Не понял этой кнопки")
        assert "Управление" not in shown
    assert not [command for command in shop.do(person.phone.menu) if "admin" in command]
    assert [command for command in shop.do(admin.phone.menu) if "admin" in command]
    person.presses(PICTURE_MODEL)
    person.sees("Опишите, что нарисовать")
    assert shop.money() == (GRANT_KOP - 2 * PRICE_KOP, PRICE_KOP)
