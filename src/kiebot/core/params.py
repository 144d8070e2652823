"""
Params: the questions a model asks, and whether an answer is good.

An answer is kept as the JSON value that KIE is sent (its wire value), so the answers of a job are
its parameters. What a rule of the model forbids or demands depends on the other answers, so
every function here takes the model, the answers so far and the name of the question.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Literal, Protocol, TypeAlias
from urllib.parse import unquote, urlsplit

from attrs import evolve, field, frozen

from kiebot.core.errors import AnswerProblem, InvalidAnswerError
from kiebot.core.language import Language, Localized
from kiebot.core.media import Attachment, MediaKind, kind_of

JsonValue: TypeAlias = (
    str | int | float | bool | Sequence["JsonValue"] | Mapping[str, "JsonValue"] | None
)
"""What JSON can say."""

Answers: TypeAlias = Mapping[str, JsonValue]
"""Wire values by the names of their params. None, "" and [] stand for no answer."""

MAX_TEXT = 20_000
"""
Characters in a text for which KIE states no limit.

Our choice: four times the longest common limit of KIE's pages (5,000), and small enough that no
one's answer fills the database.
"""

MB = 1024 * 1024

MAX_FILES = 10
"""Files in a list for which KIE states no limit. Our choice: what one Telegram album holds."""

LARGEST_NUMBER = Decimal(2**53 - 1)
"""A number for which KIE states no bound stays where JSON readers with doubles are exact."""

MAX_ADDRESS = 2048
"""Characters in an address of a file. Our choice: what every browser and server takes."""

NO_HINT = Localized(ru="", en="")

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_NUMBER = re.compile(r"[+-]?\d{1,16}(?:[.,]\d{1,10})?", re.ASCII)
_REFERENCE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")
_YES = {"yes", "y", "on", "true", "1", "+", "да", "д", "вкл", "включить", "включено"}
_NO = {"no", "n", "off", "false", "0", "-", "нет", "н", "выкл", "выключить", "выключено"}
_MIME_ALIASES = {
    "image/jpg": "image/jpeg",
    "audio/mp3": "audio/mpeg",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/m4a": "audio/mp4",
    "audio/x-m4a": "audio/mp4",
    "audio/opus": "audio/ogg",
}


def _exact(value: Decimal | int | str | None) -> Decimal | None:
    if isinstance(value, float):
        raise TypeError(f"{value!r} is a float: give a Decimal, it must be exact")
    return None if value is None else Decimal(value)


@frozen(kw_only=True)
class _Question:
    """
    What every kind of question has.

    `name` is KIE's name of the parameter. `default` is preset and sent; without one nothing is
    sent unless the person answers. `example` is only offered, never sent by itself. The primary
    param is the one the job is about (its prompt, or the file to work on). A technical one
    matters to few people and stands last among the settings.
    """

    name: str
    label: Localized
    hint: Localized = NO_HINT
    required: bool = False
    default: JsonValue = None
    example: JsonValue = None
    is_primary: bool = False
    is_technical: bool = False


@frozen(kw_only=True)
class TextParam(_Question):
    """Words. Lengths are counted in characters (Unicode code points)."""

    min_length: int = 0
    max_length: int = MAX_TEXT

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.min_length <= self.max_length or self.max_length < 1:
            raise ValueError(f"{self.name}: {self.min_length} to {self.max_length} characters")
        _check_question(self)


@frozen(kw_only=True)
class NumberParam(_Question):
    """
    A number.

    Steps are counted from `lowest`, from 0 where there is none. A whole number's wire value is
    an int, any other's a float.
    """

    lowest: Decimal | None = field(default=None, converter=_exact)
    highest: Decimal | None = field(default=None, converter=_exact)
    step: Decimal | None = field(default=None, converter=_exact)
    whole: bool = False

    def __attrs_post_init__(self) -> None:
        for bound in (self.lowest, self.highest, self.step):
            if bound is not None and not bound.is_finite():
                raise ValueError(f"{self.name}: {bound} is no bound")
        if self.lowest is not None and self.highest is not None and self.lowest > self.highest:
            raise ValueError(f"{self.name}: lowest {self.lowest} is above highest {self.highest}")
        if self.step is not None and self.step <= 0:
            raise ValueError(f"{self.name}: step {self.step} is not above 0")
        _check_question(self)


@frozen(kw_only=True)
class Choice:
    """One value of a choice, exactly as it is sent, and how a person reads it."""

    value: str | int | float
    label: Localized


@frozen(kw_only=True)
class ChoiceParam(_Question):
    """One of a few values; `wire` is their JSON type."""

    choices: tuple[Choice, ...]
    wire: Literal["string", "integer", "number"] = "string"

    def __attrs_post_init__(self) -> None:
        if not self.choices:
            raise ValueError(f"{self.name}: no choices")
        wanted = {"string": (str,), "integer": (int,), "number": (int, float)}[self.wire]
        seen: list[JsonValue] = []
        for choice in self.choices:
            if isinstance(choice.value, bool) or not isinstance(choice.value, wanted):
                raise ValueError(  # noqa: TRY004 - the class is right, its value is not
                    f"{self.name}: choice {choice.value!r} is no {self.wire}"
                )
            if choice.value == "" or choice.value in seen:
                raise ValueError(f"{self.name}: choice {choice.value!r} is empty or stands twice")
            seen.append(choice.value)
        _check_question(self)


@frozen(kw_only=True)
class SwitchParam(_Question):
    """Yes or no."""

    def __attrs_post_init__(self) -> None:
        _check_question(self)


@frozen(kw_only=True)
class FileParam(_Question):
    """
    One file; the answer is its reference.

    `accept` are MIME types, none for any of the kind. A MB is 1024 * 1024 bytes; None where KIE
    states no limit. `max_seconds` is the longest sound or clip that is taken.
    """

    media: MediaKind
    accept: tuple[str, ...] = ()
    max_mb: int | None = None
    max_seconds: int | None = None

    def __attrs_post_init__(self) -> None:
        _check_file_limits(self)
        _check_question(self)


@frozen(kw_only=True)
class FilesParam(_Question):
    """
    Several files, in order; the answer is the list of their references.

    The limits are those of `FileParam`, for each of the files.
    """

    media: MediaKind
    accept: tuple[str, ...] = ()
    max_mb: int | None = None
    max_seconds: int | None = None
    min_items: int = 1
    max_items: int = MAX_FILES

    def __attrs_post_init__(self) -> None:
        _check_file_limits(self)
        if not 1 <= self.min_items <= self.max_items:
            raise ValueError(f"{self.name}: {self.min_items} to {self.max_items} files")
        _check_question(self)


Param: TypeAlias = TextParam | NumberParam | ChoiceParam | SwitchParam | FileParam | FilesParam


@frozen(kw_only=True)
class When:
    """
    A condition on the answers; the empty one always holds.

    Every param in `equals` has one of its values, every one in `given` an answer, and none in
    `missing` has one.
    """

    equals: Mapping[str, tuple[JsonValue, ...]] = field(factory=dict)
    given: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The params it looks at."""
        return (*self.equals, *self.given, *self.missing)

    def holds(self, answers: Answers) -> bool:
        """Whether these answers meet it."""
        return (
            all(is_one_of(answers.get(name), values) for name, values in self.equals.items())
            and all(is_answered(answers.get(name)) for name in self.given)
            and not any(is_answered(answers.get(name)) for name in self.missing)
        )


@frozen(kw_only=True)
class Requires:
    """Under the condition these params must be answered."""

    when: When
    names: tuple[str, ...]


@frozen(kw_only=True)
class Limits:
    """Under the condition these texts may be no longer, these numbers no larger."""

    when: When
    max_length: Mapping[str, int] = field(factory=dict)
    highest: Mapping[str, Decimal] = field(factory=dict)


@frozen(kw_only=True)
class Forbids:
    """Under the condition these params may not have these values; without one they never may."""

    when: When
    values: Mapping[str, tuple[JsonValue, ...]]


@frozen(kw_only=True)
class AnyOf:
    """At least one of these params must be answered."""

    names: tuple[str, ...]


@frozen(kw_only=True)
class OneOf:
    """Exactly one of these params must be answered."""

    names: tuple[str, ...]


Rule: TypeAlias = Requires | Limits | Forbids | AnyOf | OneOf


class Form(Protocol):
    """What asks questions: a model of the catalog."""

    @property
    def params(self) -> tuple[Param, ...]:
        """The questions, in the order they are asked."""

    @property
    def rules(self) -> tuple[Rule, ...]:
        """What binds the answers to each other."""


@frozen(kw_only=True)
class Option:
    """A button of a question; `number` is its place in callback data and never moves."""

    number: int
    value: JsonValue
    label: str


def defaults(model: Form) -> dict[str, JsonValue]:
    """The answers a new job begins with: KIE itself fills in nothing that is required."""
    return {p.name: _checked(p, p.default) for p in model.params if is_answered(p.default)}


def primary(model: Form) -> Param | None:
    """The question the job is about, or None."""
    return next((param for param in model.params if param.is_primary), None)


def param_for(model: Form, answers: Answers, name: str) -> Param:
    """
    A question as it stands under the other answers: needed or not, with the limits and choices
    that the model's rules leave.

    Raises:
        InvalidAnswerError: UNKNOWN, the model has no such question.
    """
    param = _find(model, name)
    required = param.required
    for rule in model.rules:
        match rule:
            case Requires(when=when, names=names):
                required = required or (name in names and when.holds(answers))
            case AnyOf(names=names) | OneOf(names=names):
                nothing = not any(is_answered(answers.get(other)) for other in names)
                required = required or (names[0] == name and nothing)
            case Limits(when=when) if when.holds(answers):
                param = _limited(param, rule)
            case Forbids(when=when, values=values) if name in values and when.holds(answers):
                param = _without(param, values[name])
            case Limits() | Forbids():
                pass
    return param if param.required == required else evolve(param, required=required)


def next_question(model: Form, answers: Answers) -> Param | None:
    """
    What must be asked before the job can be offered, or None.

    In catalog order: what is required and has no answer, and what has one that the other answers
    have made wrong (a long prompt after the mode that allowed it was switched off).
    """
    for question in model.params:
        param = param_for(model, answers, question.name)
        value = answers.get(param.name)
        if not is_answered(value):
            if param.required:
                return param
            continue
        try:
            _check_together(model, answers, param.name, _checked(param, value))
        except InvalidAnswerError:
            return param
    return None


def settings(model: Form, answers: Answers) -> tuple[Param, ...]:
    """
    What can be tuned from the confirmation: everything but the primary param.

    First what has a preset or may be left out, then what the person had to give, and the
    technical ones last.
    """
    params = [param_for(model, answers, p.name) for p in model.params if not p.is_primary]
    return tuple(
        sorted(params, key=lambda p: (p.is_technical, p.required and not is_answered(p.default)))
    )


def read(model: Form, answers: Answers, name: str, given: str | Attachment) -> JsonValue:
    """
    The wire value of what a person typed or attached as an answer to one question.

    Where several files are asked, the given ones are added to those that are in `answers`; to
    begin anew, leave the name out of them.

    Raises:
        InvalidAnswerError: Not an answer to this question, or not beside the other answers.
    """
    param = param_for(model, answers, name)
    asked = _find(model, name)
    value: JsonValue
    match param:
        case FileParam():
            value = _read_file(param, given)
        case FilesParam():
            value = [*_references(answers.get(name)), *_read_files(param, given)]
            if len(value) > param.max_items:
                raise InvalidAnswerError(name, AnswerProblem.TOO_MANY_FILES, limit=param.max_items)
        case _ if isinstance(given, Attachment):
            raise InvalidAnswerError(name, AnswerProblem.WRONG_KIND, given=given.name)
        case TextParam():
            value = _read_text(param, given)
        case NumberParam():
            value = _read_number(param, given)
        case ChoiceParam():
            # Read with all the choices, so that one which a rule forbids is told as such.
            value = _read_choice(asked if isinstance(asked, ChoiceParam) else param, given)
        case SwitchParam():
            value = _read_switch(param, given)
    _check_together(model, answers, name, value)
    return value if isinstance(param, FilesParam) else _checked(param, value)


def most_bytes(param: FileParam | FilesParam) -> int | None:
    """How large a file may be that answers this question, None where only our own limit counts."""
    return None if param.max_mb is None else param.max_mb * MB


def check_file(param: FileParam | FilesParam, file: Attachment) -> None:
    """
    Whether a file is an answer, by what is known of it: its kind, its size, and how long it lasts.

    Raises:
        InvalidAnswerError: It is none.
    """

    def refuse(problem: AnswerProblem, limit: int | None = None) -> InvalidAnswerError:
        return InvalidAnswerError(param.name, problem, given=file.name, limit=limit)

    mime = _plain_mime(file.mime)
    accept = {_plain_mime(known) for known in param.accept}
    is_right = mime in accept if accept else kind_of(mime) is param.media
    if mime is not None and not is_right:
        raise refuse(AnswerProblem.WRONG_KIND)
    most = most_bytes(param)
    if most is not None and (file.size or 0) > most:
        raise refuse(AnswerProblem.FILE_TOO_LARGE, param.max_mb)
    if param.max_seconds is not None and (file.seconds or 0) > param.max_seconds:
        raise refuse(AnswerProblem.LASTS_TOO_LONG, param.max_seconds)


def options(model: Form, answers: Answers, name: str, language: Language) -> tuple[Option, ...]:
    """The buttons of a choice or switch; what the rules forbid beside the answers is left out."""
    possible = _labelled(_find(model, name))
    allowed = [value for value, _ in _labelled(param_for(model, answers, name))]
    return tuple(
        Option(number=number, value=value, label=label.to(language))
        for number, (value, label) in enumerate(possible, start=1)
        if is_one_of(value, allowed) and not _forbidden(model, answers, name, value)
    )


def option(model: Form, answers: Answers, name: str, number: int) -> JsonValue:
    """
    The wire value behind a button.

    Raises:
        InvalidAnswerError: There is no such button, or not beside the other answers.
    """
    possible = _labelled(_find(model, name))
    if not 1 <= number <= len(possible):
        raise InvalidAnswerError(name, AnswerProblem.NOT_A_CHOICE, given=str(number))
    value, _ = possible[number - 1]
    _check_together(model, answers, name, value)
    return _checked(param_for(model, answers, name), value)


def shown(param: Param, value: JsonValue, language: Language) -> str:
    """An answer as a person reads it; empty where there is none."""
    if not is_answered(value):
        return ""
    match param:
        case ChoiceParam():
            labels = [label for known, label in _labelled(param) if is_same(known, value)]
            return labels[0].to(language) if labels else str(value)
        case SwitchParam():
            return (_YES_LABEL if value is True else _NO_LABEL).to(language)
        case NumberParam():
            text = _plain(value)
            return text.replace(".", ",") if language is Language.RU else text
        case FileParam():
            return _file_name(param.media, str(value), language)
        case FilesParam():
            return ", ".join(_file_name(param.media, r, language) for r in _references(value))
        case TextParam():
            return str(value)


def verify(model: Form, answers: Answers) -> dict[str, JsonValue]:
    """
    All answers of a job, checked once more and in catalog order: the last gate before money.

    Nothing is filled in: a program adds its own answers to `defaults` before.

    Raises:
        InvalidAnswerError: The first that is unknown, missing, wrong or not beside the others.
    """
    names = [param.name for param in model.params]
    for name in answers:
        if name not in names:
            raise InvalidAnswerError(name, AnswerProblem.UNKNOWN)
    _check_groups(model, answers)
    good: dict[str, JsonValue] = {}
    for name in names:
        param = param_for(model, answers, name)
        value = answers.get(name)
        if is_answered(value):
            _check_together(model, answers, name, value)
            good[name] = _checked(param, value)
        elif param.required:
            raise InvalidAnswerError(name, AnswerProblem.MISSING)
    return good


def is_answered(value: JsonValue) -> bool:
    """Whether this is an answer at all."""
    return not (value is None or value == "" or value == [] or value == ())


def is_same(one: JsonValue, other: JsonValue) -> bool:
    """Equality as JSON has it: 1 and 1.0 are the same number, true is none."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def is_one_of(value: JsonValue, values: Iterable[JsonValue]) -> bool:
    """Whether it is the same as one of them."""
    return any(is_same(value, other) for other in values)


def is_possible(param: Param, value: JsonValue) -> bool:
    """Whether the param can have this wire value, whatever the other answers are."""
    try:
        _checked(param, value)
    except InvalidAnswerError:
        return False
    return True


_YES_LABEL = Localized(ru="Да", en="Yes")
_NO_LABEL = Localized(ru="Нет", en="No")
_FILE_WORDS = {
    MediaKind.IMAGE: Localized(ru="картинка", en="picture"),
    MediaKind.VIDEO: Localized(ru="видео", en="video"),
    MediaKind.AUDIO: Localized(ru="аудио", en="audio"),
    MediaKind.TEXT: Localized(ru="текст", en="text"),
    MediaKind.DOCUMENT: Localized(ru="файл", en="file"),
}


def _check_question(param: Param) -> None:
    if not _NAME.fullmatch(param.name):
        raise ValueError(f"{param.name!r} is no name of a param")
    if not (param.label.ru.strip() and param.label.en.strip()):
        raise ValueError(f"{param.name}: the label is empty")
    for what, value in (("default", param.default), ("example", param.example)):
        if not is_answered(value):
            continue
        try:
            _checked(param, value)
        except InvalidAnswerError as exc:
            raise ValueError(f"{param.name}: {what} {value!r} is refused: {exc}") from exc


def _check_file_limits(param: FileParam | FilesParam) -> None:
    if param.max_mb is not None and param.max_mb < 1:
        raise ValueError(f"{param.name}: {param.max_mb} MB")
    if param.max_seconds is None:
        return
    if param.max_seconds < 1:
        raise ValueError(f"{param.name}: {param.max_seconds} seconds")
    if param.media not in {MediaKind.AUDIO, MediaKind.VIDEO}:
        raise ValueError(f"{param.name}: no {param.media} lasts")


def _find(model: Form, name: str) -> Param:
    for param in model.params:
        if param.name == name:
            return param
    raise InvalidAnswerError(name, AnswerProblem.UNKNOWN)


def _limited(param: Param, rule: Limits) -> Param:
    length = rule.max_length.get(param.name)
    if isinstance(param, TextParam) and length is not None and length < param.max_length:
        # Narrower limits may shut out the presets, which a param refuses to be made with.
        narrow = evolve(param, max_length=length, default=None, example=None)
        return _with_presets(narrow, param)
    bound = rule.highest.get(param.name)
    if isinstance(param, NumberParam) and bound is not None:
        highest = bound if param.highest is None else min(bound, param.highest)
        return _with_presets(evolve(param, highest=highest, default=None, example=None), param)
    if isinstance(param, ChoiceParam) and bound is not None:
        return _without(param, [c.value for c in param.choices if Decimal(str(c.value)) > bound])
    return param


def _without(param: Param, values: Iterable[JsonValue]) -> Param:
    if not isinstance(param, ChoiceParam):
        return param
    gone = tuple(values)
    left = tuple(c for c in param.choices if not is_one_of(c.value, gone))
    if not left:
        return param
    return _with_presets(evolve(param, choices=left, default=None, example=None), param)


def _with_presets(param: Param, wide: Param) -> Param:
    return evolve(
        param,
        default=wide.default if is_possible(param, wide.default) else None,
        example=wide.example if is_possible(param, wide.example) else None,
    )


def _forbidden(
    model: Form, answers: Answers, name: str, value: JsonValue
) -> Forbids | OneOf | None:
    """The rule that forbids this answer beside the others."""
    all_answers = {**answers, name: value}
    for rule in model.rules:
        match rule:
            case Forbids(when=when, values=values) if name in values:
                if is_one_of(value, values[name]) and when.holds(all_answers):
                    return rule
            case OneOf(names=names) if name in names:
                if any(n != name and is_answered(answers.get(n)) for n in names):
                    return rule
            case _:
                pass
    return None


def _check_together(model: Form, answers: Answers, name: str, value: JsonValue) -> None:
    match _forbidden(model, answers, name, value):
        case Forbids(when=when) if not when.names:
            raise InvalidAnswerError(name, AnswerProblem.NOT_A_CHOICE, given=_quoted(value))
        case Forbids(when=when):
            raise InvalidAnswerError(
                name, AnswerProblem.NOT_TOGETHER, given=_quoted(value), names=(name, *when.names)
            )
        case OneOf(names=names):
            raise InvalidAnswerError(name, AnswerProblem.NOT_TOGETHER, names=names)
        case None:
            return


def _check_groups(model: Form, answers: Answers) -> None:
    for rule in model.rules:
        if isinstance(rule, AnyOf | OneOf) and not any(
            is_answered(answers.get(name)) for name in rule.names
        ):
            raise InvalidAnswerError(rule.names[0], AnswerProblem.ONE_OF, names=rule.names)


def _checked(param: Param, value: JsonValue) -> JsonValue:
    """A wire value, checked against the param alone."""
    match param:
        case TextParam():
            if not isinstance(value, str):
                raise InvalidAnswerError(param.name, AnswerProblem.UNREADABLE)
            return _read_text(param, value)
        case NumberParam():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise InvalidAnswerError(param.name, AnswerProblem.NOT_A_NUMBER)
            # A float says what its shortest spelling says: 0.1 is a tenth.
            return _bounded(param, Decimal(value if isinstance(value, int) else repr(value)))
        case ChoiceParam():
            for choice in param.choices:
                if is_same(choice.value, value):
                    return choice.value
            raise InvalidAnswerError(param.name, AnswerProblem.NOT_A_CHOICE, given=_quoted(value))
        case SwitchParam():
            if not isinstance(value, bool):
                raise InvalidAnswerError(
                    param.name, AnswerProblem.NOT_A_CHOICE, given=_quoted(value)
                )
            return value
        case FileParam():
            return _reference(param.name, value)
        case FilesParam():
            if isinstance(value, str) or not isinstance(value, Sequence):
                raise InvalidAnswerError(param.name, AnswerProblem.NOT_A_FILE)
            if len(value) < param.min_items:
                raise InvalidAnswerError(
                    param.name, AnswerProblem.TOO_FEW_FILES, limit=param.min_items
                )
            if len(value) > param.max_items:
                raise InvalidAnswerError(
                    param.name, AnswerProblem.TOO_MANY_FILES, limit=param.max_items
                )
            return [_reference(param.name, item) for item in value]


def _read_text(param: TextParam, given: str) -> str:
    text = given.strip()
    if not text:
        raise InvalidAnswerError(param.name, AnswerProblem.EMPTY)
    # The length first: what is too long is not worth looking through.
    if len(text) > param.max_length:
        raise InvalidAnswerError(param.name, AnswerProblem.TOO_LONG, limit=param.max_length)
    if not _is_readable(text):
        raise InvalidAnswerError(param.name, AnswerProblem.UNREADABLE)
    if len(text) < param.min_length:
        raise InvalidAnswerError(
            param.name, AnswerProblem.TOO_SHORT, given=text, limit=param.min_length
        )
    return text


def _is_readable(text: str) -> bool:
    return all(char in "\n\t\r" or unicodedata.category(char) not in {"Cc", "Cs"} for char in text)


def _read_number(param: NumberParam, given: str) -> int | float:
    text = given.strip().replace("\N{MINUS SIGN}", "-")
    if not _NUMBER.fullmatch(text):
        raise InvalidAnswerError(param.name, AnswerProblem.NOT_A_NUMBER, given=given[:40])
    return _bounded(param, Decimal(text.replace(",", ".")))


def _bounded(param: NumberParam, number: Decimal) -> int | float:
    def refuse(problem: AnswerProblem, limit: Decimal | None = None) -> InvalidAnswerError:
        bound = None if limit is None else _wire(limit)
        return InvalidAnswerError(param.name, problem, given=str(number), limit=bound)

    if not number.is_finite():
        raise refuse(AnswerProblem.NOT_A_NUMBER)
    lowest = -LARGEST_NUMBER if param.lowest is None else param.lowest
    highest = LARGEST_NUMBER if param.highest is None else param.highest
    if number < lowest:
        raise refuse(AnswerProblem.TOO_SMALL, lowest)
    if number > highest:
        raise refuse(AnswerProblem.TOO_LARGE, highest)
    if param.whole and number != number.to_integral_value():
        raise refuse(AnswerProblem.NOT_WHOLE)
    if param.step is not None and (number - (param.lowest or 0)) % param.step != 0:
        raise refuse(AnswerProblem.OFF_STEP, param.step)
    return int(number) if param.whole else float(number)


def _read_choice(param: ChoiceParam, given: str) -> JsonValue:
    text = given.strip()
    folded = _folded(text)
    for spelling in (str, _folded):
        for choice in param.choices:
            if spelling(choice.value) == spelling(text):
                return choice.value
    for choice in param.choices:
        if folded in {_folded(choice.label.ru), _folded(choice.label.en)}:
            return choice.value
    raise InvalidAnswerError(param.name, AnswerProblem.NOT_A_CHOICE, given=text[:40])


def _folded(value: object) -> str:
    return str(value).casefold()


def _read_switch(param: SwitchParam, given: str) -> bool:
    word = given.strip().casefold()
    if word in _YES:
        return True
    if word in _NO:
        return False
    raise InvalidAnswerError(param.name, AnswerProblem.NOT_A_CHOICE, given=given[:40])


def _read_files(param: FilesParam, given: str | Attachment) -> list[str]:
    if isinstance(given, Attachment):
        return [_read_file(param, given)]
    return [_read_file(param, word) for word in given.split() or [""]]


def _read_file(param: FileParam | FilesParam, given: str | Attachment) -> str:
    if isinstance(given, str):
        return _address(param.name, given.strip())
    check_file(param, given)
    return _reference(param.name, given.reference)


def _plain_mime(mime: str | None) -> str | None:
    if mime is None:
        return None
    plain = mime.split(";")[0].strip().lower()
    return _MIME_ALIASES.get(plain, plain)


def _address(name: str, text: str) -> str:
    problem = AnswerProblem.NOT_A_FILE
    try:
        parts = urlsplit(text)
        if parts.scheme in {"http", "https"} and parts.hostname:
            return _reference(name, text)
        if parts.scheme not in {"", "http", "https"} and "://" in text:
            problem = AnswerProblem.NOT_PUBLIC
    except ValueError:
        pass
    raise InvalidAnswerError(name, problem, given=text[:40])


def _reference(name: str, value: JsonValue) -> str:
    """A file's reference, `scheme:` and no spaces; what it leads to is not known here."""
    if (
        not isinstance(value, str)
        or len(value) > MAX_ADDRESS
        or not _REFERENCE.fullmatch(value)
        or not _is_readable(value)
    ):
        raise InvalidAnswerError(name, AnswerProblem.NOT_A_FILE, given=_quoted(value))
    return value


def _references(value: JsonValue) -> list[str]:
    if value is None or isinstance(value, str) or not isinstance(value, Sequence):
        return []
    return [str(item) for item in value]


def _labelled(param: Param) -> tuple[tuple[JsonValue, Localized], ...]:
    match param:
        case ChoiceParam():
            return tuple((choice.value, choice.label) for choice in param.choices)
        case SwitchParam():
            return ((True, _YES_LABEL), (False, _NO_LABEL))
        case _:
            return ()


def _quoted(value: JsonValue) -> str:
    # A program may give anything, also whole numbers too long for str().
    if isinstance(value, int) and abs(value) > LARGEST_NUMBER:
        return "a number"
    return str(value)[:40]


def _wire(number: Decimal) -> int | float:
    return int(number) if number == number.to_integral_value() else float(number)


def _plain(value: JsonValue) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return format(Decimal(repr(value)), "f") if isinstance(value, float) else str(value)


def _file_name(media: MediaKind, reference: str, language: Language) -> str:
    try:
        parts = urlsplit(reference)
    except ValueError:
        return _FILE_WORDS[media].to(language)
    name = unquote(parts.path.rstrip("/").rsplit("/", 1)[-1])
    # A frontend's own reference is an id that means nothing to a person.
    if parts.scheme not in {"http", "https", "file"} or not name:
        return _FILE_WORDS[media].to(language)
    return name
