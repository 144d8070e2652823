"""
Everything that kie.ai can do wrong: what the person reads, what their wallet shows, and how many
tasks kie.ai ran.

Each fault happens in a shop with the real client, over HTTP, to kie.ai's stand-in. What was
observed is the table of `docs/faults.md`; `pytest tests/acceptance/test_faults.py --write-docs`
writes it anew.
"""

import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from attrs import evolve, frozen

from kiebot.adapters.http import application
from kiebot.adapters.kie.live import LiveKieClient
from kiebot.adapters.kie.stub_server.faults import Call, Fault, FaultKind
from kiebot.adapters.kie.stub_server.server import StubServer
from kiebot.adapters.media.live import LiveMedia
from kiebot.adapters.storage.memory import MemoryStorage
from kiebot.conversation import Conversation
from kiebot.core.callbacks import Callbacks
from kiebot.core.dialog.en import EN
from kiebot.core.dialog.screen import Media
from kiebot.core.errors import MediaError, MediaTrouble
from kiebot.core.events import JobFailed, JobSucceeded
from kiebot.core.jobs import JobStatus
from kiebot.core.language import Language
from kiebot.core.media import kind_of
from kiebot.core.money import Money
from tests.fakes import leaks
from tests.fakes.clock import FakeClock
from tests.fakes.kie_server import CALLBACK_SECRET, NO_LIMITS, kie_server
from tests.fakes.shop import TERMS, Shop
from tests.fakes.values import BUYER

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
BEGIN = "<!-- begin: written by tests/acceptance/test_faults.py --write-docs -->"
END = "<!-- end -->"

ROUBLES = 100
"""In the wallet before; a picture costs 30."""

TIMEOUT_S = 0.4
"""Of a request, where an answer never comes."""

SMALL = 8 * 1024 * 1024
"""The largest result that the tests' shop reads; 500 MB are above any limit."""

FAIL_CODES = (400, 408, 413, 422, 451, 500, 501, 531)
"""What a finished task says of its failure."""


@frozen(kw_only=True)
class Case:
    """A fault, or several; `callbacks`: results come by callback, too."""

    name: str
    faults: tuple[Fault, ...]
    callbacks: bool = False
    status: JobStatus
    tasks: int = 1


@frozen(kw_only=True)
class Seen:
    """What was observed of a case."""

    name: str
    read: str
    wallet: str
    tasks: int

    @property
    def row(self) -> str:
        return f"| {self.name} | {self.read} | {self.wallet} | {self.tasks} |"


def create(kind: FaultKind, **fields: object) -> Fault:
    return Fault(call=Call.CREATE, kind=kind, **fields)  # type: ignore[arg-type]


def task(kind: FaultKind, **fields: object) -> Fault:
    return Fault(call=Call.TASK, kind=kind, **fields)  # type: ignore[arg-type]


def look(kind: FaultKind, **fields: object) -> Fault:
    return Fault(call=Call.STATUS, kind=kind, **fields)  # type: ignore[arg-type]


def told(kind: FaultKind, **fields: object) -> Fault:
    return Fault(call=Call.CALLBACK, kind=kind, **fields)  # type: ignore[arg-type]


def _refusals() -> list[Case]:
    """Each code of kie.ai's table as the answer to createTask, in the envelope and as a status."""
    made: list[Case] = []
    for code in (400, 401, 402, 404, 405, 408, 409, 413, 422, 433, 451, 501, 505, 531):
        for http in (None, code):
            how = "" if http is None else f", as HTTP {code}"
            made.append(
                Case(
                    name=f"createTask: code {code}{how}",
                    faults=(create(FaultKind.CODE, code=code, http=http),),
                    status=JobStatus.FAILED,
                    tasks=0,
                )
            )
    for code in (429, 455, 524, 550):
        for http in (None, code):
            how = "" if http is None else f", as HTTP {code}"
            made.append(
                Case(
                    name=f"createTask: code {code}{how}, then all is well",
                    faults=(create(FaultKind.CODE, code=code, http=http),),
                    status=JobStatus.SUCCEEDED,
                )
            )
    made.append(
        Case(
            name="createTask: code 455 for longer than JOB_TIMEOUT",
            faults=(create(FaultKind.CODE, code=455, times=0),),
            status=JobStatus.FAILED,
            tasks=0,
        )
    )
    return made


def _lost() -> list[Case]:
    """The answer to createTask is lost, the task being made or not."""
    ways = {
        "code 500": {"kind": FaultKind.CODE, "code": 500},
        "HTTP 500": {"kind": FaultKind.CODE, "code": 500, "http": 500},
        "no answer": {"kind": FaultKind.HANG},
        "the connection is dropped": {"kind": FaultKind.DROP},
        "the connection is cut": {"kind": FaultKind.CUT},
        "a broken body": {"kind": FaultKind.TRUNCATED},
        "a proxy's page, HTTP 502": {"kind": FaultKind.PAGE, "http": 502},
        "a proxy's page, HTTP 524": {"kind": FaultKind.PAGE, "http": 524},
    }
    made = [
        Case(
            name=f"createTask: {name}{', the task was taken' if taken else ''}",
            faults=(Fault(call=Call.CREATE, taken=taken, **fields),),  # type: ignore[arg-type]
            status=JobStatus.SUCCEEDED,
            tasks=2 if taken else 1,
        )
        for name, fields in ways.items()
        for taken in (False, True)
    ]
    made += [
        Case(
            name="createTask: dropped twice, both tasks were taken",
            faults=(create(FaultKind.DROP, taken=True, times=2),),
            status=JobStatus.FAILED,
            tasks=2,
        ),
        Case(
            name="createTask: dropped after the task was taken; its callback comes",
            faults=(create(FaultKind.DROP, taken=True),),
            callbacks=True,
            status=JobStatus.SUCCEEDED,
        ),
        Case(
            name="createTask: HTTP 403, `error code: 1010`",
            faults=(create(FaultKind.FORBIDDEN),),
            status=JobStatus.FAILED,
            tasks=0,
        ),
    ]
    return made


def _looks() -> list[Case]:
    """Something is wrong with the answers about a task that goes well."""
    ways = {
        "code 401": {"kind": FaultKind.CODE, "code": 401},
        "code 429": {"kind": FaultKind.CODE, "code": 429},
        "code 500": {"kind": FaultKind.CODE, "code": 500},
        "HTTP 503": {"kind": FaultKind.CODE, "code": 503, "http": 503},
        "a proxy's page": {"kind": FaultKind.PAGE},
        "no answer": {"kind": FaultKind.HANG},
        "the connection is dropped": {"kind": FaultKind.DROP},
        "the connection is cut": {"kind": FaultKind.CUT},
        "a broken body": {"kind": FaultKind.TRUNCATED},
        "HTTP 403, `error code: 1010`": {"kind": FaultKind.FORBIDDEN},
    }
    return [
        Case(
            name=f"recordInfo, three times: {name}",
            faults=(Fault(call=Call.STATUS, times=3, **fields),),  # type: ignore[arg-type]
            status=JobStatus.SUCCEEDED,
        )
        for name, fields in ways.items()
    ]


def _tasks() -> list[Case]:
    """What becomes of the task."""
    made = [
        Case(
            name=f"the task fails, code {code}",
            faults=(task(FaultKind.FAIL, code=code),),
            status=JobStatus.FAILED,
        )
        for code in FAIL_CODES
    ]
    failed = {
        "the task never ends": FaultKind.NEVER,
        "kie.ai never knows the task": FaultKind.NULL_FOREVER,
        "success without a result": FaultKind.NO_RESULT,
        "success with an empty list": FaultKind.EMPTY_RESULT,
        "success with broken JSON inside": FaultKind.BROKEN_RESULT,
        "a result at a private address": FaultKind.ADDRESS,
    }
    well = {
        "kie.ai does not know the task for a moment": FaultKind.NULL_RECORD,
        "a state that nobody knows": FaultKind.ODD_STATE,
        "the credits taken are not said": FaultKind.NO_CREDITS,
        "a result behind a redirect": FaultKind.REDIRECT,
        "a result behind a redirect to a private address": FaultKind.REDIRECT_PRIVATE,
        "a result behind a redirect to itself": FaultKind.REDIRECT_LOOP,
        "a result of 500 MB": FaultKind.HUGE,
        "a result of 500 MB that does not say so": FaultKind.HUGE_UNSIZED,
        "a result of the wrong kind": FaultKind.WRONG_KIND,
        "a result that is gone": FaultKind.GONE,
        "a result that comes drop by drop": FaultKind.DRIP,
    }
    made += [
        Case(name=name, faults=(task(kind),), status=JobStatus.FAILED)
        for name, kind in failed.items()
    ]
    made.append(
        Case(
            name="the task succeeds after JOB_TIMEOUT (it is booked as kie.ai's cost)",
            faults=(task(FaultKind.SLOW, seconds=4000),),
            status=JobStatus.FAILED,
        )
    )
    made += [
        Case(name=name, faults=(task(kind),), status=JobStatus.SUCCEEDED)
        for name, kind in well.items()
    ]
    return made


def _callbacks() -> list[Case]:
    """Results come by callback, and something is wrong with it."""
    kinds = {
        "comes three times": FaultKind.REPEATED,
        "comes a minute late": FaultKind.LATE,
        "is of another task": FaultKind.FORGED,
        "is signed with another key": FaultKind.BAD_SIGNATURE,
        "is not signed": FaultKind.UNSIGNED,
        "was signed an hour ago": FaultKind.STALE,
        "lies about everything but the task": FaultKind.TAMPERED,
        "never comes": FaultKind.SILENT,
    }
    return [
        Case(
            name=f"the callback {name}",
            faults=(told(kind),),
            callbacks=True,
            status=JobStatus.SUCCEEDED,
        )
        for name, kind in kinds.items()
    ]


CASES = [
    Case(name="(nothing goes wrong)", faults=(), status=JobStatus.SUCCEEDED),
    *_refusals(),
    *_lost(),
    *_looks(),
    *_tasks(),
    *_callbacks(),
]


@frozen(kw_only=True)
class Town:
    """A shop, its person, and kie.ai."""

    shop: Shop
    server: StubServer
    conversation: Conversation

    async def go(self) -> None:
        """Let time pass from one thing that is due to the next, until nothing is open."""
        for _ in range(400):
            # What ended meanwhile was told sooner than the next look is due.
            await self.server.told()
            await self.shop.worker.step()
            if not await self.shop.kiebot.all_open_jobs(1):
                await self.server.told()
                return
            due_in = await self.shop.kiebot.next_due_in(local=True)
            assert due_in is not None
            self.shop.clock.advance(max(due_in, 0.01))
        raise AssertionError("it does not end")

    async def read(self) -> str:
        """What the person reads at the end, in a line."""
        (event,) = [e for e in self.shop.reader.told if isinstance(e, JobSucceeded | JobFailed)]
        screen = await self.conversation.news(event)
        if isinstance(event, JobFailed):
            return " ".join(screen.text.split("\n\n")[0].splitlines())
        assert len(screen.media) == 1
        return await self._file(screen.media[0])

    async def _file(self, media: Media) -> str:
        try:
            async with self.conversation.open_media(media) as file:
                async for _ in file.chunks():
                    pass
                is_right = kind_of(file.mime) is media.kind
        except MediaError as error:
            return f"the result's address: the file cannot be read ({WHY[error.trouble]})"
        return "the result" if is_right else "the result's address: the file is no picture"


WHY = {
    MediaTrouble.GONE: "it is gone",
    MediaTrouble.NOT_PUBLIC: "its place is not public",
    MediaTrouble.TOO_SLOW: "it comes too slowly",
    MediaTrouble.TOO_LARGE: "it is too large",
}


@asynccontextmanager
async def a_town(*, callbacks: bool) -> AsyncIterator[Town]:
    clock = FakeClock()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(kie_server(clock, limits=NO_LIMITS))
        media = LiveMedia(
            allowed={("127.0.0.1", urlsplit(server.address).port or 80)},
            max_bytes=SMALL,
            silence_s=TIMEOUT_S,
            total_s=3 * TIMEOUT_S,
        )
        stack.push_async_callback(media.close)
        kie = LiveKieClient(
            api_url=server.address,
            upload_url=server.address,
            token=leaks.KIE_KEY,
            timeout_s=TIMEOUT_S,
            fetch=media.fetch,
        )
        stack.push_async_callback(kie.close)
        terms = TERMS
        address = f"http://127.0.0.1:{_free_port()}"
        if callbacks:
            terms = evolve(terms, callbacks=Callbacks(address=address, secret=CALLBACK_SECRET))
        shop = Shop(
            storage=MemoryStorage(clock=clock),
            kie=kie,
            clock=clock,
            terms=terms,
            media=media,
        )
        if callbacks:
            runner = web.AppRunner(application(shop.kiebot, clock))
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", urlsplit(address).port).start()
        yield Town(shop=shop, server=server, conversation=Conversation(shop.kiebot, clock=clock))


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


async def observe(case: Case) -> Seen:
    """Have it happen."""
    async with a_town(callbacks=case.callbacks) as town:
        shop = town.shop
        await shop.meet(roubles=ROUBLES)
        await shop.kiebot.speak(BUYER, Language.EN)
        town.server.script(*case.faults)
        job_id = await shop.offer()
        await shop.kiebot.confirm(BUYER, job_id)

        await town.go()

        assert await shop.problems() == ()
        wallet = await shop.kiebot.wallet(BUYER)
        assert not wallet.held
        job = await shop.job(job_id)
        assert job.status is case.status
        assert town.server.coming == () or any(not fault.times for fault in case.faults)
        paid = "charged" if job.status is JobStatus.SUCCEEDED else "released"
        return Seen(
            name=case.name,
            read=await town.read(),
            wallet=f"{EN.money(wallet.available)}, {EN.money(Money.rub('30'))} {paid}",
            tasks=len(town.server.tasks),
        )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_fault_ends_as_the_page_says(
    case: Case, request: pytest.FixtureRequest, seen: dict[str, str]
) -> None:
    """The page is for owners: what it promises is what was observed."""
    found = await observe(case)

    assert found.tasks == case.tasks
    seen[found.name] = found.row
    if not request.config.getoption("--write-docs"):
        assert found.row in _rows()


@pytest.fixture(scope="module")
def seen(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """What was observed, and with --write-docs what the page says afterwards."""
    rows: dict[str, str] = {}
    yield rows
    if request.config.getoption("--write-docs") and len(rows) == len(CASES):
        text = PAGE.read_text("utf-8")
        before, _, rest = text.partition(BEGIN)
        _, _, after = rest.partition(END)
        table = [HEAD, *(rows[case.name] for case in CASES)]
        PAGE.write_text("\n".join([f"{before}{BEGIN}", *table, f"{END}{after}"]), "utf-8")


def test_the_page_lists_these_faults_and_no_others() -> None:
    names = [row.split("|")[1].strip() for row in _rows()]

    assert names == [case.name for case in CASES]


HEAD = """\
| what goes wrong | what the person reads | their wallet, of 100 ₽ | tasks at kie.ai |
| --- | --- | --- | --- |"""


def _rows() -> Sequence[str]:
    table = PAGE.read_text("utf-8").partition(BEGIN)[2].partition(END)[0].strip()
    return table.splitlines()[2:]
