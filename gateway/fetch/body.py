"""Where a chat body refers to media by URL, and the body with the media in their place. Pure.

A reference is a string in a content part whose key says so (`url`, `image_url`, `fileUri`, `file_data`, ...), so text
that happens to be a URL stays text. The chat format's places are in OpenAI's `openapi.yaml`; others are providers' own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

_ENDINGS = ("url", "uri")
_KEYS = frozenset({"data", "file", "file_data"})
_TURNS = (("messages", ("content",)), ("input", ("content", "output")), ("contents", ("parts",)))
_ONLY_TEXT = frozenset({"text"})
_TEXT_PARTS = ("text", "input_text", "output_text")
_LONGEST_SCHEME = 40
SERVER_LISTS = ("tools", "mcp_servers")
"""Lists in which servers stand that a provider calls."""
_SERVERS = ("mcpServers", "mcp_servers")
_FUNCTIONS = ("function", "custom")
_TOLD = frozenset({"annotations", "citations", "sources", "results", "input", "args", "response", "functionResponse"})
"""Members that tell where an answer came from, and arguments and results of functions, which no provider fetches."""


def find_references(body: Mapping[str, Any], urls: Collection[str]) -> dict[str, str]:
    """URL -> path of its first place in the body (`messages[0].content[1].image_url.url`), of those in `urls`."""
    found: dict[str, str] = {}
    for path, url in _references(body):
        if url in urls:
            found.setdefault(url, path)
    return found


def find_links(body: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Path and URL of all media that a body of any dialect has its provider fetch, and of the MCP servers that it is to
    call; not of `data:` URLs, and not what an earlier answer told of its sources."""
    found: list[tuple[str, str]] = []
    for name, held in _TURNS:
        turns = body.get(name)
        if not isinstance(turns, list):
            continue
        for index, turn in enumerate(turns):
            for holder in held if isinstance(turn, dict) else ():
                content = turn.get(holder)
                if content is None or type(content) is str:
                    continue  # nearly always
                if isinstance(content, list):
                    for place, part in enumerate(content):
                        if isinstance(part, dict) and part.get("type") not in _TEXT_PARTS and part.keys() != _ONLY_TEXT:
                            found += _urls(part, f"{name}[{index}].{holder}[{place}]")
                elif isinstance(content, dict):
                    found += _urls(content, f"{name}[{index}].{holder}")
    return found + list(_server_links(body))


def _server_links(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Of tools and servers: members of their own, not those of functions' schemas."""
    for name in SERVER_LISTS:
        entries = body.get(name)
        for index, entry in enumerate(entries if isinstance(entries, list) else ()):
            if not isinstance(entry, dict) or entry.get("type") in _FUNCTIONS:
                continue
            path = f"{name}[{index}]"
            yield from _urls({key: value for key, value in entry.items() if isinstance(value, str)}, path)
            for key in _SERVERS:
                yield from _urls({key: entry.get(key)}, path)


def _urls(part: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    for place, text in _search(part, path, _TOLD):
        if "://" in text[:_LONGEST_SCHEME] and text[:5].lower() != "data:":
            yield place, text


def with_media(body: Mapping[str, Any], media: Mapping[str, str]) -> dict[str, Any]:
    """A copy of the body in which each URL of `media` (URL -> `data:` URL) is replaced by its `data:` URL.

    Two places cannot hold one and become their siblings that can: `file_url` becomes `file_data`, and a source
    `{"type": "url", "url"}` becomes `{"type": "base64", "media_type", "data"}`. What has no URL in it is shared.
    """
    messages = body.get("messages")
    if not isinstance(messages, list):
        return {**body}
    return {**body, "messages": [_fill_message(message, media) for message in messages]}


def _references(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    messages = body.get("messages")
    for index, message in enumerate(messages if isinstance(messages, list) else ()):
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, list):
            yield from _search(content, f"messages[{index}].content")


def _search(value: Any, path: str, beside: Collection[str] = ()) -> Iterator[tuple[str, str]]:
    """beside: members that are not looked into."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, (dict, list)):
                yield from _search(item, f"{path}[{index}]", beside)
    elif isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, str):
                if _refers(key):
                    yield f"{path}.{key}", item
            elif isinstance(item, list | dict) and key not in beside:
                yield from _search(item, f"{path}.{key}", beside)


def _refers(key: str) -> bool:
    return key.lower().endswith(_ENDINGS) or key in _KEYS


def _fill_message(message: Any, media: Mapping[str, str]) -> Any:
    content = message.get("content") if isinstance(message, dict) else None
    return {**message, "content": _fill(content, media)} if isinstance(content, list) else message


def _fill(value: Any, media: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_fill(item, media) for item in value]
    if not isinstance(value, dict):
        return value
    made: dict[str, Any] = {}
    for key, item in value.items():
        inline = media.get(item) if isinstance(item, str) and _refers(key) else None
        if inline is None:
            made.setdefault(key, _fill(item, media))
        elif key == "file_url":
            made["file_data"] = inline
        elif key == "url" and value.get("type") == "url":
            head, _, data = inline.partition(",")
            made.update(type="base64", media_type=head[len("data:") : -len(";base64")], data=data)
        else:
            made[key] = inline
    return made
