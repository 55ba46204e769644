"""Nothing that is billed beside the tokens goes to a server of this dialect unseen."""

from __future__ import annotations

from typing import Any

import pytest
from tollgate_openai.hosted import COSTLY_MEMBERS
from tollgate_openai.provider import OpenAIProvider
from tollgate_openai.settings import OpenAISettings

from gateway.api import CallerFault, allows_tool
from gateway.testing import make_call, make_target

PLACES: tuple[dict[str, Any], ...] = ({"api_key": "sk-test"}, {"base_url": "https://llm.example.org/v1"})


@pytest.mark.parametrize("place", PLACES)
def test_tools_that_cost_only_tokens_are_told_from_others(place: dict[str, Any]) -> None:
    provider = OpenAIProvider("openai", OpenAISettings(**place))
    target = make_target("gpt-5", profile=provider.profile(make_target("gpt-5")))
    for kind in ("function", "custom", "web_search", "web_search_2025_08_26", "mcp", "computer_use_preview"):
        assert allows_tool(target, kind, target.profile.tools), kind
    for kind in ("image_generation", "code_interpreter", "file_search", "web_searcher", "x_search", "mcp2", ""):
        assert not allows_tool(target, kind, target.profile.tools), kind
    assert allows_tool(make_target("gpt-5", hosted_tools=frozenset({"x_search"})), "x_search", ())


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", COSTLY_MEMBERS)
def test_searches_that_no_usage_tells_are_refused_by_their_key(name: str, place: dict[str, Any]) -> None:
    provider = OpenAIProvider("openai", OpenAISettings(**place))
    call = make_call({"model": "m", "messages": [{"role": "user", "content": "Hi"}], name: {"mode": "on"}})
    with pytest.raises(CallerFault) as refused:
        provider.prepare(call, make_target("m"))
    assert refused.value.param == name
    sent = provider.prepare(call, make_target("m", hosted_tools=frozenset({name}))).request.body
    assert name.encode() in sent
