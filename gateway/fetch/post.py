"""POST through the guard, for addresses that an operator names and that may be wrong: of the answer only the status."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping

import httptools

from gateway.config import FetchSettings
from gateway.fetch.download import MAX_HEAD, FetchProblem, failed
from gateway.fetch.guard import Guard, Resolve
from gateway.fetch.urls import UrlProblem, parse_url


class GuardedPost:
    """Sends notices. settings: of it `ports`, `allow_hosts`, `connect` and `timeout` count. resolve, tls: for tests."""

    def __init__(
        self, settings: FetchSettings, *, resolve: Resolve | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self._settings = settings
        self._guard = Guard(settings, resolve=resolve, tls=tls)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """The status of the answer; redirects are not followed. headers: lower-case names, one line each. Raises
        FetchProblem when there was no answer within the limits, or the address is not allowed."""
        try:
            parsed = parse_url(url)
            async with asyncio.timeout(self._settings.timeout):
                addresses = await self._guard.addresses(parsed)
                transport, reader = await self._guard.connect(parsed, addresses, _StatusReader)
                try:
                    lines = [f"POST {parsed.target} HTTP/1.1", f"host: {parsed.authority}", "connection: close"]
                    lines += [f"{name}: {value}" for name, value in headers.items()]
                    lines.append(f"content-length: {len(body)}")
                    transport.write("\r\n".join([*lines, "", ""]).encode("ascii") + body)
                    return await reader.status
                finally:
                    transport.abort()
        except UrlProblem as problem:
            raise FetchProblem("media_fetch_refused", str(problem)) from None
        except TimeoutError:
            raise failed(f"there was no answer within {self._settings.timeout:g} s") from None

    def close(self) -> None:
        """Let go of the resolving threads."""
        self._guard.close()


class _StatusReader(asyncio.Protocol):
    """Reads an answer up to its status."""

    def __init__(self) -> None:
        self.status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        # Looked at, so that the loop does not complain when the waiting task was cancelled meanwhile.
        self.status.add_done_callback(lambda found: found.cancelled() or found.exception())
        self._parser = httptools.HttpResponseParser(self)
        self._size = 0

    def data_received(self, data: bytes) -> None:
        if self.status.done():
            return
        self._size += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not self.status.done():
                self.status.set_exception(failed("the server's answer is not valid HTTP"))
        if not self.status.done() and self._size > MAX_HEAD:
            self.status.set_exception(failed("the head of the server's answer is too large"))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.status.done():
            self.status.set_exception(failed("the connection broke before there was an answer", str(exc or "")))

    def on_headers_complete(self) -> None:
        code = self._parser.get_status_code()
        if code >= 200 and not self.status.done():
            self.status.set_result(code)
