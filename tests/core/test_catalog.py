"""The shipped catalog, and what is done about entries that are wrong."""

from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve

from kiebot.adapters.catalog import load_catalog
from kiebot.core.catalog import (
    MAX_CALLBACK_BYTES,
    NO_PRICE,
    Catalog,
    CatalogDiff,
    Category,
    CreditRow,
    Model,
    PriceRow,
    Unit,
    diff,
)
from kiebot.core.errors import (
    AnswerProblem,
    CatalogError,
    InvalidAnswerError,
    NotFoundError,
    PriceMissingError,
)
from kiebot.core.language import Language, Localized
from kiebot.core.media import MediaKind
from kiebot.core.money import Money
from kiebot.core.params import (
    AnyOf,
    Choice,
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
    SwitchParam,
    TextParam,
    When,
    defaults,
    next_question,
    options,
    param_for,
    primary,
    read,
    settings,
    shown,
    verify,
)
from kiebot.core.pricing import Quote, is_flat, quote, sold_values

SHIPPED = load_catalog()
ON_SALE = [pytest.param(model, id=model.id) for model in SHIPPED.on_sale]
ALL = [pytest.param(model, id=model.id) for model in SHIPPED.models]
ADDRESS = "https://files.example.org/a.bin"

CONFIRMED = {
    "bytedance/seedance-1.5-pro": ("80.00", "160.00"),
    "bytedance/seedream": ("10.00", "20.00"),
    "bytedance/seedream-v4-text-to-image": ("12.00", "24.00"),
    "bytedance/v1-lite-image-to-video": ("60.00", "120.00"),
    "bytedance/v1-pro-image-to-video": ("100.00", "200.00"),
    "elevenlabs/audio-isolation": ("5.00", "10.00"),
    "elevenlabs/sound-effect": ("8.00", "16.00"),
    "elevenlabs/sound-effect-v2": ("8.00", "16.00"),
    "elevenlabs/speech-to-text": ("3.00", "6.00"),
    "elevenlabs/text-to-speech-turbo-2-5": ("5.00", "10.00"),
    "elevenlabs/text-to-speech-multilingual-v2": ("5.00", "10.00"),
    "flux-2/flex-image-to-image": ("12.00", "24.00"),
    "flux-2/flex-text-to-image": ("10.00", "20.00"),
    "flux-2/pro-image-to-image": ("18.00", "36.00"),
    "flux-2/pro-text-to-image": ("15.00", "30.00"),
    "veo3_fast": ("150.00", "300.00"),
    "veo3": ("180.00", "360.00"),
    "hailuo/02-text-to-video-standard": ("90.00", "180.00"),
    "recraft/crisp-upscale": ("12.00", "24.00"),
    "recraft/remove-background": ("8.00", "16.00"),
    "suno/V5": ("25.00", "50.00"),
    "topaz/image-upscale": ("15.00", "30.00"),
    "topaz/video-upscale": ("50.00", "100.00"),
}
"""KIE's price and the person's, in roubles. Nothing else is sold, and at no other price."""


# The shipped catalog


def test_seven_categories_and_eighty_nine_models_are_shipped() -> None:
    assert len(SHIPPED.categories) == 7
    assert len(SHIPPED.models) == 89
    assert len(SHIPPED.on_sale) == 23
    assert SHIPPED.problems == ()


SMALL: dict[str, JsonValue] = {"text": "кот", "audio_url": ADDRESS, "video_url": ADDRESS}
"""What units are counted by in the shipped catalog, as little of it as can be."""


def rows(model: Model) -> tuple[PriceRow | CreditRow, ...]:
    return (*model.prices, *model.credits)


def of_a_small_job(model: Model) -> Quote:
    known = {param.name for param in model.params}
    answers = {**defaults(model), **{n: v for n, v in SMALL.items() if n in known}}
    return quote(model, answers, Decimal(2), {ADDRESS: Decimal(1)})


def test_the_confirmed_prices_are_the_prices() -> None:
    """Flat, or of the first unit: what the owner typed is what the smallest job costs."""
    sold = {model.id: of_a_small_job(model) for model in SHIPPED.on_sale}

    assert sold == {
        model_id: Quote(kie_price=Money.rub(kie), price=Money.rub(price))
        for model_id, (kie, price) in CONFIRMED.items()
    }


UNITS = {
    "elevenlabs/audio-isolation": Unit(param="audio_url", size=90, in_seconds=True),
    "elevenlabs/speech-to-text": Unit(param="audio_url", size=180, in_seconds=True),
    "elevenlabs/text-to-speech-turbo-2-5": Unit(param="text", size=3000),
    "elevenlabs/text-to-speech-multilingual-v2": Unit(param="text", size=1000),
    "topaz/video-upscale": Unit(param="video_url", size=15, in_seconds=True),
}
"""Where a flat price would sell long inputs below what KIE takes."""


@pytest.mark.parametrize("model", ON_SALE)
def test_a_person_pays_exactly_twice_what_kie_takes(model: Model) -> None:
    found = of_a_small_job(model)

    assert found.price.kopecks == 2 * found.kie_price.kopecks
    (row,) = model.prices
    assert row.per == UNITS.get(model.id)
    assert is_flat(model) == (model.id not in UNITS)


@pytest.mark.parametrize(
    ("model_id", "dear"),
    [("bytedance/seedance-1.5-pro", "1080p"), ("veo3", "4k"), ("veo3_fast", "4k")],
)
def test_what_nobody_knows_the_cost_of_is_not_offered(model_id: str, dear: str) -> None:
    model = SHIPPED.model(model_id)
    values = [option.value for option in options(model, {}, "resolution", Language.EN)]

    assert dear in values
    assert dear not in sold_values(model, defaults(model), "resolution", values)
    with pytest.raises(PriceMissingError) as caught:
        quote(model, {**defaults(model), "resolution": dear}, Decimal(2))
    assert dict(caught.value.sold)["resolution"] == tuple(str(v) for v in values if v != dear)


def test_what_is_measured_has_a_longest_that_is_taken() -> None:
    measured = {
        (model.id, row.per.param)
        for model in SHIPPED.models
        for row in rows(model)
        if row.per is not None and row.per.in_seconds
    }

    assert len(measured) == 8
    for model_id, name in measured:
        (param,) = (p for p in SHIPPED.model(model_id).params if p.name == name)
        assert isinstance(param, FileParam)
        assert param.max_seconds


def test_every_other_model_is_listed_with_its_reason() -> None:
    off = [model for model in SHIPPED.models if not model.on_sale]

    assert len(off) == 66
    assert all((model.off or "").startswith(NO_PRICE) and not model.prices for model in off)


def test_every_category_has_models_and_the_places_are_known() -> None:
    counts = {
        category.slug: (
            len(SHIPPED.in_category(category.slug)),
            sum(model.on_sale for model in SHIPPED.in_category(category.slug)),
        )
        for category in SHIPPED.categories
    }

    assert counts == {
        "video_creatives": (38, 6),
        "visuals": (28, 6),
        "texts": (2, 1),
        "avatars_ugc": (9, 0),
        "audio": (5, 5),
        "tools": (5, 4),
        "experimental": (2, 1),
    }


def test_what_can_be_bought_stands_first_in_its_category() -> None:
    for category in SHIPPED.categories:
        on_sale = [model.on_sale for model in SHIPPED.in_category(category.slug)]
        assert on_sale == sorted(on_sale, reverse=True)


@pytest.mark.parametrize("model", ALL)
def test_a_model_says_what_it_is_in_both_languages(model: Model) -> None:
    words = [model.purpose, model.description]
    words += [param.label for param in model.params]
    words += [param.hint for param in model.params]
    words += [
        choice.label
        for param in model.params
        if isinstance(param, ChoiceParam)
        for choice in param.choices
    ]

    assert all(word.ru.strip() and word.en.strip() for word in words)
    assert model.title.strip()
    assert model.vendor.strip()


@pytest.mark.parametrize("model", ALL)
def test_every_button_fits_into_callback_data(model: Model) -> None:
    assert len(f"mmodel:{model.key}".encode()) <= MAX_CALLBACK_BYTES
    assert SHIPPED.by_key(model.key) == model
    for param in model.params:
        for choice in options(model, {}, param.name, Language.RU):
            data = f"mparam:{'x' * 12}:{param.name}:{choice.number}"
            assert len(data.encode()) <= MAX_CALLBACK_BYTES


def _answer(param: Param) -> str:
    match param:
        case TextParam():
            return "рыжий кот на луне"
        case NumberParam():
            return str(param.lowest or 1)
        case ChoiceParam():
            return str(param.choices[0].value)
        case SwitchParam():
            return "да"
        case FileParam() | FilesParam():
            return ADDRESS


@pytest.mark.parametrize("model", ON_SALE)
def test_a_job_is_ready_after_its_questions_and_every_answer_is_verified(model: Model) -> None:
    answers = defaults(model)
    asked = 0
    while (param := next_question(model, answers)) is not None:
        answers[param.name] = read(model, answers, param.name, _answer(param))
        asked += 1

    assert 1 <= asked <= 2
    assert verify(model, answers) == {
        param.name: answers[param.name] for param in model.params if param.name in answers
    }
    assert primary(model) is not None


@pytest.mark.parametrize("model", ON_SALE)
def test_every_setting_can_be_answered_and_shown(model: Model) -> None:
    answers = defaults(model)

    for param in settings(model, answers):
        value = read(model, answers, param.name, _answer(param))
        for language in Language:
            assert shown(param, value, language)
        for choice in options(model, answers, param.name, Language.EN):
            assert shown(param, choice.value, Language.EN) == choice.label


def test_no_setting_of_kiebots_own_is_a_question() -> None:
    names = {param.name for model in SHIPPED.models for param in model.params}

    assert not names & {"callBackUrl", "stream", "messages", "tools", "shots"}
    assert "enableFallback" not in {p.name for p in SHIPPED.model("veo3").params}


def test_one_hundred_and_five_voices_are_offered_by_name() -> None:
    model = SHIPPED.model("elevenlabs/text-to-speech-turbo-2-5")

    voices = options(model, {}, "voice", Language.RU)

    assert len(voices) == 105
    assert voices[0].label == voices[0].value == "Rachel"
    assert voices[21].label == "Ellen · серьёзный"
    assert not [label for label, count in Counter(v.label for v in voices).items() if count > 1]


def test_veo_quality_knows_no_reference_pictures() -> None:
    quality, fast = SHIPPED.model("veo3"), SHIPPED.model("veo3_fast")

    assert read(fast, {}, "generationType", "REFERENCE_2_VIDEO") == "REFERENCE_2_VIDEO"
    with pytest.raises(InvalidAnswerError) as caught:
        read(quality, {}, "generationType", "REFERENCE_2_VIDEO")
    assert caught.value.problem is AnswerProblem.NOT_A_CHOICE


def test_a_song_from_an_idea_is_short_and_needs_nothing_else() -> None:
    song = SHIPPED.model("suno/V5")
    answers = defaults(song)

    idea = param_for(song, answers, "prompt")

    assert answers == {"customMode": False, "instrumental": False}
    assert isinstance(idea, TextParam)
    assert (idea.required, idea.max_length) == (True, 500)
    answers["prompt"] = read(song, answers, "prompt", "песня о рыжем коте")
    assert next_question(song, answers) is None


def test_a_song_of_ones_own_needs_style_and_title() -> None:
    song = SHIPPED.model("suno/V5")
    answers = {**defaults(song), "customMode": True, "prompt": "ля " * 1000}

    asked = []
    while (param := next_question(song, answers)) is not None:
        asked.append(param.name)
        answers[param.name] = "рок"

    assert asked == ["style", "title"]
    assert verify(song, answers)["prompt"] == ("ля " * 1000).strip()
    assert "prompt" not in verify(
        song, {"customMode": True, "instrumental": True, "style": "рок", "title": "Без слов"}
    )


def test_wire_types_are_those_of_kie() -> None:
    """Most numbers out of a list are strings to KIE, and a few are not."""
    clip = SHIPPED.model("runway")
    tts = SHIPPED.model("bytedance/v1-lite-image-to-video")

    assert read(clip, {}, "duration", "10") == 10
    assert read(tts, {}, "duration", "10") == "10"
    assert read(tts, {}, "seed", "7") == 7
    assert read(SHIPPED.model("topaz/image-upscale"), {}, "upscale_factor", "4×") == "4"


def test_runway_has_no_long_clip_in_full_hd() -> None:
    clip = SHIPPED.model("runway")

    with pytest.raises(InvalidAnswerError) as caught:
        read(clip, {"duration": 10}, "quality", "1080p")

    assert caught.value.problem is AnswerProblem.NOT_TOGETHER


# Looking things up


LABEL = Localized(ru="Слово", en="Word")
VISUALS = Category(slug="visuals", order=1, title=LABEL, emoji="🖼️", description=LABEL)
AUDIO = Category(slug="audio", order=0, title=LABEL, emoji="🔊", description=LABEL)
PROMPT = TextParam(name="prompt", label=LABEL, required=True)
SOUND = SwitchParam(name="sound", label=LABEL)
SIZE = ChoiceParam(
    name="size", label=LABEL, choices=tuple(Choice(value=v, label=LABEL) for v in ("1K", "2K"))
)
COUNT = NumberParam(name="count", label=LABEL, lowest=1, highest=4, whole=True)


def row(roubles: str = "10.00", **fields: Any) -> PriceRow:
    return PriceRow(kie_price=Money.rub(roubles), source="a list", date="2026-11-22", **fields)


def model(model_id: str = "cat", **fields: Any) -> Model:
    return Model(
        **{
            "id": model_id,
            "key": model_id,
            "title": "Cat",
            "vendor": "Shop",
            "category": "visuals",
            "output": MediaKind.IMAGE,
            "description": LABEL,
            "family": "jobs",
            "api_model": model_id,
            "params_in": "input",
            "params": (PROMPT, SOUND, SIZE, COUNT),
            "prices": (row(),),
            **fields,
        }
    )


GOOD = model("good")
PHOTO = FileParam(name="photo", label=LABEL, media=MediaKind.IMAGE)


def catalog(*models: Model) -> Catalog:
    return Catalog.of((VISUALS, AUDIO), (GOOD, *models))


def test_categories_stand_in_their_order() -> None:
    assert catalog().categories == (AUDIO, VISUALS)


def test_what_is_not_there_is_not_found() -> None:
    for look_up in (catalog().model, catalog().by_key, catalog().category, catalog().in_category):
        with pytest.raises(NotFoundError):
            look_up("nothing")


def test_an_empty_category_is_no_mistake() -> None:
    assert catalog().in_category("audio") == ()
    assert catalog().problems == ()


def test_a_model_is_found_by_its_key() -> None:
    renamed = model("a/very/long/id", key="short")

    assert catalog(renamed).by_key("short").id == "a/very/long/id"


# Entries that are wrong


@pytest.mark.parametrize(
    ("wrong", "where", "why"),
    [
        (model(category="nowhere"), "category", "there is no 'nowhere'"),
        (model(key="good"), "key", "another model's"),
        (model(key="a:b"), "key", "does not fit a button"),
        (model(key="я" * 40), "key", "does not fit a button"),
        (model(key=""), "key", "does not fit a button"),
        (model(family="telepathy"), "family", "none that kiebot speaks"),
        (model(deadline_s=0), "deadline_s", "not above 0"),
        (model(params=(PROMPT, PROMPT)), "param prompt", "stands twice"),
        (
            model(params=(SwitchParam(name="s" * 43, label=LABEL),)),
            f"param {'s' * 43}",
            "does not fit a button",
        ),
        (
            model(params=(evolve(PROMPT, is_primary=True), evolve(SOUND, is_primary=True))),
            "params",
            "more than one is primary",
        ),
        (model(prices=(row(when={"nothing": ("a",)}),)), "prices[0]", "no param nothing"),
        (model(prices=(row(when={"size": ("4K",)}),)), "prices[0]", "size cannot be '4K'"),
        (model(prices=(row(when={"sound": (1,)}),)), "prices[0]", "sound cannot be 1"),
        (
            model(params=(PHOTO,), prices=(row(when={"photo": ("file:a",)}),)),
            "prices[0]",
            "neither choice",
        ),
        (
            model(params=(PHOTO,), prices=(row(per=Unit(param="photo", in_seconds=True)),)),
            "prices[0]",
            "photo has no length",
        ),
        (model(prices=(row(), row("12.00"))), "prices[1]", "prices[0] fits too"),
        (
            model(prices=(row(when={"size": ("1K", "2K")}), row(when={"sound": (True,)}))),
            "prices[1]",
            "prices[0] fits too",
        ),
        (
            model(prices=(row(when={"size": (None, "1K")}), row(when={"size": ("2K", None)}))),
            "prices[1]",
            "prices[0] fits too",
        ),
        (model(prices=(row(per=Unit(param="nothing")),)), "prices[0]", "no param nothing"),
        (model(prices=(row(per=Unit(param="sound")),)), "prices[0]", "cannot be counted"),
        (model(prices=(row(per=Unit(param="size")),)), "prices[0]", "no numbers"),
        (model(rules=(AnyOf(names=("prompt",)),)), "rules[0]", "fewer than two"),
        (model(rules=(OneOf(names=("prompt", "voice")),)), "rules[0]", "no param voice"),
        (model(rules=(Requires(when=When(), names=("voice",)),)), "rules[0]", "no param voice"),
        (
            model(rules=(Requires(when=When(equals={"size": ("4K",)}), names=("prompt",)),)),
            "rules[0]",
            "size cannot be '4K'",
        ),
        (
            model(rules=(Forbids(when=When(), values={"size": ("1K", "2K")}),)),
            "rules[0]",
            "leaves size no choice",
        ),
        (
            model(rules=(Limits(when=When(), max_length={"sound": 5}),)),
            "rules[0]",
            "sound is no text",
        ),
        (
            model(rules=(Limits(when=When(), max_length={"prompt": 0}),)),
            "rules[0]",
            "cannot be cut to 0",
        ),
        (
            model(rules=(Limits(when=When(), highest={"count": Decimal(0)}),)),
            "rules[0]",
            "cannot be at most 0",
        ),
        (
            model(rules=(Limits(when=When(), highest={"size": Decimal(1)}),)),
            "rules[0]",
            "cannot be at most 1",
        ),
        (
            model(rules=(Limits(when=When(), highest={"prompt": Decimal(1)}),)),
            "rules[0]",
            "is no number",
        ),
    ],
)
def test_a_wrong_entry_is_taken_off_sale_and_stops_nobody(
    wrong: Model, where: str, why: str
) -> None:
    found = catalog(wrong)

    assert found.on_sale == (GOOD,)
    assert [p.where for p in found.problems if why in p.why] == [f"cat: {where}"]
    assert why in (found.model("cat").off or "")


def test_rows_that_some_param_keeps_apart_do_not_overlap() -> None:
    table = model(
        prices=(
            row("1.00", when={"size": ("1K",)}),
            row("2.00", when={"size": ("2K",), "sound": (False,)}),
            row("3.00", when={"size": ("2K",), "sound": (True,)}),
            row("4.00", when={"size": (None,)}),
        )
    )

    assert catalog(table).on_sale == (GOOD, table)


def test_of_two_models_with_one_id_the_first_stays() -> None:
    found = catalog(model("good", prices=(row("99.00"),)))

    assert found.models == (GOOD,)
    assert [(p.where, p.why) for p in found.problems] == [("good: id", "stands twice")]


def test_of_two_categories_with_one_slug_the_first_stays() -> None:
    found = Catalog.of((VISUALS, evolve(VISUALS, order=5)), (GOOD,))

    assert found.categories == (VISUALS,)
    assert len(found.problems) == 1


def test_a_model_without_a_price_is_off_and_no_problem() -> None:
    found = catalog(model(prices=()))

    assert found.model("cat").off == NO_PRICE
    assert found.problems == ()


@pytest.mark.parametrize("family", ["chat", "midjourney"])
def test_a_family_that_kiebot_does_not_speak_is_never_sold(family: str) -> None:
    """A price alone must not sell what nobody can ask KIE for."""
    why = f"kiebot does not speak KIE's {family} interface"

    found = catalog(model(family=family), model("old", family=family, off=f"{why}; gone"))

    assert found.model("cat").prices
    assert found.on_sale == (GOOD,)
    assert (found.model("cat").off, found.model("old").off) == (why, f"{why}; gone")
    assert found.problems == ()


def test_an_unknown_family_is_never_sold() -> None:
    found = catalog(model(family="hologram"))

    assert found.on_sale == (GOOD,)
    assert "'hologram' is none that kiebot speaks" in (found.model("cat").off or "")


def test_a_reason_that_was_given_is_kept() -> None:
    assert catalog(model(off="withdrawn")).model("cat").off == "withdrawn"


def test_a_catalog_with_nothing_to_sell_is_none() -> None:
    with pytest.raises(CatalogError, match="nothing in the catalog is on sale; cat: category"):
        Catalog.of((AUDIO,), (model(),))


@pytest.mark.parametrize("fields", [{"kie_price": Money(0)}, {"when": {"size": ()}}])
def test_a_price_row_that_says_nothing_cannot_be_made(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"without values|of nothing"):
        evolve(row(), **fields)


def test_a_unit_is_at_least_one() -> None:
    with pytest.raises(ValueError, match="unit"):
        Unit(param="text", size=0)


# What changed


def test_a_difference_is_told_model_by_model() -> None:
    dear = (row("11.00"),)
    old = catalog(model("gone"), model("dearer"), model("on", off="soon"), model("off"))
    new = catalog(
        model("dearer", prices=dear),
        model("on", prices=dear),
        model("off", off="why"),
        model("new"),
    )

    assert diff(old, new) == CatalogDiff(
        added=("new",),
        removed=("gone",),
        repriced=("dearer",),
        switched_on=("on",),
        switched_off=("off",),
    )


def test_a_new_source_of_the_same_price_is_no_difference() -> None:
    old = catalog(model())
    new = catalog(model(prices=(evolve(row(), source="another list", date="2026-12-01"),)))

    assert not diff(old, new)
