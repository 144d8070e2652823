"""Reception: what comes is stored, handled once, in order, and nobody waits for somebody else."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    suppress,
)
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from attrs import define, field

from kiebot.adapters.kie.stub import StubKieClient
from kiebot.adapters.storage.memory import MemoryStorage
from kiebot.conversation import Conversation
from kiebot.core.billing import Change, Expecting
from kiebot.core.dialog.screen import Press, Say, Screen
from kiebot.core.errors import (
    FrontendUnavailableError,
    LeadLostError,
    MediaError,
    SilencedError,
    StorageUnavailableError,
    UpdateDoneError,
)
from kiebot.core.jobs import JobStatus
from kiebot.core.updates import BURST, QUEUE, STEADY, TRIES, Update
from kiebot.core.users import UserId
from kiebot.ports.kie import InputFile
from kiebot.ports.storage import Lead, UnitOfWork
from kiebot.reception import AT_ONCE, LINGERING, PRESENCE_S, SILENT_S, TURNED_AWAY, Reception
from tests.fakes.clock import FakeClock
from tests.fakes.leap import leap
from tests.fakes.shop import PICTURE, Shop

ANNA = UserId(101)
BORIS = UserId(102)

Act = Callable[[Mapping[str, Any]], Awaitable[None]]


def update(number: int, user_id: UserId = ANNA, **said: object) -> Update:
    return Update(id=number, user_id=user_id, body=json.dumps({"update_id": number, **said}))


@define
class Desk:
    """A frontend whose handling is what the test says, and that notes what is shown."""

    act: Act
    began: list[int] = field(factory=list)
    handled: list[int] = field(factory=list)
    pressed: list[int] = field(factory=list)
    shown: list[tuple[UserId, str]] = field(factory=list)
    turned_away: list[tuple[int, bool]] = field(factory=list)
    asked_to_wait: list[int] = field(factory=list)
    replies: dict[int, asyncio.Future[None]] = field(factory=dict)
    shares: list[int] = field(factory=list)
    happened: asyncio.Condition = field(factory=asyncio.Condition)

    async def handle(
        self, update: Mapping[str, Any], is_ours: Callable[[], bool] = lambda: True
    ) -> asyncio.Future[None] | None:
        await self._note(self.began, update["update_id"])
        await self.act(update)
        if not is_ours():
            raise SilencedError("another one's")
        await self._note(self.handled, update["update_id"])
        return self.replies.get(update["update_id"])

    async def answer_press(self, update: Mapping[str, Any]) -> None:
        await self._note(self.pressed, update["update_id"])

    async def turn_away(self, update: Update, is_first: bool) -> None:
        await self._note(self.turned_away, (update.id, is_first))

    async def ask_to_wait(self, update: Update) -> None:
        await self._note(self.asked_to_wait, update.id)

    async def show(self, user_id: UserId, screen: Screen) -> None:
        await self._note(self.shown, (user_id, screen.text))

    def open(self, reference: str) -> AbstractAsyncContextManager[InputFile]:
        raise MediaError(reference, "nobody attached it")

    async def run(self) -> None:
        """Nobody comes here."""

    def share(self, instances: int) -> None:
        self.shares.append(instances)

    async def close(self) -> None:
        """Nothing is open."""

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20), self.happened:
            await self.happened.wait_for(condition)

    def has_begun(self, times: int) -> bool:
        """Whether handling began so often."""
        return len(self.began) >= times

    async def _note(self, where: list[Any], what: object) -> None:
        async with self.happened:
            where.append(what)
            self.happened.notify_all()


@define
class House:
    """A shop, its reception, and the people's side of it."""

    shop: Shop
    desk: Desk
    conversation: Conversation
    outcomes: list[str]

    def reception(self) -> Reception:
        """One more instance's."""
        return Reception(
            self.shop.kiebot,
            self.desk,
            where=self.conversation.where,
            went_wrong=self.conversation.went_wrong,
            turn_away=self.desk.turn_away,
            ask_to_wait=self.desk.ask_to_wait,
            lease_s=15,
            note=lambda how, _: self.outcomes.append(how),
        )

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Reception]:
        """A reception at work."""
        reception = self.reception()
        running = asyncio.create_task(reception.run())
        try:
            yield reception
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await reception.close()

    async def waiting(self) -> list[Update]:
        async with self.shop.storage.read() as uow:
            return list(await uow.inbox.waiting(100))

    async def takes_up_again(self) -> None:
        """An update, and once more a minute after it was left."""
        async with self.open() as reception:
            await reception.take_in([update(1)])
            await _until(self.has_outcome)
            self.shop.clock.advance(60)
            await self.all_answered()

    async def has_outcome(self) -> bool:
        """Whether an update was handled, however that ended."""
        return bool(self.outcomes)

    async def is_given_back(self) -> bool:
        """Whether the person of an update may be served again two seconds from now."""
        soon = self.shop.clock() + timedelta(seconds=2)
        found: list[Update] = []
        # Only to look: what is raised here undoes it.
        with suppress(LookupError):
            async with self.shop.storage.begin() as uow:
                found += await uow.inbox.take("nobody", 1, soon, soon)
                raise LookupError
        return bool(found)

    async def _is_empty(self) -> bool:
        return not await self.waiting()

    async def all_answered(self) -> None:
        """Wait until nothing is left to do."""
        await _until(self._is_empty)


async def nothing(_: Mapping[str, Any]) -> None:
    """What an update asks for that changes nothing."""


@pytest.fixture
def house(clock: FakeClock) -> House:
    shop = Shop(storage=MemoryStorage(clock=clock), kie=StubKieClient(clock), clock=clock)
    return House(shop, Desk(nothing), Conversation(shop.kiebot, clock=clock), [])


async def test_a_persons_updates_are_handled_in_order(house: House) -> None:
    async with house.open() as reception:
        await reception.take_in([update(3), update(1), update(2)])
        await house.all_answered()

    assert house.desk.handled == [1, 2, 3]
    assert sorted(house.desk.pressed) == [1, 2, 3]
    assert house.outcomes == ["done"] * 3


async def test_an_update_that_comes_twice_is_handled_once(house: House) -> None:
    async with house.open() as reception:
        await reception.take_in([update(1), update(1)])
        await house.all_answered()
        await reception.take_in([update(1), update(2)])
        await house.all_answered()

    assert house.desk.handled == [1, 2]
    assert house.desk.pressed == [1, 2]


async def test_a_slow_person_holds_up_nobody(house: House) -> None:
    gate = asyncio.Event()

    async def slow_for_anna(update: Mapping[str, Any]) -> None:
        if update["update_id"] < 10:
            await gate.wait()

    house.desk.act = slow_for_anna
    async with house.open() as reception:
        await reception.take_in([update(1), update(2), update(11, BORIS)])
        await house.desk.until(lambda: 11 in house.desk.handled)

        # Her second one waits for her first.
        assert house.desk.began == [1, 11]
        gate.set()
        await house.all_answered()
    assert house.desk.handled == [11, 1, 2]


async def test_many_people_are_served_side_by_side_but_not_all(house: House) -> None:
    gate = asyncio.Event()

    async def wait(_: Mapping[str, Any]) -> None:
        await gate.wait()

    house.desk.act = wait
    async with house.open() as reception:
        await reception.take_in([update(number, UserId(number)) for number in range(1, 41)])
        await house.desk.until(lambda: len(house.desk.began) == 32)
        assert reception.in_hand == 32
        gate.set()
        await house.all_answered()
    assert len(house.desk.handled) == 40


async def test_a_full_queue_answers(house: House) -> None:
    reception = house.reception()
    flood = [update(number) for number in range(1, QUEUE + 4)]

    await reception.take_in(flood[:QUEUE])
    await reception.take_in([*flood, update(999, BORIS)])
    await house.desk.until(lambda: len(house.desk.turned_away) == 3)
    await reception.close()

    waiting = await house.waiting()
    assert len(waiting) == QUEUE + 1
    assert house.desk.turned_away == [(QUEUE + 1, True), (QUEUE + 2, False), (QUEUE + 3, False)]


def test_who_floods_takes_no_more_than_a_share(house: House) -> None:
    """A thousand presses a second, for a second; each that is stored is handled at once."""
    seconds = 1
    presses = seconds * 1000

    async def story() -> None:
        async with house.open() as reception:
            for number in range(1, presses + 1):
                await reception.take_in([update(number)])
                await asyncio.sleep(0.001)
            await reception.take_in([update(presses + 1), update(presses + 2, BORIS)])
            await house.all_answered()

    leap(story())

    handled = house.desk.handled
    assert presses + 2 in handled
    assert BURST <= len(handled) <= BURST + (seconds + 1) * STEADY
    # What everybody waits for is asked nothing for the others, and nobody is written to.
    assert len(house.desk.turned_away) == TURNED_AWAY
    assert [first for _, first in house.desk.turned_away].count(True) == 1
    assert house.outcomes.count("turned_away") == presses + 2 - len(handled)


# --- Once


async def test_what_an_update_asks_for_is_done_by_one_instance_only(house: House) -> None:
    """Two that had the same update in hand: one was frozen, and wakes up."""
    kiebot = house.shop.kiebot
    await house.shop.meet(ANNA)
    await kiebot.inbox.receive([update(1)])

    with kiebot.inbox.handling(update(1)):
        await house.conversation.handle(ANNA, Say("/marketing"))
        first = await kiebot.draft(ANNA, PICTURE)
        # What it records after that is not refused.
        await house.conversation.handle(ANNA, Say("/balance"))
    with kiebot.inbox.handling(update(1)), pytest.raises(UpdateDoneError):
        await kiebot.draft(ANNA, PICTURE)

    draft = await kiebot.draft_of(ANNA)
    assert draft is not None
    assert draft.id == first.job.id


async def test_what_was_undone_has_not_marked_the_update(house: House) -> None:
    kiebot = house.shop.kiebot
    await house.shop.meet(ANNA)
    await kiebot.inbox.receive([update(1)])

    with kiebot.inbox.handling(update(1)):
        with pytest.raises(RuntimeError):
            await _interrupted(house)
        await kiebot.draft(ANNA, PICTURE)

    (left,) = await house.waiting()
    assert left.is_done


async def _interrupted(house: House) -> None:
    async with house.shop.kiebot._storage.begin() as uow:  # noqa: SLF001 - the one that marks
        await uow.record(Change(expecting=Expecting(user_id=ANNA, expect=None)))
        raise RuntimeError


async def test_under_a_lost_lead_nothing_is_written(house: House) -> None:
    kiebot = house.shop.kiebot
    await house.shop.meet(ANNA)
    async with kiebot.lead("remote") as lead:
        await kiebot.inbox.receive([update(1)], lead)

    with kiebot.inbox.handling(update(1), lead), pytest.raises(LeadLostError):
        await kiebot.draft(ANNA, PICTURE)
    with pytest.raises(LeadLostError):
        await kiebot.inbox.receive([update(2)], lead)
    with pytest.raises(LeadLostError):
        await kiebot.inbox.answered("x", update(1), lead)

    assert await house.waiting() == [update(1)]
    assert await kiebot.draft_of(ANNA) is None


async def test_who_never_saw_the_reply_is_shown_where_they_are(house: House) -> None:
    """Killed after the answer was stored: the same words are no answer to the next question."""
    await house.shop.meet(ANNA)
    screen = await house.conversation.handle(ANNA, Press.of(f"mmodel:{PICTURE}"))
    assert screen.expects is not None
    stored = asyncio.Event()

    async def dies_before_the_reply(_: Mapping[str, Any]) -> None:
        await house.conversation.handle(ANNA, Say("рыжий кот"))
        stored.set()
        await asyncio.get_running_loop().create_future()

    house.desk.act = dies_before_the_reply
    async with house.open() as reception:
        await reception.take_in([update(1)])
        await stored.wait()
    draft = await house.shop.kiebot.draft_of(ANNA)
    assert draft is not None
    assert draft.params["prompt"] == "рыжий кот"

    house.shop.clock.advance(60)
    async with house.open():
        await house.all_answered()

    assert house.desk.began == [1]
    ((user_id, text),) = house.desk.shown
    assert user_id == ANNA
    assert "рыжий кот" in text
    assert await house.shop.kiebot.draft_of(ANNA) == draft


async def test_what_another_one_did_is_shown_where_that_one_says_nothing(house: House) -> None:
    """It was too slow to keep the person, recorded what they asked for, and was killed then."""
    await house.shop.meet(ANNA)

    async def is_too_late(_: Mapping[str, Any]) -> None:
        with house.shop.kiebot.inbox.handling(update(1)):
            await house.conversation.handle(ANNA, Press.of(f"mmodel:{PICTURE}"))
        await house.conversation.handle(ANNA, Press.of(f"mmodel:{PICTURE}"))

    house.desk.act = is_too_late
    await house.takes_up_again()

    assert house.desk.began == [1]
    assert house.outcomes == ["elsewhere", "shown"]
    ((user_id, text),) = house.desk.shown
    assert user_id == ANNA
    assert "5 000" in text


async def test_a_press_that_was_done_is_answered_by_the_next(house: House) -> None:
    """Killed between the deed and the word to Telegram: the button would turn for ever."""
    await house.shop.meet(ANNA)
    async with house.shop.storage.begin() as uow:
        await uow.inbox.store(1, ANNA, '{"update_id": 1}', house.shop.clock())
    with house.shop.kiebot.inbox.handling(update(1)):
        await house.conversation.handle(ANNA, Press.of(f"mmodel:{PICTURE}"))

    async with house.open():
        await house.all_answered()
        await house.desk.until(lambda: bool(house.desk.pressed))

    assert house.desk.pressed == [1]
    assert len(house.desk.shown) == 1


async def test_a_press_that_was_stored_is_handled_by_the_next(house: House) -> None:
    async with house.shop.storage.begin() as uow:
        await uow.inbox.store(1, ANNA, '{"update_id": 1}', house.shop.clock())

    async with house.open():
        await house.all_answered()

    assert house.desk.handled == [1]


# --- Going wrong


async def test_a_poisonous_update_is_given_up(house: House) -> None:
    await house.shop.meet(ANNA)

    async def fails(update: Mapping[str, Any]) -> None:
        if update["update_id"] == 1:
            raise KeyError("nobody expected this")

    house.desk.act = fails
    async with house.open() as reception:
        await reception.take_in([update(1), update(2)])
        for tries in range(1, TRIES):
            await house.desk.until(partial(house.desk.has_begun, tries))
            await _given_back(house, tries)
            house.shop.clock.advance(60)
        await house.all_answered()

    assert house.desk.began == [1, 1, 1, 2]
    ((user_id, text),) = house.desk.shown
    assert user_id == ANNA
    assert "Деньги не тронуты" in text


async def _given_back(house: House, tries: int) -> None:
    async def is_counted() -> bool:
        return (await house.waiting())[0].tries >= tries

    await _until(is_counted)


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something in the database."""
    async with asyncio.timeout(20):
        while not await condition():  # noqa: ASYNC110 - no row sets an event
            await asyncio.sleep(0)


async def test_what_was_done_before_it_failed_is_not_done_again(house: House) -> None:
    await house.shop.meet(ANNA, roubles=100)
    job_id = await house.shop.offer(ANNA)

    async def pays_and_fails(_: Mapping[str, Any]) -> None:
        await house.conversation.handle(ANNA, Press.of(f"gen:confirm:{job_id}"))
        raise KeyError("after the money moved")

    house.desk.act = pays_and_fails
    async with house.open() as reception:
        await reception.take_in([update(1)])
        await _given_back(house, 1)
        house.shop.clock.advance(60)
        await house.all_answered()

    assert house.desk.began == [1]
    assert len(house.desk.shown) == 1
    job = await house.shop.job(job_id, ANNA)
    assert job.status is JobStatus.QUEUED
    assert await house.shop.problems() == ()


async def test_a_database_that_is_gone_is_no_poison(house: House) -> None:
    gone = [True, True, True, True]

    async def without_database(_: Mapping[str, Any]) -> None:
        if gone:
            gone.pop()
            raise StorageUnavailableError("down")

    house.desk.act = without_database
    async with house.open() as reception:
        await reception.take_in([update(1)])
        for tries in range(1, 6):
            await house.desk.until(partial(house.desk.has_begun, tries))
            house.shop.clock.advance(60)
        await house.all_answered()

    assert house.desk.handled == [1]
    assert house.desk.shown == []


class Outage(MemoryStorage):
    """A database that is gone while `is_down`; `refused`: how often it was to write meanwhile."""

    is_down = False
    refused = 0

    @asynccontextmanager
    async def begin(self, lead: Lead | None = None) -> AsyncIterator[UnitOfWork]:
        if self.is_down:
            self.refused += 1
            raise StorageUnavailableError("down")
        async with super().begin(lead) as uow:
            yield uow

    @asynccontextmanager
    async def once(self, lead: Lead | None = None) -> AsyncIterator[UnitOfWork]:
        if self.is_down:
            self.refused += 1
            raise StorageUnavailableError("down")
        async with super().once(lead) as uow:
            yield uow


async def test_who_was_served_as_the_database_went_does_not_wait_for_the_lease(
    clock: FakeClock,
) -> None:
    """A database starts anew in a second; a lease may last for a quarter of a minute."""
    storage = Outage(clock=clock)
    shop = Shop(storage=storage, kie=StubKieClient(clock), clock=clock)
    house = House(shop, Desk(nothing), Conversation(shop.kiebot, clock=clock), [])

    async def as_it_goes(_: Mapping[str, Any]) -> None:
        storage.is_down = not storage.refused
        if storage.is_down:
            raise StorageUnavailableError("down")

    async def was_refused() -> bool:
        return storage.refused > 0

    house.desk.act = as_it_goes
    async with house.open() as reception:
        await reception.take_in([update(1)])
        await _until(was_refused)
        storage.is_down = False
        # They cannot be given back at once, but long before the 15 s of the lease are over.
        await _until(house.is_given_back)
        clock.advance(2)
        await house.all_answered()

    assert house.desk.handled == [1]


@pytest.mark.parametrize("instances", [1, 2])
def test_who_cannot_be_answered_is_told_so_once_where_nobody_else_may_answer(
    house: House, instances: int
) -> None:
    gone = [True] * 6

    async def without_database(_: Mapping[str, Any]) -> None:
        if gone:
            gone.pop()
            raise StorageUnavailableError("down")

    async def story() -> None:
        async def is_answered() -> None:
            while await house.waiting():
                await asyncio.sleep(1)
                house.shop.clock.advance(1)

        house.desk.act = without_database
        async with AsyncExitStack() as stack:
            first, *_ = [await stack.enter_async_context(house.open()) for _ in range(instances)]
            # They count each other.
            await asyncio.sleep(PRESENCE_S + 1)
            await first.take_in([update(1), update(2)])
            await is_answered()
            assert house.desk.asked_to_wait == ([1] if instances == 1 else [])

            # That was one outage; this is another, which is over before anybody minds.
            gone.append(True)
            await first.take_in([update(3)])
            await is_answered()
            await asyncio.sleep(SILENT_S)

    leap(story())

    assert house.desk.handled == [1, 2, 3]
    assert len(house.desk.asked_to_wait) == (instances == 1)


async def test_a_newer_update_does_not_wait_for_a_reply(house: House) -> None:
    async def silent(update: Mapping[str, Any]) -> None:
        if update["update_id"] == 1:
            raise FrontendUnavailableError("Telegram is down")

    house.desk.act = silent
    async with house.open() as reception:
        await reception.take_in([update(1), update(2)])
        await house.all_answered()

    assert house.desk.began == [1, 2]


async def test_what_may_be_another_ones_to_answer_is_looked_at_again(house: House) -> None:
    """Where there is no other one, the person must not be left without a reply."""
    silenced = [True]

    async def hesitates(_: Mapping[str, Any]) -> None:
        if silenced:
            silenced.pop()
            raise SilencedError("perhaps another one leads")

    house.desk.act = hesitates
    await house.takes_up_again()

    assert house.desk.handled == [1]
    assert house.outcomes == ["elsewhere", "done"]


async def test_an_update_is_answered_when_its_reply_is_there(house: House) -> None:
    """Else nobody would know, after a crash, that the person saw nothing."""
    reply = house.desk.replies[1] = asyncio.get_running_loop().create_future()
    async with house.open() as reception:
        await reception.take_in([update(1)])
        await house.desk.until(lambda: house.desk.handled == [1])
        await reception.take_in([update(2, BORIS)])
        await house.desk.until(lambda: house.desk.handled == [1, 2])
        assert [known.id for known in await house.waiting()][:1] == [1]

        reply.set_result(None)

        await house.all_answered()
    assert house.outcomes == ["done", "done"]


async def test_a_reply_that_nobody_takes_makes_room_for_a_newer_one(house: House) -> None:
    house.desk.replies[1] = asyncio.get_running_loop().create_future()
    async with house.open() as reception:
        await reception.take_in([update(1)])
        await house.desk.until(lambda: house.desk.handled == [1])
        await reception.take_in([update(2)])
        await house.all_answered()

    assert house.desk.handled == [1, 2]
    assert house.outcomes == ["replaced", "done"]


async def test_replies_that_nobody_takes_hold_up_nobody(house: House) -> None:
    people = [UserId(1000 + number) for number in range(AT_ONCE + LINGERING + 5)]
    for number, _ in enumerate(people):
        house.desk.replies[number] = asyncio.get_running_loop().create_future()
    async with house.open() as reception:
        await reception.take_in([update(number, who) for number, who in enumerate(people)])
        await house.desk.until(lambda: len(house.desk.handled) == len(people))

        async def others_are_over() -> bool:
            return len(house.outcomes) == AT_ONCE + 5

        await _until(others_are_over)
        assert len(await house.waiting()) == LINGERING


async def test_a_reply_that_was_not_there_at_the_end_is_given_by_the_next(house: House) -> None:
    await house.shop.meet(ANNA)
    house.desk.replies[1] = asyncio.get_running_loop().create_future()
    reception = house.reception()
    running = asyncio.create_task(reception.run())
    await reception.take_in([update(1)])
    await house.desk.until(lambda: house.desk.handled == [1])

    reception.stop()
    await running

    assert [known.id for known in await house.waiting()] == [1]
    del house.desk.replies[1]
    house.shop.clock.advance(60)
    async with house.open():
        await house.all_answered()
    assert house.desk.handled == [1, 1]


async def test_instances_know_how_many_they_are(house: House) -> None:
    async with house.open():
        await _until(lambda: _has_shared(house, [1]))
        async with house.open():
            await _until(lambda: _has_shared(house, [1, 2]))
    async with house.open():
        await _until(lambda: _has_shared(house, [1, 2, 1]))


async def _has_shared(house: House, shares: list[int]) -> bool:
    return house.desk.shares == shares


async def test_stopping_finishes_what_is_in_hand_and_no_more(house: House) -> None:
    gate = asyncio.Event()

    async def wait(_: Mapping[str, Any]) -> None:
        await gate.wait()

    house.desk.act = wait
    reception = house.reception()
    running = asyncio.create_task(reception.run())
    await reception.take_in([update(1), update(2)])
    await house.desk.until(lambda: house.desk.began == [1])

    reception.stop()
    gate.set()
    await running

    assert house.desk.handled == [1]
    assert [left.id for left in await house.waiting()] == [2]
    await reception.close()
