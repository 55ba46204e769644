"""The guard: which addresses may be connected to on behalf of strangers, and connecting to exactly those.

A host is resolved once, here; every address is judged (`policy`), and one bad address refuses all. The socket is
connected to a judged address, as numbers, so no second resolution can give another. TLS is verified for the host's
name. No proxy settings of the environment are read.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import aiohappyeyeballs

from gateway.certificates import Certificates
from gateway.config import FetchSettings
from gateway.fetch.download import FetchProblem, failed
from gateway.fetch.policy import NOT_PUBLIC, check_addresses, check_port
from gateway.fetch.urls import MediaUrl, UrlProblem

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""All addresses of a host name, as text. Raises OSError when there are none."""

_Protocol = TypeVar("_Protocol", bound=asyncio.BaseProtocol)

_MOST_ADDRESSES = 8
"""Addresses tried; all are judged."""
_RESOLVERS = 8
"""Threads that wait for DNS: own ones, so that names which never resolve do not hold up the rest of the gateway."""
_NEXT_ADDRESS = 0.25
"""Seconds until the next address is tried beside the first (RFC 8305)."""


class Guard:
    """settings: the `fetch` section; of it `ports`, `allow_hosts` and `connect` count.

    resolve, tls: for tests; by default the system's resolver and certificates.
    """

    def __init__(
        self, settings: FetchSettings, *, resolve: Resolve | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self.settings = settings
        self.resolve = resolve or self.ask_system
        self.certificates = Certificates(tls)
        self._threads = ThreadPoolExecutor(_RESOLVERS, thread_name_prefix="fetch-resolve")

    def close(self) -> None:
        """Let go of the resolving threads; what they still wait for is given up."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def addresses(self, url: MediaUrl, settings: FetchSettings | None = None) -> Sequence[str]:
        """The judged addresses of the URL's host. settings: other ones than the guard's own. Raises FetchProblem."""
        settings = settings or self.settings
        try:
            check_port(settings, url)
        except UrlProblem as problem:
            raise FetchProblem("media_fetch_refused", str(problem)) from None
        addresses: Sequence[str] = [url.host]
        if not url.literal:
            try:
                addresses = await self.resolve(url.host, url.port)
            except OSError as error:
                raise FetchProblem("media_fetch_refused", NOT_PUBLIC, f"{url.host}: {error}") from None
        try:
            check_addresses(settings, url, addresses)
        except UrlProblem as problem:
            detail = f"{url.host}: {', '.join(addresses)}"
            raise FetchProblem("media_fetch_refused", str(problem), detail) from None
        return addresses

    async def open_socket(self, url: MediaUrl, addresses: Sequence[str]) -> socket.socket:
        """A connected TCP socket to one of these addresses, which were judged. Raises FetchProblem."""
        infos = [_info(address, url.port) for address in addresses[:_MOST_ADDRESSES]]
        try:
            return await aiohappyeyeballs.start_connection(
                infos, happy_eyeballs_delay=_NEXT_ADDRESS, interleave=1, loop=asyncio.get_running_loop()
            )
        except TimeoutError:
            raise failed("the server cannot be reached", f"{url.host}: timed out") from None
        except OSError as error:
            raise failed("the server cannot be reached", f"{url.host}: {error}") from None

    async def connect(
        self, url: MediaUrl, addresses: Sequence[str], make: Callable[[], _Protocol]
    ) -> tuple[asyncio.Transport, _Protocol]:
        """A connection to one of these addresses, with TLS where the URL says so. Raises FetchProblem."""
        tls = await self.certificates.context() if url.secure else None
        connected = await self.open_socket(url, addresses)
        try:
            return await asyncio.get_running_loop().create_connection(
                make,
                sock=connected,
                ssl=tls,
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

    async def ask_system(self, host: str, port: int) -> Sequence[str]:
        """The addresses as the operating system knows them."""
        found = await asyncio.get_running_loop().run_in_executor(self._threads, _getaddrinfo, host, port)
        return list(dict.fromkeys(str(info[4][0]) for info in found))


def _getaddrinfo(host: str, port: int) -> list[aiohappyeyeballs.AddrInfoType]:
    # As bytes: a str would go through the codec for IDNA once more.
    return list(socket.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM))


def _info(address: str, port: int) -> aiohappyeyeballs.AddrInfoType:
    if ":" in address:
        return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)
