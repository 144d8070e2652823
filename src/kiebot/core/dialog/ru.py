"""Russian."""

from kiebot.core.acts import ActKind
from kiebot.core.dialog.texts import Notation, Texts
from kiebot.core.errors import AnswerProblem
from kiebot.core.jobs import JobStatus
from kiebot.core.language import Language
from kiebot.core.media import MediaKind
from kiebot.core.tasks import FailReason
from kiebot.core.topups import TopUpStatus
from kiebot.core.wallet import EntryKind

NOTATION = Notation(
    locale="ru",
    thousands=" ",
    decimal=",",
    moment="dd.MM HH:mm",
    day="dd.MM.yyyy",
    day_and_time="dd.MM.yyyy HH:mm",
    seconds="с",
    minutes="мин",
    hours="ч",
)

_VERBS = {
    MediaKind.IMAGE: "рисует",
    MediaKind.VIDEO: "снимает",
    MediaKind.AUDIO: "записывает",
    MediaKind.TEXT: "пишет",
    MediaKind.DOCUMENT: "работает",
}

_FILES = {
    MediaKind.IMAGE: {"one": "картинку", "few": "картинки", "many": "картинок"},
    MediaKind.VIDEO: {"one": "видео", "few": "видео", "many": "видео"},
    MediaKind.AUDIO: {"one": "запись", "few": "записи", "many": "записей"},
    MediaKind.TEXT: {"one": "текст", "few": "текста", "many": "текстов"},
    MediaKind.DOCUMENT: {"one": "файл", "few": "файла", "many": "файлов"},
}


def _n(count: int, one: str, few: str, many: str) -> str:
    return NOTATION.plural(count, one=one, few=few, many=many, other=few)


def _chars(count: int) -> str:
    # Both "до 5 000 знаков" and "от 3 знаков" stand in the genitive.
    return _n(count, "знака", "знаков", "знаков")


def _unit(count: int, one: str, few: str, many: str) -> str:
    """After "за": of one thing the word alone, "за минуту"."""
    return one if count == 1 else _n(count, one, few, many)


def _lasts(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    words = [_n(minutes, "минута", "минуты", "минут")] if minutes else []
    if rest or not minutes:
        words.append(_n(rest, "секунда", "секунды", "секунд"))
    return " ".join(words)


def _files_wanted(kind: MediaKind, least: int, most: int) -> str:
    forms = _FILES[kind]
    named = NOTATION.plural(most, **forms, other=forms["few"])
    if least == most:
        return f"Пришлите {named}."
    if least > 1:
        return f"Пришлите от {least} до {most}: {forms['few']} можно по одной или сразу."
    return f"Пришлите до {_n(most, 'файла', 'файлов', 'файлов')}: по одному или сразу все."


def _up_to_seconds(seconds: int) -> str:
    if seconds > 60 and seconds % 60 == 0:
        return f"до {_n(seconds // 60, 'минуты', 'минут', 'минут')}"
    return f"до {_n(seconds, 'секунды', 'секунд', 'секунд')}"


def _in_work(title: str, output: MediaKind) -> str:
    return f"⏳ {title} {_VERBS[output]}…"


def _problem(problem: AnswerProblem, limit: str, names: str) -> str:
    match problem:
        case AnswerProblem.EMPTY:
            return "Тут пусто. Напишите хотя бы пару слов."
        case AnswerProblem.TOO_SHORT:
            return f"Коротковато: нужно не меньше {limit} знаков."
        case AnswerProblem.TOO_LONG:
            return f"Слишком длинно: помещается {limit} знаков."
        case AnswerProblem.UNREADABLE:
            return "В тексте есть знаки, которые не читаются. Наберите его заново."
        case AnswerProblem.NOT_A_NUMBER:
            return "Здесь нужно число."
        case AnswerProblem.NOT_WHOLE:
            return "Здесь нужно целое число."
        case AnswerProblem.TOO_SMALL:
            return f"Маловато: не меньше {limit}."
        case AnswerProblem.TOO_LARGE:
            return f"Многовато: не больше {limit}."
        case AnswerProblem.OFF_STEP:
            return f"Число меняется с шагом {limit}."
        case AnswerProblem.NOT_A_CHOICE:
            return "Такого варианта нет, выберите из списка."
        case AnswerProblem.NOT_A_FILE:
            return "Жду файл или прямую ссылку на него."
        case AnswerProblem.WRONG_KIND:
            return "Этот файл не подойдёт: нужен другой вид или формат."
        case AnswerProblem.FILE_TOO_LARGE:
            return f"Файл великоват: помещается {limit} МБ."
        case AnswerProblem.TOO_FEW_FILES:
            return f"Пока мало файлов: нужно не меньше {limit}."
        case AnswerProblem.TOO_MANY_FILES:
            return f"Больше не поместится: файлов может быть {limit}."
        case AnswerProblem.LASTS_TOO_LONG:
            return f"Слишком долго: можно {limit}. Обрежьте запись и пришлите ещё раз."
        case AnswerProblem.LENGTH_UNKNOWN:
            return (
                "Не получается узнать длительность записи: файл повреждён или необычного формата."
                " Сохраните её в MP3 или MP4 и пришлите ещё раз."
            )
        case AnswerProblem.FILE_GONE:
            return (
                "Файл не открывается. Пришлите его ещё раз или дайте прямую ссылку, по которой он"
                " скачивается без входа и пароля."
            )
        case AnswerProblem.NOT_PUBLIC:
            return (
                "Эта ссылка не из открытого интернета. Нужна ссылка http или https, по которой файл"
                " может скачать любой, или сам файл."
            )
        case AnswerProblem.TOO_SLOW:
            return (
                "Файл читается слишком медленно. Попробуйте ещё раз, дайте другую ссылку или"
                " пришлите сам файл."
            )
        case AnswerProblem.MISSING:
            return "Без этого ответа не получится."
        case AnswerProblem.NOT_TOGETHER:
            return f"Вместе это не работает: {names}."
        case AnswerProblem.ONE_OF:
            return f"Нужно что-то одно: {names}."
        case AnswerProblem.UNKNOWN:
            return "Об этом модель не спрашивает."


def _failed(price: str, reason: FailReason, label: str) -> str:
    return f"{price} снова на балансе: {_why(reason, label)}."


def _why(reason: FailReason, label: str) -> str:
    match reason:
        case FailReason.REFUSED_CONTENT:
            return "модель не приняла это описание"
        case FailReason.BAD_INPUT:
            return f"модель не приняла ответ «{label}»" if label else "модель не приняла эти ответы"
        case FailReason.UNREADABLE_FILE:
            return "присланный файл не удалось прочитать"
        case FailReason.MODEL_FAILED:
            return "у модели не получилось"
        case FailReason.NO_RESULT:
            return "модель не прислала готового файла"
        case FailReason.TIMED_OUT:
            return "модель не успела в срок"
        case FailReason.NO_ANSWER:
            return "с моделью пропала связь"
        case FailReason.UNAVAILABLE:
            return "эта модель временно недоступна"


def _deed_amount(kind: ActKind, what: str) -> str:
    verb = "списать" if kind is ActKind.DEBIT else "начислить"
    return f"Сколько {verb}? {what}\n\nНапишите рубли, например 500 или 99,50."


def _deed_why(kind: ActKind, what: str, amount: str) -> str:
    match kind:
        case ActKind.GRANT:
            return f"Начисляем {amount}: {what}. За что? Человек увидит эти слова в операциях."
        case ActKind.DEBIT:
            return f"Списываем {amount}: {what}. За что? Человек увидит эти слова в операциях."
        case ActKind.REFUND:
            return f"Возвращаем {amount} за {what}. Почему? Человек прочтёт эти слова."
        case ActKind.BLOCK:
            return (
                f"Закрываем доступ: {what}. Почему? Причину видят только администраторы. Начатые"
                " работы закончатся, результаты придут."
            )
        case ActKind.UNBLOCK:
            return f"Открываем доступ: {what}. Почему? Причину видят только администраторы."
        case ActKind.SWITCH_OFF:
            return (
                f"Снимаем с продажи: {what}. Почему? Причину видят только администраторы."
                " Оплаченные работы закончатся."
            )
        case ActKind.SWITCH_ON:
            return f"Возвращаем в продажу: {what}. Почему? Причину видят только администраторы."
        case ActKind.APPROVE | ActKind.CORRECT | ActKind.REJECT:
            return "Почему?"


def _deed_done(kind: ActKind, amount: str) -> str:
    match kind:
        case ActKind.GRANT:
            return f"✅ Начислено {amount}."
        case ActKind.DEBIT:
            return f"✅ Списано {amount}."
        case ActKind.REFUND:
            return f"✅ Возвращено {amount}."
        case ActKind.BLOCK:
            return "✅ Доступ закрыт."
        case ActKind.UNBLOCK:
            return "✅ Доступ открыт."
        case ActKind.SWITCH_OFF:
            return "✅ Снято с продажи."
        case ActKind.SWITCH_ON:
            return "✅ Снова в продаже."
        case ActKind.APPROVE | ActKind.CORRECT | ActKind.REJECT:
            return "✅ Готово."


RU = Texts(
    language=Language.RU,
    notation=NOTATION,
    # Everywhere
    button_menu="‹ Меню",
    button_back="‹ Назад",
    button_create="🎨 Создать",
    button_create_more="🎨 Создать ещё",
    button_older="Раньше ›",
    button_newer="‹ Новее",
    button_cancel="✖️ Отмена",
    button_refresh="🔄 Обновить",
    quoted=lambda words: f"«{words}»",
    colon=lambda label, value: f"{label}: {value}",
    from_price=lambda price: f"от {price}",
    price_per=lambda price, unit: f"{price} за {unit}",
    unit_chars=lambda count: _unit(count, "знак", "знака", "знаков"),
    unit_files=lambda count: _unit(count, "файл", "файла", "файлов"),
    unit_seconds=lambda count: _unit(count, "секунду", "секунды", "секунд"),
    unit_minutes=lambda count: _unit(count, "минуту", "минуты", "минут"),
    chars=lambda count: _n(count, "знак", "знака", "знаков"),
    files=lambda count: _n(count, "файл", "файла", "файлов"),
    lasts=_lasts,
    counted=lambda amount, unit: f"{amount}. Цена — за {unit}, начатое считается целиком.",
    soon="скоро",
    yes_mark="✓",
    # Menu
    greeting=lambda name: (
        f"Привет, {name}! Картинки, видео, музыка и озвучка от лучших нейросетей."
    ),
    greeting_nameless="Привет! Картинки, видео, музыка и озвучка от лучших нейросетей.",
    promise="Платите только за готовое: не получилось — деньги вернутся сами.",
    balance_line=lambda balance: f"Баланс: {balance}",
    receipt_awaited=lambda amount: f"Пополнение на {amount}: ждём чек.",
    receipt_checked=lambda amount: f"Пополнение на {amount}: проверяем чек.",
    button_balance="💳 Баланс",
    button_history="🕘 История",
    button_help="❓ Помощь",
    button_language="🌐 English",
    button_admin="🛠 Управление",
    button_jobs=lambda count: f"⏳ В работе: {count}",
    button_draft=lambda title: f"📝 Продолжить: {title}",
    categories="Что создаём?",
    nothing_sold_here="Этот раздел ещё готовится. Загляните пока в соседние.",
    not_sold_yet=lambda names: f"Пока не продаются: {names}.",
    and_more=lambda count: f"и ещё {count}",
    help=lambda commands: (
        "Как это работает\n"
        "1. Выберите раздел и модель: цена видна сразу.\n"
        "2. Напишите, что создать, или пришлите файл.\n"
        "3. Проверьте и нажмите «Создать». До этого нажатия ничего не списывается.\n"
        "4. Результат придёт сюда сам, чат можно закрыть.\n\n"
        "Деньги за работу сначала откладываются в резерв и списываются, только когда результат"
        " готов. Не получилось — они сразу снова на балансе.\n\n"
        f"Команды\n{commands}"
    ),
    commands=(
        "/menu — меню\n"
        "/marketing — что можно создать\n"
        "/balance — баланс и пополнение\n"
        "/history — ваши работы\n"
        "/jobs — что готовится сейчас\n"
        "/cancel — отменить начатое\n"
        "/language — язык\n"
        "/paysupport — вопросы об оплате\n"
        "/help — эта подсказка"
    ),
    choose_language="На каком языке говорим?",
    language_chosen="Готово, говорим по-русски.",
    paysupport=lambda number, contact: (
        "Вопросы об оплате\n\n"
        "Работа не получилась — её цена уже снова на балансе, делать ничего не нужно.\n"
        "Работа оплачена, но с результатом что-то не так — напишите, какая работа и в чём дело. Мы"
        " посмотрим и, если ошибка на нашей стороне, вернём её цену на баланс: вы увидите возврат в"
        " операциях.\n"
        "Пополнение не пришло — проверьте в разделе «Баланс», отправлен ли чек: без него мы не"
        " узнаем о переводе.\n\n"
        + (
            f"На вопросы отвечает {contact}."
            if contact
            else "На вопросы отвечает владелец этого магазина, его контакты в описании."
        )
        + f" Назовите ваш номер: {number}."
    ),
    blocked=lambda contact: (
        f"Доступ закрыт. Вопросы: {contact}."
        if contact
        else "Доступ закрыт. Вопросы — владельцу этого магазина."
    ),
    no_such_command="Такой команды нет. Все команды есть в помощи.",
    nothing_asked="Спасибо, но сейчас я ни о чём не спрашивал. С чего начнём?",
    nothing_asked_file="Файл вижу, но сейчас он не нужен. Выберите, что с ним сделать.",
    no_such_button="Не понял этой кнопки. Вот меню.",
    old_button="Эта кнопка из прошлого. Вот как дела сейчас.",
    too_fast="Слишком быстро. Подождите немного, пока я отвечу на прежнее.",
    went_wrong="Что-то пошло не так, и это не сделано. Деньги не тронуты. Попробуйте ещё раз.",
    not_found="Такого у вас нет: возможно, это уже удалено.",
    not_on_sale=lambda title: f"{title} сейчас не продаётся. Деньги не тронуты.",
    no_such_model="Этой модели больше нет. Вот что есть.",
    nothing_to_cancel="Отменять нечего: ничего не начато.",
    nothing_to_cancel_running=(
        "Отменять нечего: черновиков нет. Начатую работу остановить нельзя, но если она не"
        " получится, деньги вернутся сами."
    ),
    draft_dropped="Отменили, деньги не тронуты.",
    topup_dropped="Заявка на пополнение отменена. Если деньги ещё не отправлены, не отправляйте.",
    question_dropped="Отменили.",
    # Generation
    usually=lambda time: f"Обычно {time}.",
    text_wanted=lambda bounds: f"Напишите ответом: {bounds}.",
    asked_within=lambda asked, bounds: f"{asked} ({bounds}).",
    chars_up_to=lambda most: f"до {_chars(most)}",
    chars_between=lambda least, most: f"от {NOTATION.number(least)} до {_chars(most)}",
    number_wanted=lambda bounds: f"Напишите число: {bounds}.",
    number_wanted_free="Напишите число.",
    number_between=lambda low, high: f"от {low} до {high}",
    number_from=lambda low: f"от {low}",
    number_up_to=lambda high: f"до {high}",
    number_whole="целое",
    number_step=lambda step: f"с шагом {step}",
    choice_wanted="Выберите вариант.",
    switch_wanted="Да или нет?",
    file_wanted={
        MediaKind.IMAGE: "Пришлите картинку.",
        MediaKind.VIDEO: "Пришлите видео.",
        MediaKind.AUDIO: "Пришлите аудиозапись.",
        MediaKind.TEXT: "Пришлите текстовый файл.",
        MediaKind.DOCUMENT: "Пришлите файл.",
    },
    files_wanted=_files_wanted,
    file_formats=lambda formats: f"Формат: {formats}",
    file_size=lambda size: f"до {size} МБ",
    file_seconds=_up_to_seconds,
    file_address="Можно и прямую ссылку.",
    files_so_far=lambda count, most: f"Уже есть {count} из {most}.",
    for_example=lambda value: f"Например: {value}.",
    default_is=lambda value: f"По умолчанию: {value}.",
    now_is=lambda value: f"Сейчас: {value}.",
    optional="Можно пропустить.",
    button_default=lambda value: f"По умолчанию: {value}",
    button_default_long="По умолчанию",
    button_skip="Пропустить",
    button_without="Убрать",
    button_files_done="✅ Это все",
    button_files_clear="↩️ Начать сначала",
    price_more=lambda delta: f"+{delta}",
    price_less=lambda delta: f"−{delta}",
    to_pay=lambda price: f"К оплате {price}.",
    on_balance=lambda balance, left: f"На балансе {balance}, останется {left}.",
    lacking_line=lambda balance, lack: f"На балансе {balance}, не хватает {lack}.",
    button_pay=lambda price: f"✅ Создать за {price}",
    button_other_text="✏️ Другой текст",
    button_other_file="📎 Другой файл",
    button_setting=lambda label, value: f"⚙️ {label}: {value}",
    button_settings="⚙️ Все настройки",
    settings=lambda title: f"{title}: настройки. Что меняем?",
    not_set="не выбрано",
    no_price="Для таких ответов цены нет, поэтому купить их нельзя. Деньги не тронуты.",
    no_price_sold=lambda sold: f"Можно выбрать: {sold}.",
    no_length=lambda label: (
        f"Цена зависит от того, сколько длится {label}, а узнать это не получилось. Пришлите файл"
        " ещё раз или другой. Деньги не тронуты."
    ),
    no_amount=lambda label: f"Цена зависит от ответа {label}: дайте его. Деньги не тронуты.",
    in_work=_in_work,
    in_work_elapsed=lambda time: f"Прошло {time}.",
    in_work_usual=lambda time, usual: f"{time} из обычных {usual}.",
    in_work_longer=lambda time: f"{time}, дольше обычного.",
    in_work_leave="Можно закрыть чат: результат придёт сюда.",
    in_work_held=lambda price: (
        f"{price} отложены в резерв и спишутся, только когда всё будет готово."
    ),
    not_enough=lambda lack, needed, available: (
        f"Деньги не тронуты. Не хватает {lack}: нужно {needed}, на балансе {available}."
    ),
    draft_is_safe="Черновик сохранён, вернёмся к нему после пополнения.",
    button_topup_by=lambda amount: f"Пополнить на {amount}",
    button_other_amount="Другая сумма",
    too_many_jobs=lambda limit: (
        f"Деньги не тронуты: сразу готовится не больше {_n(limit, 'работы', 'работ', 'работ')}."
        " Дождитесь любой из них, черновик никуда не денется."
    ),
    price_changed=lambda before, now: (
        f"Деньги не тронуты: цена изменилась, была {before}, теперь {now}. Проверьте ещё раз."
    ),
    price_gone="Деньги не тронуты: такие ответы больше не продаются.",
    offer_changed="С тех пор черновик изменился. Вот он, деньги не тронуты.",
    draft_cancelled="Этот черновик отменён, деньги за него не списывались.",
    problem=_problem,
    problem_file_for_text="Здесь нужен ответ текстом, а не файлом.",
    problem_press="Здесь файл не нужен: выберите вариант кнопкой.",
    # Balance
    balance=lambda available: f"Баланс: {available}",
    reserved=lambda held, count: (
        f"В резерве: {held} — {_n(count, 'работа', 'работы', 'работ')} в очереди"
    ),
    no_movements="Операций пока не было.",
    movement={
        EntryKind.TOPUP: "Пополнение",
        EntryKind.GRANT: "Подарок от магазина",
        EntryKind.DEBIT: "Списание магазином",
        EntryKind.HOLD: "Работа",
        EntryKind.CHARGE: "Работа",
        EntryKind.RELEASE: "Работа",
        EntryKind.REFUND: "Работа",
    },
    movement_job={
        EntryKind.TOPUP: lambda title: title,
        EntryKind.GRANT: lambda title: title,
        EntryKind.DEBIT: lambda title: title,
        EntryKind.HOLD: lambda title: f"{title} (в резерве)",
        EntryKind.CHARGE: lambda title: title,
        EntryKind.RELEASE: lambda title: f"{title} (не получилось)",
        EntryKind.REFUND: lambda title: f"{title} (возврат)",
    },
    movement_back=lambda amount: f"возврат {amount}",
    button_topup="➕ Пополнить",
    button_topup_closed="➕ Пополнение недоступно",
    button_all_movements="🕘 Все операции",
    topup="На сколько пополнить?",
    topup_limits=lambda low, high: f"Можно от {low} до {high}.",
    topup_pending=lambda amount: f"Ждём чек по заявке на {amount}. Новая сумма её заменит.",
    topup_reviewed=lambda number, amount: f"Заявка {number} на {amount} проверяется.",
    button_topup_open="📎 Отправить чек",
    amount_wanted=lambda low, high: f"Напишите сумму в рублях: от {low} до {high}.",
    not_an_amount=lambda low, high: (
        f"Не похоже на подходящую сумму. Нужны рубли от {low} до {high}, например 500 или 99,50."
    ),
    not_an_amount_file="Здесь нужна сумма числом, а не файл.",
    topup_closed=(
        "Пополнение сейчас недоступно: магазин не принимает переводы. Баланс на месте, а вернуться"
        " сюда можно позже. Срочно — спросите владельца магазина."
    ),
    transfer=lambda amount: f"Переведите ровно {amount}",
    receipt_wanted="Потом пришлите сюда чек: фото, скриншот или PDF.",
    receipt_not_a_text="Жду чек файлом: фото, скриншот или PDF.",
    receipt_taken=lambda number: (
        f"Чек получен, заявка {number} на проверке. Напишем, как только проверим."
    ),
    receipt_joined=lambda number: f"Добавили к заявке {number}. Напишем, как только проверим.",
    receipt_full=lambda number: f"К заявке {number} файлов уже достаточно, проверяем.",
    button_topup_cancel="✖️ Отменить заявку",
    topup_cancelled="Эта заявка отменена. Можно сделать новую.",
    # History
    jobs="Ваши работы",
    no_jobs="Пока ничего не создано. Самое время начать!",
    job_refunded=lambda price: f"{price} возвращены на баланс.",
    ledger="Все операции",
    open_jobs="Готовится сейчас",
    no_open_jobs="Сейчас ничего не готовится.",
    running_for=lambda time: f"уже {time}",
    running_of=lambda time, usual: f"{time} из обычных {usual}",
    running_longer=lambda time: f"{time}, дольше обычного",
    # News
    result=lambda price, balance: f"Списано {price}, осталось {balance}",
    result_unpriced=lambda price: f"Списано {price}",
    result_expires="Ссылки на файлы живут недолго: сохраните результат себе.",
    button_again=lambda price: f"🔁 Ещё раз · {price}",
    button_again_unpriced="🔁 Ещё раз",
    button_edit="✏️ Изменить",
    button_edit_text="✏️ Изменить текст",
    button_original="📎 Оригинал файлом",
    button_other_model="Другая модель",
    button_retry="🔁 Попробовать снова",
    failed=_failed,
    failed_why=_why,
    advice={
        FailReason.REFUSED_CONTENT: "Похоже, дело в запрещённой теме. Попробуйте описать иначе.",
        FailReason.BAD_INPUT: "Поправьте ответ и попробуйте снова.",
        FailReason.UNREADABLE_FILE: "Пришлите его ещё раз или возьмите другой.",
        FailReason.MODEL_FAILED: "Иногда помогает просто повторить или чуть изменить описание.",
        FailReason.NO_RESULT: "Такое бывает редко, обычно помогает повторить.",
        FailReason.TIMED_OUT: "Сейчас она перегружена. Попробуйте позже или возьмите другую.",
        FailReason.NO_ANSWER: "Попробуйте ещё раз.",
        FailReason.UNAVAILABLE: "Мы уже разбираемся. Попробуйте позже или возьмите другую.",
    },
    refunded=lambda price, title: f"{price} снова на балансе: вернули за {title}.",
    refunded_why=lambda why: f"Причина: {why}",
    topup_approved=lambda amount: f"✅ {amount} на балансе: пополнение подтверждено.",
    topup_approved_other=lambda amount, requested: (
        f"✅ {amount} на балансе: столько пришло по заявке на {requested}."
    ),
    topup_rejected=lambda number, amount: (
        f"Баланс не изменился: пополнение на {amount} (заявка {number}) не подтвердилось."
    ),
    topup_rejected_why=lambda why: f"Причина: {why}",
    topup_rejected_ask="Если перевод был, сделайте новую заявку и пришлите чек ещё раз.",
    draft_waits=lambda title: f"Вас ждёт черновик: {title}.",
    draft_lacks=lambda title, price, lack: (
        f"Черновик {title} стоит {price}, не хватает ещё {lack}. Он сохранён."
    ),
    button_draft_waits=lambda title, price: f"📝 {title} · {price}",
    # Administrators
    admin_topups=lambda count: f"Ждут проверки: {_n(count, 'заявка', 'заявки', 'заявок')}",
    admin_no_topups="Заявок на проверку нет.",
    admin_request=lambda number, amount, person: f"Заявка {number} · {amount} · {person}",
    admin_person=lambda name, number: f"{name}, № {number}" if name else f"№ {number}",
    admin_known_since=lambda day: f"с {day}",
    admin_topped_up=lambda count, total: (
        f"пополнений: {count} на {total}" if count else "пополнений ещё не было"
    ),
    admin_requested=lambda amount: f"Человек назвал {amount}.",
    admin_receipts=lambda count: f"Чек: {_n(count, 'файл', 'файла', 'файлов')}",
    admin_receipt_more=lambda number: f"Ещё один файл чека, {number}-й",
    admin_seen=lambda number, status, day: (
        f"⚠️ Этот же чек уже был в заявке {number} ({status}, {day})"
    ),
    topup_status={
        TopUpStatus.PENDING: "ждёт чека",
        TopUpStatus.MANUAL_REVIEW: "на проверке",
        TopUpStatus.APPROVED: "подтверждена",
        TopUpStatus.REJECTED: "отклонена",
        TopUpStatus.CANCELLED: "отменена",
    },
    admin_approved=lambda amount, who, when: f"✅ Зачислено {amount} · {who}, {when}",
    admin_rejected=lambda who, when: f"🚫 Отклонено · {who}, {when}",
    admin_rejected_why=lambda why: f"Причина: {why}",
    admin_pending="Чека ещё нет, решать пока нечего.",
    admin_cancelled="Человек отменил эту заявку.",
    admin_corrected=lambda amount: f"Сумма исправлена: {amount}. Подтвердите её.",
    admin_amount_wanted=lambda low, high: (
        f"Сколько пришло на самом деле? Напишите рубли: от {low} до {high}."
    ),
    admin_reason_wanted=lambda number: (
        f"Почему отклоняем заявку {number}? Человек прочтёт эти слова."
    ),
    admin_reason_too_long=lambda most: f"Слишком длинно: помещается {_chars(most)}.",
    admin_not_a_text="Здесь нужна причина текстом.",
    admin_operator="оператор",
    admin_alert={
        401: "⚠️ Работы не выполняются: kie.ai не принимает ключ доступа.",
        402: "⚠️ Работы не выполняются: на счёте kie.ai кончились деньги.",
        403: "⚠️ Работы не выполняются: kie.ai закрыл доступ.",
        433: "⚠️ Работы не выполняются: исчерпан лимит расходов kie.ai.",
    },
    admin_alert_other=lambda code: (
        f"⚠️ Работы не выполняются: kie.ai отказывает магазину (код {code})."
    ),
    admin_alert_after="Деньги людей возвращаются сами. Исправьте это, и работы пойдут.",
    admin_low_credits=lambda left, enough: (
        f"⚠️ Кончаются кредиты kie.ai. Осталось: {left}. Нужный запас: {enough}. Пополните счёт на"
        " kie.ai: без кредитов ни одна работа не выполнится."
    ),
    admin_file_not_sent=lambda name, number: (
        f"Файл {name} не удалось отправить человеку {number} ни одним способом: вместо него ушла"
        " ссылка. Деньги списаны, результат остался в истории."
    ),
    admin_late=lambda title, job, taken: (
        f"⚠️ kie.ai всё-таки закончил {title} (работа {job}), когда деньги человеку уже вернулись."
        f" Списано: {taken}."
    ),
    admin_late_unknown="сколько кредитов, неизвестно",
    credits=lambda count: NOTATION.plural(
        float(count), one="кредит", few="кредита", many="кредитов", other="кредита"
    ),
    button_approve=lambda amount: f"✅ Зачислить {amount}",
    button_other_sum="✏️ Другая сумма",
    button_reject="🚫 Отклонить",
    button_no_reason="Без причины",
    button_request=lambda number, amount, when: f"{number} · {amount} · {when}",
    button_requests="🧾 Все заявки",
    button_requests_one=lambda number: f"🧾 Заявка {number}",
    button_person=lambda name: f"👤 {name}",
    # Administrators: the desk
    admin_menu="Управление магазином",
    button_admin_topups=lambda count: f"🧾 Заявки: {count}" if count else "🧾 Заявок нет",
    button_admin_person="👤 Найти человека",
    button_admin_jobs="⏳ Работы",
    button_admin_today="📊 Сегодня",
    button_admin_credits="🔋 Кредиты kie.ai",
    button_admin_models="🧩 Модели",
    button_admin_acts="📜 Журнал",
    button_admin_menu="‹ Управление",
    admin_only=lambda words: f"Видят только администраторы: {words}",
    admin_whom="Кого ищем? Напишите номер или @имя, или перешлите сообщение человека.",
    admin_whom_unclear=(
        "Это не номер и не @имя. У пересланного сообщения номера не видно, если человек его скрыл:"
        " тогда попросите номер, он назван в /paysupport."
    ),
    admin_whom_nobody=lambda typed: f"Здесь не было никого с таким номером или именем: {typed}.",
    admin_whom_several="Это имя носили несколько человек. Кто нужен?",
    admin_wallet=lambda available, held: f"Баланс: {available}, в резерве: {held}",
    admin_blocked_since=lambda when: f"⛔ Доступ закрыт с {when}",
    admin_movements="Последние операции",
    admin_acts_on="Что делали администраторы",
    admin_jobs_of="Последние работы — на кнопках.",
    admin_no_jobs_of="Работ пока не было.",
    button_grant="➕ Начислить",
    button_debit="➖ Списать",
    button_block="⛔ Закрыть доступ",
    button_unblock="✅ Открыть доступ",
    button_refund=lambda amount: f"↩️ Вернуть {amount}",
    button_switch_off="⛔ Снять с продажи",
    button_switch_on="✅ Вернуть в продажу",
    admin_deed_amount=_deed_amount,
    admin_deed_why=_deed_why,
    admin_deed_done=_deed_done,
    admin_deed_over="Это уже сделано или больше невозможно. Вот как дела сейчас.",
    admin_not_roubles="Здесь нужна сумма в рублях больше нуля, например 500 или 99,50.",
    admin_too_much=lambda available: f"Столько списать нельзя: на балансе {available}.",
    admin_open_jobs="Готовится сейчас",
    admin_no_open_jobs="Сейчас ничего не готовится.",
    admin_failed_jobs="Последние неудачи",
    admin_task=lambda number: f"Задача kie.ai: {number}",
    job_status={
        JobStatus.DRAFT: "черновик",
        JobStatus.QUEUED: "в очереди",
        JobStatus.RUNNING: "выполняется",
        JobStatus.SUCCEEDED: "готово, оплачено",
        JobStatus.FAILED: "не получилось, деньги вернулись",
        JobStatus.REFUNDED: "готово, деньги возвращены",
        JobStatus.CANCELLED: "отменено",
    },
    admin_today=lambda day: f"Сегодня, {day}",
    admin_came=lambda count, new: (
        f"Пришли: {_n(count, 'человек', 'человека', 'человек')}, из них впервые {new}"
    ),
    admin_made=lambda succeeded, failed, refunded, running: (
        f"Работы: готово {succeeded}, не получилось {failed}, возвращено {refunded}, в работе"
        f" {running}"
    ),
    admin_topped_up_sum=lambda amount: f"Пополнения: {amount}",
    admin_granted_sum=lambda amount: f"Начислено администраторами: {amount}",
    admin_income=lambda amount: f"Доход от работ: {amount}",
    admin_cost=lambda taken, amount: f"Взял kie.ai: {taken}, это {amount}",
    admin_cost_unknown=lambda taken: (
        f"Взял kie.ai: {taken}. Курс не задан, поэтому в рублях это неизвестно, и маржа тоже."
    ),
    admin_cost_untold=lambda count: (
        f"О {_n(count, 'задаче', 'задачах', 'задачах')} kie.ai не сказал, сколько взял: их здесь"
        " нет."
    ),
    admin_margin=lambda amount: f"Маржа: {amount}",
    admin_credits=lambda left, enough: f"На счёте kie.ai: {left}. Нужный запас: {enough}.",
    admin_credits_unknown="kie.ai сейчас не говорит, сколько осталось.",
    admin_models=lambda sold, count: (
        f"Модели: в продаже {sold} из {count}\n✅ продаётся · ⛔ снята здесь · 💤 снята в каталоге"
    ),
    admin_model_on=lambda price: f"✅ Продаётся: {price}",
    admin_model_off=lambda who, when, why: f"⛔ Снята с продажи · {who}, {when}\nПричина: {why}",
    admin_model_off_catalog=lambda why: f"💤 Не продаётся по каталогу: {why}",
    admin_acts="Что делали администраторы",
    admin_no_acts="Администраторы ещё ничего не делали.",
    act={
        ActKind.APPROVE: "зачисление",
        ActKind.CORRECT: "правка суммы",
        ActKind.REJECT: "отказ",
        ActKind.GRANT: "начисление",
        ActKind.DEBIT: "списание",
        ActKind.REFUND: "возврат",
        ActKind.BLOCK: "доступ закрыт",
        ActKind.UNBLOCK: "доступ открыт",
        ActKind.SWITCH_OFF: "снято с продажи",
        ActKind.SWITCH_ON: "возвращено в продажу",
    },
    # The terminal's own words
    terminal_demo=lambda balance: (
        f"kiebot · демо: нейросети заменены заглушкой, деньги игрушечные · баланс {balance}"
    ),
    terminal_live=lambda balance: f"kiebot · баланс {balance}",
    terminal_intro="Отвечайте номером, словами или командой (/help). Выход: Ctrl-D.",
    terminal_saved=lambda path: f"✓ Сохранено: {path}",
    terminal_not_saved=lambda folder, address: (
        f"Не удалось записать в папку {folder}. Файл здесь: {address}"
    ),
    terminal_not_loaded=lambda address: (
        f"Файл не скачался: {address}. Показать его ещё раз можно из истории."
    ),
    terminal_no_option=lambda typed, numbers: f"Варианта {typed} нет: выберите {numbers}.",
    terminal_no_options=lambda typed: f"Варианта {typed} нет: здесь не из чего выбирать.",
    terminal_no_file=lambda path: f"Файла нет: {path}",
    terminal_file_folder=lambda path: f"Это папка, а нужен файл: {path}",
    terminal_file_empty=lambda path: f"Файл пуст: {path}",
    terminal_file_unreadable=lambda path: f"Файл не читается: {path}",
    terminal_not_text="Эта строка не читается: нужен текст в UTF-8. Введите её ещё раз.",
    terminal_too_long="Эта строка слишком длинная. Введите её короче.",
    terminal_failed="Не получилось: база данных не отвечает. Повторите ответ чуть позже.",
    terminal_left="Вопрос оставлен. Работы, если они были, продолжаются.",
    terminal_how_to_leave="Выход: Ctrl-D. Работы не пропадут.",
    terminal_goodbye="До встречи!",
    terminal_leave_running=lambda count: (
        f"Ещё готовится: {_n(count, 'работа', 'работы', 'работ')}."
        " Продолжится при следующем запуске."
    ),
    terminal_answer="Номер варианта или ответ словами",
    terminal_choose="Номер варианта",
    terminal_bare_number="Ваш ответ (варианты: /1, /2…)",
    terminal_file="Путь к файлу или адрес",
    terminal_progress=lambda title, time: (
        f"{title} · {time} · можно продолжать, результат появится здесь"
    ),
    telegram_not_understood=(
        "Такое я пока не понимаю. Подойдут слова, кнопки, фото, видео, звук и файлы."
    ),
    telegram_result_file="результат",
    telegram_links="Telegram не принял файл. Он здесь:",
    telegram_not_loaded=lambda count: f"Не удалось показать файлов: {count}.",
    telegram_only_one="Здесь нужен один файл: взят первый.",
)
