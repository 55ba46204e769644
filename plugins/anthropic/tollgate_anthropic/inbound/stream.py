"""A chat completion, streamed or whole, as a message of Anthropic's.

Source of the events and their order: Anthropic's page "Streaming Messages".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import orjson

from gateway.api import UpstreamFault, Watch, dict_of, dicts_of, dump, encode_event, nonsense, text_of

from .activity import blocks_of
from .blocks import Blocks, ContentWriter, Writer
from .turns import CALL_EXTRA
from .usage import ending_of, usage_of

Json = dict[str, Any]

_CALL_FRAME = frozenset({"index", "id", "type", "function", "custom"})
_OWN_EXTRAS = ("caller", "toolset_name")
_SPAN = frozenset({"index", "start_index", "end_index"})
_HEAD = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":'
_DELTA = _HEAD + b"%b}\n\n"
_TEXT = _HEAD + b'{"type":"text_delta","text":%b}}\n\n'


class EventWriter:
    """Writes blocks as events; `take` returns the bytes so far."""

    def __init__(self) -> None:
        self.out: list[bytes] = []
        self._index = -1

    def start(self, block: Json) -> None:
        self._index += 1
        self.event({"type": "content_block_start", "index": self._index, "content_block": block})

    def text(self, text: str) -> None:
        self.out.append(_TEXT % (self._index, _text_bytes(text)))

    def delta(self, delta: Json) -> None:
        self.out.append(_DELTA % (self._index, dump(delta).encode()))

    def stop(self) -> None:
        self.event({"type": "content_block_stop", "index": self._index})

    def event(self, event: Json) -> None:
        """Any event, named as its type says."""
        self.out.append(encode_event(event["type"], dump(event).encode()))

    def take(self) -> bytes:
        data = b"".join(self.out)
        self.out.clear()
        return data


def _text_bytes(text: str) -> bytes:
    return orjson.dumps(text)


class Answer:
    """Reads the deltas of one choice into blocks. stops: the stop sequences that were asked for."""

    def __init__(self, writer: Writer, fallback: str, stops: Collection[str] = ()) -> None:
        self.blocks = Blocks(writer, fallback)
        self.finish_reason = ""
        self._stops = stops
        self._ending: Json = {}
        self._refusal: list[str] = []
        self._native: set[str] = set()  # of what Anthropic's own servers did, and their blocks tell
        self._free: dict[Any, None] = {}  # calls of tools with free text, by index

    def add(self, delta: Json) -> None:
        """Take one delta, or a whole message. Raises UpstreamFault when it makes no sense."""
        blocks = self.blocks
        self._native.update(_ids_of(delta.get("reasoning_details")))
        for block in blocks_of(delta.get("x_gateway")):
            if (text_of(block.get("tool_use_id")) or text_of(block.get("id"))) not in self._native:
                blocks.add(block)
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(thought, str) and thought:
            blocks.think(thought)
        details, calls = delta.get("reasoning_details"), delta.get("tool_calls")
        for detail in details if isinstance(details, list) else ():
            if isinstance(detail, dict):
                self._detail(detail)
        if isinstance(calls, list):
            self._keep_extras(calls)
        for name in ("content", "refusal"):
            text = delta.get(name)
            if isinstance(text, str) and text:
                blocks.text(text)
                if name == "refusal":
                    self._refusal.append(text)
        self._cite(delta)
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict):
                self._call(call)

    def end(self, choice: Json) -> None:
        """The choice says why it ended. Raises UpstreamFault for a tool call without a name."""
        self.finish_reason = self.finish_reason or str(choice["finish_reason"])
        self._ending = choice
        for index in self._free:
            self.blocks.call(index, "", "", '"}', {})
        self._free.clear()
        if self.blocks.nameless():
            raise nonsense("The provider's answer has a tool call without a name.")

    def cut(self) -> None:
        """The gateway ends the answer for its length."""
        if not self.finish_reason:
            self.finish_reason = "length"
            self._ending = {"finish_reason": "length"}

    def ending(self) -> Json:
        """`stop_reason` and what belongs to it."""
        end = ending_of(self._ending, self.blocks.calls > 0, self._stops)
        if self._refusal and end["stop_reason"] == "end_turn":
            end["stop_reason"] = "refusal"
        if end["stop_reason"] == "refusal" and "stop_details" not in end:
            explained = "".join(self._refusal) or None
            end["stop_details"] = {"type": "refusal", "category": None, "explanation": explained}
        return end

    def _detail(self, detail: Json) -> None:
        kind = detail.get("type")
        if kind == "anthropic.thinking":
            signature = detail.get("signature")
            if isinstance(signature, str) and signature:
                self.blocks.sign(signature)
        elif kind == "anthropic.redacted_thinking":
            self.blocks.add({"type": "redacted_thinking", "data": text_of(detail.get("data"))})
        elif kind == "anthropic.block" and isinstance(detail.get("block"), dict):
            self.blocks.add(detail["block"])
        else:
            self.blocks.keep(detail)

    def _keep_extras(self, calls: list[Any]) -> None:
        """What an upstream wants back with a call (a thought signature) has no place in a block of Anthropic's."""
        for call in calls:
            identity = call.get("id") if isinstance(call, dict) else None
            if not isinstance(identity, str) or not identity:
                continue
            members = {
                key: value
                for key, value in call.items()
                if key not in _CALL_FRAME and key not in _OWN_EXTRAS and value is not None
            }
            if members:
                self.blocks.keep({"type": CALL_EXTRA, "id": identity, "members": members})

    def _call(self, call: Json) -> None:
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        arguments = function.get("arguments")
        arguments = dump(arguments) if isinstance(arguments, dict) else text_of(arguments)
        name = text_of(function.get("name"))
        custom = call.get("custom")
        if isinstance(custom, dict):  # a tool with free text, which Anthropic has none of
            name, arguments = text_of(custom.get("name")), self._free_text(call.get("index"), custom.get("input"))
        extras = {key: call[key] for key in _OWN_EXTRAS if call.get(key) is not None}
        self.blocks.call(call.get("index"), text_of(call.get("id")), name, arguments, extras)

    def _free_text(self, index: Any, text: Any) -> str:
        """A piece of a text as a piece of arguments that have it as their `input`."""
        opening = "" if index in self._free else '{"input":"'
        self._free[index] = None
        return opening + _text_bytes(text_of(text))[1:-1].decode()

    def _cite(self, delta: Json) -> None:
        notes, others = delta.get("annotations"), delta.get("citations")
        for note in notes if isinstance(notes, list) else ():
            found = note.get("url_citation") if isinstance(note, dict) else None
            if isinstance(found, dict):
                self.blocks.cite(_citation(found))
        for other in others if isinstance(others, list) else ():
            if isinstance(other, dict) and isinstance(other.get("type"), str):
                self.blocks.cite(_document({key: value for key, value in other.items() if key not in _SPAN}))


def _ids_of(details: Any) -> set[str]:
    """The ids of what Anthropic's own servers did."""
    blocks = [dict_of(detail.get("block")) for detail in dicts_of(details)]
    return {text_of(block.get("tool_use_id")) or text_of(block.get("id")) for block in blocks} - {""}


def _document(found: Json) -> Json:
    """A citation of a document; those of other providers name a file and no place in it."""
    if found["type"] not in ("file_citation", "container_file_citation", "file_path"):
        return found
    frame = {"type": "char_location", "cited_text": "", "document_index": 0, "start_char_index": 0, "end_char_index": 0}
    return {**frame, "document_title": found.get("filename"), "file_id": found.get("file_id")}


def _citation(found: Json) -> Json:
    """A citation with an address: a search result that the caller gave, or one of a web search."""
    rest = {key: value for key, value in found.items() if key not in _SPAN and key not in ("url", "title")}
    cited = {"cited_text": text_of(found.get("cited_text")), "title": found.get("title")}
    if "search_result_index" in found:
        return {"type": "search_result_location", "source": text_of(found.get("url")), **rest, **cited}
    frame = {"type": "web_search_result_location", "url": text_of(found.get("url")), "encrypted_index": ""}
    return {**frame, **rest, **cited}


class ChatStream:
    """Chat chunks in, events out. message_id, model: what the message bears. watch: see `InboundCall.relay`."""

    def __init__(self, message_id: str, model: str, stops: Collection[str], watch: Watch | None) -> None:
        self._message_id = message_id
        self._model = model
        self._watch = watch
        self._writer = EventWriter()
        self._answer = Answer(self._writer, "toolu_" + message_id.removeprefix("msg_"), stops)
        self._begun = False

    def feed(self, item: bytes | Json) -> bytes:
        """The events that one chunk makes. Raises UpstreamFault when it makes no sense."""
        chunk = item
        if isinstance(chunk, bytes):
            try:
                chunk = orjson.loads(chunk)
            except orjson.JSONDecodeError:
                chunk = b""
            if not isinstance(chunk, dict):
                detail = item[:500].decode("utf-8", "replace") if isinstance(item, bytes) else ""
                raise UpstreamFault(
                    "The provider sent a stream event that is not a JSON object.",
                    code="upstream_invalid_response",
                    detail=detail,
                )
        if self._watch is not None:
            self._watch(chunk)
        if not self._begun:
            self._begin()
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict) or choice.get("index"):
                continue
            delta = choice.get("delta")
            if isinstance(delta, dict):
                self._answer.add(delta)
            if choice.get("finish_reason"):
                self._answer.end(choice)
        return self._writer.take()

    def finish(self, usage: Mapping[str, Any]) -> bytes:
        """The closing events, with the usage that was billed."""
        if not self._begun:
            self._begin()
        self._answer.blocks.close()
        self._writer.event({"type": "message_delta", "delta": self._answer.ending(), "usage": usage_of(usage)})
        self._writer.event({"type": "message_stop"})
        return self._writer.take()

    def cut(self) -> None:
        """The gateway ends the answer here."""
        self._answer.cut()

    def _begin(self) -> None:
        self._begun = True
        message: Json = {
            "id": self._message_id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            # What was used is known at the end; `message_delta` says it.
            "usage": {"input_tokens": 0, "output_tokens": 0},
        }
        self._writer.event({"type": "message_start", "message": message})


def message_of(completion: Json, message_id: str, stops: Collection[str]) -> Json:
    """The message for a whole completion. Raises UpstreamFault when it has none."""
    choices = completion.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    said = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(said, dict):
        raise nonsense("The provider's answer has no message.")
    calls, usage = said.get("tool_calls"), completion.get("usage")
    if isinstance(calls, list):
        # A completion's calls have no index; two that share one by mistake must not become one call.
        said = {**said, "tool_calls": [{**c, "index": at} if isinstance(c, dict) else c for at, c in enumerate(calls)]}
    writer = ContentWriter()
    answer = Answer(writer, "toolu_" + message_id.removeprefix("msg_"), stops)
    answer.add(said)
    answer.end({"finish_reason": "stop", **{key: value for key, value in choice.items() if value is not None}})
    answer.blocks.close()
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": completion.get("model"),
        "content": writer.content,
        **answer.ending(),
        "usage": usage_of(usage if isinstance(usage, dict) else {}),
    }
