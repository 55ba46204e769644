"""`reasoning_details`: Anthropic's opaque blocks as they travel through chat messages, out and back in.

A thinking block carries a signature, and a conversation with tools only continues when it comes back unchanged
(Anthropic's page on extended thinking, "Preserving thinking blocks"). Server-side tool calls and their results have
no place in a chat message either. So every block that is not text and not the caller's tool call becomes one entry:

    {"index": n, "type": "anthropic.thinking", "text": str, "signature": str}
    {"index": n, "type": "anthropic.redacted_thinking", "data": str}
    {"index": n, "type": "anthropic.block", "block": {...}}      any other block, as it came

`index` is the entry's place in the list: OpenAI's SDKs need it to put streamed lists together. An entry that does not
stand at the beginning of the answer says where: `after_text`, the characters of the answer's text before it, and
`after_calls`, the number of calls before it. So a later turn gives the blocks back in their order.
Entries in OpenRouter's form (`reasoning.text` with a signature, `reasoning.encrypted`) are understood on the way in.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from gateway.api import activity_notes

from .draft import refuse
from .searches import search_id

Detail = dict[str, Any]
Block = dict[str, Any]


def detail_of(block: dict[str, Any], index: int, *, after_text: int = 0, after_calls: int = 0) -> Detail:
    """The entry for one block of an answer. Values of a wrong type are kept as they came."""
    entry = _entry_of(block, index)
    if after_text:
        entry["after_text"] = after_text
    if after_calls:
        entry["after_calls"] = after_calls
    return entry


def _entry_of(block: dict[str, Any], index: int) -> Detail:
    kind = block.get("type")
    if kind == "thinking" and set(block) <= {"type", "thinking", "signature"}:
        entry: Detail = {"index": index, "type": "anthropic.thinking", "text": block.get("thinking", "")}
        if block.get("signature") is not None:
            entry["signature"] = block["signature"]
        return entry
    if kind == "redacted_thinking" and set(block) <= {"type", "data"}:
        return {"index": index, "type": "anthropic.redacted_thinking", "data": block.get("data", "")}
    return {"index": index, "type": "anthropic.block", "block": block}


@dataclass(slots=True)
class Placed:
    """A block to give back to Anthropic, and where it stood: see above."""

    block: Block
    after_text: int
    after_calls: int


def blocks_from_details(details: Any, path: str) -> list[Placed]:
    """The blocks to give back to Anthropic. Entries of other providers are left out: only their maker reads them.

    Raises CallerFault when `details` is not a list of objects.
    """
    if details is None:
        return []
    if not isinstance(details, list) or not all(isinstance(entry, dict) for entry in details):
        raise refuse(path, "must be an array of objects, as they came in the answer")
    found = [(_block_of(entry), entry) for entry in details]
    return [
        Placed(block, _count(entry, "after_text"), _count(entry, "after_calls"))
        for block, entry in found
        if block is not None
    ]


def told_activity(message: dict[str, Any], placed: list[Placed]) -> list[Placed]:
    """In words, what was done for the answer by somebody else than Anthropic: its own searches are among `placed`."""
    own = {search_id(one.block.get(name)) for one in placed for name in ("id", "tool_use_id")}
    notes = activity_notes(message, own)
    return [Placed({"type": "text", "text": words}, after_text, 0) for after_text, words in notes]


def in_order(placed: list[Placed], spoken: list[Block], calls: list[Block]) -> list[Block]:
    """The blocks of one answer as they stood: what was said is cut where another block stood in it."""
    out: list[Block] = []
    early = deque(sorted((one for one in placed if not one.after_calls), key=lambda one: one.after_text))
    said = 0
    for block in spoken:
        text = block.get("text")
        if block.get("type") == "text" and isinstance(text, str):
            while early and early[0].after_text < said + len(text):
                cut = max(early[0].after_text - said, 0)
                if cut:
                    out.append({"type": "text", "text": text[:cut]})
                    said, text = said + cut, text[cut:]
                    block = {**block, "text": text}
                out.append(early.popleft().block)
            said += len(text)
        out.append(block)
    out += [one.block for one in early]
    late = deque(sorted((one for one in placed if one.after_calls), key=lambda one: one.after_calls))
    for number, call in enumerate(calls):
        while late and late[0].after_calls <= number:
            out.append(late.popleft().block)
        out.append(call)
    return out + [one.block for one in late]


def _count(entry: Detail, name: str) -> int:
    value = entry.get(name)
    return value if type(value) is int and value > 0 else 0


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
