"""`POST /embeddings` at Mistral."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tollgate_mistral import Settings, create

from gateway.api import Call, CallerFault, Fault, UpstreamFault, UpstreamReply
from gateway.testing import HOSTILE_BODIES, make_call, make_target

KEY = "test-key-0123456789"
PROVIDER = create("test", Settings.model_validate({"api_key": KEY}))
READER = PROVIDER.prepare(make_call({"input": "a"}, operation="embeddings"), make_target()).reader


def send(body: dict[str, Any], **more: Any) -> tuple[dict[str, Any], Call]:
    call = make_call({"model": "test/model", **body}, operation="embeddings", **more)
    request = PROVIDER.prepare(call, make_target("mistral-embed")).request
    assert request.url == "https://api.mistral.ai/v1/embeddings"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    return orjson.loads(request.body), call


def test_it_embeds() -> None:
    assert "embeddings" in PROVIDER.profile(make_target()).operations


def test_requests_say_the_same_in_mistrals_words() -> None:
    body, call = send({"input": ["a", "b"], "dimensions": 256, "encoding_format": "base64", "output_dtype": "int8"})
    assert body == {
        "model": "mistral-embed",
        "input": ["a", "b"],
        "output_dimension": 256,
        "encoding_format": "base64",
        "output_dtype": "int8",
    }
    assert call.dropped == []
    assert send({"input": "a", "dimensions": None})[0] == {"model": "mistral-embed", "input": "a"}


def test_users_are_reported() -> None:
    body, call = send({"input": "a", "user": "u"})
    assert "user" not in body
    assert call.dropped == ["user"]
    with pytest.raises(CallerFault) as caught:
        send({"input": "a", "user": "u"}, strict=True)
    assert caught.value.param == "user"


@pytest.mark.parametrize(("given", "path"), [([1, 2], "input[0]"), (["a", [1]], "input[1]"), (7, "input")])
def test_tokens_are_refused(given: Any, path: str) -> None:
    with pytest.raises(CallerFault) as caught:
        send({"input": given})
    assert caught.value.param == path


def test_answers_are_openais_already() -> None:
    answer = {
        "id": "e",
        "object": "list",
        "model": "mistral-embed",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.1, -0.2]}],
        "usage": {"prompt_tokens": 4, "completion_tokens": 0, "total_tokens": 4},
    }
    assert READER.read_reply(UpstreamReply(200, {}, orjson.dumps(answer))).body == answer


def test_hostile_answers_raise_faults_only() -> None:
    for body in (*HOSTILE_BODIES, orjson.dumps({"error": KEY})):
        with pytest.raises(Fault) as caught:
            READER.read_reply(UpstreamReply(200, {}, body))
        assert isinstance(caught.value, UpstreamFault)
        assert KEY not in caught.value.detail + caught.value.message
