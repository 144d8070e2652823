"""Catalog files: what is read, and how a mistake in one is told."""

import copy
import json
from collections.abc import Callable
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from kiebot.adapters.catalog import load_catalog, priced_text, read_catalog, save
from kiebot.core.catalog import COST_GUARD, NO_PRICE, Catalog, CreditRow, PriceRow, Unit
from kiebot.core.errors import CatalogError
from kiebot.core.language import Localized
from kiebot.core.media import MediaKind
from kiebot.core.money import Money
from kiebot.core.params import (
    AnyOf,
    Choice,
    ChoiceParam,
    FileParam,
    FilesParam,
    Forbids,
    Limits,
    NumberParam,
    OneOf,
    Requires,
    SwitchParam,
    TextParam,
    When,
)

Json = dict[str, Any]

WORDS = {"ru": "Слово", "en": "Word"}
LABEL = Localized(ru="Слово", en="Word")
PROMPT: Json = {"name": "prompt", "kind": "text", "required": True, "label": WORDS}
PRICE: Json = {"rub": "10.00", "source": "a list", "date": "2026-11-22"}
MODEL: Json = {
    "id": "cat",
    "title": "Cat",
    "vendor": "Shop",
    "category": "visuals",
    "output": "image",
    "description": WORDS,
    "family": "jobs",
    "api_model": "shop/cat",
    "params_in": "input",
    "params": [PROMPT],
    "prices": [PRICE],
}
CATEGORY: Json = {
    "slug": "visuals",
    "order": 1,
    "title": WORDS,
    "emoji": "🖼️",
    "description": WORDS,
}


def written(*models: Any, categories: list[Any] | None = None) -> str:
    good = {**MODEL, "id": "good"}
    return json.dumps(
        {
            "format": "kiebot-catalog-1",
            "categories": [CATEGORY] if categories is None else categories,
            "models": [good, *models],
        }
    )


def model_with(**fields: Any) -> Json:
    return {**copy.deepcopy(MODEL), **fields}


def param_with(**fields: Any) -> Json:
    return model_with(params=[{"name": "x", "label": WORDS, **fields}])


def price_with(**fields: Any) -> Json:
    return model_with(prices=[{**PRICE, **fields}])


def credits_with(**fields: Any) -> Json:
    row = {"credits": "5", **fields}
    return model_with(credits=[row], credits_source="a list", credits_date="2025-12")


def without(entry: Json, name: str) -> Json:
    return {key: value for key, value in entry.items() if key != name}


def told(catalog: Catalog) -> list[str]:
    return [str(problem) for problem in catalog.problems]


# What is read


def test_params_of_every_kind_are_read() -> None:
    catalog = read_catalog(
        written(
            model_with(
                params=[
                    {**PROMPT, "primary": True, "min_length": 3, "max_length": 500},
                    {
                        "name": "scale",
                        "kind": "number",
                        "label": WORDS,
                        "technical": True,
                        "lowest": 0.1,
                        "highest": 20,
                        "step": 0.1,
                        "default": 2.5,
                    },
                    {
                        "name": "frames",
                        "kind": "choice",
                        "label": WORDS,
                        "hint": WORDS,
                        "wire": "integer",
                        "choices": [5, {"value": 10, "ru": "10 с", "en": "10 s"}],
                        "example": 5,
                    },
                    {"name": "sound", "kind": "switch", "label": WORDS, "default": False},
                    {
                        "name": "images",
                        "kind": "files",
                        "label": WORDS,
                        "media": "image",
                        "accept": ["image/png"],
                        "max_mb": 10,
                        "max_items": 3,
                    },
                    {"name": "callBackUrl", "kind": "file", "never_asked": "kiebot sets it"},
                    {"name": "tags", "kind": "list"},
                ]
            )
        )
    )

    assert catalog.problems == ()
    assert catalog.model("cat").params == (
        TextParam(
            name="prompt",
            label=LABEL,
            required=True,
            is_primary=True,
            min_length=3,
            max_length=500,
        ),
        NumberParam(
            name="scale",
            label=LABEL,
            is_technical=True,
            lowest=Decimal("0.1"),
            highest=20,
            step=Decimal("0.1"),
            default=2.5,
        ),
        ChoiceParam(
            name="frames",
            label=LABEL,
            hint=LABEL,
            wire="integer",
            choices=(
                Choice(value=5, label=Localized(ru="5", en="5")),
                Choice(value=10, label=Localized(ru="10 с", en="10 s")),
            ),
            example=5,
        ),
        SwitchParam(name="sound", label=LABEL, default=False),
        FilesParam(
            name="images",
            label=LABEL,
            media=MediaKind.IMAGE,
            accept=("image/png",),
            max_mb=10,
            max_items=3,
        ),
    )


def test_prices_are_read_exactly() -> None:
    sound = {"name": "sound", "kind": "switch", "label": WORDS, "default": False}
    catalog = read_catalog(
        written(
            model_with(
                params=[PROMPT, sound],
                prices=[
                    {**PRICE, "rub": "0.07", "when": {"sound": False}},
                    {
                        **PRICE,
                        "rub": "1234.5",
                        "when": {"sound": [True]},
                        "per": {"param": "prompt", "size": 1000},
                    },
                ],
            )
        )
    )

    assert catalog.model("cat").prices == (
        PriceRow(kie_price=Money(7), when={"sound": (False,)}, source="a list", date="2026-11-22"),
        PriceRow(
            kie_price=Money(123450),
            when={"sound": (True,)},
            per=Unit(param="prompt", size=1000),
            source="a list",
            date="2026-11-22",
        ),
    )


def test_seconds_of_files_are_counted() -> None:
    sound = {"name": "sound", "kind": "file", "label": WORDS, "media": "audio", "max_seconds": 60}
    catalog = read_catalog(
        written(
            model_with(
                params=[PROMPT, sound],
                prices=[{**PRICE, "per": {"param": "sound", "seconds": 15}}],
            )
        )
    )

    assert catalog.problems == ()
    assert catalog.model("cat").prices[0].per == Unit(param="sound", size=15, in_seconds=True)
    param = catalog.model("cat").params[1]
    assert isinstance(param, FileParam)
    assert param.max_seconds == 60


def test_credits_are_read_exactly() -> None:
    """What KIE bills, beside the prices; where it is from is said once for the model."""
    count = {"name": "count", "kind": "number", "label": WORDS, "whole": True}
    catalog = read_catalog(
        written(
            model_with(
                params=[PROMPT, count],
                credits=[
                    {
                        "credits": "0.24",
                        "when": {"count": [None, 2]},
                        "per": {"param": "count", "default": 3},
                        "variant": "each",
                    }
                ],
                credits_source="KIE's list",
                credits_date="2025-12",
            )
        )
    )

    assert catalog.problems == ()
    assert catalog.model("cat").credits == (
        CreditRow(
            credits=Decimal("0.24"),
            when={"count": (None, 2)},
            per=Unit(param="count", default=3),
            variant="each",
            source="KIE's list",
            date="2025-12",
        ),
    )


def test_the_rates_of_a_catalog() -> None:
    plain = json.loads(written(MODEL))
    own = {**plain, "rub_per_usd": "92.5", "cost_guard_rub_per_usd": "101"}

    assert read_catalog(json.dumps(plain)).rub_per_usd is None
    assert read_catalog(json.dumps(plain)).cost_guard == COST_GUARD
    assert read_catalog(json.dumps(own)).rub_per_usd == Decimal("92.5")
    assert read_catalog(json.dumps(own)).cost_guard == 101


@pytest.mark.parametrize("rate", [92.5, "ninety", "-1", "0", "1e3", "1001", "NaN", ""])
def test_a_rate_that_cannot_be_meant_is_refused(rate: Any) -> None:
    text = json.dumps({**json.loads(written(MODEL)), "rub_per_usd": rate})

    with pytest.raises(CatalogError, match="rub_per_usd: must be roubles per US dollar"):
        read_catalog(text)


def test_one_entry_may_hold_several_rules() -> None:
    choice = {"name": "mode", "kind": "choice", "label": WORDS, "choices": ["a", "b"]}
    count = {"name": "count", "kind": "number", "label": WORDS, "whole": True}
    catalog = read_catalog(
        written(
            model_with(
                params=[PROMPT, choice, count],
                rules=[
                    {"any_of": ["prompt", "mode"]},
                    {"one_of": ["mode", "count"]},
                    {
                        "when": {"mode": "a"},
                        "given": ["count"],
                        "missing": ["prompt"],
                        "required": ["prompt"],
                        "max_length": {"prompt": 5},
                        "highest": {"count": 2.5},
                    },
                    {"forbid": {"mode": ["b"]}},
                ],
            )
        )
    )

    when = When(equals={"mode": ("a",)}, given=("count",), missing=("prompt",))
    assert catalog.problems == ()
    assert catalog.model("cat").rules == (
        AnyOf(names=("prompt", "mode")),
        OneOf(names=("mode", "count")),
        Requires(when=when, names=("prompt",)),
        Limits(when=when, max_length={"prompt": 5}, highest={"count": Decimal("2.5")}),
        Forbids(when=When(), values={"mode": ("b",)}),
    )


def test_a_model_that_needs_what_nobody_can_be_asked_is_off() -> None:
    catalog = read_catalog(
        written(param_with(kind="objects", required=True), {**MODEL, "id": "free", "prices": []})
    )

    assert catalog.model("cat").off == "nobody can be asked for x (objects)"
    assert catalog.model("free").off == NO_PRICE
    assert catalog.problems == ()


def test_facts_are_for_owners_and_not_judged() -> None:
    catalog = read_catalog(written(model_with(facts={"anything": [1, {"goes": None}]})))

    assert catalog.problems == ()


# Mistakes in an entry


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (without(MODEL, "title"), "cat: title: is missing"),
        (without(MODEL, "prices"), "cat: prices: is missing"),
        (model_with(title=5), "cat: title: must be a text, not 5"),
        (model_with(title=" "), 'cat: title: must be a text, not " "'),
        (model_with(output="smell"), "cat: output: must be one of image, video"),
        (model_with(params_in="header"), "cat: params_in: must be one of input, body"),
        (model_with(params={}), "cat: params: must be a list, not {}"),
        (model_with(description={"ru": "Слово"}), "cat: description.en: is missing"),
        (model_with(description="Слово"), "cat: description: must be an object"),
        (model_with(deadline_s="60"), 'cat: deadline_s: must be a whole number, not "60"'),
        (model_with(pirces=[]), "cat: pirces: is no field of this entry"),
        (param_with(), "cat: params[0] x: kind: is missing"),
        (param_with(kind="colour"), "cat: params[0] x: kind: must be one of text"),
        (param_with(kind="text", name=""), 'cat: params[0]: name: must be a text, not ""'),
        (param_with(kind="text", name="a b"), "cat: params[0] a b: 'a b' is no name"),
        (param_with(kind="text", label=None), "cat: params[0] x: label: must be an object"),
        (param_with(kind="text", required="yes"), "cat: params[0] x: required: must be true"),
        (param_with(kind="text", max_length=1.5), "cat: params[0] x: max_length: must be a whole"),
        (param_with(kind="text", max_lenght=5), "cat: params[0] x: max_lenght: is no field"),
        (param_with(kind="text", max_length=3, default="long"), "cat: params[0] x: x: default"),
        (param_with(kind="text", min_length=5, max_length=3), "cat: params[0] x: x: 5 to 3"),
        (param_with(kind="number", lowest="1"), "cat: params[0] x: lowest: must be a number"),
        (param_with(kind="number", lowest=True), "cat: params[0] x: lowest: must be a number"),
        (param_with(kind="number", step=float("nan")), "step: must be a number, not NaN"),
        (param_with(kind="number", lowest=2, highest=1), "cat: params[0] x: x: lowest 2 is above"),
        (param_with(kind="number", highest=1, default=2), "cat: params[0] x: x: default 2"),
        (param_with(kind="choice"), "cat: params[0] x: choices: is missing"),
        (param_with(kind="choice", choices=[]), "cat: params[0] x: x: no choices"),
        (param_with(kind="choice", choices=["a", "a"]), "cat: params[0] x: x: choice 'a' is empty"),
        (
            param_with(kind="choice", choices=["5", 10]),
            "cat: params[0] x: x: choice 10 is no string",
        ),
        (param_with(kind="choice", choices=[True]), "choices: must be texts or numbers, not true"),
        (param_with(kind="choice", choices=[None]), "choices: must be texts or numbers, not null"),
        (param_with(kind="choice", choices=[["a"]]), "choices: must be a text, a number"),
        (param_with(kind="choice", choices=[{"value": "a", "ru": "а"}]), "x: en: is missing"),
        (param_with(kind="choice", choices=["a"], default="b"), "cat: params[0] x: x: default 'b'"),
        (param_with(kind="switch", default="yes"), "cat: params[0] x: x: default 'yes'"),
        (param_with(kind="file"), "cat: params[0] x: media: is missing"),
        (param_with(kind="file", media="smell"), "cat: params[0] x: media: must be one of"),
        (param_with(kind="files", media="image", accept="image/png"), "accept: must be a list"),
        (param_with(kind="files", media="image", accept=[1]), "accept: must be texts, not 1"),
        (param_with(kind="files", media="image", min_items=4, max_items=2), "x: 4 to 2 files"),
        (model_with(params=["prompt"]), 'cat: params[0]: param: must be an object, not "prompt"'),
        (price_with(rub=10), "cat: prices[0]: rub: must be roubles as a text"),
        (price_with(rub=10.5), "cat: prices[0]: rub: must be roubles as a text"),
        (price_with(rub=None), "cat: prices[0]: rub: must be roubles as a text"),
        (price_with(rub=float("nan")), "cat: prices[0]: rub: must be roubles as a text"),
        (price_with(rub="-1.00"), "cat: prices[0]: rub: must be roubles as a text"),
        (price_with(rub="1.005"), "cat: prices[0]: rub: must be roubles as a text"),
        (price_with(rub="1,50"), "cat: prices[0]: rub: must be roubles as a text"),
        (price_with(rub="NaN"), "cat: prices[0]: rub: must be roubles as a text"),
        (price_with(rub="1e3"), "cat: prices[0]: rub: must be roubles as a text"),
        (price_with(rub="0.00"), "cat: prices[0]: a price of nothing"),
        (price_with(date="yesterday"), "cat: prices[0]: date: must be a day"),
        (price_with(source=""), "cat: prices[0]: source: must be a text"),
        (price_with(whn={"x": 1}), "cat: prices[0]: whn: is no field"),
        (price_with(when={"prompt": []}), "cat: prices[0]: prompt: an empty list of values"),
        (price_with(when=["prompt"]), "cat: prices[0]: when: must be an object"),
        (price_with(when={"nothing": 1}), "cat: prices[0]: there is no param nothing"),
        (price_with(per={"size": 5}), "cat: prices[0]: param: is missing"),
        (price_with(per={"param": "prompt", "size": 0}), "cat: prices[0]: a unit of 0 prompt"),
        (
            price_with(per={"param": "prompt", "seconds": 60}),
            "cat: prices[0]: prompt has no length in seconds",
        ),
        (price_with(per={"param": "prompt", "size": 1, "seconds": 1}), "size: is no field"),
        (price_with(per={"param": "prompt", "default": 0}), "cat: prices[0]: 0 prompt where"),
        (credits_with(credits=5), "cat: credits[0]: credits: must be credits as a text"),
        (credits_with(credits="0"), "cat: credits[0]: 0 credits"),
        (credits_with(credits="-1"), "cat: credits[0]: credits: must be credits as a text"),
        (credits_with(rub="5"), "cat: credits[0]: rub: is no field"),
        (credits_with(when={"nothing": 1}), "cat: credits[0]: there is no param nothing"),
        (credits_with(per={"param": "nothing"}), "cat: credits[0]: there is no param nothing"),
        (model_with(credits=[{"credits": "5"}]), "cat: credits_source: is missing"),
        (
            model_with(credits=[{"credits": "5"}], credits_source="a", credits_date="lately"),
            "cat: credits_date: must be a month or a day",
        ),
        (
            model_with(credits=[{"credits": "5"}] * 2, credits_source="a", credits_date="2025-12"),
            "cat: credits[1]: fits answers that credits[0] fits too",
        ),
        (param_with(kind="file", media="audio", max_seconds=0), "cat: params[0] x: x: 0 seconds"),
        (model_with(rules=[{}]), "cat: rules[0]: rule: has no effect"),
        (model_with(rules=[{"when": {"prompt": "a"}}]), "cat: rules[0]: rule: has no effect"),
        (model_with(rules=[{"any_of": ["prompt"]}]), "cat: rules[0]: a choice among fewer"),
        (
            model_with(rules=[{"one_of": ["a", "b"], "when": {}}]),
            "cat: rules[0]: when: is no field",
        ),
        (model_with(rules=[{"required": ["nothing"]}]), "cat: rules[0]: there is no param nothing"),
        (model_with(category="nowhere"), "cat: category: there is no 'nowhere'"),
    ],
)
def test_a_mistake_is_told_by_entry_and_field_and_stops_nobody(entry: Json, problem: str) -> None:
    catalog = read_catalog(written(entry))

    assert [model.id for model in catalog.on_sale] == ["good"]
    assert len(catalog.problems) == 1
    assert problem in told(catalog)[0]
    assert told(catalog)[0].startswith("cat: ")
    assert catalog.model("cat").off


def test_a_model_with_a_mistake_keeps_what_kie_is_asked_about_a_task_by() -> None:
    """Jobs of it may run: they are asked about where they were made, and their result is read."""
    song = model_with(family="suno", api_model="V5", params_in="body", output="audio", prices=5)
    model = read_catalog(written(song)).model("cat")

    assert model.is_outline
    assert (model.family, model.api_model, model.params_in, model.output) == (
        "suno",
        "V5",
        "body",
        MediaKind.AUDIO,
    )
    assert not read_catalog(written()).model("good").is_outline


@pytest.mark.parametrize("name", ["family", "api_model", "params_in", "output"])
@pytest.mark.parametrize("wrong", [5, "", [], {}, "nonsense"])
def test_a_mistake_there_is_no_harm_either(name: str, wrong: Any) -> None:
    model = read_catalog(written(model_with(**{name: wrong}, prices=5))).model("cat")

    assert model.is_outline
    assert model.off


def test_all_mistakes_of_a_model_are_told_at_once() -> None:
    catalog = read_catalog(
        written(model_with(params=[PROMPT, {"name": "x"}, {"kind": "text"}], prices=[{}, 5]))
    )

    assert told(catalog) == [
        "cat: params[1] x: kind: is missing",
        "cat: params[2]: name: is missing",
        "cat: prices[0]: rub: is missing",
        "cat: prices[1]: price: must be an object, not 5",
    ]


@pytest.mark.parametrize("entry", ["cat", None, [], {}, {"id": ""}, {"id": 5}, {"title": "Cat"}])
def test_an_entry_without_an_id_is_left_out(entry: Any) -> None:
    catalog = read_catalog(written(entry))

    assert [model.id for model in catalog.models] == ["good"]
    assert len(catalog.problems) == 1
    assert told(catalog)[0].startswith("models[1]")


def test_a_model_that_comes_twice_is_told() -> None:
    assert told(read_catalog(written(model_with(id="good")))) == ["good: id: stands twice"]


def test_a_field_that_comes_twice_is_told() -> None:
    """JSON would silently take the last one, and a price is no matter for that."""
    text = written(MODEL).replace('"rub": "10.00", ', '"rub": "10.00", "rub": "1.00", ', 1)

    catalog = read_catalog(text.replace('"id": "good"', '"id": "twice"', 1))

    assert told(catalog) == ["twice: prices[0]: rub: stands twice"]
    assert not catalog.model("twice").on_sale


def test_a_wrong_category_is_told_and_its_models_are_off() -> None:
    catalog = read_catalog(
        written(model_with(category="audio"), categories=[CATEGORY, {"slug": "audio"}])
    )

    assert told(catalog) == [
        "categories[1] audio: order: is missing",
        "cat: category: there is no 'audio'",
    ]


# Files that are no catalog


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "mine.json: no JSON: Expecting value (line 1, column 1)"),
        ('{"format": 1,\n  "models": }', "mine.json: no JSON: Expecting value (line 2, column 13)"),
        ("[]", "mine.json: the catalog: must be an object, not []"),
        ("null", "mine.json: the catalog: must be an object, not null"),
        ("{}", "mine.json: format: is missing"),
        ('{"format": "kiebot-catalog-9"}', "mine.json: format: must be one of kiebot-catalog-1"),
        ('{"format": "kiebot-catalog-1"}', "mine.json: categories: is missing"),
        (
            '{"format": "kiebot-catalog-1", "categories": [], "models": 5}',
            "mine.json: models: must be a list, not 5",
        ),
        (
            '{"format": "kiebot-catalog-1", "categories": [], "models": [], "x": 1}',
            "mine.json: x: is no field of this entry",
        ),
        (
            '{"format": "kiebot-catalog-1", "categories": [], "models": []}',
            "mine.json: nothing in the catalog is on sale",
        ),
        ("[" * 200_000, "mine.json: no JSON that can be read: "),
        ("9" * 10_000, "mine.json: no JSON that can be read: "),
    ],
)
def test_what_is_no_catalog_is_refused_in_one_line(text: str, problem: str) -> None:
    with pytest.raises(CatalogError) as caught:
        read_catalog(text, "mine.json")

    assert str(caught.value).startswith(problem)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda _: None, "cannot be read: No such file"),
        (lambda path: path.mkdir(), "cannot be read: Is a directory"),
        (lambda path: path.write_bytes(b'{"a": "\xff"}'), "not UTF-8 text (byte 7)"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_by_name(
    tmp_path: Path, make: Callable[[Path], object], problem: str
) -> None:
    path = tmp_path / "mine.json"
    make(path)

    with pytest.raises(CatalogError) as caught:
        load_catalog(path)

    assert str(caught.value).startswith(f"{path}: {problem}")


def test_a_file_of_the_owners_is_read(tmp_path: Path) -> None:
    """Editors of some systems begin a file with a byte order mark."""
    path = tmp_path / "mine.json"
    path.write_text(written(MODEL), encoding="utf-8-sig")

    assert [model.id for model in load_catalog(path).models] == ["good", "cat"]


# The shipped file


def test_an_owner_prices_a_model_by_adding_a_row() -> None:
    shipped = json.loads(files("kiebot").joinpath("catalog.json").read_text(encoding="utf-8"))
    entry = next(m for m in shipped["models"] if m["id"] == "nano-banana-pro")
    entry["prices"] = [
        {**PRICE, "rub": "9.00", "when": {"resolution": ["1K", "2K"]}},
        {**PRICE, "rub": "12.00", "when": {"resolution": "4K"}},
    ]

    catalog = read_catalog(json.dumps(shipped))

    assert catalog.problems == ()
    assert catalog.model("nano-banana-pro").on_sale
    assert len(catalog.on_sale) == 24


def test_a_priced_catalog_is_read_back() -> None:
    """What is written is what is sold, the base's other entries untouched."""
    rate = Decimal("92.5")
    row = PriceRow(
        kie_price=Money(100_05),
        when={"resolution": (None, "1K"), "aspect_ratio": ("1:1",)},
        per=Unit(param="image_input", size=2),
        source="a list",
        date="2026-11-22",
    )

    text = priced_text({"nano-banana-pro": (row,)}, rate)
    catalog = read_catalog(text)

    assert catalog.problems == ()
    assert (catalog.rub_per_usd, catalog.cost_guard) == (rate, rate)
    assert catalog.model("nano-banana-pro").prices == (row,)
    shipped = load_catalog()
    others = [model for model in shipped.models if model.id != "nano-banana-pro"]
    assert [model for model in catalog.models if model.id != "nano-banana-pro"] == others


def test_every_kind_of_unit_is_written_as_it_is_read() -> None:
    rows = (
        PriceRow(
            kie_price=Money(1),
            per=Unit(param="video_url", size=15, in_seconds=True),
            source="a list",
            date="2026-11-22",
        ),
    )
    counted = evolve(rows[0], per=Unit(param="max_images", default=1))

    text = priced_text(
        {"topaz/video-upscale": rows, "bytedance/seedream-v4-edit": (counted,)}, Decimal(80)
    )

    assert read_catalog(text).model("topaz/video-upscale").prices == rows
    assert read_catalog(text).model("bytedance/seedream-v4-edit").prices == (counted,)


def test_a_catalog_is_saved_whole(tmp_path: Path) -> None:
    path = tmp_path / "shop" / "mine.json"

    save(path, written(MODEL))

    assert load_catalog(path).model("cat").on_sale
    assert [file.name for file in path.parent.iterdir()] == ["mine.json"]


def test_a_catalog_that_cannot_be_saved_says_so(tmp_path: Path) -> None:
    (tmp_path / "mine.json").mkdir()

    with pytest.raises(CatalogError, match=r"mine\.json: cannot be written"):
        save(tmp_path / "mine.json", written(MODEL))

    assert [file.name for file in tmp_path.iterdir()] == ["mine.json"]


def test_every_shipped_line_of_credits_is_one_of_kies_list() -> None:
    """No number of a credit row is ours; lines that no answer matches have no row."""
    shipped = json.loads(files("kiebot").joinpath("catalog.json").read_text(encoding="utf-8"))

    unmatched = {}
    for entry in shipped["models"]:
        listed = entry["facts"].get("market_price")
        rows = entry.get("credits", [])
        assert bool(listed) == bool(rows)
        if listed:
            assert entry["credits_source"] == listed["source"]
            known = {variant["credits"] for variant in listed["variants"]}
            used = {row["credits"] for row in rows}
            assert used <= known
            unmatched[entry["id"]] = known - used
    assert len(unmatched) == 77
    assert {model: left for model, left in unmatched.items() if left} == {
        "hailuo/2.3": {"45", "90", "80"},  # of the pro model, which this entry does not ask
        "midjourney": {"60"},  # a video, without a name
        "topaz/image-upscale": {"10", "20"},  # smaller results: no answer tells how large it is
    }


def test_every_shipped_model_keeps_what_is_known_of_it() -> None:
    shipped = json.loads(files("kiebot").joinpath("catalog.json").read_text(encoding="utf-8"))

    for entry in shipped["models"]:
        facts = entry["facts"]
        assert facts["schema_verified"] in {"docs-2026-06", "docs-2025-12", "client"}
        assert facts["modality"]
        for variant in facts.get("market_price", {}).get("variants", []):
            assert Decimal(variant["usd"]) == Decimal(variant["credits"]) * Decimal("0.005")
