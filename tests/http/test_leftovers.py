"""An answered call is gone at once: nothing of it waits for the collector of cycles, which then has little to do."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from gateway.testing import Reply, json_reply, openai_completion, openai_stream

ROOMS = ("gateway.call", "gateway.runner", "gateway.upstream", "gateway.http", "gateway.wire", "gateway.builtin")


@pytest.fixture
def leftovers() -> Any:
    """Says which objects of a call only the collector would find."""

    def found() -> Counter[str]:
        gc.collect()
        kinds = [type(one) for one in gc.garbage]
        gc.garbage.clear()
        gc.set_debug(0)
        gc.collect()  # or the next look finds them again
        gc.set_debug(gc.DEBUG_SAVEALL)
        return Counter(f"{kind.__module__}.{kind.__name__}" for kind in kinds if kind.__module__.startswith(ROOMS))

    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    yield found
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


@pytest.mark.parametrize("framing", ["chunked", "close"])
@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_leaves_no_cycles(site: Any, stream: bool, framing: Any, leftovers: Any) -> None:
    """Nor does the connection that ends with it."""
    reply = Reply(openai_stream("Hello you")) if stream else json_reply(openai_completion("Hi"))
    site.upstream.reply(replace(reply, framing=framing))
    assert (await site.ask(stream=stream)).status == 200
    await site.rest()
    await asyncio.sleep(0)
    leftovers()  # of the first call, which makes what stays
    for _ in range(3):
        assert (await site.ask(stream=stream)).status == 200
    await site.rest()
    await asyncio.sleep(0)
    assert leftovers() == {}
