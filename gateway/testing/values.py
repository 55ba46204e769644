"""Calls, targets and sinks for tests of plugins."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from gateway.call import Call, Target
from gateway.errors import Fault
from gateway.testing.upstream import PATIENCE

HELLO: dict[str, Any] = {"model": "test/model", "messages": [{"role": "user", "content": "Hello!"}]}


def make_target(upstream: str = "model", **more: Any) -> Target:
    """A free target; keyword arguments are `Target`'s."""
    return Target(**{"model": f"test/{upstream}", "provider": "test", "upstream": upstream, "free": True, **more})


def make_call(body: dict[str, Any] | None = None, **more: Any) -> Call:
    """A chat call as the gateway would make it of `body` (default: `HELLO`); `stream` follows the body.
    Keyword arguments are `Call`'s."""
    body = HELLO if body is None else body
    values: dict[str, Any] = {
        "id": "req_test",
        "route": "/chat/completions",
        "dialect": "chat",
        "body": body,
        "model": body.get("model", "test/model"),
        "stream": body.get("stream") is True,
        "headers": {},
        "authorization": "",
        "remote": "127.0.0.1",
        "started": 0.0,
        "created": 1_750_000_000,
    }
    return Call(**{**values, **more})


class CollectingSink:
    """A sink that keeps what a transport delivers. Await `wait` for the end."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.headers: Mapping[str, str] = {}
        self.chunks: list[bytes] = []
        self.fault: Fault | None = None
        self.ended = False
        self._end = asyncio.Event()

    @property
    def body(self) -> bytes:
        """Everything received so far."""
        return b"".join(self.chunks)

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        assert self.status is None, "head came twice"
        assert not self.ended, "head came after the end"
        self.status, self.headers = status, headers

    def data(self, chunk: bytes) -> None:
        assert self.status is not None, "data came before the head"
        assert not self.ended, "data came after the end"
        self.chunks.append(chunk)

    def end(self, fault: Fault | None) -> None:
        assert not self.ended, "the end came twice"
        self.ended, self.fault = True, fault
        self._end.set()

    async def wait(self, within: float = PATIENCE) -> None:
        """Until the end came. Raises TimeoutError."""
        async with asyncio.timeout(within):
            await self._end.wait()
