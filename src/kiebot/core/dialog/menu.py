"""
The menu: start, categories, models, help, language; and what is said to whatever was not asked for.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from decimal import ROUND_CEILING, Decimal
from typing import TypeVar

from attrs import evolve, frozen

from kiebot.core import pricing
from kiebot.core.catalog import Catalog, Category, Model, Unit
from kiebot.core.dialog.screen import Action, Button, Screen
from kiebot.core.dialog.texts import MINUTE_S, Texts, shortened
from kiebot.core.expect import Expect
from kiebot.core.jobs import Job
from kiebot.core.language import Language
from kiebot.core.money import Money
from kiebot.core.params import FileParam, FilesParam, TextParam
from kiebot.core.pricing import Count
from kiebot.core.topups import TopUp, TopUpStatus
from kiebot.core.wallet import Wallet

PAGE = 8
"""Models on one page."""

NAMES = 6
"""Models that are named although they are not on sale."""

SHORT = 20
"""Characters of a label beside which another button fits, on the screen of a phone."""

TITLE_CHARS = 40
"""Characters of a title in a label."""

Row = tuple[Button, ...]
_Item = TypeVar("_Item")


@frozen(kw_only=True)
class Visit:
    """What the start screen says of a person."""

    name: str
    wallet: Wallet
    open_jobs: int = 0
    draft: tuple[Job, Model] | None = None
    topup: TopUp | None = None
    is_admin: bool = False


def start(t: Texts, visit: Visit) -> Screen:
    """The first screen, and the one to which everything leads back."""
    hello = t.greeting(shortened(visit.name, 64)) if visit.name.strip() else t.greeting_nameless
    lines = [hello, t.promise, "", t.balance_line(t.money(visit.wallet.available))]
    if visit.topup is not None:
        is_awaited = visit.topup.status is TopUpStatus.PENDING
        say = t.receipt_awaited if is_awaited else t.receipt_checked
        lines.append(say(t.money(visit.topup.amount)))
    return Screen(text="\n".join(lines), buttons=main_rows(t, visit))


def main_rows(t: Texts, visit: Visit) -> tuple[Row, ...]:
    """The buttons of the start screen."""
    rows: list[Row] = [(Button(t.button_create, Action.of("marketing", "main")),)]
    if visit.draft is not None:
        rows.append((draft_button(t, *visit.draft),))
    if visit.open_jobs:
        label = t.button_jobs(visit.open_jobs)
        rows.append((Button(label, Action.of("history", "open")),))
    other = Language.EN if t.language is Language.RU else Language.RU
    rows += [
        (
            Button(t.button_balance, Action.of("balance", "main")),
            Button(t.button_history, Action.of("history", "jobs")),
        ),
        (
            Button(t.button_help, Action.of("help", "main")),
            Button(t.button_language, Action.of("lang", other)),
        ),
    ]
    if visit.is_admin:
        rows.append((Button(t.button_admin, Action.of("admin", "main")),))
    return tuple(rows)


def draft_button(t: Texts, draft: Job, model: Model) -> Button:
    """Back to what is not finished."""
    title = shortened(model.title, TITLE_CHARS)
    return Button(t.button_draft(title), Action.of("gen", "open", draft.id))


def categories(t: Texts, catalog: Catalog, multiplier: Decimal) -> Screen:
    """What can be created, and from which price."""
    rows = []
    for category in catalog.categories:
        cheapest = _cheapest(catalog, category, multiplier)
        price = t.soon if cheapest is None else t.from_price(t.money(cheapest))
        label = f"{category.emoji} {t.of(category.title)} · {price}"
        rows.append((Button(label, Action.of("mcat", category.slug)),))
    return Screen(text=t.categories, buttons=(*rows, menu_row(t)))


def models(
    t: Texts, catalog: Catalog, category: Category, multiplier: Decimal, page: int = 1
) -> Screen:
    """The models of a category: those on sale with their price, the others by name alone."""
    offers = catalog.in_category(category.slug)
    sold = [model for model in offers if model.on_sale]
    unsold = [model.title for model in offers if not model.on_sale]
    shown, turns = paged(sold, page, PAGE, ("mcat", category.slug))
    parts = [f"{category.emoji} {t.of(category.title)}\n{t.of(category.description)}"]
    if shown:
        parts.append("\n".join(f"{m.title} — {t.of(m.purpose)}" for m in shown))
    else:
        parts.append(t.nothing_sold_here)
    if unsold:
        parts.append(t.not_sold_yet(_named(t, unsold)))
    rows = [
        (Button(f"{m.title} · {price_tag(t, m, multiplier)}", Action.of("mmodel", m.key)),)
        for m in shown
    ]
    back = Button(t.button_back, Action.of("marketing", "main"), minor=True)
    return Screen(text="\n\n".join(parts), buttons=(*rows, *turns, (back, *menu_row(t))))


def price_tag(t: Texts, model: Model, multiplier: Decimal) -> str:
    """The price of a model: as it is, or the lowest where answers change it, and what it is for."""
    price = t.money(pricing.lowest(model, multiplier).price)
    if pricing.is_flat(model):
        return price
    unit = pricing.cheapest(model).per
    per = "" if unit is None else unit_words(t, model, unit)
    return t.price_per(t.from_price(price), per) if per else t.from_price(price)


def unit_words(t: Texts, model: Model, unit: Unit) -> str:
    """What one unit is; empty where the catalog does not say what a number counts."""
    param = next((param for param in model.params if param.name == unit.param), None)
    match param:
        case FileParam() | FilesParam() if unit.in_seconds:
            minutes, rest = divmod(unit.size, MINUTE_S)
            return t.unit_seconds(unit.size) if rest else t.unit_minutes(minutes)
        case TextParam():
            return t.unit_chars(unit.size)
        case FilesParam():
            return t.unit_files(unit.size)
        case _:
            return ""


def counted_words(t: Texts, model: Model, counted: Count) -> str:
    """What was counted or measured for a price; empty where the answer itself says it."""
    param = next((param for param in model.params if param.name == counted.unit.param), None)
    unit = unit_words(t, model, counted.unit)
    if param is None or not unit:
        return ""
    # A length is told in whole seconds, upwards: 90.2 seconds are more than 90.
    amount = int(counted.amount.to_integral_value(ROUND_CEILING))
    match param:
        case FileParam() | FilesParam() if counted.unit.in_seconds:
            words = t.lasts(amount)
        case TextParam():
            words = t.chars(amount)
        case _:
            words = t.files(amount)
    return t.counted(t.colon(t.of(param.label), words), unit)


def headline(t: Texts, model: Model, multiplier: Decimal, usual: timedelta | None) -> str:
    """What a model is good for, what it costs and how long it takes."""
    purpose = f" — {t.of(model.purpose)}" if t.of(model.purpose) else ""
    time = "" if usual is None else f" {t.usually(t.notation.lasting(usual))}"
    price = price_tag(t, model, multiplier)
    return f"{model.title}{purpose} · {price}\n{_sentence(t.of(model.description))}{time}"


def help_(t: Texts) -> Screen:
    """How it works, and every command."""
    back = Button(t.button_create, Action.of("marketing", "main"))
    return Screen(text=t.help(t.commands), buttons=((back,), menu_row(t)))


def languages(t: Texts) -> Screen:
    """Which language to speak."""
    choices = (
        Button("Русский", Action.of("lang", Language.RU)),
        Button("English", Action.of("lang", Language.EN)),
    )
    return Screen(text=t.choose_language, buttons=(choices, menu_row(t)))


def blocked(t: Texts, contact: str) -> Screen:
    """All that somebody reads for whom nothing is done; no button would do anything either."""
    return Screen(text=t.blocked(contact))


def paysupport(t: Texts, number: int, contact: str) -> Screen:
    """What to do when money went astray; `contact` answers, empty where nobody is named."""
    row = (
        Button(t.button_balance, Action.of("balance", "main")),
        Button(t.button_history, Action.of("history", "jobs")),
    )
    copyable = (contact,) if contact else ()
    return Screen(
        text=t.paysupport(str(number), contact), buttons=(row, menu_row(t)), copyable=copyable
    )


def not_on_sale(t: Texts, model: Model, why: str = "") -> Screen:
    """A model that cannot be bought now; `why` is for administrators."""
    text = t.not_on_sale(model.title)
    return Screen(
        text=f"{text}\n\n{t.admin_only(shortened(why))}" if why else text,
        buttons=(
            (Button(t.button_other_model, Action.of("mcat", model.category)),),
            menu_row(t),
        ),
    )


def no_such_model(t: Texts, catalog: Catalog, multiplier: Decimal) -> Screen:
    """A model that is gone: what there is in its place."""
    return noted(t.no_such_model, categories(t, catalog, multiplier))


def unknown_command(t: Texts, expects: Expect | None) -> Screen:
    """A command that there is not; what was asked stays asked."""
    return Screen(
        text=t.no_such_command,
        buttons=((Button(t.button_help, Action.of("help", "main"), minor=True), *menu_row(t)),),
        expects=expects,
    )


def nothing_asked(t: Texts, visit: Visit, *, is_file: bool) -> Screen:
    """Words or a file that nobody asked for."""
    text = t.nothing_asked_file if is_file else t.nothing_asked
    return Screen(text=text, buttons=main_rows(t, visit))


def broken_button(t: Texts, visit: Visit) -> Screen:
    """Callback data that means nothing."""
    return Screen(text=t.no_such_button, buttons=main_rows(t, visit))


def not_found(t: Texts) -> Screen:
    """What is not there, or is somebody else's."""
    return message(t, t.not_found)


def message(t: Texts, text: str, *rows: Row) -> Screen:
    """A sentence and the way on."""
    return Screen(text=text, buttons=(*rows, menu_row(t)))


def noted(note: str | None, screen: Screen) -> Screen:
    """A screen with a sentence before it."""
    return screen if not note else evolve(screen, text=f"{note}\n\n{screen.text}")


def menu_row(t: Texts) -> Row:
    """The way back that every screen has."""
    return (Button(t.button_menu, Action.of("menu", "main"), minor=True),)


def category_button(t: Texts, catalog: Catalog, slug: str) -> Button:
    """Back to the models of a category."""
    return Button(f"‹ {t.of(catalog.category(slug).title)}", Action.of("mcat", slug), minor=True)


def in_rows(buttons: Iterable[Button], most: int = 2) -> tuple[Row, ...]:
    """Short labels beside each other, long ones each on its own."""
    rows: list[Row] = []
    row: Row = ()
    for button in buttons:
        if len(button.label) > SHORT:
            rows += [r for r in (row, (button,)) if r]
            row = ()
            continue
        row = (*row, button)
        if len(row) == most:
            rows.append(row)
            row = ()
    return tuple(rows) if not row else (*rows, row)


def paged(
    items: Sequence[_Item], page: int, size: int, action: tuple[str, ...]
) -> tuple[Sequence[_Item], tuple[Row, ...]]:
    """The items of a page (the nearest there is), and the buttons that turn it."""
    last = max((len(items) + size - 1) // size, 1)
    page = min(max(page, 1), last)
    turns: list[Button] = []
    if page > 1:
        turns.append(Button(f"‹ {page - 1}", Action.of(*action, page - 1), minor=True))
    if page < last:
        turns.append(Button(f"{page + 1} / {last} ›", Action.of(*action, page + 1), minor=True))
    return items[(page - 1) * size : page * size], (tuple(turns),) if turns else ()


def _cheapest(catalog: Catalog, category: Category, multiplier: Decimal) -> Money | None:
    prices = [
        pricing.lowest(model, multiplier).price
        for model in catalog.in_category(category.slug)
        if model.on_sale
    ]
    return min(prices, default=None)


def _named(t: Texts, names: Sequence[str]) -> str:
    named = ", ".join(names[:NAMES])
    rest = len(names) - NAMES
    return f"{named} {t.and_more(rest)}" if rest > 0 else named


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."
