"""What MCP servers answer, as the rest of the gateway sees it. Pure: dicts in, values out.

Source: Model Context Protocol specification, "Tools" (content of results: text, image, audio, resource links, embedded
resources; `structuredContent`; `isError`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.tools import Source, ToolImage, ToolResult
from gateway.wire.lenient import dict_of, dicts_of, text_of

Json = dict[str, Any]

MAX_DESCRIPTION = 8_000
"""Characters of a tool's description that are kept."""


def read_tools(listed: list[Any]) -> list[Json]:
    """The tools of a server in a stable order: `name`, `description`, `input_schema`, `annotations` as `mcp_list_tools`
    items hold them (`shown_tools`), and `output_schema` where the server says one.

    Servers may answer in another order each time, and prompts must not change for that. The first of two tools with
    the same name counts; nonsense is left out.
    """
    found: dict[str, Json] = {}
    for tool in listed:
        tool = dict_of(tool)
        name = text_of(tool.get("name"))
        if not name or len(name) > 256 or name in found:
            continue
        schema = tool.get("inputSchema")
        found[name] = {
            "name": name,
            "description": text_of(tool.get("description"))[:MAX_DESCRIPTION] or None,
            "input_schema": schema if isinstance(schema, dict) else {"type": "object", "properties": {}},
            "annotations": tool.get("annotations") if isinstance(tool.get("annotations"), dict) else None,
        }
        if isinstance(tool.get("outputSchema"), dict):
            found[name]["output_schema"] = tool["outputSchema"]
    return [found[name] for name in sorted(found)]


def shown_tools(tools: list[Json]) -> list[Json]:
    """Tools as an item shows them."""
    return [{key: value for key, value in tool.items() if key != "output_schema"} for tool in tools]


def read_result(result: Mapping[str, Any]) -> ToolResult:
    """A `CallToolResult` as a tool's result. Structured content is told as JSON where no text says it."""
    texts: list[str] = []
    images: list[ToolImage] = []
    sources: list[Source] = []
    for block in dicts_of(result.get("content")):
        kind = block.get("type")
        if kind == "text":
            texts.append(text_of(block.get("text")))
        elif kind == "image":
            image = ToolImage(text_of(block.get("mimeType")) or "image/png", text_of(block.get("data")))
            images.append(image)
            texts.append(f"[image: {image.media_type}]")
        elif kind == "resource_link":
            texts.append(_link(block, sources))
        elif kind == "resource":
            texts.append(_resource(dict_of(block.get("resource")), images))
        else:
            texts.append(f"[{text_of(kind) or 'content'}: {text_of(block.get('mimeType')) or 'unknown type'}]")
    structured = result.get("structuredContent")
    if structured is not None and not any(block.get("type") == "text" for block in dicts_of(result.get("content"))):
        texts.append(orjson.dumps(structured).decode())
    return ToolResult(
        "\n".join(texts),
        tuple(sources),
        tuple(images),
        structured if isinstance(structured, dict) else None,
        error=result.get("isError") is True,
    )


def _link(block: Json, sources: list[Source]) -> str:
    address, name = text_of(block.get("uri")), text_of(block.get("title")) or text_of(block.get("name"))
    if address.startswith(("http://", "https://")):
        sources.append(Source(address, name))
    about = text_of(block.get("description"))
    return f"[resource {name}: {address}]" + (f" {about}" if about else "")


def _resource(resource: Json, images: list[ToolImage]) -> str:
    address, kind = text_of(resource.get("uri")), text_of(resource.get("mimeType"))
    if isinstance(resource.get("text"), str):
        return f"[resource {address}]\n{resource['text']}"
    if kind.startswith("image/") and isinstance(resource.get("blob"), str):
        images.append(ToolImage(kind, resource["blob"]))
    return f"[resource {address}: {kind or 'binary'}]"
