"""Drafts whose price hangs on how long a file lasts."""

from datetime import timedelta
from decimal import Decimal

from kiebot.adapters.catalog import load_catalog
from kiebot.core import drafts
from kiebot.core.drafts import Drafted
from kiebot.core.money import Money
from kiebot.core.params import JsonValue
from kiebot.core.users import UserId
from kiebot.core.wallet import JobId
from tests.fakes.clock import START

ISOLATION = load_catalog().model("elevenlabs/audio-isolation")
TWICE = Decimal(2)
FILE = "file:///voice.mp3"
LONGER = "file:///longer.mp3"
ANSWERS: dict[str, JsonValue] = {"audio_url": FILE}
LENGTH = {FILE: Decimal("90.5")}


def begun(measures: dict[str, Decimal]) -> Drafted:
    return drafts.begin(JobId("first"), UserId(1), ISOLATION, ANSWERS, TWICE, START, measures)


def test_a_measured_file_makes_an_offer() -> None:
    drafted = begun(LENGTH)

    assert drafted.question is None
    assert drafted.job.is_offer
    assert (drafted.job.price, drafted.job.measures) == (Money(20_00), LENGTH)


def test_a_file_that_nobody_measured_makes_none() -> None:
    drafted = begun({})

    assert (drafted.question, drafted.job.price) == (None, None)
    assert not drafted.job.is_offer


def test_another_file_has_its_own_price() -> None:
    job = begun(LENGTH).job

    drafted = drafts.answer(
        job,
        ISOLATION,
        {"audio_url": LONGER},
        TWICE,
        START + timedelta(minutes=1),
        new_id=JobId("second"),
        measures={LONGER: Decimal(300)},
    )

    assert drafted.job.id == JobId("second")
    assert drafted.job.price == Money(40_00)


def test_a_refused_offer_keeps_what_was_measured() -> None:
    job = begun(LENGTH).job

    drafted = drafts.reoffer(job, ISOLATION, TWICE, START, new_id=JobId("second"))

    assert (drafted.job.price, drafted.job.measures) == (Money(20_00), LENGTH)


def test_the_price_of_today_is_that_of_the_measured_file() -> None:
    assert drafts.price_now(ISOLATION, ANSWERS, TWICE, LENGTH) == Money(20_00)
    assert drafts.price_now(ISOLATION, ANSWERS, TWICE) is None
