"""What a stream of the Responses API must tell in its events, and some servers leave out or tell in two ways.

SDKs build the answer from the events alone: an item from `output_item.added`, a part from `content_part.added`
(openai-python has no place for a text without one), what stands in it from the deltas, all by `output_index` and
`item_id`. There are servers whose calls and texts come only in the events that end them, or in the last object; that
begin no items or no parts; that number each item 0; and GitHub Copilot's, whose every event has another id for the same
item. What is missing is told before the event that shows it, with the words of `replay`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway.wire.responses.complete import complete_item
from gateway.wire.responses.replay import item_events

Json = dict[str, Any]

_SPEAK = {"message": "content", "reasoning": "summary", "function_call": "arguments", "custom_tool_call": "input"}
"""Kinds of items that are told in pieces, and the member that the pieces make."""
_TEXTS = ("text", "refusal", "arguments", "input")
_PARTS = {"response.output_text": "content_part", "response.refusal": "content_part"}
_PARTS |= {"response.reasoning_text": "content_part", "response.reasoning_summary_text": "reasoning_summary_part"}
_OF_MESSAGES = ("response.output_text", "response.refusal", "response.content_part")
_OF_CALLS = ("response.function_call_arguments", "response.custom_tool_call_input")
_ITEM_ID = re.compile(rb'"item_id":"([^"\\]*)"')
_INDEX = re.compile(rb'"output_index":(\d{1,9})\b')
_PART = re.compile(rb'"(?:content|summary)_index":(\d{1,9})\b')

Key = tuple[str, int, Any]


class Steadier:
    """Follows the items of one stream.

    loose: something was left out or told in two ways: from now on every event must be read, and numbered anew.
    wary: that, or an item has begun that nothing was said of yet, or none is open: the next event must be looked at
    (`passes`).
    """

    def __init__(self) -> None:
        self.wary = True
        self.loose = False
        self._kinds: dict[int, object] = {}  # of the items, by their place
        self._theirs: dict[int, str] = {}  # their ids as the upstream has them
        self._told: dict[int, str] = {}  # and as the caller has them
        self._unsaid: set[int] = set()  # begun, and nothing said of it yet
        self._ended: set[int] = set()
        self._seen: set[Key] = set()
        self._parts: set[tuple[str, int]] = set()  # the same, whichever part it was

    def passes(self, kind: bytes, data: bytes) -> bool:
        """Whether a frequent event may go on unread. kind: its type; data: its JSON."""
        if not self.wary:
            return True
        if self.loose or not kind.endswith(b".delta"):
            return False
        identity, place = _ITEM_ID.search(data), _INDEX.search(data)
        if identity is None or place is None:
            return True
        index, name = int(place[1]), kind.decode()
        if self._theirs.get(index) != identity[1].decode("utf-8", "replace") or not self._has_part(name, index):
            return False
        self._say(index)
        return True

    def passed(self, kind: bytes, data: bytes) -> None:
        """An event other than a delta went on unread: what it told is not to be told again."""
        place, part = _INDEX.search(data), _PART.search(data)
        if place is not None:
            self._seen.add((kind.decode(), int(place[1]), None if part is None else int(part[1])))

    def place(self, index: int, identity: object, *, begins: bool) -> int:
        """The place of an item that an event is about. index: as the event says. begins: the event adds an item."""
        known = self._theirs.get(index)
        if begins:
            if known is not None and (known != identity or index in self._ended):
                self.loosen()
                index = max(self._theirs) + 1
        elif known != identity:
            found = [at for at, name in self._theirs.items() if name == identity]
            if found:
                self.loosen()
                index = found[-1]
        return index

    def begin(self, index: int, theirs: object, item: Mapping[str, Any]) -> None:
        """An item begins. theirs: its id as the upstream has it; item: as the caller gets it."""
        kind = self._kinds[index] = item.get("type")
        self._theirs[index], self._told[index] = str(theirs), str(item.get("id"))
        member = _SPEAK.get(str(kind))
        if member is not None and not item.get(member):
            self._unsaid.add(index)
            self.wary = True

    def end(self, index: int, item: Json) -> tuple[list[Json], Json]:
        """What must be told before an item ends, and the item with the id that it began with."""
        if index not in self._told:
            self.loosen()
            *before, _ = item_events(index, item)
            self.begin(index, item.get("id"), item)
        else:
            if item.get("id") != self._told[index]:
                self.loosen()
                item = {**item, "id": self._told[index]}
            before = self._missing(index, item) if index in self._unsaid or self.loose else []
        self._ended.add(index)
        self._say(index)
        return before, item

    def event(self, event: Json) -> list[Json] | None:
        """An event about an item or a part of one, whose place is known: sets its id, and returns what must be told
        before it. None when it must wait for its item: a call's name is only told there."""
        index, kind = event["output_index"], event["type"]
        stem, _, step = kind.rpartition(".")
        before: list[Json] = []
        if index not in self._told:
            if stem in _OF_CALLS:
                self.loosen()
                return None
            began = _item_of(stem, event)
            if began is None:
                return before
            self.loosen()
            self.begin(index, event["item_id"], began)
            before.append({"type": "response.output_item.added", "output_index": index, "item": began})
        if event["item_id"] not in (self._theirs[index], self._told[index]):
            self.loosen()
        event["item_id"] = self._told[index]
        part = _PARTS.get(stem)
        if step in ("delta", "done") and not self._has_part(kind, index, event):
            empty = {"type": stem.removeprefix("response."), "text": ""}
            if stem == "response.refusal":
                empty = {"type": "refusal", "refusal": ""}
            elif stem == "response.output_text":
                empty |= {"annotations": [], "logprobs": []}
            elif stem == "response.reasoning_summary_text":
                empty["type"] = "summary_text"
            before.append({**_where(event), "type": f"response.{part}.added", "part": empty})
        text = next((event[name] for name in _TEXTS if isinstance(event.get(name), str)), "")
        if step == "delta":
            self._say(index)
        elif step == "done" and text and index in self._unsaid and _key(event, f"{stem}.delta") not in self._seen:
            extra: Json = {"logprobs": []} if stem == "response.output_text" else {}
            before.append({**_where(event), "type": f"{stem}.delta", "delta": text, **extra})
        self._note([entry for entry in before if "item" not in entry])
        self._saw(event)
        return before

    def close(self, output: list[Any]) -> tuple[list[Json], list[Any]]:
        """The last object comes: what must be told before it, and its output with the ids that were told."""
        before: list[Json] = []
        known = {*self._theirs.values(), *self._told.values()}
        made = list(output)
        for at, item in enumerate(output):
            if not isinstance(item, dict):
                continue
            if at not in self._told:
                if isinstance(item.get("id"), str) and item["id"] in known:
                    continue
                self.loosen()
                before += item_events(at, item)
                self.begin(at, item.get("id"), item)
                self._say(at)
                continue
            if item.get("id") not in self._told.values() and item.get("type") == self._kinds[at]:
                item = made[at] = {**item, "id": self._told[at]}
            if at not in self._ended and item.get("id") == self._told[at]:
                self.loosen()
                missing, whole = self.end(at, item)
                before += [*missing, {"type": "response.output_item.done", "output_index": at, "item": whole}]
        return before, made

    def _missing(self, index: int, item: Json) -> list[Json]:
        """The events of a whole item that nobody told, but for its beginning and end."""
        _, *events, _ = item_events(index, item)
        said = index not in self._unsaid
        missing = [
            event
            for event in events
            if _key(event, event["type"]) not in self._seen
            and not (said and event["type"].endswith((".delta", "annotation.added")))
            and event["type"].count(".") > 1
            and not event["type"].endswith(("progress", "searching", "generating", "interpreting", "completed"))
        ]
        self._note(missing)
        return missing

    def _note(self, events: list[Json]) -> None:
        for event in events:
            self.loosen()
            self._saw(event)

    def _saw(self, event: Json) -> None:
        self._seen.add(_key(event, event["type"]))
        self._parts.add((event["type"], event["output_index"]))

    def _has_part(self, kind: str, index: int, event: Mapping[str, Any] | None = None) -> bool:
        """Whether the part that an event is about has begun. Without the event itself: any part of that kind."""
        part = _PARTS.get(kind.rpartition(".")[0])
        if part is None:
            return True
        name = f"response.{part}.added"
        if event is not None:
            return (index not in self._unsaid and not self.loose) or _key(event, name) in self._seen
        return (name, index) in self._parts

    def _say(self, index: int) -> None:
        self._unsaid.discard(index)
        self.wary = self.loose or bool(self._unsaid) or len(self._ended) == len(self._told)

    def loosen(self) -> None:
        """The stream cannot be relayed as it comes."""
        self.loose = self.wary = True


def _key(event: Mapping[str, Any], kind: str) -> Key:
    part = event.get("content_index", event.get("summary_index"))
    return kind, event["output_index"], part if type(part) is int else None


def _item_of(stem: str, event: Json) -> Json | None:
    """The beginning of the item that an event is about, where its kind alone tells enough of it."""
    part = event.get("part")
    of_thoughts = stem.startswith("response.reasoning_") or (
        isinstance(part, dict) and part.get("type") == "reasoning_text"
    )
    if not of_thoughts and stem not in _OF_MESSAGES:
        return None
    kind = "reasoning" if of_thoughts else "message"
    return complete_item({"type": kind}, event["item_id"], "in_progress")


def _where(event: Json) -> Json:
    return {key: event[key] for key in ("item_id", "output_index", "content_index", "summary_index") if key in event}
