"""Validation of a part of the document, with every fault told in the words of the file.

The sentences here say what a value must be; what was found is added only where it may be shown.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from gateway.config.document import Document, Where, quote

Model = TypeVar("Model", bound=BaseModel)

_MOST_GUESSES = 50
"""Near misses are looked for only in the first problems: a file full of rubbish needs none, and each costs time."""
_MOST_CHOICES = 12

_log = logging.getLogger("gateway.config")

# pydantic's error type -> what the value must be; `{name}` is filled from the error's context.
_SENTENCES: Mapping[str, str] = {
    "missing": "is missing",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "is too large a number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "decimal_type": "must be a number",
    "decimal_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be text",
    "list_type": "must be a list, as in [a, b]",
    "tuple_type": "must be a list, as in [a, b]",
    "set_type": "must be a list, as in [a, b]",
    "frozen_set_type": "must be a list, as in [a, b]",
    "dict_type": "must be a section with `key: value` lines",
    "model_type": "must be a section with `key: value` lines",
    "model_attributes_type": "must be a section with `key: value` lines",
    "dataclass_type": "must be a section with `key: value` lines",
    "none_required": "must be empty",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must not be shorter than {min_length} characters",
    "string_too_long": "must not be longer than {max_length} characters",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "string_pattern_mismatch": "must match the pattern {pattern}",
}


_PATTERNS: Mapping[str, str] = {
    r"^[A-Z]{3}$": "must be three capital letters, such as EUR",
    r"^[a-z][a-z0-9]{0,15}_$": "must be small letters and digits and end in an underscore, such as mghp_",
    r"^[a-z0-9.-]+$": "must be a domain in small letters, such as example.org",
    r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$": "must be a name of up to 64 letters, digits and . _ -",
}
"""What the patterns of the gateway's own sections mean, for people."""


def said_of(fault: Mapping[str, Any]) -> str:
    """What a value must be, in the words of the file. fault: one of a ValidationError's `errors()`."""
    kind, context = fault["type"], fault.get("ctx") or {}
    if kind == "setting":
        return str(context["message"])
    if kind in ("string_too_short", "too_short") and context.get("min_length") == 1:
        return "must not be empty"
    if kind == "string_pattern_mismatch" and context.get("pattern") in _PATTERNS:
        return _PATTERNS[context["pattern"]]
    if kind in _SENTENCES:
        return _SENTENCES[kind].format_map(_tidy(context))
    return str(fault["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")


_LIKE_VALUE = re.compile(r"[-+]?[0-9_]*\.?[0-9]+|true|false")


class Checker:
    """Checks parts of one document against models and notes what is wrong in `document.problems`."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.guesses = 0

    def check(
        self, model: type[Model], values: Any, where: Where, *, foreign: bool = False, beside: Collection[str] = ()
    ) -> Model | None:
        """An instance of `model`, or None after its problems were reported.

        values: normally `document.values` at `where`; None means an absent section.
        foreign: the model is a plugin's, so its keys are checked here too, and its validators may fail oddly.
        beside: keys that the section may have and that somebody else reads.
        """
        values = {} if values is None else values
        if foreign and isinstance(values, dict) and model.model_config.get("extra") in (None, "ignore"):
            known = {*_keys(model), *beside}
            for key in [key for key in values if key not in known]:
                self.unknown_key((*where, key), known)
        try:
            return model.model_validate(values)
        except ValidationError as error:
            self.explain(error, model, where, beside)
        except Exception as error:
            # A validator of a plugin may raise anything. Its text is withheld: it could repeat a secret.
            if not foreign:
                raise
            _log.error("the settings model %s.%s raised %s", model.__module__, model.__qualname__, type(error).__name__)
            self.document.report(where, f"the plugin's own check failed with {type(error).__name__}; tell its author")
        return None

    def explain(
        self, error: ValidationError, model: type[BaseModel], where: Where, beside: Collection[str] = ()
    ) -> None:
        """Report every error that pydantic found. beside: see `check`."""
        messages: dict[Where, list[str]] = {}
        faults = error.errors(include_url=False, include_input=False)
        for fault in faults:
            location: Where = fault["loc"]
            kind = fault["type"]
            below = [other for other in faults if len(other["loc"]) > len(location)] if kind == "too_short" else []
            if any(other["loc"][: len(location)] == location for other in below):
                continue  # pydantic counts only the entries that are good
            path = self.existing(where, location, kind == "missing")
            if kind in ("extra_forbidden", "unexpected_keyword_argument"):
                known = _keys(_model_at(model, location[:-1]))
                self.unknown_key(path, known if location[:-1] else {*known, *beside})
                continue
            messages.setdefault(path, []).append(self.sentence(dict(fault), path))
        for path, sentences in messages.items():
            # A union reports one error per member at the same place.
            text = ", or ".join(dict.fromkeys(sentences))
            missing = sentences == [_SENTENCES["missing"]]
            self.document.report(path, text if missing else text + self.found(path))

    def existing(self, where: Where, location: Where, missing: bool) -> Where:
        """The error's place without the names of union members that pydantic mixes in."""
        value = at(self.document.values, where)
        path = where
        for index, part in enumerate(location):
            inside = _inside(value, part)
            if inside:
                value = value[part]
                path = (*path, part)
            elif missing and index == len(location) - 1:
                path = (*path, part)
        return path

    def sentence(self, fault: dict[str, Any], path: Where) -> str:
        kind, context = fault["type"], fault.get("ctx") or {}
        if kind in ("literal_error", "enum"):
            choices = str(context["expected"]).replace("'", "")
            return f"must be {choices}" + self.guess(at(self.document.values, path), _choices(choices))
        message = said_of(fault)
        if kind == "setting":
            return message
        if kind in _SENTENCES:
            return message + _quoting(kind, at(self.document.values, path))
        if self.repeats(message, path):
            return "is not accepted (the reason is withheld, it repeats a value that must not be shown)"
        return message

    def repeats(self, message: str, path: Where) -> bool:
        """Whether a message that is not ours holds a secret, or a value from the environment at or below `path`."""
        document = self.document
        hidden = set(document.secrets)
        for place, values in document.origins.items():
            if place[: len(path)] == path:
                hidden.update(values.values(), [str(at(document.values, place))])
        if document.is_secret(path):
            hidden.add(str(at(document.values, path)))
        return any(value in message for value in hidden if value)

    def found(self, path: Where) -> str:
        """What stands there now, if it may be shown, and how to mend the commonest slips of quoting."""
        document = self.document
        value = at(document.values, path)
        names = document.origins.get(path, {})
        if names:
            return f" (found the value of {', '.join('${' + name + '}' for name in names)})"
        if isinstance(value, dict | list):
            return ""
        if value is None:
            return " (found nothing)"
        if document.is_secret(path) or any(secret in str(value) for secret in document.secrets):
            return " (found a value that is not shown)"
        if isinstance(value, str):
            return f" (found {quote(value, 60)})"
        text = document.texts.get(path) or (str(value).lower() if isinstance(value, bool) else str(value))
        return f" (found {text})"

    def unknown_key(self, path: Where, known: Collection[str]) -> None:
        """Report a key that nobody reads."""
        key = str(path[-1]) if path else ""
        guess = self.guess(key, known)
        if not guess and 0 < len(known) <= _MOST_CHOICES:
            guess = f"; known here: {', '.join(sorted(known))}"
        self.document.report(path, f"unknown key{guess}", key=True)

    def guess(self, name: Any, known: Collection[str]) -> str:
        """`; did you mean x?`, or nothing. A model may be meant by what stands after its last slash."""
        if not isinstance(name, str) or self.guesses >= _MOST_GUESSES or len(name) > 80:
            return ""
        self.guesses += 1
        folded = {_fold(key): key for key in sorted(known)}
        tails = [key for key in folded.values() if key.rpartition("/")[2] == name]
        close = tails or [folded[key] for key in get_close_matches(_fold(name), folded, n=1)]
        return f"; did you mean {close[0]}?" if close else ""


def _fold(name: str) -> str:
    return name.casefold().replace("-", "_")


def at(values: Any, where: Where) -> Any:
    """The value at a place, None when there is none."""
    for part in where:
        if not _inside(values, part):
            return None
        values = values[part]
    return values


def _inside(value: Any, part: str | int) -> bool:
    if isinstance(value, dict):
        return part in value
    return isinstance(value, list) and isinstance(part, int) and 0 <= part < len(value)


def _quoting(kind: str, value: Any) -> str:
    """The commonest slip: a number in quotes, or text that looks like a number without them."""
    if kind == "string_type" and isinstance(value, int | float):
        return ": put it in quotes"
    if kind in ("int_type", "float_type", "bool_type") and isinstance(value, str) and _LIKE_VALUE.fullmatch(value):
        return ", without quotes"
    return ""


def _tidy(context: Mapping[str, Any]) -> dict[str, Any]:
    """Limits as people write them: 0, not 0.0."""
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in context.items()
    }


def _choices(expected: str) -> list[str]:
    return expected.replace(" or ", ", ").split(", ")


def _keys(model: type[BaseModel] | None) -> set[str]:
    """The keys a section of this model may have in the file."""
    if model is None:
        return set()
    keys = set()
    for name, field in model.model_fields.items():
        alias = field.validation_alias if isinstance(field.validation_alias, str) else field.alias
        if alias is None or model.model_config.get("populate_by_name"):
            keys.add(name)
        if alias is not None:
            keys.add(alias)
    return keys


def _model_at(model: type[BaseModel], location: Where) -> type[BaseModel] | None:
    """The model of the section at `location` inside a section of `model`; None when it cannot be told."""
    found: list[type[BaseModel]] = [model]
    for part in location:
        following: list[type[BaseModel]] = []
        for candidate in found:
            for name, field in candidate.model_fields.items():
                if part in (name, field.alias, field.validation_alias):
                    following.extend(_models_in(field.annotation))
        # A list position, a key of a free mapping or a union member's name leads no further down.
        found = following or found
    return found[0] if len(found) == 1 else None


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
