"""A request's body: JSON bytes to a dict, strictly.

Two readers of the same JSON may disagree on duplicate keys, on nesting and on numbers, and each disagreement is a
way round a check (RFC 8259, sections 4, 6 and 9, leaves all three open). So what is ambiguous is refused here.
"""

from __future__ import annotations

import json
import re
from typing import Any, cast

import orjson

from gateway.errors import CallerFault
from gateway.wire.exact_json import reread
from gateway.wire.validators import kind, printable

MAX_DEPTH = 128
"""Levels of nesting. orjson reads 1,024 levels but writes only 254, and a body is written again for the upstream."""

MAX_VALUES = 400_000
"""Values of a body. Time and memory go by their number: twenty megabytes of text are one value, or ten million of
`[]`, which take a gigabyte and many seconds wherever they are walked. OpenAI's largest request with many values, an
array of token arrays for embeddings, may have 300,000 tokens."""

_BOM = b"\xef\xbb\xbf"
_SPACE_BEFORE_COLON = re.compile(rb'"[ \t\r\n]+:')
# No more of a string at a time than takes a few milliseconds: the matcher lets no other thread run meanwhile.
_OUTSIDE = re.compile(rb'[",\[{]')
_WITHIN = re.compile(rb'(?:[^"\\]+|\\.){0,10000}', re.DOTALL)
_NOT_JSON_NUMBERS = re.compile(r"-?(?:NaN|Infinity|inf|nan)")


def parse_json(raw: bytes, *, max_depth: int = MAX_DEPTH, max_values: int = MAX_VALUES) -> dict[str, Any]:
    """Read a JSON object from UTF-8 bytes; a leading byte-order mark is ignored (RFC 8259, section 8.1).

    Raises CallerFault (400), with line and column where there is one, when `raw` is not valid UTF-8 or JSON, holds
    NaN, Infinity or half a surrogate pair, nests deeper than `max_depth`, holds more than `max_values` values, repeats
    a key (the message names its path), or is not an object. Whole numbers beyond 64 bits keep their digits, see
    `gateway.wire.exact_json`.
    """
    if raw.startswith(_BOM):
        raw = raw[len(_BOM) :]
    _refuse_many(raw, max_values)
    try:
        root = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _syntax_fault(raw, error, max_depth) from None
    if type(root) is not dict:
        raise CallerFault(f"the request body must be a JSON object, not {kind(root)}; send {{...}}")
    keys, exact = _look_through(root, max_depth)
    if not _surely_unique(raw, keys):
        _refuse_duplicates(raw)
    return root if exact else cast("dict[str, Any]", reread(raw, root))


def _refuse_many(raw: bytes, most: int) -> None:
    """Raise CallerFault for too many values, before memory is spent on them.

    Counted are commas and opening brackets outside of strings: each value but the first follows one of them, and an
    empty array or object counts one more. A value takes two bytes at least, so short bodies need no count; and what
    stands within strings matters to long prose only, where strings are few and quickly passed.
    """
    if len(raw) <= most or raw.count(b",") + raw.count(b"[") + raw.count(b"{") <= most:
        return
    values = 0
    found = _OUTSIDE.search(raw)
    while found is not None:
        place = found.end()
        if raw[place - 1] == _QUOTE:
            place = _after_string(raw, place)
        else:
            values += 1
            if values > most:
                raise CallerFault(
                    f"the request body holds more than {most} values (server.json_values); send fewer",
                    code="too_many_values",
                )
        found = _OUTSIDE.search(raw, place)


_QUOTE = 0x22


def _after_string(raw: bytes, place: int) -> int:
    """Behind the string that begins at `place`; the end of `raw` for one that does not end."""
    while True:
        found = _WITHIN.match(raw, place)
        end = found.end() if found is not None else place
        if raw[end : end + 1] == b'"':
            return end + 1
        if end == place:
            return len(raw)
        place = end


_WHOLE = 2.0**63


def _look_through(root: dict[str, Any], max_depth: int) -> tuple[int, bool]:
    """The number of members of all objects, and whether no number is so large that it may have lost digits; refuses
    what nests too deep. Level by level, so no stack is used."""
    keys = 0
    exact = True
    depth = 0
    level: list[Any] = [root]
    while level:
        depth += 1
        if depth > max_depth:
            raise _depth_fault(max_depth)
        deeper: list[Any] = []
        for node in level:
            if type(node) is dict:
                keys += len(node)
            for value in node.values() if type(node) is dict else node:
                its = type(value)
                if its is dict or its is list:
                    deeper.append(value)
                elif its is float and not -_WHOLE < value < _WHOLE:
                    exact = False
        level = deeper
    return keys, exact


def _surely_unique(raw: bytes, keys: int) -> bool:
    r"""Whether byte counts prove that no object in the (valid) JSON repeats a key; False means "look closer".

    In valid JSON a quote that is directly followed by a colon is one of three things:
    (1) the closing quote of a key: the only place where the grammar allows a colon after a string;
    (2) an escaped quote within a string: an odd number of backslashes stands before it;
    (3) the opening quote of a string that begins with a colon: no backslash stands before it.
    A key's closing quote escapes the count of `":` when white space separates it from the colon, and is taken for (2)
    when the key ends in a backslash, which stands escaped, so as two. Both are looked for, and are rare. In their
    absence `":` less `\":` counts every key of (1) once, plus (3). The parser kept `keys` of the keys of (1), so
    equality means that none was lost to a duplicate.
    """
    if _SPACE_BEFORE_COLON.search(raw) is not None:
        return False
    escaped = raw.count(b'\\":')
    if escaped and b'\\\\":' in raw:
        return False
    return raw.count(b'":') - escaped == keys


class _Repeating(dict[str, Any]):
    """An object in which `key` stands more than once."""

    key: str = ""


class _Repeats:
    """Makes the objects of one body. found: whether any of them repeats a key."""

    def __init__(self) -> None:
        self.found = False

    def __call__(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        plain = dict(pairs)
        if len(plain) == len(pairs):
            return plain
        self.found = True
        repeating = _Repeating(plain)
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                repeating.key = key
                break
            seen.add(key)
        return repeating


def _zero(_: str) -> int:
    """Numbers do not matter when looking for keys, and reading a very long one is slow or refused."""
    return 0


def _refuse_duplicates(raw: bytes) -> None:
    """The exact test. Only for valid JSON of bounded depth: the standard parser recurses."""
    repeats = _Repeats()
    root = json.loads(raw.decode("utf-8"), object_pairs_hook=repeats, parse_int=_zero, parse_float=_zero)
    if not repeats.found:  # almost always; the walk that finds its path costs more than the parser
        return
    todo: list[tuple[_Place, Any]] = [((None, ""), root)]
    while todo:
        place, node = todo.pop()
        if isinstance(node, _Repeating):
            name = _path((place, node.key))
            raise CallerFault(
                f"{printable(name)}: this key stands more than once in its object; keep one of them",
                code="duplicate_key",
                param=printable(name),
            )
        if isinstance(node, dict):
            todo.extend(((place, key), value) for key, value in node.items() if _holds_more(value))
        elif isinstance(node, list):
            todo.extend(((place, index), value) for index, value in enumerate(node) if _holds_more(value))


_Place = tuple[Any, str | int]
"""Where a value stands: the place of what it is in (None for the root), and its key or index there. A path as text,
made for each value, would repeat a long key for everything below it."""


def _path(place: _Place) -> str:
    steps: list[str] = []
    while place[0] is not None:
        place, step = place
        steps.append(f"[{step}]" if isinstance(step, int) else f".{step[:_LONGEST_STEP]}")
    return "".join(reversed(steps)).removeprefix(".")


_LONGEST_STEP = 256


def _holds_more(value: Any) -> bool:
    return bool(value) and isinstance(value, dict | list)


def _syntax_fault(raw: bytes, error: orjson.JSONDecodeError, max_depth: int) -> CallerFault:
    """What orjson refused, in our words."""
    if not raw.strip():
        return CallerFault("the request body is empty; send a JSON object", code="invalid_json")
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as wrong:
        line = raw.count(b"\n", 0, wrong.start) + 1
        column = wrong.start - raw.rfind(b"\n", 0, wrong.start)
        where = f"line {line}, byte {column}"
        return CallerFault(f"the request body is not valid UTF-8 at {where}; encode it as UTF-8", code="invalid_json")
    if error.msg.startswith("depth limit"):
        return _depth_fault(max_depth)
    rest = error.doc[error.pos : error.pos + 16]
    what = error.msg
    if _NOT_JSON_NUMBERS.match(rest) or what == "no digit after sign":
        what = "NaN and Infinity are not JSON; use a finite number or null"
    elif what.startswith("number is infinity"):
        what = "this number is too large for a double; use a smaller one"
    elif "surrogate" in what:
        what = "a \\u escape names half of a surrogate pair; send both halves or the character itself"
    return CallerFault(
        f"the request body is not valid JSON at line {error.lineno}, column {error.colno}: {what}",
        code="invalid_json",
    )


def _depth_fault(max_depth: int) -> CallerFault:
    return CallerFault(f"the request body nests deeper than {max_depth} levels; flatten it", code="invalid_json")
