"""Recorded exchanges of real providers, as JSON files that a provider plugin keeps in `transcripts/`.

    {"id", "source", "license", "notes": [...],
     "request":  {"method", "host", "path", "headers", "body"},
     "response": {"status", "headers", "body" | "sse"}}

`sse` is the raw text of a streamed answer; `body` is a whole one, as JSON or as text. A file holds one exchange.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from gateway.provider import UpstreamReply


@dataclass(slots=True, frozen=True)
class Transcript:
    """One exchange. request: the body that was sent, None when it was not recorded; path: where it was sent.
    body: the answer's bytes. streamed: they are an event stream."""

    id: str
    source: str
    license: str
    path: str
    request: dict[str, Any] | None
    status: int
    headers: Mapping[str, str]
    body: bytes
    streamed: bool

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
        )
    except (KeyError, TypeError, AttributeError, orjson.JSONDecodeError) as error:
        raise ValueError(f"{file}: not a transcript: {error!r}") from error


def load_transcripts(folder: Path) -> list[Transcript]:
    """Every transcript in a folder, by file name. Raises ValueError when there is none."""
    found = [load_transcript(file) for file in sorted(folder.glob("*.json"))]
    if not found:
        raise ValueError(f"{folder}: no transcripts")
    return found
