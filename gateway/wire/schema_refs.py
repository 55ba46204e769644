"""JSON Schemas of callers that lead out of themselves.

No provider fetches what a `$ref` points to, and neither does the gateway: it would be told what others have written
there meanwhile. Some refuse such a schema in words that nobody understands, others take it for "anything".
Source: JSON Schema 2020-12, core, sections 8.2 (`$id`, `$ref`, `$dynamicRef`) and 9.3.1 (bundled schemas).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson

from gateway.wire.validators import Validator, mapping, printable, refuse

_LEADS_OUT = re.compile(rb'"\$(?:ref|dynamicRef|recursiveRef)":"[^"#]')
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_VALUES = frozenset({"const", "enum", "default", "example", "examples"})
"""Keywords whose values are no schemas."""


def check_references(path: str, schema: Any) -> None:
    """Raise CallerFault for the first reference to another document. One to a part that bears its `$id` is fine."""
    try:
        written = orjson.dumps(schema)
    except orjson.JSONEncodeError:  # nests too deeply, which is refused elsewhere
        return
    if _LEADS_OUT.search(written) is None:
        return
    nodes = list(_schemas(path, schema))
    known = {node["$id"].partition("#")[0] for _, node in nodes if isinstance(node.get("$id"), str)}
    for where, node in nodes:
        for name in _REFERENCES:
            target = node.get(name)
            if isinstance(target, str) and target[:1] != "#" and target.partition("#")[0] not in known:
                refuse(
                    f"{where}.{name}",
                    f"{printable(target, 80)!r} is another document, which no model's provider fetches; put it into "
                    'this schema under "$defs"',
                )


def _schemas(path: str, schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each object of a schema with its place."""
    waiting = [(path, schema)]
    while waiting:
        where, node = waiting.pop()
        if isinstance(node, dict):
            yield where, node
            waiting += [(f"{where}.{key}", value) for key, value in node.items() if key not in _VALUES]
        elif isinstance(node, list):
            waiting += [(f"{where}[{at}]", value) for at, value in enumerate(node)]


def _check(path: str, value: Any) -> None:
    mapping.check(path, value)
    check_references(path, value)


json_schema = Validator(_check, mapping.tree)
"""A JSON Schema of the caller's; what is in it is the provider's business, but for where it leads."""


def schema_of(value: Any, path: str) -> dict[str, Any]:
    """`value` of a caller's request if it is a JSON Schema that leads nowhere else. Raises CallerFault."""
    json_schema.check(path, value)
    schema: dict[str, Any] = value
    return schema
