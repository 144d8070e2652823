"""
The money against a simple model: any order of everything that moves it, repeats and races among
it, and after every step the rules hold and the wallets are what the model says.
"""

import asyncio
from collections.abc import Awaitable, Coroutine
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
from attrs import define, evolve, frozen
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from kiebot.adapters.kie.stub import StubKieClient
from kiebot.core.errors import (
    DuplicateRefError,
    InsufficientFundsError,
    RefusedByStatusError,
    TooManyJobsError,
    TopUpCorrectedError,
)
from kiebot.core.jobs import JobStatus
from kiebot.core.media import Attachment
from kiebot.core.money import Money
from kiebot.core.topups import TopUpId
from kiebot.core.users import UserId
from kiebot.core.wallet import JobId
from tests.fakes import databases
from tests.fakes.clock import FakeClock
from tests.fakes.databases import DATABASES, Databases
from tests.fakes.shop import TERMS, Shop
from tests.fakes.values import ADMIN

PEOPLE = (UserId(-1), UserId(-2))
PRICES = {"flux-2/pro-text-to-image": 3000, "bytedance/seedream": 2000, "veo3": 36000}
JOBS_MAX = 4
RUNS = 200
PARTS = 4
STEPS = 50

Value = TypeVar("Value")


@define
class Purse:
    """What the model knows of a person's money."""

    available: int = 0
    held: int = 0


@define
class Offer:
    """What the model knows of a job."""

    user_id: UserId
    price: int
    status: str = "draft"


@define
class Request:
    """What the model knows of a top-up."""

    user_id: UserId
    amount: int
    status: str = "pending"
    corrected: bool = False


@frozen
class Given:
    """A grant or debit under a ref."""

    user_id: UserId
    kopecks: int
    is_debit: bool


class AnyOrder(RuleBasedStateMachine):
    """Everything that can happen to money."""

    databases: ClassVar[Databases]
    loop: ClassVar[asyncio.AbstractEventLoop]

    def __init__(self) -> None:
        super().__init__()
        self.purses = {person: Purse() for person in PEOPLE}
        self.offers: dict[JobId, Offer] = {}
        self.requests: dict[TopUpId, Request] = {}
        self.given: dict[str, Given] = {}
        self.shop: Shop

    def run(self, work: Coroutine[Any, Any, Value]) -> Value:
        return self.loop.run_until_complete(work)

    @initialize()
    def open(self) -> None:
        async def start() -> Shop:
            clock = FakeClock()
            shop = Shop(
                storage=await self.databases.fresh(),
                kie=StubKieClient(clock),
                clock=clock,
                terms=evolve(TERMS, user_jobs_max=JOBS_MAX),
            )
            await shop.meet(*PEOPLE)
            return shop

        self.shop = self.run(start())

    def teardown(self) -> None:
        self.run(self.databases.close())

    # Top-ups

    @rule(who=st.sampled_from(PEOPLE), roubles=st.integers(10, 900))
    def ask_topup(self, who: UserId, roubles: int) -> None:
        topup = self.run(self.shop.kiebot.start_topup(who, str(roubles)))
        for request in self.requests.values():
            if request.user_id == who and request.status == "pending":
                request.status = "cancelled"
        self.requests[topup.id] = Request(who, roubles * 100)

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), picture=st.sampled_from("ab"))
    def send_receipt(self, data: st.DataObject, picture: str) -> None:
        topup_id, request = self._pick(data, self.requests)
        receipt = Attachment(reference=f"tg:{picture}", digest=picture)
        sending = self.shop.kiebot.submit_receipt(request.user_id, topup_id, receipt)
        if request.status in {"pending", "manual_review"}:
            self.run(sending)
            request.status = "manual_review"
        else:
            self._refused(sending, RefusedByStatusError)

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), roubles=st.integers(10, 900))
    def correct_topup(self, data: st.DataObject, roubles: int) -> None:
        topup_id, request = self._pick(data, self.requests)
        correcting = self.shop.kiebot.correct_topup(ADMIN, topup_id, str(roubles))
        if request.status == "manual_review":
            request.corrected = self.run(correcting).is_corrected
            request.amount = roubles * 100
        else:
            self._refused(correcting, RefusedByStatusError)

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), named=st.booleans(), times=st.integers(1, 3))
    def approve_topup(self, data: st.DataObject, named: bool, times: int) -> None:
        topup_id, request = self._pick(data, self.requests)
        amount = Money(request.amount) if named else None
        done = self._race(
            [self.shop.kiebot.approve_topup(ADMIN, topup_id, amount) for _ in range(times)],
            RefusedByStatusError,
            TopUpCorrectedError,
        )
        good = request.status == "manual_review" and (named or not request.corrected)
        assert done == int(good)
        if good:
            request.status = "approved"
            self.purses[request.user_id].available += request.amount

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), reject=st.booleans())
    def drop_topup(self, data: st.DataObject, reject: bool) -> None:
        topup_id, request = self._pick(data, self.requests)
        if reject:
            rejecting = self.shop.kiebot.reject_topup(ADMIN, topup_id, "")
            if request.status == "manual_review":
                self.run(rejecting)
                request.status = "rejected"
            else:
                self._refused(rejecting, RefusedByStatusError)
        else:
            self.run(self.shop.kiebot.cancel_topup(request.user_id, topup_id))
            if request.status == "pending":
                request.status = "cancelled"

    # The operator

    @rule(
        who=st.sampled_from(PEOPLE),
        kopecks=st.integers(1, 50000),
        is_debit=st.booleans(),
        ref=st.sampled_from(["a", "b", "c", "d"]),
        times=st.integers(1, 3),
    )
    def correct(self, who: UserId, kopecks: int, is_debit: bool, ref: str, times: int) -> None:
        """A ref is applied once; with another amount, person or direction it is an error."""
        act = self.shop.kiebot.debit if is_debit else self.shop.kiebot.grant
        known = self.given.get(ref)
        now = Given(who, kopecks, is_debit)
        purse = self.purses[who]
        short = known is None and is_debit and purse.available < kopecks
        done = self._race(
            [act(who, Money(kopecks), by="t", why="t", ref=ref) for _ in range(times)],
            DuplicateRefError,
            InsufficientFundsError,
        )
        assert done == (0 if short or known not in (None, now) else times)
        if known is None and not short:
            self.given[ref] = now
            purse.available += -kopecks if is_debit else kopecks

    @precondition(lambda self: self.offers)
    @rule(data=st.data(), times=st.integers(1, 3))
    def refund(self, data: st.DataObject, times: int) -> None:
        job_id, offer = self._pick(data, self.offers)
        done = self._race(
            [self.shop.kiebot.refund(job_id, by="t", why="t") for _ in range(times)],
            RefusedByStatusError,
        )
        assert done == (times if offer.status in {"succeeded", "refunded"} else 0)
        if offer.status == "succeeded":
            offer.status = "refunded"
            self.purses[offer.user_id].available += offer.price

    # Jobs

    @rule(
        who=st.sampled_from(PEOPLE),
        model=st.sampled_from(sorted(PRICES)),
        prompt=st.sampled_from(["рыжий кот", "fail", "refuse", "broke", "lost"]),
    )
    def draft(self, who: UserId, model: str, prompt: str) -> None:
        job_id = self.run(self.shop.offer(who, model, prompt))
        self.offers[job_id] = Offer(who, PRICES[model])

    @precondition(lambda self: self.offers)
    @rule(data=st.data(), times=st.integers(1, 4))
    def confirm(self, data: st.DataObject, times: int) -> None:
        """Pressed once or at once from several places: paid for once or refused for good."""
        job_id, offer = self._pick(data, self.offers)
        purse = self.purses[offer.user_id]
        held = [o for o in self.offers.values() if o.user_id == offer.user_id and _open(o)]
        good = offer.status == "draft" and purse.available >= offer.price and len(held) < JOBS_MAX
        drafts: list[JobId] = []

        async def press() -> None:
            try:
                await self.shop.kiebot.confirm(offer.user_id, job_id)
            except (InsufficientFundsError, TooManyJobsError) as error:
                drafts.append(JobId(error.draft_id or ""))
                raise

        done = self._race(
            [press() for _ in range(times)],
            RefusedByStatusError,
            InsufficientFundsError,
            TooManyJobsError,
        )
        if good:
            offer.status = "queued"
            purse.available -= offer.price
            purse.held += offer.price
        elif offer.status == "draft":
            offer.status = "cancelled"
            (replacement,) = drafts
            self.offers[replacement] = Offer(offer.user_id, offer.price)
        assert done == (0 if offer.status == "cancelled" else times)

    @rule(seconds=st.sampled_from([0, 1, 20, 90]), late=st.integers(0, 9))
    def work(self, seconds: int, late: int) -> None:
        """The worker goes on; now and then so late that what is open fails."""

        async def go_on() -> None:
            self.shop.clock.advance(4000 if late == 0 else seconds)
            await self.shop.worker.step()

        self.run(go_on())
        for job_id, offer in self.offers.items():
            if _open(offer):
                job = self.run(self.shop.kiebot.job(offer.user_id, job_id))
                offer.status = job.status
                purse = self.purses[offer.user_id]
                if not job.is_open:
                    purse.held -= offer.price
                if job.status is JobStatus.FAILED:
                    purse.available += offer.price

    # What always holds

    @invariant()
    def wallets_are_as_the_model_says(self) -> None:
        async def look() -> dict[UserId, Purse]:
            wallets = [await self.shop.kiebot.wallet(person) for person in PEOPLE]
            return {
                wallet.user_id: Purse(wallet.available.kopecks, wallet.held.kopecks)
                for wallet in wallets
            }

        assert self.run(look()) == self.purses

    @invariant()
    def the_rules_hold(self) -> None:
        assert self.run(self.shop.problems()) == ()

    # Inside

    def _pick(self, data: st.DataObject, things: dict[Any, Any]) -> tuple[Any, Any]:
        key = data.draw(st.sampled_from(sorted(things)))
        return key, things[key]

    def _race(self, acts: list[Awaitable[Any]], *refusals: type[Exception]) -> int:
        """All at once; how many were not refused."""

        async def at_once() -> list[Any]:
            return await asyncio.gather(*acts, return_exceptions=True)

        outcomes = self.run(at_once())
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, refusals):
                raise outcome
        return sum(not isinstance(outcome, BaseException) for outcome in outcomes)

    def _refused(self, act: Awaitable[Any], refusal: type[Exception]) -> None:
        assert self._race([act], refusal) == 0


def _open(offer: Offer) -> bool:
    return offer.status in {"queued", "running"}


@pytest.fixture(params=DATABASES)
def many_databases(request: pytest.FixtureRequest, tmp_path: Path) -> Databases:
    dsn = request.getfixturevalue("postgres_dsn") if request.param == "postgres" else None
    return databases.make(request.param, tmp_path, dsn)


@pytest.mark.parametrize("part", range(PARTS))
def test_the_money_follows_its_model(many_databases: Databases, part: int) -> None:  # noqa: ARG001
    """
    200 runs of 50 steps on each database, in parts that run side by side;
    `nox -s tests -- --hypothesis-seed=N` repeats one.
    """
    loop = asyncio.new_event_loop()

    class OnThisDatabase(AnyOrder):
        databases = many_databases

    OnThisDatabase.loop = loop
    try:
        run_state_machine_as_test(
            OnThisDatabase,
            settings=settings(
                max_examples=RUNS // PARTS,
                stateful_step_count=STEPS,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        loop.run_until_complete(many_databases.close())
        loop.close()
