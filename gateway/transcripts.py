"""Recorded exchanges with providers, as JSON files: the gateway writes them, `gateway replay` and the contract read.

    {"id", "source", "license", "notes": [...],
     "request":  {"method", "host", "path", "headers", "body"},
     "response": {"status", "headers", "body" | "sse"},
     "call":     {"model", "operation", "stream", "max_output", "body", "target", "answer", "charge"}}

`sse` is the raw text of a streamed answer; `body` is a whole one, as JSON or as text. `call` is there in what the
gateway recorded itself: the request as it understood it (chat or embeddings), and what became of it. A file holds one
exchange.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from gateway.provider import UpstreamReply, UpstreamRequest

_SHOWN_HEADERS = re.compile(r"content-type|accept|retry-after|date|[a-z0-9-]+-(?:version|beta)")
"""Headers that are kept; others may tell whose account it is."""


@dataclass(slots=True, frozen=True)
class Transcript:
    """One exchange. request: the body that was sent, None when it was not recorded; path: where it was sent.
    body: the answer's bytes. streamed: they are an event stream. call: what the gateway knew of it, empty for what
    others recorded."""

    id: str
    source: str
    license: str
    path: str
    request: dict[str, Any] | None
    status: int
    headers: Mapping[str, str]
    body: bytes
    streamed: bool
    call: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reply(self) -> UpstreamReply:
        """The answer as a provider reads it."""
        return UpstreamReply(self.status, self.headers, self.body)


def load_transcript(file: Path) -> Transcript:
    """One file. Raises ValueError, naming the file, when it is not of the layout."""
    try:
        data = orjson.loads(file.read_bytes())
        request, response = data["request"], data["response"]
        sse = response.get("sse")
        body = response.get("body")
        raw = sse if sse is not None else body
        return Transcript(
            id=data["id"],
            source=data.get("source", ""),
            license=data.get("license", ""),
            path=request["path"],
            request=request.get("body"),
            status=response["status"],
            headers={name.lower(): value for name, value in response.get("headers", {}).items()},
            body=raw.encode() if isinstance(raw, str) else orjson.dumps(raw),
            streamed=sse is not None,
            call=data.get("call") or {},
        )
    except (KeyError, TypeError, AttributeError, orjson.JSONDecodeError) as error:
        raise ValueError(f"{file}: not a transcript: {error!r}") from error


def load_transcripts(folder: Path) -> list[Transcript]:
    """Every transcript in a folder, by file name. Raises ValueError when there is none."""
    found = [load_transcript(file) for file in sorted(folder.glob("*.json"))]
    if not found:
        raise ValueError(f"{folder}: no transcripts")
    return found


def write_transcript(
    name: str,
    request: UpstreamRequest,
    reply: UpstreamReply,
    call: Mapping[str, Any],
    mask: Callable[[str], str],
) -> bytes:
    """The file for one exchange, redacted. mask: takes secrets out of a text; it is applied to every text."""
    where = urlsplit(request.url)
    sent = _json(request.body)
    answer: dict[str, Any] = {"status": reply.status, "headers": _headers(reply.headers)}
    if reply.headers.get("content-type", "").startswith("text/event-stream"):
        answer["sse"] = reply.body.decode("utf-8", "replace")
    else:
        answer["body"] = _json(reply.body)
    query = f"?{where.query}" if where.query else ""
    value = {
        "id": name,
        "source": "recorded by the gateway",
        "license": "",
        "notes": ["secrets, accounts and addresses were taken out"],
        "request": {
            "method": request.method,
            "host": where.hostname or "",
            "path": where.path + query,
            "headers": _headers(request.headers),
            "body": sent,
        },
        "response": answer,
        "call": dict(call),
    }
    return orjson.dumps(_masked(value, mask), option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS) + b"\n"


def _headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items() if _SHOWN_HEADERS.fullmatch(name.lower())}


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode("utf-8", "replace")


def _masked(value: Any, mask: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {key: _masked(inner, mask) for key, inner in value.items()}
    if isinstance(value, list):
        return [_masked(inner, mask) for inner in value]
    return value
