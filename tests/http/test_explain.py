"""POST /v1/explain says beforehand what then really happens, and by saying it nothing is sent, counted or charged."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
import pytest_asyncio

from gateway.stores import KeySettings
from gateway.testing import (
    FakeUpstream,
    Received,
    Reply,
    json_reply,
    openai_completion,
    openai_stream,
    running_gateway,
    sse,
    upstream_config,
    usage,
)

from .conftest import Site

EACH = 100
WORDS = "the quick brown fox jumps over a lazy dog while seven wizards brew potions".split()
SECRET = "sk-fake-upstream-key"
TOOL = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
DROPPED = {"logit_bias": {"1": 2}, "top_logprobs": 2, "seed": 7, "presence_penalty": 0.5}


def models(base: str) -> dict[str, Any]:
    """Sections with a chat upstream, one that speaks Anthropic's, one that speaks Google's, and aliases over them."""
    price = {"input": 3, "output": 15, "cached_input": 1}
    claude = {"provider": "claude", "upstream": "claude-x", "price": price, "max_output": 2000, "context": 100_000}
    gemini = {"provider": "gem", "upstream": "gemini-x", "price": price, "max_output": 3000, "context": 100_000}
    chat = {"provider": "fake", "upstream": "upstream-model", "price": {"input": 1, "output": 2}, "max_output": 4096}
    vectors = {"provider": "fake", "upstream": "vectors", "price": {"input": 1, "output": 0}, "context": 8000}
    return {
        "providers": {
            "claude": {"plugin": "anthropic", "base_url": base + "/claude", "api_key": SECRET},
            "gem": {"plugin": "google", "base_url": base + "/gem", "api_key": SECRET},
        },
        "models": {
            "fake/model": chat,
            "fake/vectors": vectors,
            "claude/x": claude,
            "gem/x": gemini,
            "fake/draws": {
                "provider": "fake",
                "upstream": "draws",
                "price": {"per_image": {"high/1024x1024": 0.2, "low": 0.001, "default": 0.05}},
                "operations": ["images"],
            },
            "fake/voice": {
                "provider": "fake",
                "upstream": "voice",
                "price": {"characters": 10},
                "operations": ["speech"],
            },
            "fake/ranks": {
                "provider": "fake",
                "upstream": "ranks",
                "price": {"per_search": 0.001},
                "operations": ["rerank"],
            },
            "fake/judge": {
                "provider": "fake",
                "upstream": "judge",
                "price": {"input": 1, "output": 0},
                "operations": ["moderations"],
            },
        },
        "aliases": {"smart": ["claude/x", "fake/model"], "cheap": ["fake/model", "gem/x"]},
    }


def texts(random_: random.Random) -> str:
    return " ".join(random_.choices(WORDS, k=random_.randint(1, 60)))


def chat(r: random.Random) -> tuple[str, dict[str, Any]]:
    turns = [{"role": "user", "content": texts(r)}]
    if r.random() < 0.4:
        turns = [{"role": "system", "content": texts(r)}, *turns]
    if r.random() < 0.4:
        turns += [{"role": "assistant", "content": texts(r)}, {"role": "user", "content": texts(r)}]
    body: dict[str, Any] = {"model": model(r), "messages": turns, "stream": r.random() < 0.3}
    if r.random() < 0.6:
        body[r.choice(["max_tokens", "max_completion_tokens"])] = r.choice([1, 50, 5000, 90_000])
    if r.random() < 0.4:
        body["temperature"] = r.choice([0, 0.5, 1])
    if r.random() < 0.4:
        body |= dict([r.choice(list(DROPPED.items()))])
    if r.random() < 0.3:
        body["tools"] = [{"type": "function", "function": {"name": "weather", "parameters": TOOL}}]
    return "/v1/chat/completions", body


def responses(r: random.Random) -> tuple[str, dict[str, Any]]:
    body: dict[str, Any] = {"model": model(r), "input": texts(r), "stream": r.random() < 0.3, "store": r.random() < 0.5}
    if r.random() < 0.4:
        body["instructions"] = texts(r)
    if r.random() < 0.5:
        body["max_output_tokens"] = r.choice([16, 500, 90_000])
    if r.random() < 0.3:
        body["tools"] = [{"type": "function", "name": "weather", "parameters": TOOL, "strict": False}]
    return "/v1/responses", body


def messages(r: random.Random) -> tuple[str, dict[str, Any]]:
    turns = [{"role": "user", "content": [{"type": "text", "text": texts(r)}]}]
    body: dict[str, Any] = {"model": model(r), "messages": turns, "max_tokens": r.choice([1, 700, 50_000])}
    if r.random() < 0.4:
        body["system"] = texts(r)
    if r.random() < 0.3:
        body["stream"] = True
    if r.random() < 0.3:
        body["tools"] = [{"name": "weather", "input_schema": TOOL}]
    return "/v1/messages", body


def gemini(r: random.Random) -> tuple[str, dict[str, Any]]:
    body: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": texts(r)}]}]}
    if r.random() < 0.5:
        body["generationConfig"] = {"maxOutputTokens": r.choice([1, 900, 50_000]), "temperature": 0.5}
    if r.random() < 0.4:
        body["systemInstruction"] = {"parts": [{"text": texts(r)}]}
    if r.random() < 0.3:
        return f"/v1beta/models/{model(r)}:streamGenerateContent?alt=sse", body
    return f"/v1beta/models/{model(r)}:generateContent", body


def embeddings(r: random.Random) -> tuple[str, dict[str, Any]]:
    given: Any = texts(r) if r.random() < 0.5 else [texts(r) for _ in range(r.randint(1, 5))]
    return "/v1/embeddings", {"model": "fake/vectors", "input": given}


def completions(r: random.Random) -> tuple[str, dict[str, Any]]:
    body: dict[str, Any] = {"model": model(r), "prompt": texts(r), "stream": r.random() < 0.3}
    if r.random() < 0.6:
        body["max_tokens"] = r.choice([1, 50, 5000, 90_000])
    if r.random() < 0.4:
        body |= dict([r.choice([("seed", 7), ("logit_bias", {"1": 2}), ("temperature", 0.5), ("stop", ["x"])])])
    return "/v1/completions", body


def others(r: random.Random) -> tuple[str, dict[str, Any]]:
    """What is no conversation."""
    which = r.choice(["images", "speech", "rerank", "moderations"])
    if which == "images":
        body: dict[str, Any] = {"model": "fake/draws", "prompt": texts(r), "n": r.choice([1, 2, 3])}
        if r.random() < 0.6:
            body |= {"quality": r.choice(["high", "low", "odd"]), "size": r.choice(["1024x1024", "512x512"])}
        return "/v1/images/generations", body
    if which == "speech":
        return "/v1/audio/speech", {"model": "fake/voice", "input": texts(r), "voice": "alloy"}
    if which == "rerank":
        documents = [texts(r) for _ in range(r.choice([1, 20, 150]))]
        return "/v1/rerank", {"model": "fake/ranks", "query": texts(r), "documents": documents}
    return "/v1/moderations", {"model": "fake/judge", "input": r.choice([texts(r), [texts(r), texts(r)]])}


def model(r: random.Random) -> str:
    return r.choice(["fake/model", "claude/x", "gem/x", "smart", "cheap"])


def play(random_: random.Random) -> Any:
    """An upstream of all three kinds. It tells of more tokens than there can be, now and then."""

    def answer(received: Received) -> Reply:
        prompt, written = random_.choice([(9, 4), (80, 300), (10**7, 10**7)])
        streamed = b'"stream":true' in received.body or "alt=sse" in received.path
        if received.path.endswith("/embeddings"):
            count = received.json["input"]
            vectors = [{"object": "embedding", "index": at, "embedding": [0.5]} for at in range(len(count))]
            vectors = vectors if isinstance(count, list) else vectors[:1]
            told = {"prompt_tokens": prompt, "total_tokens": prompt}
            return json_reply({"object": "list", "data": vectors, "model": "v", "usage": told})
        if (plain := plain_answer(received)) is not None:
            return plain
        if received.path.startswith("/claude"):
            return claude_answer(streamed, prompt, written)
        if received.path.startswith("/gem"):
            told = {"promptTokenCount": prompt, "candidatesTokenCount": written, "totalTokenCount": prompt + written}
            part = {"content": {"role": "model", "parts": [{"text": "Hi"}]}, "finishReason": "STOP", "index": 0}
            whole = {"candidates": [part], "usageMetadata": told, "modelVersion": "g"}
            return Reply([sse(whole)]) if streamed else json_reply(whole)
        told = usage(prompt, written)
        return (
            Reply(openai_stream("Hi", reported=told))
            if streamed
            else json_reply(openai_completion("Hi", reported=told))
        )

    return answer


def plain_answer(received: Received) -> Reply | None:
    """To what is no conversation: as many results as were asked for."""
    if received.path.endswith("/images/generations"):
        return json_reply({"created": 1, "data": [{"b64_json": "QQ=="}] * received.json.get("n", 1)})
    if received.path.endswith("/audio/speech"):
        return Reply([b"ID3..."], media_type="audio/mpeg", framing="length")
    if received.path.endswith("/rerank"):
        found = [{"index": at, "relevance_score": 0.5} for at in range(len(received.json["documents"]))]
        return json_reply({"id": "r", "results": found})
    if received.path.endswith("/moderations"):
        count = received.json["input"]
        return json_reply({"id": "modr-1", "model": "judge", "results": [{}] * (len(count) if count is list else 1)})
    return None


def claude_answer(streamed: bool, prompt: int, written: int) -> Reply:
    told = {"input_tokens": prompt, "output_tokens": written}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "c", "stop_sequence": None}
    if not streamed:
        content = [{"type": "text", "text": "Hi"}]
        return json_reply({**message, "content": content, "stop_reason": "end_turn", "usage": told})
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**message, "content": [], "stop_reason": None, "usage": told}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": told},
        {"type": "message_stop"},
    ]
    return Reply([sse(event, event["type"]) for event in events])


async def explain(site: Any, path: str, body: Any, *, key: str | None = None, **more: Any) -> Any:
    """The explanation of a request, checked for having sent nothing."""
    before = len(site.upstream.requests)
    status, _, raw = await site.running.post("/v1/explain", {"path": path, "body": body, **more}, key=key)
    assert status == 200, raw
    assert len(site.upstream.requests) == before
    return orjson.loads(raw)


@pytest_asyncio.fixture
async def three(tmp_path: Path) -> AsyncIterator[Site]:
    """A site whose three providers stand at its one upstream."""
    async with FakeUpstream() as upstream:
        config = upstream_config(upstream.url + "/v1", **models(upstream.url))
        async with running_gateway(tmp_path, config) as running:
            site = Site(running, upstream)
            yield site
            await site.check()


@pytest.mark.parametrize("dialect", [chat, completions, responses, messages, gemini, embeddings, others])
async def test_what_is_explained_is_what_happens(three: Site, dialect: Any) -> None:
    """Route, upstream bytes and headers, refusals and dropped parameters are the same, and nothing costs more."""
    site = three
    r = random.Random(dialect.__name__)
    site.upstream.answer(play(r))
    stores = site.running.gateway.stores
    seen = {"sent": 0, "refused": 0}
    for turn in range(EACH):
        # Another account each time: rich ones, some whose output is clamped, and some that cannot pay at all.
        account = await stores.accounts.create_account(f"{dialect.__name__} {turn}", grant=r.choice([30, 3000, 10**7]))
        _, key = await stores.keys.create_key(account.id, KeySettings(monthly_limit=r.choice([None, None, 10_000])))
        path, body = dialect(r)
        told = await explain(site, path, body, key=key)
        site.upstream.requests.clear()
        status, headers, raw = await site.running.post(path, body, key=key)
        found = await stores.accounts.get_account(account.id)
        await site.rest()
        if not told["allowed"]:
            seen["refused"] += 1
            assert status == told["refusal"]["status"], raw
            assert site.upstream.requests == []
            continue
        if told["targets"][0]["fault"] is not None:
            # What a target must not be sent is the caller's to mend; the next one is not tried.
            assert status == told["targets"][0]["fault"]["status"]
            continue
        assert status == 200, raw
        seen["sent"] += 1
        (received,) = site.upstream.requests
        (request,) = told["targets"][0]["requests"]
        assert headers["x-gateway-model"] == told["targets"][0]["model"]
        assert received.body.decode() == request["body"]
        split = urlsplit(request["url"])
        assert received.path == split.path + (f"?{split.query}" if split.query else "")
        assert received.method == request["method"]
        for name, value in request["headers"].items():
            assert value in ("[redacted]", received.headers[name])
        assert headers.get("x-gateway-clamped") == told["clamped"]
        assert [*filter(None, headers.get("x-gateway-dropped-params", "").split(", "))] == told["targets"][0]["dropped"]
        found = await stores.accounts.get_account(account.id)
        spent = sum(-entry.amount for entry in await stores.ledger.entries(account.id) if entry.kind == "charge")
        assert 0 < spent <= told["maximum_cost"]
        assert found.held == 0
    assert seen["sent"] > EACH // 4
    assert seen["refused"]


FREE = {"provider": "fake", "upstream": "upstream-model", "free": True}
HELLO = {"messages": [{"role": "user", "content": "Hello!"}]}


async def test_nothing_is_counted_reserved_or_written_down(serve: Any) -> None:
    site = await serve(rate_limit={"requests_per_minute": 3})
    stores = site.running.gateway.stores
    before = await stores.ledger.entries(limit=1000)
    for _ in range(5):
        told = await explain(site, "/v1/chat/completions", HELLO)
        assert told["allowed"]
        (rate,) = [step["figures"] for step in told["steps"] if step["plugin"] == "rate_limit" and step["figures"]]
        assert (rate["requests_per_minute"], rate["remaining"]) == (3, 3)
    await explain(site, "/v1/responses", {"input": "Hi", "store": True})
    assert await site.rows() == []
    assert await stores.ledger.entries(limit=1000) == before
    assert not site.running.gateway.running_responses.background


async def test_the_figures_of_the_hold(serve: Any) -> None:
    site = await serve()
    key = await site.running.new_key(KeySettings(monthly_limit=500), credits=1000)
    told = await explain(site, "/v1/chat/completions", {**HELLO, "max_tokens": 4000}, key=key)
    (figures,) = [step["figures"] for step in told["steps"] if step["plugin"] == "quota"]
    assert (figures["balance"], figures["month_limit"], figures["month_used"], figures["room"]) == (1000, 500, 0, 500)
    assert figures["wanted"] == 8000 + int(figures["input_at_most"])
    assert told["hold"] == told["maximum_cost"] <= 500
    assert told["output_limit"] == figures["output_tokens"] == (500 - int(figures["input_at_most"])) // 2
    assert told["clamped"] == f"max_tokens={told['output_limit']}; reason=credits"


@pytest.mark.parametrize(
    ("settings", "body", "by", "status"),
    [
        (KeySettings(models=("other/*",)), {}, "model_allow_list", 403),
        (KeySettings(), {"model": "nobody/knows"}, "", 404),
        (KeySettings(), {"messages": []}, "", 400),
        (KeySettings(monthly_limit=0), {}, "quota", 402),
    ],
)
async def test_who_says_no_and_how(serve: Any, settings: KeySettings, body: Any, by: str, status: int) -> None:
    site = await serve()
    key = await site.running.new_key(settings, credits=10_000)
    told = await explain(site, "/v1/chat/completions", {**HELLO, **body}, key=key)
    assert (told["allowed"], told["refusal"]["by"], told["refusal"]["status"]) == (False, by, status)
    answer = await site.ask(key=key, **body)
    assert answer.status == status
    assert answer.error == told["refusal"]["answer"]["error"] | {"message": answer.error["message"]}


async def test_secrets_of_the_operator_are_masked(three: Site) -> None:
    for name in ("fake/model", "claude/x", "gem/x"):
        status, _, raw = await three.running.post("/v1/explain", {"body": {**HELLO, "model": name}})
        assert status == 200
        assert SECRET.encode() not in raw
        assert b"[redacted]" in raw


async def test_only_model_calls_are_explained(three: Site) -> None:
    for path, status in (("/v1/models", 405), ("/v1/responses/input_tokens", 400), ("/nowhere", 404), ("x", 400)):
        found, _, raw = await three.running.post("/v1/explain", {"path": path, "body": HELLO})
        assert found == status, raw
    gemini_path = "/v1beta/models/gem/x:countTokens"
    found, _, _ = await three.running.post("/v1/explain", {"path": gemini_path, "body": {"contents": []}})
    assert found in (200, 400)
    assert three.upstream.requests == []


async def test_the_request_is_checked(site: Site) -> None:
    for body in ({}, {"body": []}, {"body": HELLO, "more": 1}, {"body": HELLO, "headers": {"a": 1}}):
        status, _, raw = await site.running.post("/v1/explain", body)
        assert status == 400, raw
    status, _, _ = await site.running.post("/v1/explain", {"body": HELLO}, key="mghp_wrong")
    assert status == 401


async def test_a_key_explains_only_so_often(site: Site) -> None:
    answers = [await site.running.post("/v1/explain", {"body": HELLO}) for _ in range(61)]
    assert [status for status, _, _ in answers] == [200] * 60 + [429]


async def test_headers_of_the_request_count(three: Site) -> None:
    body = {**HELLO, "model": "claude/x", "logit_bias": {"1": 2}}
    loose = await explain(three, "/v1/chat/completions", body)
    assert loose["targets"][0]["dropped"] == ["logit_bias"]
    strict = await explain(three, "/v1/chat/completions", body, headers={"X-Gateway-Strict": "true"})
    assert "logit_bias" in strict["targets"][0]["fault"]["message"]


async def test_what_one_target_cannot_carry_says_nothing_about_the_next(three: Site) -> None:
    told = await explain(three, "/v1/chat/completions", {**HELLO, "model": "smart", "logit_bias": {"1": 2}})
    assert [(target["model"], target["dropped"]) for target in told["targets"]] == [
        ("claude/x", ["logit_bias"]),
        ("fake/model", []),
    ]


async def test_tools_that_the_gateway_runs_are_named(serve: Any) -> None:
    site = await serve(search={"mode": "own", "backends": {"own": {"plugin": "folder"}}}, models={"fake/model": FREE})
    told = await explain(site, "/v1/responses", {"input": "Whales?", "tools": [{"type": "web_search"}]})
    assert "web_search" in [function["name"] for function in told["tools"]["functions"]]
    assert '"name":"web_search"' in told["targets"][0]["requests"][0]["body"]
