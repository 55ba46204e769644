"""A deterministic JSON value that is valid for a JSON Schema, with values found in the conversation where they fit.

Covers what structured outputs and function parameters use: type, enum, const, default, properties, required,
additionalProperties, items, prefixItems, $ref into the same document, anyOf, oneOf, allOf, the limits of numbers,
strings, arrays and objects, the common formats, and patterns as far as `pattern.py` understands them. `not`, `if` and
conditional keywords are not looked at.
Source: JSON Schema 2020-12, validation vocabulary, and OpenAI's guide "Structured outputs".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from tollgate_echo.hints import Hints
from tollgate_echo.pattern import find_example

_MAX_DEPTH = 24
_SHALLOW = 6
_MAX_ITEMS = 100
_MAX_TEXT = 10_000
_LONGEST_CANDIDATE = 12
_LONGEST_REFERENCE = 1_000

MOST_EFFORT = 5_000
"""What an answer may cost to make: about one for a value, for sixteen members copied, for a hundred characters written
or for ten steps of matching a pattern. A schema comes from the caller: one that refers to itself in many places, or
repeats something long, must not grow without end."""

FORMATS: Mapping[str, str] = {
    "date-time": "2026-01-31T12:00:00Z",
    "date": "2026-01-31",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "echo@example.com",
    "idn-email": "echo@example.com",
    "hostname": "example.com",
    "idn-hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uri-reference": "https://example.com/",
    "iri": "https://example.com/",
    "url": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "json-pointer": "/echo",
    "regex": ".*",
    "byte": "ZWNobw==",
}
"""One valid value per format: RFC 3339, RFC 5321, RFC 3986, RFC 9562; addresses of the documentation ranges."""

_SAMPLE = "abc"


class Effort:
    """What is left of `MOST_EFFORT` for one answer; below zero, only what is nearest at hand is made."""

    def __init__(self, most: int = MOST_EFFORT) -> None:
        self.left = most

    def spend(self, effort: int) -> None:
        """So much was done, or is about to be."""
        self.left -= effort


class Builder:
    """Builds values for one schema document.

    hints: what the conversation offers as values. optional: whether properties that are not required are given.
    effort: shared by all values of an answer.
    """

    def __init__(self, root: Any, hints: Hints, *, optional: bool = True, effort: Effort | None = None) -> None:
        self._root = root
        self._hints = hints
        self._optional = optional
        self._effort = effort or Effort()

    def build(self) -> Any:
        """A value for the whole document."""
        return self._value(self._root, "", 0)

    def _value(self, schema: Any, name: str, depth: int) -> Any:
        schema = self._resolve(schema)
        self._effort.spend(1 + len(schema) // 16)
        if depth > _MAX_DEPTH or self._effort.left < 0:
            return None
        if not schema:
            return self._said(self._hints.text(name))
        if "const" in schema:
            return self._given(schema["const"])
        choices = schema.get("enum")
        if isinstance(choices, list) and choices:
            self._effort.spend(len(choices) // 16)
            return self._given(self._hints.choose(choices) if self._effort.left >= 0 else choices[0])
        for key in ("anyOf", "oneOf"):
            options = schema.get(key)
            if isinstance(options, list) and options:
                self._effort.spend(len(options))
                rest = {k: v for k, v in schema.items() if k != key}
                return self._value(self._merge(rest, self._option(options, depth)), name, depth + 1)
        if isinstance(schema.get("allOf"), list):
            merged = {k: v for k, v in schema.items() if k != "allOf"}
            for part in schema["allOf"]:
                if self._effort.left < 0:
                    break
                merged = self._merge(merged, self._resolve(part))
            return self._value(merged, name, depth + 1)
        return self._typed(schema, name, depth)

    def _typed(self, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        match _type_of(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case "integer":
                return _number(schema, self._hints.number(name), whole=True)
            case "number":
                return _number(schema, self._hints.number(name), whole=False)
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return self._string(schema, name)

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        required = [key for key in _list(schema.get("required")) if isinstance(key, str)]
        # Deep inside, only what must be: a schema that refers to itself would never end otherwise.
        needed = set(required)
        everything = self._optional and depth < _SHALLOW
        result: dict[str, Any] = {}
        self._effort.spend((len(properties) + len(required)) // 16)
        for key in [*properties, *(key for key in required if key not in properties)]:
            if self._effort.left < 0:
                break
            if everything or key in needed:
                self._said(key)
                result[key] = self._value(properties.get(key, {}), key, depth + 1)
        least = _int(schema.get("minProperties"), 0)
        spare = schema.get("additionalProperties")
        while len(result) < min(least, _MAX_ITEMS):
            result[f"key{len(result) + 1}"] = self._value(spare, "value", depth + 1)
        return result

    def _array(self, schema: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        first = _list(schema.get("prefixItems"))
        least, most = _int(schema.get("minItems"), 0), _int(schema.get("maxItems"), _MAX_ITEMS)
        usual = 0 if depth >= _SHALLOW else 1
        size = min(max(least, usual, len(first)), max(most, least), _MAX_ITEMS)
        items = schema.get("items")
        values = [
            self._value(first[place] if place < len(first) else items, name.removesuffix("s"), depth + 1)
            for place in range(size)
        ]
        return _distinct(values) if schema.get("uniqueItems") is True else values

    def _string(self, schema: Mapping[str, Any], name: str) -> str:
        known = FORMATS.get(str(schema.get("format")))
        pattern = schema.get("pattern")
        default = schema.get("default")
        if known is not None:
            text = known
        elif isinstance(pattern, str):
            return self._matching(pattern, schema)
        elif isinstance(default, str) and not self._hints.fits(name):
            text = default
        else:
            text = self._hints.text(name)
        least, most = _int(schema.get("minLength"), 0), _int(schema.get("maxLength"), _MAX_TEXT)
        return self._said(text.ljust(min(least, _MAX_TEXT), ".")[: max(most, 0)])

    def _matching(self, pattern: str, schema: Mapping[str, Any]) -> str:
        """A text for the pattern; a word of the conversation when none is found."""
        least, most = _int(schema.get("minLength"), 0), _int(schema.get("maxLength"), _MAX_TEXT)
        words = [text for text in self._hints.words() if len(text) <= _LONGEST_CANDIDATE]
        found = None
        if self._effort.left >= 0:
            found, steps = find_example(pattern, words, lambda text: least <= len(text) <= most)
            self._effort.spend(1 + steps // 10)
        return self._said(found if found is not None else (words or [_SAMPLE])[-1])

    def _said(self, text: str) -> str:
        self._effort.spend(len(text) // 100)
        return text

    def _given(self, value: Any) -> Any:
        """A value out of the schema itself, which may be long and be asked for in many places."""
        self._effort.spend(_size(value) // 100)
        return value if self._effort.left >= -MOST_EFFORT else None

    def _resolve(self, schema: Any) -> dict[str, Any]:
        """The schema behind references; its own members stay beside what it refers to. {} for anything odd."""
        for _ in range(_MAX_DEPTH):
            if not isinstance(schema, dict) or self._effort.left < 0:
                return {}
            reference = schema.get("$ref")
            if not isinstance(reference, str):
                return schema
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            schema = self._merge(self._find(reference), rest)
        return {}

    def _find(self, reference: str) -> dict[str, Any]:
        """A JSON pointer into this document (RFC 6901); other references are not followed."""
        if not reference.startswith("#") or len(reference) > _LONGEST_REFERENCE:
            return {}
        node: Any = self._root
        for part in reference[1:].split("/")[1:]:
            part = part.replace("~1", "/").replace("~0", "~")
            if isinstance(node, dict):
                node = node.get(part)
            elif isinstance(node, list) and part.isdecimal() and len(part) < 6 and int(part) < len(node):
                node = node[int(part)]
            else:
                return {}
        return node if isinstance(node, dict) else {}

    def _option(self, options: Sequence[Any], depth: int) -> dict[str, Any]:
        """The first alternative that says something; deep inside the simplest, so that recursion ends."""
        resolved = [self._resolve(option) for option in options]
        simple = [option for option in resolved if _type_of(option) not in ("object", "array")]
        if depth >= _SHALLOW and simple:
            return simple[-1]
        return next((option for option in resolved if _type_of(option) != "null"), resolved[0])

    def _merge(self, left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
        merged = {**left, **right}
        copied = len(merged)
        for key in ("properties", "$defs"):
            if isinstance(left.get(key), dict) and isinstance(right.get(key), dict):
                merged[key] = {**left[key], **right[key]}
                copied += len(merged[key])
        if isinstance(left.get("required"), list) and isinstance(right.get("required"), list):
            merged["required"] = [*left["required"], *right["required"]]
            copied += len(merged["required"])
        self._effort.spend(copied // 16)
        return merged


def _type_of(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null" if kind else None)
    if isinstance(kind, str):
        return kind
    if "properties" in schema or "required" in schema:
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    if any(key in schema for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")):
        return "number"
    return "string"


def _number(schema: Mapping[str, Any], found: float | None, *, whole: bool) -> int | float:
    low, high = _limit(schema, "minimum"), _limit(schema, "maximum")
    above, below = _limit(schema, "exclusiveMinimum"), _limit(schema, "exclusiveMaximum")
    step = _limit(schema, "multipleOf")
    default = _limit(schema, "default")
    gap = 1.0 if whole else 0.5
    if above is not None and below is not None and not whole:
        gap = min(gap, (below - above) / 2)
    least = max((x for x in (low, None if above is None else above + gap) if x is not None), default=-math.inf)
    most = min((x for x in (high, None if below is None else below - gap) if x is not None), default=math.inf)
    value = found if found is not None else (default if default is not None else 1.0)
    value = min(max(value, least), most)
    if step and step > 0 and math.isfinite(value / step):
        value = math.ceil(round(value / step, 9)) * step
        if value > most:
            value -= step
    if whole:
        value = math.ceil(value) if math.ceil(value) <= most else math.floor(value)
        return int(value)
    return int(value) if float(value).is_integer() else value


def _limit(schema: Mapping[str, Any], key: str) -> float | None:
    value = schema.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -1e15 <= value <= 1e15:
        return None
    return float(value)


def _distinct(values: list[Any]) -> list[Any]:
    """Make equal numbers and texts different from each other."""
    made: list[Any] = []
    seen: set[Any] = set()
    last: dict[Any, int] = {}
    for value in values:
        fresh = value
        if isinstance(value, (int, float, str)) and not isinstance(value, bool):
            number = last.get(value, 0)
            while number == 0 or fresh in seen:
                number += 1
                fresh = value if number == 1 else f"{value} {number}" if isinstance(value, str) else value + number - 1
            last[value] = number
            seen.add(fresh)
        made.append(fresh)
    return made


def _size(value: Any) -> int:
    """Characters of a value as JSON."""
    try:
        return len(orjson.dumps(value))
    except TypeError:  # a whole number beyond 64 bits, in a schema that was not read from JSON
        return len(repr(value))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _int(value: Any, default: int) -> int:
    """A count from a schema, which JSON may also write as 3.0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1e9:
        return default
    return int(value)
