"""What is common to whole and streamed answers: how to read them for a call, and how they end."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.api import Call

from .safe import text_of, writable

STATE = "anthropic"
"""Key in `call.state` under which a built request leaves its `Reading`."""

FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""`stop_reason` (Anthropic's page "Handling stop reasons") to `finish_reason`; unknown ones are `stop`."""

REFUSED = "The model's provider stopped this answer for reasons of safety."

_END_OF_FENCE = re.compile(r"[\s`]*\Z")


@dataclass(slots=True, frozen=True)
class Reading:
    """How the answer to a call is to be read.

    json_tool: the tool whose input is the content; json_text: a code fence around the content is taken off.
    """

    json_tool: str = ""
    json_text: bool = False


def reading_of(call: Call) -> Reading:
    """What the request that was built last for this call left; the plain reading when none was built."""
    found = call.state.get(STATE)
    return found if isinstance(found, Reading) else Reading()


def ending(stop: dict[str, Any], called: bool, answered: bool) -> tuple[dict[str, Any], str | None]:
    """The members that end a choice, and the refusal text if it is one.

    stop: the object that holds stop_reason, stop_sequence and stop_details. called: tools of the caller's were
    called. answered: the answer was given through the JSON tool, so its `tool_use` is no call of the caller's.
    """
    reason = text_of(stop.get("stop_reason"))
    finish = FINISH.get(reason, "stop")
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


class Unfence:
    """Takes a Markdown code fence off a text that arrives in pieces; any other text passes unchanged."""

    def __init__(self) -> None:
        self._held = ""
        self._state = "start"

    def push(self, text: str) -> str:
        """The part of the text that can be passed on now."""
        if self._state == "plain":
            return text
        self._held += text
        if self._state == "start" and not self._open():
            return ""
        if self._state == "plain":
            out, self._held = self._held, ""
            return out
        hold = _END_OF_FENCE.search(self._held)
        cut = hold.start() if hold else len(self._held)
        out, self._held = self._held[:cut], self._held[cut:]
        return out

    def end(self) -> str:
        """What is left: nothing if it was the closing fence."""
        left, self._held = self._held, ""
        return "" if self._state == "fenced" else left

    def _open(self) -> bool:
        """Decide whether the text begins with a fence; False while that cannot be known."""
        begin = self._held.lstrip()
        if not begin or (len(begin) < 3 and begin == "`" * len(begin)):
            return False
        if not begin.startswith("```"):
            self._state = "plain"
            return True
        first, found, rest = begin.partition("\n")
        if not found:
            at = first.find("{")
            if at < 0:
                return False
            rest = first[at:]
        self._state, self._held = "fenced", rest
        return True


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
