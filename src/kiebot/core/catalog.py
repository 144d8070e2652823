"""
Catalog: what is on offer, and what it costs at KIE.

A model that is wrong in some way, or has no price, is listed with the reason and cannot be
bought; it never stops the others. Nothing here knows how a catalog is written down.
"""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from itertools import combinations
from typing import Literal, Self

from attrs import evolve, field, frozen

from kiebot.core.errors import CatalogError, NotFoundError, NotOnSaleError
from kiebot.core.language import Localized
from kiebot.core.media import MediaKind
from kiebot.core.money import Money
from kiebot.core.params import (
    NO_HINT,
    AnyOf,
    ChoiceParam,
    FileParam,
    FilesParam,
    Forbids,
    JsonValue,
    Limits,
    NumberParam,
    OneOf,
    Param,
    Requires,
    Rule,
    SwitchParam,
    TextParam,
    is_one_of,
    is_possible,
)

MAX_CALLBACK_BYTES = 64
"""Bytes of a button's callback data. Source: InlineKeyboardButton in Telegram's Bot API."""

LASTING = frozenset({MediaKind.AUDIO, MediaKind.VIDEO})
"""What has a length in seconds."""

JOB_ID_CHARS = 12
"""Characters of a job's id in callback data."""

FAMILIES = frozenset(
    {"jobs", "veo", "suno", "runway", "gpt4o-image", "flux-kontext", "midjourney", "chat"}
)
"""KIE's groups of models, each with its own endpoints."""

SPOKEN = FAMILIES - {"midjourney", "chat"}
"""
The families that kiebot asks. Midjourney's is in no page of KIE's documentation of 2026, and chat
knows no tasks: it answers at once, and bills by the token.
"""

COST_GUARD = Decimal(110)
"""
Roubles per US dollar that a catalog without a guard of its own is checked at. Our choice: well
above every rate of 2025, so that a weaker rouble does not turn a price into a loss overnight.
"""

NO_PRICE = "no confirmed price"
"""Why most models that are off are off."""


@frozen(kw_only=True)
class Category:
    """A shelf of the shop; `slug` is its name in callback data."""

    slug: str
    order: int
    title: Localized
    emoji: str
    description: Localized


@frozen(kw_only=True)
class Unit:
    """
    What a price is for: `size` characters of a text, `size` of a number or of a choice of
    numbers (seconds, pictures), `size` files, or `size` seconds that the files last.

    `default` is what counts where there is no answer: the value that KIE then takes.
    """

    param: str
    size: int = 1
    in_seconds: bool = False
    default: int | None = None

    def __attrs_post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"a unit of {self.size} {self.param}")
        if self.default is not None and self.default < 1:
            raise ValueError(f"{self.default} {self.param} where there is no answer")


@frozen(kw_only=True)
class PriceRow:
    """
    What KIE takes where every param in `when` has one of its values (None: no answer).

    `source` and `date` say where the price is from.
    """

    kie_price: Money
    when: Mapping[str, tuple[JsonValue, ...]] = field(factory=dict)
    per: Unit | None = None
    source: str
    date: str

    def __attrs_post_init__(self) -> None:
        if not self.kie_price:
            raise ValueError("a price of nothing")
        if not all(self.when.values()):
            raise ValueError("a param without values")


@frozen(kw_only=True)
class CreditRow:
    """
    What KIE bills in its credits, under the same conditions as a price row.

    A row that covers several sizes of a bill names the dearest. `variant` is the line of KIE's
    price list in words; `source` and `date` say where that list is from.
    """

    credits: Decimal
    when: Mapping[str, tuple[JsonValue, ...]] = field(factory=dict)
    per: Unit | None = None
    variant: str = ""
    source: str
    date: str

    def __attrs_post_init__(self) -> None:
        if not self.credits.is_finite() or self.credits <= 0:
            raise ValueError(f"{self.credits} credits")
        if not all(self.when.values()):
            raise ValueError("a param without values")


@frozen(kw_only=True)
class Model:
    """
    An offer: one kind of generation.

    `key` names it in callback data. `purpose` says in two or three words what it does,
    `description` in a sentence what it is good for, `follow_up` in a word what it does to a result
    of another model (empty: it is not offered there). `family`, `api_model` and `params_in` say
    how KIE is asked: in the `input` of a task or in the body itself. `deadline_s` is a deadline
    of its own where the general one is too long. `off` is the reason why it is not on sale.
    `credits` is what KIE bills, as far as it is known. `is_outline`: its entry cannot be read, and
    without its questions nothing can be asked for; tasks that it made can be asked about.
    """

    id: str
    key: str
    title: str
    vendor: str
    category: str
    output: MediaKind
    purpose: Localized = NO_HINT
    description: Localized
    follow_up: Localized = NO_HINT
    family: str
    api_model: str | None
    params_in: Literal["input", "body"]
    params: tuple[Param, ...] = ()
    rules: tuple[Rule, ...] = ()
    prices: tuple[PriceRow, ...] = ()
    credits: tuple[CreditRow, ...] = ()
    deadline_s: int | None = None
    off: str | None = None
    is_outline: bool = False

    @property
    def on_sale(self) -> bool:
        """Whether it can be bought."""
        return self.off is None


@frozen(kw_only=True)
class CatalogProblem:
    """What is wrong with an entry: `where` names entry and field, `why` says what."""

    where: str
    why: str

    def __str__(self) -> str:
        return f"{self.where}: {self.why}"


@frozen(kw_only=True)
class Catalog:
    """
    Categories in their order, models in the order of the catalog, and what is wrong with it.

    `cost_guard` is a cautious rate in roubles per US dollar: at it, no job may cost KIE more than
    the person pays. `rub_per_usd` is the rate that the owner priced this catalog at, None where the
    prices are from elsewhere.
    """

    categories: tuple[Category, ...]
    models: tuple[Model, ...]
    problems: tuple[CatalogProblem, ...] = ()
    cost_guard: Decimal = COST_GUARD
    rub_per_usd: Decimal | None = None

    @classmethod
    def of(
        cls,
        categories: Iterable[Category],
        models: Iterable[Model],
        problems: Iterable[CatalogProblem] = (),
        *,
        cost_guard: Decimal = COST_GUARD,
        rub_per_usd: Decimal | None = None,
    ) -> Self:
        """
        A catalog of entries that need not fit together: what does not is taken off sale.

        Of entries with the same id the first stays.

        Raises:
            CatalogError: Nothing would be on sale.
        """
        found = list(problems)
        shelves = tuple(sorted(_distinct_categories(categories, found), key=lambda c: c.order))
        offers = tuple(_checked_models(models, {shelf.slug for shelf in shelves}, found))
        if not any(model.on_sale for model in offers):
            first = f"; {found[0]}" if found else ""
            raise CatalogError(f"nothing in the catalog is on sale{first}")
        return cls(
            categories=shelves,
            models=offers,
            problems=tuple(found),
            cost_guard=cost_guard,
            rub_per_usd=rub_per_usd,
        )

    def model(self, model_id: str) -> Model:
        """The model of this id, on sale or not, or NotFoundError."""
        model = self.find(model_id)
        if model is None:
            raise NotFoundError("model", model_id)
        return model

    def find(self, model_id: str) -> Model | None:
        """The model of this id, on sale or not, or None: it may have left the catalog."""
        return next((model for model in self.models if model.id == model_id), None)

    def by_key(self, key: str) -> Model:
        """The model of this key, on sale or not, or NotFoundError."""
        for model in self.models:
            if model.key == key:
                return model
        raise NotFoundError("model", key)

    def category(self, slug: str) -> Category:
        """The category of this slug, or NotFoundError."""
        for category in self.categories:
            if category.slug == slug:
                return category
        raise NotFoundError("category", slug)

    def in_category(self, slug: str) -> tuple[Model, ...]:
        """The models of a category, those on sale first, or NotFoundError."""
        self.category(slug)
        models = [model for model in self.models if model.category == slug]
        return tuple(sorted(models, key=lambda model: not model.on_sale))

    def sold(self, model_id: str) -> Model:
        """A model that can be bought; NotFoundError, or NotOnSaleError with the reason."""
        model = self.model(model_id)
        if model.off is not None:
            raise NotOnSaleError(model.id, model.off)
        return model

    def without(self, off: Mapping[str, str]) -> Self:
        """The same with these models (by id) off sale, each for its reason."""
        if not off:
            return self
        models = (
            evolve(model, off=off[model.id]) if model.on_sale and model.id in off else model
            for model in self.models
        )
        return evolve(self, models=tuple(models))

    @property
    def on_sale(self) -> tuple[Model, ...]:
        """The models that can be bought."""
        return tuple(model for model in self.models if model.on_sale)


@frozen(kw_only=True)
class CatalogDiff:
    """
    The ids of the models that differ between two catalogs. Repriced is what both of them sell.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    repriced: tuple[str, ...]
    switched_on: tuple[str, ...]
    switched_off: tuple[str, ...]

    def __bool__(self) -> bool:
        return any((self.added, self.removed, self.repriced, self.switched_on, self.switched_off))


def diff(old: Catalog, new: Catalog) -> CatalogDiff:
    """What changed from one catalog to another for those who buy; sources and dates do not."""
    before = {model.id: model for model in old.models}
    after = {model.id: model for model in new.models}
    both = [(before[id_], model) for id_, model in after.items() if id_ in before]
    return CatalogDiff(
        added=tuple(id_ for id_ in after if id_ not in before),
        removed=tuple(id_ for id_ in before if id_ not in after),
        repriced=tuple(n.id for o, n in both if o.on_sale and n.on_sale and _terms(o) != _terms(n)),
        switched_on=tuple(n.id for o, n in both if n.on_sale and not o.on_sale),
        switched_off=tuple(n.id for o, n in both if o.on_sale and not n.on_sale),
    )


def faults(model: Model) -> tuple[CatalogProblem, ...]:
    """What is wrong inside a model: all that its parts cannot know by themselves."""
    problems = (
        *_button_faults(model),
        *_param_faults(model),
        *(
            fault
            for number, rule in enumerate(model.rules)
            for fault in _rule_faults(model, number, rule)
        ),
        *_price_faults(model),
    )
    return tuple(CatalogProblem(where=f"{model.id}: {where}", why=why) for where, why in problems)


_Fault = tuple[str, str]


def _distinct_categories(
    categories: Iterable[Category], problems: list[CatalogProblem]
) -> Iterator[Category]:
    seen: set[str] = set()
    for category in categories:
        where = f"category {category.slug}"
        if category.slug in seen:
            problems.append(CatalogProblem(where=where, why="the slug stands twice"))
        elif not _fits_button(f"mcat:{category.slug}:99") or ":" in category.slug:
            problems.append(CatalogProblem(where=where, why="the slug does not fit a button"))
        else:
            seen.add(category.slug)
            yield category


def _checked_models(
    models: Iterable[Model], slugs: set[str], problems: list[CatalogProblem]
) -> Iterator[Model]:
    ids: set[str] = set()
    keys: set[str] = set()
    for model in models:
        if model.id in ids:
            problems.append(CatalogProblem(where=f"{model.id}: id", why="stands twice"))
            continue
        wrong = list(faults(model))
        if model.key in keys:
            where = f"{model.id}: key"
            wrong.append(CatalogProblem(where=where, why=f"{model.key!r} is another model's"))
        if model.category not in slugs:
            where = f"{model.id}: category"
            wrong.append(CatalogProblem(where=where, why=f"there is no {model.category!r}"))
        ids.add(model.id)
        keys.add(model.key)
        problems.extend(wrong)
        yield _switched_off(model, wrong)


def _switched_off(model: Model, wrong: list[CatalogProblem]) -> Model:
    reasons = [model.off] if model.off else []
    if not model.prices and model.off is None:
        reasons.append(NO_PRICE)
    unspoken = f"kiebot does not speak KIE's {model.family} interface"
    # An owner's catalog may repeat the reason, having been written from this one.
    if model.family in FAMILIES - SPOKEN and unspoken not in (model.off or ""):
        reasons.append(unspoken)
    reasons += [str(problem).removeprefix(f"{model.id}: ") for problem in wrong]
    return evolve(model, off="; ".join(reasons) or None)


def _button_faults(model: Model) -> Iterator[_Fault]:
    if not model.key or ":" in model.key or not _fits_button(f"mmodel:{model.key}"):
        yield "key", f"{model.key!r} does not fit a button of {MAX_CALLBACK_BYTES} bytes"
    if model.family not in FAMILIES:
        yield "family", f"{model.family!r} is none that kiebot speaks"
    if model.deadline_s is not None and model.deadline_s <= 0:
        yield "deadline_s", f"{model.deadline_s} is not above 0"


def _param_faults(model: Model) -> Iterator[_Fault]:
    seen: set[str] = set()
    for param in model.params:
        if param.name in seen:
            yield f"param {param.name}", "stands twice"
        seen.add(param.name)
        numbers = len(param.choices) if isinstance(param, ChoiceParam) else 2
        if not _fits_button(f"mparam:{'x' * JOB_ID_CHARS}:{param.name}:{numbers}"):
            yield f"param {param.name}", f"does not fit a button of {MAX_CALLBACK_BYTES} bytes"
    if sum(param.is_primary for param in model.params) > 1:
        yield "params", "more than one is primary"


def _rule_faults(model: Model, number: int, rule: Rule) -> Iterator[_Fault]:
    where = f"rules[{number}]"
    known = {param.name: param for param in model.params}
    named: list[str] = []
    values: list[tuple[str, tuple[JsonValue, ...]]] = []
    match rule:
        case AnyOf(names=names) | OneOf(names=names):
            named += names
            if len(names) < 2:
                yield where, "a choice among fewer than two"
        case Requires(when=when, names=names):
            named += (*when.names, *names)
            values += when.equals.items()
        case Limits(when=when, max_length=max_length, highest=highest):
            named += (*when.names, *max_length, *highest)
            values += when.equals.items()
            yield from _limit_faults(where, known, rule)
        case Forbids(when=when, values=forbidden):
            named += (*when.names, *forbidden)
            values += (*when.equals.items(), *forbidden.items())
            for name, gone in forbidden.items():
                param = known.get(name)
                if isinstance(param, ChoiceParam) and all(
                    is_one_of(choice.value, gone) for choice in param.choices
                ):
                    yield where, f"leaves {name} no choice"
    for name in named:
        if name not in known:
            yield where, f"there is no param {name}"
    for name, wanted in values:
        for value in wanted if name in known else ():
            if not is_possible(known[name], value):
                yield where, f"{name} cannot be {value!r}"


def _limit_faults(where: str, known: Mapping[str, Param], rule: Limits) -> Iterator[_Fault]:
    for name, length in rule.max_length.items():
        param = known.get(name)
        if param is not None and not isinstance(param, TextParam):
            yield where, f"{name} is no text"
        if isinstance(param, TextParam) and not max(param.min_length, 1) <= length:
            yield where, f"{name} cannot be cut to {length} characters"
    for name, bound in rule.highest.items():
        param = known.get(name)
        match param:
            case NumberParam(lowest=low):
                if low is not None and bound < low:
                    yield where, f"{name} cannot be at most {bound}"
            case ChoiceParam(choices=choices):
                numbers = [_number(choice.value) for choice in choices]
                if not any(number is not None and number <= bound for number in numbers):
                    yield where, f"{name} cannot be at most {bound}"
            case None:
                pass
            case _:
                yield where, f"{name} is no number"


def _price_faults(model: Model) -> Iterator[_Fault]:
    tables: tuple[tuple[str, tuple[PriceRow | CreditRow, ...]], ...] = (
        ("prices", model.prices),
        ("credits", model.credits),
    )
    known = {param.name: param for param in model.params}
    for table, rows in tables:
        for number, row in enumerate(rows):
            yield from ((f"{table}[{number}]", why) for why in _row_faults(row, known))
        for (one, row), (other, later) in combinations(enumerate(rows), 2):
            if _overlap(row, later):
                yield f"{table}[{other}]", f"fits answers that {table}[{one}] fits too"


def _row_faults(row: PriceRow | CreditRow, known: Mapping[str, Param]) -> Iterator[str]:
    for name, values in row.when.items():
        if name not in known:
            yield f"there is no param {name}"
            continue
        if isinstance(known[name], FileParam | FilesParam):
            yield f"{name} is neither choice, switch, number nor text"
            continue
        for value in values:
            if value is not None and not is_possible(known[name], value):
                yield f"{name} cannot be {value!r}"
    if row.per is not None:
        yield from _unit_faults(row.per, known)


def _unit_faults(unit: Unit, known: Mapping[str, Param]) -> Iterator[str]:
    param = known.get(unit.param)
    if unit.in_seconds:
        is_heard = isinstance(param, FileParam | FilesParam) and param.media in LASTING
        if not is_heard or unit.default is not None:
            yield f"{unit.param} has no length in seconds"
        return
    match param:
        case None:
            yield f"there is no param {unit.param} to count"
        case ChoiceParam(choices=choices):
            numbers = [_number(choice.value) for choice in choices]
            if not all(number is not None and number > 0 for number in numbers):
                yield f"the choices of {unit.param} are no numbers above 0"
        case SwitchParam() | FileParam():
            yield f"{unit.param} cannot be counted"
        case TextParam() | NumberParam() | FilesParam():
            pass


def _overlap(one: PriceRow | CreditRow, other: PriceRow | CreditRow) -> bool:
    """Whether some answers fit both: no param keeps the two apart."""
    return all(
        any(is_one_of(value, other.when[name]) for value in values)
        for name, values in one.when.items()
        if name in other.when
    )


def _terms(model: Model) -> list[tuple[Money, object, Unit | None]]:
    return [(row.kie_price, dict(row.when), row.per) for row in model.prices]


def _number(value: str | int | float) -> Decimal | None:
    try:
        number = Decimal(str(value))
    except ArithmeticError:
        return None
    return number if number.is_finite() else None


def _fits_button(data: str) -> bool:
    return len(data.encode()) <= MAX_CALLBACK_BYTES
