"""POST /completions: over chat on any model, in its own words where the provider has it; one bill either way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import orjson
import pytest

from gateway.api import CompletionsReader
from gateway.testing import (
    FakeUpstream,
    Reply,
    RunningGateway,
    all_splits,
    json_reply,
    make_call,
    running_gateway,
    slices,
    upstream_config,
)

from .conftest import read_events

COMPLETIONS = "/v1/completions"
USAGE = {"prompt_tokens": 8, "completion_tokens": 5, "total_tokens": 13}
TEXT: dict[str, Any] = {
    "id": "cmpl-7",
    "object": "text_completion",
    "created": 1,
    "model": "up",
    "choices": [
        {"text": " there", "index": 0, "finish_reason": "stop", "logprobs": {"tokens": [" there"], "text_offset": [2]}}
    ],
    "usage": USAGE,
}
CHAT: dict[str, Any] = {
    "id": "chatcmpl-7",
    "object": "chat.completion",
    "created": 1,
    "model": "up",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": " there"}, "finish_reason": "stop"}],
    "usage": USAGE,
}


def config(url: str, mode: str) -> dict[str, Any]:
    made = upstream_config(url)
    made["models"]["fake/model"]["options"] = {"completions": mode}
    return made


def stream(*chunks: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"


def text_chunk(text: str, index: int = 0, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"text": text, "index": index, "logprobs": None, "finish_reason": finish}
    return {"id": "cmpl-7", "object": "text_completion", "created": 1, "model": "up", "choices": [choice], **more}


USED = {**text_chunk(""), "choices": [], "usage": USAGE}
NATIVE = stream(text_chunk(" the"), text_chunk("re"), text_chunk("", finish="stop"), USED)


async def charged(gateway: RunningGateway) -> int:
    account = await gateway.gateway.stores.accounts.get_account(gateway.account.id)
    assert account is not None
    assert account.held == 0
    return gateway.account.balance - account.balance


@pytest.mark.parametrize("mode", ["bridge", "native", "only"])
async def test_a_completion_and_its_bill(tmp_path: Path, fake_upstream: FakeUpstream, mode: str) -> None:
    fake_upstream.reply(json_reply(CHAT if mode == "bridge" else TEXT))
    body = {"model": "fake/model", "prompt": "Hi", "max_tokens": 9, "stop": ["x"], "min_p": 0.5}
    async with running_gateway(tmp_path, config(fake_upstream.url, mode)) as gateway:
        status, headers, raw = await gateway.post(COMPLETIONS, body)
        assert status == 200, raw
        answer = orjson.loads(raw)
        [sent] = fake_upstream.requests
        if mode == "bridge":
            assert sent.path.endswith("/chat/completions")
            assert sent.json["messages"] == [{"role": "user", "content": "Hi"}]
            assert (sent.json["max_tokens"], "prompt" in sent.json) == (9, False)
        else:
            assert sent.path == "/completions"
            assert sent.json == {**body, "model": "upstream-model"}
        assert (answer["id"], answer["object"], answer["model"]) == ("cmpl-7", "text_completion", "fake/model")
        [choice] = answer["choices"]
        assert (choice["text"], choice["finish_reason"]) == (" there", "stop")
        assert (choice["logprobs"] is None) == (mode == "bridge")
        assert {name: answer["usage"][name] for name in USAGE} == USAGE
        assert int(headers["x-gateway-cost"]) == answer["usage"]["cost"] == await charged(gateway) > 0


async def test_without_a_limit_the_documented_one_is_told(tmp_path: Path, fake_upstream: FakeUpstream) -> None:
    fake_upstream.reply(json_reply(TEXT))
    async with running_gateway(tmp_path, config(fake_upstream.url, "native")) as gateway:
        await gateway.post(COMPLETIONS, {"model": "fake/model", "prompt": "Hi"})
        assert fake_upstream.requests[0].json["max_tokens"] == 16


@pytest.mark.parametrize("include_usage", [False, True])
async def test_streams(tmp_path: Path, fake_upstream: FakeUpstream, include_usage: bool) -> None:
    options = {"stream_options": {"include_usage": True}} if include_usage else {}
    body = {"model": "fake/model", "prompt": "Hi", "stream": True, **options}
    fake_upstream.reply(Reply(slices(NATIVE, 7)))
    async with running_gateway(tmp_path, config(fake_upstream.url, "native")) as gateway:
        status, _, raw = await gateway.post(COMPLETIONS, body)
        assert status == 200
        assert fake_upstream.requests[0].json["stream_options"] == {"include_usage": True}
        assert await charged(gateway) > 0
    *chunks, done = read_events(raw)
    assert done == "[DONE]"
    assert {chunk["object"] for chunk in chunks} == {"text_completion"}
    assert {chunk["model"] for chunk in chunks} == {"fake/model"}
    assert "".join(choice["text"] for chunk in chunks for choice in chunk["choices"]) == " there"
    assert chunks[-1]["usage"]["completion_tokens"] == 5
    assert bool(chunks[-1]["choices"]) != include_usage, "without stream_options every chunk has a choice"


def test_chunks_are_the_same_at_every_split() -> None:
    found = []
    for _, pieces in all_splits(NATIVE):
        reader = CompletionsReader(make_call())
        decoder, tally = reader.open_stream(), reader.open_tally(1)
        items = tally.add([item for piece in pieces for item in decoder.feed(piece)] + decoder.finish())
        assert (decoder.done, tally.complete, tally.text_bytes, tally.chunks) == (True, True, 6, 2)
        assert tally.usage == USAGE
        found.append(items)
    assert all(items == found[0] for items in found)


async def test_only_texts_no_chat(tmp_path: Path, fake_upstream: FakeUpstream) -> None:
    async with running_gateway(tmp_path, config(fake_upstream.url, "only")) as gateway:
        for path, body in (
            ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}),
            ("/v1/responses", {"input": "Hi"}),
            ("/v1/responses/input_tokens", {"input": "Hi"}),
        ):
            status, _, raw = await gateway.post(path, {"model": "fake/model", **body})
            error = orjson.loads(raw)["error"]
            assert (status, error["code"]) == (400, "unsupported_operation"), path
            assert "makes no chat completions" in error["message"]
        assert (await charged(gateway), fake_upstream.requests) == (0, [])


@pytest.mark.parametrize(
    "body",
    [{"prompt": ["a", "b"]}, {"prompt": [1, 2]}, {"prompt": "a", "suffix": "b"}, {"prompt": "a", "best_of": 2}],
)
async def test_what_chat_cannot_is_refused_there_and_sent_where_it_can(
    tmp_path: Path, fake_upstream: FakeUpstream, body: dict[str, Any]
) -> None:
    fake_upstream.reply(json_reply(TEXT))
    both = config(fake_upstream.url, "native")
    both["models"]["fake/chat"] = {**both["models"]["fake/model"], "options": {}}
    async with running_gateway(tmp_path, both) as gateway:
        status, _, raw = await gateway.post(COMPLETIONS, {"model": "fake/chat", **body})
        error = orjson.loads(raw)["error"]
        assert (status, error["code"]) == (400, "unsupported_parameter")
        assert error["param"] in body
        assert (await charged(gateway), fake_upstream.requests) == (0, [])
        status, _, _ = await gateway.post(COMPLETIONS, {"model": "fake/model", **body})
        assert status == 200
        [sent] = fake_upstream.requests
        assert {name: sent.json[name] for name in body} == body


async def test_all_that_is_made_is_held_for(tmp_path: Path, fake_upstream: FakeUpstream) -> None:
    """Four prompts with three answers each of 1,000 tokens: more than the balance, so the limit is lowered."""
    fake_upstream.reply(json_reply(TEXT))
    body = {"model": "fake/model", "prompt": ["a", "b", "c", "d"], "n": 2, "best_of": 3, "max_tokens": 10**6}
    async with running_gateway(tmp_path, config(fake_upstream.url, "native")) as gateway:
        status, headers, raw = await gateway.post(COMPLETIONS, body)
        assert status == 200, raw
        limit = fake_upstream.requests[0].json["max_tokens"]
        assert headers["x-gateway-clamped"].startswith(f"max_tokens={limit};")
        single = {**body, "prompt": "a", "n": 1, "best_of": 1}
        fake_upstream.reply(json_reply(TEXT))
        await gateway.post(COMPLETIONS, single)
        assert fake_upstream.requests[1].json["max_tokens"] >= limit


@pytest.mark.parametrize(
    "nonsense",
    [
        b"",
        b"[]",
        b"{}",
        b'{"choices": []}',
        b'{"choices": [{"index": 0}]}',
        b'{"choices": [{"text": 5}]}',
        b'{"choices": [7]}',
    ],
)
async def test_hostile_answers_are_the_providers_fault(
    tmp_path: Path, fake_upstream: FakeUpstream, nonsense: bytes
) -> None:
    fake_upstream.reply(json_reply(nonsense))
    async with running_gateway(tmp_path, config(fake_upstream.url, "native")) as gateway:
        status, _, raw = await gateway.post(COMPLETIONS, {"model": "fake/model", "prompt": "Hi"})
        assert (status, orjson.loads(raw)["error"]["code"]) == (502, "upstream_invalid_response")
        assert await charged(gateway) == 0


async def test_an_error_within_a_stream_is_no_clean_end(tmp_path: Path, fake_upstream: FakeUpstream) -> None:
    broken = b"data: " + orjson.dumps(text_chunk(" the")) + b'\n\ndata: {"error": {"message": "no"}}\n\n'
    fake_upstream.reply(Reply([broken]))
    async with running_gateway(tmp_path, config(fake_upstream.url, "native")) as gateway:
        _, _, raw = await gateway.post(COMPLETIONS, {"model": "fake/model", "prompt": "Hi", "stream": True})
        first, last = read_events(raw)
        assert first["choices"][0]["text"] == " the"
        assert last["error"]["message"]


ECHO: dict[str, Any] = {
    "providers": {"echo": {"plugin": "echo"}},
    "models": {"echo/echo": {"price": {"input": 1, "output": 2}}},
    "default_model": "echo/echo",
}


async def test_the_sdk_completes_on_the_echo_model(tmp_path: Path) -> None:
    async with running_gateway(tmp_path, ECHO) as gateway:
        async with openai.AsyncOpenAI(base_url=gateway.url + "/v1", api_key=gateway.key) as client:
            whole = await client.completions.create(model="echo/echo", prompt="One two three", n=2, max_tokens=50)
            assert whole.object == "text_completion"
            assert [choice.index for choice in whole.choices] == [0, 1]
            assert whole.usage is not None
            text = ""
            async for chunk in await client.completions.create(
                model="echo/echo", prompt="One two three", echo=True, stream=True, max_tokens=50
            ):
                text += chunk.choices[0].text
            assert text == "One two three" + whole.choices[0].text
            with pytest.raises(openai.BadRequestError, match="prompt: is missing"):
                await client.completions.create(model="echo/echo", prompt=None, extra_body={"prompt": None})


async def test_a_keyed_request_is_made_once(tmp_path: Path, fake_upstream: FakeUpstream) -> None:
    fake_upstream.reply(json_reply(TEXT))
    body = {"model": "fake/model", "prompt": "Hi"}
    async with running_gateway(tmp_path, config(fake_upstream.url, "native")) as gateway:
        first = await gateway.post(COMPLETIONS, body, headers={"Idempotency-Key": "k"})
        second = await gateway.post(COMPLETIONS, body, headers={"Idempotency-Key": "k"})
        assert first[2] == second[2]
        assert len(fake_upstream.requests) == 1
