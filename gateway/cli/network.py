"""Requests of commands to upstreams, over the gateway's own transport but without a gateway."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from gateway.config import Config
from gateway.provider import UpstreamReply, UpstreamRequest
from gateway.upstream.stream_pump import WholeReply
from gateway.upstream.timeouts import Limits
from gateway.upstream.transports import make_transport


class Exchanging(Protocol):
    """Sends one request, and waits for the whole answer: at most so many seconds and bytes. Raises UpstreamFault."""

    async def __call__(self, request: UpstreamRequest, *, seconds: float, most: int) -> UpstreamReply: ...


@asynccontextmanager
async def exchanging(config: Config, log: logging.Logger) -> AsyncIterator[Exchanging]:
    """What sends requests by the section `upstream` of a configuration."""
    transport = make_transport(config, log)

    async def exchange(request: UpstreamRequest, *, seconds: float, most: int) -> UpstreamReply:
        limits = Limits(first_byte=seconds, idle=seconds, total=seconds, max_reply=most, max_event=most)
        sink = WholeReply(limits, asyncio.get_running_loop().time() + seconds)
        try:
            sink.exchange = transport.send(request, sink)
            return await sink.result
        finally:
            sink.close()

    try:
        yield exchange
    finally:
        await transport.close()
