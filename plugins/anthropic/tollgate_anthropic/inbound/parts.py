"""Content blocks of the Messages API as parts of a chat message.

Source: Anthropic's API reference, "Create a Message" (content blocks), and its pages on vision, PDF support, search
results and the Files API. A block that chat has no part for stays as it is: it is counted as input like any other,
a provider that speaks Anthropic's dialect takes it, and others refuse the request (`Notes.blame`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.api import Notes, as_dict, as_list, as_text
from tollgate_anthropic.draft import refuse

Part = dict[str, Any]

_FRAME = frozenset({"type", "text", "source", "title", "context", "content", "tool_name", "cache_control"})


def parts_of(notes: Notes, content: Any, path: str) -> list[Part]:
    """The parts of a `content`: a string or a list of blocks. Raises CallerFault that names what is malformed."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    parts: list[Part] = []
    for at, block in enumerate(as_list(content, path)):
        parts += parts_of_block(notes, block, f"{path}[{at}]")
    return parts


def parts_of_block(notes: Notes, block: Any, path: str) -> list[Part]:
    """The parts of one block. Raises CallerFault that names what is malformed."""
    block = as_dict(block, path)
    kind = as_text(block.get("type"), f"{path}.type")
    make = _MAKERS.get(kind)
    if make is None:
        return opaque(notes, block, path)
    if block.get("cache_control") is not None:
        notes.report("cache_control")
    notes.report_rest(block, _FRAME, "messages[].content[]")
    return make(notes, block, path)


def opaque(notes: Notes, block: Part, path: str) -> list[Part]:
    """A block that only Anthropic's dialect knows."""
    notes.blame(path, f"there is no content of type {str(block.get('type'))[:60]!r} elsewhere")
    return [block]


def _text(notes: Notes, block: Part, path: str) -> list[Part]:
    return [{"type": "text", "text": as_text(block.get("text"), f"{path}.text")}]


def _image(notes: Notes, block: Part, path: str) -> list[Part]:
    source = as_dict(block.get("source"), f"{path}.source")
    url = _url(source, f"{path}.source")
    return opaque(notes, block, path) if url is None else [{"type": "image_url", "image_url": {"url": url}}]


def _document(notes: Notes, block: Part, path: str) -> list[Part]:
    source = as_dict(block.get("source"), f"{path}.source")
    title, context = block.get("title"), block.get("context")
    head = [text for text in (title, context) if isinstance(text, str) and text]
    kind = source.get("type")
    if kind == "text":
        return [{"type": "text", "text": "\n\n".join([*head, as_text(source.get("data"), f"{path}.source.data")])}]
    if kind == "content":
        return [*_head(head), *parts_of(notes, source.get("content"), f"{path}.source.content")]
    url = _url(source, f"{path}.source")
    if url is None:
        return opaque(notes, block, path)
    # `file_url` is what providers read; `file_data` with an address is what OpenAI-compatible servers take.
    file = {"file_data": url} if kind == "base64" else {"file_data": url, "file_url": url}
    file["filename"] = head[0] if head and isinstance(title, str) and title else "document.pdf"
    return [*_head([text for text in head if text is not title]), {"type": "file", "file": file}]


def _head(texts: list[str]) -> list[Part]:
    return [{"type": "text", "text": "\n\n".join(texts)}] if texts else []


def _url(source: Part, path: str) -> str | None:
    """The address of media, inline data as a `data:` URL; None for a source that only Anthropic can read."""
    if source.get("type") == "base64":
        media = as_text(source.get("media_type"), f"{path}.media_type")
        return f"data:{media};base64,{as_text(source.get('data'), f'{path}.data')}"
    if source.get("type") == "url":
        url = as_text(source.get("url"), f"{path}.url")
        if not url.startswith(("https://", "http://")):
            raise refuse(f"{path}.url", "must begin with https://")
        return url
    return None


def _search_result(notes: Notes, block: Part, path: str) -> list[Part]:
    lines = [as_text(block.get("title"), f"{path}.title"), as_text(block.get("source"), f"{path}.source")]
    for at, inner in enumerate(as_list(block.get("content"), f"{path}.content")):
        lines.append(as_text(as_dict(inner, f"{path}.content[{at}]").get("text"), f"{path}.content[{at}].text"))
    return [{"type": "text", "text": "\n".join(lines)}]


def _tool_reference(notes: Notes, block: Part, path: str) -> list[Part]:
    """What a search for tools found: elsewhere every tool is on offer from the beginning."""
    return [
        {"type": "text", "text": f"The tool {as_text(block.get('tool_name'), f'{path}.tool_name')} can be called now."}
    ]


_MAKERS: dict[str, Callable[[Notes, Part, str], list[Part]]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "search_result": _search_result,
    "tool_reference": _tool_reference,
}
