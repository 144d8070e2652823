"""
Files among the answers of a job: which there are, and whether one that was looked into will do.
"""

from kiebot.core import pricing
from kiebot.core.catalog import Model
from kiebot.core.errors import AnswerProblem, InvalidAnswerError
from kiebot.core.media import Attachment
from kiebot.core.params import Answers, FileParam, FilesParam, check_file

ADDRESSES = ("http://", "https://")
"""How the references begin that are addresses; all others a frontend opens."""


def file_param(model: Model, name: str) -> FileParam | FilesParam | None:
    """The question of this name, where it is answered with files."""
    for param in model.params:
        if param.name == name and isinstance(param, FileParam | FilesParam):
            return param
    return None


def references(answers: Answers, name: str) -> tuple[str, ...]:
    """The files of one answer."""
    match answers.get(name):
        case str(reference) if reference:
            return (reference,)
        case list(several) | tuple(several):
            return tuple(one for one in several if isinstance(one, str) and one)
        case _:
            return ()


def is_address(reference: str) -> bool:
    """Whether it is an address, which is read over HTTP."""
    return reference[:8].lower().startswith(ADDRESSES)


def check(model: Model, param: FileParam | FilesParam, file: Attachment) -> None:
    """
    Whether a file that was looked into can answer this question.

    Raises:
        InvalidAnswerError: Of another kind, too large, too long, or nobody can say how long.
    """
    check_file(param, file)
    if pricing.is_timed(model, param) and file.seconds is None:
        raise InvalidAnswerError(param.name, AnswerProblem.LENGTH_UNKNOWN, given=file.name)
