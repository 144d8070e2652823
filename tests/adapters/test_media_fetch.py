"""Addresses that people name are read only where everybody could read them, and never for long."""

import gzip
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from kiebot.adapters.media.fetch import MAX_REDIRECTS, Fetcher, GuardedResolver
from kiebot.core.errors import MediaError, MediaTrouble
from kiebot.ports.kie import InputFile
from tests.fakes.site import Names, Site, answer, dripping, endless, moved, silent, site

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(100)


@pytest.fixture
async def here() -> AsyncIterator[Site]:
    """A site at `files.example`, which the shop is allowed to read."""
    async with site() as found:
        yield found


class Shop(Fetcher):
    """A fetcher for which every name leads to this machine, and `files.example` is allowed."""

    def __init__(
        self,
        here: Site,
        *,
        max_bytes: int = 1_000_000,
        total_s: float = 30,
        silence_s: float = 30,
        names: Names | None = None,
    ) -> None:
        super().__init__(
            allowed={("files.example", here.port)},
            max_bytes=max_bytes,
            total_s=total_s,
            silence_s=silence_s,
            resolver=names or Names(["127.0.0.1"]),
        )

    @asynccontextmanager
    async def opened(self, url: str) -> AsyncIterator[InputFile]:
        """A file, of a shop that is closed after it."""
        try:
            async with self.fetch(url) as file:
                yield file
        finally:
            await self.close()

    async def read(self, url: str) -> bytes:
        """A whole file."""
        async with self.opened(url) as file:
            return b"".join([chunk async for chunk in file.chunks()])

    async def refusal(self, url: str) -> MediaError:
        """Why an address is not read."""
        with pytest.raises(MediaError) as caught:
            await self.read(url)
        assert caught.value.reference == url
        return caught.value


def good(here: Site, path: str) -> str:
    return here.url(path, "files.example")


async def test_a_file_is_read_and_known_by_its_content(here: Site) -> None:
    here.pages["/dir/cat%20(1).jpeg"] = answer(body=PNG, Content_Type="text/html")
    async with Shop(here).opened(good(here, "/dir/cat%20(1).jpeg?sig=1")) as file:
        body = b"".join([chunk async for chunk in file.chunks()])

    assert (file.name, file.mime, file.size) == ("cat-1-.png", "image/png", len(PNG))
    assert body == PNG


async def test_the_size_may_be_known_only_at_the_end(here: Site) -> None:
    here.pages["/cat"] = answer(body=PNG, length=None)
    async with Shop(here).opened(good(here, "/cat")) as file:
        assert file.size is None
        assert b"".join([chunk async for chunk in file.chunks()]) == PNG


async def test_nothing_of_ours_goes_along(here: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a login of the environment, nor a cookie of the page before, nor a proxy."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    here.pages["/1"] = answer(302, Location="/2", Set_Cookie="a=b")
    here.pages["/2"] = answer(body=PNG)

    await Shop(here).read(good(here, "/1"))

    heads = [line.partition(":")[0].lower() for line in here.asked[1].split("\r\n")[1:] if line]
    assert sorted(heads) == ["accept", "accept-encoding", "connection", "host", "user-agent"]


async def test_a_redirect_is_followed(here: Site) -> None:
    for status in (301, 302, 303, 307, 308):
        here.pages[f"/{status}"] = moved("cat", status)
    here.pages["/cat"] = answer(body=PNG)

    for status in (301, 302, 303, 307, 308):
        assert await Shop(here).read(good(here, f"/{status}")) == PNG


async def test_redirects_end(here: Site) -> None:
    here.pages["/round"] = moved("/round")

    error = await Shop(here).refusal(good(here, "/round"))

    assert f"more than {MAX_REDIRECTS} redirects" in error.why
    assert len(here.asked) == MAX_REDIRECTS + 1


SPELLINGS = [
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "0",
    "0.0.0.0",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "0x7f000001",
    "0x7f.1",
    "localhost",
    "localhost.",
    "LOCALHOST",
    "a.localhost",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[64:ff9b::127.0.0.1]",
    "[2002:7f00:1::]",
    "[fe80::1%25lo]",
    "１２７.0.0.1",
    "127。0。0。1",
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
    "private.example",
    "приват.example",
    "10.0.0.1",
    "169.254.169.254",
    "100.64.0.1",
]


@pytest.mark.parametrize("host", SPELLINGS)
async def test_no_spelling_of_this_machine_is_read(here: Site, host: str) -> None:
    here.pages["/secret"] = answer(body=PNG)

    error = await Shop(here).refusal(here.url("/secret", host))

    assert error.trouble in {MediaTrouble.NOT_PUBLIC, MediaTrouble.GONE}
    assert here.asked == []


@pytest.mark.parametrize("host", SPELLINGS)
async def test_no_redirect_leads_to_this_machine(here: Site, host: str) -> None:
    here.pages["/secret"] = answer(body=PNG)
    here.pages["/innocent"] = moved(here.url("/secret", host))

    await Shop(here).refusal(good(here, "/innocent"))

    assert here.paths == ["/innocent"]


async def test_being_allowed_is_for_one_port(here: Site) -> None:
    """kie.ai's host may be this machine; what else runs on it is none of anybody's business."""
    async with site({"/secret": answer(body=PNG)}) as other:
        error = await Shop(here).refusal(other.url("/secret", "files.example"))

        assert error.trouble is MediaTrouble.NOT_PUBLIC
        assert other.asked == []


async def test_a_name_with_private_addresses_is_told_as_such(here: Site) -> None:
    error = await Shop(here).refusal(here.url("/secret", "private.example"))

    assert error.trouble is MediaTrouble.NOT_PUBLIC
    assert "private.example is not on the public Internet" in error.why


async def test_an_answer_of_a_name_server_is_used_as_it_was_looked_at(here: Site) -> None:
    """A name that is public when it is checked and private when it is used gains nothing."""
    names = Names(["127.0.0.1"], ["8.8.8.8"])

    await Shop(here, names=names).refusal(here.url("/secret", "flips.example"))

    assert names.asked == ["flips.example"]
    assert here.asked == []


async def test_every_answer_of_a_name_server_is_looked_at() -> None:
    names = Names(["8.8.8.8"], ["127.0.0.1"], ["10.0.0.1", "1.1.1.1", "::1"])
    guarded = GuardedResolver(names)

    first = await guarded.resolve("flips.example", 80)
    with pytest.raises(OSError, match="no public address"):
        await guarded.resolve("flips.example", 80)
    third = await guarded.resolve("flips.example", 80)

    assert [result["host"] for result in (*first, *third)] == ["8.8.8.8", "1.1.1.1"]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://files.example/cat.png",
        "file:///etc/passwd",
        "gopher://files.example/",
        "http://",
        "http://files.example:99999/",
        "http://[::1/",
        "https:cat.png",
        "",
    ],
)
async def test_what_is_no_address_is_not_read(here: Site, url: str) -> None:
    await Shop(here).refusal(url)


@pytest.mark.parametrize("login", ["me:secret@", "me@", ":secret@"])
async def test_a_login_in_an_address_is_refused(here: Site, login: str) -> None:
    await Shop(here).refusal(here.url("/cat", f"{login}files.example"))

    assert here.asked == []


@pytest.mark.parametrize(
    "to", ["file:///etc/passwd", "ftp://x/", "http://[", "//127.0.0.1/", "javascript:1"]
)
async def test_a_redirect_to_no_address_is_refused(here: Site, to: str) -> None:
    here.pages["/1"] = moved(to)

    await Shop(here).refusal(good(here, "/1"))

    assert here.paths == ["/1"]


async def test_a_redirect_to_nowhere_is_refused(here: Site) -> None:
    here.pages["/1"] = answer(302)

    assert "a redirect to nowhere" in (await Shop(here).refusal(good(here, "/1"))).why


@pytest.mark.parametrize("status", [204, 206, 304, 401, 403, 404, 410, 429, 500, 503])
async def test_only_a_whole_file_is_one(here: Site, status: int) -> None:
    here.pages["/cat"] = answer(status)

    error = await Shop(here).refusal(good(here, "/cat"))

    assert error.why == f"the answer is {status}"


async def test_a_stated_size_is_believed_when_it_is_too_large(here: Site) -> None:
    here.pages["/film"] = silent(PNG, length=1_000_001)

    error = await Shop(here).refusal(good(here, "/film"))

    assert (error.trouble, error.why) == (MediaTrouble.TOO_LARGE, "larger than 0 MB")


async def test_a_file_that_goes_on_after_its_stated_size_is_none(here: Site) -> None:
    here.pages["/cat"] = answer(body=PNG + b"more", length=len(PNG))

    error = await Shop(here).refusal(good(here, "/cat"))

    assert "gives no answer that can be read" in error.why
    assert len(error.why) < 200


async def test_a_file_that_breaks_off_is_none(here: Site) -> None:
    here.pages["/cat"] = answer(body=PNG, length=len(PNG) + 1)

    error = await Shop(here).refusal(good(here, "/cat"))

    assert "breaks off" in error.why


async def test_half_a_gigabyte_is_cut_at_the_limit(here: Site) -> None:
    """Nobody says how large it is, and it is not kept in memory to find out."""
    limit = 32 * 1024 * 1024
    here.pages["/film"] = endless(bytes(1024 * 1024), 500)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sizes: list[int] = []

    async def read() -> None:
        async with Shop(here, max_bytes=limit).opened(good(here, "/film")) as file:
            async for chunk in file.chunks():
                sizes.append(len(chunk))  # noqa: PERF401 - what came before the end counts

    with pytest.raises(MediaError) as caught:
        await read()

    assert caught.value.trouble is MediaTrouble.TOO_LARGE
    assert caught.value.why == "larger than 32 MB"
    assert limit - 1024 * 1024 < sum(sizes) <= limit
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kb < 16 * 1024


async def test_a_packed_answer_is_refused(here: Site) -> None:
    """It was not asked for, and a thousand bytes can be a gigabyte."""
    bomb = gzip.compress(bytes(10_000_000))
    here.pages["/bomb"] = answer(body=bomb, Content_Encoding="gzip")

    error = await Shop(here).refusal(good(here, "/bomb"))

    assert "it comes packed (gzip)" in error.why


async def test_who_says_nothing_is_not_waited_for(here: Site) -> None:
    here.pages["/cat"] = silent(PNG, length=1000)

    error = await Shop(here, silence_s=0.05).refusal(good(here, "/cat"))

    assert (error.trouble, error.why) == (MediaTrouble.TOO_SLOW, "reading it takes too long")


async def test_who_never_answers_is_not_waited_for() -> None:
    """A machine that takes connections and says nothing at all."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        mute = Site(port=listener.getsockname()[1])

        error = await Shop(mute, silence_s=0.05).refusal(good(mute, "/cat"))

    assert (error.trouble, error.why) == (MediaTrouble.TOO_SLOW, "files.example does not answer")


async def test_a_drip_ends(here: Site) -> None:
    """Never silent for long, and never done."""
    here.pages["/cat"] = dripping(PNG, every_s=0.01)

    error = await Shop(here, total_s=0.3, silence_s=30).refusal(good(here, "/cat"))

    assert error.trouble is MediaTrouble.TOO_SLOW


async def test_a_drip_of_redirects_ends(here: Site) -> None:
    """The time is for the whole way, not for each hop of it."""
    here.pages["/cat"] = moved("/cat")

    error = await Shop(here, total_s=0).refusal(good(here, "/cat"))

    assert error.trouble is MediaTrouble.TOO_SLOW


async def test_who_does_not_speak_http_is_not_understood(here: Site) -> None:
    here.pages["/cat"] = answer(999)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = Site(port=closed.getsockname()[1])

    assert "the answer is 999" in (await Shop(here).refusal(good(here, "/cat"))).why
    assert "gives no answer" in (await Shop(nobody).refusal(good(nobody, "/cat"))).why


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "file.png"),
        ("/cat", "cat.png"),
        ("/cat.PNG", "cat.PNG"),
        ("/a/..%2F..%2Fetc%2Fpasswd", "etc-passwd.png"),
        ("/%00%0D%0A%22x%22", "x.png"),
        ("/%D0%BA%D0%BE%D1%82.webp", "кот.png"),
        ("/" + "a" * 300 + ".png", "a" * 76 + ".png"),
    ],
)
async def test_a_name_is_one_that_every_system_takes(here: Site, path: str, name: str) -> None:
    here.pages[path] = answer(body=PNG)
    async with Shop(here).opened(good(here, path)) as file:
        assert file.name == name
