"""What servers leave out of the Responses API that an SDK cannot do without, filled in.

Source of what is required: OpenAI's OpenAPI document 2.3.0 (`OutputItem`, `OutputTextContent`, `ResponseUsage`, the
events of `ResponseStreamEvent`). What is there stays as it is, and what is whole is given back itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.wire.lenient import dump
from gateway.wire.mending import StreamedJson, mended_text

Json = dict[str, Any]

_PREFIXES = {"message": "msg", "reasoning": "rs", "function_call": "fc", "custom_tool_call": "ctc"}
_TEXT: Json = {"annotations": [], "logprobs": []}
_INDEXES = {
    "response.output_text": "content_index",
    "response.refusal": "content_index",
    "response.content_part": "content_index",
    "response.reasoning_text": "content_index",
    "response.reasoning_summary": "summary_index",
}
ARGUMENTS = b"response.function_call_arguments.delta"
"""The event that tells a piece of the arguments of a call."""
_ARGUMENTS = ARGUMENTS.decode()
_ARGUMENTS_DONE = "response.function_call_arguments.done"
_WITH_LOGPROBS = ("response.output_text.delta", "response.output_text.done")


def complete_item(item: Json, item_id: str, status: str) -> Json:
    """An output item with all that its type demands. item_id: for one that has none; status: likewise."""
    kind = item.get("type")
    need: Json = {"id": item_id}
    if kind == "message":
        need |= {"status": status, "role": "assistant", "content": []}
    elif kind == "reasoning":
        need |= {"summary": []}
    elif kind == "function_call":
        need |= {"status": status, "call_id": item.get("id") or item_id, "arguments": ""}
    elif kind == "custom_tool_call":
        need |= {"call_id": item.get("id") or item_id, "input": ""}
    made = _filled(item, need)
    if kind == "function_call":
        text = arguments_text(made["arguments"], whole=status == "completed")
        if text != made["arguments"]:
            made = {**made, "arguments": text}
    content = made.get("content")
    if kind == "message" and isinstance(content, str):
        made = {**made, "content": [complete_part(part) for part in content_parts(content)]}
    elif isinstance(content, list):
        parts = [complete_part(part) if isinstance(part, dict) else part for part in content]
        if any(new is not old for new, old in zip(parts, content, strict=True)):
            made = {**made, "content": parts}
    return made


def content_parts(content: Any) -> list[Any]:
    """The parts of an answer's message; a text alone, as some servers have it, is one."""
    if isinstance(content, str):
        return [{"type": "output_text", "text": content}] if content else []
    return [_as_output(part) for part in content] if isinstance(content, list) else []


def _as_output(part: Any) -> Any:
    """A part of an answer that has the type of one in chat."""
    return {**part, "type": "output_text"} if isinstance(part, dict) and part.get("type") == "text" else part


def arguments_text(arguments: Any, *, whole: bool) -> str:
    """The arguments of a call as the text that they are: some servers send them as an object, or none as "". whole:
    nothing is missing yet."""
    text = arguments if isinstance(arguments, str) else "" if arguments is None else dump(arguments)
    if not whole:
        return text
    return mended_text(text) if text.strip() else "{}"


def complete_part(part: Json) -> Json:
    """A part of a message with all that its type demands."""
    part = _as_output(part)
    return _filled(part, {**_TEXT, "text": ""}) if part.get("type") == "output_text" else part


def place_of(event: Mapping[str, Any], known: Mapping[int, str], *, begins: bool = False) -> int:
    """The `output_index` of an event. Where it does not say so: that of the item with its id, or else of the last one;
    begins: of a new one. known: the ids of the items so far by their index."""
    index = event.get("output_index")
    if type(index) is int:
        return index
    if begins:
        return len(known)
    item = event.get("item")
    identity = item.get("id") if isinstance(item, Mapping) else event.get("item_id")
    last = max(len(known) - 1, 0)
    return next((at for at, name in known.items() if name == identity), last) if identity else last


def complete_usage(usage: Mapping[str, Any]) -> Json:
    """Usage in Responses form with its details."""
    made = {"input_tokens": 0, "output_tokens": 0, **usage}
    for name, details in (
        ("input_tokens_details", {"cached_tokens": 0, "cache_write_tokens": 0}),
        ("output_tokens_details", {"reasoning_tokens": 0}),
    ):
        given = made.get(name)
        made[name] = {**details, **given} if isinstance(given, dict) else details
    made.setdefault("total_tokens", made["input_tokens"] + made["output_tokens"])
    return made


class Completer:
    """Completes the items and events of one response. seed: unique per response; makes the ids of items that have none.

    Items are counted as they are added, so that an event without a place belongs to the last of them.
    """

    def __init__(self, seed: str) -> None:
        self._seed = seed.removeprefix("resp_")
        self._ids: dict[int, str] = {}
        self._done: dict[int, Json] = {}
        self._begun: dict[int, Json] = {}  # calls that may never be said to be done
        self._json: dict[Any, StreamedJson] = {}  # arguments of calls, by their place

    @property
    def is_calm(self) -> bool:
        """Whether a piece of arguments without a backslash has nothing to do with the mending of those to come."""
        return all(json.is_calm for json in self._json.values())

    def mend(self, event: Json) -> bool:
        """Mend a piece of the arguments of a call, in place; whether there was anything to do."""
        piece, place = event.get("delta"), event.get("output_index")
        if not isinstance(piece, str) or not isinstance(place, int):
            return False
        event["delta"] = mended = self._json.setdefault(place, StreamedJson()).mend(piece)
        return mended is not piece

    def item(self, item: Json, index: int, status: str = "completed") -> Json:
        """The item at `index` of the output."""
        prefix = _PREFIXES.get(str(item.get("type")), "item")
        made = complete_item(item, self._ids.get(index) or f"{prefix}_{self._seed}_{index}", status)
        self._ids[index] = str(made["id"])
        if status == "completed":
            self._done[index] = made
        elif made.get("type") == "function_call":
            self._begun[index] = made
        return made

    def output(self, output: list[Any]) -> list[Any]:
        """The output of a whole response; where it is empty, or has none of their calls, the items that came before
        it, as some servers have it."""
        if not output and self._done:
            return [self._done[index] for index in sorted(self._done)]
        told = {item.get("call_id") for item in output if isinstance(item, dict)}
        untold = [item for _, item in sorted(self._done.items()) if item.get("call_id") is not None]
        untold = [item for item in untold if item["call_id"] not in told]
        whole = [self.item(item, at) if isinstance(item, dict) else item for at, item in enumerate(output)]
        return [*whole, *untold]

    def place(self, event: Json, *, begins: bool = False) -> int:
        """The `output_index` of an event, filled in; begins: it adds an item."""
        index = event["output_index"] = place_of(event, self._ids, begins=begins)
        return index

    def event(self, event: Json) -> None:
        """Fill in what an event about an item, or a part of one, must say."""
        kind = event["type"]
        index = self.place(event)
        if not isinstance(event.get("item_id"), str):
            event["item_id"] = self._ids.get(index, f"item_{self._seed}_{index}")
        for start, name in _INDEXES.items():
            if kind.startswith(start):
                event.setdefault(name, 0)
        if kind in _WITH_LOGPROBS:
            event.setdefault("logprobs", [])
        if kind == _ARGUMENTS:
            self.mend(event)
        if kind == _ARGUMENTS_DONE:
            event["arguments"] = arguments_text(event.get("arguments"), whole=True)
            if index in self._begun and not event.get("name"):
                event["name"] = self._begun[index].get("name")
            if index in self._begun and index not in self._done:
                self._done[index] = {**self._begun[index], "arguments": event["arguments"], "status": "completed"}
        if kind.startswith("response.content_part") and isinstance(event.get("part"), dict):
            event["part"] = complete_part(event["part"])


def is_complete(kind: str, data: bytes) -> bool:
    """Whether an event about an item has all its places. data: its JSON."""
    needed = [b'"sequence_number"', b'"output_index"', b'"item_id"']
    needed += [b'"%b"' % name.encode() for start, name in _INDEXES.items() if kind.startswith(start)]
    if kind in _WITH_LOGPROBS:
        needed.append(b'"logprobs"')
    return all(name in data for name in needed)


def _filled(given: Json, need: Json) -> Json:
    missing = {key: value for key, value in need.items() if given.get(key) is None}
    if not missing:
        return given
    return {**given, **{key: list(value) if isinstance(value, list) else value for key, value in missing.items()}}
