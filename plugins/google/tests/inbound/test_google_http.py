"""The official `google-genai` SDK against a running gateway: on the echo model, on an OpenAI upstream, and on an
upstream that replays what Google once sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from google import genai
from google.genai import errors, types

from gateway.testing import (
    FakeUpstream,
    Pause,
    Reply,
    RunningGateway,
    chunk,
    json_reply,
    load_transcripts,
    openai_completion,
    openai_stream,
    running_gateway,
    sse,
    upstream_config,
    usage,
)
from gateway.testing.running import CREDITS

Json = dict[str, Any]

RECORDED = {found.id: found for found in load_transcripts(Path(__file__).parent.parent.parent / "transcripts")}
GEMINI, FAKE, ECHO = "google/gemini-2.5-flash", "fake/model", "echo/echo"
KEY = "AIzaSyVerySecretValue0123456789abcdefghi"
PRICE = {"input": 2, "cached_input": 1, "output": 12}
MODELS = {
    ECHO: {"provider": "echo", "free": True},
    GEMINI: {"provider": "google", "upstream": "gemini-2.5-flash", "price": PRICE, "max_output": 65_536},
    "google/embedding": {"provider": "google", "upstream": "gemini-embedding-001", "price": {"input": 1, "output": 0}},
}
TOOL = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="weather",
            description="The weather",
            parameters=types.Schema(
                type=types.Type.OBJECT, properties={"city": types.Schema(type=types.Type.STRING, nullable=True)}
            ),
        )
    ]
)

pytestmark = [pytest.mark.sdk, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@dataclass
class Site:
    gateway: RunningGateway
    upstream: FakeUpstream
    client: Any

    async def spent(self) -> int:
        """Credits charged so far, once nothing is held any more."""
        gateway = self.gateway.gateway
        async with asyncio.timeout(30):
            while gateway._tasks or gateway.runtime.users:
                await asyncio.sleep(0.002)
        account = await gateway.stores.accounts.get_account(self.gateway.account.id)
        assert account is not None
        assert account.held == 0
        return CREDITS - account.balance

    async def post(self, path: str, body: Json, **headers: str) -> tuple[int, Json]:
        sent = {"Authorization": "", "x-goog-api-key": self.gateway.key, **headers}
        status, _, raw = await self.gateway.post(path, body, headers=sent)
        return status, orjson.loads(raw)


def sdk(url: str, key: str, version: str | None = None) -> genai.Client:
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=url, api_version=version))


@pytest_asyncio.fixture
async def site(tmp_path: Path, fake_upstream: FakeUpstream) -> AsyncIterator[Site]:
    config = upstream_config(fake_upstream.url + "/v1", models=MODELS, aliases={"my-gemini": GEMINI})
    config["providers"] |= {
        "echo": {"plugin": "echo"},
        "google": {"plugin": "google", "base_url": fake_upstream.url, "api_key": KEY},
    }
    async with running_gateway(tmp_path, config) as gateway:
        client = sdk(gateway.url, gateway.key)
        async with client.aio as own:
            yield Site(gateway, fake_upstream, own)
        client.close()


async def told(stream: Any) -> list[Any]:
    return [event async for event in await stream]


# -- on every model ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [ECHO, "models/" + ECHO, "echo"])
async def test_the_echo_model_answers(site: Site, name: str) -> None:
    answer = await site.client.models.generate_content(model=name, contents="Hello!")
    assert "Hello!" in answer.text
    assert answer.model_version == ECHO
    assert answer.candidates[0].finish_reason == "STOP"
    assert answer.usage_metadata.prompt_token_count > 0
    events = await told(site.client.models.generate_content_stream(model=name, contents="Hello!"))
    assert "".join(event.text or "" for event in events) == answer.text
    assert events[-1].candidates[0].finish_reason == "STOP"
    assert events[-1].usage_metadata.total_token_count == answer.usage_metadata.total_token_count


async def test_the_models_are_listed(site: Site) -> None:
    listed = [model async for model in await site.client.models.list(config={"page_size": 2})]
    names = [model.name for model in listed]
    assert {"models/" + ECHO, "models/my-gemini"} <= set(names)
    assert len(names) == len(set(names)) > 2
    one = await site.client.models.get(model=ECHO)
    assert one.name == "models/" + ECHO
    assert "generateContent" in one.supported_actions
    refused = ("?pageSize=0", "?pageToken=nothing", "/nothing", f"?key={site.gateway.key}", f"/{ECHO}?key=x")
    for path in ("/v1beta/models" + rest for rest in refused):
        status, _, raw = await site.gateway.get(path)
        assert status == (404 if path.endswith("/nothing") else 400)
        assert orjson.loads(raw)["error"]["status"] in ("INVALID_ARGUMENT", "NOT_FOUND")
        assert "key" not in path or b"send it in the header" in raw
    _, _, raw = await site.gateway.get("/v1/models")
    assert orjson.loads(raw)["object"] == "list"


@pytest.mark.parametrize("version", ["v1", "v1beta", "v1alpha"])
async def test_every_version_of_the_api_is_the_same(site: Site, version: str) -> None:
    """The SDKs' option `api_version`; a model's name without `models/` before it is what Vercel's SDK sends."""
    client = sdk(site.gateway.url, site.gateway.key, version)
    async with client.aio as own:
        assert "Hello!" in ((await own.models.generate_content(model=ECHO, contents="Hello!")).text or "")
        events = await told(own.models.generate_content_stream(model=ECHO, contents="Hello!"))
        assert "Hello!" in "".join(event.text or "" for event in events)
        assert (await own.models.count_tokens(model=ECHO, contents="Hello!")).total_tokens
        assert (await own.models.embed_content(model=ECHO, contents="Hello!")).embeddings
        assert (await own.models.get(model=ECHO)).name == "models/" + ECHO
        assert [model async for model in await own.models.list()]
    client.close()
    body = {"contents": [{"parts": [{"text": "Hi"}]}]}
    for road in (f"/{version}/{ECHO}", f"/{version}/models/{ECHO}"):
        assert (await site.post(f"{road}:generateContent", body))[0] == 200
        assert (await site.post(f"{road}:countTokens", body))[1]["totalTokens"] > 0
    for road in ("a/b:predict", "cachedContents", "operations/one"):
        assert (await site.post(f"/{version}/{road}", body))[0] == 404


@pytest.mark.blocking_allowed
async def test_the_blocking_client(site: Site) -> None:
    site.upstream.queue(json_reply(openai_completion("Hi")), Reply(openai_stream("Hello", " world")))
    key, url = site.gateway.key, site.gateway.url

    def talk() -> tuple[Any, str, int]:
        with sdk(url, key) as client:
            whole = client.models.generate_content(model=FAKE, contents="x").text
            events = client.models.generate_content_stream(model=FAKE, contents="x")
            text = "".join(event.text or "" for event in events)
            return whole, text, client.models.count_tokens(model=FAKE, contents="x" * 400).total_tokens or 0

    whole, text, count = await asyncio.to_thread(talk)
    assert (whole, text) == ("Hi", "Hello world")
    assert 50 < count < 400


def call(index: int, arguments: str, **more: Any) -> Json:
    named = {"name": "weather"} if more else {}
    return {"tool_calls": [{"index": index, **more, "function": {**named, "arguments": arguments}}]}


async def test_a_turn_with_tools_on_an_openai_upstream(site: Site) -> None:
    pieces: list[Json] = [
        {"role": "assistant", "content": None},
        {"reasoning_content": "I need "},
        {"reasoning_details": [{"type": "other.thinking", "signature": "s1"}]},
        call(0, "", id="call_a", type="function"),
        call(1, '{"ci', id="call_b", type="function"),
        call(0, '{"city":"Rome"}'),
        call(1, 'ty":"Oslo"}'),
    ]
    events = [sse(chunk(piece)) for piece in pieces]
    events += [sse(chunk({}, finish="tool_calls")), sse({"choices": [], "usage": usage(20, 9)}), b"data: [DONE]\n\n"]
    site.upstream.queue(Reply(events), json_reply(openai_completion("Sunny.", reported=usage(40, 3, cached=16))))
    config = types.GenerateContentConfig(
        tools=[TOOL],
        system_instruction="Be brief.",
        temperature=0.5,
        max_output_tokens=500,
        stop_sequences=["END"],
        top_k=3,
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    found = await told(site.client.models.generate_content_stream(model=FAKE, contents="Weather?", config=config))
    thought, last = found[0].candidates[0].content, found[-1].candidates[0]
    assert thought.parts[0].thought
    assert thought.parts[0].text == "I need "
    assert last.finish_reason == "STOP"
    calls = [part.function_call for part in last.content.parts]
    assert [(one.id, one.name, one.args) for one in calls] == [
        ("call_a", "weather", {"city": "Rome"}),
        ("call_b", "weather", {"city": "Oslo"}),
    ]
    usage_seen = found[-1].usage_metadata
    assert (usage_seen.prompt_token_count, usage_seen.candidates_token_count) == (20, 9)
    results = [
        types.Part(function_response=types.FunctionResponse(id=one.id, name=one.name, response={"t": at}))
        for at, one in enumerate(calls)
    ]
    history = [
        types.Content(role="user", parts=[types.Part(text="Weather?")]),
        types.Content(role="model", parts=[*thought.parts, *last.content.parts]),
        types.Content(role="user", parts=results),
    ]
    second = await site.client.models.generate_content(model=FAKE, contents=history, config=config)
    assert second.text == "Sunny."
    assert second.usage_metadata.cached_content_token_count == 16
    one, two = (request.json for request in site.upstream.requests)
    assert one["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Weather?"}]
    assert (one["temperature"], one["max_tokens"], one["stop"]) == (0.5, 500, ["END"])
    assert "top_k" not in one
    parameters = one["tools"][0]["function"]["parameters"]
    assert parameters == {"type": "object", "properties": {"city": {"type": ["string", "null"]}}}
    told_back, *answers = two["messages"][2:]
    assert [entry["id"] for entry in told_back["tool_calls"]] == ["call_a", "call_b"]
    assert told_back["reasoning_content"] == "I need "
    assert answers == [
        {"role": "tool", "tool_call_id": "call_a", "content": '{"t":0}'},
        {"role": "tool", "tool_call_id": "call_b", "content": '{"t":1}'},
    ]
    # 20 in and 9 out, then 24 fresh, 16 cached and 3 out, at 1, 0.5 and 2 credits.
    assert await site.spent() == (20 + 18) + (24 + 8 + 6)


async def test_several_candidates_and_a_schema(site: Site) -> None:
    completion = openai_completion('{"a":1}')
    completion["choices"].append({**completion["choices"][0], "index": 1, "finish_reason": "length"})
    site.upstream.reply(json_reply(completion))
    config = types.GenerateContentConfig(
        candidate_count=2, response_mime_type="application/json", response_schema={"type": "OBJECT", "properties": {}}
    )
    answer = await site.client.models.generate_content(model=FAKE, contents="x", config=config)
    assert [found.finish_reason for found in answer.candidates] == ["STOP", "MAX_TOKENS"]
    sent = site.upstream.requests[0].json
    assert sent["n"] == 2
    assert sent["response_format"]["json_schema"]["schema"] == {"type": "object", "properties": {}}


async def test_faults_have_googles_shape(site: Site) -> None:
    with pytest.raises(errors.ClientError) as caught:
        await site.client.models.generate_content(model="no/such", contents="x")
    assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")
    body = {"contents": [{"parts": [{"text": "x"}]}]}
    path = f"/v1beta/models/{FAKE}:generateContent"
    for where, given, headers, code, word in (
        (path, body, {"x-goog-api-key": "wrong"}, 401, "UNAUTHENTICATED"),
        (f"{path}?key={site.gateway.key}", body, {}, 400, "x-goog-api-key"),
        (path, {}, {}, 400, "contents"),
        (path, {**body, "tools": [{"codeExecution": {}}]}, {}, 400, "codeExecution"),
        (path, {**body, "cachedContent": "cachedContents/x"}, {}, 400, "cachedContent"),
        (path, {**body, "safetySettings": [{}]}, {"x-gateway-strict": "true"}, 400, "safetySettings"),
        (f"/v1beta/models/{FAKE}:predict", body, {}, 404, "predict"),
        (f"/v1beta/models/{FAKE}", body, {}, 404, "method"),
        (f"/v1beta/models/{FAKE}:streamGenerateContent", body, {}, 400, "alt=sse"),
        (f"/v1beta/models/{FAKE}:embedContent", {"content": {"parts": []}}, {}, 400, "content"),
    ):
        status, answer = await site.post(where, given, **headers)
        assert (status, answer["error"]["code"]) == (code, code), where
        assert word in answer["error"]["message"] + answer["error"]["status"]
    assert site.upstream.requests == []
    site.upstream.reply(json_reply(openai_completion("ok")))
    assert (await site.post(path, body, authorization=f"Bearer {site.gateway.key}"))[0] == 200


async def test_silence_does_not_break_the_sdk(tmp_path: Path, fake_upstream: FakeUpstream) -> None:
    """The SDK takes a comment for an answer it cannot parse, so the gateway keeps its streams alive otherwise."""
    first, *rest = openai_stream("Hello", " world")
    fake_upstream.reply(Reply([Pause(0.15), first, Pause(0.15), *rest]))
    config = upstream_config(fake_upstream.url, server={"keep_alive": "30ms"})
    async with running_gateway(tmp_path, config) as gateway:
        client = sdk(gateway.url, gateway.key)
        async with client.aio as own:
            events = await told(own.models.generate_content_stream(model=FAKE, contents="x"))
        client.close()
    assert "".join(event.text or "" for event in events) == "Hello world"


async def test_a_stream_that_breaks_is_an_error(site: Site) -> None:
    site.upstream.reply(Reply([sse(chunk({"content": "Hel"}))]))
    with pytest.raises(errors.APIError):
        await told(site.client.models.generate_content_stream(model=FAKE, contents="x"))


# -- on Google's own dialect ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("road", [f"models/{GEMINI}", "models/gemini-2.5-flash", "models/my-gemini", GEMINI])
async def test_a_body_goes_out_as_it_was_written(site: Site, road: str) -> None:
    """Vercel's AI SDK leaves `models/` out of the path for an id with a slash."""
    recorded = RECORDED["search"]
    site.upstream.reply(json_reply(recorded.body))
    body = {
        "contents": [{"role": "user", "parts": [{"text": "x", "somethingNew": 1}]}],
        "tools": [{"googleSearch": {}}, {"codeExecution": {}}],
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        "generationConfig": {"topK": 5, "maxOutputTokens": 100},
    }
    status, answer = await site.post(f"/v1beta/{road}:generateContent", body)
    assert status == 200
    sent = site.upstream.requests[0]
    assert sent.path == "/v1beta/models/gemini-2.5-flash:generateContent"
    assert sent.headers["x-goog-api-key"] == KEY
    assert sent.json == body
    served = "my-gemini" if "my-gemini" in road else GEMINI
    assert answer == {**orjson.loads(recorded.body), "modelVersion": served}
    assert await site.spent() > 0


@pytest.mark.parametrize("name", [name for name, found in RECORDED.items() if found.streamed and found.status == 200])
async def test_recorded_streams_reach_the_sdk(site: Site, name: str) -> None:
    recorded = RECORDED[name]
    site.upstream.reply(Reply([recorded.body[at : at + 89] for at in range(0, len(recorded.body), 89)]))
    said = [orjson.loads(line[6:]) for line in recorded.body.splitlines() if line.startswith(b"data: ")]
    found = await told(site.client.models.generate_content_stream(model=GEMINI, contents="x"))
    assert len(found) == len(said)
    for event, wanted in zip(found, said, strict=True):
        given = types.GenerateContentResponse._from_response(response=wanted, kwargs={})
        # The SDK's own converter of streams leaves this member out.
        left: Any = {"finish_message"}
        seen, meant = event.candidates or [], given.candidates or []
        assert [one.model_dump(exclude=left) for one in seen] == [one.model_dump(exclude=left) for one in meant]
        assert event.usage_metadata == given.usage_metadata
        assert event.model_version == GEMINI
    assert await site.spent() > 0


async def test_an_error_of_google_stays_without_secrets(site: Site) -> None:
    for name, status in (("error-400-key", 502), ("error-429", 429)):
        recorded = RECORDED[name]
        site.upstream.reply(json_reply(recorded.body, recorded.status))
        status_seen, answer = await site.post(
            f"/v1beta/models/{GEMINI}:generateContent", {"contents": [{"parts": [{"text": "x"}]}]}
        )
        assert (status_seen, answer["error"]["code"]) == (status, status)
        assert KEY not in str(answer)


async def test_google_counts_for_itself(site: Site) -> None:
    site.upstream.queue(json_reply({"totalTokens": 42}), json_reply(b"nonsense"))
    assert (await site.client.models.count_tokens(model=GEMINI, contents="Hello")).total_tokens == 42
    sent = site.upstream.requests[0]
    assert sent.path == "/v1beta/models/gemini-2.5-flash:countTokens"
    assert sent.json["generateContentRequest"]["model"] == "models/gemini-2.5-flash"
    assert (await site.client.models.count_tokens(model=GEMINI, contents="Hello")).total_tokens > 0
    assert await site.spent() == 0


# -- embeddings ----------------------------------------------------------------------------------------------------


async def test_embeddings(site: Site) -> None:
    site.upstream.reply(json_reply({"embeddings": [{"values": [0.5, -1]}, {"values": [1, 2]}]}))
    config = types.EmbedContentConfig(output_dimensionality=2, task_type="RETRIEVAL_QUERY")
    answer = await site.client.models.embed_content(model="google/embedding", contents=["a", "b"], config=config)
    assert [found.values for found in answer.embeddings] == [[0.5, -1], [1, 2]]
    sent = site.upstream.requests[0]
    assert sent.path == "/v1beta/models/gemini-embedding-001:batchEmbedContents"
    assert sent.json["requests"][1] == {
        "model": "models/gemini-embedding-001",
        "content": {"parts": [{"text": "b"}]},
        "outputDimensionality": 2,
        "taskType": "RETRIEVAL_QUERY",
    }
    assert await site.spent() > 0
    site.upstream.reply(json_reply({"embeddings": [{"values": [3]}], "usageMetadata": {"promptTokenCount": 7}}))
    status, one = await site.post(
        "/v1beta/models/google/embedding:embedContent", {"content": {"parts": [{"text": "a"}]}}
    )
    assert (status, one["embedding"], one["usageMetadata"]) == (200, {"values": [3]}, {"promptTokenCount": 7})
