"""When the credits at KIE are too few."""

from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve

from kiebot.core import stock
from kiebot.core.catalog import Catalog, CreditRow, Model, Unit
from kiebot.core.language import Localized
from kiebot.core.media import MediaKind
from kiebot.core.params import Choice, ChoiceParam, FileParam, FilesParam, NumberParam, TextParam
from tests.fakes.shop import CATALOG, PICTURE

LABEL = Localized(ru="Вопрос", en="Question")
PARAMS = (
    TextParam(name="text", label=LABEL, max_length=2500),
    NumberParam(name="length", label=LABEL, highest=Decimal(12)),
    NumberParam(name="endless", label=LABEL),
    ChoiceParam(
        name="count",
        label=LABEL,
        wire="integer",
        choices=tuple(Choice(value=number, label=LABEL) for number in (1, 4, 2)),
    ),
    FilesParam(name="images", label=LABEL, media=MediaKind.IMAGE, max_items=3),
    FilesParam(name="clips", label=LABEL, media=MediaKind.VIDEO, max_items=3, max_seconds=10),
    FileParam(name="clip", label=LABEL, media=MediaKind.VIDEO, max_seconds=60),
    FileParam(name="film", label=LABEL, media=MediaKind.VIDEO),
)


def credit_row(takes: str, **fields: Any) -> CreditRow:
    return CreditRow(credits=Decimal(takes), source="a list", date="2026-11-22", **fields)


def model(*rows: CreditRow, **fields: Any) -> Model:
    return evolve(CATALOG.model(PICTURE), params=PARAMS, rules=(), credits=rows, **fields)


def catalog(*models: Model) -> Catalog:
    return Catalog(categories=(), models=models)


@pytest.mark.parametrize(
    ("unit", "most"),
    [
        (None, 2),
        (Unit(param="text", size=1000), 6),
        (Unit(param="length"), 24),
        (Unit(param="endless"), 2),
        (Unit(param="endless", default=8), 16),
        (Unit(param="count"), 8),
        (Unit(param="images"), 6),
        (Unit(param="clips", in_seconds=True), 60),
        (Unit(param="clip", in_seconds=True), 120),
        (Unit(param="film", in_seconds=True), 2),
        (Unit(param="nothing"), 2),
    ],
    ids=str,
)
def test_the_dearest_job_is_the_largest_that_can_be_asked_for(unit: Unit | None, most: int) -> None:
    assert stock.dearest(model(credit_row("2", per=unit))) == most


def test_the_dearest_row_counts() -> None:
    assert stock.dearest(model(credit_row("5"), credit_row("7"))) == 7
    assert stock.dearest(model()) is None


def test_enough_is_three_of_the_dearest_jobs_on_sale() -> None:
    cheap, dear = model(credit_row("5")), model(credit_row("250"))

    assert stock.enough(catalog(cheap, dear, model())) == 750
    assert stock.enough(catalog(cheap, evolve(dear, off="too dear"))) == 15
    assert stock.enough(catalog(model())) == stock.FEW


def test_the_packaged_catalog_has_a_stock_that_can_be_meant() -> None:
    assert 500 <= stock.enough(CATALOG) <= 20_000


@pytest.mark.parametrize(
    ("left", "judged"),
    [("-1", "none"), ("0", "none"), ("0.01", "low"), ("499.99", "low"), ("500", "enough")],
)
def test_what_is_left_is_judged(left: str, judged: str) -> None:
    assert stock.judge(Decimal(left), Decimal(500)) == judged
