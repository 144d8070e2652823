"""
Stock: the credits that an operator has left at KIE, and when they are too few.

Without credits KIE takes no task, and every job fails until the operator has paid.
"""

from decimal import Decimal
from typing import Literal

from kiebot.core import pricing
from kiebot.core.catalog import Catalog, CreditRow, Model, Unit
from kiebot.core.params import (
    ChoiceParam,
    FileParam,
    FilesParam,
    NumberParam,
    TextParam,
)

JOBS_AHEAD = 3
"""Credits are low when they do not last for this many of the dearest jobs. Our choice."""

FEW = Decimal(500)
"""What is low where nobody knows what a job takes: 2.50 USD. Our choice."""

Left = Literal["enough", "low", "none"]


def enough(catalog: Catalog) -> Decimal:
    """Below this credits are low: what three of the dearest jobs on sale take."""
    known = [most for model in catalog.on_sale if (most := dearest(model)) is not None]
    return max(known) * JOBS_AHEAD if known else FEW


def judge(left: Decimal, wanted: Decimal) -> Left:
    """How things stand with what is left, where `wanted` is enough. What is overdrawn is none."""
    if left <= 0:
        return "none"
    return "low" if left < wanted else "enough"


def dearest(model: Model) -> Decimal | None:
    """
    The most that a job of this model may take, None where nobody knows. What has no bound is
    counted as KIE's own default, else as one unit.
    """
    return max((_most(model, row) for row in model.credits), default=None)


def _most(model: Model, row: CreditRow) -> Decimal:
    if row.per is None:
        return row.credits
    amount = _largest(model, row.per)
    return row.credits * (1 if amount is None else max(pricing.started(row.per, amount), 1))


def _largest(model: Model, unit: Unit) -> Decimal | None:
    """The most there can be of what a unit counts, None where nothing bounds it."""
    amount: Decimal | int | None = unit.default
    match next((param for param in model.params if param.name == unit.param), None):
        case TextParam(max_length=most):
            amount = most
        case NumberParam(highest=highest) if highest is not None:
            amount = highest
        case ChoiceParam(choices=choices):
            amount = max((Decimal(str(choice.value)) for choice in choices), default=None)
        case FilesParam(max_items=most, max_seconds=seconds):
            # Seconds are bounded for each file.
            amount = most * (seconds or 0) or None if unit.in_seconds else most
        case FileParam(max_seconds=seconds):
            amount = seconds
        case _:
            pass
    return None if amount is None else Decimal(amount)
