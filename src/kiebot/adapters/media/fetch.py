"""
Reading of public addresses that other people name, guarded.

Every hop is looked at anew, and the IP address that was looked at is the one connected to: names
are resolved once for each connection, by a resolver that hands on nothing but public addresses.
Nothing of ours goes along: no key, no cookie, no proxy or login of the environment. From https to
http is followed as well, because nothing secret is sent; what comes is judged by its content.
"""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from urllib.parse import unquote

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver
from attrs import field, frozen
from yarl import URL

from kiebot.core.addresses import HostPort, is_public_ip, may_be_public
from kiebot.core.errors import MediaError, MediaTrouble
from kiebot.core.media import EXTENSIONS, MAX_FILE_BYTES, SNIFF_BYTES, UNKNOWN_MIME, sniff
from kiebot.ports.kie import InputFile

MAX_REDIRECTS = 5
TOTAL_S = 180.0
"""Seconds for a whole file, all its hops included: 200 MB at 10 Mbit/s."""

SILENCE_S = 15.0
"""Seconds without a byte."""

CONNECT_S = 10.0
CHUNK_BYTES = 64 * 1024
NAME_CHARS = 80

_USER_AGENT = "kiebot"
_REDIRECTS = {301, 302, 303, 307, 308}


class _NotPublicError(OSError):
    """A name that leads to no public address; an OSError, because resolvers raise those."""


class GuardedResolver(AbstractResolver):
    """Hands on the public ones of another resolver's addresses, all of them for allowed hosts."""

    def __init__(
        self, inner: AbstractResolver | None, allowed: Collection[HostPort] = frozenset()
    ) -> None:
        self._inner = inner
        self._is_ours = inner is None
        self._allowed = allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """OSError where the name has no address, or none that is public."""
        if self._inner is None:
            self._inner = DefaultResolver()
        found = await self._inner.resolve(host, port, family)
        if (host.lower(), port) in self._allowed:
            return found
        public = [result for result in found if is_public_ip(result["host"])]
        if not public:
            raise _NotPublicError(f"{host} is at no public address")
        return public

    async def close(self) -> None:
        """Close the other resolver, unless it was handed in."""
        if self._inner is not None and self._is_ours:
            await self._inner.close()


@frozen(kw_only=True)
class FetchedFile:
    """A file being read from an address."""

    url: str
    name: str
    mime: str | None
    size: int | None
    head: bytes = field(repr=False)
    max_bytes: int
    response: aiohttp.ClientResponse = field(repr=False)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Its content; MediaError where reading fails, or more comes than is read."""
        count = len(self.head)
        if count > self.max_bytes:
            raise _too_large(self.url, self.max_bytes)
        if self.head:
            yield self.head
        while chunk := await _read(self.url, self.response, CHUNK_BYTES):
            count += len(chunk)
            if count > self.max_bytes:
                raise _too_large(self.url, self.max_bytes)
            yield chunk


class Fetcher:
    """
    Reads public addresses, and those of `allowed` hosts wherever they are (kie.ai's, as the
    settings name it).

    `resolver` looks names up. Times are in seconds.
    """

    def __init__(
        self,
        *,
        allowed: Collection[HostPort] = frozenset(),
        max_bytes: int = MAX_FILE_BYTES,
        total_s: float = TOTAL_S,
        silence_s: float = SILENCE_S,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._allowed = frozenset(allowed)
        self._max_bytes = max_bytes
        self._total_s = total_s
        self._silence_s = silence_s
        self._resolver = GuardedResolver(resolver, self._allowed)
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def fetch(self, url: str) -> AsyncIterator[InputFile]:
        """As the port says."""
        until = asyncio.get_running_loop().time() + self._total_s
        async with self._opened(url, until) as response:
            yield await self._file(url, response)

    async def close(self) -> None:
        """Close what is open."""
        if self._session is not None:
            await self._session.close()
            self._session = None
        await self._resolver.close()

    @asynccontextmanager
    async def _opened(self, url: str, until: float) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer at the end of all redirects."""
        hop = self._checked(url, url)
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._get(url, hop, until)
            try:
                if response.status not in _REDIRECTS:
                    _check(url, response)
                    yield response
                    return
                hop = self._next(url, hop, response)
            finally:
                response.close()
        raise MediaError(url, f"more than {MAX_REDIRECTS} redirects")

    async def _get(self, url: str, hop: URL, until: float) -> aiohttp.ClientResponse:
        if self._session is None:
            self._session = self._make_session()
        left_s = until - asyncio.get_running_loop().time()
        if left_s <= 0:
            raise MediaError(url, "its redirects take too long", MediaTrouble.TOO_SLOW)
        timeout = aiohttp.ClientTimeout(
            total=left_s, sock_connect=CONNECT_S, sock_read=self._silence_s
        )
        try:
            return await self._session.get(hop, allow_redirects=False, timeout=timeout)
        except TimeoutError as exc:
            raise MediaError(url, f"{hop.host} does not answer", MediaTrouble.TOO_SLOW) from exc
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            if isinstance(exc.__cause__, _NotPublicError):
                raise _not_public(url, hop) from exc
            raise MediaError(
                url, f"{hop.host} gives no answer that can be read: {_said(exc)}"
            ) from exc

    def _make_session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            # A connection serves one request, so each request is made to an address just looked at.
            connector=aiohttp.TCPConnector(
                resolver=self._resolver, use_dns_cache=False, force_close=True, limit=0
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            # Nothing is unpacked, so that a small answer cannot become a large file.
            auto_decompress=False,
            headers={"User-Agent": _USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"},
        )

    def _checked(self, url: str, hop: str | URL) -> URL:
        """An address that may be asked; whether it leads to a public place, the resolver sees."""
        try:
            target = URL(hop)
            host, port = target.raw_host, target.port
        except ValueError as exc:
            raise MediaError(url, f"no address: {exc}") from exc
        if target.scheme not in {"http", "https"} or not host or port is None:
            raise MediaError(url, "no http or https address")
        if target.raw_user is not None or target.raw_password is not None:
            raise MediaError(url, "an address with a login in it", MediaTrouble.NOT_PUBLIC)
        if (host.lower(), port) not in self._allowed and not may_be_public(host):
            raise _not_public(url, target)
        return target

    def _next(self, url: str, hop: URL, response: aiohttp.ClientResponse) -> URL:
        location = response.headers.get("Location")
        if location is None:
            raise MediaError(url, f"a redirect to nowhere ({response.status})")
        try:
            target = hop.join(URL(location))
        except ValueError as exc:
            raise MediaError(url, f"a redirect to no address: {exc}") from exc
        return self._checked(url, target)

    async def _file(self, url: str, response: aiohttp.ClientResponse) -> FetchedFile:
        size = response.content_length
        if size is not None and size > self._max_bytes:
            raise _too_large(url, self._max_bytes)
        head = b""
        while len(head) < SNIFF_BYTES:
            chunk = await _read(url, response, SNIFF_BYTES - len(head))
            if not chunk:
                break
            head += chunk
        mime = sniff(head) or UNKNOWN_MIME
        return FetchedFile(
            url=url,
            name=_name(response.url, mime),
            mime=mime,
            size=size,
            head=head,
            max_bytes=self._max_bytes,
            response=response,
        )


def _check(url: str, response: aiohttp.ClientResponse) -> None:
    if response.status != 200:
        raise MediaError(url, f"the answer is {response.status}")
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise MediaError(url, f"it comes packed ({encoding[:20]}), which was not asked for")


async def _read(url: str, response: aiohttp.ClientResponse, most: int) -> bytes:
    try:
        return await response.content.read(most)
    except TimeoutError as exc:
        raise MediaError(url, "reading it takes too long", MediaTrouble.TOO_SLOW) from exc
    except (aiohttp.ClientError, OSError) as exc:
        raise MediaError(url, f"it breaks off: {_said(exc)}") from exc


def _said(exc: Exception) -> str:
    """An error in a line; some quote what the other side sent."""
    return str(exc).partition("\n")[0][:100] or type(exc).__name__


def _not_public(url: str, hop: URL) -> MediaError:
    return MediaError(url, f"{hop.host} is not on the public Internet", MediaTrouble.NOT_PUBLIC)


def _too_large(url: str, max_bytes: int) -> MediaError:
    return MediaError(url, f"larger than {max_bytes // (1024 * 1024)} MB", MediaTrouble.TOO_LARGE)


def _name(url: URL, mime: str) -> str:
    """A file name of letters, digits and `-_.`, with an extension that fits the content."""
    last = unquote(url.raw_path.rsplit("/", 1)[-1], errors="replace")
    kept = re.sub(r"[^\w.-]+", "-", last).strip("-.")[-NAME_CHARS:].strip("-.")
    extension = EXTENSIONS.get(mime)
    if extension is None or kept.lower().endswith(f".{extension}"):
        return kept or "file"
    return f"{kept.rsplit('.', 1)[0] or 'file'}.{extension}"
