"""
Costs: what KIE bills for a job, in its credits and in roubles, and whether the price covers it.

A price says what the person pays for; a credit row says what KIE was seen to take. Where the two
part, somebody loses money: `losses` looks for such answers before anybody buys them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import ROUND_CEILING, Decimal
from itertools import product

from attrs import evolve, frozen

from kiebot.core import pricing
from kiebot.core.catalog import NO_PRICE, CreditRow, Model, PriceRow, Unit
from kiebot.core.errors import PriceMissingError
from kiebot.core.money import Money
from kiebot.core.params import (
    LARGEST_NUMBER,
    Answers,
    ChoiceParam,
    FileParam,
    FilesParam,
    Forbids,
    JsonValue,
    NumberParam,
    Param,
    SwitchParam,
    TextParam,
    is_one_of,
    is_possible,
)
from kiebot.core.pricing import NO_MEASURES, Measures

CREDIT_USD = Decimal("0.005")
"""One credit in US dollars. Source: KIE's price page, and every pair of both in its price list."""

LONGEST_S = 24 * 60 * 60
"""Seconds that a file may last where the catalog sets no bound. Our choice: a day."""

POINTS = 20_000
"""
Amounts that are tried of one param. Our choice: more than any bounded param has, and few enough to
try at once; of an unbounded one the first steps and the last are tried.
"""

JUST_OVER = Decimal("0.001")
"""What begins a new unit of seconds, or of a number without steps."""


@frozen(kw_only=True)
class Loss:
    """
    Answers that can be bought and should not be: they cost KIE more than the person pays, or
    nobody knows what they cost (`costs` is None).

    `answers` are those that the price or the cost hangs on, in words.
    """

    model_id: str
    answers: tuple[tuple[str, str], ...]
    pays: Money
    costs: Money | None

    def __str__(self) -> str:
        given = ", ".join(f"{name} {value}" for name, value in self.answers) or "any answers"
        costs = "nobody knows what" if self.costs is None else self.costs
        return f"{self.model_id}: {given}: the person pays {self.pays}, KIE takes {costs}"


def kie_credits(model: Model, answers: Answers, measures: Measures = NO_MEASURES) -> Decimal | None:
    """What KIE is expected to bill for these answers, None where nobody knows."""
    for row in model.credits:
        if pricing.fits(row.when, answers):
            if row.per is None:
                return row.credits
            amount = pricing.measured(model, row.per, answers, measures)
            return None if amount is None else row.credits * pricing.started(row.per, amount)
    return None


def cost(taken: Decimal, rub_per_usd: Decimal) -> Money:
    """Credits in roubles; a started kopeck counts whole."""
    kopecks = taken * CREDIT_USD * rub_per_usd * 100
    return Money(int(kopecks.to_integral_value(ROUND_CEILING)))


def priced(model: Model, rub_per_usd: Decimal, date: str) -> tuple[PriceRow, ...]:
    """
    The price table that the model's credits make at this rate: KIE's own price, row by row.

    Empty where it stays as it is: nothing is known of its credits, or it is off for a reason of
    its own. `date` is the day of the rate.
    """
    if model.off not in {None, NO_PRICE}:
        return ()
    return tuple(
        _priced(exact, rub_per_usd, date) for row in model.credits for exact in _exact(model, row)
    )


def losses(model: Model, rub_per_usd: Decimal, multiplier: Decimal) -> tuple[Loss, ...]:
    """
    What could be bought of a model at a loss, at this rate and multiplier.

    Every combination of the answers that its price and its credits hang on is tried, each amount
    (characters, seconds, files, numbers) at its bounds and wherever a unit begins. Of the amounts
    beside the same other answers the worst is told. Rules between answers are looked at as far as
    they are about those alone, so nothing that can be bought is left out.
    """
    if not model.on_sale:
        return ()
    axes = _axes(model)
    worst: dict[tuple[object, ...], Loss] = {}
    for points in product(*axes.values()):
        answers = {name: p.value for name, p in zip(axes, points, strict=True)}
        measures = {ref: s for p in points for ref, s in p.measures.items()}
        if _is_forbidden(model, answers):
            continue
        loss = _loss(
            model, answers, measures, rub_per_usd, multiplier, zip(axes, points, strict=True)
        )
        if loss is None:
            continue
        place = (loss.costs is None, *(p.words for p in points if not p.is_amount))
        if place not in worst or _lost(loss) > _lost(worst[place]):
            worst[place] = loss
    return tuple(worst.values())


@frozen(kw_only=True)
class _Point:
    """An answer to try, and how it is told; an amount is one of many of its kind."""

    value: JsonValue
    words: str
    measures: Mapping[str, Decimal] = NO_MEASURES
    is_amount: bool = False


def _exact(model: Model, row: CreditRow) -> Iterator[CreditRow]:
    """
    A row that counts by a choice, choice by choice: 5 seconds are then rounded once, and not each
    second for itself.
    """
    unit = row.per
    param = next((p for p in model.params if unit is not None and p.name == unit.param), None)
    if unit is None or not isinstance(param, ChoiceParam) or param.name in row.when:
        yield row
        return
    for choice in param.choices:
        amount = Decimal(str(choice.value))
        values: tuple[JsonValue, ...] = (choice.value,)
        if amount == unit.default:
            values = (None, choice.value)
        taken = row.credits * pricing.started(unit, amount)
        variant = f"{row.variant}, {param.name} {choice.value}".removeprefix(", ")
        when = {**row.when, param.name: values}
        yield evolve(row, credits=taken, when=when, per=None, variant=variant)


def _priced(row: CreditRow, rub_per_usd: Decimal, date: str) -> PriceRow:
    unit = f" for {row.variant}" if row.variant else ""
    source = f"{row.credits} credits{unit} at {rub_per_usd} RUB per USD; {row.source}"
    return PriceRow(
        kie_price=cost(row.credits, rub_per_usd),
        when=row.when,
        per=row.per,
        source=source,
        date=date,
    )


def _loss(
    model: Model,
    answers: Answers,
    measures: Measures,
    rub_per_usd: Decimal,
    multiplier: Decimal,
    told: Iterable[tuple[str, _Point]],
) -> Loss | None:
    try:
        pays = pricing.quote(model, answers, multiplier, measures).price
    except PriceMissingError:
        return None
    taken = kie_credits(model, answers, measures)
    costs = None if taken is None else cost(taken, rub_per_usd)
    if costs is not None and costs <= pays:
        return None
    words = tuple((name, point.words) for name, point in told)
    return Loss(model_id=model.id, answers=words, pays=pays, costs=costs)


def _lost(loss: Loss) -> int:
    return 0 if loss.costs is None else loss.costs.kopecks - loss.pays.kopecks


def _axes(model: Model) -> dict[str, Sequence[_Point]]:
    """For each param that price or credits hang on, the answers to try."""
    rows: tuple[PriceRow | CreditRow, ...] = (*model.prices, *model.credits)
    named: dict[str, list[JsonValue]] = {}
    units: dict[str, list[Unit]] = {}
    for row in rows:
        for name, values in row.when.items():
            named.setdefault(name, []).extend(values)
        if row.per is not None:
            units.setdefault(row.per.param, []).append(row.per)
    axes: dict[str, Sequence[_Point]] = {}
    for param in model.params:
        if param.name not in named and param.name not in units:
            continue
        points = [*_values(param, named.get(param.name, [])), *_amounts(param, units)]
        if not param.required:
            points.append(_Point(value=None, words="not given"))
        axes[param.name] = points
    return axes


def _values(param: Param, named: Sequence[JsonValue]) -> Iterator[_Point]:
    """The answers that rows can ask about: each one that is named, and one that is not."""
    match param:
        case ChoiceParam(choices=choices):
            yield from (_Point(value=c.value, words=str(c.value)) for c in choices)
        case SwitchParam():
            yield from (_Point(value=v, words="yes" if v else "no") for v in (True, False))
        case NumberParam() | TextParam() if named:
            yield from (_Point(value=v, words=str(v)) for v in named if v is not None)
            other = _other(param, named)
            if other is not None:
                yield _Point(value=other, words=f"{other}, say")
        case _:
            pass


def _other(param: NumberParam | TextParam, named: Sequence[JsonValue]) -> JsonValue:
    """An answer that no row names."""
    if isinstance(param, TextParam):
        given = ("x" * length for length in range(max(param.min_length, 1), param.max_length + 1))
        return next((text for text in given if not is_one_of(text, named)), None)
    numbers = (_wire(param, number) for number in _grid(param))
    return next((n for n in numbers if is_possible(param, n) and not is_one_of(n, named)), None)


def _amounts(param: Param, units: Mapping[str, Sequence[Unit]]) -> Iterator[_Point]:
    counting = units.get(param.name)
    if not counting:
        return
    sizes = {unit.size for unit in counting if not unit.in_seconds}
    lengths = {unit.size for unit in counting if unit.in_seconds}
    match param:
        case TextParam(min_length=least, max_length=most):
            # One text is made and cut: all that counts is how long it is.
            whole = "x" * most
            for size in _steps(Decimal(max(least, 1)), Decimal(most), sizes, Decimal(1)):
                words = f"of {size} characters"
                yield _Point(value=whole[: int(size)], words=words, is_amount=True)
        case NumberParam():
            for number in _numbers(param, sizes):
                yield _Point(value=_wire(param, number), words=str(number), is_amount=True)
        case FilesParam(min_items=least, max_items=most):
            for files in range(least, most + 1) if sizes or lengths else ():
                yield from _files(param, [f"file:{n}" for n in range(files)], lengths)
        case FileParam():
            yield from _files(param, ["file:0"], lengths)
        case ChoiceParam() | SwitchParam():
            pass  # all of them stand among the values


def _files(
    param: FileParam | FilesParam, references: Sequence[str], lengths: set[int]
) -> Iterator[_Point]:
    is_list = isinstance(param, FilesParam)
    value: JsonValue = list(references) if is_list else references[0]
    files = f"{len(references)} files" if is_list else ""
    if not lengths:
        yield _Point(value=value, words=files, is_amount=True)
        return
    longest = Decimal((param.max_seconds or LONGEST_S) * len(references))
    for seconds in _steps(JUST_OVER, longest, lengths, JUST_OVER):
        each = seconds / len(references)
        words = f"{files} of {seconds} s".strip()
        measures = dict.fromkeys(references, each)
        # A third of a second three times is no whole second: the last file takes the rest.
        measures[references[-1]] = seconds - each * (len(references) - 1)
        yield _Point(value=value, words=words, measures=measures, is_amount=True)


def _steps(least: Decimal, most: Decimal, sizes: Iterable[int], tick: Decimal) -> Iterator[Decimal]:
    """The bounds, and on both sides of each place where a unit ends."""
    places = {least, most}
    for size in sizes:
        for number in range(1, min(int(most // size), POINTS) + 1):
            places |= {Decimal(size * number), size * number + tick}
    yield from sorted(place for place in places if least <= place <= most)


def _numbers(param: NumberParam, sizes: set[int]) -> Iterator[Decimal]:
    step = param.step or (Decimal(1) if param.whole else None)
    highest = LARGEST_NUMBER if param.highest is None else param.highest
    lowest = max(param.lowest if param.lowest is not None else JUST_OVER, JUST_OVER)
    if step is None:
        yield from _steps(lowest, highest, sizes, JUST_OVER)
        return
    yield from (number for number in _grid(param) if number > 0)
    yield highest


def _grid(param: NumberParam) -> Iterator[Decimal]:
    """The numbers that can be given, from the lowest: as many as are tried."""
    start = Decimal(0) if param.lowest is None else param.lowest
    step = param.step or Decimal(1)
    for number in range(POINTS):
        place = start + number * step
        if param.highest is not None and place > param.highest:
            return
        yield place


def _wire(param: NumberParam, number: Decimal) -> JsonValue:
    return int(number) if param.whole else float(number)


def _is_forbidden(model: Model, answers: Answers) -> bool:
    """Whether a rule about these answers alone forbids one of them."""
    return any(
        isinstance(rule, Forbids)
        and not (rule.when.given or rule.when.missing)
        and set(rule.when.equals) <= set(answers)
        and rule.when.holds(answers)
        and any(name in answers and is_one_of(answers[name], v) for name, v in rule.values.items())
        for rule in model.rules
    )
