"""
Generation: the questions of a model, the confirmation, what stands in its way, and "in work".
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from decimal import Decimal

from attrs import evolve

from kiebot.core import drafts, params, pricing
from kiebot.core.catalog import Catalog, Model
from kiebot.core.dialog import menu
from kiebot.core.dialog.menu import Row
from kiebot.core.dialog.screen import CALLBACK_BYTES, Action, Button, Screen
from kiebot.core.dialog.texts import Texts, shortened
from kiebot.core.errors import AnswerProblem, InvalidAnswerError, PriceMissingError
from kiebot.core.jobs import Job
from kiebot.core.media import EXTENSIONS, MediaKind
from kiebot.core.money import ZERO, Money
from kiebot.core.params import (
    ChoiceParam,
    FileParam,
    FilesParam,
    JsonValue,
    NumberParam,
    Option,
    Param,
    SwitchParam,
    TextParam,
    is_answered,
    is_one_of,
    is_same,
)
from kiebot.core.pricing import Quote
from kiebot.core.terms import Terms

QUICK_TOPUPS = (Money(100_00), Money(500_00), Money(1000_00), Money(5000_00))
"""Amounts that have a button. Source: `topup:<roubles>` of the Telegram vocabulary."""

OPTIONS = 10
"""Options on one page, and a few more where that makes a second page needless."""

SETTINGS = 4
"""Settings that stand on the confirmation itself."""

AT_ONCE = timedelta(seconds=1)
"""A job that is younger than this has only just begun."""

FOLLOW_UPS = 2
"""Buttons under a result that go on with it."""

SHORTEST = 3
"""A lower bound up to this is not worth a word: nobody writes less."""

VALUE_CHARS = 24
"""Characters of an answer on a button."""

LABEL_CHARS = 48
"""Characters of an option on its button."""


def question(
    t: Texts,
    catalog: Catalog,
    model: Model,
    job: Job,
    param: Param,
    multiplier: Decimal,
    *,
    intro: str = "",
    note: str = "",
    page: int = 1,
) -> Screen:
    """
    One question of a draft.

    `intro` stands for the title where the model is met first; `note` says what was wrong with the
    last answer.
    """
    rows: tuple[Row, ...]
    match param:
        case ChoiceParam() | SwitchParam():
            rows = _option_rows(t, model, job, param, multiplier, page)
        case FilesParam():
            rows = _files_rows(t, job, param)
        case TextParam() | NumberParam() | FileParam():
            rows = ()
    skip = _skip_button(t, job, param)
    if skip is not None:
        rows = (*rows, (skip,))
    heading = intro or f"{model.title} · {t.of(param.label)}"
    ask = _asked(t, job, param, labelled=bool(intro))
    text = "\n\n".join(part for part in (note, heading, ask) if part)
    return Screen(
        text=text,
        buttons=(*rows, _way_back(t, catalog, model, job, first=bool(intro))),
        expects=drafts.expecting(job, param),
    )


def confirmation(t: Texts, model: Model, job: Job, price: Money, available: Money) -> Screen:
    """What will be made and for how much: nothing is paid before the button is pressed."""
    counted = pricing.count(model, job.params, job.measures)
    words = "" if counted is None else menu.counted_words(t, model, counted)
    pay = f"{t.to_pay(t.money(price))} {_balance(t, price, available)}"
    text = f"{_about(t, model, job)}\n\n" + "\n".join(line for line in (words, pay) if line)
    rows: list[Row] = [(Button(t.button_pay(t.money(price)), Action.of("gen", "confirm", job.id)),)]
    if available < price:
        rows.append((Button(t.button_topup, Action.of("topup", "main")),))
    rows += _setting_rows(t, model, job)
    return Screen(text=text, buttons=(*rows, _last_row(t, model, job)))


def no_price(t: Texts, model: Model, job: Job, why: PriceMissingError) -> Screen:
    """No price fits these answers: which ones can be bought, or what cannot be counted."""
    lines = [_about(t, model, job), t.no_price]
    labels = {param.name: param for param in model.params}
    known = [(labels[name], values) for name, values in why.sold if name in labels]
    if why.uncounted in labels:
        param = labels[why.uncounted]
        label = t.quoted(t.of(param.label))
        is_file = isinstance(param, FileParam | FilesParam)
        lines[1] = t.no_length(label) if is_file else t.no_amount(label)
        known = [(param, ())]
    elif known:
        words = "; ".join(t.colon(t.of(p.label), _sold_values(t, p, v)) for p, v in known)
        lines.append(t.no_price_sold(shortened(words, 1500)))
    buttons = [_setting_button(t, job, param) for param, _ in known]
    rows = menu.in_rows(buttons) or _setting_rows(t, model, job)
    return Screen(text="\n\n".join(lines), buttons=(*rows, _last_row(t, model, job)))


def settings(t: Texts, model: Model, job: Job) -> Screen:
    """Everything that can be tuned."""
    buttons = [_setting_button(t, job, param) for param in params.settings(model, job.params)]
    back = Button(t.button_back, Action.of("gen", "open", job.id), minor=True)
    return Screen(text=t.settings(model.title), buttons=(*menu.in_rows(buttons), (back,)))


def not_enough(
    t: Texts, needed: Money, available: Money, draft: Job | None, terms: Terms
) -> Screen:
    """The exact lack, and one press to cure it; the draft waits."""
    lack = needed - available if needed > available else ZERO
    text = t.not_enough(t.money(lack), t.money(needed), t.money(available))
    if draft is not None:
        text = f"{text}\n{t.draft_is_safe}"
    rows: list[Row] = []
    if terms.payment is not None:
        enough = [a for a in QUICK_TOPUPS if a >= lack and terms.topup_min <= a <= terms.topup_max]
        rows += [(topup_button(t, amount),) for amount in enough[:1]]
    else:
        text = f"{text}\n\n{t.topup_closed}"
    label = t.button_other_amount if rows else t.button_topup
    if terms.payment is None:
        label = t.button_topup_closed
    other = Button(label, Action.of("topup", "main"))
    back = menu.menu_row(t)
    if draft is not None:
        back = (Button(t.button_back, Action.of("gen", "open", draft.id), minor=True),)
    return Screen(text=text, buttons=(*rows, (other, *back)))


def topup_button(t: Texts, amount: Money) -> Button:
    """One of the quick amounts."""
    roubles = amount.kopecks // 100
    return Button(t.button_topup_by(t.money(amount)), Action.of("topup", roubles))


def too_many_jobs(t: Texts, limit: int, draft: Job | None) -> Screen:
    """Nothing more is taken until something is done."""
    rows: list[Row] = [(Button(t.open_jobs, Action.of("history", "open")),)]
    if draft is not None:
        rows.append((Button(t.button_back, Action.of("gen", "open", draft.id), minor=True),))
    return menu.message(t, t.too_many_jobs(limit), *rows)


def draft_cancelled(t: Texts, catalog: Catalog, job: Job, model: Model | None) -> Screen:
    """A draft that nobody will pay for any more; it can be begun anew."""
    if model is None or not model.on_sale:
        create = Button(t.button_create, Action.of("marketing", "main"))
        return menu.message(t, t.draft_cancelled, (create,))
    again = Button(t.button_again_unpriced, Action.of("gen", "again", job.id))
    back = menu.category_button(t, catalog, model.category)
    return menu.message(t, f"{model.title}\n\n{t.draft_cancelled}", (again,), (back,))


def in_work(
    t: Texts,
    title: str,
    output: MediaKind,
    job: Job,
    elapsed: timedelta,
    usual: timedelta | None,
) -> Screen:
    """It is being made; nothing more is needed of the person."""
    lines = [f"{t.in_work(title, output)} {running(t, elapsed, usual)}".rstrip()]
    if job.price is not None:
        lines.append(t.in_work_held(t.money(job.price)))
    lines.append(t.in_work_leave)
    refresh = Button(t.button_refresh, Action.of("history", "job", job.id))
    more = Button(t.button_create_more, Action.of("marketing", "main"))
    return evolve(menu.message(t, "\n".join(lines), (refresh, more)), in_work=job.id)


def running(t: Texts, elapsed: timedelta, usual: timedelta | None) -> str:
    """How long it takes, and how long it usually does."""
    time = t.notation.lasting(elapsed)
    if elapsed < AT_ONCE:
        return "" if usual is None else t.usually(t.notation.lasting(usual))
    if usual is None:
        return t.in_work_elapsed(time)
    if is_longer(elapsed, usual):
        return t.in_work_longer(time)
    return t.in_work_usual(time, t.notation.lasting(usual))


def is_longer(elapsed: timedelta, usual: timedelta) -> bool:
    """Whether it takes longer than usual, in the whole seconds that people read."""
    return round(elapsed.total_seconds()) > round(usual.total_seconds())


def problem(t: Texts, model: Model, error: InvalidAnswerError) -> str:
    """What was wrong with an answer, in a sentence."""
    labels = {param.name: t.quoted(t.of(param.label)) for param in model.params}
    names = ", ".join(labels[name] for name in dict.fromkeys(error.names) if name in labels)
    limit = "" if error.limit is None else t.notation.number(error.limit)
    if error.problem is AnswerProblem.LASTS_TOO_LONG and error.limit is not None:
        limit = t.file_seconds(int(error.limit))
    return t.problem(error.problem, limit, names)


def follow_ups(
    t: Texts, catalog: Catalog, multiplier: Decimal, job_id: str, made_by: Model
) -> tuple[Button, ...]:
    """
    What can be made of a result: of each thing to do with such a file the cheapest model that does
    it, unless the result comes of that very thing.
    """
    found: dict[str, Button] = {}
    emoji = {category.slug: category.emoji for category in catalog.categories}
    for model in sorted(catalog.on_sale, key=lambda m: pricing.lowest(m, multiplier).price):
        deed = t.of(model.follow_up)
        if not deed or model.follow_up == made_by.follow_up or deed in found:
            continue
        parts = ("gen", "use", job_id, model.key)
        is_carried = len(":".join(parts).encode()) <= CALLBACK_BYTES
        if is_carried and input_for(model, made_by.output) is not None:
            label = f"{emoji[model.category]} {deed} · {menu.price_tag(t, model, multiplier)}"
            found[deed] = Button(label, Action(parts))
    return tuple(found.values())[:FOLLOW_UPS]


def input_for(model: Model, media: MediaKind) -> Param | None:
    """The one file that a model must be given, if it is of this kind."""
    needed = [p for p in model.params if isinstance(p, FileParam | FilesParam) and p.required]
    match needed:
        case [FileParam() | FilesParam() as param] if param.media is media:
            return param
        case _:
            return None


def _asked(t: Texts, job: Job, param: Param, *, labelled: bool) -> str:
    """What is asked, in which bounds, and what stands there now."""
    hint = t.of(param.hint)
    if hint and param.is_primary and isinstance(param, TextParam):
        # It says itself what to write.
        lines = [t.asked_within(hint.rstrip("."), _text_bounds(t, param))]
    else:
        about = hint
        if labelled:
            label = t.of(param.label)
            about = t.colon(label, _continued(hint)) if hint else f"{label}."
        lines = [about, *_bounds(t, job, param)]
    value = job.params.get(param.name)
    if not isinstance(param, FilesParam | ChoiceParam | SwitchParam) and is_answered(value):
        lines.append(t.now_is(_quoted(t, param, value)))
    if isinstance(param, TextParam | NumberParam | ChoiceParam | SwitchParam):
        preset = _value(t, param, param.default)
        if len(preset) > VALUE_CHARS:
            # A shorter one stands on the button that takes it.
            lines.append(t.default_is(shortened(preset)))
        elif not preset and is_answered(param.example):
            lines.append(t.for_example(_quoted(t, param, param.example)))
    if not param.required and not is_answered(param.default):
        lines.append(t.optional)
    return "\n".join(line for line in lines if line)


def _continued(sentence: str) -> str:
    """A sentence after a colon: with a small letter, but for a name or an abbreviation."""
    return sentence if sentence[1:2].isupper() else f"{sentence[:1].lower()}{sentence[1:]}"


def _bounds(t: Texts, job: Job, param: Param) -> Iterator[str]:
    match param:
        case TextParam():
            yield t.text_wanted(_text_bounds(t, param))
        case NumberParam():
            bounds = ", ".join(_number_bounds(t, param))
            yield t.number_wanted(bounds) if bounds else t.number_wanted_free
        case ChoiceParam():
            yield t.choice_wanted
        case SwitchParam():
            yield t.switch_wanted
        case FileParam(media=media):
            yield t.file_wanted[media]
            yield _file_bounds(t, param)
        case FilesParam(media=media, min_items=least, max_items=most):
            yield t.files_wanted(media, least, most)
            yield _file_bounds(t, param)
            count = file_count(job.params.get(param.name))
            if count:
                yield t.files_so_far(count, most)


def _text_bounds(t: Texts, param: TextParam) -> str:
    if param.min_length <= SHORTEST:
        return t.chars_up_to(param.max_length)
    return t.chars_between(param.min_length, param.max_length)


def _number_bounds(t: Texts, param: NumberParam) -> Iterator[str]:
    low, high = (
        None if bound is None else t.notation.number(_plain(bound))
        for bound in (param.lowest, param.highest)
    )
    if low is not None and high is not None:
        yield t.number_between(low, high)
    elif low is not None:
        yield t.number_from(low)
    elif high is not None:
        yield t.number_up_to(high)
    if param.whole:
        yield t.number_whole
    if param.step is not None and not (param.whole and param.step == 1):
        yield t.number_step(t.notation.number(_plain(param.step)))


def _file_bounds(t: Texts, param: FileParam | FilesParam) -> str:
    formats = dict.fromkeys(EXTENSIONS[mime].upper() for mime in param.accept if mime in EXTENSIONS)
    bounds = [t.file_formats(", ".join(formats))] if formats else []
    if param.max_mb is not None:
        bounds.append(t.file_size(param.max_mb))
    if param.max_seconds is not None:
        bounds.append(t.file_seconds(param.max_seconds))
    words = ", ".join(bounds)
    return f"{words[:1].upper()}{words[1:]}. {t.file_address}" if words else t.file_address


def file_count(value: JsonValue) -> int:
    """How many files an answer has."""
    if isinstance(value, str):
        return 1 if value else 0
    return len(value) if isinstance(value, Sequence) else 0


def _option_rows(
    t: Texts,
    model: Model,
    job: Job,
    param: Param,
    multiplier: Decimal,
    page: int,
) -> tuple[Row, ...]:
    possible = params.options(model, job.params, param.name, t.language)
    # What nobody can buy is not offered; who types it is told what can be bought.
    values = [option.value for option in possible]
    sold = pricing.sold_values(model, job.params, param.name, values)
    options = tuple(option for option in possible if is_one_of(option.value, sold))
    size = max(len(options), 1) if len(options) <= OPTIONS + 2 else OPTIONS
    shown, turns = menu.paged(options, page, size, ("mopen", job.id, param.name))
    now = drafts.quote_of(model, job.params, multiplier, job.measures)
    buttons = [
        Button(
            _option_label(t, model, job, param, option, now, multiplier),
            Action.of("mparam", job.id, param.name, option.number),
        )
        for option in shown
    ]
    return (*menu.in_rows(buttons), *turns)


def _option_label(
    t: Texts,
    model: Model,
    job: Job,
    param: Param,
    option: Option,
    now: Quote | None,
    multiplier: Decimal,
) -> str:
    label = shortened(option.label, LABEL_CHARS)
    if is_same(job.params.get(param.name), option.value):
        return f"{t.yes_mark} {label}"
    answers = {**job.params, param.name: option.value}
    then = drafts.quote_of(model, answers, multiplier, job.measures)
    match now, then:
        case None, None:
            return label
        case None, Quote(price=price):
            return f"{label} · {t.money(price)}"
        case Quote(), None:
            return f"{label} · {t.soon}"
        case Quote(price=before), Quote(price=after) if after > before:
            return f"{label} · {t.price_more(t.money(after - before))}"
        case Quote(price=before), Quote(price=after) if after < before:
            return f"{label} · {t.price_less(t.money(before - after))}"
        case _:
            return label


def _files_rows(t: Texts, job: Job, param: FilesParam) -> tuple[Row, ...]:
    count = file_count(job.params.get(param.name))
    buttons = []
    if count >= param.min_items and not job.is_offer:
        buttons.append(Button(t.button_files_done, Action.of("mdone", job.id, param.name)))
    if count:
        buttons.append(Button(t.button_files_clear, Action.of("mclear", job.id, param.name)))
    return (tuple(buttons),) if buttons else ()


def _skip_button(t: Texts, job: Job, param: Param) -> Button | None:
    if is_answered(param.default):
        value = _value(t, param, param.default)
        label = t.button_default(value) if len(value) <= VALUE_CHARS else t.button_default_long
    elif param.required:
        return None
    else:
        answered = is_answered(job.params.get(param.name))
        label = t.button_without if answered else t.button_skip
    return Button(label, Action.of("mskip", job.id, param.name), minor=True)


def _way_back(t: Texts, catalog: Catalog, model: Model, job: Job, *, first: bool) -> Row:
    if job.is_offer:
        return (Button(t.button_back, Action.of("gen", "open", job.id), minor=True),)
    back = menu.category_button(t, catalog, model.category)
    if first:
        return (back,)
    return (Button(t.button_cancel, Action.of("gen", "cancel", job.id), minor=True), back)


def _about(t: Texts, model: Model, job: Job) -> str:
    """The model, the person's own words, and what else was answered."""
    lines = [model.title]
    primary = params.primary(model)
    if primary is not None and is_answered(job.params.get(primary.name)):
        value = job.params[primary.name]
        is_text = isinstance(primary, TextParam)
        lines.append(_quoted(t, primary, value) if is_text else f"📎 {_value(t, primary, value)}")
    values = []
    for param in params.settings(model, job.params):
        value = job.params.get(param.name)
        is_switch = isinstance(param, SwitchParam)
        # What goes without saying: a switch that is off as ever, and what few people care for.
        is_usual = is_same(value, param.default)
        if is_usual and (param.is_technical or (is_switch and value is False)):
            continue
        if is_switch and value is True:
            values.append(t.of(param.label))
        elif is_answered(value):
            words = shortened(_value(t, param, value), 60)
            values.append(t.colon(t.of(param.label), words))
    if values:
        lines.append(" · ".join(values))
    return "\n".join(lines)


def _balance(t: Texts, price: Money, available: Money) -> str:
    if available < price:
        return t.lacking_line(t.money(available), t.money(price - available))
    return t.on_balance(t.money(available), t.money(available - price))


def _setting_rows(t: Texts, model: Model, job: Job) -> tuple[Row, ...]:
    every = params.settings(model, job.params)
    shown = [param for param in every if not param.is_technical][:SETTINGS]
    rows = menu.in_rows(_setting_button(t, job, param) for param in shown)
    if len(shown) < len(every):
        rows = (*rows, (Button(t.button_settings, Action.of("gen", "tune", job.id)),))
    return rows


def _setting_button(t: Texts, job: Job, param: Param) -> Button:
    value = shortened(_value(t, param, job.params.get(param.name)), VALUE_CHARS) or t.not_set
    label = t.button_setting(t.of(param.label), value)
    return Button(label, Action.of("mopen", job.id, param.name))


def _last_row(t: Texts, model: Model, job: Job) -> Row:
    cancel = Button(t.button_cancel, Action.of("gen", "cancel", job.id), minor=True)
    primary = params.primary(model)
    if primary is None:
        return (cancel,)
    is_text = isinstance(primary, TextParam)
    label = t.button_other_text if is_text else t.button_other_file
    return (Button(label, Action.of("mopen", job.id, primary.name)), cancel)


def _value(t: Texts, param: Param, value: JsonValue) -> str:
    """An answer in few words: of a list of files only how many."""
    if isinstance(param, FilesParam):
        count = file_count(value)
        return str(count) if count else ""
    words = params.shown(param, value, t.language)
    # After a colon, where it stands.
    return words.lower() if isinstance(param, SwitchParam) else words


def _quoted(t: Texts, param: Param, value: JsonValue) -> str:
    words = shortened(_value(t, param, value))
    return t.quoted(words) if isinstance(param, TextParam) else words


def _sold_values(t: Texts, param: Param, values: Sequence[str]) -> str:
    if isinstance(param, SwitchParam):
        return ", ".join(params.shown(param, value == "true", t.language) for value in values)
    if not isinstance(param, ChoiceParam):
        return ", ".join(values)
    labels = {str(choice.value): t.of(choice.label) for choice in param.choices}
    return ", ".join(labels.get(value, value) for value in values)


def _plain(number: Decimal) -> int | float:
    return int(number) if number == number.to_integral_value() else float(number)
