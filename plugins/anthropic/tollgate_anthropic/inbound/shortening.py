"""A message that is longer than it may be, ended where it should have ended; see `gateway.api.TextRoom`."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.api import TextRoom, dicts_of

Json = dict[str, Any]


def shorten_message(body: Json, tokens: int) -> Json:
    """A message with at most so many tokens of text. A call of a tool that is not there whole is left out, as is the
    signature of thoughts that are not; blocks of tools that ran stay as they are."""
    room, content = TextRoom(tokens), []
    for block in dicts_of(body.get("content")):
        if not room.left:
            break
        kind = block.get("type")
        if kind == "tool_use" and not room.holds(orjson.dumps(block.get("input")).decode()):
            break
        for name in ("text", "thinking"):
            text = block.get(name)
            if isinstance(text, str):
                fitting = room.fit(text)
                block = {**block, name: fitting}
                if fitting != text:
                    block.pop("signature", None)
                    block.pop("citations", None)
        content.append(block)
    return {**body, "content": content, "stop_reason": "max_tokens", "stop_sequence": None}
