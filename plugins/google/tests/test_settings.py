"""The section of the configuration, the address and the headers."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from pydantic import ValidationError
from tollgate_google import GoogleProvider, Settings, create, ready, register_providers

from gateway.api import CallerFault, ProviderKind
from gateway.testing import make_call, make_target


def test_the_plugin_offers_its_kind() -> None:
    found: list[ProviderKind] = []
    register_providers(found.append)
    (kind,) = found
    assert (kind.kind, kind.settings_model) == ("google", Settings)
    provider = kind.create("mine", Settings(api_key="k", on_disconnect="drain"))
    assert isinstance(provider, GoogleProvider)
    assert (provider.name, provider.profile(make_target()).on_disconnect) == ("mine", "drain")


def test_without_a_key_it_is_switched_off() -> None:
    assert ready(Settings()) == "no api_key is set"
    assert ready(Settings(api_key=" ")) == "no api_key is set"
    assert ready(Settings(api_key="k")) == ""
    assert ready(Settings(base_url="http://127.0.0.1:9")) == ""


@pytest.mark.parametrize(
    ("settings", "upstream", "stream", "url"),
    [
        ({}, "gemini-x", False, "https://generativelanguage.googleapis.com/v1beta/models/gemini-x:generateContent"),
        (
            {"base_url": "http://127.0.0.1:9/v1beta/", "version": "v1"},
            "models/gemini-x",
            True,
            "http://127.0.0.1:9/v1/models/gemini-x:streamGenerateContent?alt=sse",
        ),
        (
            {"base_url": "https://proxy.example/google"},
            "tunedModels/a b?c",
            False,
            "https://proxy.example/google/v1beta/tunedModels/a%20b%3Fc:generateContent",
        ),
    ],
)
def test_the_address(settings: dict[str, Any], upstream: str, stream: bool, url: str) -> None:
    provider = create("x", Settings(api_key="AIzaKey", **settings))
    body = {"messages": [{"role": "user", "content": "x"}], "stream": stream}
    request = provider.prepare(make_call(body), make_target(upstream)).request
    assert request.url == url
    assert request.headers["x-goog-api-key"] == "AIzaKey"
    assert request.headers["accept"] == ("text/event-stream" if stream else "application/json")
    keyless = create("x", Settings(base_url="http://127.0.0.1:9"))
    assert "x-goog-api-key" not in keyless.prepare(make_call(body), make_target(upstream)).request.headers


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": "ftp://x"},
        {"base_url": "https://u:p@x"},
        {"base_url": "https://x?key=1"},
        {"base_url": "https://x:99999"},
        {"version": "../v1"},
        {"api_key": "a\nb"},
        {"safety_settings": {"HARASSMENT": "OFF"}},
        {"quirks": {"sampling": "perhaps"}},
        {"apikey": "x"},
    ],
)
def test_wrong_settings(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(**wrong)


def test_the_operators_safety_settings_hold_unless_the_caller_brings_some() -> None:
    provider = create("x", Settings(api_key="k", safety_settings={"HARM_CATEGORY_HARASSMENT": "BLOCK_NONE"}))
    own = [{"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": "OFF"}]
    user = [{"role": "user", "content": "x"}]
    for body, sent in (
        ({}, [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]),
        ({"safety_settings": own}, own),
        ({"extra_body": {"google": {"safetySettings": own}}}, own),
    ):
        request = provider.prepare(make_call({"messages": user, **body}), make_target("gemini-2.5-flash")).request
        assert orjson.loads(request.body)["safetySettings"] == sent


def test_a_body_that_cannot_be_written_is_refused() -> None:
    provider = create("x", Settings(api_key="k"))
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    for content in ({"messages": [{"role": "user", "content": "\ud800"}]}, {"novel": deep}):
        body = {"messages": [{"role": "user", "content": "x"}], **content}
        with pytest.raises(CallerFault):
            provider.prepare(make_call(body), make_target("gemini-2.5-flash"))
