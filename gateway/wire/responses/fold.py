"""The events of a streamed response added up.

A client may look at the final object or add up the events; both must give the same. `ResponseFold` adds up events of
any maker (ours in tests, an upstream's in a relay), and notes every contradiction it meets on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.wire.lenient import nests_deeper
from gateway.wire.responses.events import TERMINAL

Json = dict[str, Any]

# Event type of a delta -> the list of parts it lies in ("" for the item itself), its index, the member it extends.
_DELTAS: dict[str, tuple[str, str, str]] = {
    "response.output_text.delta": ("content", "content_index", "text"),
    "response.refusal.delta": ("content", "content_index", "refusal"),
    "response.reasoning_text.delta": ("content", "content_index", "text"),
    "response.reasoning_summary_text.delta": ("summary", "summary_index", "text"),
    "response.function_call_arguments.delta": ("", "", "arguments"),
    "response.custom_tool_call_input.delta": ("", "", "input"),
    "response.mcp_call_arguments.delta": ("", "", "arguments"),
    "response.code_interpreter_call_code.delta": ("", "", "code"),
}

# Event type of the end of a text -> the same, and the event's member that repeats the whole text.
_DONES: dict[str, tuple[str, str, str]] = {
    "response.output_text.done": ("content", "content_index", "text"),
    "response.refusal.done": ("content", "content_index", "refusal"),
    "response.reasoning_text.done": ("content", "content_index", "text"),
    "response.reasoning_summary_text.done": ("summary", "summary_index", "text"),
    "response.function_call_arguments.done": ("", "", "arguments"),
    "response.custom_tool_call_input.done": ("", "", "input"),
    "response.mcp_call_arguments.done": ("", "", "arguments"),
    "response.code_interpreter_call_code.done": ("", "", "code"),
}

_PARTS = {
    "response.content_part.added": ("content", "content_index"),
    "response.reasoning_summary_part.added": ("summary", "summary_index"),
}

_PARTS_DONE = {
    "response.content_part.done": ("content", "content_index"),
    "response.reasoning_summary_part.done": ("summary", "summary_index"),
}

_MAX_DEPTH = 200


class ResponseFold:
    """Adds up events, in order: `for event in events: fold.add(event)`.

    problems: contradictions, each in one line: gaps in sequence_number, texts that differ from their deltas, events
    about items that were never added, a final object that is not what the events add up to. Of events of
    unknown types only the number is read. Never raises, whatever an event holds.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.final: Json | None = None
        self.error: Json | None = None
        self._base: Json = {}
        self._items: dict[int, Json] = {}
        self._texts: dict[tuple[Any, ...], list[str]] = {}
        self._next: int | None = None

    @property
    def response(self) -> Json:
        """The final object if it came, else what the events add up to so far."""
        return self.final if self.final is not None else self.added_up

    @property
    def added_up(self) -> Json:
        """The response with the output that the events make, the rest as the last event that bore it says."""
        self._settle()
        output = [self._items[index] for index in sorted(self._items)]
        return {**self._base, "output": output}

    def add(self, event: Any) -> None:
        """Take the next event."""
        if not isinstance(event, Mapping):
            self.problems.append(f"an event is not an object but {type(event).__name__}")
            return
        if nests_deeper(event, _MAX_DEPTH):
            self.problems.append("an event nests too deeply")
            return
        self._number(event)
        kind = event.get("type")
        if not isinstance(kind, str):
            self.problems.append("an event has no type")
        elif kind in _DELTAS:
            self._delta(event, _DELTAS[kind])
        elif kind in _DONES:
            self._done(event, _DONES[kind])
        elif kind in _PARTS:
            self._part_added(event, *_PARTS[kind])
        elif kind in _PARTS_DONE:
            self._part_done(event, *_PARTS_DONE[kind])
        else:
            handler = _HANDLERS.get(kind)
            if handler is not None:
                handler(self, event)

    # -- parts of the machine ---------------------------------------------------------------------------------

    def _number(self, event: Mapping[str, Any]) -> None:
        number = event.get("sequence_number")
        if type(number) is not int:
            self.problems.append(f"{event.get('type')}: sequence_number is {number!r}")
            return
        if self._next is not None and number != self._next:
            self.problems.append(f"{event.get('type')}: sequence_number {number} where {self._next} is due")
        self._next = number + 1

    def _item(self, event: Mapping[str, Any]) -> Json | None:
        index = event.get("output_index")
        item = self._items.get(index) if type(index) is int else None
        if item is None:
            self.problems.append(f"{event.get('type')}: there is no item at output_index {index!r}")
            return None
        item_id = event.get("item_id")
        if item_id is not None and item_id != item.get("id"):
            self.problems.append(f"{event.get('type')}: item_id {item_id!r} but the item's id is {item.get('id')!r}")
        return item

    def _holder(self, event: Mapping[str, Any], group: str, index_name: str) -> Json | None:
        """The part, or the item itself, that an event is about."""
        item = self._item(event)
        if not group:
            return item
        if item is None:
            return None
        parts, index = item.get(group), event.get(index_name)
        part: Any = None
        if isinstance(parts, list) and type(index) is int and 0 <= index < len(parts):
            part = parts[index]
        if isinstance(part, dict):
            return part
        self.problems.append(f"{event.get('type')}: there is no part at {index_name} {index!r}")
        return None

    def _delta(self, event: Mapping[str, Any], where: tuple[str, str, str]) -> None:
        group, index_name, member = where
        holder, delta = self._holder(event, group, index_name), event.get("delta")
        if holder is None or not isinstance(delta, str):
            return
        key = (event.get("output_index"), group, event.get(index_name) if group else None, member)
        self._texts.setdefault(key, []).append(delta)
        logprobs = event.get("logprobs")
        if isinstance(logprobs, list) and logprobs:
            holder.setdefault("logprobs", []).extend(logprobs)

    def _settle(self) -> None:
        """Put the deltas collected so far into their items."""
        for (index, group, place, member), texts in self._texts.items():
            holder = self._items[index][group][place] if group else self._items[index]
            before = holder.get(member)
            holder[member] = (before if isinstance(before, str) else "") + "".join(texts)
        self._texts.clear()

    def _done(self, event: Mapping[str, Any], where: tuple[str, str, str]) -> None:
        group, index_name, member = where
        self._settle()
        holder = self._holder(event, group, index_name)
        if holder is not None and event.get(member) != (holder.get(member) or ""):
            self.problems.append(f"{event.get('type')}: {member} is not what the deltas add up to")
            holder[member] = event.get(member)

    def _part_added(self, event: Mapping[str, Any], group: str, index_name: str) -> None:
        item, part = self._item(event), event.get("part")
        if item is None or not isinstance(part, dict):
            return
        parts = item.setdefault(group, [])
        if not isinstance(parts, list) or event.get(index_name) != len(parts):
            self.problems.append(f"{event.get('type')}: {index_name} is {event.get(index_name)!r}")
            return
        parts.append(_copy(part))

    def _part_done(self, event: Mapping[str, Any], group: str, index_name: str) -> None:
        self._settle()
        holder, part = self._holder(event, group, index_name), event.get("part")
        if holder is not None and isinstance(part, dict) and holder != part:
            self.problems.append(f"{event.get('type')}: the part is not what the events add up to")
            holder.clear()
            holder.update(_copy(part))

    def _item_added(self, event: Mapping[str, Any]) -> None:
        self._settle()
        index, item = event.get("output_index"), event.get("item")
        if type(index) is not int or not isinstance(item, dict):
            self.problems.append("response.output_item.added: no item, or no output_index")
            return
        if index != len(self._items):
            self.problems.append(f"response.output_item.added: output_index {index} where {len(self._items)} is due")
        self._items[index] = _copy(item)

    def _item_done(self, event: Mapping[str, Any]) -> None:
        self._settle()
        item, done = self._item(event), event.get("item")
        if item is None or not isinstance(done, dict):
            return
        for key in ("id", "type", "content", "summary", "arguments", "input", "call_id", "name", "role"):
            # What has no events of its own may first appear here; what was there must not change.
            if item.get(key) and item[key] != done.get(key):
                self.problems.append(f"response.output_item.done: {key} is not what the events add up to")
        self._items[event["output_index"]] = _copy(done)

    def _annotation(self, event: Mapping[str, Any]) -> None:
        holder = self._holder(event, "content", "content_index")
        if holder is not None:
            annotations = holder.setdefault("annotations", [])
            if event.get("annotation_index") != len(annotations):
                self.problems.append(f"{event.get('type')}: annotation_index is {event.get('annotation_index')!r}")
            annotations.append(_copy(event.get("annotation")))

    def _lifecycle(self, event: Mapping[str, Any]) -> None:
        response = event.get("response")
        if not isinstance(response, dict):
            self.problems.append(f"{event.get('type')}: there is no response")
            return
        if self._base and response.get("id") != self._base.get("id"):
            self.problems.append(f"{event.get('type')}: the response's id changed")
        self._base = {key: value for key, value in response.items() if key != "output"}
        if event.get("type") in TERMINAL:
            self.final = response
            if _comparable(response.get("output")) != _comparable(self.added_up["output"]):
                self.problems.append(f"{event.get('type')}: output is not what the events add up to")

    def _error(self, event: Mapping[str, Any]) -> None:
        self.error = dict(event)


_HANDLERS: dict[str, Callable[[ResponseFold, Mapping[str, Any]], None]] = {
    "response.output_item.added": ResponseFold._item_added,
    "response.output_item.done": ResponseFold._item_done,
    "response.output_text.annotation.added": ResponseFold._annotation,
    "error": ResponseFold._error,
    **dict.fromkeys(("response.created", "response.queued", "response.in_progress"), ResponseFold._lifecycle),
    **dict.fromkeys(TERMINAL, ResponseFold._lifecycle),
}


def _comparable(output: Any) -> Any:
    """Output without `encrypted_content`: OpenAI encrypts the same thoughts anew for every event."""
    if not isinstance(output, list):
        return output
    return [
        {key: value for key, value in item.items() if key != "encrypted_content"} if isinstance(item, dict) else item
        for item in output
    ]


def _copy(value: Any) -> Any:
    """A deep copy of JSON."""
    if isinstance(value, dict):
        return {key: _copy(entry) for key, entry in value.items()}
    return [_copy(entry) for entry in value] if isinstance(value, list) else value
