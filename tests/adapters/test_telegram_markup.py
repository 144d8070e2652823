"""What Telegram is sent of a screen: hostile words harmless, limits kept, nothing lost."""

import re
from html.parser import HTMLParser

import pytest
from attrs import define, field
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kiebot.adapters.frontend.telegram_markup import (
    BUTTONS,
    CAPTION_UNITS,
    COPY_UNITS,
    TEXT_UNITS,
    albums,
    clean,
    draw,
    keyboard,
    markup,
    plain,
    split,
    units,
)
from kiebot.core.dialog.screen import CALLBACK_BYTES, Action, Button, Media, Screen
from kiebot.core.media import MediaKind

CARD = "2200 7000 0000 0000"
HOSTILE = (
    "<b>bold</b> & <script>alert(1)</script> &lt; &amp; &#60;",
    "*bold* _italic_ `code` [link](https://example.org) ~~~",
    "\u202eбалланс 1000 ₽\u202c и \u05e9\u05dc\u05d5\u05dd",
    "👨‍👩‍👧‍👦🇷🇺👍🏽" * 800,
    "a\u0301" * 5000,
    "слово " * 2000,
    "x" * 10_000,
    "&" * 10_000,
    "\x00\x07\ud800 ",
    "\u200b\u200d",
    f"{CARD}\n\n" * 400,
)
texts = st.one_of(
    st.text(),
    st.text(alphabet="<>&\"' \nab\u202e👍🏽\u200d\u0301", max_size=300),
    st.sampled_from(HOSTILE),
)


@define
class Reading(HTMLParser):
    """What a person reads of HTML, and which tags are in it."""

    words: list[str] = field(factory=list)
    tags: list[str] = field(factory=list)
    code: list[str] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not attrs
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.tags.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self.tags:
            self.code.append(data)


def read(marked: str) -> Reading:
    reading = Reading()
    reading.feed(marked)
    reading.close()
    assert not reading.tags
    return reading


def squeezed(text: str) -> str:
    return "".join(text.split())


def seen(screen: Screen) -> list[str]:
    drawing = draw(screen)
    pieces = drawing.pieces if drawing.caption is None else (drawing.caption,)
    return ["".join(read(piece).words) for piece in pieces]


def picture(number: int = 1, kind: MediaKind = MediaKind.IMAGE) -> Media:
    return Media(url=f"https://example.org/{number}.png", kind=kind, name=f"file-{number}")


def button(text: str = "Go", *parts: object, minor: bool = False) -> Button:
    return Button(text, Action.of(*(parts or ("menu", "main"))), minor=minor)


@settings(max_examples=40)
@given(texts, st.integers(0, 2))
@example("<b>&amp;</b>", 0)
def test_words_arrive_as_they_are(text: str, files: int) -> None:
    """Whatever it says, markup of its own it is not, and no word is lost between two messages."""
    media = tuple(picture(number) for number in range(files))

    shown = seen(Screen(text=text, media=media))

    assert squeezed("".join(shown)) == squeezed(clean(text))
    most = CAPTION_UNITS if draw(Screen(text=text, media=media)).caption else TEXT_UNITS
    assert all(0 < units(piece) <= most for piece in shown)
    assert all(piece == piece.strip() for piece in shown)


@given(texts)
def test_nothing_unseen_is_sent(text: str) -> None:
    """No control character, no half character, nothing that turns a price around."""
    cleaned = clean(text)

    assert cleaned.encode()
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", cleaned)
    assert clean(cleaned) == cleaned


@given(texts, st.lists(st.text(alphabet="ab<& 1", min_size=1, max_size=4), max_size=3))
def test_what_is_to_be_copied_is_marked_and_changes_no_word(text: str, parts: list[str]) -> None:
    marked = markup(clean(text), parts)

    reading = read(marked)
    assert "".join(reading.words) == clean(text) == plain(marked)
    assert {clean(part) for part in reading.code} <= {clean(part) for part in parts}


def test_a_card_number_is_copied_by_a_tap() -> None:
    drawing = draw(Screen(text=f"Pay to {CARD} & wait", copyable=(CARD,), buttons=((button(),),)))

    assert drawing.pieces == (f"Pay to <code>{CARD}</code> &amp; wait",)
    assert drawing.keyboard is not None
    copy, go = drawing.keyboard.inline_keyboard
    assert copy[0].copy_text is not None
    assert copy[0].copy_text.text == CARD
    assert go[0].callback_data == "menu:main"


def test_a_text_is_cut_where_a_paragraph_ends() -> None:
    paragraphs = "\n\n".join(f"{number} " + "words and words " * 60 for number in range(9))

    pieces = split(paragraphs, TEXT_UNITS)

    assert len(pieces) > 1
    assert all(re.match(r"\d ", piece) for piece in pieces)


def test_no_emoji_is_cut_in_two() -> None:
    family = "👨‍👩‍👧‍👦"

    pieces = split(family * 1000, 100)

    assert all(set(piece.split(family)) == {""} for piece in pieces)


@pytest.mark.parametrize("length", [CAPTION_UNITS, CAPTION_UNITS + 1])
def test_a_text_that_is_no_caption_is_a_message(length: int) -> None:
    drawing = draw(Screen(text="x" * length, media=(picture(),)))

    assert (drawing.caption is not None) == (length == CAPTION_UNITS)
    assert bool(drawing.pieces) == (length > CAPTION_UNITS)


@given(st.lists(st.lists(texts, max_size=12), max_size=40), st.text(max_size=400))
def test_a_keyboard_is_one_that_telegram_takes(labels: list[list[str]], part: str) -> None:
    """At most 100 buttons, none without words, none with more data than it carries."""
    rows = tuple(
        tuple(button(label, "mparam", "job1", "name", number) for number, label in enumerate(row))
        for row in labels
    )
    back = (button("‹ Menu", minor=True),)

    keys = keyboard(Screen(text="x", buttons=(*rows, back), copyable=(part,) if part else ()))

    assert keys is not None
    flat = [key for row in keys.inline_keyboard for key in row]
    assert len(flat) <= BUTTONS
    assert all(row and len(row) <= 8 for row in keys.inline_keyboard)
    assert all(key.text.strip() and "\n" not in key.text for key in flat)
    assert all(len((key.callback_data or "").encode()) <= CALLBACK_BYTES for key in flat)
    assert all(bool(key.callback_data) != bool(key.copy_text) for key in flat)
    assert all(units(key.copy_text.text) <= COPY_UNITS for key in flat if key.copy_text)
    assert flat[-1].text == "‹ Menu"


def test_short_ways_back_share_a_row() -> None:
    rows = ((button("A picture"),), (button("‹ Back", minor=True),), (button("Menu", minor=True),))

    keys = keyboard(Screen(text="x", buttons=rows))

    assert keys is not None
    assert [[key.text for key in row] for row in keys.inline_keyboard] == [
        ["A picture"],
        ["‹ Back", "Menu"],
    ]


def test_albums_hold_ten_of_what_goes_together() -> None:
    kinds = [MediaKind.IMAGE] * 11 + [MediaKind.VIDEO] + [MediaKind.AUDIO] + [MediaKind.DOCUMENT]
    files = [picture(number, kind) for number, kind in enumerate(kinds)]

    grouped = albums(files)

    assert [len(album) for album in grouped] == [10, 2, 1, 1]
    assert [file for album in grouped for file in album] == files


def test_a_screen_without_buttons_has_no_keyboard() -> None:
    assert draw(Screen(text="x")).keyboard is None
