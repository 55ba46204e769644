"""Fetching media from addresses that strangers name, without becoming their way into the operator's network.

Each step has one rule. The URL is read once (`urls`). Its host is resolved once, here; every address is judged
(`policy`), and one bad address refuses all. The socket is connected to a judged address, as numbers, so no second
resolution can give another. TLS is verified for the host's name. A redirect begins all of this anew. Each request has a
connection of its own; nothing of the caller's request, no credentials and no cookies go along, and no proxy settings of
the environment are read. Time, size, redirects and the number of parallel fetches are bounded.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import aiohappyeyeballs

from gateway.config import FetchSettings
from gateway.errors import CallerFault, GatewayFault
from gateway.fetch.download import Allowance, Answer, Download, FetchProblem, failed
from gateway.fetch.policy import NOT_PUBLIC, check_addresses, check_port
from gateway.fetch.urls import MediaUrl, UrlProblem, follow, parse_url
from gateway.wire.validators import printable

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""All addresses of a host name, as text. Raises OSError when there are none."""

_MOST_ADDRESSES = 8
"""Addresses tried; all are judged."""
_RESOLVERS = 8
"""Threads that wait for DNS: own ones, so that names which never resolve do not hold up the rest of the gateway."""
_NEXT_ADDRESS = 0.25
"""Seconds until the next address is tried beside the first (RFC 8305)."""


@dataclass(slots=True, frozen=True)
class Media:
    """Fetched content. media_type: what its first bytes say it is."""

    media_type: str
    data: bytes


class MediaFetcher:
    """Fetches media. settings: the `fetch` section; `enabled` is for whoever makes this to look at.

    resolve, tls: for tests; by default the system's resolver and certificates.
    """

    def __init__(
        self, settings: FetchSettings, *, resolve: Resolve | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self.settings = settings
        self._resolve = resolve or self._ask_system
        self._tls = tls or ssl.create_default_context()
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._threads = ThreadPoolExecutor(_RESOLVERS, thread_name_prefix="fetch-resolve")

    def allowance(self) -> Allowance:
        """What the media of one call may have together."""
        return Allowance(self.settings.max_total, self.settings.max_total)

    async def fetch(self, url: str, path: str, allowance: Allowance | None = None) -> Media:
        """The media at `url`. path: the field that names it, for messages. allowance: shared by a call's fetches.

        Raises CallerFault (400) with code `media_fetch_refused` (URL or address not allowed), `media_fetch_failed` (no
        connection, status, time, broken HTTP), `media_too_large` or `media_type_unsupported`, and GatewayFault (503)
        when too many others fetch. No message shows an address, a header or content of the server.
        """
        began = False
        try:
            async with asyncio.timeout(self.settings.timeout):
                async with self._slots:
                    began = True
                    return await self._follow(url, allowance or self.allowance())
        except TimeoutError:
            if not began:
                raise GatewayFault(
                    "The gateway is fetching too many media at once; try again.",
                    status=503,
                    type="overloaded",
                    code="media_fetch_busy",
                    retry_after=1.0,
                ) from None
            problem = failed(f"fetching took longer than {self.settings.timeout:g} s (`fetch.timeout`)")
        except UrlProblem as error:
            problem = FetchProblem("media_fetch_refused", str(error))
        except FetchProblem as error:
            problem = error
        shown = printable(path)
        raise CallerFault(f"{shown}: {problem.text}", param=shown, code=problem.code, detail=problem.detail)

    async def close(self) -> None:
        """Let go of the resolving threads; what they still wait for is given up."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _follow(self, text: str, allowance: Allowance) -> Media:
        url = parse_url(text)
        for _ in range(self.settings.max_redirects + 1):
            answer = await self._get(url, allowance)
            if answer.location is None:
                return Media(answer.media_type, answer.data)
            url = follow(url, answer.location)
        raise failed(f"more than {self.settings.max_redirects} redirects (`fetch.max_redirects`)")

    async def _get(self, url: MediaUrl, allowance: Allowance) -> Answer:
        check_port(self.settings, url)
        transport: asyncio.Transport | None = None
        try:
            async with asyncio.timeout(self.settings.connect):
                transport, download = await self._connect(url, await self._addresses(url), allowance)
        except TimeoutError:
            raise failed(f"connecting took longer than {self.settings.connect:g} s (`fetch.connect`)") from None
        try:
            transport.write(_request(url))
            return await download.result
        finally:
            transport.abort()

    async def _addresses(self, url: MediaUrl) -> Sequence[str]:
        """The judged addresses of the URL's host."""
        addresses: Sequence[str] = [url.host]
        if not url.literal:
            try:
                addresses = await self._resolve(url.host, url.port)
            except OSError as error:
                raise FetchProblem("media_fetch_refused", NOT_PUBLIC, f"{url.host}: {error}") from None
        try:
            check_addresses(self.settings, url, addresses)
        except UrlProblem as problem:
            detail = f"{url.host}: {', '.join(addresses)}"
            raise FetchProblem("media_fetch_refused", str(problem), detail) from None
        return addresses

    async def _connect(
        self, url: MediaUrl, addresses: Sequence[str], allowance: Allowance
    ) -> tuple[asyncio.Transport, Download]:
        loop = asyncio.get_running_loop()
        infos = [_info(address, url.port) for address in addresses[:_MOST_ADDRESSES]]
        try:
            connected = await aiohappyeyeballs.start_connection(
                infos, happy_eyeballs_delay=_NEXT_ADDRESS, interleave=1, loop=loop
            )
        except TimeoutError:
            raise failed("the server cannot be reached", f"{url.host}: timed out") from None
        except OSError as error:
            raise failed("the server cannot be reached", f"{url.host}: {error}") from None
        try:
            transport, download = await loop.create_connection(
                lambda: Download(self.settings.max_size, allowance),
                sock=connected,
                ssl=self._tls if url.secure else None,
                server_hostname=url.host if url.secure else None,
            )
        except ssl.SSLCertVerificationError as error:
            connected.close()
            raise failed("the server's certificate is not valid for the URL's host", str(error)) from None
        except OSError as error:
            connected.close()
            raise failed("the TLS connection failed", f"{url.host}: {error}") from None
        except BaseException:  # cancellation too; raised again once things are put right
            connected.close()
            raise
        return transport, download

    async def _ask_system(self, host: str, port: int) -> Sequence[str]:
        found = await asyncio.get_running_loop().run_in_executor(self._threads, _getaddrinfo, host, port)
        return list(dict.fromkeys(str(info[4][0]) for info in found))


def _getaddrinfo(host: str, port: int) -> list[aiohappyeyeballs.AddrInfoType]:
    # As bytes: a str would go through the codec for IDNA once more.
    return list(socket.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM))


def _info(address: str, port: int) -> aiohappyeyeballs.AddrInfoType:
    if ":" in address:
        return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)


def _request(url: MediaUrl) -> bytes:
    """The whole request: what a URL can hold was checked when it was read, so nothing can be smuggled in."""
    return (
        f"GET {url.target} HTTP/1.1\r\nHost: {url.authority}\r\nUser-Agent: tollgate\r\nAccept: */*\r\n"
        "Accept-Encoding: identity\r\nConnection: close\r\n\r\n"
    ).encode("ascii")
