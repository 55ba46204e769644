"""The guardrail and the usage sink of docs/plugin-examples.md, in a running gateway, in every dialect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.testing import (
    FakeUpstream,
    Received,
    Reply,
    json_reply,
    openai_completion,
    openai_stream,
    running_gateway,
    upstream_config,
    usage,
)

from .conftest import ROOT
from .test_docs import code_blocks

SECRET = "ada.lovelace@example.org"
ASKED = f"Write to {SECRET} now."
PIECES = ("Write", " to ada.love", "lace@exam", "ple.org", " soon", ".")

GEMINI = "/v1beta/models/fake%2Fmodel"


def bodies(text: str) -> dict[str, dict[str, Any]]:
    turns = [{"role": "user", "content": text}]
    contents = {"contents": [{"role": "user", "parts": [{"text": text}]}]}
    return {
        "/v1/chat/completions": {"messages": turns},
        "/v1/responses": {"input": text},
        "/v1/messages": {"model": "fake/model", "max_tokens": 50, "messages": turns},
        f"{GEMINI}:generateContent": contents,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "plugins"
    place.mkdir()
    guardrail, sink = code_blocks((ROOT / "docs/plugin-examples.md").read_text(), "python")
    (place / "guardrail.py").write_text(guardrail)
    (place / "usage_sink.py").write_text(sink)
    return place


def configuration(upstream: str, folder: Path) -> dict[str, Any]:
    return upstream_config(
        upstream + "/v1",
        plugins={"dir": str(folder)},
        guardrail={"forbidden": ["swordfish"]},
        pipeline=["usage_sink", "auth", "model_allow_list", "rate_limit", "quota", "routing", "usage_log"],
        usage_sink={"file": str(folder / "usage.jsonl")},
    )


def answer(received: Received) -> Reply:
    told = usage(20, 10)
    if received.json.get("stream"):
        return Reply(openai_stream(*PIECES, reported=told))
    return json_reply(openai_completion("".join(PIECES), reported=told))


@pytest.mark.parametrize("path", bodies(""))
@pytest.mark.parametrize("stream", [False, True])
async def test_the_guardrail_hides_in_both_directions(
    tmp_path: Path, folder: Path, fake_upstream: FakeUpstream, path: str, stream: bool
) -> None:
    fake_upstream.answer(answer)
    body = bodies(ASKED)[path]
    if stream and path.startswith(GEMINI):
        path = f"{GEMINI}:streamGenerateContent?alt=sse"
    elif stream:
        body = {**body, "stream": True}
    async with running_gateway(tmp_path, configuration(fake_upstream.url, folder)) as gateway:
        status, _, raw = await gateway.post(path, body)
        assert status == 200, raw
        assert b"Write to [address] now." in fake_upstream.requests[0].body
        assert b"[address]" in raw
        for part in (b"lovelace", b"lace@", b"example.org"):
            assert part not in raw
        status, _, raw = await gateway.post(path, orjson.loads(orjson.dumps(body).replace(b"now", b"SwordFish")))
        assert (status, b"forbidden" in raw) == (403, True)
        assert len(fake_upstream.requests) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": ASKED}),
        ("/v1/embeddings", {"input": [ASKED]}),
        ("/v1/images/generations", {"prompt": ASKED}),
        ("/v1/audio/speech", {"input": "Hi", "voice": "alloy", "instructions": ASKED}),
        ("/v1/moderations", {"input": [{"type": "text", "text": ASKED}]}),
        ("/v1/rerank", {"query": "Who?", "documents": ["a", {"text": ASKED}]}),
    ],
)
async def test_what_is_no_conversation_is_guarded_too(
    tmp_path: Path, folder: Path, fake_upstream: FakeUpstream, path: str, body: dict[str, Any]
) -> None:
    """What the upstream says to that is no answer to it, and does not matter."""
    fake_upstream.answer(answer)
    config = configuration(fake_upstream.url, folder)
    every = ["chat", "embeddings", "images", "speech", "moderations", "rerank"]
    config["models"]["fake/all"] = {"provider": "fake", "upstream": "all", "free": True, "operations": every}
    async with running_gateway(tmp_path, config) as gateway:
        await gateway.post(path, {"model": "fake/all", **body})
        sent = b"".join(received.body for received in fake_upstream.requests)
        assert b"Write to [address] now." in sent
        status, _, raw = await gateway.post(
            path, orjson.loads(orjson.dumps({"model": "fake/all", **body}).replace(b"now", b"SwordFish"))
        )
        assert (status, b"forbidden" in raw) == (403, True)


async def test_a_stored_answer_is_hidden_too(tmp_path: Path, folder: Path, fake_upstream: FakeUpstream) -> None:
    fake_upstream.answer(answer)
    async with running_gateway(tmp_path, configuration(fake_upstream.url, folder)) as gateway:
        made = orjson.loads((await gateway.post("/v1/responses", {"input": ASKED, "store": True}))[2])
        _, _, raw = await gateway.get(f"/v1/responses/{made['id']}")
        assert b"[address]" in raw
        assert b"lovelace" not in raw.replace(ASKED.encode(), b"")


async def test_the_sink_gets_a_line_for_each_call(tmp_path: Path, folder: Path, fake_upstream: FakeUpstream) -> None:
    fake_upstream.answer(answer)
    async with running_gateway(tmp_path, configuration(fake_upstream.url, folder)) as gateway:
        for path, body in bodies("Hi").items():
            assert (await gateway.post(path, body))[0] == 200
        await gateway.post("/v1/explain", {"body": {"messages": [{"role": "user", "content": "Hi"}]}})
    rows = [orjson.loads(line) for line in (folder / "usage.jsonl").read_bytes().splitlines()]
    assert [(row["status"], row["input"], row["output"]) for row in rows] == [(200, 20, 10)] * 4
    assert {row["target"] for row in rows} == {"fake/model"}
    assert all(row["cost"] > 0 for row in rows)
