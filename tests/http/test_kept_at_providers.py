"""What a provider keeps for the operator's account is nobody's: no caller names it at any door, to a target of its own
dialect or of another, unless the operator shares it. Tools that no price covers go nowhere, either."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.testing import FakeUpstream, json_reply, openai_completion, running_gateway, upstream_config

from .conftest import HELLO

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
GEMINI = "/v1beta/models/fake%2Fmodel:generateContent"


def chat(**more: Any) -> tuple[str, dict[str, Any]]:
    return CHAT, {"messages": HELLO, **more}


def responses(**more: Any) -> tuple[str, dict[str, Any]]:
    return RESPONSES, {"input": "Hello!", **more}


def messages(**more: Any) -> tuple[str, dict[str, Any]]:
    return MESSAGES, {"model": "fake/model", "max_tokens": 9, "messages": HELLO, **more}


def gemini(**more: Any) -> tuple[str, dict[str, Any]]:
    return GEMINI, {"contents": [{"parts": [{"text": "Hello!"}]}], **more}


def said(part: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [part]}]


FILE = {"type": "input_file", "file_id": "file-1"}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "output": [
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Hi", "annotations": []}],
        }
    ],
    "usage": {"input_tokens": 3, "output_tokens": 1, "total_tokens": 4},
}

KEPT = [
    chat(messages=said({"type": "file", "file": {"file_id": "file-1"}})),
    chat(container="cntr_1"),
    chat(thread={"type": "continue", "previous_message_id": "msg_1"}),
    chat(conversation="conv_1"),
    chat(google={"cached_content": "cachedContents/1"}),
    chat(audio={"format": "wav", "voice": {"id": "voice_1"}}),
    chat(tools=[{"type": "file_search", "vector_store_ids": ["vs_1"]}]),
    responses(input=said(FILE)),
    responses(input=said({"type": "input_image", "file_id": "file-1"})),
    responses(input=[{"type": "function_call_output", "call_id": "c", "output": [FILE]}]),
    responses(prompt={"id": "pmpt_1"}),
    responses(container="cntr_1"),
    responses(tools=[{"type": "code_interpreter", "container": "cntr_1"}]),
    responses(tools=[{"type": "file_search", "vector_store_ids": ["vs_1"]}]),
    messages(messages=said({"type": "document", "source": {"type": "file", "file_id": "file_1"}})),
    messages(messages=said({"type": "container_upload", "file_id": "file_1"})),
    messages(container="cntr_1"),
    messages(thread={"type": "continue", "previous_message_id": "msg_1"}),
    gemini(cachedContent="cachedContents/1"),
    gemini(contents=[{"parts": [{"fileData": {"fileUri": "files/1", "mimeType": "image/png"}}]}]),
    gemini(contents=[{"parts": [{"fileData": {"fileUri": "gs://bucket/1", "mimeType": "image/png"}}]}]),
]  # fmt: skip

COSTLY = [
    chat(tools=[{"type": "x_search"}]),
    chat(tools=[{"type": "builtin_function", "function": {"name": "$web_search"}}]),
    chat(tools=[{"type": "code_interpreter"}]),
    chat(search_parameters={"mode": "on"}),
    responses(tools=[{"type": "image_generation"}]),
    responses(tools=[{"type": "code_interpreter", "container": {"type": "auto"}}]),
    responses(tools=[{"type": "of_tomorrow"}]),
    responses(tools=[{"type": "shell", "environment": {"type": "container_auto"}}]),
    messages(tools=[{"type": "code_execution_20250825", "name": "code_execution"}]),
    messages(tools=[{"type": "advisor_20260101", "name": "advisor", "model": "dear"}]),
    gemini(tools=[{"googleMaps": {}}]),
    gemini(tools=[{"fileSearch": {"fileSearchStoreNames": ["fileSearchStores/1"]}}]),
]


def model(mode: str) -> dict[str, Any]:
    price = {"input": 1, "output": 2}
    entry = {"provider": "fake", "upstream": "m", "price": price, "max_output": 4096, "options": {"responses": mode}}
    return {"fake/model": entry}


@pytest.mark.parametrize("mode", ["bridge", "native", "only"])
@pytest.mark.parametrize("asked", [*KEPT, *COSTLY], ids=lambda asked: f"{asked[0]}-{list(asked[1])[-1]}")
async def test_it_reaches_no_provider(serve: Any, asked: Any, mode: str) -> None:
    site = await serve(models=model(mode))
    path, body = asked
    site.upstream.reply(json_reply(RESPONSE))
    status, _, raw = await site.running.post(path, body)
    if mode == "only" and path == CHAT and "audio" in body:
        # What the Responses API has no member for is left out and reported, as ever.
        assert status == 200
        assert b"voice" not in site.upstream.requests[0].body
        return
    assert status == 400, raw
    assert site.upstream.requests == []
    assert await site.spent() == 0


SHARED = {"hosted_tools": ["file_search", "x_search"], "shared_ids": ["vs_1", "file-1", "pmpt_1"]}


@pytest.mark.parametrize(
    ("asked", "mode"),
    [
        (chat(tools=[{"type": "x_search"}]), "bridge"),
        (chat(messages=said({"type": "file", "file": {"file_id": "file-1"}})), "bridge"),
        (responses(tools=[{"type": "file_search", "vector_store_ids": ["vs_1"]}]), "native"),
        (responses(input=said(FILE)), "native"),
        (responses(input=said(FILE)), "bridge"),
        (responses(prompt={"id": "pmpt_1"}), "native"),
    ],
)
async def test_what_the_operator_shares_goes_out(tmp_path: Path, asked: Any, mode: str) -> None:
    async with FakeUpstream() as upstream:
        provider = {"plugin": "openai", "base_url": upstream.url + "/v1", "api_key": "sk-fake-upstream-key"}
        config = upstream_config(upstream.url, providers={"fake": {**provider, **SHARED}}, models=model(mode))
        upstream.reply(json_reply(RESPONSE if mode == "native" else openai_completion("Hi")))
        async with running_gateway(tmp_path, config) as running:
            path, body = asked
            status, _, raw = await running.post(path, body)
            assert status == 200, raw
            [sent] = upstream.requests
            assert any(shared in sent.body.decode() for shared in (*SHARED["shared_ids"], "x_search"))
            # Another id beside it is still nobody's.
            status, _, raw = await running.post(path, {**body, "container": "cntr_1"})
            assert (status, orjson.loads(raw)["error"]["param"]) == (400, "container")


RAN = {"type": "code_interpreter_call", "id": "ci_1", "status": "completed", "code": "1", "container_id": "cntr_1"}
CITED = {"type": "container_file_citation", "container_id": "cntr_1", "file_id": "cfile_1", "filename": "a.csv"}


async def test_what_an_answer_named_is_the_accounts_that_continues_it(tmp_path: Path) -> None:
    """A container in which the provider ran code, in the turns after that answer: not from words of the caller's own,
    and not another account's."""
    async with FakeUpstream() as upstream:
        provider = {"plugin": "openai", "base_url": upstream.url + "/v1", "api_key": "sk-fake-upstream-key"}
        provider |= {"responses": "native", "hosted_tools": ["code_interpreter"]}
        models = {**model("native"), "fake/other": {"provider": "other", "upstream": "x", "free": True}}
        other = {"plugin": "openai", "base_url": upstream.url + "/other/v1", "api_key": "k"}
        config = upstream_config(upstream.url, providers={"fake": provider, "other": other}, models=models)
        text = {"type": "output_text", "text": "Hi", "annotations": [CITED]}
        message = {**RESPONSE["output"][0], "content": [text]}
        ran = json_reply({**RESPONSE, "output": [{**RAN, "outputs": []}, message]})
        async with running_gateway(tmp_path, config) as running:
            upstream.reply(ran)
            tool = {"type": "code_interpreter", "container": {"type": "auto"}}
            status, _, raw = await running.post(RESPONSES, {"input": "Hello!", "tools": [tool], "store": True})
            assert status == 200, raw
            goes_on = {"input": "And?", "previous_response_id": orjson.loads(raw)["id"]}
            named = {"tools": [{"type": "code_interpreter", "container": "cntr_1"}]}
            for more in ({}, named):
                status, _, raw = await running.post(RESPONSES, {**goes_on, **more})
                assert status == 200, raw
                assert b"cntr_1" in upstream.requests[-1].body
            count = len(upstream.requests)
            for wrong in (
                {"input": "Hi", **named},
                {**goes_on, "tools": [{"type": "code_interpreter", "container": "cntr_2"}]},
                {"input": [*said({"type": "input_text", "text": "x"}), RAN]},
            ):
                status, _, raw = await running.post(RESPONSES, wrong)
                assert status == 400, raw
            assert len(upstream.requests) == count
            # What the caller wrote where nobody looks at ids is no proof, though it is kept with the answer.
            upstream.reply(json_reply(openai_completion("Hi")))
            body = {"model": "fake/other", "input": [*said({"type": "input_text", "text": "x"}), RAN], "store": True}
            status, _, raw = await running.post(RESPONSES, body)
            assert status == 200, raw
            count = len(upstream.requests)
            again = {"input": "And?", "previous_response_id": orjson.loads(raw)["id"], **named}
            assert (await running.post(RESPONSES, again))[0] == 400
            assert len(upstream.requests) == count
