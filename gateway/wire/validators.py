"""Small checks of JSON values, shared by the validators of both dialects.

A check is called as `check(path, value)` and returns nothing, or raises CallerFault (400) whose `param` is the path
in OpenAI's spelling (`messages[2].content`) and whose message says what was expected, what came, and the fix.
Messages never repeat long or secret text: strings are shown only where a short word from a list is expected.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NoReturn

from gateway.errors import CallerFault

Check = Callable[[str, Any], None]


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


def boolean(path: str, value: Any) -> None:
    if type(value) is not bool:
        refuse_type(path, "true or false", value)


def string(path: str, value: Any) -> None:
    if type(value) is not str:
        refuse_type(path, "a string", value)


def filled_string(path: str, value: Any) -> None:
    if type(value) is not str or not value:
        refuse_type(path, "a non-empty string", value)


def mapping(path: str, value: Any) -> None:
    if type(value) is not dict:
        refuse_type(path, "an object", value)


def array(path: str, value: Any) -> None:
    if type(value) is not list:
        refuse_type(path, "an array", value)


def filled_array(path: str, value: Any) -> None:
    if type(value) is not list or not value:
        refuse_type(path, "an array with at least one element", value)


def integer(least: int, most: int, unit: str = "") -> Check:
    """An integer within [least, most]. Floats are refused, also whole ones beyond 64 bits (see `body.parse_json`)."""
    meant = f"an integer from {least} to {most}" if most < 2**62 else f"an integer of at least {least}"
    if least <= -(2**62):
        meant = "an integer of at most 64 bits"
    meant += unit and f" ({unit})"

    def check(path: str, value: Any) -> None:
        if type(value) is not int:
            fix = "write it without a fraction or exponent, within 64 bits" if type(value) is float else ""
            refuse_type(path, meant, value, fix)
        if not least <= value <= most:
            refuse(path, f"expected {meant}, got {value}", code="value_out_of_range")

    return check


def number(least: float, most: float) -> Check:
    """A number, whole or not, within [least, most]."""

    def check(path: str, value: Any) -> None:
        if type(value) is not int and type(value) is not float:
            refuse_type(path, f"a number from {least:g} to {most:g}", value)
        if not least <= value <= most:
            refuse(path, f"expected a number from {least:g} to {most:g}, got {value!r}", code="value_out_of_range")

    return check


def one_of(words: Collection[str], fixes: Mapping[str, str] | None = None) -> Check:
    """One of a few words. fixes: for words that people send by mistake, what to send instead."""
    meant = "one of " + ", ".join(words)

    def check(path: str, value: Any) -> None:
        if type(value) is not str:
            refuse_type(path, meant, value)
        if value not in words:
            fix = (fixes or {}).get(value, "")
            problem = f"expected {meant}, got '{printable(value, 40)}'"
            refuse(path, problem + (f"; {fix}" if fix else ""), code="invalid_value")

    return check
