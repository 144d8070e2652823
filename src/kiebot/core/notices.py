"""
Messages that go on telling something: how far a job is, what became of a request.

A frontend that can change what it said keeps here where it said it, so that any instance, now or
after a restart, can keep it true.
"""

from enum import StrEnum

from attrs import frozen

from kiebot.core.topups import TopUpId
from kiebot.core.users import UserId
from kiebot.core.wallet import JobId


class About(StrEnum):
    """What a notice tells of."""

    JOB = "job"
    TOPUP = "topup"


@frozen(kw_only=True)
class Notice:
    """
    A message that a person sees: `message_id` is the frontend's number of it in their chat, and
    `ref` the id of the job or top-up. `has_file`: it stands under a file.
    """

    user_id: UserId
    message_id: int
    about: About
    ref: JobId | TopUpId
    has_file: bool = False
