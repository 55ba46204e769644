"""What the gateway does between and within the rounds, as members of hub chunks that each dialect's relay may show.

`delta.x_gateway` of a chunk is a list of events: `added` and `done` carry an item in the form of OpenAI's Responses
API, `event` a step of it (its type as there, and its members), `round` says that another answer of the model follows.
Relays of other dialects take what they can show; OpenAI's SDKs skip members that they do not know. Pure.
"""

from __future__ import annotations

from typing import Any

from gateway.tools import Activity
from gateway.wire.chat.activity import MEMBER

Json = dict[str, Any]

PROGRESS = "x_gateway.progress"
"""An event that the Responses API has no name for: a tool tells how far it is."""


def chunk_of(events: list[Json]) -> Json:
    """A hub chunk with these events and nothing else."""
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {MEMBER: Activity(events)}}]}


def added(item: Json) -> Json:
    """An item begins."""
    return {"event": "added", "id": item["id"], "item": item}


def step(item_id: str, kind: str, **members: Any) -> Json:
    """Something about an item: `kind` as in the Responses API, `response.web_search_call.searching`."""
    return {"event": "event", "id": item_id, "type": kind, "members": members}


def done(item: Json) -> Json:
    """An item as it is at last."""
    return {"event": "done", "id": item["id"], "item": item}


def next_round() -> Json:
    """The model will be asked again."""
    return {"event": "round"}
