"""Requests that no schema checked: whatever stands in them, the worst outcome is a CallerFault."""

from __future__ import annotations

import copy
import random
from typing import Any

import orjson
import pytest
from tollgate_google import Settings, create

from gateway.api import CallerFault
from gateway.testing import HOSTILE_VALUES, make_call, make_target

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ==", "detail": "low"}}
SIGNED = {"google": {"thought_signature": "s"}}
CALL = {
    "id": "a",
    "type": "function",
    "function": {"name": "f", "arguments": '{"x":1}'},
    "extra_content": SIGNED,
}
DETAILS = [
    {"type": "google.thought_signature", "signature": "s", "part": "text", "start": 0, "end": 3},
    {"type": "google.thought_signature", "signature": "s", "part": "image", "image": 0, "at": 2, "calls": 0},
    {"type": "google.part", "part": {"x": 1}, "at": 1, "calls": 1},
    {"type": "reasoning.encrypted", "format": "google-x", "id": "a", "data": "q"},
]
SCHEMA = {
    "type": "object",
    "properties": {
        "a": {"$ref": "#/$defs/A", "description": "x"},
        "b": {"anyOf": [{"type": "string", "format": "email"}, {"type": "null"}]},
        "c": {"allOf": [{"properties": {"a": {"const": 1}}}, {"required": ["a"]}]},
        "d": {"enum": ["a", None]},
        "e": {"type": ["string", "null"], "prefixItems": [{}], "additionalProperties": {"type": "string"}},
    },
    "required": ["a"],
    "$defs": {"A": {"type": "string"}},
}
BODY: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "A"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "x"},
                IMAGE,
                {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}},
                {"type": "file", "file": {"file_data": "QQ==", "filename": "a.pdf"}},
                {"type": "video_url", "video_url": {"url": "https://example.com/y"}},
            ],
        },
        {
            "role": "assistant",
            "content": "Hello",
            "tool_calls": [CALL],
            "reasoning_details": DETAILS,
            "images": [IMAGE],
            "extra_content": SIGNED,
        },
        {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "ok"}, IMAGE]},
    ],
    "tools": [
        {"type": "function", "function": {"name": "f", "strict": True, "parameters": SCHEMA}},
        {"type": "web_search", "search_context_size": "low"},
    ],
    "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"name": "f"}]}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}},
    "reasoning_effort": "low",
    "temperature": 1,
    "top_k": 3,
    "seed": 3,
    "n": 2,
    "stop": ["a"],
    "logprobs": True,
    "top_logprobs": 2,
    "modalities": ["text"],
    "audio": {"voice": "a", "format": "wav"},
    "service_tier": "flex",
    "web_search_options": {"user_location": {"type": "approximate"}},
    "google": {"thinking_config": {"thinking_budget": 3}, "safety_settings": []},
    "extra_body": {"google": {"media_resolution": "x"}},
    "generationConfig": {"topK": 1},
    "metadata": {"a": "b"},
    "max_tokens": 5,
}
MODELS = ("gemini-2.0-flash", "gemini-2.5-flash", "gemini-3-pro-preview", "gemini-3.8-flash", "gemma-3-x", "other")


def _places(value: Any) -> list[tuple[Any, Any]]:
    found = []
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in members:
        found += [(value, key), *_places(inner)]
    return found


@pytest.mark.parametrize("model", MODELS)
def test_hostile_bodies_are_sent_or_refused(model: str) -> None:
    provider, target = create("x", Settings(api_key="k")), make_target(model)
    source = random.Random(model)
    outcomes = {"sent": 0, "refused": 0}
    for _ in range(150):
        body = copy.deepcopy(BODY)
        for _ in range(source.randint(1, 2)):
            owner, key = source.choice(_places(body))
            owner[key] = copy.deepcopy(source.choice((*HOSTILE_VALUES, "\ud800", 10**30)))
        try:
            request = provider.prepare(make_call(body), target).request
            assert isinstance(orjson.loads(request.body), dict)
            outcomes["sent"] += 1
        except CallerFault:
            outcomes["refused"] += 1
        assert provider.bound_input_tokens(body, target) >= 0
        assert all(isinstance(link, str) for link in provider.media_urls(body))
    assert all(outcomes.values()), outcomes
