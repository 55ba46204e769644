"""A body at the door of another dialect: the fault says at which one it is taken."""

from __future__ import annotations

from typing import Any

import pytest

HELLO: list[dict[str, Any]] = [{"role": "user", "content": "Hi"}]
BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": HELLO}),
    "chat with a function": ("/v1/chat/completions", {"messages": HELLO, "tools": [{"function": {"name": "f"}}]}),
    "responses": ("/v1/responses", {"input": "Hi"}),
    "messages": ("/v1/messages", {"messages": HELLO, "max_tokens": 9, "system": "Be short."}),
    "generate_content": ("/v1beta/models/MODEL:generateContent", {"contents": [{"parts": [{"text": "Hi"}]}]}),
    "completions": ("/v1/completions", {"prompt": "Hi"}),
}
DOORS = ("/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1beta/models/fake/model:generateContent",
         "/v1/completions", "/v1/responses/compact")  # fmt: skip
# The door takes it, or says how it is to be written there.
TAKEN = {("chat", "/v1/messages"), ("responses", "/v1/responses/compact")}


@pytest.mark.parametrize("kind", BODIES)
async def test_a_body_at_the_wrong_door_is_shown_the_right_one(site: Any, kind: str) -> None:
    road, body = BODIES[kind]
    for door in DOORS:
        if door == road.replace("MODEL", "fake/model") or (kind, door) in TAKEN:
            continue
        status, _, raw = await site.running.post(door, body)
        assert status == 400, door
        assert f"is for POST {road}." in raw.decode(), (door, raw)
    assert not site.upstream.requests


async def test_a_fault_at_the_right_door_points_nowhere(site: Any) -> None:
    wrong = {"temperature": "x"}
    for door, body in (
        (DOORS[0], {"messages": HELLO, "stop_sequences": None}),
        (DOORS[0], {"messages": HELLO, "tools": [{"type": "function", "function": {"name": "f"}}]}),
        (DOORS[1], {"input": "Hi"}),
        (DOORS[2], {"messages": HELLO, "max_tokens": 9, "system": "Be short."}),
        (DOORS[4], {"prompt": "Hi"}),
        ("/v1/embeddings", {"messages": HELLO}),
    ):
        status, _, raw = await site.running.post(door, {**body, **wrong})
        assert status == 400
        assert b"is for POST" not in raw
