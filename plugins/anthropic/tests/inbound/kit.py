"""A strict reader of Anthropic's event streams, and the message they fold into: written a second time, in the plainest
way, to check the machines by."""

from __future__ import annotations

from typing import Any

import orjson

Json = dict[str, Any]

DELTAS = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("thinking", "signature"),
    "input_json_delta": ("*", "partial_json"),
    "citations_delta": ("text", "citation"),
}
"""Kind of delta: the kind of block it belongs to (`*`: any with an input), and its member."""


def read_events(body: bytes) -> list[Json]:
    """The events of a whole stream; every one is named as its data says."""
    assert body.endswith(b"\n\n"), body[-80:]
    found = []
    for block in body.split(b"\n\n")[:-1]:
        if block.startswith(b":"):
            continue
        name, data = block.split(b"\n")
        event = orjson.loads(data.removeprefix(b"data: "))
        assert name == b"event: " + event["type"].encode()
        found.append(event)
    return found


def fold(events: list[Json]) -> Json:
    """The message of a stream that ended well. Checks the order of events on the way."""
    events = [event for event in events if event["type"] != "ping"]
    assert events[0]["type"] == "message_start"
    message = orjson.loads(orjson.dumps(events[0]["message"]))
    assert message["type"] == "message"
    assert message["role"] == "assistant"
    assert message["content"] == []
    assert message["stop_reason"] is None
    assert events[-1] == {"type": "message_stop"}
    content: list[Json] = message["content"]
    pieces: list[str] = []
    open_: int | None = None
    ended = False
    for event in events[1:-1]:
        kind = event["type"]
        assert not ended, "nothing but message_stop follows message_delta"
        if kind == "content_block_start":
            assert open_ is None, "one block at a time"
            open_ = event["index"]
            assert open_ == len(content)
            content.append(event["content_block"])
            pieces = []
        elif kind == "content_block_delta":
            assert event["index"] == open_
            _lay(content[-1], event["delta"], pieces)
        elif kind == "content_block_stop":
            assert event["index"] == open_
            open_ = None
            if "".join(pieces):
                content[-1]["input"] = orjson.loads("".join(pieces))
        else:
            assert kind == "message_delta", kind
            assert open_ is None
            ended = True
            message.update(event["delta"])
            message["usage"].update(event["usage"])
    assert ended
    assert message["stop_reason"]
    return message


def _lay(block: Json, delta: Json, pieces: list[str]) -> None:
    kind, member = DELTAS[delta["type"]]
    assert kind in ("*", block["type"])
    if delta["type"] == "input_json_delta":
        assert "input" in block
        pieces.append(delta[member])
    elif delta["type"] == "citations_delta":
        block["citations"] = [*(block.get("citations") or []), delta[member]]
    else:
        block[member] = block.get(member, "") + delta[member]
