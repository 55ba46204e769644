"""The tables of parameters in docs/, written from the schemas of what checks the requests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.http.api import admin_forms
from gateway.http.api.fields import Form
from gateway.wire.batches import MEMBERS, REQUIRED
from gateway.wire.chat.request import CHAT_REQUEST
from gateway.wire.completions import COMPLETION_REQUEST
from gateway.wire.embeddings import EMBEDDINGS_REQUEST
from gateway.wire.images import EDIT_REQUEST, GENERATION_REQUEST, VARIATION_REQUEST
from gateway.wire.json_schema import inlined
from gateway.wire.moderation import MODERATION_REQUEST
from gateway.wire.rerank import RERANK_REQUEST
from gateway.wire.responses.request import RESPONSES_REQUEST
from gateway.wire.speech import SPEECH_REQUEST
from gateway.wire.transcription import TRANSCRIPTION_REQUEST

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = ("http-api.md", "operations.md", "images.md", "audio.md", "batches.md")
TABLES: Mapping[str, Mapping[str, Any]] = {
    "chat": CHAT_REQUEST.tree,
    "responses": RESPONSES_REQUEST.tree,
    "completions": COMPLETION_REQUEST.tree,
    "rerank": RERANK_REQUEST.tree,
    "embeddings": EMBEDDINGS_REQUEST.tree,
    "images": GENERATION_REQUEST.tree,
    "image edits": EDIT_REQUEST.tree,
    "image variations": VARIATION_REQUEST.tree,
    "batches": Form(MEMBERS, required=REQUIRED).tree,
    "speech": SPEECH_REQUEST.tree,
    "transcriptions": TRANSCRIPTION_REQUEST.tree,
    "moderations": MODERATION_REQUEST.tree,
    "new account": admin_forms.NEW_ACCOUNT.tree,
    "account": admin_forms.ACCOUNT.tree,
    "key": admin_forms.KEY.tree,
    "rotation": admin_forms.ROTATION.tree,
    "credits": admin_forms.CREDIT.tree,
    "refund": admin_forms.REFUND.tree,
    "vouchers": admin_forms.VOUCHERS.tree,
}
_REGION = re.compile(r"<!-- parameters: ([a-z ]+) -->\n.*?<!-- end of parameters -->", re.DOTALL)
_MOST = 2**52
"""Limits beyond this are those of the numbers themselves, and not worth a word."""


def shape(tree: Mapping[str, Any]) -> str:
    """What a value must be, in a few words; null, which is as good as absent, is not mentioned."""
    if "contentMediaType" in tree:
        return "file"
    if "anyOf" in tree:
        found = list(dict.fromkeys(shape(part) for part in tree["anyOf"] if part != {"type": "null"}))
        return " or ".join(found)
    words = [f"`{word}`" for word in tree.get("enum", ()) if word is not None]
    if words:
        return ", ".join(words)
    kinds = tree.get("type", "anything")
    kind = next(name for name in (kinds if isinstance(kinds, list) else [kinds]) if name != "null")
    if kind == "array":
        inner = shape(tree.get("items", {}))
        return "array" if inner in ("anything", "array") or " or " in inner else f"array of {plural(inner)}"
    if kind in ("integer", "number"):
        least, most = tree.get("minimum"), tree.get("maximum")
        if most is not None and most < _MOST:
            return f"{kind}, {least} to {most}"
        return f"{kind}, at least {least}" if least is not None and least > -_MOST else str(kind)
    return str(kind)


def plural(word: str) -> str:
    """`string` -> `strings`; words with limits stay as they are."""
    return f"{word}s" if word.isalpha() else word


def table(tree: Mapping[str, Any]) -> str:
    """The members of an object as a Markdown table."""
    tree = inlined(tree)
    required = tree.get("required", ())
    lines = ["| parameter | value | meaning |", "|---|---|---|"]
    for name, member in tree["properties"].items():
        mark = " (required)" if name in required else ""
        meaning = member.get("description", "").replace("|", "\\|")
        lines.append(f"| `{name}`{mark} | {shape(member)} | {meaning} |")
    return "\n".join(lines)


def put_in(page: str) -> str:
    """The page with every marked region written anew. Raises SystemExit for a mark that names no table."""

    def render(found: re.Match[str]) -> str:
        name = found[1]
        if name not in TABLES:
            raise SystemExit(f"there is no table `{name}`; there are {', '.join(TABLES)}")
        return f"<!-- parameters: {name} -->\n{table(TABLES[name])}\n<!-- end of parameters -->"

    return _REGION.sub(render, page)


def names_in(page: str) -> list[str]:
    """The tables that a page has."""
    return _REGION.findall(page)


if __name__ == "__main__":
    for place in (DOCS / name for name in PAGES):
        place.write_text(put_in(place.read_text("utf-8")), "utf-8")
