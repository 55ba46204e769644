"""What a request is put through, counted: nothing is done twice because the answer is recorded or nobody waits."""

from __future__ import annotations

from collections import Counter
from typing import Any

import orjson
import pytest

from gateway.call import Call
from gateway.http.server import request_context
from gateway.pipeline import Pipeline
from gateway.testing import json_reply, openai_completion, openai_stream, usage
from gateway.testing.upstream import Reply

from .responses_kit import RESPONSES

ONCE = {"identify": 1, "parse": 1, "authorize True": 1, "admit": 1, "finish": 1}
FINE = openai_completion("Hi", reported=usage(10, 2))


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The phases that calls go through, in order."""
    noted: list[str] = []

    def note(name: str) -> None:
        original = getattr(Pipeline, name)

        async def noting(self: Pipeline, call: Call, *more: Any) -> None:
            noted.append(f"authorize {len(call.body) > 0}" if name == "authorize" else name)
            await original(self, call, *more)

        monkeypatch.setattr(Pipeline, name, noting)

    for name in ("identify", "authorize", "admit", "finish"):
        note(name)
    original = request_context.parse_body

    async def parse(*arguments: Any, **more: Any) -> Any:
        noted.append("parse")
        return await original(*arguments, **more)

    monkeypatch.setattr(request_context, "parse_body", parse)
    return noted


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k"}])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}], "stream": True}),
        (RESPONSES, {"input": "Hi"}),
        (RESPONSES, {"input": "Hi", "background": True}),
        (RESPONSES, {"input": "Hi", "background": True, "stream": True}),
    ],
)
async def test_a_call_passes_every_phase_once(site: Any, seen: list[str], path: str, body: Any, headers: Any) -> None:
    async def count() -> tuple[int, dict[str, int]]:
        seen.clear()
        status, _, _ = await site.running.post(path, orjson.dumps(body), headers=headers)
        await site.rest()
        return status, dict(Counter(seen))

    streamed = body.get("stream") or body.get("background")
    site.upstream.reply(Reply(openai_stream("Hi", reported=usage(10, 2))) if streamed else json_reply(FINE))
    assert await count() == (200, ONCE)
    if headers:
        repeated = {"identify": 1, "parse": 1, f"authorize {path != RESPONSES}": 1}
        assert await count() == (200, repeated), "a repeat is no call"
