"""Reading JSON without losing digits.

orjson reads whole numbers beyond 64 bits as floats, which are another number: ids in the arguments of tools come back
changed. Here they are read as `orjson.Fragment`, which `orjson.dumps` writes as it came. To whoever checks values it is
neither a number nor anything else, so fields that need an integer refuse it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import orjson

_DIGITS = bytes(0x30 if 0x30 <= byte <= 0x39 else 0x20 for byte in range(256))
_LONG = b"0" * 19
"""So many digits are needed at least to leave 64 bits."""

_LEAST, _MOST = -(2**63), 2**64 - 1


def load_exact(data: bytes | str, big: Callable[[str], Any] | None = None) -> Any:
    """`orjson.loads`, with each whole number beyond 64 bits as a fragment, or as what `big` makes of its text. Raises
    `orjson.JSONDecodeError`."""
    value = orjson.loads(data)
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    return reread(raw, value, big) if _LONG in raw.translate(_DIGITS) else value


def reread(raw: bytes, value: Any, big: Callable[[str], Any] | None = None) -> Any:
    """What `raw` says, where `value` is what orjson read there: see `load_exact`."""
    make = big or _fragment

    def whole(text: str) -> Any:
        if len(text) < len(_LONG):
            return int(text)
        if len(text) <= 20 and _LEAST <= (number := int(text)) <= _MOST:
            return number
        return make(text)

    try:
        return json.loads(raw, parse_int=whole)
    except (ValueError, RecursionError):  # more levels than the standard parser follows
        return value


def _fragment(text: str) -> orjson.Fragment:
    return orjson.Fragment(text.encode())
