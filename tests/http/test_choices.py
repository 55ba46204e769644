"""`n` choices from a provider that gives one per request."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.testing import (
    FakeUpstream,
    Hold,
    Reply,
    json_reply,
    openai_completion,
    openai_stream,
    running_gateway,
    upstream_config,
    usage,
)

pytestmark = pytest.mark.usefixtures("keep_to_published_schemas")

ONE_AT_A_TIME = """
from dataclasses import replace

from gateway.api import ProviderKind, hookimpl
from tollgate_openai.provider import OpenAIProvider
from tollgate_openai.settings import OpenAISettings


class Single(OpenAIProvider):
    def profile(self, target):
        return replace(super().profile(target), max_choices=1)


@hookimpl
def register_providers(register):
    register(ProviderKind(kind="single", settings_model=OpenAISettings, create=Single, ready=lambda settings: ""))
"""
ASK = {"messages": [{"role": "user", "content": "hi"}], "n": 3}


def config(fake: FakeUpstream, folder: Path) -> dict[str, Any]:
    (folder / "plugins").mkdir()
    (folder / "plugins" / "single.py").write_text(ONE_AT_A_TIME)
    made = upstream_config(fake.url, plugins={"dir": str(folder / "plugins")})
    made["providers"]["fake"]["plugin"] = "single"
    return made


async def test_whole_answers_are_merged_and_each_is_paid(tmp_path: Path, fake_upstream: FakeUpstream) -> None:
    fake_upstream.queue(*(json_reply(openai_completion(f"answer {k}", reported=usage(10, 5))) for k in range(3)))
    async with running_gateway(tmp_path, config(fake_upstream, tmp_path)) as gateway:
        status, headers, body = await gateway.post("/v1/chat/completions", ASK)
        answer = orjson.loads(body)
        assert status == 200
        assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
        assert {choice["message"]["content"] for choice in answer["choices"]} == {"answer 0", "answer 1", "answer 2"}
        assert (answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]) == (30, 15)
        # 1 credit per input token, 2 per output token.
        assert headers["x-gateway-cost"] == "60"
        assert all("n" not in request.json for request in fake_upstream.requests)
        account = await gateway.gateway.stores.accounts.get_account(gateway.account.id)
        assert account is not None
        assert account.held == 0


async def test_the_prompt_is_held_once_for_each_request(tmp_path: Path, fake_upstream: FakeUpstream) -> None:
    held = []
    async with running_gateway(tmp_path, config(fake_upstream, tmp_path)) as gateway:
        for count in (1, 3):
            go = asyncio.Event()
            answer = json_reply(openai_completion("x", reported=usage(10, 1)))
            fake_upstream.queue(*(Reply([Hold(go), *answer.body], media_type="application/json") for _ in range(count)))
            before = len(fake_upstream.requests)
            asked = asyncio.create_task(gateway.post("/v1/chat/completions", {**ASK, "n": count, "max_tokens": 1}))
            await fake_upstream.wait_for_requests(before + count)
            account = await gateway.gateway.stores.accounts.get_account(gateway.account.id)
            assert account is not None
            held.append(account.held)
            go.set()
            assert (await asked)[0] == 200
    assert held[1] == 3 * held[0], "the upstream reads the prompt, and writes, three times"


async def test_streams_are_interleaved_and_summed(tmp_path: Path, fake_upstream: FakeUpstream) -> None:
    fake_upstream.queue(*(Reply(openai_stream(f"{k}a", f"{k}b", reported=usage(10, 2))) for k in range(3)))
    async with running_gateway(tmp_path, config(fake_upstream, tmp_path)) as gateway:
        status, _, body = await gateway.post("/v1/chat/completions", {**ASK, "stream": True})
        assert status == 200
        *events, done = [line[6:] for line in body.split(b"\n\n") if line]
        assert done == b"[DONE]"
        chunks = [orjson.loads(event) for event in events]
        texts = {0: "", 1: "", 2: ""}
        for chunk in chunks:
            for choice in chunk["choices"]:
                texts[choice["index"]] += choice["delta"].get("content") or ""
        assert set(texts.values()) == {"0a0b", "1a1b", "2a2b"}
        assert [chunk["usage"]["prompt_tokens"] for chunk in chunks if chunk.get("usage")] == [30]
        assert all(chunk["choices"] for chunk in chunks)


@pytest.mark.parametrize("broken", [0, 1, 2])
async def test_one_broken_part_breaks_the_whole(tmp_path: Path, fake_upstream: FakeUpstream, broken: int) -> None:
    replies = [Reply(openai_stream("a", "b")) for _ in range(3)]
    replies[broken] = Reply(openai_stream("a", done=False)[:2])
    fake_upstream.queue(*replies)
    async with running_gateway(tmp_path, config(fake_upstream, tmp_path)) as gateway:
        status, _, body = await gateway.post("/v1/chat/completions", {**ASK, "stream": True})
        assert status == 200
        assert b"[DONE]" not in body
        assert b'"error"' in body
        account = await gateway.gateway.stores.accounts.get_account(gateway.account.id)
        assert account is not None
        assert account.held == 0
