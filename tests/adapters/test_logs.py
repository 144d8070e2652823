"""Log lines: their form, and what never stands in one."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp.http_exceptions import BadStatusLine

from kiebot.adapters import logs

BOT_TOKEN = "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1"
CARD = "2200 7000 0000 0009"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    level, handlers, raising = root.level, list(root.handlers), logging.raiseExceptions
    yield
    for handler in [known for known in root.handlers if known not in handlers]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)
    logging.raiseExceptions = raising
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_where_nobody_reads_it() -> None:
    stream = io.StringIO()
    logs.configure(level="info", stream=stream)

    structlog.get_logger("kiebot.worker").info("leading", scope="remote", token=7)

    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "leading",
        "level": "info",
        "logger": "kiebot.worker",
        "scope": "remote",
        "token": 7,
    }


def test_a_line_is_text_on_a_terminal() -> None:
    stream = Terminal()
    logs.configure(level="info", stream=stream)

    structlog.get_logger("kiebot").warning("the lead is lost", scope="local")

    assert "the lead is lost" in stream.getvalue()
    assert "\x1b[" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_the_form_can_be_chosen() -> None:
    stream = io.StringIO()
    logs.configure(level="info", form="text", stream=stream)

    structlog.get_logger("kiebot").info("hello")

    assert "hello" in stream.getvalue()
    assert "\x1b[" not in stream.getvalue()


def test_what_is_less_serious_is_not_written() -> None:
    stream = io.StringIO()
    logs.configure(level="warning", stream=stream)

    structlog.get_logger("kiebot").info("small talk")
    logging.getLogger("aiogram").info("small talk")
    structlog.get_logger("kiebot").error("trouble")

    assert [line["event"] for line in lines(stream)] == ["trouble"]


def test_lines_of_others_go_the_same_way() -> None:
    stream = io.StringIO()
    logs.configure(level="info", stream=stream, secrets=["kie-key-1"])

    logging.getLogger("aiohttp").warning("asked with %s", "kie-key-1")

    (line,) = lines(stream)
    assert (line["event"], line["logger"], line["level"]) == (
        "asked with ***",
        "aiohttp",
        "warning",
    )


def test_a_pool_does_not_warn_of_each_try_while_the_database_is_away() -> None:
    stream = io.StringIO()
    logs.configure(level="info", stream=stream)

    logging.getLogger("asyncpg.pool").warning("retrying", exc_info=ConnectionResetError())
    logging.getLogger("asyncpg.pool").error("broken")

    assert [line["event"] for line in lines(stream)] == ["broken"]


def test_configuring_again_replaces_what_was_said_before() -> None:
    first, second = io.StringIO(), io.StringIO()
    logs.configure(level="info", stream=first)
    logs.configure(level="info", stream=second)

    structlog.get_logger("kiebot").info("once")

    assert (len(lines(first)), len(lines(second))) == (0, 1)


def test_a_file_is_made_with_its_first_line(tmp_path: Path) -> None:
    path = tmp_path / "state" / "kiebot.log"
    logs.configure(level="warning", path=path)
    structlog.get_logger("kiebot").info("nothing")
    assert not path.exists()

    structlog.get_logger("kiebot").warning("кот", user_id=-1)

    assert "кот" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "struck"),
    [
        (f"https://api.telegram.org/bot{BOT_TOKEN}/getMe", "AAHdq"),
        ("Authorization: Bearer abcdef0123456789", "abcdef"),
        ("postgresql://kiebot:pass-word@db/kiebot", "pass-word"),
        ("POST /kie/callback?job=abc&key=0123abcd", "0123abcd"),
        (f"send it to {CARD}", CARD),
        ("send it to 2200700000000009", "2200700000000009"),
        ("the key is top-secret-key", "top-secret-key"),
    ],
)
def test_what_looks_like_a_secret_is_struck(text: str, struck: str) -> None:
    stream = io.StringIO()
    logs.configure(level="info", stream=stream, secrets=["top-secret-key", "top-secret", ""])

    structlog.get_logger("kiebot").info(text, detail=[{"where": text}], error=ValueError(text))

    assert struck not in stream.getvalue()
    assert "***" in stream.getvalue()


@pytest.mark.parametrize(
    "name", ["token", "kie_api_token", "payment_card", "password", "prompt", "answers", "params"]
)
def test_secret_fields_are_struck_by_name(name: str) -> None:
    stream = io.StringIO()
    logs.configure(level="info", stream=stream)

    structlog.get_logger("kiebot").info("asked", **{name: "a green dog"})

    assert "a green dog" not in stream.getvalue()


def test_a_traceback_holds_no_secret() -> None:
    stream = io.StringIO()
    logs.configure(level="info", stream=stream, secrets=["top-secret-key"])

    def fail() -> None:
        raise RuntimeError("refused top-secret-key")

    try:
        fail()
    except RuntimeError:
        structlog.get_logger("kiebot").exception("failed")

    (line,) = lines(stream)
    assert "RuntimeError: refused ***" in line["exception"]
    assert "top-secret-key" not in stream.getvalue()


def test_plain_numbers_are_kept() -> None:
    stream = io.StringIO()
    logs.configure(level="info", stream=stream)

    structlog.get_logger("kiebot").info("paid", user_id=7001234567890123, amount_kop=1234567)

    (line,) = lines(stream)
    assert (line["user_id"], line["amount_kop"]) == (7001234567890123, 1234567)


def test_an_exception_does_not_repeat_what_somebody_typed() -> None:
    stream = io.StringIO()
    logs.configure(level="info", stream=stream)

    typed = "розовый слон"

    try:
        try:
            int(typed)
        except ValueError as error:
            raise RuntimeError("a step failed") from error
    except RuntimeError:
        logging.getLogger("kiebot").exception("failed", extra={"job_id": "j1"})

    (line,) = lines(stream)
    assert typed not in stream.getvalue()
    assert "ValueError: (its words are not logged)" in line["exception"]
    assert "RuntimeError: a step failed" in line["exception"]
    assert "test_logs.py" in line["exception"]
    assert line["job_id"] == "j1"


def test_several_exceptions_at_once_are_all_there() -> None:
    stream = io.StringIO()
    logs.configure(level="info", stream=stream)

    errors = [OSError("no disk"), KeyError("зелёный слон")]
    logging.getLogger("kiebot").error("failed", exc_info=ExceptionGroup("two", errors))

    (line,) = lines(stream)
    assert "no disk" in line["exception"]
    assert "слон" not in stream.getvalue()


@pytest.mark.parametrize(
    "shown", ["2200700000000000", "2200 7000 0000 0000", "2200-7000-0000-0000"]
)
def test_a_card_is_struck_however_it_is_written(shown: str) -> None:
    assert logs.Strike(["2200 7000 0000 0000"]).text(f"to {shown}.") == "to ***."


def test_rubbish_over_http_is_not_repeated() -> None:
    stream = io.StringIO()
    logs.configure(level="debug", stream=stream)
    server = logging.getLogger("aiohttp.server")

    server.error("Error handling request", exc_info=BadStatusLine("розовый слон"))
    server.error("Error handling request", exc_info=RuntimeError("ours"))

    (line,) = lines(stream)
    assert "ours" in line["exception"]
