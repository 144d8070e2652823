"""
Margins: what was sold of each model, what KIE took for it, and where a price no longer fits.

Two things go wrong unseen: KIE takes more than the person pays, or it takes more than the catalog's
credit rows say, so that prices made from them (`models price`) are too low. Both are looked for
job by job: a model's sums hide a dear answer behind many cheap ones.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TypeAlias

from attrs import field, frozen

from kiebot.core import costs, pricing
from kiebot.core.catalog import Catalog
from kiebot.core.errors import PriceMissingError
from kiebot.core.money import ZERO, Money
from kiebot.core.params import JsonValue
from kiebot.core.wallet import JobId

ALIKE = 20
"""Jobs that are looked at of those that cost the same and took the same. Our choice."""

WORST = 500
"""Jobs that are looked at of one model, the worst first. Our choice."""


@frozen(kw_only=True)
class ModelSums:
    """
    What was sold of a model: its confirmed jobs, whatever became of them.

    `income` is what was charged less what was refunded; a grant is none, nor is what is still
    held. `credits` is what KIE took for all tasks of these jobs, also of those that failed;
    `untold` counts the tasks that ended without a failure and of which KIE did not say what they
    took: it is missing in `credits`.
    """

    model_id: str
    jobs: int
    failed: int = 0
    refunded: int = 0
    income: Money = ZERO
    credits: Decimal = Decimal(0)
    untold: int = 0


@frozen(kw_only=True)
class Billed:
    """
    A job of which KIE said what it took: `credits` is what its dearest task took. A job has two
    tasks where an answer was lost, and a price is for one.
    """

    job_id: JobId
    model_id: str
    params: Mapping[str, JsonValue] = field(factory=dict)
    measures: Mapping[str, Decimal] = field(factory=dict)
    price: Money
    credits: Decimal


@frozen(kw_only=True)
class SoldAtLoss:
    """KIE took more than the person paid, and the same answers cost no more today."""

    model_id: str
    job_id: JobId
    credits: Decimal
    costs: Money
    paid: Money


@frozen(kw_only=True)
class DearerThanKnown:
    """KIE took more than the catalog's credit rows say for these answers."""

    model_id: str
    job_id: JobId
    credits: Decimal
    expected: Decimal


Misfit: TypeAlias = SoldAtLoss | DearerThanKnown


@frozen(kw_only=True)
class Margin:
    """A model's line: `cost` is None where no rate is known. `misfits` has one of a kind."""

    sums: ModelSums
    cost: Money | None
    misfits: tuple[Misfit, ...] = ()

    @property
    def margin_kop(self) -> int | None:
        """Income less cost, in kopecks; below zero where it was sold at a loss."""
        if self.cost is None:
            return None
        return self.sums.income.kopecks - self.cost.kopecks


@frozen(kw_only=True)
class Report:
    """
    The lines, largest income first. `rub_per_usd` is the rate of the costs, None: none is known.
    `checked_at` is the rate at which losses were looked for: the same, or else a cautious one.
    """

    margins: tuple[Margin, ...]
    rub_per_usd: Decimal | None
    checked_at: Decimal

    @property
    def total(self) -> ModelSums:
        """All lines together, under no model's name."""
        lines = [margin.sums for margin in self.margins]
        return ModelSums(
            model_id="",
            jobs=sum(line.jobs for line in lines),
            failed=sum(line.failed for line in lines),
            refunded=sum(line.refunded for line in lines),
            income=sum((line.income for line in lines), ZERO),
            credits=sum((line.credits for line in lines), Decimal(0)),
            untold=sum(line.untold for line in lines),
        )

    @property
    def total_cost(self) -> Money | None:
        """The costs of all lines, None where no rate is known."""
        if self.rub_per_usd is None:
            return None
        return sum((m.cost for m in self.margins if m.cost is not None), ZERO)

    @property
    def misfits(self) -> tuple[Misfit, ...]:
        """Of all models, in the order of the lines."""
        return tuple(misfit for margin in self.margins for misfit in margin.misfits)


def report(
    sums: Iterable[ModelSums],
    billed: Iterable[Billed],
    catalog: Catalog,
    multiplier: Decimal,
    rub_per_usd: Decimal | None = None,
) -> Report:
    """
    What was sold and what it cost, at this rate or else the catalog's own.

    Where no rate is known, costs are not known either; losses are then looked for at the catalog's
    cautious rate (`cost_guard`).
    """
    rate = catalog.rub_per_usd if rub_per_usd is None else rub_per_usd
    checked_at = catalog.cost_guard if rate is None else rate
    of_model: dict[str, list[Billed]] = {}
    for job in billed:
        of_model.setdefault(job.model_id, []).append(job)
    margins = [
        Margin(
            sums=one,
            cost=None if rate is None else costs.cost(one.credits, rate),
            misfits=misfits(of_model.get(one.model_id, ()), catalog, multiplier, checked_at),
        )
        for one in sums
    ]
    margins.sort(key=lambda margin: (-margin.sums.income.kopecks, margin.sums.model_id))
    return Report(margins=tuple(margins), rub_per_usd=rate, checked_at=checked_at)


def misfits(
    billed: Sequence[Billed], catalog: Catalog, multiplier: Decimal, rub_per_usd: Decimal
) -> tuple[Misfit, ...]:
    """Where one model's price no longer fits, the worst job of each kind."""
    lost = [_at_loss(job, catalog, multiplier, rub_per_usd) for job in billed]
    dear = [_dearer(job, catalog) for job in billed]
    worst_loss = max((one for one in lost if one is not None), key=_lost, default=None)
    worst_dear = max((one for one in dear if one is not None), key=_over, default=None)
    return tuple(one for one in (worst_loss, worst_dear) if one is not None)


def _at_loss(
    job: Billed, catalog: Catalog, multiplier: Decimal, rub_per_usd: Decimal
) -> SoldAtLoss | None:
    taken = costs.cost(job.credits, rub_per_usd)
    if taken <= job.price:
        return None
    asked = _price_now(job, catalog, multiplier)
    if asked is None or asked >= taken:
        return None  # mended: they cost more by now, or cannot be bought any more
    return SoldAtLoss(
        model_id=job.model_id, job_id=job.job_id, credits=job.credits, costs=taken, paid=job.price
    )


def _dearer(job: Billed, catalog: Catalog) -> DearerThanKnown | None:
    model = catalog.find(job.model_id)
    expected = None if model is None else costs.kie_credits(model, job.params, job.measures)
    if expected is None or job.credits <= expected:
        return None
    return DearerThanKnown(
        model_id=job.model_id, job_id=job.job_id, credits=job.credits, expected=expected
    )


def _lost(found: SoldAtLoss) -> int:
    return found.costs.kopecks - found.paid.kopecks


def _over(found: DearerThanKnown) -> Decimal:
    return found.credits / found.expected


def _price_now(job: Billed, catalog: Catalog, multiplier: Decimal) -> Money | None:
    """What the same answers cost today, None where they cannot be bought any more."""
    model = catalog.find(job.model_id)
    if model is None or not model.on_sale:
        return None
    try:
        return pricing.quote(model, job.params, multiplier, job.measures).price
    except PriceMissingError:
        return None
