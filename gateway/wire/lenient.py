"""Small guards for data from outside: from a provider, whatever it sends, the worst outcome is an UpstreamFault; from a
caller, a CallerFault that names the field."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

import orjson

from gateway.errors import CallerFault, UpstreamFault
from gateway.wire.usage import MOST_TOKENS

_SURELY_FLAT = 200


def text_of(value: Any) -> str:
    """`value` if it is a string, else ""."""
    return value if isinstance(value, str) else ""


def dict_of(value: Any) -> dict[str, Any]:
    """`value` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def dicts_of(value: Any) -> list[dict[str, Any]]:
    """The objects in `value` if it is a list, else none."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def count_of(value: Any) -> int | None:
    """`value` if it is a believable number of tokens, whole, though some servers write `7.0`."""
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None


def with_cached(usage: dict[str, Any], member: str) -> dict[str, Any]:
    """A copy of a `usage` whose cached tokens, which some servers name `member` at its top, stand where OpenAI has
    them: among the details of the prompt's tokens, unless there is a number already."""
    details = dict(dict_of(usage.get("prompt_tokens_details")))
    cached = count_of(usage.get(member))
    if cached is not None and details.get("cached_tokens") is None:
        details["cached_tokens"] = cached
    return {**usage, "prompt_tokens_details": details} if details else dict(usage)


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


def nests_deeper(value: Any, most: int) -> bool:
    """Whether arrays and objects stand in one another more than `most` levels deep. Level by level, so no stack is used
    up by what a stranger sent."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(most):
        if not level:
            return False
        inside = (inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer))
        level = [inner for inner in inside if isinstance(inner, dict | list)]
    return bool(level)


def shallow(value: Any, most: int = 64) -> Any:
    """The value itself. Raises UpstreamFault when it nests so deeply that it could not be put into an answer."""
    if nests_deeper(value, most):
        raise nonsense("The provider sent data that nests too deeply.")
    return value


def writable(value: Any) -> Any:
    """`value`, once it is known that it can be written as JSON again, with room for what it is put into."""
    dump([[[[[[[[value]]]]]]]])
    return value


def check_depth(value: Any, raw: bytes) -> None:
    """Raise UpstreamFault when `value`, parsed from `raw`, cannot be written as JSON again (orjson reads 1,024
    levels and writes 254). Text with few brackets cannot be that deep, which spares nearly every answer the trial."""
    if raw.count(b"[") + raw.count(b"{") > _SURELY_FLAT:
        dump(value)


def as_dict(value: Any, path: str) -> dict[str, Any]:
    """`value` of a caller's request if it is an object, else a CallerFault that names `path`."""
    if not isinstance(value, dict):
        raise CallerFault(f"{path}: must be an object", param=path)
    return value


def as_list(value: Any, path: str) -> list[Any]:
    """`value` of a caller's request if it is an array, else a CallerFault that names `path`."""
    if not isinstance(value, list):
        raise CallerFault(f"{path}: must be an array", param=path)
    return value


def as_text(value: Any, path: str) -> str:
    """`value` of a caller's request if it is a string, else a CallerFault that names `path`."""
    if not isinstance(value, str):
        raise CallerFault(f"{path}: must be a string", param=path)
    return value


def matches_any(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name is one of the patterns, or fits one, as `openai/*` is fitted."""
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)
