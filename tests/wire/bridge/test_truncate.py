"""`truncation: auto`: the same items as by trying one exchange after the other, with each looked at twice at most."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from gateway.wire.bridge.truncate import truncate

Json = dict[str, Any]


def message(role: str, size: int) -> Json:
    return {"type": "message", "role": role, "size": size}


def size(items: Sequence[Any]) -> int:
    return sum(item.get("size", 1) for item in items)


def naive(items: list[Json], room: int) -> list[Json]:
    """Try every beginning."""
    users = [index for index, item in enumerate(items) if item.get("role") == "user"]
    kept = items
    for start in [0, *users[1:]]:
        kept = [item for item in items[:start] if item.get("role") in ("system", "developer")] + items[start:]
        if size(kept) <= room:
            break
    return kept


def test_equals_trying_every_beginning() -> None:
    source = random.Random(2)
    for _ in range(2_000):
        roles = source.choices(["user", "assistant", "system", "developer"], k=source.randint(0, 12))
        items = [message(role, source.randint(1, 9)) for role in roles]
        room = source.randint(0, 60)
        kept, left_out = truncate(items, size, room)
        assert kept == naive(items, room)
        assert left_out == len(items) - len(kept)


def test_calls_are_not_parted_from_their_outputs() -> None:
    call = {"type": "function_call", "call_id": "c"}
    output = {"type": "function_call_output", "call_id": "c"}
    items = [message("user", 1), call, message("user", 1), output, message("user", 1)]
    assert truncate(items, size, 4) == ([items[4]], 4)
    assert truncate(items, size, 5) == (items, 0)


def test_each_item_is_measured_twice_at_most() -> None:
    measured = 0

    def counted(items: Sequence[Any]) -> int:
        nonlocal measured
        measured += len(items)
        return size(items)

    items = [message(role, 1) for _ in range(10_000) for role in ("user", "system", "assistant")]
    truncate(items, counted, 10_002)
    assert measured <= 2 * len(items)
