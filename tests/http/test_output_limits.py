"""Upstreams that ignore the output limit: cut at every door, billed as if they had kept it, and told of."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.testing import Reply, Stall, chunk, json_reply, openai_completion, sse, usage
from gateway.wire.tokens import estimate_input_tokens

from .conftest import HELLO
from .test_logged_text import DOORS

INPUT = estimate_input_tokens({"messages": HELLO})
LIMIT = 50
WORD = "word"
NATIVE = {"options": {"responses": "native"}}


def limited(door: str) -> tuple[str, dict[str, Any]]:
    _, body, path = DOORS[door]
    more: dict[str, Any] = {"stream": True}
    if door == "gemini":
        more = {"generationConfig": {"maxOutputTokens": LIMIT}}
    elif door == "responses":
        more["max_output_tokens"] = LIMIT
    else:
        more["max_tokens"] = LIMIT
    return path, {**body, **more}


def model(mode: str) -> dict[str, Any]:
    price = {"input": 1, "output": 2}
    return {"fake/model": {"provider": "fake", "upstream": "u", "price": price, "options": {"responses": mode}}}


def words(count: int, mode: str = "bridge") -> list[bytes]:
    if mode == "bridge":
        return [sse(chunk({"content": WORD})) for _ in range(count)]
    made = {"type": "response.created", "response": {"id": "r", "object": "response", "status": "in_progress"}}
    delta = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "item_id": "m", "delta": WORD}
    return [sse(made), *[sse(delta) for _ in range(count)]]


@pytest.mark.parametrize("step", [None, 20])
@pytest.mark.parametrize(("door", "mode"), [*[(door, "bridge") for door in DOORS], ("responses", "native")])
async def test_a_stream_ends_at_its_limit(serve: Any, door: str, mode: str, step: int | None) -> None:
    site = await serve(models=model(mode), credits={"hold_step": step})
    site.upstream.reply(Reply([*words(2_000, mode), Stall()]))
    path, body = limited(door)
    status, _, raw = await site.running.post(path, body)
    assert status == 200, raw
    assert LIMIT <= raw.decode().count(f'"{WORD}"') <= LIMIT + 9
    ending = {"responses": "response.incomplete", "messages": "max_tokens", "gemini": "MAX_TOKENS", "chat": "length"}
    assert ending[door] in raw.decode()
    row = await site.row()
    assert (row.row.status, row.row.basis, row.row.usage.completion_tokens) == (200, "estimated", LIMIT)
    assert await site.spent() == row.credits == INPUT + 2 * LIMIT
    told = [line for line in site.log if "output limit" in line["message"]]
    assert [line["level"] for line in told] == ["warning"]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("door", "mode"), [*[(door, "bridge") for door in DOORS], ("responses", "native")])
async def test_a_whole_answer_ends_at_its_limit(serve: Any, door: str, mode: str, streamed: bool) -> None:
    """Also where a stream was asked for."""
    site = await serve(models=model(mode))
    text = WORD * 2_000
    answer = openai_completion(text, reported=usage(10, 3_000))
    if mode == "native":
        part = {"type": "output_text", "text": text, "annotations": []}
        answer = {
            "id": "r", "object": "response", "status": "completed", "output_text": text,
            "output": [{"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [part]}],
            "usage": {"input_tokens": 10, "output_tokens": 3_000, "total_tokens": 3_010},
        }  # fmt: skip
    site.upstream.reply(json_reply(answer))
    path, body = limited(door)
    if not streamed:
        path = DOORS[door][0]
        body.pop("stream", None)
    status, _, raw = await site.running.post(path, body)
    # The events of Responses say each text several times over.
    said = LIMIT * (5 if streamed and door == "responses" else 1)
    assert (status, raw.decode().count(WORD)) == (200, said), raw
    ending = {"responses": "max_output_tokens", "messages": "max_tokens", "gemini": "MAX_TOKENS", "chat": "length"}
    assert f'"{ending[door]}"' in raw.decode()
    row = await site.row()
    assert (row.row.status, row.row.basis, row.row.usage.completion_tokens) == (200, "estimated", LIMIT)
    assert await site.spent() == row.credits == 10 + 2 * LIMIT
    assert len([line for line in site.log if "output limit" in line["message"] and line["level"] == "warning"]) == 1


async def test_a_clamped_answer_costs_what_was_held_whatever_its_provider_tells(serve: Any) -> None:
    """The balance pays for some tokens; the provider writes, and tells of, many more."""
    site = await serve(models=model("bridge"), credits={"hold_step": None})
    ledger = site.running.gateway.stores.ledger
    for stream in (False, True):
        key = await site.running.new_key(credits=400)
        if stream:
            site.upstream.reply(Reply([*words(40), sse(chunk({}, finish="stop", usage=usage(10, 3_000)))]))
        else:
            site.upstream.reply(json_reply(openai_completion("long", reported=usage(10, 3_000))))
        answer = await site.ask(key=key, stream=stream)
        assert answer.headers["x-gateway-clamped"].endswith("reason=credits")
        await site.rest()
        row = (await site.rows())[-1]
        account = await site.running.gateway.stores.accounts.get_account(row.row.account_id)
        assert (account.balance >= 0, account.held) == (True, 0)
        charge, disputed = (await ledger.entries(account.id))[-2:]
        assert (charge.kind, -charge.amount) == ("charge", row.credits)
        assert (disputed.kind, disputed.amount, disputed.note) == ("overrun", 0, "disputed usage")
        assert disputed.unpaid == 10 + 2 * 3_000 - row.credits


@pytest.mark.parametrize("door", [door for door in DOORS if door != "gemini"])
@pytest.mark.parametrize("most", [2**53, 10**18, 10**30])
async def test_a_limit_beyond_all_credits_is_held_for_as_the_balance_allows(serve: Any, door: str, most: int) -> None:
    """Of a model whose own limit is not known."""
    site = await serve(models={"fake/model": {"provider": "fake", "upstream": "u", "price": {"input": 1, "output": 2}}})
    site.upstream.reply(json_reply(openai_completion("short", reported=usage(10, 1))))
    path, body, _ = DOORS[door]
    name = "max_output_tokens" if door == "responses" else "max_tokens"
    status, headers, raw = await site.running.post(path, json.dumps({**body, name: most}).encode())
    if status == 400:
        assert name.encode() in raw
        return
    assert (status, "reason=credits" in headers["x-gateway-clamped"]) == (200, True), raw
    assert await site.spent() == 12
