"""The configuration of an instance, and what a request looks like from outside."""

from __future__ import annotations

from typing import Any

import pytest
import tollgate_anthropic
from pydantic import ValidationError
from tollgate_anthropic import AnthropicProvider, Settings

from gateway.api import ProviderKind
from gateway.testing import make_call, make_target


def test_the_plugin_offers_its_kind() -> None:
    kinds: list[ProviderKind] = []
    tollgate_anthropic.register_providers(kinds.append)
    (kind,) = kinds
    assert kind.kind == "anthropic"
    settings = kind.settings_model(api_key="sk-ant-x", on_disconnect="drain")
    provider = kind.create("mine", settings)
    assert isinstance(provider, AnthropicProvider)
    assert (provider.name, provider.profile(make_target()).on_disconnect) == ("mine", "drain")
    assert kind.ready(settings) == ""
    assert "api_key" in kind.ready(kind.settings_model())
    assert kind.ready(kind.settings_model(base_url="http://127.0.0.1:9")) == ""
    assert "sk-ant-x" not in repr(settings)


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("https://api.anthropic.com", "https://api.anthropic.com/v1/messages"),
        ("http://127.0.0.1:9/v1/", "http://127.0.0.1:9/v1/messages"),
        ("https://example.com/anthropic/", "https://example.com/anthropic/v1/messages"),
    ],
)
def test_the_address(base: str, url: str) -> None:
    assert Settings(base_url=base).endpoint == url


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": "api.anthropic.com"},
        {"beta": ["a,b"]},
        {"beta": ["a\r\nx-api-key: y"]},
        {"version": "2023\r\n"},
        {"on_disconnect": "wait"},
        {"default_max_tokens": 0},
        {"api-key": "x"},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(**wrong)


def test_the_headers() -> None:
    provider = AnthropicProvider("x", Settings(api_key="sk-ant-x"))
    plain = provider.prepare(make_call(), make_target("claude-sonnet-4-5")).request
    assert plain.headers == {
        "accept": "application/json",
        "anthropic-version": "2023-06-01",
        "content-type": "application/json",
        "x-api-key": "sk-ant-x",
    }
    streamed = provider.prepare(make_call(stream=True), make_target("claude-sonnet-4-5")).request
    assert streamed.headers["accept"] == "text/event-stream"
    assert streamed.stream
