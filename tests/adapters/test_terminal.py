"""The terminal's own ways: pipes, prompt, status line, pictures, files."""

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from attrs import frozen

from kiebot.adapters.frontend.terminal import TerminalFrontend
from kiebot.adapters.frontend.terminal_files import (
    DIGEST_BYTES,
    Results,
    Trouble,
    is_there,
    look,
    open_file,
)
from kiebot.adapters.frontend.terminal_look import Pictures
from kiebot.adapters.frontend.terminal_pipe import LINE_BYTES
from kiebot.adapters.kie.stub import BytesFile
from kiebot.core.errors import MediaError
from kiebot.core.media import Attachment
from tests.fakes import talk
from tests.fakes.terminal import PATIENCE_S, Pipe, Pty, Terminal

PNG = talk.picture()


def environment(folder: Path, **more: str) -> dict[str, str]:
    path = os.pathsep.join(sys.path)
    return {"HOME": str(folder), "PATH": os.defpath, "PYTHONPATH": path, **more}


def answers(folder: Path, content: bytes, output: str = "results") -> str:
    """What is written when this is the input, a file; it must end well and say nothing beside."""
    (folder / "answers.txt").write_bytes(content)
    with (folder / "answers.txt").open("rb") as stdin:
        done = subprocess.run(
            talk.command(folder, output=output),
            env=environment(folder),
            cwd=folder,
            stdin=stdin,
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Pty]]:
    """Starts the program at a real terminal."""
    started: list[Terminal] = []

    def start(*, rows: int = 60, columns: int = 100, output: str = "results", **more: str) -> Pty:
        command = talk.command(tmp_path, output=output)
        terminal = Pty(command, environment(tmp_path, **more), tmp_path, rows=rows, columns=columns)
        started.append(terminal)
        terminal.sees("What shall we make?")
        return terminal

    yield start
    for terminal in started:
        if not terminal.has_ended:
            terminal.kill()


Start = Callable[..., Pty]


# --- Pipes


def test_pipes_get_plain_text(tmp_path: Path) -> None:
    """Nothing that only a terminal understands, and no hint how to type."""
    said = answers(tmp_path, b"run\nnews a cat\nstop\n")

    assert "\x1b" not in said
    assert "\r" not in said
    assert "›" not in said
    assert "0:03" not in said


def test_a_screen_on_a_pipe(tmp_path: Path) -> None:
    options = "  1  🎥 Videos · from 120 ₽\n  2  🖼️ Pictures · from 20 ₽\n  3  ‹ Menu"

    assert answers(tmp_path, b"ask text\n").split("\n\n")[1:] == [
        f"Menu\nWhat shall we make?\n{options}",
        "text is asked\n  /1  Skip\n  /2  ‹ Menu\n",
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfhello\n",
        b"hello\r\n",
        b"hello",
        b"\n\n  \nhello\n\n",
    ],
    ids=["byte order mark", "line ends of Windows", "no end", "empty lines"],
)
def test_lines_as_programs_write_them(tmp_path: Path, content: bytes) -> None:
    said = answers(tmp_path, content)

    assert "said 5 hello" in said
    assert said.count("What shall we make?") == 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"caf\xe9", "must be UTF-8"),
        (b"a\0b", "must be UTF-8"),
        (b"x" * (LINE_BYTES + 1), "too long"),
    ],
    ids=["latin-1", "NUL", "too long"],
)
def test_a_line_that_is_none_costs_only_itself(tmp_path: Path, line: bytes, words: str) -> None:
    said = answers(tmp_path, b"ask text\n" + line + b"\nhello\n")

    assert words in said
    assert "said 5 hello" in said


def test_a_long_prompt(tmp_path: Path) -> None:
    said = answers(tmp_path, b"ask text\n" + "ж".encode() * 100_000 + b"\n")

    assert "said 100000 жжж" in said


def test_news_never_change_what_numbers_mean(tmp_path: Path) -> None:
    """They are numbered on after the screen that a script answers."""
    person = Pipe(talk.command(tmp_path), environment(tmp_path), tmp_path)
    person.sees("What shall we make?")
    person.types("news a cat")
    person.sees("said 10 news a cat", "news: a cat", "4  Skip", "5  ‹ Menu")

    person.types("2")

    person.sees("pressed mcat:visuals")
    person.types("4")
    person.sees("There is no option 4: choose 1–3")
    assert person.ends() == 0


def test_who_reads_no_more_is_not_bothered(tmp_path: Path) -> None:
    """`kiebot chat | head -1` ends without a complaint."""
    process = subprocess.Popen(
        talk.command(tmp_path),
        env=environment(tmp_path),
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()

    process.stdin.write(b"hello\n")
    process.stdin.flush()

    assert process.wait(PATIENCE_S) == 0
    _, complaints = process.communicate()
    assert complaints == b""


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("no cat.png", "No such file: no cat.png"),
        ("folder", "This is a folder, not a file: folder"),
        ("empty.png", "This file is empty: empty.png"),
        ("/dev/null", "This file cannot be read: /dev/null"),
        ("x" * 5000, "No such file: xxx"),
        ("9", "There is no option 9: choose 1–2"),
    ],
)
def test_what_is_no_file_is_named(tmp_path: Path, typed: str, words: str) -> None:
    """And the question stays: the next answer is for it too."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.png").touch()
    (tmp_path / "cat.png").write_bytes(PNG)

    said = answers(tmp_path, f"ask receipt\n{typed}\n'cat.png'\n".encode())

    assert words in said
    assert f"attached cat.png · image/png · {len(PNG)}" in said


def test_a_result_that_cannot_be_stored_is_an_address(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()

    said = answers(tmp_path, b"news a cat\n", output="taken")

    assert "news: a cat" in said
    assert "taken cannot be written to" in said
    assert "https://example.org/cat.png" in said


def test_a_result_shown_again_is_the_same_file(tmp_path: Path) -> None:
    answers(tmp_path, b"news a cat\nnews a cat\n")

    said = answers(tmp_path, b"news a cat\n")

    assert "2026-01-01-cat.png" in said
    assert [file.name for file in (tmp_path / "results").iterdir()] == ["2026-01-01-cat.png"]


def test_several_files_at_once(tmp_path: Path) -> None:
    for name in ("red cat.png", "dog.png"):
        (tmp_path / name).write_bytes(PNG)

    said = answers(tmp_path, b"ask receipt\n'red cat.png' dog.png\n")

    assert said.index("attached red cat.png") < said.index("attached dog.png")


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"LANG": "ru_RU.UTF-8"}, "демо"),
        ({"LANG": "ru_RU.UTF-8", "LC_ALL": "C"}, "demo"),
        ({"LC_MESSAGES": "uk_UA"}, "демо"),
        ({}, "demo"),
    ],
)
def test_the_language_is_that_of_the_environment(
    tmp_path: Path, variables: dict[str, str], words: str
) -> None:
    """Whether the system has that locale or not."""
    person = Pipe(talk.command(tmp_path, language=""), environment(tmp_path, **variables), tmp_path)

    person.sees(f"kiebot · {words}")

    assert person.ends() == 0


# --- The real terminal


def test_the_arrow_down_goes_through_what_can_be_chosen(start: Start) -> None:
    person = start()
    person.clears()

    person.keys("\x1b[B")
    person.sees("1 🎥 Videos", "2 🖼 Pictures")
    person.keys("\x1b[B\r")
    person.keys("\r")

    person.sees("pressed mcat:visuals")


def test_tab_completes_labels_and_commands(start: Start) -> None:
    person = start()
    person.clears()
    person.keys("pict\t")
    person.until(lambda text: text.startswith("› 2"), "the number")
    person.clears()

    person.keys("/bal\t")

    person.until(lambda text: text.startswith("› /balance"), "the command")


def test_tab_completes_paths_where_a_file_is_asked(start: Start, tmp_path: Path) -> None:
    (tmp_path / "red-cat.png").write_bytes(PNG)
    person = start()
    person.types("ask file")
    person.sees("file is asked")
    person.clears()

    person.keys("red\t")
    person.until(lambda text: text.startswith("› red-cat.png"), "the path")
    person.keys("\r")

    person.sees("attached red-cat.png")


def test_what_was_typed_is_there_in_the_next_run(start: Start, tmp_path: Path) -> None:
    """The prompts; the numbers of options are nothing to come back to."""
    person = start()
    person.types("a red cat on the moon")
    person.sees("said 21")
    person.types("2")
    person.sees("pressed")
    assert person.ends() == 0
    person = start()
    person.clears()

    person.keys("\x1b[A")

    person.until(lambda text: text.startswith("› a red cat on the moon"), "the prompt")
    assert (tmp_path / "history").stat().st_mode & 0o077 == 0


def test_a_history_that_cannot_be_kept_is_kept_in_memory(start: Start, tmp_path: Path) -> None:
    (tmp_path / "history").mkdir()
    person = start()
    person.types("a red cat")
    person.sees("said 9")
    person.clears()

    person.keys("\x1b[A")

    person.until(lambda text: text.startswith("› a red cat"), "the prompt")


def test_the_status_line_is_there_while_something_is_made(start: Start) -> None:
    """And typing is not disturbed by it."""
    person = start()
    person.types("run")
    person.sees("FLUX · 0:03")
    person.clears()

    person.keys("half a pro")
    person.until(lambda text: text.startswith("› half a pro\n"), "what is typed")
    person.sees("FLUX · 0:03")
    person.keys("mpt\r")
    person.sees("said 13 half a prompt")
    person.types("stop")

    person.until(lambda text: "said 4 stop" in text and "FLUX" not in text, "no status line")


def test_news_come_above_the_line_that_is_typed_on(start: Start) -> None:
    person = start()
    person.types("news later a cat")
    person.keys("half a pro")
    person.until(lambda text: "› half a pro" in text, "what is typed")
    person.keys("mpt")

    text = person.sees("news: later a cat", "› half a prompt")

    assert text.index("news: later") < text.rindex("› half a prompt")
    person.keys("\r")
    person.sees("said 13 half a prompt")


def test_an_answer_that_could_not_be_taken_is_typed_already(start: Start) -> None:
    """The database was away for a moment: nobody is to write a long prompt twice."""
    person = start()

    person.types("break")

    person.until(lambda text: text.count("› break") == 2, "the answer, once more")


def test_ctrl_c_drops_what_is_typed_then_says_how_to_end(start: Start) -> None:
    person = start()
    person.clears()
    person.keys("rubbish\x03")
    person.until(lambda text: text.rstrip().count("›") == 2, "an empty line")

    person.interrupts()

    person.sees("Leave: Ctrl-D")
    assert "rubbish" not in person.text()


def test_ctrl_d_says_what_is_still_made(start: Start) -> None:
    person = start()
    person.types("run")
    person.sees("FLUX")

    assert person.ends() == 0
    assert "Still being made: 1 job" in person.text()
    assert "See you!" in person.text()


def test_a_command_to_leave(start: Start) -> None:
    person = start()

    person.types("/quit")

    assert person.wait() == 0


def test_the_window_changes_its_size(start: Start) -> None:
    person = start()
    person.resizes(30, 24)
    person.is_asked()

    person.types("long")

    text = person.sees("word99", "Videos")
    assert all(len(row) <= 24 for row in text.splitlines())
    person.resizes(40, 120)
    person.types("long")
    assert "word0 word1 word2 word3 word4 word5 word6" in person.sees("word99")


@pytest.mark.parametrize("columns", [12, 20, 39])
def test_a_narrow_window(start: Start, columns: int) -> None:
    person = start(columns=columns)

    person.types("2")

    person.sees("pressed")


def test_a_terminal_that_can_do_nothing(start: Start) -> None:
    """TERM=dumb: an editor's shell window, say."""
    person = start(TERM="dumb")

    person.keys("ask text\r")
    person.sees("text is asked", "/1")
    person.keys("a red cat\r")
    person.sees("said 9 a red cat")
    person.keys("news a cat\r")
    person.sees("news: a cat", "2026-01-01-cat.png")
    person.keys("rubbish\x03")
    person.sees("Leave: Ctrl-D")
    person.keys("ask amount\r")
    person.sees("amount is asked")
    person.keys("\x03")
    person.sees("The question is left")
    person.is_asked()
    person.keys("\x04")

    assert person.wait() == 0
    assert b"\x1b[" not in person.raw


def test_colours_can_be_declined(start: Start) -> None:
    """Source: no-color.org."""
    person = start(NO_COLOR="1")
    person.types("2")
    person.sees("pressed")

    assert b"\x1b[36m" not in person.raw
    assert b"\x1b[33m" not in person.raw


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ({"KITTY_WINDOW_ID": "1", "TERM": "xterm-kitty"}, b"\x1b_Gf=100,a=T,q=2,c=40,m=0;"),
        ({"TERM_PROGRAM": "iTerm.app"}, b"\x1b]1337;File=inline=1;size="),
    ],
    ids=["kitty", "iTerm2"],
)
def test_a_result_is_drawn_where_the_terminal_can(
    start: Start, variables: dict[str, str], code: bytes
) -> None:
    person = start(**variables)

    person.types("news a cat")
    person.sees("2026-01-01-cat.png")

    assert code in person.raw


def test_a_path_can_be_clicked(start: Start, tmp_path: Path) -> None:
    person = start()

    person.types("news a cat")
    person.sees("2026-01-01-cat.png")

    path = tmp_path / "results" / "2026-01-01-cat.png"
    assert b";" + path.as_uri().encode() + b"\x1b\\" in person.raw
    assert str(path).encode() in person.raw  # on one line, however long it is
    assert b"\x1b_G" not in person.raw


@pytest.mark.parametrize(
    ("environment", "pictures"),
    [
        ({"TERM": "xterm-256color"}, Pictures.NONE),
        ({"TERM": "dumb", "KITTY_WINDOW_ID": "1"}, Pictures.NONE),
        ({"TERM": "xterm-kitty"}, Pictures.KITTY),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/x"}, Pictures.NONE),
        ({"TERM": "screen-256color", "TERM_PROGRAM": "iTerm.app"}, Pictures.NONE),
        ({"TERM": "xterm-ghostty"}, Pictures.KITTY),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, Pictures.ITERM),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, Pictures.ITERM),
        ({}, Pictures.NONE),
    ],
)
def test_what_a_terminal_says_of_itself(environment: dict[str, str], pictures: Pictures) -> None:
    assert Pictures.of(environment) is pictures


def test_only_pictures_that_it_knows_are_drawn(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff\xe0" + b"\0" * 60)
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + b"\0" * 60)

    assert Pictures.KITTY.draw(tmp_path / "a.jpg", 80) is None
    assert Pictures.ITERM.draw(tmp_path / "a.jpg", 80) is not None
    assert Pictures.ITERM.draw(tmp_path / "a.mp4", 80) is None
    assert Pictures.ITERM.draw(tmp_path / "gone", 80) is None


def test_a_large_picture_comes_in_pieces(tmp_path: Path) -> None:
    """Kitty takes 4096 characters at once."""
    (tmp_path / "a.png").write_bytes(PNG + b"\0" * 9000)

    codes = Pictures.KITTY.draw(tmp_path / "a.png", 80) or ""

    pieces = codes.split("\x1b\\")
    assert [piece.partition(";")[0] for piece in pieces] == [
        "\x1b_Gf=100,a=T,q=2,c=40,m=1",
        "\x1b_Gm=1",
        "\x1b_Gm=0",
        "",
    ]
    assert all(len(piece.partition(";")[2]) <= 4096 for piece in pieces)


# --- Telling


@frozen
class Streams:
    """A frontend on pipes in this process."""

    frontend: TerminalFrontend
    talk: talk.Talk
    typed: int


@pytest.fixture
def streams(tmp_path: Path) -> Iterator[Streams]:
    """Somebody on pipes, in this process."""
    reader, typed = os.pipe()
    with open(reader) as stdin, (tmp_path / "out").open("w+") as stdout:  # noqa: PTH123 - a number
        spoken = talk.Talk()
        frontend = talk.frontend_of(spoken, tmp_path / "results", stdin=stdin, stdout=stdout)
        yield Streams(frontend, spoken, typed)


async def test_who_has_left_is_told_nothing(streams: Streams) -> None:
    """What was not seen must stay untold, to be told at the next start."""
    os.close(streams.typed)
    await asyncio.wait_for(streams.frontend.run(), PATIENCE_S)

    telling = asyncio.create_task(streams.frontend.show(talk.PERSON, talk.MENU))
    for _ in range(100):
        await asyncio.sleep(0)

    assert not telling.done()
    telling.cancel()


async def test_news_before_the_first_screen_wait_for_it(streams: Streams, tmp_path: Path) -> None:
    telling = asyncio.create_task(streams.frontend.show(talk.PERSON, talk.screen("early")))
    streams.talk.news.append(telling)
    os.close(streams.typed)

    await asyncio.wait_for(streams.frontend.run(), PATIENCE_S)

    said = (tmp_path / "out").read_text()
    assert said.index("What shall we make?") < said.index("early")


async def test_being_stopped_is_an_end(streams: Streams) -> None:
    """A task that is cancelled ends, though nothing was typed."""
    running = asyncio.create_task(streams.frontend.run())
    await asyncio.sleep(0)

    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, PATIENCE_S)
    os.close(streams.typed)


# --- Files


def test_a_file_as_an_answer(tmp_path: Path) -> None:
    path = tmp_path / "рыжий кот #1?.txt"
    path.write_bytes(PNG)

    assert look(path) == Attachment(
        reference=path.as_uri(),
        name=path.name,
        mime="image/png",
        size=len(PNG),
        digest=hashlib.sha256(PNG).hexdigest(),
    )


def test_a_huge_file_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    with path.open("wb") as file:
        file.write(b"\0\0\0\x18ftypmp42")
        file.truncate(DIGEST_BYTES + 1)

    found = look(path)

    assert isinstance(found, Attachment)
    assert (found.size, found.digest) == (DIGEST_BYTES + 1, None)


def test_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")

    found = {
        name: look(tmp_path / name)
        for name in ("empty", "pipe", "loop", "gone", "empty/x", "x" * 300, "a\0b", ".")
    }

    assert found == {
        "empty": Trouble.EMPTY,
        "pipe": Trouble.UNREADABLE,
        "loop": Trouble.MISSING,
        "gone": Trouble.MISSING,
        "empty/x": Trouble.MISSING,
        "x" * 300: Trouble.MISSING,
        "a\0b": Trouble.MISSING,
        ".": Trouble.FOLDER,
    }
    assert not is_there(tmp_path / ("x" * 300))
    assert not is_there(tmp_path / "a\0b")


async def test_a_file_is_read_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "рыжий #1?.png"
    path.write_bytes(PNG + b"\0" * 1_000_000)

    async with open_file(path.as_uri()) as file:
        chunks = [chunk async for chunk in file.chunks()]

    assert b"".join(chunks) == path.read_bytes()
    assert len(chunks) > 2
    assert (file.name, file.mime, file.size) == (path.name, "image/png", path.stat().st_size)


@pytest.mark.parametrize("reference", ["file:///no/such/file", "https://example.org/a", "", "x"])
async def test_what_cannot_be_opened(reference: str) -> None:
    with pytest.raises(MediaError):
        async with open_file(reference):
            pass


async def test_a_folder_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(MediaError):
        async with open_file(tmp_path.as_uri()):
            pass


def test_addresses_are_not_opened_by_the_terminal(streams: Streams) -> None:
    assert streams.frontend.open("https://example.org/a.png") is not None
    os.close(streams.typed)


async def test_results_never_replace_each_other(tmp_path: Path) -> None:
    results = Results(tmp_path / "new" / "folder")
    other = talk.picture(9, 9)

    kept = [
        await results.keep(BytesFile(name="x", content=content), "cat")
        for content in (PNG, other, PNG, other, b"%PDF-1.7", b"\x01\x02")
    ]

    names = ["cat.png", "cat-2.png", "cat.png", "cat-2.png", "cat.pdf", "cat.bin"]
    assert [path.name for path in kept] == names
    assert kept[1].read_bytes() == other
    assert len(list(results.folder.iterdir())) == 4


async def test_one_result_stored_many_times_at_once_is_one_file(tmp_path: Path) -> None:
    """Two windows tell the same news."""
    windows = [Results(tmp_path) for _ in range(8)]

    kept = await asyncio.gather(
        *(results.keep(BytesFile(name="x", content=PNG), "cat") for results in windows)
    )

    assert set(kept) == {tmp_path / "cat.png"}


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "etc-passwd.png"),
        ("a/b\\c:d\0e", "a-b-c-d-e.png"),
        (".hidden", "hidden.png"),
        ("...", "result.png"),
        ("ж" * 300, "ж" * 60 + ".png"),
    ],
)
async def test_a_result_stays_in_its_folder(tmp_path: Path, name: str, kept: str) -> None:
    path = await Results(tmp_path).keep(BytesFile(name="x", content=PNG), name)

    assert path == tmp_path / kept


@frozen
class BrokenFile:
    """A file whose reading fails in the middle."""

    name: str = "x"
    mime: str | None = None
    size: int | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        yield PNG
        raise MediaError("x", "the connection broke")


async def test_half_a_result_is_none(tmp_path: Path) -> None:
    with pytest.raises(MediaError):
        await Results(tmp_path).keep(BrokenFile(), "cat")

    assert not await asyncio.to_thread(lambda: list(tmp_path.iterdir()))
