"""The YAML section of an instance, and what a request looks like outside of its body."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from tollgate_moonshot import Settings, create, ready, register_providers

from gateway.api import CallerFault, ProviderKind, Target
from gateway.testing import make_call, make_target


def test_the_kind_is_registered() -> None:
    kinds: list[ProviderKind] = []
    register_providers(kinds.append)
    (kind,) = kinds
    provider = kind.create("moonshotai", kind.settings_model(base_url="http://127.0.0.1:8000/v1"))
    assert (kind.kind, provider.name, provider.transport) == ("moonshot", "moonshotai", None)
    assert kind.ready(kind.settings_model()) == "no api_key is set"


def test_moonshot_needs_a_key_and_other_servers_do_not() -> None:
    assert ready(Settings(base_url="https://api.moonshot.cn/v1"))
    assert ready(Settings.model_validate({"api_key": "k"})) == ""
    assert ready(Settings(base_url="http://127.0.0.1:8000/v1")) == ""
    assert ready(Settings(base_url="https://notmoonshot.ai/v1")) == ""


def test_url_and_headers() -> None:
    provider = create("test", Settings.model_validate({"api_key": " key-1 "}))
    request = provider.prepare(make_call({"model": "x", "messages": [], "stream": True}), make_target()).request
    assert request.url == "https://api.moonshot.ai/v1/chat/completions"
    assert request.headers == {
        "accept": "text/event-stream",
        "content-type": "application/json",
        "authorization": "Bearer key-1",
    }
    local = create("test", Settings(base_url="http://127.0.0.1:8000/v1/"))
    request = local.prepare(make_call(), make_target()).request
    assert request.url == "http://127.0.0.1:8000/v1/chat/completions"
    assert "authorization" not in request.headers


@pytest.mark.parametrize(
    "given",
    [
        {"base_url": "ftp://example.com"},
        {"base_url": "example.com/v1"},
        {"base_url": "https://user:password@example.com"},
        {"base_url": "https://example.com/v1?key=1"},
        {"base_url": "https://example.com/v 1"},
        {"base_url": "https://example.com:99999/v1"},
        {"api_key": "a\r\nb"},
        {"api_kee": "x"},
        {"on_disconnect": "wait"},
    ],
)
def test_wrong_settings_are_refused(given: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match=next(iter(given))):
        Settings.model_validate(given)


def test_the_key_does_not_show() -> None:
    settings = Settings.model_validate({"api_key": "very-secret"})
    assert "very-secret" not in repr(settings) + str(settings.model_dump())


def test_a_body_that_is_no_json_is_the_callers_fault() -> None:
    provider = create("test", Settings())
    for odd in ("\ud800", 10**30):
        call = make_call({"messages": [{"role": "user", "content": "x"}], "novel": odd})
        with pytest.raises(CallerFault, match="cannot be sent on as JSON"):
            provider.prepare(call, make_target())


def test_bounds() -> None:
    provider = create("test", Settings())

    def bound(part: dict[str, object], target: Target | None = None) -> int:
        return provider.bound_input_tokens({"messages": [{"role": "user", "content": [part]}]}, target or make_target())

    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0K"}}
    plain = bound({"type": "text", "text": ""})
    assert 4_096 <= bound(picture) - plain <= 4_700
    assert bound(picture, make_target("m", options={"quirks": {"image_tokens": 9}})) < 1_000
    assert bound({"type": "video_url", "video_url": {"url": "ms://f1"}}) > 100_000
    assert bound({"type": "text", "text": "x" * 9_000}, make_target("m", context=4096)) == 4096
    assert provider.bound_input_tokens({"messages": 7}, make_target()) > 0
