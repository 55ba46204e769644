"""The objects of a request that a provider reads as its own format, in any dialect: all but what is in the caller's own
words, such as a schema, the arguments of a call, or metadata.

Checks of what a request may ask for look at these, not at the few places where the documents put a member: a provider
may take it elsewhere, or under another spelling. Readers of protocol buffers take `lowerCamelCase` and `snake_case`
alike, those in Go any case, and the last of two that are one to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gateway.wire.validators import printable, refuse

Json = dict[str, Any]
Place = tuple[Any, str | int]
"""Where a value stands: the place of what it is in (None for the root), and its key or index there."""

_OWN_WORDS = (
    # schemas
    "parameters parameters_json_schema input_schema output_schema schema response_schema response_json_schema "
    # arguments and results of calls, and examples of them
    "args arguments input_examples response structured_content env "
    # maps whose keys are the caller's
    "metadata client_metadata labels attributes headers logit_bias configs chat_template_kwargs documents "
    # what an answer told, which is given back in a later turn and names nothing that is then read
    "annotations citations results reasoning_details x_gateway"
)


def spellings(name: str) -> tuple[str, str]:
    """A member's name of small letters in `snake_case` and in `lowerCamelCase`."""
    first, *words = name.split("_")
    return name, first + "".join(word.title() for word in words)


OWN_WORDS = frozenset(spelled for name in _OWN_WORDS.split() for spelled in spellings(name))
"""Members below which a name means what the caller says."""
_ARGUMENTS = "input"
"""Arguments of a call where it is an object, turns of a conversation where it is a list."""
_VARIABLES = "variables"
"""Of a stored prompt: the keys are the caller's, each value is a text or a part of the format."""
_ONE_WORD = frozenset(
    (
        "audio background content contents container conversation custom data detail effort environment file filename "
        "format function functions id image images include index input instructions item items language mask media "
        "messages model modalities mode n name output parts prediction prompt quality query reasoning refusal "
        "response role seed signature size source speed status stop store stream strict summary system temperature "
        "text thinking thread thought tool tools truncation ttl type url user verbosity voice"
    ).split()
)
"""Members of one word, in all dialects. Those of more words are told by their form."""
_NESTS = frozenset({dict, list})
_LONGEST_STEP = 64


def fold(name: str) -> str:
    """A member's name without what readers overlook: case, and the marks between words."""
    return name.replace("_", "").replace("-", "").lower()


def objects_of(body: Mapping[str, Any]) -> Iterator[tuple[Place | None, Json]]:
    """The objects of a body with their places, without those in the caller's own words. Linear, and blind to texts."""
    todo: list[tuple[Place | None, Any]] = [(None, dict(body))]
    while todo:
        place, node = todo.pop()
        if type(node) is dict:
            yield place, node
            for name, value in node.items():
                kind = type(value)
                if (kind is dict or kind is list) and name not in OWN_WORDS:
                    if kind is dict and name == _VARIABLES:
                        todo += _in(value.items(), (place, name))
                    elif kind is list or name != _ARGUMENTS:
                        todo.append(((place, name), value))
        elif not _NESTS.isdisjoint(map(type, node)):  # a list of numbers may be long
            todo += _in(enumerate(node), place)


def _in(values: Iterable[tuple[Any, Any]], place: Place | None) -> list[tuple[Place, Any]]:
    return [((place, at), value) for at, value in values if type(value) is dict or type(value) is list]


def path_of(place: Place | None, name: str = "") -> str:
    """A place as it is told to a caller, with a member of the object there: `tools[0].function.name`."""
    steps = [f".{name[:_LONGEST_STEP]}"] if name else []
    while place is not None:
        place, step = place
        steps.append(f"[{step}]" if isinstance(step, int) else f".{step[:_LONGEST_STEP]}")
    return printable("".join(reversed(steps)).removeprefix("."))


def refuse_other_spellings(body: Mapping[str, Any]) -> None:
    """Raise CallerFault for the first member that some servers would take for another one, which the checks do not: a
    name that only differs from a format's by the case of its letters (`Content` and `contenT`, `Service_tier`; no
    format has such names), and one that stands beside its own other spelling with another value (`serviceTier` beside
    `service_tier`)."""
    for place, node in objects_of(body):
        names = "".join(node)
        if not names.islower() or "-" in names:  # hardly ever
            for name in node:
                lower = name.lower()
                if name != lower and _is_other_case(name, lower):
                    usual = _usual(name, lower)
                    refuse(path_of(place, name), f"is to be written {usual!r}", code="forbidden_parameter")
            _refuse_twice(place, node)


def _refuse_twice(place: Place | None, node: Mapping[str, Any]) -> None:
    seen: dict[str, str] = {}
    for name, value in node.items():
        other = seen.setdefault(fold(name), name)
        if other != name and node[other] != value:
            refuse(
                path_of(place, name),
                f"stands here as {printable(other[:_LONGEST_STEP])!r} too, with another value; keep one of them",
                code="duplicate_key",
            )


def _is_other_case(name: str, lower: str) -> bool:
    return name[:1].isupper() or "_" in name or "-" in name or lower in _ONE_WORD


def _usual(name: str, lower: str) -> str:
    if lower in _ONE_WORD or "_" in name or "-" in name or name.isupper():
        return printable(lower[:_LONGEST_STEP])
    return printable((name[:1].lower() + name[1:])[:_LONGEST_STEP])
