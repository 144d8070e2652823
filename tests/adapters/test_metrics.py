"""Metrics: what a scrape has, when the database is asked, and what a call at KIE leaves behind."""

from datetime import timedelta

import pytest
from attrs import define, field

from kiebot.adapters.kie.stub import Fault, StubKieClient
from kiebot.adapters.metrics import MeteredKieClient, Metrics
from kiebot.core.errors import KieUnavailableError, StorageUnavailableError
from kiebot.core.figures import Figures
from kiebot.core.jobs import JobStatus
from kiebot.core.money import Money
from tests.fakes.clock import START, FakeClock


@define
class Database:
    """What the metrics ask."""

    figures: Figures | None = field(factory=Figures)
    asked: int = 0

    async def __call__(self) -> Figures:
        self.asked += 1
        if self.figures is None:
            raise StorageUnavailableError("down")
        return self.figures


def metrics_of(database: Database, clock: FakeClock, *, is_leader: bool = True) -> Metrics:
    return Metrics(clock, database, lambda: is_leader)


async def test_a_scrape_says_how_much_there_is(clock: FakeClock) -> None:
    figures = Figures(
        jobs={JobStatus.QUEUED: 2, JobStatus.FAILED: 1},
        oldest_open=START - timedelta(seconds=90),
        held=Money(6050),
        untold=3,
        topups_waiting=4,
        oldest_topup=START - timedelta(hours=1),
        updates_waiting=5,
    )
    metrics = metrics_of(Database(figures), clock)

    page = (await metrics.text()).decode()

    lines = page.splitlines()
    for line in (
        'kiebot_jobs{status="queued"} 2.0',
        'kiebot_jobs{status="failed"} 1.0',
        'kiebot_jobs{status="running"} 0.0',
        "kiebot_oldest_open_job_seconds 90.0",
        "kiebot_held_roubles 60.5",
        "kiebot_outbox_untold 3.0",
        "kiebot_oldest_untold_seconds 0.0",
        "kiebot_topups_waiting 4.0",
        "kiebot_oldest_topup_seconds 3600.0",
        "kiebot_inbox_waiting 5.0",
        "kiebot_is_leader 1.0",
        "kiebot_database_up 1.0",
    ):
        assert line in lines, line


async def test_the_database_is_not_asked_at_every_scrape(clock: FakeClock) -> None:
    database = Database()
    metrics = metrics_of(database, clock, is_leader=False)

    pages = [await metrics.text() for _ in range(5)]

    assert database.asked == 1
    assert all(b"kiebot_is_leader 0.0" in page for page in pages)


async def test_a_database_that_is_gone_is_a_figure_itself(clock: FakeClock) -> None:
    metrics = metrics_of(Database(None), clock)
    metrics.update("done", 0.02)

    page = (await metrics.text()).decode()

    assert "kiebot_database_up 0.0" in page
    assert 'kiebot_updates_total{outcome="done"} 1.0' in page
    assert 'kiebot_update_seconds_bucket{le="0.025"} 1.0' in page


async def test_calls_are_counted_by_how_they_end(clock: FakeClock) -> None:
    metrics = metrics_of(Database(), clock)
    kie = StubKieClient(clock)
    kie.script(Fault("credits", KieUnavailableError("down")))
    metered = MeteredKieClient(kie, metrics)

    with pytest.raises(KieUnavailableError):
        await metered.credits()
    await metered.credits()
    metrics.telegram("sendMessage", "ok", 0.2)
    metrics.telegram("sendMessage", "TelegramRetryAfter", 0.2)
    metrics.telegram("getUpdates", "cancelled", 25.0)

    page = (await metrics.text()).decode()
    assert 'kiebot_kie_seconds_count{call="credits"} 2.0' in page
    assert 'kiebot_kie_errors_total{call="credits",error="KieUnavailableError"} 1.0' in page
    assert 'kiebot_telegram_seconds_count{method="sendMessage"} 2.0' in page
    error = 'kiebot_telegram_errors_total{error="TelegramRetryAfter",method="sendMessage"} 1.0'
    assert error in page
    assert "getUpdates" not in page
