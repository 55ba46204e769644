"""Ends of calls that could not be written, without a gateway: kept in order, and tried again until they are."""

from __future__ import annotations

import asyncio
import io
from typing import Any

from gateway.api import GatewayFault, Outcome, Usage
from gateway.logs import make_logger
from gateway.pipeline import Unfinished
from gateway.runner.unwritten import Unwritten
from gateway.testing import make_call
from gateway.wire.redact import Redactor


class Store:
    """Fails as often as `failures` says; notes what was written."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.tries: list[str] = []
        self.written: list[str] = []

    def end(self, name: str) -> Unfinished:
        async def write(call: Any, outcome: Any) -> None:
            self.tries.append(name)
            if self.failures:
                self.failures -= 1
                raise GatewayFault("full", status=503)
            self.written.append(name)

        call = make_call({"messages": []}, id=name)
        return Unfinished(call, Outcome(200, Usage(), "provider"), GatewayFault("full", status=503), [write])


def log() -> Any:
    return make_logger("test", level="info", style="json", redact=Redactor(), stream=io.StringIO())


async def test_they_are_written_in_order_and_not_beyond_the_first_that_fails() -> None:
    store, unwritten, told = Store(2), Unwritten(pause=0.0), log()
    for name in ("a", "b"):
        unwritten.add(store.end(name), told)
    async with asyncio.timeout(30):
        while len(unwritten):
            await asyncio.sleep(0)
    assert store.written == ["a", "b"]
    assert store.tries == ["a", "a", "a", "b"]


async def test_the_end_of_the_process_waits_a_while_and_keeps_what_is_left() -> None:
    store, unwritten, told = Store(10**9), Unwritten(pause=0.0), log()
    unwritten.add(store.end("a"), told)
    await unwritten.stop(0.01, told)
    assert len(unwritten) == 1
    store.failures = 0
    unwritten.add(store.end("b"), told)
    await unwritten.stop(5.0, told)
    assert (len(unwritten), store.written) == (0, ["a", "b"])
