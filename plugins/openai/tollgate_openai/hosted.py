"""What a Responses request may not have OpenAI do: tools that are billed beside the tokens, which nobody here would
pay, and what is kept in the operator's account, which all callers share.

Source: OpenAI's price list (containers and file search are billed by use, images by their own tokens) and its API
reference (`tools`, `prompt`, `file_id`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from gateway.api import CallerFault

COSTS: Mapping[str, str] = {
    "image_generation": "makes images that are billed by a price of their own",
    "code_interpreter": "runs containers that are billed by the session",
    "file_search": "searches files of the operator's account, and is billed by the call",
}
"""Tools that OpenAI runs and bills beside the tokens, and what they do."""


def refuse_hosted(body: Mapping[str, Any], allowed: Collection[str]) -> None:
    """Raise CallerFault for the first thing in a Responses body that must not go to OpenAI. allowed: tools that the
    operator lets through (`hosted_tools`), for the price of their tokens."""
    tools = body.get("tools")
    for at, tool in enumerate(tools if isinstance(tools, list) else ()):
        kind = tool.get("type") if isinstance(tool, Mapping) else None
        if isinstance(kind, str) and kind in COSTS and kind not in allowed:
            raise CallerFault(
                f"tools[{at}]: {kind!r} {COSTS[kind]}, for which this gateway has no price; leave it out.",
                code="unsupported_tool",
                param=f"tools[{at}]",
            )
    if body.get("prompt") is not None:
        raise _shared("prompt", "send its text as instructions and input")
    for path, part in _parts(body.get("input")):
        if part.get("file_id") is not None:
            raise _shared(f"{path}.file_id", "send the file itself")


def _parts(items: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for at, item in enumerate(items if isinstance(items, list) else ()):
        if not isinstance(item, Mapping):
            continue
        for name in ("content", "output"):
            content = item.get(name)
            for place, part in enumerate(content if isinstance(content, list) else ()):
                if isinstance(part, Mapping):
                    yield f"input[{at}].{name}[{place}]", part


def _shared(path: str, fix: str) -> CallerFault:
    return CallerFault(
        f"{path}: what it names is kept in the operator's account at OpenAI, which all callers share; {fix}.",
        code="unsupported_parameter",
        param=path,
    )
