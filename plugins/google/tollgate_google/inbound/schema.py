"""Google's `Schema` (a subset of OpenAPI 3.0, types in capitals) as JSON Schema. Source: Google's API reference."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

_COUNTS = frozenset({"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"})
_RENAMED = {"any_of": "anyOf", "min_items": "minItems", "max_items": "maxItems", "property_ordering": ""}
_LEFT = frozenset({"nullable", "propertyOrdering", "property_ordering", "example"})
"""Order and examples say nothing about which values are valid; `nullable` becomes a type."""


def json_schema(schema: Schema) -> Schema:
    """The JSON Schema that accepts the same values. What is no schema is passed on as it is."""
    out: Schema = {}
    for key, value in schema.items():
        if key in _LEFT or (key == "format" and value == "enum") or value is None:
            continue
        key = _RENAMED.get(key, key)
        if key == "type" and isinstance(value, str):
            if value != "TYPE_UNSPECIFIED":
                out["type"] = value.lower()
        elif key == "properties" and isinstance(value, dict):
            out[key] = {name: _inner(child) for name, child in value.items()}
        elif key in ("items", "additionalProperties"):
            out[key] = _inner(value)
        elif key in ("anyOf", "prefixItems") and isinstance(value, list):
            out[key] = [_inner(child) for child in value]
        elif key in _COUNTS and isinstance(value, str) and value.isascii() and value.isdigit():
            out[key] = int(value[:18])  # protobuf's JSON writes 64-bit numbers as strings
        else:
            out[key] = value
    return _nullable(out) if schema.get("nullable") is True else out


def _inner(child: Any) -> Any:
    return json_schema(child) if isinstance(child, dict) else child


def _nullable(out: Schema) -> Schema:
    if isinstance(out.get("enum"), list) and None not in out["enum"]:
        out["enum"] = [*out["enum"], None]
    if "type" in out:
        return {**out, "type": [out["type"], "null"]}
    return {**out, "anyOf": [*out["anyOf"], {"type": "null"}]} if isinstance(out.get("anyOf"), list) else out
