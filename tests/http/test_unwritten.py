"""The ground gives way: bills that cannot be written, a database that is gone or another, a disk without room."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import GatewayFault
from gateway.testing import Hold, json_reply, openai_completion, openai_stream, usage
from gateway.testing.upstream import Reply

from .responses_kit import RESPONSES

FINE = openai_completion("Hi", reported=usage(10, 2))
CHARGE = 14


def full() -> GatewayFault:
    return GatewayFault("The disk is full.", status=503, code="database_unavailable")


@contextmanager
def broken(site: Any, *names: str) -> Iterator[None]:
    """These methods of the ledger fail, as with a full disk."""
    ledger = site.running.gateway.stores.ledger

    async def fail(*given: Any, **named: Any) -> Any:
        raise full()

    for name in names:
        setattr(ledger, name, fail)
    try:
        yield
    finally:
        for name in names:
            delattr(ledger, name)


async def written(site: Any) -> None:
    async with asyncio.timeout(30):
        while len(site.running.gateway.ground.unwritten):
            await asyncio.sleep(0.005)


@pytest.fixture
async def quick(site: Any) -> Any:
    """A site that tries again soon, and whose log may hold errors."""
    site.running.gateway.ground.unwritten._pause = 0.01
    site.noisy = True
    return site


@pytest.mark.parametrize("path", ["/v1/chat/completions", RESPONSES, "/v1/messages"])
@pytest.mark.parametrize("stream", [False, True])
async def test_no_answer_ends_well_before_its_bill_is_written(quick: Any, path: str, stream: bool) -> None:
    site = quick
    body = {"input": "Hi"} if path == RESPONSES else {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9}
    body |= {"stream": stream, "model": "fake/model"}
    site.upstream.reply(Reply(openai_stream("Hi", reported=usage(10, 2))) if stream else json_reply(FINE))
    with broken(site, "settle"):
        status, _, raw = await site.running.post(path, body)
        text = raw.decode()
        assert "billing_unavailable" in text or "api_error" in text or "overloaded" in text
        if stream:
            assert "[DONE]" not in text
            assert "message_stop" not in text
            assert "response.completed" not in text
        else:
            assert status == 503
        assert len(site.running.gateway.ground.unwritten) == 1
        ready = await site.get("/readyz")
        assert (ready.status, ready.json["reasons"]) == (503, ["settlements"])
        refused = await site.ask()
        assert (refused.status, refused.error["code"]) == (503, "database_unavailable")
        assert "retry-after" in refused.headers
    await written(site)
    assert await site.spent() == CHARGE, "billed once, as soon as it could be"
    assert (await site.get("/readyz")).status == 200
    site.upstream.reply(json_reply(FINE))
    assert (await site.ask()).status == 200


async def test_the_bill_of_a_caller_who_left_is_kept_too(quick: Any) -> None:
    site = quick
    stay = asyncio.Event()
    site.upstream.reply(Reply([*openai_stream("Hi")[:2], Hold(stay)]))
    with broken(site, "settle"):
        client = await site.begin(stream=True)
        await client.head()
        client.abort()
        async with asyncio.timeout(30):
            while not len(site.running.gateway.ground.unwritten):
                await asyncio.sleep(0.005)
    await written(site)
    assert await site.spent() > 0
    stay.set()


async def test_an_admission_that_cannot_be_written_is_refused_and_leaves_nothing(quick: Any) -> None:
    site = quick
    with broken(site, "hold", "void"):
        refused = await site.ask()
        assert (refused.status, refused.error["code"]) == (503, "database_unavailable")
    await written(site)
    assert await site.spent() == 0
    assert len(site.upstream.requests) == 0


async def test_what_is_still_unwritten_at_the_end_of_the_process_is_in_the_log(quick: Any) -> None:
    site = quick
    site.upstream.reply(json_reply(FINE))
    with broken(site, "settle"):
        await site.ask()
        unwritten = site.running.gateway.ground.unwritten
        await unwritten.stop(0.0, site.running.gateway.log)
        (line,) = [line for line in site.log if line["level"] == "critical"]
        assert (line["charge"], line["basis"]) == (CHARGE, "provider")
    unwritten.add(unwritten._waiting.popleft(), site.running.gateway.log)
    await written(site)
    assert await site.spent() == CHARGE


@pytest.mark.parametrize("what", ["removed", "replaced"])
async def test_a_database_that_is_gone_or_another_takes_no_calls(site: Any, what: str) -> None:
    site.noisy = True
    gateway = site.running.gateway
    path = Path(gateway.stores.describe()["place"])
    aside = path.with_name("aside.db")
    path.rename(aside)
    if what == "replaced":
        shutil.copy(aside, path)
    await gateway.ground.look(gateway.stores, gateway.log)
    refused = await site.ask()
    # Without its file SQLite may not even read any more, so that nobody is let in.
    assert refused.status == 503
    assert refused.error["code"] in ("database_replaced", "database_unavailable")
    ready = await site.get("/readyz")
    assert (ready.status, ready.json["reasons"]) == (503, ["database"])
    assert (await site.get("/healthz")).status == 200
    aside.rename(path)
    await gateway.ground.look(gateway.stores, gateway.log)
    site.upstream.reply(json_reply(FINE))
    assert (await site.ask()).status == 200


async def test_calls_stop_before_the_disk_is_full(serve: Any) -> None:
    site = await serve(database={"min_free": "1000TiB"})
    site.noisy = True
    gateway = site.running.gateway
    await gateway.ground.look(gateway.stores, gateway.log)
    refused = await site.ask()
    assert (refused.status, refused.error["code"]) == (503, "disk_full")
    assert (await site.get("/readyz")).json["reasons"] == ["disk"]
    assert (await site.get("/v1/usage")).status == 200, "what was written can be read"
