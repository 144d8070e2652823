"""
Updates: what a frontend's far side says that a person did.

Each is stored before it is acknowledged, handled once, and answered: by the change it makes, or by
its reply where it changes nothing.
"""

from datetime import timedelta

from attrs import frozen

from kiebot.core.users import UserId

QUEUE = 50
"""Updates of one person that may wait. Our choice: nobody types more before the first answer."""

TRIES = 3
"""How often an update is handled that fails unexpectedly."""

PAUSES = (timedelta(seconds=1), timedelta(seconds=5), timedelta(seconds=15))
"""How long an update is left alone after its first, second, ... failure, and after all others."""

KEPT = timedelta(days=3)
"""
How long updates that were answered, and events that were told, are kept.

Telegram keeps an update that was not acknowledged for 24 hours, and would send it again. Source:
"Getting updates" in the Bot API.
"""

PRUNED = 500
"""Rows that are removed at a time, so that nobody waits for it."""


@frozen(kw_only=True)
class Update:
    """
    An update in the inbox. `body` is its JSON.

    `is_done`: what it asks for was recorded, and only its reply is missing. `tries` counts the
    failures so far.
    """

    id: int
    user_id: UserId
    body: str
    is_done: bool = False
    tries: int = 0


def pause(tries: int) -> timedelta:
    """How long to leave it alone after so many failures."""
    return PAUSES[min(tries, len(PAUSES)) - 1]
