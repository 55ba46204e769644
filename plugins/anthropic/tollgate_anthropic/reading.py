"""What is common to whole and streamed answers: how to read them for a call, and how they end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from gateway.api import Unfence, failure_of, meaning_of, text_of, writable

FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""`stop_reason` (Anthropic's page "Handling stop reasons") to `finish_reason`."""

REFUSED = "The model's provider stopped this answer for reasons of safety."


def finish_of(reason: str) -> str:
    """The `finish_reason` for a `stop_reason`. One that is in no table, as servers of this dialect have their own, is
    read by what it speaks of. Raises the fault of an answer that failed."""
    found = FINISH.get(reason)
    if found is None:
        meaning = meaning_of(reason)
        if meaning == "error":
            raise failure_of({}, reason)
        found = meaning if meaning in ("length", "content_filter") else "stop"
    return found


@dataclass(slots=True, frozen=True)
class Reading:
    """How the answer to a call is to be read.

    json_tool: the tool whose input is the content; json_text: a code fence around the content is taken off.
    """

    json_tool: str = ""
    json_text: bool = False


def ending(stop: dict[str, Any], called: bool, answered: bool) -> tuple[dict[str, Any], str | None]:
    """The members that end a choice, and the refusal text if it is one.

    stop: the object that holds stop_reason, stop_sequence and stop_details. called: tools of the caller's were
    called. answered: the answer was given through the JSON tool, so its `tool_use` is no call of the caller's.
    Raises the fault of an answer that failed.
    """
    reason = text_of(stop.get("stop_reason"))
    finish = finish_of(reason)
    if finish == "tool_calls" and answered and not called:
        finish = "stop"
    end: dict[str, Any] = {"finish_reason": finish}
    if reason:
        end["native_finish_reason"] = reason
    for key in ("stop_sequence", "stop_details"):
        if stop.get(key) is not None:
            end[key] = writable(stop[key])
    if reason != "refusal":
        return end, None
    details = stop.get("stop_details")
    explained = text_of(details.get("explanation")) if isinstance(details, dict) else ""
    return end, explained or REFUSED


def checked_json(text: str) -> str:
    """The answer to `json_object`: without a fence, and without chatter around the one object in it."""
    unfence = Unfence()
    text = unfence.push(text) + unfence.end()
    inner = text[text.find("{") : text.rfind("}") + 1]
    return inner if not _is_json(text) and _is_json(inner) else text


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True
