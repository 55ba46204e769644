"""What the echo model cannot do: reported to the caller, or refused when the call is strict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.api import Call, CallerFault

_CANNOT: Mapping[str, str] = {
    "audio": "the echo model cannot speak",
    "web_search_options": "the echo model cannot search",
}


def report_limits(call: Call, body: Mapping[str, Any], directives: bool) -> None:
    """Note in `call.dropped` what is not followed. directives: whether `body["echo"]` is.
    Raises CallerFault instead when the call is strict."""
    for name, why in _ignored(body, directives):
        if call.strict:
            raise CallerFault(f"{name}: {why}.", param=name, code="unsupported_parameter")
        if name not in call.dropped:
            call.dropped.append(name)


def _ignored(body: Mapping[str, Any], directives: bool) -> Iterator[tuple[str, str]]:
    if not directives and body.get("echo") is not None:
        yield "echo", "directives are switched off"
    for name, why in _CANNOT.items():
        if body.get(name) is not None:
            yield name, why
    modalities = body.get("modalities")
    if isinstance(modalities, list) and any(kind != "text" for kind in modalities):
        yield "modalities", "the echo model answers in text"
    tools = body.get("tools")
    for index, tool in enumerate(tools if isinstance(tools, list) else ()):
        if isinstance(tool, dict) and tool.get("type") != "function":
            yield f"tools[{index}]", "the echo model calls functions only"
