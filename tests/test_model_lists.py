"""What the bundled providers list of their models, for entries such as `mistralai/*`."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
import tollgate_anthropic
import tollgate_google
import tollgate_mistral
import tollgate_moonshot
from tollgate_openai import OpenAIProvider, OpenAISettings

from gateway.api import ListedModel, UpstreamFault, UpstreamReply
from gateway.testing import HOSTILE_BODIES

KEY = "test-key-0123456789"
PLAIN = {"accept": "application/json"}
BEARER = {**PLAIN, "authorization": f"Bearer {KEY}"}
PROVIDERS: dict[str, Any] = {
    "anthropic": tollgate_anthropic,
    "google": tollgate_google,
    "mistral": tollgate_mistral,
    "moonshot": tollgate_moonshot,
}
REQUESTS = {
    "anthropic": (
        "https://api.anthropic.com/v1/models?limit=1000",
        {**PLAIN, "anthropic-version": "2023-06-01", "x-api-key": KEY},
    ),
    "google": (
        "https://generativelanguage.googleapis.com/v1beta/models?pageSize=1000",
        {**PLAIN, "x-goog-api-key": KEY},
    ),
    "mistral": ("https://api.mistral.ai/v1/models", BEARER),
    "moonshot": ("https://api.moonshot.ai/v1/models", BEARER),
}
LISTS: dict[str, dict[str, Any]] = {
    "anthropic": {
        "data": [{"type": "model", "id": "x", "max_input_tokens": 9000, "max_tokens": 70}, {"id": "y"}, {"id": 7}],
        "has_more": False,
    },
    "google": {
        "models": [
            {"name": "models/x", "inputTokenLimit": 9000, "outputTokenLimit": 70,
             "supportedGenerationMethods": ["countTokens", "generateContent"]},
            {"name": "models/film", "supportedGenerationMethods": ["predictLongRunning"]},
            {"name": "y", "inputTokenLimit": "many"},
        ]
    },
    "mistral": {"object": "list", "data": [{"id": "x", "max_context_length": 9000}, {"id": "y"}, None]},
    "moonshot": {"object": "list", "data": [{"id": "x", "context_length": 9000}, {"id": "y", "context_length": -1}]},
    "openai": {"data": [{"id": "x", "max_model_len": 9000}, {"id": "y", "context_window": True}]},
}  # fmt: skip


def make(name: str) -> Any:
    if name == "openai":
        return OpenAIProvider("test", OpenAISettings.model_validate({"api_key": KEY}))
    kind = PROVIDERS[name]
    return kind.create("test", kind.Settings.model_validate({"api_key": KEY}))


@pytest.mark.parametrize("name", REQUESTS)
def test_the_request_has_the_key_and_no_body(name: str) -> None:
    request = make(name).models_request()
    assert (request.method, request.body) == ("GET", b"")
    assert (request.url, request.headers) == REQUESTS[name]


@pytest.mark.parametrize("name", LISTS)
def test_names_and_limits_are_read(name: str) -> None:
    found = make(name).read_models(UpstreamReply(200, {}, orjson.dumps(LISTS[name])))
    output = 70 if name in ("anthropic", "google") else None
    assert found == [ListedModel("x", 9000, output), ListedModel("y")]


@pytest.mark.parametrize("name", LISTS)
def test_what_is_no_list_is_the_providers_fault(name: str) -> None:
    provider = make(name)
    for body in HOSTILE_BODIES:
        with pytest.raises(UpstreamFault):
            provider.read_models(UpstreamReply(200, {}, body))
    with pytest.raises(UpstreamFault):
        provider.read_models(UpstreamReply(401, {}, orjson.dumps(LISTS[name])))
