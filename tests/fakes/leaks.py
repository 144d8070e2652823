"""
The secrets that all tests use, and a listener who looks for them in whatever any test logs or says.

What is heard: every log record made in the tests' own process, every call to the fake Telegram,
all that `kiebot` prints or logs in a process of its own, and what pytest captured. A test in which
a secret was heard fails when it ends, whatever else it was about.

    hear("a log", text)                # in the fakes; `check()` fails the test

The number of the card may be shown where people are told to pay, and nowhere else. What people
typed may be shown to them, and stands in no log.
"""

import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from kiebot.config import Settings
from kiebot.core.dialog.en import EN
from kiebot.core.dialog.ru import RU

BOT_TOKEN = "4200000042:AAE-the-bot-of-the-tests-0000000000000"
KIE_KEY = "kie-key-5d41402abc4b2a76"
CALLBACK_SECRET = "kie-hmac-demo-key"
DATABASE_PASSWORD = "database-password-of-the-tests"
WEBHOOK_SECRET = Settings(telegram_bot_token=BOT_TOKEN).telegram_secret
CARD = "2200 7000 0000 0000"

SECRETS: Mapping[str, str] = {
    "the bot token": BOT_TOKEN.partition(":")[2],
    "the key of kie.ai": KIE_KEY,
    "the secret of callbacks": CALLBACK_SECRET,
    "the password of the database": DATABASE_PASSWORD,
    "the webhook's secret": WEBHOOK_SECRET,
}
PROMPTS = ("рыжий кот", "белый пёс", "розовый слон", "a red cat")
"""What people of the tests ask for again and again."""

PAYING = (RU.transfer("").strip(), EN.transfer("").strip())
"""How it begins where people are told to pay."""

_CARD = re.compile("[ -]?".join(CARD.replace(" ", "")))
_PROMPTS = (*PROMPTS, *(json.dumps(prompt)[1:-1] for prompt in PROMPTS if not prompt.isascii()))

_heard: list[str] = []


def hear(where: str, text: str) -> None:
    """Look into something that was said; a payment may be asked for in it."""
    for name, secret in SECRETS.items():
        if secret in text:
            _note(where, name, text, text.index(secret))
    card = _CARD.search(text)
    if card is not None and not any(words in text for words in PAYING):
        _note(where, "the number of the card", text, card.start())


def hear_log(where: str, text: str) -> None:
    """Look into what was logged, where no prompt stands either."""
    hear(where, text)
    for prompt in _PROMPTS:
        if prompt in text:
            _note(where, "a prompt", text, text.index(prompt))


def hear_call(method: str, params: Mapping[str, Any], texts: Iterator[str]) -> None:
    """Look into a call to Telegram; only `setWebhook` is told the webhook's secret."""
    told = {
        name: value
        for name, value in params.items()
        if (method, name) != ("setwebhook", "secret_token")
    }
    said = "\n".join([json.dumps(told, ensure_ascii=False, default=str), *texts])
    hear(f"a call of {method}", said)


def check() -> None:
    """Fail where a secret was heard since the last time."""
    if _heard:
        found = "\n".join(_heard)
        _heard.clear()
        pytest.fail(f"secrets were told:\n{found}", pytrace=False)


class Ear(logging.Handler):
    """Hears every record, with its fields and its error; for the root logger."""

    def emit(self, record: logging.LogRecord) -> None:
        """Nothing is written."""
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = ""  # its parts are among the fields
        error = record.exc_info[1] if record.exc_info else ""
        hear_log(f"a record of {record.name}", f"{message}\n{error}\n{vars(record)}")


@contextmanager
def expected() -> Iterator[list[str]]:
    """What is heard in this block is given to the test and fails nothing."""
    kept, _heard[:] = [*_heard], []
    found: list[str] = []
    try:
        yield found
    finally:
        found += _heard
        _heard[:] = kept


def _note(where: str, name: str, text: str, at: int) -> None:
    around = text[max(0, at - 60) : at + 20].replace("\n", " ")
    _heard.append(f"{name} in {where}: …{around}…")
