"""
Pricing: what KIE takes for these answers, and what a person pays.

A price is a row of the model's table and nothing else: there is no default, no fallback, and no
price for answers that no row names.
"""

from collections.abc import Sequence
from decimal import Decimal

from attrs import frozen

from kiebot.core.catalog import Model, PriceRow, Unit
from kiebot.core.errors import PriceMissingError
from kiebot.core.money import Money
from kiebot.core.params import (
    Answers,
    ChoiceParam,
    FileParam,
    FilesParam,
    JsonValue,
    NumberParam,
    Param,
    SwitchParam,
    TextParam,
    is_answered,
    is_one_of,
)


@frozen(kw_only=True)
class Quote:
    """What KIE takes, and what a person pays."""

    kie_price: Money
    price: Money


def kie_price(model: Model, answers: Answers) -> Money:
    """
    What KIE takes for these answers. By units where the row says so: a started one counts whole.

    Raises:
        PriceMissingError: No row fits, or what its units are counted by has no answer.
    """
    for row in model.prices:
        if _fits(row, answers):
            units = 1 if row.per is None else _units(model, row.per, answers)
            if units > 0:
                return Money(row.kie_price.kopecks * units)
    raise PriceMissingError(model.id, sold=_sold(model))


def price(kie_price: Money, multiplier: Decimal) -> Money:
    """
    What a person pays: half a kopeck goes up. Nothing else in kiebot rounds money.

    Raises:
        ValueError: The multiplier is not above zero, or not a number.
    """
    if not multiplier.is_finite() or multiplier <= 0:
        raise ValueError(f"a price cannot be multiplied by {multiplier}")
    # In whole numbers, because a Decimal context would round a long product by itself.
    over, under = multiplier.as_integer_ratio()
    return Money((2 * kie_price.kopecks * over + under) // (2 * under))


def quote(model: Model, answers: Answers, multiplier: Decimal) -> Quote:
    """Both prices of these answers; errors as in `kie_price` and `price`."""
    cost = kie_price(model, answers)
    return Quote(kie_price=cost, price=price(cost, multiplier))


def lowest(model: Model, multiplier: Decimal) -> Quote:
    """
    Both prices of the cheapest row, of one unit where it counts units: for "from" prices only.

    Raises:
        PriceMissingError: The model has no price at all.
    """
    if not model.prices:
        raise PriceMissingError(model.id)
    cost = min(row.kie_price for row in model.prices)
    return Quote(kie_price=cost, price=price(cost, multiplier))


def is_flat(model: Model) -> bool:
    """Whether one price stands for every answer."""
    return len(model.prices) == 1 and not model.prices[0].when and model.prices[0].per is None


def _fits(row: PriceRow, answers: Answers) -> bool:
    return all(is_one_of(answers.get(name), values) for name, values in row.when.items())


def _units(model: Model, unit: Unit, answers: Answers) -> int:
    value = answers.get(unit.param)
    param = next((p for p in model.params if p.name == unit.param), None)
    if param is None or not is_answered(value):
        return 0
    whole, rest = divmod(_measure(param, value), unit.size)
    return int(whole) + (rest > 0)


def _measure(param: Param, value: JsonValue) -> Decimal:
    """How much an answer is: characters of a text, the number itself, files of a list."""
    match param:
        case TextParam():
            return Decimal(len(str(value)))
        case NumberParam() | ChoiceParam():
            return Decimal(str(value))
        case FilesParam():
            return Decimal(len(value)) if isinstance(value, Sequence) else Decimal(0)
        case SwitchParam() | FileParam():
            return Decimal(0)


def _sold(model: Model) -> list[tuple[str, tuple[str, ...]]]:
    sold: dict[str, dict[str, None]] = {}
    for row in model.prices:
        for name, values in row.when.items():
            texts = (_text(value) for value in values if is_answered(value))
            sold.setdefault(name, {}).update(dict.fromkeys(texts))
    return [(name, tuple(values)) for name, values in sold.items()]


def _text(value: JsonValue) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
