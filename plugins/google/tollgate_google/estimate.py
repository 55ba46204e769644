"""An upper bound of the tokens that a chat body makes as Gemini's input.

Text: no token stands for less than a byte. Media by the maxima that Google documents (pages on image, document, audio
and video understanding, on media resolution, and on counting tokens): an image by the model's row, audio 32 tokens a
second, video up to 300 tokens a second, PDF by the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gateway.api import BOUND, PageCounter, Weights, bound_text_tokens, text_bytes

from .quirks import Quirks

CONTEXT = 2_097_152
"""The largest context of the family (Gemini 1.5 Pro); what is bounded by nothing else is bounded by this."""

MOST_PAGES = 1_000
_VIDEO = 1 / 20
"""Tokens per byte: 300 a second, of which the thinnest video takes 6 kB."""

_PART = 16


def bound_input(body: Mapping[str, Any], quirks: Quirks | None, context: int | None) -> int:
    """Tokens, never less than the true size of the input that `body` makes.

    quirks: of the model, None for the dearest. context: the model's own limit, which no input exceeds, or None.
    """
    most = context or CONTEXT
    if body.get("cachedContent") or body.get("cached_content"):
        return most  # what the cache holds is not in the body
    rest, tokens = _without_media(body, quirks or Quirks(image_tokens=6_450))
    weights: Weights = replace(BOUND, image=0, image_low=0)
    return min(tokens + bound_text_tokens(rest, weights), most)


def _without_media(body: Mapping[str, Any], quirks: Quirks) -> tuple[dict[str, Any], int]:
    """The body without its images, files and videos, and a bound of the tokens that these make."""
    tokens = 0
    pages = PageCounter(MOST_PAGES)
    messages = body.get("messages")
    kept: list[Any] = []
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, dict) else None
        shown = message.get("images") if isinstance(message, dict) else None
        if isinstance(shown, list):
            tokens += len(shown) * (quirks.image_tokens + _PART)
            message = {key: value for key, value in message.items() if key != "images"}
        if isinstance(content, list):
            parts = []
            for part in content:
                size = _media(part, quirks, pages)
                if size is None:
                    parts.append(part)
                else:
                    tokens += size + _PART
            message = {**message, "content": parts}
        kept.append(message)
    return {**body, "messages": kept}, tokens


def _media(part: Any, quirks: Quirks, pages: PageCounter) -> int | None:
    """Tokens of a part that shows something, None for any other part."""
    kind = part.get("type") if isinstance(part, dict) else None
    inner = part.get(kind) if isinstance(kind, str) else None
    if kind == "image_url":
        return _url(inner.get("url") if isinstance(inner, dict) else inner, quirks, quirks.image_tokens, pages)
    if kind == "video_url":
        return _url(inner.get("url") if isinstance(inner, dict) else inner, quirks, CONTEXT, pages)
    if kind == "file" and isinstance(inner, dict):
        name = text_bytes(inner["filename"]) if isinstance(inner.get("filename"), str) else 0
        data = inner.get("file_data")
        if isinstance(data, str) and data[:4].lower() not in ("data", "http"):
            return name + _pdf(data, quirks, pages)
        return name + _url(data, quirks, MOST_PAGES * quirks.page_tokens, pages)
    return None


def _url(url: Any, quirks: Quirks, unseen: int, pages: PageCounter) -> int:
    """unseen: for what only its address is known of."""
    if not isinstance(url, str) or url[:5].lower() != "data:":
        return unseen
    head, _, data = url.partition(",")
    media = head[5:].lower()
    if media.startswith("image/"):
        return quirks.image_tokens
    if media.startswith("video/"):
        return min(int(len(data) * 3 / 4 * _VIDEO) + 1_000, CONTEXT)
    if media.startswith("audio/"):
        return int(len(data) * BOUND.audio) + 32
    return _pdf(data, quirks, pages) if "pdf" in media else len(data)


def _pdf(data: str, quirks: Quirks, pages: PageCounter) -> int:
    return (pages.count_base64(data) or MOST_PAGES) * quirks.page_tokens
