"""Questions, answers, and the rules between answers."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve, frozen
from hypothesis import given
from hypothesis import strategies as st

from kiebot.core.errors import AnswerProblem, InvalidAnswerError
from kiebot.core.language import Language, Localized
from kiebot.core.media import Attachment, MediaKind
from kiebot.core.params import (
    MAX_FILES,
    MAX_TEXT,
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
    Option,
    Param,
    Requires,
    Rule,
    SwitchParam,
    TextParam,
    When,
    defaults,
    next_question,
    option,
    options,
    param_for,
    primary,
    read,
    settings,
    shown,
    verify,
)

LABEL = Localized(ru="Вопрос", en="Question")
PNG = "image/png"
MB = 1024 * 1024


@frozen(kw_only=True)
class Questions:
    """The smallest thing that asks questions."""

    params: tuple[Param, ...]
    rules: tuple[Rule, ...] = ()


def questions(*params: Param, rules: tuple[Rule, ...] = ()) -> Questions:
    return Questions(params=params, rules=rules)


def text(name: str = "prompt", **fields: Any) -> TextParam:
    return TextParam(name=name, label=LABEL, **fields)


def number(name: str = "seed", **fields: Any) -> NumberParam:
    return NumberParam(name=name, label=LABEL, **fields)


def switch(name: str = "sound", **fields: Any) -> SwitchParam:
    return SwitchParam(name=name, label=LABEL, **fields)


def choice(name: str, *values: str | int | float, **fields: Any) -> ChoiceParam:
    choices = tuple(Choice(value=v, label=Localized(ru=f"{v} р", en=f"{v} e")) for v in values)
    return ChoiceParam(name=name, label=LABEL, choices=choices, **fields)


def picture(name: str = "image_url", **fields: Any) -> FileParam:
    return FileParam(name=name, label=LABEL, media=MediaKind.IMAGE, **fields)


def pictures(name: str = "image_urls", **fields: Any) -> FilesParam:
    return FilesParam(name=name, label=LABEL, media=MediaKind.IMAGE, **fields)


def attached(**fields: Any) -> Attachment:
    return Attachment(reference="file:///tmp/cat.png", name="cat.png", **fields)


def read_one(param: Param, given: str | Attachment) -> JsonValue:
    return read(questions(param), {}, param.name, given)


def refusal(act: Callable[[], object]) -> InvalidAnswerError:
    with pytest.raises(InvalidAnswerError) as caught:
        act()
    return caught.value


def problem_of(param: Param, given: str | Attachment) -> tuple[AnswerProblem, float | None]:
    error = refusal(lambda: read_one(param, given))
    assert error.param == param.name
    return error.problem, error.limit


# Texts


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("рыжий кот", "рыжий кот"),
        ("  кот\n", "кот"),
        ("две\nстроки\tи таб", "две\nстроки\tи таб"),
        ("кот 🐈‍⬛ и 👩🏽‍🚀", "кот 🐈‍⬛ и 👩🏽‍🚀"),
        ("'; drop table jobs; -- <b>%s</b> {0}", "'; drop table jobs; -- <b>%s</b> {0}"),
    ],
)
def test_a_text_is_kept_as_it_was_typed(typed: str, value: str) -> None:
    assert read_one(text(), typed) == value


@pytest.mark.parametrize(
    ("typed", "problem", "limit"),
    [
        ("", AnswerProblem.EMPTY, None),
        (" \n\t\u00a0", AnswerProblem.EMPTY, None),
        ("ко", AnswerProblem.TOO_SHORT, 3),
        ("к" * 6, AnswerProblem.TOO_LONG, 5),
        ("к" * 100_000, AnswerProblem.TOO_LONG, 5),
        ("к\0т", AnswerProblem.UNREADABLE, None),
        ("к\x1bт", AnswerProblem.UNREADABLE, None),
        ("к\x7fт", AnswerProblem.UNREADABLE, None),
        ("к\ud800т", AnswerProblem.UNREADABLE, None),
    ],
)
def test_a_text_that_is_no_answer_is_refused(
    typed: str, problem: AnswerProblem, limit: float | None
) -> None:
    assert problem_of(text(min_length=3, max_length=5), typed) == (problem, limit)


def test_length_is_counted_in_characters_and_not_in_bytes() -> None:
    assert read_one(text(max_length=3), "🐈🐈🐈") == "🐈🐈🐈"


def test_a_text_without_a_limit_of_kie_has_ours() -> None:
    assert problem_of(text(), "к" * (MAX_TEXT + 1)) == (AnswerProblem.TOO_LONG, MAX_TEXT)


def test_a_file_is_no_text() -> None:
    assert problem_of(text(), attached()) == (AnswerProblem.WRONG_KIND, None)


# Numbers


@pytest.mark.parametrize(
    ("typed", "value"), [("0.5", 0.5), ("0,5", 0.5), (" 1 ", 1.0), ("0,70", 0.7), ("0.0", 0.0)]
)
def test_a_number_is_read_with_point_or_comma(typed: str, value: float) -> None:
    found = read_one(number(lowest="0", highest="1", step="0.1"), typed)

    assert found == value
    assert isinstance(found, float)


@pytest.mark.parametrize(
    ("typed", "value"), [("7", 7), ("-1", -1), ("−1", -1), ("+3", 3), ("4,0", 4)]
)
def test_a_whole_number_is_sent_as_one(typed: str, value: int) -> None:
    found = read_one(number(whole=True), typed)

    assert found == value
    assert isinstance(found, int)


@pytest.mark.parametrize(
    ("typed", "problem", "limit"),
    [
        ("", AnswerProblem.NOT_A_NUMBER, None),
        ("два", AnswerProblem.NOT_A_NUMBER, None),
        ("inf", AnswerProblem.NOT_A_NUMBER, None),
        ("nan", AnswerProblem.NOT_A_NUMBER, None),
        ("1e1", AnswerProblem.NOT_A_NUMBER, None),
        ("1e999999999", AnswerProblem.NOT_A_NUMBER, None),
        ("0x10", AnswerProblem.NOT_A_NUMBER, None),
        ("٣", AnswerProblem.NOT_A_NUMBER, None),
        ("1 000", AnswerProblem.NOT_A_NUMBER, None),
        ("9" * 5000, AnswerProblem.NOT_A_NUMBER, None),
        ("1,9", AnswerProblem.TOO_SMALL, 2),
        ("22.5", AnswerProblem.TOO_LARGE, 22),
        ("3.25", AnswerProblem.OFF_STEP, 0.5),
    ],
)
def test_a_number_that_is_no_answer_is_refused(
    typed: str, problem: AnswerProblem, limit: float | None
) -> None:
    assert problem_of(number(lowest=2, highest=22, step="0.5"), typed) == (problem, limit)


def test_a_half_is_no_whole_number() -> None:
    assert problem_of(number(whole=True), "0.5") == (AnswerProblem.NOT_WHOLE, None)


def test_a_lower_bound_of_zero_is_told() -> None:
    assert problem_of(number(lowest=0), "-1") == (AnswerProblem.TOO_SMALL, 0)


def test_steps_are_counted_from_the_lowest() -> None:
    frames = number("num_frames", lowest=42, highest=120, step=4, whole=True)

    assert read_one(frames, "46") == 46
    assert problem_of(frames, "44") == (AnswerProblem.OFF_STEP, 4)


def test_a_number_without_bounds_stays_where_doubles_are_exact() -> None:
    assert read_one(number(whole=True), str(2**53 - 1)) == 2**53 - 1
    assert problem_of(number(whole=True), str(2**53)) == (AnswerProblem.TOO_LARGE, 2**53 - 1)


@given(st.decimals(min_value=0, max_value=1, places=2))
def test_every_step_between_the_bounds_is_read_back_exactly(value: Decimal) -> None:
    param = number(lowest=0, highest=1, step="0.01")

    found = read_one(param, str(value).replace(".", ","))

    assert Decimal(repr(found)) == value
    assert verify(questions(param), {param.name: found}) == {param.name: found}


# Choices and switches


@pytest.mark.parametrize("typed", ["5", " 5 ", "5 р", "5 Р", "5 e", "5 E"])
def test_a_choice_is_named_by_value_or_label(typed: str) -> None:
    assert read_one(choice("duration", "5", "10"), typed) == "5"


def test_a_choice_has_the_type_that_is_sent() -> None:
    found = read_one(choice("duration", 5, 10, wire="integer"), "10")

    assert found == 10
    assert isinstance(found, int)


def test_an_exact_value_wins_over_another_ones_label() -> None:
    """Two voices may have the same name; the value is never ambiguous."""
    voices = ChoiceParam(
        name="voice",
        label=LABEL,
        choices=(
            Choice(value="id7", label=Localized(ru="Liam", en="Liam")),
            Choice(value="Liam", label=Localized(ru="Лиам", en="Liam the first")),
        ),
    )

    assert read_one(voices, "Liam") == "Liam"


def test_what_is_no_choice_is_refused() -> None:
    assert problem_of(choice("duration", "5", "10"), "7") == (AnswerProblem.NOT_A_CHOICE, None)


def test_options_are_numbered_from_one() -> None:
    model = questions(choice("duration", "5", "10"))

    assert options(model, {}, "duration", Language.EN) == (
        Option(number=1, value="5", label="5 e"),
        Option(number=2, value="10", label="10 e"),
    )
    assert option(model, {}, "duration", 2) == "10"


def test_a_switch_has_two_options() -> None:
    model = questions(switch())

    labels = [o.label for o in options(model, {}, "sound", Language.RU)]

    assert labels == ["Да", "Нет"]
    assert option(model, {}, "sound", 1) is True
    assert option(model, {}, "sound", 2) is False


@pytest.mark.parametrize("pressed", [-1, 0, 3, 10**30])
def test_a_button_that_is_not_there_is_refused(pressed: int) -> None:
    model = questions(choice("duration", "5", "10"))

    error = refusal(lambda: option(model, {}, "duration", pressed))

    assert error.problem is AnswerProblem.NOT_A_CHOICE


def test_a_text_has_no_options() -> None:
    assert options(questions(text()), {}, "prompt", Language.RU) == ()


@pytest.mark.parametrize("typed", ["yes", "да", "ДА", "on", "1", "true", "вкл"])
def test_yes_is_said_in_many_ways(typed: str) -> None:
    assert read_one(switch(), typed) is True


@pytest.mark.parametrize("typed", ["no", "нет", "Нет", "off", "0", "false", "выкл"])
def test_so_is_no(typed: str) -> None:
    assert read_one(switch(), typed) is False


def test_maybe_is_neither() -> None:
    assert problem_of(switch(), "может быть") == (AnswerProblem.NOT_A_CHOICE, None)


# Files


@pytest.mark.parametrize(
    "given",
    [
        attached(mime=PNG, size=10 * MB),
        attached(mime="image/png; charset=binary"),
        attached(),
        "https://files.example.org/cat.png?size=1&x=%20",
        "Https://files.example.org/cat.png",
    ],
)
def test_a_file_is_kept_by_its_reference(given: str | Attachment) -> None:
    reference = given if isinstance(given, str) else given.reference

    assert read_one(picture(accept=(PNG,), max_mb=10), given) == reference


@pytest.mark.parametrize(
    ("given", "problem", "limit"),
    [
        (attached(mime="image/gif"), AnswerProblem.WRONG_KIND, None),
        (attached(mime="video/mp4"), AnswerProblem.WRONG_KIND, None),
        (attached(mime=PNG, size=10 * MB + 1), AnswerProblem.FILE_TOO_LARGE, 10),
        ("кот.png", AnswerProblem.NOT_A_FILE, None),
        ("", AnswerProblem.NOT_A_FILE, None),
        ("file:///etc/passwd", AnswerProblem.NOT_PUBLIC, None),
        ("ftp://example.org/cat.png", AnswerProblem.NOT_PUBLIC, None),
        ("https://", AnswerProblem.NOT_A_FILE, None),
        ("https://[", AnswerProblem.NOT_A_FILE, None),
        ("https://example.org/a b", AnswerProblem.NOT_A_FILE, None),
        ("https://example.org/" + "a" * 3000, AnswerProblem.NOT_A_FILE, None),
    ],
)
def test_what_is_no_such_file_is_refused(
    given: str | Attachment, problem: AnswerProblem, limit: float | None
) -> None:
    assert problem_of(picture(accept=(PNG,), max_mb=10), given) == (problem, limit)


@pytest.mark.parametrize("make", [FileParam, FilesParam])
def test_a_recording_has_a_limit_in_seconds(make: type[FileParam] | type[FilesParam]) -> None:
    talk = make(name="audio", label=LABEL, media=MediaKind.AUDIO, max_seconds=15)

    assert read_one(talk, attached(mime="audio/mpeg", seconds=Decimal(15)))
    assert read_one(talk, attached(mime="audio/mpeg"))
    assert problem_of(talk, attached(mime="audio/mpeg", seconds=Decimal("15.001"))) == (
        AnswerProblem.LASTS_TOO_LONG,
        15,
    )


@pytest.mark.parametrize("make", [FileParam, FilesParam])
def test_a_limit_in_seconds_is_for_what_lasts(make: type[FileParam] | type[FilesParam]) -> None:
    with pytest.raises(ValueError, match="no image lasts"):
        make(name="image", label=LABEL, media=MediaKind.IMAGE, max_seconds=15)
    with pytest.raises(ValueError, match="0 seconds"):
        make(name="clip", label=LABEL, media=MediaKind.VIDEO, max_seconds=0)


def test_without_a_list_of_types_the_kind_decides() -> None:
    assert read_one(picture(), attached(mime="image/heic"))
    assert problem_of(picture(), attached(mime="audio/ogg"))[0] is AnswerProblem.WRONG_KIND


def test_the_names_of_one_type_are_the_same_type() -> None:
    song = FileParam(
        name="audio_url", label=LABEL, media=MediaKind.AUDIO, accept=("audio/mp3", "audio/x-wav")
    )

    assert read_one(song, attached(mime="audio/mpeg"))
    assert read_one(song, attached(mime="audio/wav"))


def test_files_are_added_to_those_that_are_there() -> None:
    model = questions(pictures(max_items=2))

    one = read(model, {}, "image_urls", "https://a.example/1.png")
    two = read(model, {"image_urls": one}, "image_urls", attached(mime=PNG))

    assert two == ["https://a.example/1.png", "file:///tmp/cat.png"]
    error = refusal(lambda: read(model, {"image_urls": two}, "image_urls", attached(mime=PNG)))
    assert (error.problem, error.limit) == (AnswerProblem.TOO_MANY_FILES, 2)


def test_several_addresses_are_several_files() -> None:
    given = "https://a.example/1.png\nhttps://a.example/2.png"

    assert read_one(pictures(), given) == given.split()


def test_too_few_files_are_asked_for_again() -> None:
    model = questions(pictures(min_items=2, required=True))
    one = read(model, {}, "image_urls", "https://a.example/1.png")

    assert next_question(model, {"image_urls": one}) is not None
    error = refusal(lambda: verify(model, {"image_urls": one}))
    assert (error.problem, error.limit) == (AnswerProblem.TOO_FEW_FILES, 2)


def test_a_list_without_a_limit_of_kie_has_ours() -> None:
    assert pictures().max_items == MAX_FILES


# What a param may be


@pytest.mark.parametrize(
    "make",
    [
        lambda: text(min_length=5, max_length=4),
        lambda: text(max_length=0),
        lambda: text(default="к\0т"),
        lambda: text("has space"),
        lambda: text("a:b"),
        lambda: text(""),
        lambda: TextParam(name="prompt", label=Localized(ru=" ", en="Prompt")),
        lambda: number(lowest=2, highest=1),
        lambda: number(step=0),
        lambda: number(highest="NaN"),
        lambda: number(lowest=1, default=0),
        lambda: number(highest=1, example=2),
        lambda: number(default=True),
        lambda: choice("size"),
        lambda: choice("size", "a", "a"),
        lambda: choice("size", "a", ""),
        lambda: choice("size", "1", 2),
        lambda: choice("size", 1, 2.5, wire="integer"),
        lambda: choice("size", "a", default="b"),
        lambda: switch(default="yes"),
        lambda: picture(max_mb=0),
        lambda: pictures(min_items=3, max_items=2),
        lambda: pictures(min_items=0),
    ],
)
def test_a_param_that_contradicts_itself_cannot_be_made(make: Callable[[], Param]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        make()


def test_a_bound_is_never_a_binary_fraction() -> None:
    with pytest.raises(TypeError, match="float"):
        number(step=0.1)


# The order of questions


FORM = questions(
    text(required=True, is_primary=True),
    picture(required=True),
    choice("aspect_ratio", "1:1", "16:9", required=True, default="16:9"),
    switch("watermark", default=False),
    choice("duration", "5", "10", example="5"),
    number("seed", whole=True, is_technical=True, default=-1),
)


def test_a_job_begins_with_the_presets() -> None:
    """What KIE only suggests is offered and never sent by itself."""
    assert defaults(FORM) == {"aspect_ratio": "16:9", "watermark": False, "seed": -1}


def test_what_is_required_is_asked_in_order() -> None:
    answers = defaults(FORM)

    asked = []
    while (param := next_question(FORM, answers)) is not None:
        asked.append(param.name)
        given = "кот" if param.name == "prompt" else "https://a.example/cat.png"
        answers[param.name] = read(FORM, answers, param.name, given)

    assert asked == ["prompt", "image_url"]


def test_settings_put_first_what_matters_to_people() -> None:
    names = [param.name for param in settings(FORM, defaults(FORM))]

    assert names == ["aspect_ratio", "watermark", "duration", "image_url", "seed"]


def test_the_primary_param_is_found() -> None:
    assert primary(FORM) == FORM.params[0]
    assert primary(questions(switch())) is None


def test_a_question_the_model_does_not_ask_is_unknown() -> None:
    for act in (
        lambda: read(FORM, {}, "nothing", "x"),
        lambda: option(FORM, {}, "nothing", 1),
        lambda: param_for(FORM, {}, "nothing"),
        lambda: verify(FORM, {"nothing": 1}),
    ):
        assert refusal(act).problem is AnswerProblem.UNKNOWN


# How an answer is shown


@pytest.mark.parametrize(
    ("param", "value", "ru", "en"),
    [
        (text(), "кот", "кот", "кот"),
        (number(), 0.5, "0,5", "0.5"),
        (number(), 2.0, "2", "2"),
        (number(), 0.0000001, "0,0000001", "0.0000001"),
        (number(whole=True), -1, "-1", "-1"),
        (choice("size", "a"), "a", "a р", "a e"),
        (switch(), True, "Да", "Yes"),
        (switch(), False, "Нет", "No"),
        (picture(), "https://a.example/x/%D0%BA%D0%BE%D1%82.png?y=1", "кот.png", "кот.png"),
        (picture(), "https://a.example/", "картинка", "picture"),
        (picture(), "telegram:AgACAgIAAxk", "картинка", "picture"),
        (pictures(), ["file:///tmp/1.png", "file:///tmp/2.png"], "1.png, 2.png", "1.png, 2.png"),
        (switch(), None, "", ""),
    ],
)
def test_an_answer_is_shown_in_the_persons_language(
    param: Param, value: JsonValue, ru: str, en: str
) -> None:
    assert (shown(param, value, Language.RU), shown(param, value, Language.EN)) == (ru, en)


# The last gate


def test_a_whole_job_is_verified_in_catalog_order() -> None:
    answers: dict[str, JsonValue] = {
        "seed": 3.0,
        "image_url": "https://a.example/cat.png",
        "prompt": " кот ",
        "aspect_ratio": "1:1",
        "watermark": None,
    }

    assert list(verify(FORM, answers).items()) == [
        ("prompt", "кот"),
        ("image_url", "https://a.example/cat.png"),
        ("aspect_ratio", "1:1"),
        ("seed", 3),
    ]


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("prompt", None, AnswerProblem.MISSING),
        ("prompt", "", AnswerProblem.MISSING),
        ("prompt", 5, AnswerProblem.UNREADABLE),
        ("prompt", "  ", AnswerProblem.EMPTY),
        ("aspect_ratio", "4:3", AnswerProblem.NOT_A_CHOICE),
        ("aspect_ratio", True, AnswerProblem.NOT_A_CHOICE),
        ("watermark", 1, AnswerProblem.NOT_A_CHOICE),
        ("watermark", "yes", AnswerProblem.NOT_A_CHOICE),
        ("seed", "3", AnswerProblem.NOT_A_NUMBER),
        ("seed", True, AnswerProblem.NOT_A_NUMBER),
        ("seed", 0.5, AnswerProblem.NOT_WHOLE),
        ("seed", float("nan"), AnswerProblem.NOT_A_NUMBER),
        ("seed", float("inf"), AnswerProblem.NOT_A_NUMBER),
        ("seed", 10**40, AnswerProblem.TOO_LARGE),
        ("image_url", "cat.png", AnswerProblem.NOT_A_FILE),
        ("image_url", ["https://a.example/cat.png"], AnswerProblem.NOT_A_FILE),
        ("image_url", 7, AnswerProblem.NOT_A_FILE),
    ],
)
def test_a_job_with_a_wrong_answer_costs_nothing(
    name: str, value: JsonValue, problem: AnswerProblem
) -> None:
    good: dict[str, JsonValue] = {"prompt": "кот", "image_url": "https://a.example/cat.png"}

    error = refusal(lambda: verify(FORM, {**defaults(FORM), **good, name: value}))

    assert (error.param, error.problem) == (name, problem)


def test_a_number_too_long_to_print_is_refused_like_any_other() -> None:
    for name in ("seed", "watermark", "aspect_ratio", "image_url", "prompt"):
        answers: dict[str, JsonValue] = {name: 10**5000}

        with pytest.raises(InvalidAnswerError):
            verify(questions(evolve(param_for(FORM, {}, name))), answers)


def test_a_wire_number_of_a_choice_is_never_true() -> None:
    model = questions(choice("n", 1, 2, wire="integer"))

    assert verify(model, {"n": 1.0}) == {"n": 1}
    assert refusal(lambda: verify(model, {"n": True})).problem is AnswerProblem.NOT_A_CHOICE


# Rules


SONG = questions(
    text("prompt", max_length=5000, is_primary=True),
    text("style", max_length=1000),
    text("title", max_length=80),
    switch("customMode", required=True, default=False),
    switch("instrumental", required=True, default=False),
    rules=(
        Requires(when=When(equals={"customMode": (False,)}), names=("prompt",)),
        Limits(when=When(equals={"customMode": (False,)}), max_length={"prompt": 500}),
        Requires(when=When(equals={"customMode": (True,)}), names=("style", "title")),
        Requires(
            when=When(equals={"customMode": (True,), "instrumental": (False,)}), names=("prompt",)
        ),
    ),
)


def test_a_limit_holds_under_its_condition() -> None:
    plain, custom = {"customMode": False}, {"customMode": True}
    lyrics = "ля " * 300

    error = refusal(lambda: read(SONG, plain, "prompt", lyrics))

    assert (error.problem, error.limit) == (AnswerProblem.TOO_LONG, 500)
    assert read(SONG, custom, "prompt", lyrics) == lyrics.strip()


def test_an_answer_that_another_made_wrong_is_asked_again() -> None:
    answers = {**defaults(SONG), "prompt": "ля " * 300, "style": "рок", "title": "Ля"}

    answers["customMode"] = True
    assert next_question(SONG, answers) is None
    answers["customMode"] = False

    again = next_question(SONG, answers)
    assert isinstance(again, TextParam)
    assert (again.name, again.max_length) == ("prompt", 500)
    assert refusal(lambda: verify(SONG, answers)).problem is AnswerProblem.TOO_LONG


@pytest.mark.parametrize(
    ("custom", "instrumental", "needed"),
    [
        (False, False, ["prompt"]),
        (False, True, ["prompt"]),
        (True, False, ["prompt", "style", "title"]),
        (True, True, ["style", "title"]),
    ],
)
def test_what_is_needed_depends_on_the_other_answers(
    custom: bool, instrumental: bool, needed: list[str]
) -> None:
    answers = {"customMode": custom, "instrumental": instrumental}

    found = [p.name for p in SONG.params if param_for(SONG, answers, p.name).required]

    assert [name for name in found if name not in answers] == needed
    assert refusal(lambda: verify(SONG, answers)).problem is AnswerProblem.MISSING


CLIP = questions(
    choice("duration", 5, 10, wire="integer", required=True, default=5),
    choice("quality", "720p", "1080p", required=True, default="720p"),
    picture("imageUrl"),
    choice("aspectRatio", "16:9", "9:16", example="16:9"),
    choice("tolerance", 0, 2, 6, wire="integer", default=6),
    rules=(
        Forbids(when=When(equals={"duration": (10,)}), values={"quality": ("1080p",)}),
        Requires(when=When(missing=("imageUrl",)), names=("aspectRatio",)),
        Limits(when=When(given=("imageUrl",)), highest={"tolerance": Decimal(2)}),
    ),
)


def test_two_answers_that_do_not_go_together_are_told_both() -> None:
    long = {"duration": 10}

    assert [o.number for o in options(CLIP, long, "quality", Language.RU)] == [1]
    for act in (
        lambda: read(CLIP, long, "quality", "1080p"),
        lambda: option(CLIP, long, "quality", 2),
        lambda: verify(CLIP, {**long, "quality": "1080p", "aspectRatio": "16:9"}),
    ):
        error = refusal(act)
        assert error.problem is AnswerProblem.NOT_TOGETHER
        assert error.names == ("quality", "duration")
    assert read(CLIP, {"duration": 5}, "quality", "1080p") == "1080p"


def test_a_param_may_be_needed_only_where_another_is_missing() -> None:
    answers = {**defaults(CLIP), "tolerance": 2}

    missing = next_question(CLIP, answers)

    assert missing is not None
    assert missing.name == "aspectRatio"
    assert next_question(CLIP, {**answers, "imageUrl": "https://a.example/1.png"}) is None


def test_a_preset_that_a_rule_forbids_is_asked_again() -> None:
    answers = {**defaults(CLIP), "imageUrl": "https://a.example/1.png"}

    again = next_question(CLIP, answers)

    assert isinstance(again, ChoiceParam)
    assert [c.value for c in again.choices] == [0, 2]
    assert again.default is None


def test_what_is_never_allowed_is_no_choice_at_all() -> None:
    model = questions(
        choice("kind", "text", "reference"),
        rules=(Forbids(when=When(), values={"kind": ("reference",)}),),
    )

    assert [o.value for o in options(model, {}, "kind", Language.RU)] == ["text"]
    assert refusal(lambda: read(model, {}, "kind", "reference")).problem is (
        AnswerProblem.NOT_A_CHOICE
    )


def test_one_of_two_is_asked_for_and_both_are_refused() -> None:
    model = questions(pictures(), text("task_id"), rules=(OneOf(names=("image_urls", "task_id")),))
    earlier = {"task_id": "t1"}

    first = next_question(model, {})

    assert first is not None
    assert (first.name, first.required) == ("image_urls", True)
    assert next_question(model, earlier) is None
    both = refusal(lambda: read(model, earlier, "image_urls", "https://a.example/1.png"))
    assert (both.problem, both.names) == (AnswerProblem.NOT_TOGETHER, ("image_urls", "task_id"))
    neither = refusal(lambda: verify(model, {}))
    assert (neither.problem, neither.names) == (AnswerProblem.ONE_OF, ("image_urls", "task_id"))


def test_any_of_two_may_be_both() -> None:
    model = questions(text(), picture(), rules=(AnyOf(names=("prompt", "image_url")),))
    both: dict[str, JsonValue] = {"prompt": "кот", "image_url": "https://a.example/1.png"}

    assert verify(model, both) == both
    assert refusal(lambda: verify(model, {})).problem is AnswerProblem.ONE_OF


def test_a_forbidden_switch_is_told_too() -> None:
    """Rules bind every kind of question, not only choices."""
    model = questions(
        switch("sound"),
        switch("silent"),
        rules=(Forbids(when=When(equals={"silent": (True,)}), values={"sound": (True,)}),),
    )

    assert [o.value for o in options(model, {"silent": True}, "sound", Language.EN)] == [False]


def test_narrowing_changes_a_copy() -> None:
    before = evolve(SONG)

    param_for(SONG, {"customMode": False}, "prompt")

    assert before == SONG
