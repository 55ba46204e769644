"""What servers send as JSON that is none by the letter, mended so that every client can read it.

Three things happen: bytes that are no UTF-8, texts that were cut in the middle of a surrogate pair (servers that count
UTF-16 units cut anywhere), and numbers that are none (`NaN`, `Infinity`), as Python's own writer makes them. The first
two are looked for in events that nobody parses, too; the last is met by whoever parses.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from gateway.wire.exact_json import load_exact

_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
# A backslash before it would make it plain text; whoever looks for these knows that some half stands alone.
_HALF_AT_END = re.compile(rb'(?<!\\)\\u[dD][89abAB][0-9a-fA-F]{2}(?=")')
_BACKSLASH = 0x5C
_HALF_AT_START = re.compile(rb'(?<=")\\u[dD][c-fC-F][0-9a-fA-F]{2}')


def load_mended(data: bytes) -> Any:
    """`load_exact`, with U+FFFD for what is no text and null for what is no number. Raises `orjson.JSONDecodeError` for
    what is no JSON even then."""
    try:
        return load_exact(data)
    except orjson.JSONDecodeError:
        try:
            value = json.loads(data.decode("utf-8", "replace"), parse_constant=lambda _: None)
            text = json.dumps(value, ensure_ascii=False)
        except (ValueError, RecursionError):
            pass
        else:
            return load_exact(text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"))
        raise


class Mender:
    """Mends the texts of the events of one stream: the halves of a pair that was cut between two events come together
    in the second."""

    __slots__ = ("_half",)

    def __init__(self) -> None:
        self._half = b""

    def mend(self, payload: bytes) -> bytes:
        """The event's JSON, itself when nothing is wrong with it or nothing helps."""
        # Looks that cost next to nothing; most events need no other.
        whole = _BACKSLASH not in payload or b"\\u" not in payload or _HALF.search(payload) is None
        if whole and (payload.isascii() or _is_utf8(payload)):
            return payload
        if _is_json(payload):
            return payload
        if self._half:
            half, self._half = self._half, b""
            payload = _HALF_AT_START.sub(lambda found: half + found[0], payload, count=1)
        cut = _HALF_AT_END.search(payload)
        if cut is not None:
            self._half = cut[0]
            payload = payload[: cut.start()] + payload[cut.end() :]
        if _is_json(payload):
            return payload
        try:
            return orjson.dumps(load_mended(payload))
        except (orjson.JSONDecodeError, orjson.JSONEncodeError):
            return payload


def _is_utf8(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_json(payload: bytes) -> bool:
    try:
        orjson.loads(payload)
    except orjson.JSONDecodeError:
        return False
    return True
