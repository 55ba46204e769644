"""What works for callers beside the way of their model calls needs of the process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

from gateway.errors import Fault
from gateway.stores import Stores

T = TypeVar("T")


class Host(Protocol):
    """What the process gives."""

    @property
    def stores(self) -> Stores: ...

    @property
    def log(self) -> logging.Logger: ...

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]: ...


async def outlive(host: Host, work: Callable[[], Awaitable[T]], name: str) -> T:
    """What `work` gives, or the Fault that it raises. It goes on when whoever waits for it leaves."""
    ends: list[T | Fault] = []

    async def run() -> None:
        try:
            ends.append(await work())
        except Fault as fault:
            ends.append(fault)

    await asyncio.shield(host.spawn(run(), name))
    [end] = ends
    if isinstance(end, Fault):
        raise end
    return end
