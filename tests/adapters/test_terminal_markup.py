"""What a typed answer means, and how a screen is written."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from kiebot.adapters.frontend.terminal_markup import (
    WAYS,
    Asked,
    LocalFiles,
    Meaning,
    NoSuchOption,
    Offer,
    Quit,
    Reader,
    in_vocabulary,
    lines,
    plain,
    printable,
)
from kiebot.conversation import Conversation
from kiebot.core.dialog.screen import COMMANDS, Action, Button, Press, Say, Screen
from kiebot.core.expect import Amount, Answer, AnswerForm, Expect, Reason, Receipt
from kiebot.core.media import Attachment
from kiebot.core.topups import TopUpId
from kiebot.core.wallet import JobId
from kiebot.desk import Desk

JOB = JobId("job1")
TOPUP = TopUpId("topup1")

CONFIRM = Action.of("gen", "confirm", JOB)
TEN = Action.of("mparam", JOB, "length", 1)
WIDE = Action.of("mparam", JOB, "shape", 2)
BACK = Action.of("menu", "main")
BUTTONS = (
    Button("✅ Создать за 30 ₽", CONFIRM),
    Button("10 секунд · +42 ₽", TEN),
    Button("⚙️ Формат: 16:9", WIDE),
    Button("‹ Меню", BACK, minor=True),
)

TEXT = Answer(job_id=JOB, param="prompt", form=AnswerForm.TEXT)
NUMBER = Answer(job_id=JOB, param="count", form=AnswerForm.NUMBER)
FILE = Answer(job_id=JOB, param="image", form=AnswerForm.FILE)
CHOICE = Answer(job_id=JOB, param="shape", form=AnswerForm.CHOICE)

RECEIPT = Receipt(topup_id=TOPUP)
REASON = Reason(topup_id=TOPUP)
EVERY = [None, TEXT, NUMBER, FILE, CHOICE, Amount(), RECEIPT, REASON]
NOT_WORDS = [None, NUMBER, FILE, CHOICE, Amount(), RECEIPT]
WORDS = [TEXT, REASON]
NUMBERS_ARE_ANSWERS = [*WORDS, NUMBER, Amount()]
NUMBERS_ARE_OPTIONS = [None, CHOICE, FILE, RECEIPT]

HOME = Path("/home/anna")
HERE = HOME / "work"


def screen(expects: Expect | None = None) -> Screen:
    return Screen(text="words", buttons=tuple((button,) for button in BUTTONS), expects=expects)


def read(
    typed: str, expects: Expect | None = None, *, there: Iterable[str] = (), news: int = 0
) -> Meaning:
    offer = Offer.of(screen(expects))
    for number in range(news):
        button = Button(f"News {number}", Action.of("gen", "again", f"j{number}"))
        offer = offer.plus(Screen(text="news", buttons=((button,),)))
    exist = {Path(path) for path in there}
    return Reader(folder=HERE, home=HOME, exists=exist.__contains__).read(typed, offer)


@pytest.mark.parametrize("expects", EVERY)
@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - {"admin"}))
def test_a_command_always_wins(name: str, expects: Expect | None) -> None:
    assert read(f"/{name}", expects) == Press(COMMANDS[name])
    assert read(f"  /{name.upper()} ", expects) == Press(COMMANDS[name])


@pytest.mark.parametrize("expects", EVERY)
def test_the_command_of_administrators_is_told_as_it_was_typed(expects: Expect | None) -> None:
    """For most people there is no such command, and only the conversation knows for whom not."""
    assert read("/admin", expects) == Say("/admin")


@pytest.mark.parametrize("expects", EVERY)
def test_slash_and_number_is_an_option_on_every_screen(expects: Expect | None) -> None:
    assert read("/1", expects) == Press(CONFIRM)
    assert read("/4", expects) == Press(BACK)
    assert read("/5", expects) == NoSuchOption("5", 4)
    assert read("/0", expects) == NoSuchOption("0", 4)


@pytest.mark.parametrize("expects", NUMBERS_ARE_OPTIONS)
def test_a_bare_number_is_an_option_where_none_is_asked(expects: Expect | None) -> None:
    assert read("1", expects) == Press(CONFIRM)
    assert read(" 2 ", expects) == Press(TEN)
    assert read("9", expects) == NoSuchOption("9", 4)


@pytest.mark.parametrize("expects", NUMBERS_ARE_ANSWERS)
def test_a_bare_number_is_the_answer_where_one_is_asked(expects: Expect) -> None:
    assert read("1", expects) == Say("1")


@pytest.mark.parametrize("expects", EVERY)
@pytest.mark.parametrize(
    "data", ["gen:confirm:job1", "menu:main", "mcat:visuals", "mmodel:flux-2/pro", "topup:500"]
)
def test_callback_data_is_a_press_everywhere(data: str, expects: Expect | None) -> None:
    """A script that knows the vocabulary needs no numbers."""
    assert read(data, expects) == Press(Action.decode(data))


@pytest.mark.parametrize(
    "words",
    ["menu: main", "a:b", "gen:confirm", "note:this", "16:9", ":", "cat:", "http:x", "lang:de"],
)
def test_words_with_a_colon_are_words(words: str) -> None:
    assert read(words, TEXT) == Say(words)


def test_data_of_a_button_is_a_press_whatever_it_is() -> None:
    """Further data is ours to add: what can be seen can be pressed."""
    button = Button("X", Action.of("xyz", "1"))
    offer = Offer.of(Screen(text="", buttons=((button,),), expects=TEXT))

    meaning = Reader(folder=HERE, home=HOME, exists=lambda _: False).read("xyz:1", offer)

    assert meaning == Press(Action.of("xyz", "1"))


@pytest.mark.parametrize("expects", NOT_WORDS)
@pytest.mark.parametrize(
    "label", ["✅ Создать за 30 ₽", "Создать за 30 ₽", "создать  за 30 ₽", "СОЗДАТЬ ЗА 30 ₽"]
)
def test_a_label_is_an_option_without_case_emoji_and_spacing(
    label: str, expects: Expect | None
) -> None:
    assert read(label, expects) == Press(CONFIRM)


@pytest.mark.parametrize("expects", [None, CHOICE, FILE])
@pytest.mark.parametrize("label", ["10 секунд", "10 секунд · +42 ₽", "10 секунд      +42 ₽"])
def test_a_label_needs_no_price(label: str, expects: Expect | None) -> None:
    assert read(label, expects) == Press(TEN)


@pytest.mark.parametrize("expects", WORDS)
@pytest.mark.parametrize("words", ["Меню", "‹ Меню", "10 секунд", "рыжий кот", "/imagine a cat"])
def test_where_words_are_asked_words_are_the_answer(words: str, expects: Expect) -> None:
    """A prompt may be any words, those of a label too."""
    assert read(words, expects) == Say(words)


def test_words_are_handed_on_as_they_are() -> None:
    assert read("  two\nlines ", TEXT) == Say("  two\nlines ")


@pytest.mark.parametrize("words", ["500 ₽", "100,50", "1 000", "-3", "10 руб"])
def test_what_reads_as_an_amount_is_one(words: str) -> None:
    button = Button(words, Action.of("topup", "500"))
    offer = Offer.of(Screen(text="", buttons=((button,),), expects=Amount()))

    meaning = Reader(folder=HERE, home=HOME, exists=lambda _: False).read(words, offer)

    assert meaning == Say(words)


def test_two_options_of_one_label_are_chosen_by_number() -> None:
    buttons = (Button("Cat", Action.of("a", "1")), Button("Cat", Action.of("a", "2")))
    offer = Offer.of(Screen(text="", buttons=(buttons,)))
    reader = Reader(folder=HERE, home=HOME, exists=lambda _: False)

    assert reader.read("cat", offer) == Say("cat")
    assert reader.read("2", offer) == Press(Action.of("a", "2"))


def test_news_are_numbered_on() -> None:
    """A script's numbers never change meaning under it."""
    assert read("1", news=2) == Press(CONFIRM)
    assert read("5", news=2) == Press(Action.of("gen", "again", "j0"))
    assert read("6", news=2) == Press(Action.of("gen", "again", "j1"))
    assert read("7", news=2) == NoSuchOption("7", 6)
    assert read("/5", TEXT, news=2) == Press(Action.of("gen", "again", "j0"))


@pytest.mark.parametrize("expects", [FILE, RECEIPT])
@pytest.mark.parametrize(
    ("typed", "path"),
    [
        ("/tmp/cat.png", "/tmp/cat.png"),
        ("cat.png", "/home/anna/work/cat.png"),
        ("./cat.png", "/home/anna/work/cat.png"),
        ("~/cat.png", "/home/anna/cat.png"),
        ("'/tmp/red cat.png'", "/tmp/red cat.png"),
        ('"/tmp/red cat.png" ', "/tmp/red cat.png"),
        ("/tmp/red\\ cat\\ \\(1\\).png", "/tmp/red cat (1).png"),
        ("/tmp/red cat.png", "/tmp/red cat.png"),
        ("file:///tmp/red%20cat.png", "/tmp/red cat.png"),
        ("file:///tmp/%D0%BA%D0%BE%D1%82%23.png", "/tmp/кот#.png"),
        ("file://localhost/tmp/cat.png", "/tmp/cat.png"),
        ("1", "/home/anna/work/1"),
    ],
)
def test_a_path_where_a_file_is_asked(typed: str, path: str, expects: Expect) -> None:
    assert read(typed, expects, there=[path]) == LocalFiles((Path(path),))


def test_what_is_not_there_is_named_as_it_was_meant() -> None:
    assert read("'~/no cat.png'", FILE) == LocalFiles((HOME / "no cat.png",))


def test_several_files_dropped_at_once() -> None:
    there = ["/tmp/red cat.png", "/tmp/dog.png"]
    files = LocalFiles((Path("/tmp/red cat.png"), Path("/tmp/dog.png")))

    assert read("'/tmp/red cat.png' /tmp/dog.png", FILE, there=there) == files
    assert read("/tmp/red\\ cat.png /tmp/dog.png ", FILE, there=there) == files
    gone = "/tmp/dog.png /tmp/gone.png"
    assert read(gone, FILE, there=there) == LocalFiles((Path(gone),))
    assert read("it's", FILE) == LocalFiles((HERE / "it's",))


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://example.org/a/red%20cat.png?x=1", "red cat.png"),
        ("HTTP://example.org/", ""),
        ("https://example.org", ""),
    ],
)
def test_an_address_where_a_file_is_asked(address: str, name: str) -> None:
    assert read(address, FILE) == Attachment(reference=address, name=name)
    assert read(address, TEXT) == Say(address)
    assert read(address) == Say(address)


@pytest.mark.parametrize("address", ["ftp://example.org/cat.png", "http://", "s3://cats/1.png"])
def test_an_address_of_another_kind_is_no_path(address: str) -> None:
    """What can be given instead is said by who asked."""
    assert read(address, FILE) == Say(address)


def test_a_file_dropped_unasked_is_a_file_where_it_plainly_is_one() -> None:
    """A second page of a receipt, say."""
    there = ["/tmp/cat.png", str(HERE / "cat")]

    assert read("/tmp/cat.png", there=there) == LocalFiles((Path("/tmp/cat.png"),))
    assert read("'/tmp/cat.png'", there=there) == LocalFiles((Path("/tmp/cat.png"),))
    assert read("cat", there=there) == Say("cat")
    assert read("/tmp/dog.png", there=there) == Say("/tmp/dog.png")
    assert read("/tmp/cat.png", TEXT, there=there) == Say("/tmp/cat.png")


@pytest.mark.parametrize("expects", [None, TEXT, NUMBER, CHOICE])
def test_an_unknown_command_is_for_the_conversation(expects: Expect | None) -> None:
    assert read("/blance", expects) == Say("/blance")


@pytest.mark.parametrize("expects", EVERY)
@pytest.mark.parametrize("typed", ["/quit", "/exit"])
def test_a_way_out(typed: str, expects: Expect | None) -> None:
    assert read(typed, expects) == Quit()


def test_everything_else_is_said() -> None:
    assert read("hello there") == Say("hello there")
    assert read("x" * 100_000, TEXT) == Say("x" * 100_000)
    assert read("9" * 50) == Say("9" * 50)


@pytest.mark.parametrize("expects", EVERY)
@pytest.mark.parametrize("char", ["9", "a", "/", "'", "\\", ":", "😀", "1 "])
def test_a_long_answer_takes_no_time(char: str, expects: Expect | None) -> None:
    """Whatever is pasted: no pattern goes through it again and again."""
    assert read(char * 200_000 + "x y", expects) is not None


def test_the_vocabulary_is_that_of_the_conversation() -> None:
    """What a conversation acts on can be typed."""
    routes = {**vars(Conversation)["_ROUTES"], **vars(Desk)["_ROUTES"]}

    for fixed, route in routes.items():
        parts = (*fixed, *["x"] * route.least)
        assert in_vocabulary(Action(parts)), parts
    assert {way.partition(":")[0] for way in WAYS} == {fixed[0] for fixed in routes}
    assert all(in_vocabulary(action) for action in COMMANDS.values())


# --- Screens


def test_a_screen_as_lines() -> None:
    drawn = lines(screen(), Offer.of(screen()).options, ["✓ saved"])

    assert drawn == [
        "words",
        "✓ saved",
        "  1  ✅ Создать за 30 ₽",
        "  2  10 секунд · +42 ₽",
        "  3  ⚙️ Формат: 16:9",
        "  4  ‹ Меню",
    ]


@pytest.mark.parametrize("expects", NUMBERS_ARE_ANSWERS)
def test_options_have_a_slash_where_a_number_is_the_answer(expects: Expect) -> None:
    drawn = lines(screen(expects), Offer.of(screen(expects)).options)

    assert drawn[1] == "  /1  ✅ Создать за 30 ₽"


def test_numbers_are_aligned() -> None:
    many = Screen(
        text="many",
        buttons=tuple((Button(f"N{n}", Action.of("mcat", str(n))),) for n in range(1, 11)),
    )

    drawn = lines(many, Offer.of(many).options)

    assert (drawn[1], drawn[10]) == ("   1  N1", "  10  N10")


def test_strangers_words_cannot_command_the_terminal() -> None:
    """Names and prompts of others are on the screens."""
    evil = Screen(
        text="\x1b[2J\x1b]0;title\x07a\rb\r\nc\x9b31m\u202ed\ud800",
        buttons=((Button("x\x1b[31m\ny", BACK),),),
    )

    drawn = "\n".join(lines(evil, Offer.of(evil).options))

    assert drawn == "[2J]0;titleab\nc31md\n  1  x[31m y"


@pytest.mark.parametrize("text", ["a\tb", "кот 🐈‍⬛", "1\u00a0000\u202f₽", "a\n\nb"])
def test_words_stay_as_they_are(text: str) -> None:
    assert printable(text) == text


def test_a_screen_without_words_has_no_empty_line() -> None:
    assert lines(Screen(text=" \n"), ()) == []


@pytest.mark.parametrize(
    ("label", "same"),
    [
        ("🧑‍🎤 Аватары и UGC · скоро", "аватары и ugc скоро"),
        ("➕ Пополнить", "пополнить"),
        ("✓ 16:9", "16:9"),
        ("1️⃣ Один", "1 один"),
        ("🎉", ""),
    ],
)
def test_a_label_as_it_is_compared(label: str, same: str) -> None:
    assert plain(label) == same


def test_what_each_expectation_asks() -> None:
    assert [Asked.by(expects) for expects in EVERY] == [
        Asked.NOTHING,
        Asked.TEXT,
        Asked.NUMBER,
        Asked.FILE,
        Asked.CHOICE,
        Asked.NUMBER,
        Asked.FILE,
        Asked.TEXT,
    ]
