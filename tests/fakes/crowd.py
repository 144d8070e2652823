"""
Many people in Telegram at once, each from /start to what they bought, whatever happens to the bot.

    crowd = Crowd(telegram, admin=700)
    crowd.add(101, "рыжий кот", roubles=100)    # has money; without `roubles` they top up first
    async with crowd.shopping():                # everybody at once
        ...                                     # kill what they talk with
    # here everybody has what they asked for, or was told why not

A person does the next thing when what they did last was answered: by its reply or, where that was
lost with the process that had it, by the screen that says where they are. Whoever waits for longer
than `PATIENCE_S` fails the test: what they did was lost.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from attrs import define, field

from kiebot.core.users import UserId
from tests.fakes.talk import picture
from tests.fakes.telegram_chats import Message, Phone, Query
from tests.fakes.telegram_server import TelegramServer

PATIENCE_S = 100.0
"""When somebody gives up; far longer than 200 people are waited for on the slowest machine."""

MODEL = "mmodel:flux-2/pro-text-to-image"
WAY = ("marketing:main", "mcat:visuals", MODEL)
"""From the menu to the model; who knows the model presses it on an old message."""

PRICE_KOP = 3000
FAILS = "fail"
CARD = "2200 7000 0000 0000"
TOPUP = "topup:100"
TOPUP_KOP = 10000


@define(eq=False)
class Customer:
    """
    Somebody who buys.

    `prompts` are what they order, one after another; `walks`: they look through the categories.
    `pay` presses on the message of an offer that has this callback data, and `taps` is how often
    it is pressed where that is all. `confirmed` are the jobs whose button they pressed, but for
    those that money was lacking for.
    """

    crowd: "Crowd"
    phone: Phone
    prompts: Sequence[str]
    roubles: int
    taps: int
    walks: bool
    pay: "Callable[[Message, str], None] | None" = None
    confirmed: list[str] = field(factory=list)

    @property
    def user_id(self) -> UserId:
        """Who it is."""
        return UserId(self.phone.user_id)

    async def shops(self) -> None:
        """From /start to the last result."""
        lacks = not self.roubles
        for prompt in self.prompts:
            self.phone.types("/start")
            await self._is_offered("marketing:main")
            if self.walks:
                for step in WAY:
                    await self._is_offered(step)
                    self.phone.presses(step)
            else:
                self.phone.forges(MODEL)
            await self._reads("до 5 000 знаков")
            self.phone.types(prompt)
            offer = await self._is_offered("gen:confirm:")
            if lacks:
                offer, lacks = await self._tops_up(offer), False
            self._pays(offer)
            await self._gets(offer.rpartition(":")[2], prompt)

    def has(self, job_id: str) -> bool:
        """Whether the result of a job is in the chat."""
        return any(
            message.file is not None and _is_about(message, job_id)
            for message in self.phone.messages
        )

    def knows_of_failure(self, job_id: str) -> bool:
        """Whether the chat says that a job failed."""
        return any(
            message.file is None
            and _is_about(message, job_id)
            and any("снова на балансе" in version.words.text for version in message.versions)
            for message in self.phone.messages
        )

    def _pays(self, offer: str) -> None:
        self.confirmed.append(offer.rpartition(":")[2])
        message = next(each for each in reversed(self.phone.chat()) if offer in each.data)
        if self.pay is not None:
            self.pay(message, offer)
            return
        for _ in range(self.taps):
            self.phone.forges(offer, on=message)

    async def _tops_up(self, offer: str) -> str:
        """Press for nothing, send money, and be offered the same again; that offer."""
        self.phone.presses(offer)
        await self._reads("е хватает")
        self.phone.forges(TOPUP)
        await self._reads(CARD)
        self.phone.sends_photo(picture())
        await self._reads("пополнение подтверждено")
        return await self._is_offered("gen:confirm:")

    async def _gets(self, job_id: str, prompt: str) -> None:
        come = self.knows_of_failure if prompt == FAILS else self.has
        await self.crowd.until(lambda: come(job_id), f"end of job {job_id}", self.phone)

    async def _reads(self, *words: str) -> None:
        await self.crowd.until(
            lambda: any(message.has(*words) for message in self.phone.new()),
            str(words),
            self.phone,
        )

    async def _is_offered(self, data: str) -> str:
        """Wait for a button that begins so; all of it."""
        found: list[str] = []

        def is_there() -> bool:
            found[:] = [
                each
                for message in self.phone.new()
                for each in message.data
                if each.startswith(data)
            ]
            return bool(found)

        await self.crowd.until(is_there, f"button {data}", self.phone)
        return found[-1]


@define(eq=False)
class Crowd:
    """Customers, and an administrator who approves what they send."""

    telegram: TelegramServer
    admin: int
    customers: list[Customer] = field(factory=list)
    _waits: list[tuple[Callable[[], bool], asyncio.Future[None]]] = field(factory=list)
    _left: int = 0

    def add(
        self,
        user_id: int,
        *prompts: str,
        roubles: int = 0,
        taps: int = 1,
        walks: bool = False,
    ) -> Customer:
        """One more."""
        phone = self.telegram.person(user_id, f"П{user_id}", language_code="ru")
        self.customers.append(Customer(self, phone, prompts, roubles, taps, walks))
        return self.customers[-1]

    def fill(self, people: int, *, first: int = 1001) -> None:
        """
        Many of all kinds: of ten one looks around, one is told that it failed, three are
        impatient, and one in twenty has to top up.
        """
        for number in range(people):
            self.add(
                first + number,
                FAILS if number % 10 == 3 else "рыжий кот",
                roubles=0 if number % 20 == 6 else 100,
                taps=3 if number % 10 in {1, 4, 7} else 1,
                walks=number % 10 == 2,
            )

    @property
    def is_done(self) -> bool:
        """Whether everybody has what they came for."""
        return self._left == 0

    @asynccontextmanager
    async def shopping(self) -> AsyncIterator[None]:
        """Everybody begins; the end waits for the last of them."""
        self._left = len(self.customers)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._watch())
            approving = group.create_task(self._approve())
            shopping = [group.create_task(self._shop(each)) for each in self.customers]
            yield
            await asyncio.wait(shopping)
            watching.cancel()
            approving.cancel()

    async def until(self, is_so: Callable[[], bool], what: str, phone: Phone) -> None:
        """
        Wait until this is so.

        One task looks for all: two hundred that each wake whenever something happens would be
        what the machine is busy with.
        """
        if is_so():
            return
        come = asyncio.get_running_loop().create_future()
        self._waits.append((is_so, come))
        try:
            async with asyncio.timeout(PATIENCE_S):
                await come
        except TimeoutError:
            raise AssertionError(f"there is no {what}\n{phone.screen()}") from None

    async def _watch(self) -> None:
        while True:
            await self.telegram.bell.wait(1)
            waits, self._waits = self._waits, []
            for wait in waits:
                is_so, come = wait
                if come.done():
                    continue
                if is_so():
                    come.set_result(None)
                else:
                    self._waits.append(wait)

    async def _shop(self, customer: Customer) -> None:
        await customer.shops()
        self._left -= 1
        self.telegram.bell.ring()

    async def _approve(self) -> None:
        """The administrator presses on every request they are shown, however often they are."""
        phone = self.telegram.person(self.admin, "Хозяйка", language_code="ru")
        phone.types("/start")
        pressed: set[tuple[int, str]] = set()
        queries: list[Query] = []

        def to_press() -> list[tuple[Message, str]]:
            return [
                (message, data)
                for message in phone.chat()
                for data in message.data
                if data.startswith("admin:topup:approve:")
                and (message.message_id, data) not in pressed
            ]

        while True:
            come = asyncio.get_running_loop().create_future()
            self._waits.append((lambda: bool(to_press()), come))
            await come
            for message, data in to_press():
                pressed.add((message.message_id, data))
                queries.append(phone.forges(data, on=message))


def _is_about(message: Message, job_id: str) -> bool:
    return any(data.endswith(f":{job_id}") for data in message.data)
