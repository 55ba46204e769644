"""What the tests of this plugin share: a request built in one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from tollgate_anthropic import Settings, create

from gateway.api import Call
from gateway.testing import make_call, make_target

Built = Callable[..., tuple[dict[str, Any], Call]]

USER = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def built() -> Built:
    """`built(body, model=..., max_output=...)`: the upstream body, and the call with what was reported on it.
    `messages` default to one user message."""

    def build(
        body: dict[str, Any], model: str = "claude-sonnet-4-5", options: dict[str, Any] | None = None, **more: Any
    ) -> tuple[dict[str, Any], Call]:
        call = make_call({"model": "test/model", "messages": USER, **body}, **more)
        provider = create("test", Settings(api_key="sk-ant-test"))
        request = provider.prepare(call, make_target(model, options=options or {})).request
        return orjson.loads(request.body), call

    return build
