"""Regular expressions of a caller, matched in linear time: states of an automaton followed all at once, never tried
one after the other. A backtracking matcher (as in the standard library) needs exponential time for `(a+)+$`.

Understood is what schemas use (ECMA-262, as far as JSON Schema recommends it): characters, `.`, classes, `\\d \\w \\s`
and their opposites, `\\x41`, `\\u0041`, groups, `|`, `* + ?` and `{m,n}`, lazy or not, `^` and `$`. Anything else
(back references, looking around, properties) makes a pattern unknown, and so does one that is too large.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

LONGEST = 256
"""Characters of a pattern."""

MOST_STATES = 1_024
"""States of its automaton; `{m,n}` makes copies."""

MOST_STEPS = 20_000
"""Steps of matching one pattern with all candidates."""

_DEEPEST = 16
_LAST = 0x10FFFF
_Ranges = tuple[tuple[int, int], ...]

_DIGITS: _Ranges = ((48, 57),)
_WORDS: _Ranges = ((48, 57), (65, 90), (95, 95), (97, 122))
_SPACES: _Ranges = ((9, 13), (32, 32), (160, 160), (0x2028, 0x2029), (0xFEFF, 0xFEFF))
_ANY: _Ranges = ((0, 9), (11, 12), (14, 0x2027), (0x202A, _LAST))
_CONTROLS = {"n": 10, "r": 13, "t": 9, "f": 12, "v": 11, "0": 0}
_LIKED = "a1A-_ .:/"
"""Characters that an example is made of where the pattern leaves the choice."""


class Unknown(Exception):
    """The pattern is not understood, or too large."""


@dataclass(slots=True, frozen=True)
class _Chars:
    ranges: _Ranges


@dataclass(slots=True, frozen=True)
class _Edge:
    end: bool


@dataclass(slots=True, frozen=True)
class _Sequence:
    parts: tuple[_Node, ...]


@dataclass(slots=True, frozen=True)
class _Choice:
    options: tuple[_Node, ...]


@dataclass(slots=True, frozen=True)
class _Repeat:
    inner: _Node
    least: int
    most: int | None


_Node = _Chars | _Edge | _Sequence | _Choice | _Repeat


@dataclass(slots=True)
class _State:
    """Where a match may stand. accepts: the characters that lead on, or None; edge: a place that must be there; then:
    the states that follow."""

    accepts: _Ranges | None
    edge: bool | None
    then: list[int]


class Pattern:
    """One pattern. Raises Unknown for what is not understood. steps: work done so far, building it included."""

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST:
            raise Unknown
        self.steps = 0
        self._root = _Parser(text).parse()
        self._states: list[_State] = [_State(None, None, [])]
        self._start = self._build(self._root, 0)

    def search(self, text: str) -> bool:
        """Whether the pattern matches somewhere in `text`."""
        now: set[int] = set()
        for place in range(len(text) + 1):
            now = self._closure([*now, self._start], place == 0, place == len(text))
            if 0 in now:
                return True
            if place < len(text):
                code = ord(text[place])
                now = {
                    after
                    for state in now
                    if (accepts := self._states[state].accepts) is not None and _within(code, accepts)
                    for after in self._states[state].then
                }
        return False

    def example(self) -> str:
        """A short text that is made by the pattern; whether it matches depends on where `^` and `$` stand."""
        return _example(self._root)

    def _closure(self, states: list[int], begin: bool, end: bool) -> set[int]:
        """The states that can be reached without a character."""
        reached: set[int] = set()
        while states:
            state = states.pop()
            if state in reached:
                continue
            self.steps += 1
            reached.add(state)
            found = self._states[state]
            if found.accepts is None and (found.edge is None or (end if found.edge else begin)):
                states += found.then
        return reached

    def _build(self, node: _Node, after: int) -> int:
        """Add the states of `node` before the state `after`; returns the first of them."""
        self.steps += 1
        if self.steps > 2 * MOST_STATES:  # copies of what has no states, such as `(){9999}`
            raise Unknown
        match node:
            case _Chars():
                return self._add(_State(node.ranges, None, [after]))
            case _Edge():
                return self._add(_State(None, node.end, [after]))
            case _Sequence():
                for part in reversed(node.parts):
                    after = self._build(part, after)
                return after
            case _Choice():
                return self._add(_State(None, None, [self._build(option, after) for option in node.options]))
            case _Repeat():
                return self._build_repeat(node, after)

    def _build_repeat(self, node: _Repeat, after: int) -> int:
        if node.most is None:
            loop = self._add(_State(None, None, [after]))
            self._states[loop].then.append(self._build(node.inner, loop))
            after = loop
        else:
            last = after
            for _ in range(node.most - node.least):
                after = self._add(_State(None, None, [last, self._build(node.inner, after)]))
        for _ in range(node.least):
            after = self._build(node.inner, after)
        return after

    def _add(self, state: _State) -> int:
        if len(self._states) >= MOST_STATES:
            raise Unknown
        self._states.append(state)
        return len(self._states) - 1


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def parse(self) -> _Node:
        node = self._choice(0)
        if self._at < len(self._text):
            raise Unknown
        return node

    def _peek(self) -> str:
        return self._text[self._at] if self._at < len(self._text) else ""

    def _take(self) -> str:
        char = self._peek()
        if not char:
            raise Unknown
        self._at += 1
        return char

    def _skip(self, text: str) -> bool:
        found = self._text.startswith(text, self._at)
        self._at += len(text) if found else 0
        return found

    def _choice(self, depth: int) -> _Node:
        if depth > _DEEPEST:
            raise Unknown
        options = [self._sequence(depth)]
        while self._skip("|"):
            options.append(self._sequence(depth))
        return options[0] if len(options) == 1 else _Choice(tuple(options))

    def _sequence(self, depth: int) -> _Node:
        parts: list[_Node] = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._repeated(self._atom(depth)))
        return _Sequence(tuple(parts))

    def _atom(self, depth: int) -> _Node:
        char = self._take()
        if char == "^":
            return _Edge(False)
        if char == "$":
            return _Edge(True)
        if char == ".":
            return _Chars(_ANY)
        if char == "[":
            return _Chars(self._class())
        if char == "\\":
            return _Chars(self._escape())
        if char == "(":
            return self._group(depth)
        if char in "*+?{}])":
            raise Unknown
        return _Chars(_one(ord(char)))

    def _group(self, depth: int) -> _Node:
        if self._skip("?") and not self._skip(":"):
            self._skip("P")
            if not self._skip("<") or self._peek() in ("=", "!"):
                raise Unknown
            while self._take() != ">":
                pass
        inner = self._choice(depth + 1)
        if not self._skip(")"):
            raise Unknown
        return inner

    def _repeated(self, node: _Node) -> _Node:
        counts: tuple[int, int | None]
        if self._skip("*"):
            counts = 0, None
        elif self._skip("+"):
            counts = 1, None
        elif self._skip("?"):
            counts = 0, 1
        elif self._skip("{"):
            counts = self._counts()
        else:
            return node
        self._skip("?")  # lazy: what is found is the same
        if self._peek() in ("*", "+", "?", "{"):
            raise Unknown
        return _Repeat(node, *counts)

    def _counts(self) -> tuple[int, int | None]:
        least = self._number()
        if self._skip("}"):
            return least, least
        if not self._skip(","):
            raise Unknown
        if self._skip("}"):
            return least, None
        most = self._number()
        if not self._skip("}") or most < least:
            raise Unknown
        return least, most

    def _number(self) -> int:
        begin = self._at
        while self._peek().isascii() and self._peek().isdigit():
            self._at += 1
        if not 1 <= self._at - begin <= 4:
            raise Unknown
        return int(self._text[begin : self._at])

    def _class(self) -> _Ranges:
        negated = self._skip("^")
        found: list[tuple[int, int]] = []
        while not self._skip("]"):
            low = self._class_part()
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                high = self._class_part()
                if len(low) != 1 or len(high) != 1 or low[0][0] != low[0][1] or high[0][1] < low[0][0]:
                    raise Unknown
                found.append((low[0][0], high[0][1]))
            else:
                found += low
        return _others(tuple(found)) if negated else tuple(found)

    def _class_part(self) -> _Ranges:
        char = self._take()
        return self._escape() if char == "\\" else _one(ord(char))

    def _escape(self) -> _Ranges:
        char = self._take()
        kinds: dict[str, _Ranges] = {"d": _DIGITS, "w": _WORDS, "s": _SPACES}
        if char.lower() in kinds:
            return kinds[char] if char in kinds else _others(kinds[char.lower()])
        if char in _CONTROLS:
            return _one(_CONTROLS[char])
        if char in "xu":
            return _one(self._hexadecimal(2 if char == "x" else 4))
        if char.isalnum():
            raise Unknown
        return _one(ord(char))

    def _hexadecimal(self, size: int) -> int:
        digits = "".join(self._take() for _ in range(size))
        if not all(digit in "0123456789abcdefABCDEF" for digit in digits):
            raise Unknown
        return int(digits, 16)


def find_example(
    text: str, candidates: Sequence[str], fits: Callable[[str], bool], most: int = MOST_STEPS
) -> tuple[str | None, int]:
    """A text that the pattern `text` finds and that `fits`: one of `candidates`, else one made for it; None when there
    is neither, or when `most` steps are not enough to find one. And the steps that it took."""
    try:
        pattern = Pattern(text)
        for candidate in (*candidates, pattern.example()):
            if pattern.steps > most:
                break
            if fits(candidate) and pattern.search(candidate):
                return candidate, pattern.steps
    except Unknown:
        return None, MOST_STATES
    return None, pattern.steps


def _one(code: int) -> _Ranges:
    return ((code, code),)


def _within(code: int, ranges: _Ranges) -> bool:
    return any(low <= code <= high for low, high in ranges)


def _others(ranges: _Ranges) -> _Ranges:
    """All characters that are not in `ranges`."""
    found: list[tuple[int, int]] = []
    begin = 0
    for low, high in sorted(ranges):
        if low > begin:
            found.append((begin, low - 1))
        begin = max(begin, high + 1)
    if begin <= _LAST:
        found.append((begin, _LAST))
    return tuple(found)


def _example(node: _Node) -> str:
    match node:
        case _Chars():
            if not node.ranges:
                raise Unknown
            liked = (char for char in _LIKED if _within(ord(char), node.ranges))
            return next(liked, chr(node.ranges[0][0]))
        case _Edge():
            return ""
        case _Sequence():
            return "".join(_example(part) for part in node.parts)
        case _Choice():
            return _example(node.options[0])
        case _Repeat():
            return _example(node.inner) * node.least
