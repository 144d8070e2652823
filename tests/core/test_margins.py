"""What was sold, what it cost, and where a price no longer fits."""

from decimal import Decimal
from typing import Any

from attrs import evolve

from kiebot.core import margins
from kiebot.core.catalog import Catalog
from kiebot.core.margins import Billed, DearerThanKnown, ModelSums, SoldAtLoss
from kiebot.core.money import Money
from kiebot.core.wallet import JobId
from tests.fakes.shop import CATALOG, PICTURE

TWICE = Decimal(2)
RATE = Decimal(100)
"""At it, a credit is half a rouble."""

AT_A_RATE = evolve(CATALOG, rub_per_usd=RATE)
SIZES = {"1K": 5, "2K": 7}
"""What the catalog says that a picture takes in credits; the person pays 30 roubles for each."""


def sums(model_id: str = PICTURE, **fields: Any) -> ModelSums:
    return ModelSums(model_id=model_id, **{"jobs": 1, **fields})


def billed(took: str, size: str = "1K", **fields: Any) -> Billed:
    standard: dict[str, Any] = {
        "job_id": JobId("job1"),
        "model_id": PICTURE,
        "params": {"prompt": "cat", "resolution": size},
        "price": Money(3000),
    }
    return Billed(credits=Decimal(took), **{**standard, **fields})


def misfits(*jobs: Billed, catalog: Catalog = AT_A_RATE) -> tuple[margins.Misfit, ...]:
    return margins.report([sums()], jobs, catalog, TWICE).misfits


def test_without_a_rate_no_cost_is_known() -> None:
    report = margins.report([sums(income=Money(3000), credits=Decimal(5))], [], CATALOG, TWICE)

    (line,) = report.margins
    assert (line.cost, line.margin_kop) == (None, None)
    assert (report.rub_per_usd, report.total_cost) == (None, None)
    assert report.checked_at == CATALOG.cost_guard


def test_the_catalogs_rate_counts_unless_another_is_given() -> None:
    lines = [sums(income=Money(3000), credits=Decimal("5.5"))]

    at_the_catalogs = margins.report(lines, [], AT_A_RATE, TWICE)
    at_another = margins.report(lines, [], AT_A_RATE, TWICE, Decimal(200))

    assert at_the_catalogs.margins[0].margin_kop == 3000 - 275
    assert at_another.margins[0].margin_kop == 3000 - 550
    assert at_another.checked_at == 200


def test_a_margin_may_be_below_nothing() -> None:
    """Failed jobs that KIE did take credits for bring in nothing."""
    report = margins.report([sums(failed=1, credits=Decimal(5))], [], AT_A_RATE, TWICE)

    assert report.margins[0].margin_kop == -250


def test_the_largest_income_comes_first_and_all_add_up() -> None:
    small = sums("veo3", income=Money(1), credits=Decimal("0.5"), untold=2)
    large = sums("suno/V5", jobs=3, failed=1, refunded=1, income=Money(9), credits=Decimal(1))
    left = sums("a/model-that-left", credits=Decimal(1))

    report = margins.report([small, left, large], [], AT_A_RATE, TWICE)

    assert [line.sums for line in report.margins] == [large, small, left]
    assert report.total == ModelSums(
        model_id="",
        jobs=5,
        failed=1,
        refunded=1,
        income=Money(10),
        credits=Decimal("2.5"),
        untold=2,
    )
    assert report.total_cost == Money(125)


def test_a_price_that_fits_is_no_misfit() -> None:
    assert misfits(billed("5"), billed("4.99"), billed("7", "2K")) == ()


def test_what_kie_takes_more_than_the_person_paid_is_a_loss() -> None:
    found = misfits(billed("5"), billed("60", size="4K"), billed("60.01", "4K", job_id=JobId("j")))

    assert found == (
        SoldAtLoss(
            model_id=PICTURE,
            job_id=JobId("j"),
            credits=Decimal("60.01"),
            costs=Money(3001),
            paid=Money(3000),
        ),
    )


def test_without_a_rate_losses_are_looked_for_at_the_cautious_one() -> None:
    """At 110 roubles for a dollar, 54.55 credits are more than 30 roubles."""
    assert misfits(billed("54.54", "4K"), catalog=CATALOG) == ()
    assert isinstance(misfits(billed("54.55", "4K"), catalog=CATALOG)[0], SoldAtLoss)


def test_the_largest_loss_is_told() -> None:
    jobs = [billed(f"{60 + n}", "4K", job_id=JobId(f"j{n}")) for n in (1, 3, 2)]

    (found,) = misfits(*jobs)

    assert found.job_id == "j3"


def test_a_loss_that_was_mended_is_none() -> None:
    """An old price that was too low is no news once the catalog asks enough."""
    assert misfits(billed("20", "4K", price=Money(900))) == ()


def test_what_cannot_be_bought_any_more_is_no_loss() -> None:
    off = evolve(CATALOG.model(PICTURE), off="too dear")
    models = tuple(off if model.id == PICTURE else model for model in CATALOG.models)

    assert misfits(billed("999", "4K"), catalog=evolve(AT_A_RATE, models=models)) == ()
    gone = "a/model-that-left"
    report = margins.report([sums(gone)], [billed("999", model_id=gone)], AT_A_RATE, TWICE)
    assert report.misfits == ()


def test_more_credits_than_the_catalog_says_for_the_answers_are_found() -> None:
    """The same 7 credits are right for a large picture and too many for a small one."""
    right, wrong = billed("7", "2K"), billed("7", "1K", job_id=JobId("j"))

    (found,) = misfits(right, wrong)

    assert found == DearerThanKnown(
        model_id=PICTURE, job_id=JobId("j"), credits=Decimal(7), expected=Decimal(5)
    )


def test_measured_files_count() -> None:
    """A minute of sound isolated is twelve credits; for half of it they are too many."""
    job = billed(
        "12",
        model_id="elevenlabs/audio-isolation",
        params={"audio_url": "file:///a.mp3"},
        measures={"file:///a.mp3": Decimal(60)},
    )

    assert misfits(job) == ()
    half = evolve(job, measures={"file:///a.mp3": Decimal(30)})
    report = margins.report([sums(job.model_id)], [half], AT_A_RATE, TWICE)
    (found,) = report.misfits
    assert isinstance(found, DearerThanKnown)
    assert found.expected == 6


def test_a_model_may_be_wrong_in_both_ways() -> None:
    (line,) = margins.report([sums()], [billed("70")], AT_A_RATE, TWICE).margins

    assert [type(misfit) for misfit in line.misfits] == [SoldAtLoss, DearerThanKnown]
