"""Fetching web pages for models: the same guard as for media, other content. What is too long is cut, not refused."""

from __future__ import annotations

import asyncio
import re
import ssl

from gateway.config import FetchSettings
from gateway.fetch.client import request_bytes
from gateway.fetch.download import Allowance, Answer, Download, FetchProblem, failed
from gateway.fetch.guard import Guard, Resolve
from gateway.fetch.urls import MediaUrl, UrlProblem, follow, parse_url
from gateway.tools import Document, ToolFault

_CHARSET = re.compile(r"charset\s*=\s*\"?([A-Za-z0-9._:-]{1,40})", re.ASCII)


class PageFetcher:
    """Fetches pages. settings: the `fetch` section, of which addresses, ports, redirects and `connect` count, whether
    or not it is enabled for media. most: bytes of one page. concurrency: pages at the same time, of all callers."""

    def __init__(
        self,
        settings: FetchSettings,
        most: int,
        *,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.guard = Guard(settings, resolve=resolve, tls=tls)
        self._settings = settings
        self._most = most
        self._slots = asyncio.Semaphore(settings.concurrency)

    def close(self) -> None:
        """Let go of the resolving threads; what they still wait for is given up."""
        self.guard.close()

    async def fetch(self, url: str) -> Document:
        """See `gateway.tools.Net.fetch`. Takes as long as it takes: time limits are the caller's. Redirects lead from
        https to https only."""
        try:
            async with self._slots:
                return await self._follow(parse_url(url))
        except UrlProblem as problem:
            raise ToolFault(f"The page was not fetched: {problem}.") from None
        except FetchProblem as problem:
            raise ToolFault(f"The page was not fetched: {problem.text}.", problem.detail) from None

    async def _follow(self, url: MediaUrl) -> Document:
        for _ in range(self._settings.max_redirects + 1):
            answer, download = await self._get(url)
            if answer.location is None:
                charset = _CHARSET.search(download.content_type)
                kind = answer.media_type
                return Document(str(url), kind, answer.data, charset[1] if charset else "", download.truncated)
            url = follow(url, answer.location)
        raise failed(f"more than {self._settings.max_redirects} redirects")

    async def _get(self, url: MediaUrl) -> tuple[Answer, PageDownload]:
        try:
            async with asyncio.timeout(self._settings.connect):
                addresses = await self.guard.addresses(url)
                transport, download = await self.guard.connect(url, addresses, lambda: PageDownload(self._most))
        except TimeoutError:
            raise failed(f"connecting took longer than {self._settings.connect:g} s") from None
        try:
            transport.write(request_bytes(url))
            return await download.result, download
        finally:
            transport.abort()


class PageDownload(Download):
    """Receives a page of any type, at most so many bytes of it."""

    def __init__(self, most: int) -> None:
        super().__init__(most, Allowance(most, most))
        self.truncated = False

    @property
    def content_type(self) -> str:
        """The header's value."""
        return self._headers.get("content-type", "")

    def on_body(self, body: bytes) -> None:
        """What is beyond the limit is not waited for."""
        if self.result.done() or not self._status:
            return
        self._body.append(body)
        self._size += len(body)
        if self._size > self._most:
            self.truncated = True
            data = b"".join(self._body)[: self._most]
            self._succeed(Answer(media_type=self._media_type(), data=data))

    def _check_size(self, size: int) -> None:
        """A page that says it is large is read as far as wanted."""

    def _media_type(self) -> str:
        return self.content_type.partition(";")[0].strip().lower()
