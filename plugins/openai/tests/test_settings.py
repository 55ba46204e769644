"""The YAML section of an instance."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from tollgate_openai import OpenAISettings, register_providers
from tollgate_openai.settings import why_not_ready

from gateway.api import ProviderKind


def test_the_kind_is_registered() -> None:
    kinds: list[ProviderKind] = []
    register_providers(kinds.append)
    (kind,) = kinds
    provider = kind.create("local", kind.settings_model(base_url="http://127.0.0.1:8000/v1"))
    assert (kind.kind, provider.name, provider.transport) == ("openai", "local", None)


def test_openai_needs_a_key_and_other_servers_do_not() -> None:
    assert why_not_ready(OpenAISettings()) == "api_key is empty"
    assert why_not_ready(OpenAISettings(base_url="https://eu.api.openai.com/v1")) == "api_key is empty"
    assert why_not_ready(OpenAISettings.model_validate({"api_key": "k"})) == ""
    assert why_not_ready(OpenAISettings(base_url="http://127.0.0.1:11434/v1")) == ""
    assert why_not_ready(OpenAISettings(base_url="https://api.openai.com.example/v1")) == ""


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://api.openai.com/v1/", "https://api.openai.com/v1"),
        ("http://[::1]:8000/v1//", "http://[::1]:8000/v1"),
        ("https://example.com", "https://example.com"),
    ],
)
def test_base_url_is_tidied(given: str, kept: str) -> None:
    assert OpenAISettings(base_url=given).base_url == kept


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/v1",
        "example.com/v1",
        "https:///v1",
        "https://user:password@example.com/v1",
        "https://user@example.com/v1",
        "https://example.com/v1?key=1",
        "https://example.com/v1?",
        "https://example.com/v1#x",
        "https://example.com/v 1",
        "https://example.com/v1\r\nx: y",
        "https://example.com:99999/v1",
        "https://example.com/v1/chat/completions",
    ],
)
def test_base_url_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="base_url"):
        OpenAISettings(base_url=url)


@pytest.mark.parametrize(
    "headers",
    [
        {"x-a": "b\r\nc: d"},
        {"x a": "b"},
        {"x-a\n": "b"},
        {"": "b"},
        {"Authorization": "Bearer x"},
        {"Host": "x"},
        {"X-A": "1", "x-a": "2"},
        {"x-a": "\u00e9"},
    ],
)
def test_headers_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="headers"):
        OpenAISettings(headers=headers)


@pytest.mark.parametrize("field", ["api_key", "organization", "project"])
def test_values_for_headers_have_no_line_breaks(field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        OpenAISettings.model_validate({field: "a\r\nb"})


def test_the_key_does_not_show() -> None:
    settings = OpenAISettings.model_validate({"api_key": "very-secret"})
    assert "very-secret" not in repr(settings)
    assert "very-secret" not in str(settings.model_dump())


def test_unknown_members_are_refused() -> None:
    with pytest.raises(ValidationError, match="api_kee"):
        OpenAISettings.model_validate({"api_kee": "x"})
    with pytest.raises(ValidationError, match="limits"):
        OpenAISettings.model_validate({"quirks": {"limits": "max_tokens"}})
