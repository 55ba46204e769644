"""Small guards for data from the provider: whatever it sends, the worst outcome is an UpstreamFault."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.api import UpstreamFault

_SURELY_FLAT = 200


def nonsense(message: str, raw: bytes = b"") -> UpstreamFault:
    """The provider's answer cannot be understood; `raw` is shown to the operator only."""
    return UpstreamFault(
        message, retryable=True, code="upstream_invalid_response", detail=raw[:500].decode("utf-8", "replace")
    )


def dump(value: Any) -> str:
    """JSON text of what was parsed from JSON. Raises UpstreamFault when it nests deeper than can be written again."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        raise nonsense("The provider's answer nests too deeply.") from None


def check_depth(value: Any, raw: bytes) -> None:
    """Raise UpstreamFault when `value`, parsed from `raw`, cannot be written as JSON again (orjson reads 1,024
    levels and writes 254). Text with few brackets cannot be that deep, which spares nearly every answer the trial."""
    if raw.count(b"[") + raw.count(b"{") > _SURELY_FLAT:
        dump(value)


def count_of(value: Any) -> int | None:
    """`value` if it is a believable number of tokens."""
    return value if type(value) is int and 0 <= value <= 2**40 else None
