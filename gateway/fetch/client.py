"""Fetching media from addresses that strangers name, without becoming their way into the operator's network.

Each step has one rule. The URL is read once (`urls`). Its host is resolved once, judged, and connected to as judged
(`guard`). A redirect begins all of this anew. Each request has a connection of its own; nothing of the caller's
request, no credentials and no cookies go along. Time, size, redirects and the number of parallel fetches are bounded.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass

from gateway.config import FetchSettings
from gateway.errors import CallerFault, GatewayFault
from gateway.fetch.download import Allowance, Answer, Download, FetchProblem, failed
from gateway.fetch.guard import Guard, Resolve
from gateway.fetch.urls import MediaUrl, UrlProblem, follow, parse_url
from gateway.wire.validators import printable


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
        self.guard = Guard(settings, resolve=resolve, tls=tls)
        self._slots = asyncio.Semaphore(settings.concurrency)

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
        self.guard.close()

    async def _follow(self, text: str, allowance: Allowance) -> Media:
        url = parse_url(text)
        for _ in range(self.settings.max_redirects + 1):
            answer = await self._get(url, allowance)
            if answer.location is None:
                return Media(answer.media_type, answer.data)
            url = follow(url, answer.location)
        raise failed(f"more than {self.settings.max_redirects} redirects (`fetch.max_redirects`)")

    async def _get(self, url: MediaUrl, allowance: Allowance) -> Answer:
        transport: asyncio.Transport | None = None
        try:
            async with asyncio.timeout(self.settings.connect):
                addresses = await self.guard.addresses(url)
                transport, download = await self.guard.connect(
                    url, addresses, lambda: Download(self.settings.max_size, allowance)
                )
        except TimeoutError:
            raise failed(f"connecting took longer than {self.settings.connect:g} s (`fetch.connect`)") from None
        try:
            transport.write(request_bytes(url))
            return await download.result
        finally:
            transport.abort()


def request_bytes(url: MediaUrl) -> bytes:
    """The whole request: what a URL can hold was checked when it was read, so nothing can be smuggled in."""
    return (
        f"GET {url.target} HTTP/1.1\r\nHost: {url.authority}\r\nUser-Agent: tollgate\r\nAccept: */*\r\n"
        "Accept-Encoding: identity\r\nConnection: close\r\n\r\n"
    ).encode("ascii")
