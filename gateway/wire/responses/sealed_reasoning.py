"""Reasoning between turns: the hub's two keys, and the envelope that carries them through a client.

The hub form of reasoning is two keys of an assistant message (and of a streamed delta):

    reasoning_content   str: the thoughts, or their summary, as text.
    reasoning_details   list of objects that a provider makes and later takes back: signatures, redacted blocks,
                        thought signatures of calls. Each has a `type` of its provider's own; a provider takes what it
                        knows and passes over the rest. In a stream, the lists of the deltas are joined in order.

A Responses client knows only reasoning items with an opaque `encrypted_content`. Ours is `gw1.` plus base64url of
the JSON object `{"details": [...], "text": "..."}` (either key may be absent). It is not encrypted and not trusted:
whatever comes back is checked for shape and depth here, and a provider must read details as caller's input.
`encrypted_content` of another maker (OpenAI's) becomes a detail of the type `responses.reasoning` that holds the
whole item, so that an upstream which speaks Responses gets it back unharmed.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from gateway.wire.validators import refuse

TAG = "gw1."
FOREIGN = "responses.reasoning"
"""Type of the detail that holds a whole reasoning item of an upstream that speaks Responses: `{"type", "item"}`."""

PHASE = "responses.phase"
"""Type of the detail that says what a message of such an upstream was meant as (`commentary`, `final_answer`; models
want it back): `{"type", "phase", "start", "end"}`, the characters of the answer's text that are that message; without
an `end` it stands before that text, and goes on to the next `start`."""

CALL_EXTRA = "chat.tool_call"
"""Type of the detail that holds what an upstream put into a tool call besides OpenAI's members, such as a thought
signature: `{"type", "id": <call id>, "members": {...}}`. The members go back into the call with this id."""

_MAX_DEPTH = 96
_DAMAGED = "is damaged; send reasoning items back exactly as they were received"


def seal(details: Sequence[Any], text: str = "") -> str:
    """The `encrypted_content` that carries these details and, when given, the text of the thoughts."""
    content: dict[str, Any] = {}
    if details:
        content["details"] = list(details)
    if text:
        content["text"] = text
    return TAG + base64.urlsafe_b64encode(orjson.dumps(content)).rstrip(b"=").decode("ascii")


def is_sealed(encrypted_content: object) -> bool:
    """Whether this is an envelope of this gateway."""
    return isinstance(encrypted_content, str) and encrypted_content.startswith(TAG)


def unseal(encrypted_content: str, path: str) -> tuple[list[dict[str, Any]], str]:
    """Details and text of an envelope. Raises CallerFault, naming `path`, when it was damaged on its way."""
    raw = encrypted_content[len(TAG) :]
    try:
        content = orjson.loads(base64.b64decode(raw + "=" * (-len(raw) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        refuse(path, _DAMAGED)
    details = content.get("details", []) if isinstance(content, dict) else None
    text = content.get("text", "") if isinstance(content, dict) else None
    sound = isinstance(details, list) and isinstance(text, str) and all(isinstance(entry, dict) for entry in details)
    if not sound or _too_deep(details, _MAX_DEPTH):
        refuse(path, _DAMAGED)
    return details or [], text or ""


def _too_deep(value: Any, left: int) -> bool:
    if isinstance(value, dict):
        return left == 0 or any(_too_deep(entry, left - 1) for entry in value.values())
    if isinstance(value, list):
        return left == 0 or any(_too_deep(entry, left - 1) for entry in value)
    return False


def reasoning_of_item(item: Mapping[str, Any], path: str) -> tuple[str, list[dict[str, Any]]]:
    """Text and details of a reasoning item: its raw thoughts if it shows them, else its summary, else the
    envelope's text."""
    text = _joined(item.get("content")) or _joined(item.get("summary"))
    sealed = item.get("encrypted_content")
    if is_sealed(sealed):
        details, inner = unseal(str(sealed), f"{path}.encrypted_content")
        return text or inner, details
    if isinstance(sealed, str) and sealed:
        return text, [{"type": FOREIGN, "item": dict(item)}]
    return text, []


def _joined(parts: Any) -> str:
    return "\n\n".join(part["text"] for part in parts or () if isinstance(part.get("text"), str) and part["text"])


def reasoning_of_delta(delta: Mapping[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """Text and details of a chat message or delta. `reasoning` is the name some servers use for the text."""
    text = delta.get("reasoning_content")
    if not isinstance(text, str) or not text:
        text = delta.get("reasoning")
    details = delta.get("reasoning_details")
    return (
        text if isinstance(text, str) else "",
        [entry for entry in details if isinstance(entry, dict)] if isinstance(details, list) else [],
    )
