"""Messages and event streams of servers that copied Anthropic's dialect, put right where an SDK could not read them.

Source of what is right: Anthropic's reference of `Message`, "Streaming messages" and "Handling stop reasons"; the
official SDKs append a block at each `content_block_start`, find it by `index` at each delta, and count on in the usage
of `message_start`. Whatever is right already is left alone, and told so.
"""

from __future__ import annotations

import hashlib
from typing import Any

from gateway.api import StreamedJson, dict_of, dump, load_exact, nonsense, text_of
from tollgate_anthropic.reading import finish_of

from .blocks import input_of

Json = dict[str, Any]

_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
"""Words of OpenAI's, which servers put here. Others stay: they may be new ones of Anthropic's."""
_BEGINNINGS: dict[str, Json] = {
    "text_delta": {"type": "text", "text": ""},
    "citations_delta": {"type": "text", "text": ""},
    "thinking_delta": {"type": "thinking", "thinking": "", "signature": ""},
    "signature_delta": {"type": "thinking", "thinking": "", "signature": ""},
}
"""What a delta belongs to whose block was never begun."""


def right_reason(given: Any, called: bool) -> Any:
    """A `stop_reason` in Anthropic's words that agrees with what the answer holds: agents look at it to see whether
    there are calls to run. Raises the fault of an answer that failed."""
    if not isinstance(given, str) or not given:
        return given
    finish_of(given)
    reason = _REASONS.get(given, given)
    if called and reason == "end_turn":
        return "tool_use"
    return "end_turn" if not called and reason == "tool_use" else reason


def right_message(message: Json) -> Json:
    """A whole message. Raises the Fault of a call without a name, and of an answer that failed."""
    ids: set[str] = set()
    seed = text_of(message.get("id"))
    content = [right_block(block, ids, seed) if isinstance(block, dict) else block for block in message["content"]]
    reason = right_reason(message.get("stop_reason"), bool(ids))
    if reason == message.get("stop_reason") and all(
        new is old for new, old in zip(content, message["content"], strict=True)
    ):
        return message
    return {**message, "content": content, "stop_reason": reason}


def right_block(block: Json, ids: set[str], seed: str) -> Json:
    """A block, or the beginning of one. ids: of the calls so far; that of this block is added. seed: of ids that are
    missing. Raises the Fault of a call without a name."""
    if block.get("type") != "tool_use":
        return block
    if not text_of(block.get("name")):
        raise nonsense("The provider's answer has a tool call without a name.")
    identity, given = text_of(block.get("id")), block.get("input")
    if not identity or identity in ids:
        identity = "toolu_" + hashlib.sha256(f"{seed}:{len(ids)}".encode("utf-8", "replace")).hexdigest()[:24]
    ids.add(identity)
    if isinstance(given, str):
        given = input_of(given)
    if identity == block.get("id") and given is block.get("input") and isinstance(given, dict):
        return block
    return {**block, "id": identity, "input": given if isinstance(given, dict) else {}}


class StreamRepair:
    """Repairs the events of one stream. message_id: for one that never began."""

    def __init__(self, message_id: str) -> None:
        # How a delta begins that belongs to the open block as it should.
        self._head = _NEVER
        self._input: StreamedJson | None = None  # of the open block, where that is a call
        self._message_id = self._seed = message_id
        self._begun = False
        self._open: int | None = None
        self._places: dict[Any, int] = {}  # by the server's index: the block that it gave it to last
        self._next = 0
        self._ids: set[str] = set()

    def passes(self, payload: bytes) -> bool:
        """Whether an event is a delta in which there is nothing to put right."""
        if not payload.startswith(self._head):
            return False
        return self._input is None or (self._input.is_calm and b"\\" not in payload)

    def take(self, event: Json, payload: bytes) -> list[bytes]:
        """The payloads of the events that this one becomes; `payload` itself where it is right. Raises the Fault of a
        call without a name, and of an answer that failed."""
        kind, out = event["type"], list[bytes]()
        if kind == "message_start":
            self._begun = True
            message = dict_of(event.get("message"))
            begun = message.get("content")
            self._next = len(begun) if isinstance(begun, list) else 0  # some servers put the beginning here
            self._places.update({place: place for place in range(self._next)})
            if not text_of(message.get("id")):
                payload = dump({**event, "message": {**message, "id": self._message_id}}).encode()
        elif kind.startswith("content_block") or kind == "message_delta":
            self._begin(out)
        if kind == "content_block_start":
            self._start(event, payload, out)
        elif kind == "content_block_delta":
            self._delta(event, payload, out)
        elif kind == "content_block_stop":
            if self._open is not None:
                self._put(event, payload, self._open, out)
                self._closed()
        elif kind == "message_delta":
            self._end(event, payload, out)
        else:
            out.append(payload)
        return out

    def _begin(self, out: list[bytes]) -> None:
        if self._begun:
            return
        self._begun = True
        message = {"id": self._message_id, "type": "message", "role": "assistant", "content": []}
        out.append(dump({"type": "message_start", "message": message}).encode())

    def _start(self, event: Json, payload: bytes, out: list[bytes]) -> None:
        self._stop(out)
        given = event.get("index")
        place, self._next = self._next, self._next + 1
        self._open = self._places[given] = place
        block = event.get("content_block")
        if isinstance(block, dict) and block.get("input"):
            block = dict_of(load_exact(payload)).get("content_block")  # with all digits
        right = right_block(block if isinstance(block, dict) else {"type": "text", "text": ""}, self._ids, self._seed)
        if right is not block:
            payload = dump({**event, "content_block": right}).encode()
        self._put(event, payload, place, out)
        self._input = StreamedJson() if right.get("type") == "tool_use" else None
        if given == place:
            self._head = b'{"type":"content_block_delta","index":%d,' % place

    def _delta(self, event: Json, payload: bytes, out: list[bytes]) -> None:
        place = self._places.get(event.get("index"), self._open)
        if place is None:
            block = _BEGINNINGS.get(text_of(dict_of(event.get("delta")).get("type")))
            if block is None:
                return  # a piece of nothing
            begin = {"type": "content_block_start", "index": event.get("index"), "content_block": block}
            self._start(begin, dump(begin).encode(), out)
            place = self._open
        delta = event.get("delta")
        piece = delta.get("partial_json") if isinstance(delta, dict) else None
        if self._input is not None and isinstance(piece, str):
            mended = self._input.mend(piece)
            if mended is not piece:
                event = {**event, "delta": {**dict_of(delta), "partial_json": mended}}
                payload = dump(event).encode()
        self._put(event, payload, place, out)

    def _end(self, event: Json, payload: bytes, out: list[bytes]) -> None:
        delta = dict_of(event.get("delta"))
        given = delta.get("stop_reason")
        if given:
            self._stop(out)
        reason = right_reason(given, bool(self._ids))
        out.append(payload if reason == given else dump({**event, "delta": {**delta, "stop_reason": reason}}).encode())

    def _stop(self, out: list[bytes]) -> None:
        if self._open is not None:
            out.append(b'{"type":"content_block_stop","index":%d}' % self._open)
            self._closed()

    def _closed(self) -> None:
        self._open, self._head, self._input = None, _NEVER, None

    def _put(self, event: Json, payload: bytes, place: int | None, out: list[bytes]) -> None:
        given = event.get("index")
        right = given == place and type(given) is int
        out.append(payload if right else dump({**dict_of(load_exact(payload)), "index": place}).encode())


_NEVER = b"\0"
"""Begins no payload."""
