"""
Money: whole kopecks, never negative.

An amount has no sign; what a movement does to a wallet is said by the kind of its ledger entry.
"""

import re
from decimal import Decimal
from typing import Self

from attrs import field, frozen
from attrs.validators import and_, ge, instance_of, le

LARGEST_KOPECKS = 2**63 - 1
"""The largest amount: a 64-bit integer, as both databases store it."""

# Decimal() would take more (1e99, Infinity, 1_000) and round what is longer than its context.
_PLAIN = re.compile(r"(?P<whole>\d{1,17})(?:\.(?P<part>\d{1,2}))?", re.ASCII)
_SPACES = " \u00a0\u202f\u2009"
_ROUBLES = re.compile(
    rf"(?P<whole>\d+|\d{{1,3}}(?:[{_SPACES}]\d{{3}})+)(?:[.,](?P<part>\d{{1,2}}))?", re.ASCII
)
_CURRENCY = re.compile(rf"[{_SPACES}]*(?:₽|р\.?|руб\.?|rub)$", re.IGNORECASE)


@frozen(order=True)
class Money:
    """An amount of money in kopecks, 0 to 2**63 - 1."""

    kopecks: int = field(validator=and_(instance_of(int), ge(0), le(LARGEST_KOPECKS)))

    @classmethod
    def rub(cls, roubles: str) -> Self:
        """
        From a decimal number of roubles such as "3.56".

        Raises:
            ValueError: Not a number, negative, too large, or more than two decimal places.
        """
        match = _PLAIN.fullmatch(roubles)
        if match is None:
            raise ValueError(f"not a number of roubles and kopecks: {roubles!r}")
        return cls(int(match["whole"]) * 100 + int((match["part"] or "").ljust(2, "0")))

    @property
    def roubles(self) -> Decimal:
        """The same amount in roubles, exact."""
        return Decimal(self.kopecks) / 100

    def __add__(self, other: "Money") -> "Money":
        return Money(self.kopecks + other.kopecks)

    def __sub__(self, other: "Money") -> "Money":
        """The difference; ValueError where it would be negative."""
        return Money(self.kopecks - other.kopecks)

    def __bool__(self) -> bool:
        return self.kopecks > 0

    def __str__(self) -> str:
        return f"{self.kopecks // 100}.{self.kopecks % 100:02} RUB"


ZERO = Money(0)


def parse_roubles(text: str) -> Money | None:
    """
    The amount a person typed, exactly, or None where it is none.

    Read are `100`, `100,50`, `100.5`, `1 000` (thousands apart by single spaces, also the
    no-break ones that Russian typography uses) and each of these followed by ₽, р., руб. or RUB.
    """
    bare = _CURRENCY.sub("", text.strip())
    match = _ROUBLES.fullmatch(bare)
    if match is None:
        return None
    whole = re.sub(rf"[{_SPACES}]", "", match["whole"])
    # A longer number than 64 bits hold is not worth converting.
    if len(whole) > 18:
        return None
    kopecks = int(whole) * 100 + int((match["part"] or "").ljust(2, "0"))
    return Money(kopecks) if kopecks <= LARGEST_KOPECKS else None
