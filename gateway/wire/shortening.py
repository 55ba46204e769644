"""Whole answers that are longer than they may be, ended where they should have ended.

Who wrote on beyond the limit said nothing of where the limit was, so it is found as tokens are estimated: four bytes of
text a token, or fewer by its script. What is left is of known members only: others may hold the same text once more.
"""

from __future__ import annotations

from typing import Any

from gateway.wire.lenient import dict_of, dicts_of
from gateway.wire.text_tokens import WrittenTokens

Json = dict[str, Any]

_BYTES = 4
"""Bytes of text a token; see `gateway.wire.tokens.estimate_tokens`."""
_OUTPUT_LIMIT = {"reason": "max_output_tokens"}


class TextRoom:
    """Room for so many output tokens of text, taken from the beginning."""

    def __init__(self, tokens: int) -> None:
        self.left = _BYTES * tokens

    def fit(self, text: str) -> str:
        """As much of the beginning of a text as there is room for, in whole letters."""
        size = _size(text)
        if size > self.left:
            raw = text.encode("utf-8", "surrogatepass")
            text = raw[: len(raw) * self.left // size].decode("utf-8", "ignore")
        self.left = max(self.left - size, 0)
        return text

    def holds(self, text: str) -> bool:
        """Take the room for a text that is of use only as a whole; False when there is not enough, or none is left."""
        size = _size(text)
        fits = self.left >= max(size, 1)
        self.left = max(self.left - size, 0)
        return fits


def _size(text: str) -> int:
    """Bytes of a text that its tokens mostly have."""
    written = WrittenTokens()
    return max(written.add(text), int(_BYTES * written.count))


def shorten_completion(body: Json, tokens: int) -> Json:
    """A chat completion with at most so many tokens of text in each choice."""
    choices = [_short_choice(choice, TextRoom(tokens)) for choice in dicts_of(body.get("choices"))]
    return {**body, "choices": choices}


def _short_choice(choice: Json, room: TextRoom) -> Json:
    message = dict_of(choice.get("message"))
    short: Json = {"role": message.get("role", "assistant"), "content": None}
    for name in ("reasoning_content", "content", "refusal"):
        text = message.get(name)
        if isinstance(text, str):
            short[name] = room.fit(text)
    calls = []
    for call in dicts_of(message.get("tool_calls")):
        if not room.left:
            break
        function = dict_of(call.get("function"))
        if isinstance(function.get("arguments"), str):
            call = {**call, "function": {**function, "arguments": room.fit(function["arguments"])}}
        calls.append(call)
    if calls:
        short["tool_calls"] = calls
    return {"index": choice.get("index", 0), "message": short, "logprobs": None, "finish_reason": "length"}


def shorten_response(body: Json, tokens: int) -> Json:
    """A response object with at most so many tokens of text. Items of tools that ran stay as they are."""
    room, output = TextRoom(tokens), []
    for item in dicts_of(body.get("output")):
        if not room.left:
            break
        output.append(_short_item(item, room))
    return {
        **{name: value for name, value in body.items() if name != "output_text"},
        "status": "incomplete",
        "incomplete_details": dict(_OUTPUT_LIMIT),
        "output": output,
    }


def _short_item(item: Json, room: TextRoom) -> Json:
    before, short = room.left, dict(item)
    for name in ("summary", "content"):
        if isinstance(item.get(name), list):
            short[name] = [_short_part(part, room) for part in dicts_of(item[name]) if room.left]
    for name in ("arguments", "input"):
        if isinstance(item.get(name), str):
            short[name] = room.fit(item[name])
    if before and not room.left and "status" in item:
        short["status"] = "incomplete"
    return short


def _short_part(part: Json, room: TextRoom) -> Json:
    short = {name: value for name, value in part.items() if name != "logprobs"}
    for name in ("text", "refusal"):
        if isinstance(part.get(name), str):
            short[name] = room.fit(part[name])
    return short
