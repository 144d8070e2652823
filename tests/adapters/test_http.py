"""The shop's HTTP server: KIE's callbacks, Telegram's updates, and who watches over it."""

import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from attrs import define, evolve, field, frozen

from kiebot.adapters.http import MAX_BODY_BYTES, Hook, Watching, application, serving
from kiebot.adapters.kie.stub import Fault, StubKieClient
from kiebot.adapters.storage.memory import MemoryStorage
from kiebot.core.callbacks import SIGNATURE_HEADER, TIMESTAMP_HEADER, Callbacks, sign
from kiebot.core.errors import (
    ConfigError,
    KieNoAnswerError,
    KieUnavailableError,
    StorageUnavailableError,
)
from kiebot.core.jobs import JobStatus
from kiebot.core.tasks import TaskId
from kiebot.core.wallet import JobId
from tests.fakes.clock import FakeClock
from tests.fakes.shop import TERMS, Shop

SECRET = "kie-hmac-demo-key"
CALLBACKS = Callbacks(address="https://shop.example", secret=SECRET)


@frozen
class Door:
    """A shop that KIE can reach, and KIE's side of the door."""

    shop: Shop
    kie: StubKieClient
    address: str
    session: aiohttp.ClientSession

    async def post(
        self,
        query: Mapping[str, str],
        body: bytes | object,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> int:
        """The status that a callback is answered with."""
        data: object = body if isinstance(body, bytes) else json.dumps(body).encode()
        if isinstance(body, int):
            data = io.BytesIO(b" " * body)
        url = f"{self.address}/kie/callback"
        async with self.session.post(url, params=query, data=data, headers=headers) as answer:
            assert (await answer.json())["ok"] == (answer.status == 200)
            return answer.status

    async def call_back(self, job_id: JobId, task_id: str, *, late_s: int = 0) -> int:
        """As KIE does it."""
        timestamp = str(round(self.shop.clock().timestamp()) - late_s)
        return await self.post(
            {"job": job_id, "key": CALLBACKS.key(job_id)},
            {"code": 200, "data": {"taskId": task_id, "state": "success"}},
            headers={
                TIMESTAMP_HEADER: timestamp,
                SIGNATURE_HEADER: sign(SECRET, task_id, timestamp),
            },
        )

    async def confirmed(self) -> JobId:
        """A job that waits to be submitted."""
        await self.shop.meet(roubles=100)
        job_id = await self.shop.offer()
        job = await self.shop.kiebot.confirm((await self.shop.job(job_id)).user_id, job_id)
        return job.id


@asynccontextmanager
async def a_door(callbacks: Callbacks | None) -> AsyncIterator[Door]:
    clock = FakeClock()
    kie = StubKieClient(clock)
    shop = Shop(
        storage=MemoryStorage(clock=clock),
        kie=kie,
        clock=clock,
        terms=evolve(TERMS, callbacks=callbacks),
    )
    runner = web.AppRunner(application(shop.kiebot, clock))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    async with aiohttp.ClientSession() as session:
        yield Door(shop, kie, f"http://{host}:{port}", session)
    await runner.cleanup()


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with a_door(CALLBACKS) as made:
        yield made


async def test_a_callback_has_a_running_job_looked_at_now(door: Door) -> None:
    job_id = await door.confirmed()
    await door.shop.worker.step()
    running = await door.shop.job(job_id)
    assert running.kie_task_id is not None
    assert running.next_check_at is not None
    assert running.next_check_at > door.shop.clock()
    door.shop.clock.advance(1)

    assert await door.call_back(job_id, running.kie_task_id) == 200

    assert (await door.shop.job(job_id)).next_check_at == door.shop.clock()
    await door.shop.worker.step()
    assert (await door.shop.job(job_id)).status is JobStatus.SUCCEEDED
    assert await door.call_back(job_id, running.kie_task_id) == 200
    assert await door.shop.problems() == ()


async def test_a_callback_brings_the_task_of_a_lost_answer(door: Door) -> None:
    job_id = await door.confirmed()
    door.kie.script(Fault("create_task", KieNoAnswerError("lost on the way")))
    await door.shop.worker.step()
    assert (await door.shop.job(job_id)).status is JobStatus.QUEUED
    task_id = door.kie.created[0][1]

    assert await door.call_back(job_id, task_id) == 200

    assert (await door.shop.job(job_id)).kie_task_id == task_id
    await door.shop.work()
    assert (await door.shop.job(job_id)).status is JobStatus.SUCCEEDED
    assert len(door.kie.created) == 1
    assert await door.shop.problems() == ()


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="none"),
        pytest.param({TIMESTAMP_HEADER: "1", SIGNATURE_HEADER: sign(SECRET, "t", "1")}, id="stale"),
        pytest.param({TIMESTAMP_HEADER: "x", SIGNATURE_HEADER: "é"}, id="rubbish"),
        pytest.param(
            {TIMESTAMP_HEADER: "1" * 5000, SIGNATURE_HEADER: "A" * 5000}, id="very long rubbish"
        ),
    ],
)
async def test_what_is_not_signed_is_refused(door: Door, headers: Mapping[str, str]) -> None:
    job_id = await door.confirmed()
    query = {"job": job_id, "key": CALLBACKS.key(job_id)}

    assert await door.post(query, {"data": {"taskId": "t"}}, headers=headers) == 401


async def test_a_signature_of_five_minutes_ago_is_refused(door: Door) -> None:
    job_id = await door.confirmed()
    await door.shop.worker.step()
    task_id = (await door.shop.job(job_id)).kie_task_id
    assert task_id is not None

    assert await door.call_back(job_id, task_id, late_s=301) == 401
    assert await door.call_back(job_id, task_id, late_s=-301) == 401
    assert await door.call_back(job_id, task_id, late_s=299) == 200


async def test_a_signature_is_for_one_task(door: Door) -> None:
    """A tampered body: who has seen one signed pair cannot name another task with it."""
    job_id = await door.confirmed()
    timestamp = str(round(door.shop.clock().timestamp()))
    headers = {TIMESTAMP_HEADER: timestamp, SIGNATURE_HEADER: sign(SECRET, "one", timestamp)}
    query = {"job": job_id, "key": CALLBACKS.key(job_id)}

    assert await door.post(query, {"data": {"taskId": "other"}}, headers=headers) == 401


@pytest.mark.parametrize(
    "query", [{}, {"job": "id1"}, {"job": "id1", "key": "guess"}, {"job": "nobody", "key": "é"}]
)
async def test_a_wrong_key_is_refused(door: Door, query: Mapping[str, str]) -> None:
    await door.confirmed()

    assert await door.post(query, {"data": {"taskId": "t"}}) == 401


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"\xff\xfe{}", 400),
        (b"[" * 100_000, 400),
        ({"data": {"taskId": 7}}, 400),
        ({"data": {"taskId": "x" * 201}}, 400),
        ({"data": None, "taskId": ""}, 400),
        (MAX_BODY_BYTES + 1, 413),
    ],
)
async def test_rubbish_is_answered_with_4xx(door: Door, body: object, status: int) -> None:
    job_id = await door.confirmed()

    answered = await door.post({"job": job_id, "key": CALLBACKS.key(job_id)}, body)

    assert answered == status


async def test_an_encoding_that_does_not_exist_is_rubbish(door: Door) -> None:
    job_id = await door.confirmed()
    headers = {"Content-Type": "application/json; charset=klingon"}

    answered = await door.post({"job": job_id, "key": CALLBACKS.key(job_id)}, {}, headers=headers)

    assert answered == 400


async def test_a_job_that_does_not_exist_and_a_task_of_nobody_are_not_found(door: Door) -> None:
    job_id = await door.confirmed()

    assert await door.call_back(JobId("nobody"), "task") == 404
    assert await door.call_back(job_id, "task") == 404


async def test_where_kie_cannot_be_asked_it_is_to_say_it_again(door: Door) -> None:
    job_id = await door.confirmed()
    door.kie.script(Fault("create_task", KieNoAnswerError("lost on the way")))
    await door.shop.worker.step()
    task_id = TaskId(door.kie.created[0][1])
    door.kie.script(Fault("is_task_of", KieUnavailableError("down")))

    assert await door.call_back(job_id, task_id) == 503
    assert await door.call_back(job_id, task_id) == 200


async def test_a_shop_that_takes_no_callbacks_says_so() -> None:
    async with a_door(None) as door:
        assert await door.post({"job": "id1", "key": "k"}, {}) == 404


async def test_only_post_is_taken(door: Door) -> None:
    async with door.session.get(f"{door.address}/kie/callback") as answer:
        assert answer.status == 405


# --- Telegram and who watches


@define
class Instance:
    """What the server is told of its instance."""

    is_ready: bool = False
    words: dict[str, str] = field(factory=lambda: {"role": "standby"})
    stored: list[object] = field(factory=list)
    failure: Exception | None = None

    def ready(self) -> tuple[bool, Mapping[str, str]]:
        return self.is_ready, self.words

    async def metrics(self) -> bytes:
        return b"kiebot_is_leader 1.0\n"

    async def take_in(self, raw: object) -> None:
        if self.failure is not None:
            raise self.failure
        self.stored.append(raw)


@asynccontextmanager
async def a_server(instance: Instance) -> AsyncIterator[tuple[str, aiohttp.ClientSession]]:
    clock = FakeClock()
    shop = Shop(storage=MemoryStorage(clock=clock), kie=StubKieClient(clock), clock=clock)
    app = application(
        shop.kiebot,
        clock,
        watching=Watching(
            ready=instance.ready, metrics=instance.metrics, metrics_type="text/plain"
        ),
        hook=Hook(secret="s3cret", take_in=instance.take_in),
    )
    async with serving(app, "127.0.0.1", 0) as port, aiohttp.ClientSession() as session:
        yield f"http://127.0.0.1:{port}", session


async def test_ready_says_what_the_instance_is() -> None:
    instance = Instance()
    async with a_server(instance) as (address, session):
        async with session.get(f"{address}/ready") as answer:
            assert (answer.status, await answer.json()) == (503, {"role": "standby"})
        instance.is_ready, instance.words = True, {"role": "leader"}
        async with session.get(f"{address}/ready") as answer:
            assert (answer.status, await answer.json()) == (200, {"role": "leader"})
        for path in ("/", "/health", "/healthz"):
            async with session.get(address + path) as answer:
                assert (answer.status, await answer.json()) == (200, {"status": "ok"})
        async with session.get(f"{address}/metrics") as answer:
            assert answer.content_type == "text/plain"
            assert await answer.text() == "kiebot_is_leader 1.0\n"


async def test_an_update_is_acknowledged_when_it_is_stored() -> None:
    instance = Instance(failure=StorageUnavailableError("down"))
    headers = {"X-Telegram-Bot-Api-Secret-Token": "s3cret"}
    async with a_server(instance) as (address, session):

        async def post() -> int:
            url = f"{address}/telegram/webhook"
            async with session.post(url, json={"update_id": 1}, headers=headers) as answer:
                return answer.status

        assert await post() == 503
        instance.failure = ValueError("not an update")
        assert await post() == 400
        instance.failure = None
        assert await post() == 200
    assert instance.stored == [{"update_id": 1}]


async def test_a_port_that_is_taken_is_a_setting() -> None:
    async with a_server(Instance()) as (address, _):
        port = int(address.rpartition(":")[2])
        with pytest.raises(ConfigError, match="cannot listen"):
            async with serving(web.Application(), "127.0.0.1", port):
                pass
