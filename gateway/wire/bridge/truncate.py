"""What is pure in counting input and in truncation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.wire.bridge.request import chat_from_responses
from gateway.wire.responses.items import CALLS

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
    form = chat_from_responses(request, items, earlier=earlier)
    return {"object": "response.input_tokens", "input_tokens": count(form.body)}


def truncate(
    items: Sequence[Mapping[str, Any]], size: Callable[[Sequence[Mapping[str, Any]]], int], room: int
) -> tuple[list[Mapping[str, Any]], int]:
    """`truncation: auto`: leave out whole exchanges from the beginning until the rest makes at most `room` tokens.

    size: tokens of some of the items; asked for each item once or twice, however many exchanges there are.
    Returns the items kept and how many were left out. System and developer messages stay, and so does the last
    exchange; an exchange begins with a message of the user before which no call is open, so calls are never parted
    from their outputs. When even that does not fit, it is returned nevertheless: the upstream then says what is too
    long.
    """
    if not items:
        return [], 0
    starts = _starts(items)
    pieces = [items[begin:end] for begin, end in zip(starts, [*starts[1:], len(items)], strict=True)]
    staying = [[item for item in piece if item.get("role") in ("system", "developer")] for piece in pieces]
    sizes = [size(piece) for piece in pieces]
    total = sum(sizes)
    kept: list[Mapping[str, Any]] = []
    place = 0
    while total > room and place < len(pieces) - 1:
        total -= sizes[place] - (size(staying[place]) if staying[place] else 0)
        kept += staying[place]
        place += 1
    kept += items[starts[place] :]
    return kept, len(items) - len(kept)


def _starts(items: Sequence[Mapping[str, Any]]) -> list[int]:
    """Where exchanges begin; what stands before the first message of the user belongs to the first."""
    starts: list[int] = []
    open_calls: set[str] = set()
    for index, item in enumerate(items):
        kind = item.get("type")
        if kind in CALLS:
            open_calls.add(str(item.get("call_id")))
        elif kind in _OUTPUTS:
            open_calls.discard(str(item.get("call_id")))
        elif kind == "message" and item.get("role") == "user" and not open_calls:
            starts.append(index)
    return [0, *starts[1:]]


_OUTPUTS = frozenset(CALLS.values())
