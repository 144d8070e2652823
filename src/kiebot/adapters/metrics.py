"""
Metrics for Prometheus: counted as it happens, or asked of the database at a scrape.

Times are in seconds, money is in roubles, as Prometheus asks for base units. No label holds a
person, a job or a text.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from datetime import datetime
from decimal import Decimal
from time import monotonic

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from kiebot.core.errors import KieError, MediaError, StorageError
from kiebot.core.figures import Figures
from kiebot.core.jobs import JobStatus
from kiebot.core.tasks import TaskId, TaskRequest, TaskStatus
from kiebot.ports.kie import InputFile, KieClient
from kiebot.ports.system import Clock

log = logging.getLogger(__name__)

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

CACHED_S = 5.0
"""How old figures of the database may be: it is not asked more often, however often we are."""

PATIENCE_S = 5.0
"""How long the database may take; then the scrape has the figures of before."""

_HANDLING_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_CALLS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """All metrics of one instance."""

    def __init__(
        self, clock: Clock, figures: Callable[[], Awaitable[Figures]], is_leader: Callable[[], bool]
    ) -> None:
        self._clock = clock
        self._ask = figures
        self._is_leader = is_leader
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()
        self._registry = CollectorRegistry()
        of = self._registry

        self._updates = Counter(
            "kiebot_updates", "Updates handled, by how that ended.", ["outcome"], registry=of
        )
        self._handling = Histogram(
            "kiebot_update_seconds",
            "How long an update took, from being taken up to its reply.",
            buckets=_HANDLING_S,
            registry=of,
        )
        self._kie = Histogram(
            "kiebot_kie_seconds", "Calls to KIE.", ["call"], buckets=_CALLS_S, registry=of
        )
        self._kie_errors = Counter(
            "kiebot_kie_errors", "Calls to KIE that failed.", ["call", "error"], registry=of
        )
        self._telegram = Histogram(
            "kiebot_telegram_seconds",
            "Calls to Telegram.",
            ["method"],
            buckets=_CALLS_S,
            registry=of,
        )
        self._telegram_errors = Counter(
            "kiebot_telegram_errors",
            "Calls to Telegram that failed.",
            ["method", "error"],
            registry=of,
        )
        self._leads = Gauge("kiebot_is_leader", "1 while this instance leads.", registry=of)
        self._database = Gauge("kiebot_database_up", "1 while the database answers.", registry=of)
        self._jobs = Gauge("kiebot_jobs", "Jobs, by status.", ["status"], registry=of)
        self._held = Gauge("kiebot_held_roubles", "Money set aside for open jobs.", registry=of)
        self._oldest = {
            what: Gauge(
                f"kiebot_oldest_{what}_seconds", f"{about}; 0 where there is none.", registry=of
            )
            for what, about in {
                "open_job": "Age of the oldest job that is not over",
                "untold": "Age of the oldest message that was not delivered",
                "topup": "Age of the oldest top-up that waits for a decision",
                "update": "Age of the oldest update that was not answered",
            }.items()
        }
        self._waiting = {
            "outbox": Gauge("kiebot_outbox_untold", "Messages not delivered yet.", registry=of),
            "topups": Gauge(
                "kiebot_topups_waiting", "Top-ups that wait for a decision.", registry=of
            ),
            "inbox": Gauge("kiebot_inbox_waiting", "Updates not answered yet.", registry=of),
        }

    # What is counted as it happens

    def update(self, outcome: str, seconds: float) -> None:
        """An update was handled, or not."""
        self._updates.labels(outcome).inc()
        self._handling.observe(seconds)

    def telegram(self, method: str, outcome: str, seconds: float) -> None:
        """Telegram was called; `outcome` is `ok`, `cancelled` or the class of an error."""
        if outcome == "cancelled":
            return
        self._telegram.labels(method).observe(seconds)
        if outcome != "ok":
            self._telegram_errors.labels(method, outcome).inc()

    @contextmanager
    def kie(self, call: str) -> Iterator[None]:
        """A call to KIE runs inside."""
        began = monotonic()
        try:
            yield
        except (KieError, MediaError) as error:
            self._kie_errors.labels(call, type(error).__name__).inc()
            raise
        finally:
            self._kie.labels(call).observe(monotonic() - began)

    # What is read

    async def text(self) -> bytes:
        """The page, with figures that are not older than a few seconds where there are any."""
        async with self._asking:
            if monotonic() - self._asked_at >= CACHED_S:
                await self._refresh()
                self._asked_at = monotonic()
        self._leads.set(self._is_leader())
        return generate_latest(self._registry)

    async def _refresh(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                figures = await self._ask()
        except (StorageError, TimeoutError) as error:
            log.warning("no figures: %s", str(error) or "the database is slow")
            self._database.set(0)
            return
        self._database.set(1)
        for status in JobStatus:
            self._jobs.labels(str(status)).set(figures.jobs.get(status, 0))
        self._held.set(float(figures.held.roubles))
        self._oldest["open_job"].set(self._age(figures.oldest_open))
        self._oldest["untold"].set(self._age(figures.oldest_untold))
        self._oldest["topup"].set(self._age(figures.oldest_topup))
        self._oldest["update"].set(self._age(figures.oldest_update))
        self._waiting["outbox"].set(figures.untold)
        self._waiting["topups"].set(figures.topups_waiting)
        self._waiting["inbox"].set(figures.updates_waiting)

    def _age(self, moment: datetime | None) -> float:
        return 0.0 if moment is None else max((self._clock() - moment).total_seconds(), 0.0)


class MeteredKieClient:
    """A KieClient, and how long it takes and how it fails."""

    def __init__(self, kie: KieClient, metrics: Metrics) -> None:
        self._kie = kie
        self._metrics = metrics

    async def create_task(self, request: TaskRequest) -> TaskId:
        """See the port."""
        with self._metrics.kie("create_task"):
            return await self._kie.create_task(request)

    async def task_status(self, request: TaskRequest, task_id: TaskId) -> TaskStatus:
        """See the port."""
        with self._metrics.kie("task_status"):
            return await self._kie.task_status(request, task_id)

    async def is_task_of(self, request: TaskRequest, task_id: TaskId) -> bool:
        """See the port."""
        with self._metrics.kie("is_task_of"):
            return await self._kie.is_task_of(request, task_id)

    async def upload(self, file: InputFile) -> str:
        """See the port."""
        with self._metrics.kie("upload"):
            return await self._kie.upload(file)

    async def credits(self) -> Decimal:
        """See the port."""
        with self._metrics.kie("credits"):
            return await self._kie.credits()

    def open_result(self, url: str) -> AbstractAsyncContextManager[InputFile]:
        """See the port; it is the result's own host that is read from."""
        return self._kie.open_result(url)
