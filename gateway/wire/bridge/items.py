"""Output items in the making: each opens, takes deltas, and closes, saying so in events in OpenAI's order.

message        output_item.added, (content_part.added, deltas, text.done | refusal.done, content_part.done)*,
               output_item.done
reasoning      the same with reasoning_text, or reasoning_summary_part/_text when summaries were asked for
function_call  output_item.added, arguments deltas, arguments.done, output_item.done (custom tools: input)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from gateway.wire.bridge.client_tools import Alias, restore_call
from gateway.wire.bridge.tools import unwrap_custom_input
from gateway.wire.responses.events import DeltaTemplate
from gateway.wire.responses.ids import item_id_for_call
from gateway.wire.responses.objects import (
    custom_call_item,
    function_call_item,
    message_item,
    reasoning_item,
    refusal_part,
    text_part,
)
from gateway.wire.responses.sealed_reasoning import seal

Json = dict[str, Any]


class Emitter:
    """Collects events and numbers them without a gap. number: the next sequence_number."""

    __slots__ = ("number", "out")

    def __init__(self) -> None:
        self.number = 0
        self.out: list[Json] = []

    def emit(self, kind: str, fields: Mapping[str, Any]) -> None:
        self.out.append({"type": kind, **fields, "sequence_number": self.number})
        self.number += 1

    def take(self) -> list[Json]:
        """The events since the last take."""
        out, self.out = self.out, []
        return out


class Channel:
    """One run of text deltas of one kind: what was said so far, and the template of its events."""

    __slots__ = ("_emitter", "template", "texts")

    def __init__(
        self, emitter: Emitter, kind: str, fields: Mapping[str, Any], extra: Mapping[str, Any] | None = None
    ) -> None:
        self._emitter = emitter
        self.texts: list[str] = []
        self.template = DeltaTemplate(kind, fields, extra)

    def add(self, text: str) -> None:
        emitter = self._emitter
        self.texts.append(text)
        emitter.out.append(self.template.event(text, emitter.number))
        emitter.number += 1

    def encode(self, text: str) -> bytes:
        """The same as `add`, but the event comes back as bytes at once."""
        emitter = self._emitter
        data = self.template.encode(text, emitter.number)
        emitter.number += 1
        self.texts.append(text)
        return data

    @property
    def text(self) -> str:
        return "".join(self.texts)


class OpenMessage:
    """A message item. channel: that of the open text part, None while none is open."""

    def __init__(self, emitter: Emitter, item_id: str, index: int) -> None:
        self._emitter = emitter
        self._id = item_id
        self._index = index
        self._parts: list[Json] = []
        self._logprobs: list[Json] = []
        self._annotations: list[Json] = []
        self._refusal: Channel | None = None
        self.channel: Channel | None = None
        item = message_item(item_id, [], "in_progress")
        emitter.emit("response.output_item.added", {"output_index": index, "item": item})

    def _where(self) -> Json:
        return {"item_id": self._id, "output_index": self._index, "content_index": len(self._parts)}

    def open_text(self) -> Channel:
        """The channel of the text part, opened when need be."""
        if self.channel is None:
            self._close_part()
            where = self._where()
            self._emitter.emit("response.content_part.added", {**where, "part": text_part()})
            self.channel = Channel(self._emitter, "response.output_text.delta", where, {"logprobs": []})
            self._logprobs, self._annotations = [], []
        return self.channel

    def text_with_logprobs(self, text: str, logprobs: list[Json]) -> None:
        channel = self.open_text()
        self._logprobs += logprobs
        channel.texts.append(text)
        fields = {**self._where(), "delta": text, "logprobs": logprobs}
        self._emitter.emit("response.output_text.delta", fields)

    def annotate(self, annotation: Json) -> None:
        self.open_text()
        fields = {**self._where(), "annotation_index": len(self._annotations), "annotation": annotation}
        self._annotations.append(annotation)
        self._emitter.emit("response.output_text.annotation.added", fields)

    def refuse(self, text: str) -> None:
        if self._refusal is None:
            self._close_part()
            where = self._where()
            self._emitter.emit("response.content_part.added", {**where, "part": refusal_part()})
            self._refusal = Channel(self._emitter, "response.refusal.delta", where)
        self._refusal.add(text)

    def _close_part(self) -> None:
        where = self._where()
        if self.channel is not None:
            text = self.channel.text
            part = text_part(text, self._annotations, self._logprobs)
            self._emitter.emit("response.output_text.done", {**where, "text": text, "logprobs": part["logprobs"]})
        elif self._refusal is not None:
            text = self._refusal.text
            part = refusal_part(text)
            self._emitter.emit("response.refusal.done", {**where, "refusal": text})
        else:
            return
        self._emitter.emit("response.content_part.done", {**where, "part": part})
        self._parts.append(part)
        self.channel = self._refusal = None

    def close(self, status: str) -> Json:
        self._close_part()
        item = message_item(self._id, self._parts, status)
        self._emitter.emit("response.output_item.done", {"output_index": self._index, "item": item})
        return item


class OpenReasoning:
    """A reasoning item. summary: say the text as summary, else as raw reasoning text."""

    def __init__(self, emitter: Emitter, item_id: str, index: int, *, summary: bool) -> None:
        self._emitter = emitter
        self._id = item_id
        self._index = index
        self._summary = summary
        self.details: list[Json] = []
        self.channel: Channel | None = None
        emitter.emit("response.output_item.added", {"output_index": index, "item": reasoning_item(item_id)})

    def _where(self) -> Json:
        place = "summary_index" if self._summary else "content_index"
        return {"item_id": self._id, "output_index": self._index, place: 0}

    def open_text(self) -> Channel:
        if self.channel is None:
            added, delta = (
                ("response.reasoning_summary_part.added", "response.reasoning_summary_text.delta")
                if self._summary
                else ("response.content_part.added", "response.reasoning_text.delta")
            )
            self._emitter.emit(added, {**self._where(), "part": self._part("")})
            self.channel = Channel(self._emitter, delta, self._where())
        return self.channel

    def _part(self, text: str) -> Json:
        return {"type": "summary_text" if self._summary else "reasoning_text", "text": text}

    def close(self, *, keep_text: bool) -> Json:
        """keep_text: put the text into the envelope, too, for a client that keeps nothing else of the item."""
        text = self.channel.text if self.channel is not None else ""
        if self.channel is not None:
            done, part = (
                ("response.reasoning_summary_text.done", "response.reasoning_summary_part.done")
                if self._summary
                else ("response.reasoning_text.done", "response.content_part.done")
            )
            self._emitter.emit(done, {**self._where(), "text": text})
            self._emitter.emit(part, {**self._where(), "part": self._part(text)})
        sealed = seal(self.details, text if keep_text else "") if self.details or keep_text else None
        texts = {"summary": text} if self._summary else {"content": text}
        item = reasoning_item(self._id, encrypted_content=sealed, **texts)
        self._emitter.emit("response.output_item.done", {"output_index": self._index, "item": item})
        return item


class OpenCall:
    """A call of one of the caller's tools.

    kind: `function_call` or `custom_tool_call`. emulated: the custom tool is a function upstream, whose one argument
    `input` is unwrapped on the way. alias: what the function of this name stands for.
    """

    def __init__(
        self,
        emitter: Emitter,
        index: int,
        call_id: str,
        name: str,
        *,
        kind: str,
        emulated: bool = False,
        alias: Alias | None = None,
    ) -> None:
        self._emitter = emitter
        self.index = index
        self.call_id = call_id
        self._name = name if alias is None else alias.name
        self._alias = alias
        self._told = kind in ("function_call", "custom_tool_call")
        self._custom = kind == "custom_tool_call"
        self._unwrap = _InputReader() if emulated else None
        self._item_id = item_id_for_call(call_id, kind if self._told else "function_call")
        self._where = {"item_id": self._item_id, "output_index": index}
        delta = "response.custom_tool_call_input.delta" if self._custom else "response.function_call_arguments.delta"
        self._channel = Channel(emitter, delta, self._where)
        emitter.emit("response.output_item.added", {"output_index": index, "item": self._item("", "in_progress")})

    @property
    def channel(self) -> Channel | None:
        """Where argument fragments may go directly; None when they have to be read first."""
        return None if self._unwrap is not None or not self._told else self._channel

    def add(self, fragment: str) -> None:
        text = fragment if self._unwrap is None else self._unwrap.feed(fragment)
        if not self._told:
            # Items of other kinds come whole: there are no events for their pieces.
            self._channel.texts.append(text)
        elif text:
            self._channel.add(text)

    def _item(self, text: str, status: str) -> Json:
        if self._alias is not None and not self._told:
            return restore_call(self._alias, self._item_id, self.call_id, text, status)
        make = custom_call_item if self._custom else function_call_item
        item = make(self.call_id, self._name, text, status)
        if self._alias is not None and self._alias.namespace:
            item["namespace"] = self._alias.namespace
        return item

    def close(self, status: str) -> Json:
        if self._unwrap is not None:
            rest = self._unwrap.finish()
            if rest:
                self._channel.add(rest)
        text = self._channel.text
        if not self._told:
            pass
        elif self._custom:
            self._emitter.emit("response.custom_tool_call_input.done", {**self._where, "input": text})
        else:
            done = {**self._where, "name": self._name, "arguments": text}
            self._emitter.emit("response.function_call_arguments.done", done)
        item = self._item(text, status)
        self._emitter.emit("response.output_item.done", {"output_index": self.index, "item": item})
        return item


_HEAD = re.compile(r'\s*\{\s*"input"\s*:\s*"')
# As much of a JSON string's inside as is whole: no lone backslash, \u escape or half of a surrogate pair at its end; so
# many steps at a time, because the matcher remembers each.
_WHOLE = re.compile(
    r'(?:[^"\\]+|\\["\\/bfnrt]|\\u(?:[0-9a-ce-fA-CE-F][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}'
    r"|[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})){0,1000}"
)
_LONGEST_HEAD = 256
_LONGEST_ESCAPE = 12


class _InputReader:
    """Reads the string out of `{"input": "..."}` as it arrives. What does not begin so is handed over at the end."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._head: str | None = ""
        self._rest = ""
        self._inside = self._over = False

    def feed(self, fragment: str) -> str:
        if self._over:
            return ""
        if not self._inside:
            self._parts.append(fragment)
            if not self._begin(fragment):
                return ""
        else:
            self._rest += fragment  # at most a cut-off escape stands before it
        end = 0
        while (found := _WHOLE.match(self._rest, end)) is not None and found.end() > end:
            end = found.end()
        piece, self._rest = self._rest[:end], self._rest[end:]
        self._over = self._rest[:1] == '"' or len(self._rest) > _LONGEST_ESCAPE
        if not piece:
            return ""
        try:
            text: str = orjson.loads(f'"{piece}"')
        except orjson.JSONDecodeError:
            # A raw control character: not JSON, but what the model meant.
            text = piece
        return text

    def finish(self) -> str:
        return "" if self._inside else unwrap_custom_input("".join(self._parts))

    def _begin(self, fragment: str) -> bool:
        """Whether the string has begun; what is long and does not begin with it never will."""
        if self._head is None:
            return False
        self._head += fragment
        found = _HEAD.match(self._head)
        if found is not None:
            self._inside, self._rest = True, self._head[found.end() :]
            self._parts.clear()
        if found is not None or len(self._head) > _LONGEST_HEAD:
            self._head = None
        return self._inside
