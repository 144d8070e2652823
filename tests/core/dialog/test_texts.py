"""How each language writes money, moments and numbers, and that it has a word for everything."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from kiebot.core.dialog.en import EN
from kiebot.core.dialog.ru import RU
from kiebot.core.dialog.texts import Texts, clock, shortened
from kiebot.core.errors import AnswerProblem
from kiebot.core.media import MediaKind
from kiebot.core.money import Money
from kiebot.core.tasks import FailReason
from kiebot.core.wallet import EntryKind

AFTERNOON = datetime(2026, 11, 21, 14, 2, tzinfo=UTC)

every_language = pytest.mark.parametrize("t", [RU, EN], ids=["ru", "en"])


@pytest.mark.parametrize(
    ("kopecks", "ru", "en"),
    [
        (0, "0 ₽", "0 ₽"),
        (5, "0,05 ₽", "0.05 ₽"),
        (650, "6,50 ₽", "6.50 ₽"),
        (30_00, "30 ₽", "30 ₽"),
        (1_000_00, "1 000 ₽", "1,000 ₽"),
        (1_234_567_89, "1 234 567,89 ₽", "1,234,567.89 ₽"),
    ],
)
def test_money_shows_kopecks_only_where_there_are_some(kopecks: int, ru: str, en: str) -> None:
    amount = Money(kopecks)

    assert (RU.money(amount), EN.money(amount)) == (ru, en)


def test_moments_are_written_as_the_language_does() -> None:
    moscow = timezone(timedelta(hours=3))

    assert RU.notation.at(AFTERNOON, UTC) == "21.11 14:02"
    assert EN.notation.at(AFTERNOON, UTC) == "Nov 21, 14:02"
    assert RU.notation.at(AFTERNOON, moscow) == "21.11 17:02"
    assert RU.notation.on(AFTERNOON, UTC) == "21.11.2026"
    assert EN.notation.on(AFTERNOON, UTC) == "Nov 21, 2026"
    assert EN.notation.when(AFTERNOON, UTC) == "Nov 21, 2026, 14:02"


@pytest.mark.parametrize(
    ("seconds", "ru", "en"),
    [
        (0.4, "0 с", "0 s"),
        (20, "20 с", "20 s"),
        (119, "119 с", "119 s"),
        (120, "2 мин", "2 min"),
        (3600, "1 ч", "1 h"),
        (3900, "1 ч 5 мин", "1 h 5 min"),
        (-5, "0 с", "0 s"),
    ],
)
def test_durations_are_as_long_as_they_matter(seconds: float, ru: str, en: str) -> None:
    time = timedelta(seconds=seconds)

    assert (RU.notation.lasting(time), EN.notation.lasting(time)) == (ru, en)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(3, "0:03"), (83.9, "1:23"), (3723, "1:02:03"), (-1, "0:00")]
)
def test_a_running_time_is_a_clock(seconds: float, shown: str) -> None:
    assert clock(timedelta(seconds=seconds)) == shown


@pytest.mark.parametrize(
    ("count", "ru", "en"),
    [
        (1, "1 работа", "1 job"),
        (2, "2 работы", "2 jobs"),
        (5, "5 работ", "5 jobs"),
        (11, "11 работ", "11 jobs"),
        (21, "21 работа", "21 jobs"),
    ],
)
def test_plurals_follow_the_language(count: int, ru: str, en: str) -> None:
    assert ru in RU.reserved("30 ₽", count)
    assert en in EN.reserved("30 ₽", count)


@pytest.mark.parametrize(
    ("value", "ru", "en"), [(5000, "5 000", "5,000"), (0.5, "0,5", "0.5"), (2.0, "2", "2")]
)
def test_numbers_are_as_short_as_they_are_exact(value: float, ru: str, en: str) -> None:
    assert (RU.notation.number(value), EN.notation.number(value)) == (ru, en)


def test_a_long_text_is_cut_to_one_line() -> None:
    assert shortened("a\n  b", 10) == "a b"
    assert shortened("x" * 11, 10) == "x" * 9 + "…"


@every_language
def test_there_is_a_word_for_everything(t: Texts) -> None:
    """A reason without a sentence would leave a person without one."""
    assert all(t.problem(problem, "3", "names") for problem in AnswerProblem)
    assert all(t.failed("30 ₽", reason, "") for reason in FailReason)
    assert set(t.advice) == set(FailReason)
    assert set(t.movement) == set(t.movement_job) == set(EntryKind)
    assert set(t.file_wanted) == set(MediaKind)
    assert all(t.in_work("Flux", kind) and t.files_wanted(kind, 1, 8) for kind in MediaKind)


@every_language
def test_a_failure_begins_with_what_happened_to_the_money(t: Texts) -> None:
    for reason in FailReason:
        assert t.failed("30 ₽", reason, "").startswith("30 ₽")
