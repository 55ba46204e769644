"""What a function takes, as a JSON Schema that the providers' own checks let through.

Clients and MCP servers write what JSON Schema allows: `{}`, `{"type": "object"}` without `properties`, null members,
alternatives side by side with the object. OpenAI and Anthropic refuse each of them, and the whole request with it.

Sources: the error answers "object schema missing properties", "schema must have type 'object' and not have
'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level" (OpenAI), "input_schema does not support oneOf, allOf, or anyOf
at the top level" (Anthropic), "missing field `parameters`" (servers that copied OpenAI's dialect).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

Schema = dict[str, Any]

_ALTERNATIVES = ("anyOf", "oneOf")
_BESIDE = (*_ALTERNATIVES, "allOf", "enum", "not", "const")
"""Keywords that providers refuse at the top level."""
_LONGEST_NOTE = 2000


def function_parameters(given: Any, *, flat: bool = True) -> Any:
    """`given` as a schema of type object that has `properties`; the very same object where it is one.

    flat: alternatives at the top level become one object that takes the members of all and requires what all require;
    what they said stands in its description. What is no schema of an object is given back as it is, for the provider
    to refuse: the arguments of a function are an object.
    """
    if given is None or given == {}:
        return {"type": "object", "properties": {}}
    if not isinstance(given, dict) or not _is_object(given):
        return given
    beside = [key for key in _BESIDE if key in given] if flat else []
    required = given.get("required", ())
    if given.get("type") == "object" and isinstance(given.get("properties"), dict) and not beside:
        return given if required is not None else _without(given, ("required",))
    made = {**given, "type": "object", "properties": given.get("properties") or {}}
    if required is None:
        del made["required"]
    return _flattened(made, beside) if beside else made


def _is_object(schema: Schema) -> bool:
    kind = schema.get("type")
    fits = kind is None or kind == "object" or (isinstance(kind, list) and "object" in kind)
    return fits and isinstance(schema.get("properties") or {}, dict)


def _without(schema: Schema, names: tuple[str, ...]) -> Schema:
    return {key: value for key, value in schema.items() if key not in names}


def _flattened(root: Schema, beside: list[str]) -> Schema:
    properties, required = dict(root["properties"]), _required(root)
    for branch in _branches(root, "allOf"):
        _add_properties(properties, branch)
        required += _required(branch)
    for key in _ALTERNATIVES:
        branches = list(_branches(root, key))
        for branch in branches:
            _add_properties(properties, branch)
        if branches:
            required += [name for name in _required(branches[0]) if all(name in _required(one) for one in branches)]
    made = {**_without(root, _BESIDE), "properties": properties}
    if required:
        made["required"] = list(dict.fromkeys(required))
    try:
        note = orjson.dumps({key: root[key] for key in beside}).decode()
    except orjson.JSONEncodeError:  # numbers beyond 64 bits, or too deep
        note = ""
    if 0 < len(note) <= _LONGEST_NOTE:
        made["description"] = f"{root.get('description') or ''}\nMust also match: {note}".strip()
    return made


def _branches(root: Schema, key: str) -> Iterator[Schema]:
    """The objects under `key`, those that are named in `$defs` included."""
    given = root.get(key)
    for branch in given if isinstance(given, list) else ():
        found = _named(root, branch["$ref"]) if isinstance(branch, dict) and "$ref" in branch else branch
        if isinstance(found, dict):
            yield found


def _named(root: Schema, reference: Any) -> Any:
    for holder in ("$defs", "definitions"):
        prefix = f"#/{holder}/"
        if isinstance(reference, str) and reference.startswith(prefix):
            held = root.get(holder)
            return held.get(reference[len(prefix) :]) if isinstance(held, dict) else None
    return None


def _add_properties(properties: Schema, branch: Mapping[str, Any]) -> None:
    """A member that two of them describe differently may be either."""
    given = branch.get("properties")
    for name, schema in given.items() if isinstance(given, dict) else ():
        known = properties.get(name)
        if known is None or known == schema:
            properties[name] = schema
        elif isinstance(known, dict) and set(known) == {"anyOf"}:
            properties[name] = {"anyOf": [*known["anyOf"], *([] if schema in known["anyOf"] else [schema])]}
        else:
            properties[name] = {"anyOf": [known, schema]}


def _required(branch: Mapping[str, Any]) -> list[Any]:
    given = branch.get("required")
    return [name for name in given if isinstance(name, str)] if isinstance(given, list) else []
