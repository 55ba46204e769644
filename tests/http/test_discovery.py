"""A provider's own list of models, served."""

from __future__ import annotations

from typing import Any

from gateway.testing import FakeUpstream, Received, Reply, json_reply, openai_completion, upstream_config


async def test_what_the_provider_lists_can_be_called(serve: Any, fake_upstream: FakeUpstream) -> None:
    names = ["llama-3:8b", "org/model"]

    def answer(received: Received) -> Reply:
        if received.path == "/v1/models":
            data = [{"id": name, "object": "model", "max_model_len": 4096} for name in names]
            return json_reply({"object": "list", "data": data})
        return json_reply(openai_completion("Hi"))

    fake_upstream.answer(answer)
    provider = {
        "plugin": "openai",
        "base_url": f"{fake_upstream.url.removesuffix('/v1')}/v1",
        "api_key": "sk-of-list-000",
    }
    models = {**upstream_config("")["models"], "local/*": {"free": True, "provider": "local"}}
    site = await serve(providers={"local": provider}, models=models)
    assert (await site.ask(model="local/llama-3:8b")).status == 200
    assert fake_upstream.requests[-1].json["model"] == "llama-3:8b"
    assert fake_upstream.requests[0].headers["authorization"] == "Bearer sk-of-list-000"
    shown = {model["id"]: model for model in (await site.get("/v1/models")).json["data"]}
    assert shown["local/org/model"]["context_length"] == 4096
    assert "local/*" not in shown
    assert (await site.ask(model="local/other")).error["code"] == "model_not_found"
    names.append("other")
    await site.running.gateway.runtime.discover()
    assert (await site.ask(model="local/other")).status == 200
