"""An upper bound of the tokens that a chat body makes as Anthropic's input.

Text: no tokenizer of this family makes more than one token of a byte. Images and pages of PDF are bounded by the
most that Anthropic documents for one (pages "Vision" and "PDF support"): an image beyond the native resolution
(2,576 pixels on the long edge) is scaled down to at most 4,784 tokens; a page is its text, up to 3,000 tokens, and
its picture. A server-side search adds its results to the input of every step that follows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.api import PageCounter

from .output import INSTRUCTION
from .tools import SEARCH_USES, is_openai_search

IMAGE_TOKENS = 4_784
PAGE_TOKENS = 3_000 + IMAGE_TOKENS
MOST_PAGES = 600
CONTEXT = 1_000_000
"""The largest context of the family; what is bounded by nothing else is bounded by this."""

SEARCH_TOKENS = 16_000
"""Tokens of one search's results; recorded ones take 7,000 to 14,000."""

_BASE = 1_024
"""For what Anthropic adds itself: the tool instructions (up to about 700 tokens) and the frame."""

_PER_ITEM = 32
"""For the frame of a message, a part or a tool."""


def bound_input(body: Mapping[str, Any]) -> int:
    """Tokens, never less than the true size of the input that `body` makes."""
    tokens = _BASE + len(INSTRUCTION)
    pages = PageCounter(MOST_PAGES)
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        tokens += _message(message, pages)
    for key in ("tools", "response_format", "functions", "system", "output_config", "mcp_servers"):
        value = body.get(key)
        if value is not None:
            # The schema of an answer or a tool is shown to the model, at most twice over when it is emulated.
            tokens += 2 * _json(value) + _PER_ITEM * (len(value) if isinstance(value, list) else 1)
    uses = _searches(body)
    # Search number k is followed by a step that reads everything before it again.
    return tokens * (uses + 1) + SEARCH_TOKENS * uses * (uses + 1) // 2


def _message(message: Any, pages: PageCounter) -> int:
    if not isinstance(message, dict):
        return _json(message)
    tokens = _PER_ITEM
    for key, value in message.items():
        if key == "content" and isinstance(value, list):
            tokens += sum(_part(part, pages) for part in value)
        elif key == "content" and isinstance(value, str):
            tokens += _bytes(value)
        else:
            tokens += _json(value)
    return tokens


def _part(part: Any, pages: PageCounter) -> int:
    if not isinstance(part, dict):
        return _json(part)
    kind = part.get("type")
    if kind == "text" and isinstance(part.get("text"), str):
        return _PER_ITEM + _bytes(part["text"])
    if kind == "image_url":
        image = part.get("image_url")
        return _url(image.get("url") if isinstance(image, dict) else image, pages)
    if kind == "file":
        file = part.get("file")
        return _file(file, pages) if isinstance(file, dict) else _json(part)
    if kind in ("image", "document"):
        return _native(part, pages)
    if kind == "tool_result" and isinstance(part.get("content"), list):
        return _PER_ITEM + sum(_part(inner, pages) for inner in part["content"])
    return _PER_ITEM + _json(part)


def _native(part: dict[str, Any], pages: PageCounter) -> int:
    """A block in Anthropic's own form."""
    source = part.get("source")
    if part["type"] == "image" or not isinstance(source, dict):
        return _PER_ITEM + IMAGE_TOKENS
    frame = _PER_ITEM + _json({key: value for key, value in part.items() if key != "source"})
    if source.get("type") == "base64" and isinstance(source.get("data"), str):
        return frame + _pdf(source["data"], pages)
    if source.get("type") == "text":
        return frame + _json(source)
    if source.get("type") == "content":
        inner = source.get("content")
        return frame + (sum(_part(each, pages) for each in inner) if isinstance(inner, list) else _json(inner))
    return frame + _unseen()


def _file(file: dict[str, Any], pages: PageCounter) -> int:
    frame = _PER_ITEM + _json(file.get("filename"))
    data = file.get("file_data")
    if not isinstance(data, str) or data.startswith(("https://", "http://")):
        return frame + _unseen()
    return frame + (_url(data, pages) if data.startswith("data:") else _pdf(data, pages))


def _url(url: Any, pages: PageCounter) -> int:
    if not isinstance(url, str) or not url.startswith("data:"):
        return _PER_ITEM + IMAGE_TOKENS
    head, _, data = url.partition(",")
    if head.startswith("data:image/"):
        return _PER_ITEM + IMAGE_TOKENS
    return _PER_ITEM + (_pdf(data, pages) if "pdf" in head.lower() else len(data))


def _unseen() -> int:
    """A document of which only the address is known."""
    return min(MOST_PAGES * PAGE_TOKENS, CONTEXT)


def _pdf(data: str, pages: PageCounter) -> int:
    """Pages as far as the file shows them; the most that a document may have where it does not."""
    return min((pages.count_base64(data) or MOST_PAGES) * PAGE_TOKENS, CONTEXT)


def _searches(body: Mapping[str, Any]) -> int:
    """The most server-side searches that this body allows."""
    options = body.get("web_search_options")
    uses = _uses(options) if isinstance(options, dict) else 0
    tools = body.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        kind = tool.get("type") if isinstance(tool, dict) else None
        if isinstance(kind, str) and kind.startswith(("web_search", "web_fetch")):
            uses += _uses(tool)
    return uses


def _uses(options: dict[str, Any]) -> int:
    limit = options.get("max_uses")
    if isinstance(limit, int) and not isinstance(limit, bool) and limit > 0:
        return min(limit, 20)
    size = options.get("search_context_size")
    named = str(options.get("type", "web_search"))
    if is_openai_search(named):
        return SEARCH_USES.get(size if isinstance(size, str) else "medium", 5)
    return 10


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _json(value: Any) -> int:
    if isinstance(value, str):
        return _bytes(value)
    try:
        return len(orjson.dumps(value))
    except TypeError:
        return len(repr(value))
