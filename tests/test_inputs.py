"""Files are looked into when they are given, before anybody pays for anything."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import count

import pytest
from attrs import define, field

from kiebot.adapters.kie.stub import BytesFile, StubKieClient
from kiebot.adapters.media.live import LiveMedia
from kiebot.adapters.media.stub import SECONDS, StubMedia
from kiebot.adapters.storage.memory import MemoryStorage
from kiebot.app import Kiebot
from kiebot.conversation import Conversation
from kiebot.core.dialog.screen import Attach, Press, Say, Screen
from kiebot.core.errors import AnswerProblem, InvalidAnswerError, MediaError, RefusedByStatusError
from kiebot.core.jobs import JobStatus
from kiebot.core.language import Language
from kiebot.core.media import Attachment
from kiebot.core.money import Money
from kiebot.core.tasks import FailReason
from kiebot.core.wallet import JobId
from kiebot.inputs import Inputs
from kiebot.ports.kie import InputFile
from kiebot.ports.media import Media
from tests.fakes.clock import FakeClock
from tests.fakes.media import MP3, MP4, PNG, wav
from tests.fakes.shop import CATALOG, CHEAP, TERMS
from tests.fakes.site import Names, Page, Site, answer, dripping, endless, moved, silent, site
from tests.fakes.values import BUYER, OTHER

SCRIBE = "elevenlabs/speech-to-text"
"""Takes a recording of two hours at most, and is paid by started three minutes."""

UPSCALE = "topaz/video-upscale"
"""Takes a clip of two minutes at most."""

BLEND = "flux-2/pro-image-to-image"
"""Takes a list of pictures."""


@define
class Town:
    """A live shop with a stub KIE, a desk where people lay files, and a site with others."""

    site: Site
    media: Media
    desk: dict[str, bytes] = field(factory=dict)
    opened: list[str] = field(factory=list)
    clock: FakeClock = field(factory=FakeClock)
    kiebot: Kiebot = field(init=False)
    conversation: Conversation = field(init=False)

    def __attrs_post_init__(self) -> None:
        numbers = count(1)
        self.kiebot = Kiebot(
            MemoryStorage(clock=self.clock),
            StubKieClient(self.clock),
            CATALOG,
            TERMS,
            media=self.media,
            clock=self.clock,
            new_id=lambda: f"id{next(numbers)}",
        )
        self.kiebot.open_with(self.open)
        self.conversation = Conversation(self.kiebot, clock=self.clock)

    @asynccontextmanager
    async def open(self, reference: str) -> AsyncIterator[InputFile]:
        """What lies on the desk, by the last part of its reference."""
        self.opened.append(reference)
        content = self.desk.get(reference.rpartition("/")[2])
        if content is None:
            raise MediaError(reference, "it is gone")
        yield BytesFile(name="file", content=content)

    def url(self, path: str) -> str:
        """An address that the shop reads."""
        return self.site.url(path, "files.example")

    async def ask(self, model_id: str) -> JobId:
        """A draft whose file is asked for."""
        await self.kiebot.greet(BUYER, "Аня", Language.RU)
        return (await self.kiebot.draft(BUYER, model_id)).job.id

    async def problem(self, job_id: JobId, name: str, given: str | Attachment) -> AnswerProblem:
        """What is wrong with an answer; the draft stays as it was."""
        before = await self.kiebot.job(BUYER, job_id)
        with pytest.raises(InvalidAnswerError) as caught:
            await self.kiebot.answer(BUYER, job_id, name, given)
        assert await self.kiebot.job(BUYER, job_id) == before
        return caught.value.problem

    async def finish(self, job_id: JobId) -> None:
        """Until the job has ended."""
        for _ in range(20):
            job = await self.kiebot.advance(job_id, None, self.open)
            if not job.is_open:
                return
            self.clock.advance(5)
        raise AssertionError("it is still open")


@asynccontextmanager
async def town(pages: dict[str, Page] | None = None) -> AsyncIterator[Town]:
    async with site(pages) as here:
        media = LiveMedia(
            allowed={("files.example", here.port)},
            resolver=Names(["127.0.0.1"]),
            silence_s=0.1,
            total_s=5,
        )
        try:
            yield Town(here, media)
        finally:
            await media.close()


def lying(name: str, **fields: object) -> Attachment:
    """A file on the desk, of which nothing is known."""
    return Attachment(reference=f"desk:/{name}", name=name, **fields)  # type: ignore[arg-type]


async def test_a_recording_at_an_address_is_paid_by_its_length() -> None:
    async with town({"/talk.wav": answer(body=wav(200))}) as here:
        job_id = await here.ask(SCRIBE)

        drafted = await here.kiebot.answer(BUYER, job_id, "audio_url", here.url("/talk.wav"))

        assert drafted.job.measures == {here.url("/talk.wav"): Decimal(200)}
        assert drafted.job.price == Money.rub("12")  # two started units of 180 s, 3 roubles each
        assert here.site.paths == ["/talk.wav"]


async def test_a_recording_that_is_attached_is_measured() -> None:
    async with town() as here:
        here.desk["talk.mp3"] = MP3
        job_id = await here.ask(SCRIBE)
        file = lying("talk.mp3", mime="audio/mpeg", size=len(MP3))

        drafted = await here.kiebot.answer(BUYER, job_id, "audio_url", file)

        assert drafted.job.measures == {file.reference: Decimal(2)}
        assert drafted.job.is_offer


async def test_what_is_known_is_not_read_again() -> None:
    async with town() as here:
        job_id = await here.ask(CHEAP)
        cat = lying("cat.png", mime="image/png", size=1000)

        await here.kiebot.answer(BUYER, job_id, "image", cat)

        assert here.opened == []


async def test_what_is_not_known_is_read() -> None:
    async with town() as here:
        here.desk |= {"cat.png": PNG, "cat.exe": b"MZ\x90\0"}
        job_id = await here.ask(CHEAP)

        assert await here.problem(job_id, "image", lying("cat.exe")) is AnswerProblem.WRONG_KIND
        assert await here.problem(job_id, "image", lying("gone")) is AnswerProblem.FILE_GONE
        drafted = await here.kiebot.answer(BUYER, job_id, "image", lying("cat.png"))

        assert drafted.job.is_offer


@pytest.mark.parametrize(
    ("page", "problem"),
    [
        (answer(404), AnswerProblem.FILE_GONE),
        (answer(body=MP3, length=50_000), AnswerProblem.FILE_GONE),
        (moved("http://10.0.0.1/talk.wav"), AnswerProblem.NOT_PUBLIC),
        (moved("http://private.example/talk.wav"), AnswerProblem.NOT_PUBLIC),
        (silent(MP3, length=50_000), AnswerProblem.TOO_SLOW),
        (answer(body=b"<html>Sign in</html>"), AnswerProblem.WRONG_KIND),
        (answer(body=PNG), AnswerProblem.WRONG_KIND),
        (answer(body=b""), AnswerProblem.WRONG_KIND),
        (answer(body=b"\0\1\2\3"), AnswerProblem.WRONG_KIND),
        (answer(body=b"ID3\x04" + bytes(100)), AnswerProblem.LENGTH_UNKNOWN),
        (answer(body=wav(1801, rate=100)), AnswerProblem.LASTS_TOO_LONG),
        (silent(MP3, length=11 * 1024 * 1024), AnswerProblem.FILE_TOO_LARGE),
        (endless(b"ID3\x04" + bytes(1020), 20_000), AnswerProblem.FILE_TOO_LARGE),
        (silent(MP3, length=500 * 1024 * 1024), AnswerProblem.FILE_TOO_LARGE),
    ],
)
async def test_what_is_wrong_at_an_address_is_said_at_once(
    page: Page, problem: AnswerProblem
) -> None:
    async with town({"/talk": page}) as here:
        job_id = await here.ask("elevenlabs/audio-isolation")

        assert await here.problem(job_id, "audio_url", here.url("/talk")) is problem


async def test_a_private_address_is_never_asked() -> None:
    async with town({"/talk": answer(body=MP3)}) as here:
        job_id = await here.ask(SCRIBE)

        found = await here.problem(job_id, "audio_url", here.site.url("/talk"))

        assert found is AnswerProblem.NOT_PUBLIC
        assert here.site.asked == []


async def test_pictures_at_addresses_are_looked_into_without_reading_all_of_them() -> None:
    """Their size is stated; the rest is read when it is handed to KIE."""
    pages = {"/1": silent(PNG, length=2_000_000), "/2": silent(PNG, length=2_000_000)}
    async with town(pages) as here:
        job_id = await here.ask(BLEND)
        given = f"{here.url('/1')}\n{here.url('/2')}"

        drafted = await here.kiebot.answer(BUYER, job_id, "input_urls", given)

        assert drafted.job.params["input_urls"] == [here.url("/1"), here.url("/2")]
        assert sorted(here.site.paths) == ["/1", "/2"]


async def test_of_several_addresses_all_must_be_good() -> None:
    async with town({"/1": answer(body=PNG), "/2": answer(body=MP3)}) as here:
        job_id = await here.ask(BLEND)
        given = f"{here.url('/1')} {here.url('/2')} {here.url('/3')}"

        assert await here.problem(job_id, "input_urls", given) in {
            AnswerProblem.WRONG_KIND,
            AnswerProblem.FILE_GONE,
        }


async def test_what_is_wrong_at_first_sight_is_not_read() -> None:
    async with town() as here:
        job_id = await here.ask(CHEAP)
        huge = lying("cat.png", mime="image/png", size=1_000_000_000)

        assert await here.problem(job_id, "image", huge) is AnswerProblem.FILE_TOO_LARGE
        assert await here.problem(job_id, "image", "not an address") is AnswerProblem.NOT_A_FILE
        assert here.opened == []


async def test_a_slow_address_keeps_nobody_else_waiting() -> None:
    """Nor the same person: nothing of theirs is locked meanwhile."""
    async with town({"/slow": dripping(b"ID3\x04", every_s=0.01)}) as here:
        job_id = await here.ask(SCRIBE)
        await here.kiebot.greet(OTHER, "Боря", Language.RU)
        slow = asyncio.create_task(
            here.kiebot.answer(BUYER, job_id, "audio_url", here.url("/slow"))
        )
        await here.site.visited.wait()

        others = await here.kiebot.draft(OTHER, CHEAP)
        await here.kiebot.cancel(BUYER, job_id)

        assert others.question is not None
        assert not slow.done()
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow


async def test_a_draft_that_was_dropped_meanwhile_stays_dropped() -> None:
    async with town() as here:
        job_id = await here.ask(CHEAP)

        @asynccontextmanager
        async def open_late(reference: str) -> AsyncIterator[InputFile]:
            await here.kiebot.cancel(BUYER, job_id)
            yield BytesFile(name=reference, content=PNG)

        here.kiebot.open_with(open_late)

        with pytest.raises(RefusedByStatusError):
            await here.kiebot.answer(BUYER, job_id, "image", lying("cat.png"))


async def test_looking_has_a_deadline() -> None:
    """However the file is spread over time."""
    async with town({"/slow": dripping(b"ID3\x04", every_s=0.01)}) as here:
        inputs = Inputs(here.media, look_s=0.2)
        file = Attachment(reference=here.url("/slow"))

        with pytest.raises(InvalidAnswerError) as caught:
            await inputs.look(CATALOG.model(SCRIBE), "audio_url", file)

        assert caught.value.problem is AnswerProblem.TOO_SLOW


async def test_without_a_frontend_only_addresses_are_looked_into() -> None:
    """A program may name files that another process opens; but a length must be known."""
    inputs = Inputs(StubMedia())
    file = lying("x", mime="image/png")

    assert await inputs.look(CATALOG.model(CHEAP), "image", file) == file
    with pytest.raises(InvalidAnswerError) as caught:
        await inputs.look(CATALOG.model(SCRIBE), "audio_url", lying("x", mime="audio/ogg", size=1))
    assert caught.value.problem is AnswerProblem.FILE_GONE


# Drafts that begin with files


async def test_the_same_again_is_not_measured_again() -> None:
    async with town({"/talk.wav": answer(body=wav(200))}) as here:
        job_id = await here.ask(SCRIBE)
        first = await here.kiebot.answer(BUYER, job_id, "audio_url", here.url("/talk.wav"))

        again = await here.kiebot.again(BUYER, first.job.id)

        assert (again.job.measures, again.job.price) == (first.job.measures, first.job.price)
        assert here.site.paths == ["/talk.wav"]


async def test_a_changed_answer_keeps_the_measures() -> None:
    async with town({"/talk.wav": answer(body=wav(200))}) as here:
        job_id = await here.ask(SCRIBE)
        first = await here.kiebot.answer(BUYER, job_id, "audio_url", here.url("/talk.wav"))

        other = await here.kiebot.answer(BUYER, first.job.id, "language_code", "ru")

        assert other.job.id != first.job.id
        assert (other.job.measures, other.job.price) == (first.job.measures, first.job.price)


async def test_a_program_pays_by_the_length_as_well() -> None:
    async with town({"/talk.wav": answer(body=wav(200))}) as here:
        await here.kiebot.greet(BUYER, "Аня", Language.RU)
        await here.kiebot.grant(BUYER, Money.rub("100"), by="tests", why="a test", ref="g")

        job = await here.kiebot.order(BUYER, SCRIBE, {"audio_url": here.url("/talk.wav")})

        assert (job.status, job.price) == (JobStatus.QUEUED, Money.rub("12"))


async def test_a_program_is_told_before_it_pays() -> None:
    async with town({"/page": answer(body=b"<html>")}) as here:
        await here.kiebot.greet(BUYER, "Аня", Language.RU)

        with pytest.raises(InvalidAnswerError) as caught:
            await here.kiebot.order(BUYER, CHEAP, {"image": here.url("/page")})

        assert caught.value.problem is AnswerProblem.WRONG_KIND
        assert await here.kiebot.draft_of(BUYER) is None


# What was looked into is what is handed over


async def test_a_recording_that_grew_meanwhile_is_not_made_and_not_paid() -> None:
    """Nobody pays for three minutes and has three hours made."""
    async with town({"/talk.wav": answer(body=wav(10))}) as here:
        job_id = await here.ask(SCRIBE)
        await here.kiebot.grant(BUYER, Money.rub("100"), by="tests", why="a test", ref="g")
        await here.kiebot.answer(BUYER, job_id, "audio_url", here.url("/talk.wav"))
        await here.kiebot.confirm(BUYER, job_id)
        here.site.pages["/talk.wav"] = answer(body=wav(1000))

        await here.finish(job_id)

        job = await here.kiebot.job(BUYER, job_id)
        assert job.failure is not None
        assert job.failure.reason is FailReason.UNREADABLE_FILE
        assert (await here.kiebot.wallet(BUYER)).available == Money.rub("100")


async def test_a_recording_that_stayed_is_made() -> None:
    async with town({"/talk.wav": answer(body=wav(10))}) as here:
        job_id = await here.ask(SCRIBE)
        await here.kiebot.grant(BUYER, Money.rub("100"), by="tests", why="a test", ref="g")
        await here.kiebot.answer(BUYER, job_id, "audio_url", here.url("/talk.wav"))
        await here.kiebot.confirm(BUYER, job_id)

        await here.finish(job_id)

        assert (await here.kiebot.job(BUYER, job_id)).status is JobStatus.SUCCEEDED
        assert here.site.paths == ["/talk.wav", "/talk.wav"]


# The demo


async def test_a_demo_takes_every_address_unread() -> None:
    async with site() as here:
        demo = Town(here, StubMedia())
        job_id = await demo.ask(SCRIBE)

        drafted = await demo.kiebot.answer(BUYER, job_id, "audio_url", "https://x.example/a.mp3")

        assert drafted.job.measures == {"https://x.example/a.mp3": SECONDS}
        assert drafted.job.is_offer


# What a person reads


@pytest.mark.parametrize(
    ("language", "said"),
    [
        (Language.RU, "Слишком долго: можно до 2 минут."),
        (Language.EN, "That is too long: up to 2 minutes."),
    ],
)
async def test_a_person_reads_what_would_be_right(language: Language, said: str) -> None:
    async with town() as here:
        here.desk["film.mp4"] = MP4
        await here.conversation.meet(BUYER, "Аня", language)
        model = CATALOG.model(UPSCALE)
        await here.conversation.handle(BUYER, Press.of(f"mmodel:{model.key}"))
        # A clip of two seconds that its frontend knows to last longer.
        film = lying("film.mp4", mime="video/mp4", size=len(MP4), seconds=Decimal(121))

        screen = await here.conversation.handle(BUYER, Attach(film))

        assert said in screen.text
        assert screen.expects is not None


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://127.0.0.1/film.mp4", "не из открытого интернета"),
        ("http://localhost/film.mp4", "не из открытого интернета"),
        ("{site}/gone", "Файл не открывается"),
        ("{site}/slow", "слишком медленно"),
        ("{site}/page", "нужен другой вид или формат"),
    ],
)
async def test_a_person_reads_what_is_wrong_with_an_address(address: str, said: str) -> None:
    pages = {"/slow": silent(MP4, length=30_000), "/page": answer(body=b"<html>")}
    async with town(pages) as here:
        await here.conversation.meet(BUYER, "Аня", Language.RU)
        model = CATALOG.model(UPSCALE)
        await here.conversation.handle(BUYER, Press.of(f"mmodel:{model.key}"))
        url = address.replace("{site}", here.url(""))

        screen: Screen = await here.conversation.handle(BUYER, Say(url))

        assert said in screen.text
        assert screen.expects is not None


async def test_a_result_that_is_gone_is_asked_for_again() -> None:
    """It would have become the next model's picture."""
    async with town() as here:
        await here.conversation.meet(BUYER, "Аня", Language.RU)
        await here.kiebot.grant(BUYER, Money.rub("100"), by="tests", why="a test", ref="g")
        job = await here.kiebot.order(BUYER, "flux-2/pro-text-to-image", {"prompt": "кот"})
        await here.finish(job.id)

        key = CATALOG.model(CHEAP).key
        screen = await here.conversation.handle(BUYER, Press.of(f"gen:use:{job.id}:{key}"))

        assert "не из открытого интернета" in screen.text
        assert screen.expects is not None
