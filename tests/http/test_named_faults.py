"""A provider that fails is named: to the caller by the model that was tried, in the log by the provider."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from gateway.testing import Cut, FakeUpstream, Reply, Stall, chunk, json_reply, openai_error, refused_url, sse

PRICE = {"input": 1, "output": 2}
HELLO: list[dict[str, str]] = [{"role": "user", "content": "Hi"}]
DOORS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/v1/chat/completions", {"messages": HELLO}),
    ("/v1/responses", {"input": "Hi"}),
    ("/v1/messages", {"messages": HELLO, "max_tokens": 10}),
    ("/v1beta/models/{model}:{verb}", {"contents": [{"parts": [{"text": "Hi"}]}]}),
)
HEARD = sse(chunk({"content": "Hello"}))
FAULTS: tuple[tuple[str, Reply, str], ...] = (
    ("unreachable", Reply([]), "The provider cannot be reached."),
    ("disconnected", Reply([Cut()], framing="raw"), "The provider's connection broke"),
    ("first_byte_timeout", Reply([Stall()]), "upstream.first_byte"),
    ("cut inside", Reply([HEARD, Cut()]), "The provider's connection broke"),
    ("idle_timeout", Reply([HEARD, Stall()]), "upstream.idle"),
    ("redirect", Reply([], status=302), "redirect"),
    ("overloaded", json_reply(openai_error("busy"), 503), "overloaded"),
)
LIMITS = {"first_byte_timeout": {"first_byte": "50ms"}, "idle_timeout": {"idle": "50ms"}}


async def ask(site: Any, door: int, model: str, stream: bool) -> str:
    path, body = DOORS[door]
    if "{model}" in path:
        path = path.format(model=model, verb="streamGenerateContent?alt=sse" if stream else "generateContent")
    else:
        body = {**body, "model": model, "stream": stream}
    _, _, raw = await site.running.post(path, body)
    return str(raw.decode())


@pytest.mark.parametrize(("kind", "reply", "said"), FAULTS, ids=[kind for kind, _, _ in FAULTS])
async def test_a_provider_that_fails_is_named_at_every_door(
    serve: Any, fake_upstream: FakeUpstream, kind: str, reply: Reply, said: str
) -> None:
    """Of a chain nobody knows otherwise which of its models it was."""
    fake_upstream.reply(reply)
    with refused_url() as dead:
        url = dead if kind == "unreachable" else fake_upstream.url
        site = await serve(
            upstream={"retries": 0, "cooldown": {"failures": 0}, **LIMITS.get(kind, {})},
            providers={"depot": {"plugin": "openai", "base_url": url, "api_key": "sk-depot-key-0000"}},
            models={"depot/m": {"upstream": "hidden-name", "price": PRICE, "max_output": 100}},
            aliases={"fast": ["depot/m"]},
            default_model="fast",
        )
        for door in range(len(DOORS)):
            for stream in (False, True):
                if HEARD in reply.body and not stream:
                    continue
                told = await ask(site, door, "fast", stream)
                assert said in told
                assert "Model: 'depot/m'." in told
                for secret in (urlsplit(url).netloc, "hidden-name", "sk-depot"):
                    assert secret not in told
        for line in site.request_lines():
            assert (line["target"], line["provider"]) == ("depot/m", "depot")
        failed = [line for line in site.log if line["message"].startswith("call failed")]
        assert failed
        assert {line["provider"] for line in failed} == {"depot"}


async def test_a_provider_of_files_that_fails_is_named(serve: Any) -> None:
    with refused_url() as dead:
        site = await serve(
            providers={"depot": {"plugin": "openai", "base_url": dead, "api_key": "sk-depot-key-0000"}},
            files={"providers": ["depot"]},
        )
        form = aiohttp.FormData({"purpose": "user_data"})
        form.add_field("file", b"{}", filename="a.jsonl")
        headers = {"Authorization": f"Bearer {site.running.key}"}
        async with site.running.session.post(site.running.url + "/v1/files", data=form, headers=headers) as answer:
            error = (await answer.json())["error"]
        assert error["message"] == "The provider cannot be reached. Provider: 'depot'."
