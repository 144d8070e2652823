"""
Talk: what the conversation and the administrators' desk both know of who is spoken with, and of
what buttons and typed words may say.
"""

import re
import unicodedata
from collections.abc import Awaitable, Callable

from attrs import frozen

from kiebot.core.catalog import Catalog, Model
from kiebot.core.dialog.screen import Screen
from kiebot.core.dialog.texts import Texts
from kiebot.core.errors import NotFoundError
from kiebot.core.topups import TopUpId
from kiebot.core.users import User, UserId
from kiebot.core.wallet import JobId

_ID = re.compile(r"[A-Za-z0-9_-]{1,16}", re.ASCII)
_NUMBER = re.compile(r"\d{1,18}", re.ASCII)
_USER_ID = re.compile(r"-?\d{1,18}", re.ASCII)


@frozen(kw_only=True)
class Person:
    """Who is spoken with, in which words, and what is on sale to them at this moment."""

    user: User
    t: Texts
    catalog: Catalog
    is_admin: bool = False

    @property
    def id(self) -> UserId:
        return self.user.id

    def model(self, model_id: str) -> Model:
        """A model that can be bought now; NotFoundError, or NotOnSaleError with the reason."""
        return self.catalog.sold(model_id)


Handler = Callable[..., Awaitable[Screen]]


@frozen
class Route:
    """A handler, and how many further parts its action has."""

    handler: Handler
    least: int = 0
    most: int = 0


def as_job_id(text: str) -> JobId:
    """NotFoundError for what can be no id, before any database sees it."""
    if not _ID.fullmatch(text):
        raise NotFoundError("job", text)
    return JobId(text)


def as_topup_id(text: str) -> TopUpId:
    """See `as_job_id`."""
    if not _ID.fullmatch(text):
        raise NotFoundError("top-up", text)
    return TopUpId(text)


def as_user_id(text: str) -> UserId:
    """See `as_job_id`; people of the terminal have negative ids."""
    if not _USER_ID.fullmatch(text):
        raise NotFoundError("user", text)
    return UserId(int(text))


def as_number(text: str, otherwise: int) -> int:
    """A whole number in a button, or something else where it is none."""
    return int(text) if _NUMBER.fullmatch(text) else otherwise


def clean(text: str, most: int) -> str:
    """Without what no database takes and no screen shows."""
    kept = (
        char for char in text if unicodedata.category(char) not in {"Cc", "Cs"} or char in "\n\t"
    )
    return "".join(kept).strip()[:most]
