"""What clients of one server send reaches other providers in their own words, or is told as left out."""

from __future__ import annotations

from typing import Any

from gateway.testing import FakeUpstream, Received, Reply, json_reply, openai_completion

SENT = {
    "messages": [{"role": "user", "content": "Hi"}],
    "reasoning": {"effort": "low"},
    "chat_template_kwargs": {"enable_thinking": True},
    "min_p": 0.1,
}


def answer(received: Received) -> Reply:
    if received.path.endswith("/messages"):
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn"}
        usage = {"input_tokens": 1, "output_tokens": 1}
        return json_reply({**message, "content": [{"type": "text", "text": "Hi"}], "usage": usage})
    if received.path.endswith(":generateContent"):
        content = {"role": "model", "parts": [{"text": "Hi"}]}
        counts = {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}
        return json_reply({"candidates": [{"content": content, "finishReason": "STOP"}], "usageMetadata": counts})
    return json_reply(openai_completion("Hi"))


async def test_members_of_other_servers(serve: Any, fake_upstream: FakeUpstream) -> None:
    fake_upstream.answer(answer)
    kinds = ("anthropic", "google", "mistral", "moonshot", "openai")
    models = {
        kind: {"provider": kind, "upstream": name, "price": {"input": 1, "output": 2}, "max_output": 9000}
        for kind, name in zip(
            kinds, ("claude-sonnet-4-5", "gemini-2.5-flash", "mistral-large", "kimi-k2.6", "m"), strict=True
        )
    }
    site = await serve(
        providers={
            kind: {"plugin": kind, "base_url": fake_upstream.url, "api_key": f"sk-{kind}-key-0000"} for kind in kinds
        },
        models={f"{kind}/x": row for kind, row in models.items()},
        default_model="openai/x",
    )
    bodies = {}
    for kind in kinds:
        status, headers, raw = await site.running.post("/v1/chat/completions", {**SENT, "model": f"{kind}/x"})
        assert status == 200, raw
        bodies[kind] = fake_upstream.requests[-1].json
        told = headers.get("x-gateway-dropped-params", "").split(", ")
        assert ("min_p" in told) is (kind != "openai")
        assert ("min_p" in bodies[kind]) is (kind == "openai")
        assert ("reasoning" in bodies[kind]) is (kind == "openai")
    assert bodies["anthropic"]["thinking"]["type"] == "enabled"
    assert bodies["google"]["generationConfig"]["thinkingConfig"]["thinkingBudget"] > 0
    assert bodies["moonshot"]["thinking"] == {"type": "enabled"}
    assert bodies["openai"]["chat_template_kwargs"] == {"enable_thinking": True}
    status, _, raw = await site.running.post(
        "/v1/chat/completions", {**SENT, "model": "anthropic/x"}, headers={"x-gateway-strict": "true"}
    )
    assert (status, b"min_p" in raw) == (400, True)
