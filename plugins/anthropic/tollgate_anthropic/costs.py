"""What a request to Anthropic may not ask for: what changes its price without a price for it, and what names things
that the operator's account keeps there, which all accounts of the gateway would share.

Sources: Anthropic's pages "Pricing" (fast mode, data residency, long cache lifetimes), "Files API", "Code execution
tool" (containers).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gateway.api import CallerFault, Place, Target, allows_tool, objects_of, path_of, tool_fault

from .draft import refuse

Json = dict[str, Any]

HARMLESS: Mapping[str, frozenset[Any]] = MappingProxyType(
    {
        "speed": frozenset({None, "standard"}),
        "inference_geo": frozenset({None, "global", "not_available"}),
        "thread": frozenset({None}),
    }
)
"""Members that are let through with these values only."""

TOOLS = (
    "bash_*",
    "text_editor_*",
    "computer_*",
    "memory_*",
    "web_search",
    "web_search_*",
    "web_fetch_*",
    "tool_search_tool_*",
    "mcp_toolset",
)
"""Types of tools, see `gateway.api.Profile`: those that the caller runs itself, searches, which are billed one by one,
and what costs nothing but tokens. An advisor is another model, code execution is billed by hours."""

_WHY = MappingProxyType(
    {
        "speed": "another speed has another price, which this gateway cannot bill; leave it out",
        "inference_geo": "another region has another price, which this gateway cannot bill; leave it out",
        "thread": "threads are kept at the provider; send the whole conversation",
    }
)
THREAD = "thread_unsupported_request"
"""`error.details.error_code`, on which Anthropic's SDKs send the whole history."""


def refuse_thread(thread: Any) -> CallerFault | None:
    """The fault of a request that continues a conversation which the provider keeps; None for one that does not."""
    if thread is None:
        return None
    return CallerFault(f"thread: {_WHY['thread']}", code=THREAD, param="thread")


def check_costs(out: Json, target: Target) -> None:
    """Raise CallerFault for what `out`, a body as it would go out to `target`, may not ask for."""
    price = target.price
    for name, harmless in HARMLESS.items():
        value = out.get(name)
        if isinstance(value, dict | list) or value not in harmless:
            raise (refuse_thread(value) if name == "thread" else None) or refuse(name, _WHY[name])
    container = out.get("container")
    if container is not None and not (isinstance(container, dict) and not container.get("id")):
        raise refuse("container", "containers are kept at the provider for all callers; leave the id out")
    long_lived = price is not None and price.cache_write is not None and price.cache_write_1h is None
    tools = out.get("tools")
    for at, tool in enumerate(tools if isinstance(tools, list) else ()):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if isinstance(kind, str) and not allows_tool(target, kind, TOOLS):
            raise tool_fault(f"tools[{at}]", kind, target)
    for place, node in objects_of(out):
        _check_block(place, node, long_lived)


def _check_block(place: Place | None, block: Json, long_lived: bool) -> None:
    control, source = block.get("cache_control"), block.get("source")
    if long_lived and isinstance(control, dict) and control.get("ttl") == "1h":
        raise refuse(
            f"{path_of(place, 'cache_control')}.ttl",
            "an hour in the cache costs more than five minutes, and the operator has set no price for it "
            "(price.cache_write_1h); use 5m",
        )
    if block.get("type") == "container_upload" or (isinstance(source, dict) and source.get("type") == "file"):
        raise refuse(path_of(place), "files are kept at the provider for all callers; send the content itself")
