"""The events of a response that is over, made again from its final object.

Each text comes in one delta. What the events add up to is the object, and the same object always gives the same
events; they are fewer than were streamed when the model wrote it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.wire.responses.events import TERMINAL

Json = dict[str, Any]

# Type of a call item -> the member that holds its text, and the event that says it.
_ARGUMENTS = {
    "function_call": ("arguments", "response.function_call_arguments"),
    "custom_tool_call": ("input", "response.custom_tool_call_input"),
    "mcp_call": ("arguments", "response.mcp_call_arguments"),
}
_TEXTS = {
    "output_text": ("text", "response.output_text"),
    "refusal": ("refusal", "response.refusal"),
    "reasoning_text": ("text", "response.reasoning_text"),
}
_SERVED = {
    "web_search_call": ("in_progress", "searching", "completed"),
    "file_search_call": ("in_progress", "searching", "completed"),
    "mcp_call": ("in_progress", "completed"),
    "code_interpreter_call": ("in_progress", "interpreting", "completed"),
    "image_generation_call": ("in_progress", "generating", "completed"),
}


def events_of(response: Mapping[str, Any]) -> list[Json]:
    """All events of a finished response, numbered from 0. Hostile content is said as it is, never read."""
    begun = {**response, "status": "in_progress", "output": [], "usage": None, "error": None, "completed_at": None}
    begun["incomplete_details"] = None
    events: list[Json] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    output = response.get("output")
    for index, item in enumerate(output if isinstance(output, list) else ()):
        if isinstance(item, dict):
            events += item_events(index, item)
    kind = f"response.{response.get('status')}"
    if kind == "response.failed":
        error = response.get("error")
        error = error if isinstance(error, dict) else {}
        message = error.get("message") or "The response failed."
        events.append({"type": "error", "code": error.get("code"), "message": message, "param": None})
    events.append({"type": kind if kind in TERMINAL else "response.completed", "response": dict(response)})
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def item_events(index: int, item: Json) -> Iterator[Json]:
    """The events of one whole item at `index` of the output, without numbers: the first one adds it, the last one says
    that it is done."""
    where = {"output_index": index}
    item_id = item.get("id")
    kind = item.get("type")
    opened = {**item}
    if "status" in item:
        opened["status"] = "in_progress"
    held = _ARGUMENTS.get(kind) if isinstance(kind, str) else None
    if held is not None and isinstance(item.get(held[0]), str):
        opened[held[0]] = ""
    for group in ("content", "summary"):
        if isinstance(item.get(group), list):
            opened[group] = []
    yield {"type": "response.output_item.added", **where, "item": opened}
    at = {"item_id": item_id, **where}
    steps = _SERVED.get(kind, ()) if isinstance(kind, str) else ()
    for step in steps[:-1]:
        yield {"type": f"response.{kind}.{step}", **at}
    if held is not None and isinstance(text := item.get(held[0]), str):
        if text:
            yield {"type": f"{held[1]}.delta", **at, "delta": text}
        name = {"name": item.get("name")} if kind == "function_call" else {}
        yield {"type": f"{held[1]}.done", **at, **name, held[0]: text}
    for step in steps[-1:]:
        yield {"type": f"response.{kind}.{step}", **at}
    yield from _summary(at, item.get("summary"))
    yield from _content(at, item.get("content"))
    yield {"type": "response.output_item.done", **where, "item": item}


def _summary(at: Json, parts: Any) -> Iterator[Json]:
    for place, part in enumerate(parts if isinstance(parts, list) else ()):
        text = part.get("text") if isinstance(part, dict) else None
        if not isinstance(text, str):
            continue
        here = {**at, "summary_index": place}
        yield {"type": "response.reasoning_summary_part.added", **here, "part": {"type": "summary_text", "text": ""}}
        if text:
            yield {"type": "response.reasoning_summary_text.delta", **here, "delta": text}
        yield {"type": "response.reasoning_summary_text.done", **here, "text": text}
        yield {"type": "response.reasoning_summary_part.done", **here, "part": part}


def _content(at: Json, parts: Any) -> Iterator[Json]:
    for place, part in enumerate(parts if isinstance(parts, list) else ()):
        member, name = _TEXTS.get(str(part.get("type")), ("", "")) if isinstance(part, dict) else ("", "")
        text = part.get(member) if member else None
        if not isinstance(text, str):
            continue
        here = {**at, "content_index": place}
        empty = {**part, member: ""}
        plain = part.get("type") == "output_text"
        if plain:
            empty |= {"annotations": [], "logprobs": []}
        yield {"type": "response.content_part.added", **here, "part": empty}
        found = part.get("logprobs") or [] if plain else []
        extra = {"logprobs": found} if plain else {}
        if text:
            yield {"type": f"{name}.delta", **here, "delta": text, **extra}
        notes = part.get("annotations") if plain else None
        for number, note in enumerate(notes if isinstance(notes, list) else ()):
            kind = "response.output_text.annotation.added"
            yield {"type": kind, **here, "annotation_index": number, "annotation": note}
        yield {"type": f"{name}.done", **here, member: text, **extra}
        yield {"type": "response.content_part.done", **here, "part": part}
