"""What a model of this dialect may be asked to do for the price of its tokens and searches, and what costs more.

Source: OpenAI's price list (containers, file search and images are billed by themselves) and API reference (`tools`);
xAI's guide "Live Search" (`search_parameters`, billed by source), Alibaba's and Perplexity's references of the same
(`enable_search`, `search_options`, `web_search`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.api import CallerFault, Target

TOOLS = (
    "web_search",
    "web_search_*",
    "mcp",
    "local_shell",
    "shell",
    "apply_patch",
    "computer",
    "computer_use*",
    "tool_search",
    "namespace",
)
"""Types of tools, see `gateway.api.Profile`: those that the caller runs itself, searches, which are billed one by one,
and what costs nothing but tokens."""

COSTLY_MEMBERS = ("search_parameters", "enable_search", "search_options", "web_search")
"""Members of a body by which servers search the web, at a price of its own that no usage tells."""


def check_members(body: Mapping[str, Any], target: Target) -> None:
    """Raise CallerFault for the first member of a body that costs more than the prices say. The operator lets one
    through by its name in `hosted_tools`."""
    for name in COSTLY_MEMBERS:
        if name in body and body[name] and name not in target.hosted_tools:
            raise CallerFault(
                f"{name}: the provider bills searches beside the tokens, and this gateway has no price for them; leave "
                "it out, or use web_search_options.",
                code="unsupported_parameter",
                param=name,
            )
