"""What servers send as JSON that is none by the letter, mended so that every client can read it.

Four things happen: bytes that are no UTF-8, texts that were cut in the middle of a surrogate pair (servers that count
UTF-16 units cut anywhere), numbers that are none (`NaN`, `Infinity`), as Python's own writer makes them, and line ends
that stand in a text as they are, as models write them into the arguments of tools. The first two are looked for in
events that nobody parses, too; the others are met by whoever parses.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from gateway.wire.exact_json import load_exact
from gateway.wire.lenient import dump

_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
# A backslash before it would make it plain text; whoever looks for these knows that some half stands alone.
_HALF_AT_END = re.compile(rb'(?<!\\)\\u[dD][89abAB][0-9a-fA-F]{2}(?=")')
_BACKSLASH = 0x5C
_HALF_AT_START = re.compile(rb'(?<=")\\u[dD][c-fC-F][0-9a-fA-F]{2}')


def load_mended(data: bytes) -> Any:
    """`load_exact`, with U+FFFD for what is no text, null for what is no number, and control characters in texts as
    what they are. Raises `orjson.JSONDecodeError` for what is no JSON even then."""
    try:
        return load_exact(data)
    except orjson.JSONDecodeError:
        try:
            value = json.loads(data.decode("utf-8", "replace"), parse_constant=lambda _: None, strict=False)
            text = json.dumps(value, ensure_ascii=False)
        except (ValueError, RecursionError):
            pass
        else:
            return load_exact(text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"))
        raise


def mended_text(text: str) -> str:
    """The JSON of a text that is JSON once it is mended; the text itself where it is, or never will be."""
    if _CONTROL.search(text) is None:
        return text
    data = text.encode("utf-8", "replace")
    if _is_json(data):
        return text
    mended = StreamedJson().mend(text)  # so that it says the same, to the letter, as a stream of it
    if _is_json(mended.encode("utf-8", "replace")):
        return mended
    try:
        return dump(load_mended(data))
    except orjson.JSONDecodeError:
        return text


_CONTROL = re.compile(r"[\x00-\x1f]")
_CONTROLS = re.compile(r"([\x00-\x1f])")
_MARKS = re.compile(r'\\.|["\\]', re.DOTALL)
"""What changes whether a text of JSON is inside of a string, and what only looks like it; a backslash at its end."""


class StreamedJson:
    """Mends one text of JSON that comes in pieces, as the arguments of a call do: control characters inside of strings
    are escaped, and between them they stay, where they are JSON's white space.

    Pieces without quotes, backslashes and control characters need not be shown to it while `is_calm`.
    """

    __slots__ = ("_escaping", "_inside")

    def __init__(self) -> None:
        self._inside = False
        self._escaping = False

    @property
    def is_calm(self) -> bool:
        """Whether the next character means what it says: no backslash stands before it."""
        return not self._escaping

    def pass_by(self, piece: str) -> bool:
        """Take note of the next piece; False for one that has to be mended, and is not taken note of."""
        if _CONTROL.search(piece) is not None:
            return False
        self._note(piece)
        return True

    def mend(self, piece: str) -> str:
        """The next piece, mended; itself where it is right."""
        if self.pass_by(piece):
            return piece
        out = []
        for part in _CONTROLS.split(piece):
            if part < " " and part:
                escaped = dump(part)[1:-1]
                out.append(escaped[self._escaping :] if self._inside or self._escaping else part)
                self._escaping = False
            else:
                self._note(part)
                out.append(part)
        return "".join(out)

    def _note(self, piece: str) -> None:
        if not piece:
            return
        if self._escaping:
            self._escaping, piece = False, piece[1:]
        if "\\" not in piece:
            self._inside ^= piece.count('"') & 1 == 1
            return
        marks = _MARKS.findall(piece)
        self._inside ^= marks.count('"') & 1 == 1
        self._escaping = marks[-1] == "\\"


class Mender:
    """Mends the texts of the events of one stream: the halves of a pair that was cut between two events come together
    in the second."""

    __slots__ = ("_half",)

    def __init__(self) -> None:
        self._half = b""

    @property
    def holds(self) -> bool:
        """Whether half of a pair waits for the event with the other."""
        return bool(self._half)

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
