"""What is pure in counting input and in truncation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.wire.bridge.request import Abilities, chat_from_responses

Json = dict[str, Any]


def count_input(
    request: Mapping[str, Any],
    items: Sequence[Mapping[str, Any]],
    count: Callable[[Mapping[str, Any]], int],
    *,
    earlier: Sequence[Mapping[str, Any]] = (),
) -> Json:
    """The answer of `POST /responses/input_tokens`. count: tokens of a chat body, e.g. a provider's own bound.

    The rest is as for `chat_from_responses`.
    """
    form = chat_from_responses(request, items, earlier=earlier, abilities=Abilities(tool_media=True))
    return {"object": "response.input_tokens", "input_tokens": count(form.body)}


def truncate(
    items: Sequence[Mapping[str, Any]], fits: Callable[[Sequence[Mapping[str, Any]]], bool]
) -> tuple[list[Mapping[str, Any]], int]:
    """`truncation: auto`: leave out whole exchanges from the beginning until `fits` says yes.

    Returns the items kept and how many were left out. System and developer messages stay, and so does the last
    exchange; an exchange begins with a message of the user, so calls are never parted from their outputs. When even
    that does not fit, it is returned nevertheless: the upstream then says what is too long.
    """
    starts = [index for index, item in enumerate(items) if item.get("type") == "message" and item.get("role") == "user"]
    kept = list(items)
    for start in [0, *starts[1:]]:
        if start:
            kept = [item for item in items[:start] if item.get("role") in ("system", "developer")]
            kept += items[start:]
        if fits(kept):
            break
    return kept, len(items) - len(kept)
