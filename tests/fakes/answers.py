"""Answers that a model takes, for tests that need some and do not care which."""

from decimal import Decimal

from kiebot.core.media import MediaKind
from kiebot.core.params import (
    ChoiceParam,
    FileParam,
    FilesParam,
    Form,
    JsonValue,
    NumberParam,
    Param,
    SwitchParam,
    TextParam,
    defaults,
    next_question,
)

WORDS = "A red tram crossing a snowy bridge at dawn"

ADDRESSES = {
    MediaKind.IMAGE: "https://files.example.org/tram.png",
    MediaKind.VIDEO: "https://files.example.org/tram.mp4",
    MediaKind.AUDIO: "https://files.example.org/tram.mp3",
    MediaKind.TEXT: "https://files.example.org/tram.txt",
    MediaKind.DOCUMENT: "https://files.example.org/tram.pdf",
}
"""Where the file answers lead; nobody reads them. Source of the name: RFC 2606."""


def good_answers(model: Form) -> dict[str, JsonValue]:
    """The presets, and the plainest answer to every question that must be answered beside them."""
    answers = defaults(model)
    for _ in range(2 * len(model.params)):
        question = next_question(model, answers)
        if question is None:
            return answers
        answers[question.name] = good_answer(question)
    raise AssertionError(f"no answers please this model: {answers}")


def good_answer(param: Param) -> JsonValue:
    """The plainest answer to one question: short words, the first choice, no, as few as can be."""
    match param:
        case TextParam(min_length=least, max_length=most):
            return WORDS.ljust(least, ".")[:most]
        case NumberParam(lowest=lowest, highest=highest, whole=whole):
            number = lowest if lowest is not None else min(Decimal(1), highest or Decimal(1))
            return int(number) if whole else float(number)
        case ChoiceParam(choices=choices):
            return choices[0].value
        case SwitchParam():
            return False
        case FileParam(media=media):
            return ADDRESSES[media]
        case FilesParam(media=media, min_items=least):
            return [ADDRESSES[media]] * least
