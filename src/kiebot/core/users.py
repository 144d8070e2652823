"""People: who has a wallet."""

from datetime import datetime
from typing import NewType

from attrs import frozen

from kiebot.core.language import Language

UserId = NewType("UserId", int)
"""Telegram's id of a person; negative for people of the terminal, the first of them -1."""

FIRST_LOCAL_USER = UserId(-1)


@frozen(kw_only=True)
class User:
    """A person. `language` is None until one was chosen or told by the frontend."""

    id: UserId
    name: str
    language: Language
    created_at: datetime


def is_local(user_id: UserId) -> bool:
    """Whether this person uses the terminal."""
    return user_id < 0
