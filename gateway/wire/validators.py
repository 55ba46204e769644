"""Validators of JSON values, as values: each checks, and says in JSON Schema what it takes.

A validator is called as `validator(path, value)` and returns nothing, or raises CallerFault (400) whose `param` is the
path in OpenAI's spelling (`messages[2].content`) and whose message says what was expected, what came, and the fix.
Messages never repeat long or secret text: strings are shown only where a short word from a list is expected.

`validator.schema()` is the same in JSON Schema 2020-12. It is what `GET /openapi.json` and the tables of the
documentation are made of. A schema is never stricter than its check; it is laxer where JSON Schema has no words, such
as for rules between fields (tests/wire/test_schemas.py names every such rule).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NoReturn

import orjson

from gateway.errors import CallerFault
from gateway.wire.json_schema import Tree, alternatives, inlined, or_null

Check = Callable[[str, Any], None]


class Validator:
    """A check together with its schema.

    check: the plain function, for loops in which the detour through `__call__` would show.
    tree: the schema, in which parts may be named (`gateway.wire.json_schema.Component`).
    """

    __slots__ = ("check", "tree")

    def __init__(self, check: Check, tree: Tree) -> None:
        self.check = check
        self.tree = tree

    def __call__(self, path: str, value: Any) -> None:
        """Raise CallerFault 400 when `value`, which stands at `path`, is not as it should be."""
        self.check(path, value)

    def schema(self) -> dict[str, Any]:
        """The JSON Schema (2020-12) of what is taken: plain data without references, a copy of the caller's own."""
        plain: dict[str, Any] = inlined(self.tree)
        return plain

    def about(self, description: str) -> Validator:
        """The same validator with words on what the value means."""
        return Validator(self.check, {**self.tree, "description": description})


def kind(value: object) -> str:
    """What a JSON value is, in words, without showing it (numbers excepted)."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, str):
        return "a string" if value else "an empty string"
    if isinstance(value, int | float):
        return f"the number {value!r}"[:40]
    if isinstance(value, orjson.Fragment):
        return "a number beyond 64 bits"
    if isinstance(value, list):
        return "an array" if value else "an empty array"
    return "an object"


def printable(text: str, most: int = 200) -> str:
    """The caller's own text made fit for a message: one line, no control characters, at most `most` characters."""
    if len(text) > most:
        text = text[: most - 3] + "..."
    return text if text.isprintable() else "".join(ch if ch.isprintable() else "?" for ch in text)


def refuse(path: str, problem: str, *, code: str | None = None) -> NoReturn:
    """Raise CallerFault(400) about the field at `path`."""
    shown = printable(path)
    raise CallerFault(f"{shown}: {problem}", param=shown, code=code)


def refuse_type(path: str, expected: str, value: object, fix: str = "") -> NoReturn:
    """Raise CallerFault(400): `expected` was expected at `path`, `value` came, or nothing at all (None)."""
    ending = f"; {fix}" if fix else ""
    if value is None:
        refuse(path, f"is missing or null; expected {expected}{ending}", code="missing_required_parameter")
    refuse(path, f"expected {expected}, got {kind(value)}{ending}", code="invalid_type")


def is_int(value: object) -> bool:
    """Whether the value is an integer; JSON's true and false are not."""
    return type(value) is int


def _boolean(path: str, value: Any) -> None:
    if type(value) is not bool:
        refuse_type(path, "true or false", value)


def _string(path: str, value: Any) -> None:
    if type(value) is not str:
        refuse_type(path, "a string", value)


def _filled_string(path: str, value: Any) -> None:
    if type(value) is not str or not value:
        refuse_type(path, "a non-empty string", value)


def _mapping(path: str, value: Any) -> None:
    if type(value) is not dict:
        refuse_type(path, "an object", value)


boolean = Validator(_boolean, {"type": "boolean"})
string = Validator(_string, {"type": "string"})
filled_string = Validator(_filled_string, {"type": "string", "minLength": 1})
mapping = Validator(_mapping, {"type": "object"})
"""Any object."""


def integer(least: int, most: int, unit: str = "") -> Validator:
    """An integer within [least, most]. Floats are refused, and what is beyond 64 bits (see `exact_json`)."""
    meant = f"an integer from {least} to {most}" if most < 2**62 else f"an integer of at least {least}"
    if least <= -(2**62):
        meant = "an integer of at most 64 bits"
    meant += unit and f" ({unit})"

    def check(path: str, value: Any) -> None:
        if type(value) is not int:
            odd = isinstance(value, float | orjson.Fragment)
            fix = "write it without a fraction or exponent, within 64 bits" if odd else ""
            refuse_type(path, meant, value, fix)
        if not least <= value <= most:
            refuse(path, f"expected {meant}, got {value}", code="value_out_of_range")

    return Validator(check, {"type": "integer", "format": "int64", "minimum": least, "maximum": most})


def number(least: float, most: float) -> Validator:
    """A number, whole or not, within [least, most]."""

    def check(path: str, value: Any) -> None:
        if type(value) is not int and type(value) is not float:
            refuse_type(path, f"a number from {least:g} to {most:g}", value)
        if not least <= value <= most:
            refuse(path, f"expected a number from {least:g} to {most:g}, got {value!r}", code="value_out_of_range")

    return Validator(check, {"type": "number", "minimum": least, "maximum": most})


def one_of(words: Collection[str], fixes: Mapping[str, str] | None = None) -> Validator:
    """One of a few words. fixes: for words that people send by mistake, what to send instead."""
    meant = "one of " + ", ".join(words)

    def check(path: str, value: Any) -> None:
        if type(value) is not str:
            refuse_type(path, meant, value)
        if value not in words:
            fix = (fixes or {}).get(value, "")
            problem = f"expected {meant}, got '{printable(value, 40)}'"
            refuse(path, problem + (f"; {fix}" if fix else ""), code="invalid_value")

    return Validator(check, {"type": "string", "enum": list(words)})


def array(of: Validator, *, filled: bool = False) -> Validator:
    """An array whose elements all pass `of`. filled: there is at least one."""
    each = of.check

    def check(path: str, value: Any) -> None:
        if type(value) is not list or (filled and not value):
            refuse_type(path, "an array with at least one element" if filled else "an array", value)
        for index, item in enumerate(value):
            each(f"{path}[{index}]", item)

    return Validator(check, {"type": "array", "items": of.tree, **({"minItems": 1} if filled else {})})


def obj(
    members: Mapping[str, Validator],
    *,
    required: Collection[str] = (),
    expected: str = "an object",
    fix: str = "",
) -> Validator:
    """An object whose members pass their validators, in the order given here; null is the same as absent. Members that
    are not named travel on.

    required: members that must be there; their own validator says what is missing (see `present`).
    expected, fix: what messages say of a value that is no object.
    """
    table = [(name, member.check, name in required) for name, member in members.items()]

    def check(path: str, value: Any) -> None:
        if type(value) is not dict:
            refuse_type(path, expected, value, fix)
        for name, member, needed in table:
            item = value.get(name)
            if item is not None or needed:
                member(f"{path}.{name}", item)

    return Validator(check, object_tree(members, required))


def object_tree(members: Mapping[str, Validator], required: Collection[str] = ()) -> Tree:
    """The schema of an object in which null is the same as absent, except for the required members."""
    properties = {name: v.tree if name in required else or_null(v.tree) for name, v in members.items()}
    needed = [name for name in members if name in required]
    return {"type": "object", "properties": properties, **({"required": needed} if needed else {})}


def present(validator: Validator, problem: str, code: str | None = None) -> Validator:
    """The same validator with words of its own for a value that is absent or null."""
    inner = validator.check

    def check(path: str, value: Any) -> None:
        if value is None:
            refuse(path, problem, code=code)
        inner(path, value)

    return Validator(check, validator.tree)


def nullable(validator: Validator) -> Validator:
    """The same validator with null allowed."""
    inner = validator.check

    def check(path: str, value: Any) -> None:
        if value is not None:
            inner(path, value)

    return Validator(check, or_null(validator.tree))


def any_of(text: Validator, other: Validator) -> Validator:
    """A string that passes `text`, or anything else that passes `other`, which tells what was expected."""

    def check(path: str, value: Any) -> None:
        (text if type(value) is str else other).check(path, value)

    return Validator(check, alternatives(text.tree, other.tree))
