"""`reasoning_details`: thought signatures and Google's own parts as they travel through chat messages, out and back.

A signature belongs to the very part it came with, and must be given back with it (Google's page "Thought
signatures": parts are not to be merged or split across a signature). Chat messages have one text and a list of tool
calls, so an entry says where its part stood:

    {"index", "type": "google.thought_signature", "signature", "part": "tool_call", "id": <call id>}
    {"index", "type": "google.thought_signature", "signature", "part": "text", "start": n, "end": m}
    {"index", "type": "google.thought_signature", "signature", "part": "thought", "text", "at": n, "calls": k}
    {"index", "type": "google.thought_signature", "signature", "part": "image", "image": i, "at": n, "calls": k}
    {"index", "type": "google.part", "part": {...}, "at": n, "calls": k}      any other part, as it came; `activity`:
                                                          the id of an item in `x_gateway` that tells the same

`start`, `end` and `at` count characters of the message's content, `calls` the tool calls before the part.
The signature of a call also stands in `tool_calls[].extra_content.google.thought_signature`, where Google's own
OpenAI-compatible endpoint puts it; either place is enough on the way back, and OpenRouter's `reasoning.encrypted`
with the call's id is understood, too.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from gateway.api import activity_notes, dict_of, dicts_of, text_of

from .draft import refuse
from .grounding import is_own
from .parts import Part

Detail = dict[str, Any]

SIGNATURE = "google.thought_signature"
WHOLE_PART = "google.part"

SKIP = "skip_thought_signature_validator"
"""What Google documents (FAQ of that page) for calls that another model made, which Gemini 3 would else refuse."""


def extra_content(signature: str) -> dict[str, Any]:
    """The member of a tool call, or of a message, in the form of Google's compatible endpoint."""
    return {"google": {"thought_signature": signature}}


def signature_in(holder: Mapping[str, Any]) -> str:
    """The signature in `extra_content` of a tool call or a message, or ""."""
    extra = holder.get("extra_content")
    google = extra.get("google") if isinstance(extra, dict) else None
    found = google.get("thought_signature") if isinstance(google, dict) else None
    return found if isinstance(found, str) else ""


class Given:
    """The entries that a caller gave back with an assistant message. Entries of other makers are left out.

    calls: signature by call id. images: signature by the image's place in `images`.
    placed: entries with a place in the text, in their order.
    """

    def __init__(self, details: Any, path: str) -> None:
        self.calls: dict[str, str] = {}
        self.images: dict[int, str] = {}
        self.placed: list[Detail] = []
        if details is None:
            return
        if not isinstance(details, list) or not all(isinstance(entry, dict) for entry in details):
            raise refuse(path, "must be an array of objects, as they came in the answer")
        for entry in details:
            self._take(entry)

    def tell(self, message: Mapping[str, Any]) -> None:
        """Place words for what was done for the answer beside the model's own, except by Google itself."""
        known = {str(entry["activity"]) for entry in self.placed if "activity" in entry}
        items = [dict_of(event.get("item")) for event in dicts_of(message.get("x_gateway"))]
        known |= {identity for item in items if is_own(identity := text_of(item.get("id")))}
        notes = activity_notes(message, known)
        if notes:
            self.placed += [{"type": WHOLE_PART, "part": {"text": words}, "at": at} for at, words in notes]
            self.placed.sort(key=lambda entry: _place(entry.get("start", entry.get("at")), sys.maxsize))

    def _take(self, entry: Detail) -> None:
        kind = entry.get("type")
        signature, data, identity = entry.get("signature"), entry.get("data"), entry.get("id")
        if kind == "reasoning.encrypted" and str(entry.get("format", "")).startswith("google"):
            if isinstance(identity, str) and isinstance(data, str):
                self.calls[identity] = data
        elif kind == WHOLE_PART and isinstance(entry.get("part"), dict):
            self.placed.append(entry)
        elif kind == SIGNATURE and isinstance(signature, str) and signature:
            part = entry.get("part")
            if part == "tool_call" and isinstance(identity, str):
                self.calls[identity] = signature
            elif part == "image" and type(entry.get("image")) is int:
                self.images[entry["image"]] = signature
                self.placed.append(entry)
            elif part in ("text", "thought"):
                self.placed.append(entry)


def assemble(text: str, calls: list[Part], images: list[Part], given: Given) -> list[Part]:
    """The parts of a model turn in the order in which they once came.

    text: the message's content. calls: its `functionCall` parts, signed. images: its images, unsigned.
    A place beyond the text (the caller shortened it) counts as its end.
    """
    made: list[Part] = []
    spoken = called = 0
    shown: set[int] = set()

    def say(until: int) -> None:
        nonlocal spoken
        if until > spoken:
            made.append({"text": text[spoken:until]})
            spoken = until

    for entry in given.placed:
        start = _place(entry.get("start", entry.get("at")), len(text))
        say(start)
        until = _place(entry.get("calls"), len(calls))
        if until > called:
            made += calls[called:until]
            called = until
        kind = entry["part"]
        if entry["type"] == WHOLE_PART:
            made.append(dict(kind))
        elif kind == "thought":
            words = entry.get("text")
            thought = words if isinstance(words, str) else ""
            made.append({"text": thought, "thought": True, "thoughtSignature": entry["signature"]})
        elif kind == "image":
            at = entry["image"]
            if 0 <= at < len(images) and at not in shown:
                shown.add(at)
                made.append({**images[at], "thoughtSignature": entry["signature"]})
        else:
            end = max(spoken, _place(entry.get("end"), len(text)))
            made.append({"text": text[spoken:end], "thoughtSignature": entry["signature"]})
            spoken = end
    say(len(text))
    made += [image for at, image in enumerate(images) if at not in shown]
    return made + calls[called:]


def _place(value: Any, most: int) -> int:
    return min(max(value, 0), most) if type(value) is int else 0
