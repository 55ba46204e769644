"""Schemas that lead out of themselves."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import CallerFault
from gateway.wire.schema_refs import check_references, schema_of


@pytest.mark.parametrize(
    ("schema", "param"),
    [
        ({"properties": {"a": {"$ref": "https://example.com/a.json"}}}, "p.properties.a.$ref"),
        ({"anyOf": [{"$ref": "a.json#/A"}]}, "p.anyOf[0].$ref"),
        ({"items": {"$dynamicRef": "other"}}, "p.items.$dynamicRef"),
        ({"$id": "https://x.y/own", "items": {"$ref": "https://x.y/other"}}, "p.items.$ref"),
    ],
)
def test_a_reference_to_another_document_is_named(schema: Any, param: str) -> None:
    with pytest.raises(CallerFault) as caught:
        check_references("p", schema)
    assert caught.value.param == param


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"$ref": "#/$defs/A", "$defs": {"A": {"type": "integer"}}},
        {"$schema": "https://json-schema.org/draft/2020-12/schema"},
        {"properties": {"$ref": {"type": "string"}, "a": {"const": {"$ref": "https://x.y"}}}},
        {"$defs": {"A": {"$id": "https://x.y/a"}}, "items": {"$ref": "https://x.y/a#/b"}},
        {"default": {"$ref": "https://x.y"}},
    ],
)
def test_what_stays_inside_passes(schema: Any) -> None:
    assert schema_of(schema, "p") is schema
