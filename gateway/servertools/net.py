"""The network of a tool: the gateway's own connections for services of the operator, the guard for everything else."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from gateway.fetch import PageFetcher
from gateway.provider import UpstreamReply, UpstreamRequest
from gateway.tools import Document


class Exchange(Protocol):
    """Sends one request over the upstream connections; see `gateway.runtime.Runtime.exchange`."""

    def __call__(self, request: UpstreamRequest, *, seconds: float, most: int) -> Awaitable[UpstreamReply]: ...


class ToolNet:
    """Implements `gateway.tools.Net`. seconds, most: limits of one exchange, in seconds and bytes."""

    def __init__(self, exchange: Exchange, fetcher: PageFetcher, *, seconds: float, most: int) -> None:
        self._exchange = exchange
        self._fetcher = fetcher
        self._seconds = seconds
        self._most = most

    async def exchange(self, request: UpstreamRequest) -> UpstreamReply:
        """Send one request to a service that the operator configured, and wait for its whole answer, whatever its
        status."""
        return await self._exchange(request, seconds=self._seconds, most=self._most)

    async def fetch(self, url: str) -> Document:
        """GET a page of the public internet through the guard."""
        return await self._fetcher.fetch(url)
