"""Files among answers: which there are, and whether what was found in one will do."""

from decimal import Decimal

import pytest

from kiebot.adapters.catalog import load_catalog
from kiebot.core import files
from kiebot.core.errors import AnswerProblem, InvalidAnswerError
from kiebot.core.media import Attachment
from kiebot.core.params import FileParam, FilesParam, JsonValue

CATALOG = load_catalog(None)
SCRIBE = CATALOG.model("elevenlabs/speech-to-text")
TALK = files.file_param(SCRIBE, "audio_url")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (None, ()),
        ("", ()),
        ([], ()),
        (1, ()),
        ("https://a.example/1", ("https://a.example/1",)),
        (["tg:1", "", None, "tg:2"], ("tg:1", "tg:2")),
    ],
)
def test_the_files_of_an_answer(value: JsonValue, found: tuple[str, ...]) -> None:
    assert files.references({"x": value}, "x") == found
    assert files.references({}, "x") == ()


def test_only_questions_for_files_are_answered_with_them() -> None:
    assert isinstance(TALK, FileParam | FilesParam)
    assert files.file_param(SCRIBE, "language_code") is None
    assert files.file_param(SCRIBE, "no such question") is None


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("https://a.example/1", True),
        ("http://a.example/1", True),
        ("Https://a.example/1", True),  # a telephone begins every line with a capital
        ("file:///https://", False),
        ("tg:https://", False),
    ],
)
def test_an_address_is_read_over_http(reference: str, *, found: bool) -> None:
    assert files.is_address(reference) == found


@pytest.mark.parametrize(
    ("mime", "seconds", "problem"),
    [
        ("image/png", "10", AnswerProblem.WRONG_KIND),
        ("audio/mpeg", "7201", AnswerProblem.LASTS_TOO_LONG),
        ("audio/mpeg", None, AnswerProblem.LENGTH_UNKNOWN),
        ("audio/mpeg", "7200", None),
    ],
)
def test_a_length_that_matters_must_be_known(
    mime: str, seconds: str | None, problem: AnswerProblem | None
) -> None:
    file = Attachment(
        reference="tg:1", mime=mime, seconds=None if seconds is None else Decimal(seconds)
    )
    assert TALK is not None

    found = None
    try:
        files.check(SCRIBE, TALK, file)
    except InvalidAnswerError as error:
        found = error.problem

    assert found is problem
