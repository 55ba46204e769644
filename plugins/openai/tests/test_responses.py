"""The Responses API: which models are reached by it, and what they are sent."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tollgate_openai import OpenAIProvider, OpenAISettings

from gateway.api import CallerFault, GatewayFault, UpstreamFault, UpstreamReply
from gateway.testing import make_call, make_target

ENCRYPTED = "reasoning.encrypted_content"


def provider(**settings: Any) -> OpenAIProvider:
    return OpenAIProvider("openai", OpenAISettings(**{"api_key": "sk-test", **settings}))


def sent(model: str, body: dict[str, Any], made: OpenAIProvider | None = None, **call: Any) -> tuple[Any, Any]:
    found = make_call({"store": False, "include": [ENCRYPTED], **body}, **call)
    found.dialect = "responses"
    request = (made or provider()).prepare(found, make_target(upstream=model)).request
    assert request.url.endswith("/v1/responses")
    return orjson.loads(request.body), found


@pytest.mark.parametrize(
    ("settings", "speaks"),
    [
        ({}, {"chat", "responses"}),
        ({"base_url": "http://127.0.0.1:1/v1"}, {"chat"}),
        ({"base_url": "http://127.0.0.1:1/v1", "responses": "native"}, {"chat", "responses"}),
        ({"responses": "bridge"}, {"chat"}),
        ({"responses": "only"}, {"responses"}),
    ],
)
def test_what_it_speaks(settings: dict[str, Any], speaks: set[str]) -> None:
    profile = provider(**settings).profile(make_target())
    assert profile.dialects == speaks
    assert profile.web_search == ("no" if "chat" in speaks else "yes")


def test_a_models_own_word_counts() -> None:
    assert provider().profile(make_target(options={"responses": "only"})).dialects == {"responses"}
    with pytest.raises(GatewayFault) as raised:
        provider().profile(make_target(options={"responses": "perhaps"}))
    assert raised.value.detail.endswith("options.responses: must be one of auto, bridge, native, only")
    with pytest.raises(GatewayFault) as raised:
        provider().profile(make_target(options={"completions": "perhaps"}))
    assert raised.value.detail.endswith("options.completions: must be one of auto, native, bridge, only")


def test_a_model_that_does_not_reason() -> None:
    items = [{"type": "reasoning", "summary": []}, {"type": "message", "role": "user", "content": "x"}]
    body, call = sent("gpt-4.1-mini", {"input": items, "reasoning": {"effort": "low"}, "temperature": 0.5})
    assert body == {"model": "gpt-4.1-mini", "store": False, "input": items[1:], "temperature": 0.5}
    assert call.dropped == ["reasoning"]
    body, call = sent("gpt-4.1-mini", {"input": "x", "reasoning": {"effort": "none"}})
    assert ("reasoning" in body, call.dropped) == (False, [])


def test_a_model_that_reasons() -> None:
    body, call = sent("gpt-5-mini", {"input": "x", "reasoning": {"effort": "none"}, "temperature": 0.5, "top_p": 1})
    assert body["include"] == [ENCRYPTED]
    assert body["reasoning"] == {"effort": "minimal"}
    assert "temperature" not in body
    assert "top_p" not in body
    assert call.dropped == ["reasoning.effort", "temperature"]
    with pytest.raises(CallerFault):
        sent("gpt-5-mini", {"input": "x", "reasoning": {"effort": "none"}}, strict=True)


def test_other_servers_get_it_as_it_is() -> None:
    body, call = sent("m", {"input": "x", "new": 1}, provider(base_url="http://127.0.0.1:1/v1", responses="native"))
    assert body == {"model": "m", "store": False, "include": [ENCRYPTED], "input": "x", "new": 1}
    assert call.dropped == []


def test_the_limit_and_the_stream() -> None:
    found, _ = sent(
        "gpt-5-mini", {"input": "x", "max_output_tokens": 500, "stream": True}, max_output=100, stream=False
    )
    assert found["max_output_tokens"] == 100
    assert "stream" not in found
    found, _ = sent("gpt-5-mini", {"input": "x"}, max_output=3, stream=True)
    assert (found["max_output_tokens"], found["stream"]) == (16, True)


def test_faults_of_an_answer_never_repeat_the_key() -> None:
    call = make_call({"input": "x"})
    call.dialect = "responses"
    failed = {"object": "response", "output": [], "status": "failed", "error": {"code": "x", "message": "sk-test-key"}}
    made = provider(api_key="sk-test-key")
    with pytest.raises(Exception) as raised:  # whatever fault the code stands for
        made.prepare(call, make_target()).reader.read_reply(UpstreamReply(200, {}, orjson.dumps(failed)))
    assert "sk-test-key" not in str(raised.value)


def test_openai_itself_compacts() -> None:
    made = provider()
    assert "compact" in made.profile(make_target()).operations
    for other in (provider(base_url="http://127.0.0.1:1/v1", responses="native"), provider(responses="bridge")):
        assert "compact" not in other.profile(make_target()).operations
    call = make_call({"input": [{"role": "user", "content": "Hi"}]}, max_output=100, operation="compact")
    call.dialect = "responses"
    attempt = made.prepare(call, make_target(upstream="gpt-5.1"))
    assert attempt.request.url.endswith("/v1/responses/compact")
    assert orjson.loads(attempt.request.body) == {"model": "gpt-5.1", "input": [{"role": "user", "content": "Hi"}]}
    item = {"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAAA"}
    usage = {"input_tokens": 9, "output_tokens": 3, "total_tokens": 12}
    body = {"id": "resp_1", "object": "response.compaction", "output": [item], "created_at": 1, "usage": usage}
    answer = attempt.reader.read_reply(UpstreamReply(200, {}, orjson.dumps(body)))
    assert (answer.body, answer.usage) == (body, usage)
    for nonsense in (b"no", b"[]", b"{}"):
        with pytest.raises(UpstreamFault):
            attempt.reader.read_reply(UpstreamReply(200, {}, nonsense))
