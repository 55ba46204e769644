"""`reasoning_details`: Mistral's chunks as they travel through chat messages, out and back in.

Mistral wants the thoughts of earlier turns back as they came (its page on reasoning; recorded in `transcripts/`):

    {"index": n, "type": "mistral.thinking", "text": str, ...}              a thinking chunk of texts alone
    {"index": n, "type": "mistral.thinking", "thinking": [...], ...}        one that holds more than texts
    {"index": n, "type": "mistral.block", "block": {...}}                   a chunk that chat has no place for

Further members of a thinking chunk (`closed`, signatures to come) stand beside. `index` is the entry's place in the
list: OpenAI's SDKs need it to put streamed lists together.
"""

from __future__ import annotations

from typing import Any

from .draft import refuse
from .quirks import Replay

Detail = dict[str, Any]

_OURS = ("index", "type", "text", "thinking")


def thinking_detail(index: int, pieces: list[Any], rest: dict[str, Any]) -> Detail:
    """The entry for a thinking chunk. pieces: what `thinking` holds, texts already joined; rest: other members."""
    entry: Detail = {"index": index, "type": "mistral.thinking"}
    if all(isinstance(piece, str) for piece in pieces):
        entry["text"] = "".join(pieces)
    else:
        entry["thinking"] = [_text(piece) if isinstance(piece, str) else piece for piece in pieces]
    return {**rest, **entry}


def block_detail(index: int, block: Any) -> Detail:
    """The entry for any other chunk."""
    return {"index": index, "type": "mistral.block", "block": block}


def thoughts_of(message: dict[str, Any], replay: Replay, path: str) -> list[dict[str, Any]]:
    """The chunks to give back with an assistant message: its own from `reasoning_details`, else, for models that
    think, its `reasoning_content` as one thought. Entries of other providers are left out: only their maker reads
    them. Raises CallerFault when `reasoning_details` is not a list of objects."""
    details = message.get("reasoning_details")
    if details is not None and not (isinstance(details, list) and all(isinstance(entry, dict) for entry in details)):
        raise refuse(f"{path}.reasoning_details", "must be an array of objects, as they came in the answer")
    if replay == "none":
        return []
    chunks = [chunk for chunk in map(_chunk_of, details or ()) if chunk is not None]
    if chunks or replay == "own":
        return chunks
    for name in ("reasoning_content", "reasoning"):
        text = message.get(name)
        if isinstance(text, str) and text.strip():
            return [{"type": "thinking", "thinking": [_text(text)]}]
    return []


def _chunk_of(entry: Detail) -> dict[str, Any] | None:
    if entry.get("type") == "mistral.block":
        block = entry.get("block")
        return block if isinstance(block, dict) else None
    if entry.get("type") != "mistral.thinking":
        return None
    text, pieces = entry.get("text"), entry.get("thinking")
    if isinstance(text, str):
        pieces = [_text(text)]
    if not isinstance(pieces, list):
        return None
    rest = {key: value for key, value in entry.items() if key not in _OURS}
    return {"type": "thinking", "thinking": pieces, **rest}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}
