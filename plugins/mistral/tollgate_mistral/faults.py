"""Mistral's errors in the gateway's terms.

Shapes seen: `{"object": "error", "message", "type", "param", "code"}`, the same with `message: {"detail": [...]}` for
requests that its validation refuses (422), `{"detail": ...}`, and `{"message": "Unauthorized"}`. The gateway reads
them like those of any server of the dialect; what is Mistral's own is added here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from gateway.api import CallerFault, Fault, UpstreamReply, fault_from_openai_error

_WHERE = re.compile(r"body\.([A-Za-z0-9_.]{1,200}): ")
_RESETS = ("ratelimit-reset", "x-ratelimit-reset-req-minute", "x-ratelimit-reset-tokens-minute")


def fault_from_reply(reply: UpstreamReply) -> Fault:
    """The fault for an answer with status >= 400. Not yet redacted."""
    fault = fault_from_openai_error(reply.status, _unwrapped(reply.body), _with_wait(reply.headers))
    if isinstance(fault, CallerFault) and fault.param is None:
        found = _WHERE.search(fault.message)
        if found is not None:
            fault.param = _path(found[1])
    return fault


def _unwrapped(body: bytes) -> bytes:
    """The body with the list of what is wrong at its top, where other servers have it: Mistral puts it into
    `message`, as an object or, from its proxy, as the text of one."""
    said = _object(body)
    message = said.get("message")
    inner = _object(message.encode("utf-8", "replace")) if isinstance(message, str) else message
    if not isinstance(inner, dict) or "detail" not in inner:
        return body
    plain = {key: said.get(key) for key in ("type", "code", "param")}
    try:
        return orjson.dumps({**plain, "detail": inner["detail"]})
    except TypeError:  # nested deeper than can be written again; the text itself still goes to the log
        return body


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _with_wait(headers: Mapping[str, str]) -> Mapping[str, str]:
    """The headers, with Mistral's own seconds until the limit's reset as `retry-after` when that is missing."""
    if "retry-after" in headers or "retry-after-ms" in headers:
        return headers
    wait = next((headers[name] for name in _RESETS if name in headers), None)
    return headers if wait is None else {**headers, "retry-after": wait}


def _path(where: str) -> str:
    """`messages.0.user.content.1` in the gateway's writing: `messages[0].content[1]`. After a message's place the
    validator names its role, which is no step of the body."""
    steps = where.split(".")
    if len(steps) > 2 and steps[0] == "messages" and steps[1].isdigit():
        del steps[2]
    return re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", ".".join(steps))
