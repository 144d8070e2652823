"""What KIE bills, and that nothing is sold below it."""

from collections.abc import Mapping
from decimal import Decimal
from itertools import product
from typing import Any

import pytest
from attrs import evolve

from kiebot.adapters.catalog import load_catalog
from kiebot.core.catalog import CreditRow, Model, PriceRow, Unit
from kiebot.core.costs import CREDIT_USD, cost, kie_credits, losses, priced
from kiebot.core.errors import PriceMissingError
from kiebot.core.language import Localized
from kiebot.core.media import MediaKind
from kiebot.core.money import Money
from kiebot.core.params import (
    Choice,
    ChoiceParam,
    FileParam,
    FilesParam,
    Forbids,
    JsonValue,
    NumberParam,
    Param,
    SwitchParam,
    TextParam,
    When,
    defaults,
)
from kiebot.core.pricing import kie_price, quote

LABEL = Localized(ru="Вопрос", en="Question")
SHIPPED = load_catalog()
ON_SALE = [pytest.param(model, id=model.id) for model in SHIPPED.on_sale]
BILLED = [pytest.param(model, id=model.id) for model in SHIPPED.models if model.credits]
GUARD = Decimal(110)
TWICE = Decimal(2)

TEXT = TextParam(name="text", label=LABEL, required=True, max_length=5000)
VOICE = FileParam(name="voice", label=LABEL, required=True, media=MediaKind.AUDIO, max_seconds=600)
SOUND = SwitchParam(name="sound", label=LABEL)
SIZE = ChoiceParam(
    name="size",
    label=LABEL,
    required=True,
    choices=tuple(Choice(value=value, label=LABEL) for value in ("small", "large")),
)
SECONDS = ChoiceParam(
    name="seconds",
    label=LABEL,
    choices=tuple(Choice(value=value, label=LABEL) for value in ("5", "10")),
)


def row(roubles: str, **fields: Any) -> PriceRow:
    return PriceRow(kie_price=Money.rub(roubles), source="a list", date="2026-11-22", **fields)


def taken(amount: str, **fields: Any) -> CreditRow:
    return CreditRow(credits=Decimal(amount), source="KIE's list", date="2025-12", **fields)


def model(*params: Param, **fields: Any) -> Model:
    return Model(
        id="shop/model",
        key="shop/model",
        title="Model",
        vendor="Shop",
        category="visuals",
        output=MediaKind.IMAGE,
        description=LABEL,
        family="jobs",
        api_model="shop/model",
        params_in="input",
        params=params,
        **fields,
    )


def words(found: Model, multiplier: Decimal = TWICE) -> list[str]:
    return [str(loss) for loss in losses(found, GUARD, multiplier)]


# Credits


def test_a_credit_is_half_a_cent() -> None:
    assert 200 * CREDIT_USD == 1


@pytest.mark.parametrize(
    ("amount", "rate", "roubles"),
    [
        ("1", "110", "0.55"),
        ("0.2", "92.5", "0.10"),
        ("250", "92.5", "115.63"),
        ("18", "110", "9.90"),
    ],
)
def test_a_started_kopeck_of_kies_counts_whole(amount: str, rate: str, roubles: str) -> None:
    assert cost(Decimal(amount), Decimal(rate)) == Money.rub(roubles)


SHOTS: list[tuple[str, dict[str, JsonValue], str | None]] = [
    ("bytedance/seedance-1.5-pro", {"resolution": "720p", "duration": "8"}, "28"),
    ("bytedance/seedance-1.5-pro", {}, "28"),
    ("bytedance/seedance-1.5-pro", {"resolution": "480p", "duration": "4"}, "7"),
    ("bytedance/seedance-1.5-pro", {"generate_audio": True, "duration": "12"}, "84"),
    ("bytedance/seedance-1.5-pro", {"resolution": "1080p", "duration": "4"}, None),
    ("bytedance/seedream-v4-text-to-image", {"max_images": 6}, "30"),
    ("bytedance/seedream-v4-text-to-image", {}, "5"),
    ("bytedance/v1-pro-fast-image-to-video", {"resolution": "1080p"}, "36"),
    ("elevenlabs/sound-effect-v2", {"duration_seconds": 2.5}, "0.72"),
    ("elevenlabs/sound-effect-v2", {}, "5.28"),
    ("elevenlabs/text-to-speech-turbo-2-5", {"text": "я" * 1001}, "12"),
    ("flux-2/pro-text-to-image", {"resolution": "2K"}, "7"),
    ("google/imagen4", {}, "8"),
    ("google/imagen4-ultra", {}, "12"),
    ("google/imagen4-fast", {"num_images": "4"}, "16"),
    ("veo3", {"resolution": "1080p"}, "250"),
    ("veo3", {"resolution": "4k"}, None),
    ("grok-imagine/text-to-image", {"enable_pro": True}, None),
    ("grok-imagine/text-to-video", {"duration": 6}, "20"),
    ("grok-imagine/text-to-video", {"duration": 6, "resolution": "720p"}, None),
    ("hailuo/02-image-to-video-standard", {}, "50"),
    ("hailuo/02-image-to-video-standard", {"resolution": "512P", "duration": "6"}, "12"),
    ("hailuo/2.3", {"resolution": "1080P", "duration": "10"}, None),
    ("ideogram/character", {"rendering_speed": "QUALITY", "num_images": "4"}, "96"),
    ("ideogram/v3-edit", {}, "7"),
    ("ideogram/v3-text-to-image", {}, None),
    ("kling-2.6/text-to-video", {"duration": "10", "sound": True}, "220"),
    ("nano-banana-pro", {}, "18"),
    ("nano-banana-pro", {"resolution": "4K"}, "24"),
    ("gpt4o-image", {"nVariants": 4}, "24"),
    ("gpt4o-image", {"enableFallback": True}, None),
    ("runway", {"duration": 10, "quality": "720p"}, "30"),
    ("runway", {"duration": 10, "quality": "1080p"}, None),
    ("suno/V5", {}, "12"),
    ("topaz/image-upscale", {"upscale_factor": "1"}, "40"),
    ("wan/2-2-a14b-speech-to-video-turbo", {}, "60"),
    ("wan/2-2-a14b-speech-to-video-turbo", {"frames_per_second": 4}, None),
    ("wan/2-5-text-to-video", {"duration": "10", "resolution": "1080p"}, "200"),
    ("z-image", {}, "0.8"),
]
"""Answers, and what KIE's list says of them."""


@pytest.mark.parametrize(("model_id", "answers", "billed"), SHOTS)
def test_the_list_is_matched_to_the_answers(
    model_id: str, answers: Mapping[str, JsonValue], billed: str | None
) -> None:
    found = kie_credits(SHIPPED.model(model_id), answers)

    assert found == (None if billed is None else Decimal(billed))


@pytest.mark.parametrize(
    ("model_id", "name", "seconds", "billed"),
    [
        ("elevenlabs/audio-isolation", "audio_url", "90", "18"),
        ("elevenlabs/speech-to-text", "audio_url", "180.5", "14"),
        ("topaz/video-upscale", "video_url", "14.2", "180"),
        ("infinitalk/from-audio", "audio_url", "15", "45"),
        ("kling/ai-avatar-pro", "audio_url", "2", "32"),
        ("wan/2-2-animate-move", "video_url", "3.5", "24"),
    ],
)
def test_what_lasts_is_billed_by_its_length(
    model_id: str, name: str, seconds: str, billed: str
) -> None:
    found = kie_credits(SHIPPED.model(model_id), {name: "file:a"}, {"file:a": Decimal(seconds)})

    assert found == Decimal(billed)
    assert kie_credits(SHIPPED.model(model_id), {name: "file:a"}) is None


def test_the_defaults_of_every_billed_model_have_a_known_cost() -> None:
    """A model whose presets nobody knows the cost of would open with a refusal."""
    files: dict[str, JsonValue] = {"audio_url": "file:a", "video_url": "file:a", "text": "кот"}
    closed = {"midjourney"}  # its presets name no speed
    for found in SHIPPED.models:
        if found.credits and found.id not in closed:
            known = {param.name for param in found.params}
            given = {name: value for name, value in files.items() if name in known}
            answers = {**given, **defaults(found)}
            assert kie_credits(found, answers, {"file:a": Decimal(5)}) is not None, found.id


# Losses


@pytest.mark.parametrize("model", ON_SALE)
def test_the_dearest_job_costs_kie_no_more_than_the_person_pays(model: Model) -> None:
    """At the cautious rate of the catalog, for every answer that can be bought."""
    assert SHIPPED.cost_guard == GUARD
    assert model.credits
    assert losses(model, SHIPPED.cost_guard, TWICE) == ()


@pytest.mark.parametrize("model", ON_SALE)
def test_so_says_a_count_of_its_own(model: Model) -> None:
    """The same once more without the code that looks for losses: amounts in small steps."""
    sold = 0
    for answers, measures in jobs(model):
        try:
            pays = quote(model, answers, TWICE, measures).price
        except PriceMissingError:
            continue
        billed = kie_credits(model, answers, measures)
        assert billed is not None
        assert billed * CREDIT_USD * GUARD <= pays.roubles
        sold += 1
    assert sold


def jobs(model: Model) -> Any:
    """Answers to all questions that are a choice, a switch or an amount in a catalog row."""
    rows: tuple[PriceRow | CreditRow, ...] = (*model.prices, *model.credits)
    named = {name for r in rows for name in r.when}
    named |= {r.per.param for r in rows if r.per}
    axes: list[list[tuple[str, JsonValue, Decimal]]] = []
    for param in model.params:
        if param.name not in named:
            continue
        values: list[tuple[JsonValue, Decimal]] = []
        match param:
            case ChoiceParam(choices=choices):
                values = [(choice.value, Decimal(0)) for choice in choices]
            case SwitchParam():
                values = [(True, Decimal(0)), (False, Decimal(0))]
            case TextParam(max_length=most):
                values = [("x" * n, Decimal(0)) for n in (*range(1, most, 333), most)]
            case NumberParam(lowest=low, highest=high):
                assert low is not None
                assert high is not None
                grid = range(int(low), int(high) + 1)
                values = [(n, Decimal(0)) for n in grid if n >= low] + [(float(low), Decimal(0))]
            case FileParam(max_seconds=seconds):
                assert seconds is not None
                values = [("file:a", Decimal(n) / 4) for n in range(1, 4 * seconds + 1, 3)]
                values.append(("file:a", Decimal(seconds)))
            case FilesParam():
                raise AssertionError("no packaged price counts files")
        if not param.required:
            values.append((None, Decimal(0)))
        axes.append([(param.name, *value) for value in values])
    for point in product(*axes):
        lengths = [seconds for _, _, seconds in point if seconds]
        yield (
            {name: value for name, value, _ in point if value is not None},
            dict.fromkeys(["file:a"] * len(lengths), sum(lengths, Decimal(0))),
        )


def test_a_price_that_is_too_low_is_found() -> None:
    """2,001 characters take 36 credits, 19.80 at the guard, and bring 18."""
    spoken = model(
        TEXT,
        prices=(row("9.00"),),
        credits=(taken("12", per=Unit(param="text", size=1000)),),
    )

    assert words(spoken) == [
        "shop/model: text of 4001 characters: the person pays 18.00 RUB, KIE takes 33.00 RUB"
    ]
    assert words(evolve(spoken, params=(evolve(TEXT, max_length=2000),))) == []
    assert words(evolve(spoken, params=(evolve(TEXT, max_length=2001),))) == [
        "shop/model: text of 2001 characters: the person pays 18.00 RUB, KIE takes 19.80 RUB"
    ]


def test_planted_in_the_shipped_catalog_it_is_found_too() -> None:
    """The flat prices as they were typed: five models would have sold below cost."""
    flat = {
        model.id
        for model in SHIPPED.on_sale
        if losses(
            evolve(model, prices=tuple(evolve(r, per=None, when={}) for r in model.prices)),
            GUARD,
            TWICE,
        )
    }

    assert flat == {
        "bytedance/seedance-1.5-pro",
        "elevenlabs/audio-isolation",
        "elevenlabs/speech-to-text",
        "elevenlabs/text-to-speech-multilingual-v2",
        "elevenlabs/text-to-speech-turbo-2-5",
        "topaz/video-upscale",
        "veo3",
        "veo3_fast",
    }


@pytest.mark.parametrize(("seconds", "is_loss"), [(90, False), (91, True), (92, True)])
def test_a_unit_may_not_be_a_second_too_long(seconds: int, is_loss: bool) -> None:
    """Just below the place where a unit of the price ends is where it brings least."""
    unit = Unit(param="audio_url", size=seconds, in_seconds=True)
    isolation = SHIPPED.model("elevenlabs/audio-isolation")
    (price,) = isolation.prices

    assert (
        bool(losses(evolve(isolation, prices=(evolve(price, per=unit),)), GUARD, TWICE)) == is_loss
    )


def test_a_loss_in_the_middle_is_found() -> None:
    """The dearest job is not always the worst: here KIE's unit begins just before the price's."""
    voice = evolve(VOICE, max_seconds=180)
    found = model(
        voice,
        prices=(row("3.00", per=Unit(param="voice", size=90, in_seconds=True)),),
        credits=(taken("6", per=Unit(param="voice", size=60, in_seconds=True)),),
    )

    assert words(found) == [
        "shop/model: voice of 60.001 s: the person pays 6.00 RUB, KIE takes 6.60 RUB"
    ]


def test_answers_of_unknown_cost_are_found() -> None:
    found = model(
        SIZE,
        SOUND,
        prices=(row("9.00"),),
        credits=(taken("5", when={"size": ("small",), "sound": (None, False, True)}),),
    )

    assert set(words(found)) == {
        f"shop/model: size large, sound {sound}:"
        " the person pays 18.00 RUB, KIE takes nobody knows what"
        for sound in ("yes", "no", "not given")
    }


def test_what_cannot_be_bought_is_no_loss() -> None:
    found = model(
        SIZE,
        prices=(row("9.00", when={"size": ("small",)}),),
        credits=(taken("5", when={"size": ("small",)}),),
    )

    assert words(found) == []
    assert words(evolve(found, off="not sold")) == []


def test_what_a_rule_forbids_is_no_loss() -> None:
    together = Forbids(when=When(equals={"sound": (True,)}), values={"size": ("large",)})
    found = model(
        SIZE,
        SOUND,
        prices=(row("9.00"),),
        credits=(
            taken("5", when={"size": ("small",)}),
            taken("5", when={"size": ("large",), "sound": (None, False)}),
        ),
        rules=(together,),
    )

    assert words(found) == []
    assert len(words(evolve(found, rules=()))) == 1


def test_a_number_or_a_text_that_no_row_names_is_tried() -> None:
    frames = NumberParam(name="frames", label=LABEL, lowest=4, highest=60, whole=True)
    found = model(
        frames,
        evolve(TEXT, required=False),
        prices=(row("9.00"),),
        credits=(taken("5", when={"frames": (None, 4), "text": (None, "six")}),),
    )

    assert any("frames 5, say" in word for word in words(found))
    assert any("text x, say" in word for word in words(found))


def test_files_are_counted_up_to_the_most() -> None:
    files = FilesParam(
        name="files", label=LABEL, required=True, media=MediaKind.IMAGE, min_items=1, max_items=4
    )
    found = model(files, prices=(row("1.00"),), credits=(taken("1", per=Unit(param="files")),))

    assert words(found) == [
        "shop/model: files 4 files: the person pays 2.00 RUB, KIE takes 2.20 RUB"
    ]


def test_seconds_of_several_files_add_up() -> None:
    clips = FilesParam(
        name="clips", label=LABEL, required=True, media=MediaKind.VIDEO, max_items=3, max_seconds=10
    )
    found = model(
        clips,
        prices=(row("5.00"),),
        credits=(taken("1", per=Unit(param="clips", in_seconds=True)),),
    )

    assert words(found) == [
        "shop/model: clips 3 files of 29.001 s: the person pays 10.00 RUB, KIE takes 16.50 RUB"
    ]


def test_an_amount_without_a_bound_is_a_loss_at_a_flat_price() -> None:
    count = NumberParam(name="count", label=LABEL, required=True, whole=True)
    by_one = Unit(param="count")
    found = model(count, prices=(row("500.00"),), credits=(taken("1", per=by_one),))

    assert len(words(found)) == 1
    assert words(evolve(found, prices=(row("0.28", per=by_one),))) == []


# Prices from credits


@pytest.mark.parametrize("model", BILLED)
@pytest.mark.parametrize("rate", ["10", "79", "92.5", "1000"])
def test_a_price_from_credits_covers_what_kie_takes(model: Model, rate: str) -> None:
    rows = priced(model, Decimal(rate), "2026-11-22")
    if not rows:
        assert model.off is not None
        return

    sold = evolve(model, prices=rows, off=None)

    assert losses(sold, Decimal(rate), Decimal(1)) == ()


def test_what_is_off_for_a_reason_of_its_own_stays_so() -> None:
    stays = {m.id for m in SHIPPED.models if m.credits and not priced(m, GUARD, "2026-11-22")}

    assert stays == {
        "midjourney",
        "sora-2-image-to-video",
        "sora-2-pro-image-to-video",
        "sora-2-pro-text-to-video",
        "sora-2-text-to-video",
        "sora-watermark-remover",
    }


def test_a_row_says_where_it_is_from() -> None:
    (found,) = priced(SHIPPED.model("google/imagen4"), Decimal("92.5"), "2026-11-22")

    assert found == PriceRow(
        kie_price=Money.rub("3.70"),
        source="8 credits at 92.5 RUB per USD; KIE price list as copied by the reference repos,"
        " December 2025; the list swaps the plain and ultra lines; put right here",
        date="2026-11-22",
    )


def test_a_choice_is_priced_choice_by_choice() -> None:
    """Five seconds at 4.625 kopecks more are rounded once and not each second for itself."""
    clip = model(
        SECONDS,
        off=None,
        credits=(taken("2", per=Unit(param="seconds", default=5), variant="480p"),),
    )

    rows = priced(clip, Decimal("92.5"), "2026-11-22")

    assert [(r.kie_price, r.when, r.per) for r in rows] == [
        (Money.rub("4.63"), {"seconds": (None, "5")}, None),
        (Money.rub("9.25"), {"seconds": ("10",)}, None),
    ]
    assert rows[1].source.startswith("20 credits for 480p, seconds 10 at 92.5 RUB per USD")


def test_an_unmatched_answer_has_no_price() -> None:
    rows = priced(SHIPPED.model("hailuo/2.3"), Decimal(90), "2026-11-22")
    sold = evolve(SHIPPED.model("hailuo/2.3"), prices=rows, off=None)

    assert kie_price(sold, {"resolution": "1080P", "duration": "6"}) == Money.rub("22.50")
    with pytest.raises(PriceMissingError):
        kie_price(sold, {"resolution": "1080P", "duration": "10"})
