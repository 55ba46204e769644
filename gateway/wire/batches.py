"""Batches as OpenAI has them: a file of requests goes in, a file of answers comes out (API reference, batch).

Each line of the one is `{"custom_id", "method": "POST", "url", "body"}`, each line of the other
`{"id", "custom_id", "response": {"status_code", "request_id", "body"}, "error"}`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson

from gateway.errors import CallerFault, Fault
from gateway.wire.json_body import parse_json
from gateway.wire.lenient import dict_of, text_of
from gateway.wire.responses.request import metadata
from gateway.wire.validators import Validator, filled_string, integer, kind, obj, one_of, printable

ENDPOINTS = (
    "/v1/chat/completions", "/v1/responses", "/v1/completions", "/v1/embeddings", "/v1/moderations",
    "/v1/images/generations",
)  # fmt: skip
"""What the requests of a batch may be for."""
FINAL = frozenset({"completed", "failed", "expired", "cancelled"})
"""States in which a batch stays."""
_EXPIRY = obj({"anchor": one_of(("created_at",)), "seconds": integer(3600, 2_592_000)}, required=("anchor", "seconds"))
MEMBERS: Mapping[str, Validator] = MappingProxyType(
    {
        "input_file_id": filled_string.about("A file of this account with a request in each line."),
        "endpoint": one_of(ENDPOINTS).about("What all its requests are for."),
        "completion_window": one_of(("24h",)).about("By when it is done or given up."),
        "metadata": metadata,
        "output_expires_after": _EXPIRY.about("When the files of its answers are deleted at the provider."),
    }
)
"""Of a request for a batch."""
REQUIRED = ("input_file_id", "endpoint", "completion_window")
_LONGEST_ID = 512
LONGEST_RESULT = 64 << 20
"""Bytes of one line of answers."""


class BatchLine(NamedTuple):
    """One request of a batch. number: its line in the file, from 1. size: bytes of the line."""

    number: int
    custom_id: str
    body: dict[str, Any]
    size: int


class BatchResult(NamedTuple):
    """One answer. status: its HTTP status, 0 for none at all; body: what came."""

    custom_id: str
    status: int
    body: dict[str, Any]


def line_fault(number: int, fault: Fault) -> Fault:
    """The same fault, with the line of the file that it is about."""
    fault.message = f"line {number}: {fault.message}"
    fault.args = (fault.message,)
    return fault


def read_lines(content: bytes, endpoint: str, most: int, *, max_depth: int, max_values: int) -> list[BatchLine]:
    """The requests of a file. most: how many it may have. max_depth, max_values: of one line, see `parse_json`. Raises
    CallerFault that names the line."""
    found: list[BatchLine] = []
    seen: set[str] = set()
    for number, raw in enumerate(content.splitlines(), 1):
        if not raw.strip():
            continue
        if len(found) == most:
            raise CallerFault(f"input_file_id: the file has more than {most} requests.", param="input_file_id")
        try:
            line = parse_json(raw, max_depth=max_depth, max_values=max_values)
            found.append(_line(number, line, endpoint, seen, len(raw)))
        except CallerFault as fault:
            raise line_fault(number, fault) from None
    if not found:
        raise CallerFault("input_file_id: the file has no requests.", param="input_file_id")
    return found


def _line(number: int, line: dict[str, Any], endpoint: str, seen: set[str], size: int) -> BatchLine:
    custom_id, body = line.get("custom_id"), line.get("body")
    if not isinstance(custom_id, str) or not 0 < len(custom_id) <= _LONGEST_ID:
        raise CallerFault(f"custom_id: expected a text of up to {_LONGEST_ID} characters.", param="custom_id")
    if custom_id in seen:
        raise CallerFault(f"custom_id: {printable(custom_id, 60)!r} was used before.", param="custom_id")
    seen.add(custom_id)
    if line.get("method") != "POST":
        raise CallerFault('method: expected "POST".', param="method")
    if line.get("url") != endpoint:
        raise CallerFault(f"url: expected {endpoint}, the batch's endpoint.", param="url")
    if not isinstance(body, dict):
        raise CallerFault(f"body: expected an object, got {kind(body)}.", param="body")
    return BatchLine(number, custom_id, body, size)


def write_line(custom_id: str, url: str, body: bytes) -> bytes:
    """A request as a provider reads it. body: JSON."""
    if b"\n" in body:
        body = orjson.dumps(orjson.loads(body))
    return orjson.dumps({"custom_id": custom_id, "method": "POST", "url": url, "body": orjson.Fragment(body)}) + b"\n"


def read_result(raw: bytes) -> BatchResult | None:
    """A line of answers; None for what is none."""
    try:
        line = dict_of(orjson.loads(raw))
    except orjson.JSONDecodeError:
        return None
    response = dict_of(line.get("response"))
    status = response.get("status_code")
    return BatchResult(
        text_of(line.get("custom_id")), status if type(status) is int else 0, dict_of(response.get("body"))
    )


class ResultLines:
    """Splits bytes into lines, at any split; one that is longer than `LONGEST_RESULT` is given up, and None."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._skips = False

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        """The lines that `data` completes."""
        first, *rest = data.split(b"\n")
        self._keep(first)
        for part in rest:
            yield self._take()
            self._keep(part)

    def finish(self) -> Iterator[bytes | None]:
        """The last line, which nothing may have ended."""
        if self._size:
            yield self._take()

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > LONGEST_RESULT:
            self._skips = True
            self._parts.clear()
        elif part:
            self._parts.append(part)

    def _take(self) -> bytes | None:
        line = None if self._skips else b"".join(self._parts)
        self._parts, self._size, self._skips = [], 0, False
        return line
