"""Output items in the making: each opens, takes deltas, and closes, saying so in events in OpenAI's order.

message        output_item.added, (content_part.added, deltas, text.done | refusal.done, content_part.done)*,
               output_item.done
reasoning      the same with reasoning_text, or reasoning_summary_part/_text when summaries were asked for
calls          see `gateway.wire.bridge.calls`
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.wire.responses.events import DeltaTemplate
from gateway.wire.responses.objects import (
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
