"""Figures: how much of everything there is now, for who watches over a shop."""

from collections.abc import Mapping
from datetime import datetime

from attrs import field, frozen

from kiebot.core.jobs import JobStatus
from kiebot.core.money import ZERO, Money


@frozen(kw_only=True)
class Figures:
    """
    How much there is.

    `jobs` are counted by status; a status that no job has may be missing. `held` is what is set
    aside for open jobs. The moments are those of the oldest.
    """

    jobs: Mapping[JobStatus, int] = field(factory=dict)
    oldest_open: datetime | None = None
    held: Money = ZERO
    untold: int = 0
    oldest_untold: datetime | None = None
    topups_waiting: int = 0
    oldest_topup: datetime | None = None
    updates_waiting: int = 0
    oldest_update: datetime | None = None
