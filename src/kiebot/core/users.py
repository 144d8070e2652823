"""People: who has a wallet."""

from datetime import datetime
from typing import NewType

from attrs import frozen

from kiebot.core.language import Language

UserId = NewType("UserId", int)
"""Telegram's id of a person; negative for people of the terminal, the first of them -1."""

FIRST_LOCAL_USER = UserId(-1)

OPERATOR = UserId(0)
"""Who acts at the console of the machine; no person of a frontend has this id."""


@frozen(kw_only=True)
class User:
    """
    A person. `nickname` is their name in Telegram, without its @, None where they have none.

    `seen_at` is when they last did something, to the minute. `blocked_at` is when an administrator
    blocked them: nothing is done for them any more, but what was begun goes on.
    """

    id: UserId
    name: str
    language: Language
    created_at: datetime
    nickname: str | None = None
    seen_at: datetime | None = None
    blocked_at: datetime | None = None

    @property
    def is_blocked(self) -> bool:
        """Whether nothing is to be done for them."""
        return self.blocked_at is not None


def is_local(user_id: UserId) -> bool:
    """Whether this person uses the terminal."""
    return user_id < 0
