"""`top_k` of every door reaches the providers that have a word for it, and is told as left out by the others."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.testing import FakeUpstream, Received, Reply, json_reply, openai_completion

HELLO: list[dict[str, str]] = [{"role": "user", "content": "Hi"}]
DOORS: dict[str, tuple[str, dict[str, Any], str]] = {
    "chat": ("/v1/chat/completions", {"messages": HELLO, "top_k": 50}, "top_k"),
    "responses": ("/v1/responses", {"input": "Hi", "top_k": 50}, "top_k"),
    "messages": ("/v1/messages", {"messages": HELLO, "max_tokens": 50, "top_k": 50}, "top_k"),
    "google": (
        "/v1beta/models/{model}:generateContent",
        {"contents": [{"parts": [{"text": "Hi"}]}], "generationConfig": {"topK": 50.0}},
        "generationConfig.topK",
    ),
}
MODELS = {
    "anthropic/claude-haiku-4-5": lambda body: body.get("top_k"),
    "google/gemini-2.5-flash": lambda body: body["generationConfig"].get("topK"),
    "google/gemini-2.0-flash": lambda body: body["generationConfig"].get("topK"),
    "openai/m": lambda body: body.get("top_k"),
    "mistral/m": lambda body: body.get("top_k"),
    "only/m": lambda body: body.get("top_k"),
}


def answer(received: Received) -> Reply:
    usage = {"input_tokens": 1, "output_tokens": 1}
    if received.path.endswith("/messages"):
        text = [{"type": "text", "text": "Hi"}]
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": text}
        return json_reply({**message, "stop_reason": "end_turn", "usage": usage})
    if received.path.endswith(":generateContent"):
        content = {"role": "model", "parts": [{"text": "Hi"}]}
        counts = {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}
        return json_reply({"candidates": [{"content": content, "finishReason": "STOP"}], "usageMetadata": counts})
    if received.path.endswith("/responses"):
        item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"}
        item["content"] = [{"type": "output_text", "text": "Hi", "annotations": []}]
        response = {"id": "resp_1", "object": "response", "status": "completed", "output": [item]}
        return json_reply({**response, "usage": {**usage, "total_tokens": 2}})
    return json_reply(openai_completion("Hi"))


@pytest.mark.parametrize("door", DOORS)
async def test_top_k(serve: Any, fake_upstream: FakeUpstream, door: str) -> None:
    fake_upstream.answer(answer)
    path, body, name = DOORS[door]
    kinds = {"anthropic": {}, "google": {}, "openai": {}, "mistral": {}, "only": {"responses": "only"}}
    site = await serve(
        providers={
            kind: {"plugin": kind if kind != "only" else "openai", "base_url": fake_upstream.url,
                   "api_key": f"sk-{kind}-key-0000", **more} for kind, more in kinds.items()
        },
        models={model: {"upstream": model.partition("/")[2], "price": {"input": 1, "output": 2}, "max_output": 99}
                for model in MODELS},
        default_model="openai/m",
    )  # fmt: skip
    found = {}
    for model, read in MODELS.items():
        sent = body if door == "google" else {**body, "model": model}
        status, headers, raw = await site.running.post(path.format(model=model), sent)
        assert status == 200, raw
        told = headers.get("x-gateway-dropped-params", "")
        found[model] = (read(fake_upstream.requests[-1].json), told)
    # A caller of OpenAI's dialect says it to a server of that dialect, which may well know it.
    has = (50, "") if door in ("chat", "responses") else (None, name)
    assert found == {
        "anthropic/claude-haiku-4-5": (50, ""),
        "google/gemini-2.5-flash": (50, ""),
        "google/gemini-2.0-flash": (40, "top_k") if door != "google" else (50, ""),
        "openai/m": has,
        "mistral/m": (None, name),
        "only/m": has,
    }
