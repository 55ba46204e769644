"""`reasoning_details`: Anthropic's opaque blocks as they travel through chat messages, out and back in.

A thinking block carries a signature, and a conversation with tools only continues when it comes back unchanged
(Anthropic's page on extended thinking, "Preserving thinking blocks"). Server-side tool calls and their results have
no place in a chat message either. So every block that is not text and not the caller's tool call becomes one entry:

    {"index": n, "type": "anthropic.thinking", "text": str, "signature": str}
    {"index": n, "type": "anthropic.redacted_thinking", "data": str}
    {"index": n, "type": "anthropic.block", "block": {...}}      any other block, as it came

`index` is the entry's place in the list: OpenAI's SDKs need it to put streamed lists together.
Entries in OpenRouter's form (`reasoning.text` with a signature, `reasoning.encrypted`) are understood on the way in.
"""

from __future__ import annotations

from typing import Any

from .draft import refuse

Detail = dict[str, Any]


def detail_of(block: dict[str, Any], index: int) -> Detail:
    """The entry for one block of an answer. Values of a wrong type are kept as they came."""
    kind = block.get("type")
    if kind == "thinking" and set(block) <= {"type", "thinking", "signature"}:
        entry: Detail = {"index": index, "type": "anthropic.thinking", "text": block.get("thinking", "")}
        if block.get("signature") is not None:
            entry["signature"] = block["signature"]
        return entry
    if kind == "redacted_thinking" and set(block) <= {"type", "data"}:
        return {"index": index, "type": "anthropic.redacted_thinking", "data": block.get("data", "")}
    return {"index": index, "type": "anthropic.block", "block": block}


def blocks_from_details(details: Any, path: str) -> list[dict[str, Any]]:
    """The blocks to give back to Anthropic. Entries of other providers are left out: only their maker reads them.

    Raises CallerFault when `details` is not a list of objects.
    """
    if details is None:
        return []
    if not isinstance(details, list) or not all(isinstance(entry, dict) for entry in details):
        raise refuse(path, "must be an array of objects, as they came in the answer")
    return [block for block in map(_block_of, details) if block is not None]


def _block_of(entry: Detail) -> dict[str, Any] | None:
    kind = entry.get("type")
    if kind == "anthropic.block":
        block = entry.get("block")
        return block if isinstance(block, dict) else None
    signature, data = entry.get("signature"), entry.get("data")
    if _is(entry, "anthropic.thinking", "reasoning.text") and isinstance(signature, str) and signature:
        text = entry.get("text")
        return {"type": "thinking", "thinking": text if isinstance(text, str) else "", "signature": signature}
    if _is(entry, "anthropic.redacted_thinking", "reasoning.encrypted") and isinstance(data, str):
        return {"type": "redacted_thinking", "data": data}
    return None


def _is(entry: Detail, own: str, shared: str) -> bool:
    """Whether an entry is `own`, or the form `shared` by several providers and marked as Anthropic's."""
    kind, maker = entry.get("type"), entry.get("format")
    return kind == own or (kind == shared and isinstance(maker, str) and maker.startswith("anthropic"))
