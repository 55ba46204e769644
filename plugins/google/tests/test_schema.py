"""JSON Schemas: rewritten, told or refused, never mangled."""

from __future__ import annotations

from typing import Any

import pytest
from tollgate_google.openapi import to_openapi
from tollgate_google.schema import Fitting

from gateway.api import CallerFault

OBJECT = {"type": "object"}


def fit(schema: Any, *unenforced: str) -> Any:
    fitting = Fitting(schema, "s")
    made = fitting.fit()
    assert list(fitting.unenforced) == list(unenforced)
    return made


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({"const": "a"}, {"type": "string", "enum": ["a"]}),
        ({"type": "integer", "const": 3}, {"type": "integer", "enum": [3]}),
        ({"enum": ["a", None]}, {"type": ["string", "null"], "enum": ["a"]}),
        ({"const": None}, {"type": "null"}),
        ({"enum": [True, False]}, {"type": "boolean"}),
        ({"type": ["string", "null"]}, {"type": ["string", "null"]}),
        ({"type": ["string"]}, {"type": "string"}),
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        ({"oneOf": [{"type": "string"}, {"type": "null"}]}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ({"allOf": [{"type": "string"}], "description": "d"}, {"type": "string", "description": "d"}),
        (
            {"allOf": [{"properties": {"a": {}}, "required": ["a"]}, {"properties": {"b": {}}, "required": ["b"]}]},
            {"properties": {"a": {}, "b": {}}, "required": ["a", "b"]},
        ),
        ({"items": [{"type": "string"}]}, {"prefixItems": [{"type": "string"}]}),
        (
            {"prefixItems": [{"type": "string"}], "items": False},
            {"prefixItems": [{"type": "string"}], "maxItems": 1},
        ),
        ({"items": True}, {"items": {}}),
        ({"additionalProperties": {"const": 1}}, {"additionalProperties": {"type": "integer", "enum": [1]}}),
        ({"$schema": "x", "$comment": "y", "x-own": 1, "readOnly": True, "type": "string"}, {"type": "string"}),
        ({"type": "string", "format": "date-time", "pattern": "^a$"},) * 2,
        ({"type": "string", "examples": ["a"]}, {"type": "string", "description": '{examples: ["a"]}'}),
    ],
)
def test_equal_forms_are_rewritten(given: Any, made: Any) -> None:
    assert fit(given) == made


def test_what_is_not_enforced_is_told_and_named() -> None:
    made = fit({"type": "string", "description": "Mail.", "format": "email", "not": {"const": ""}}, "format", "not")
    assert made == {"type": "string", "description": 'Mail. {format: email, not: {"const":""}}'}
    assert fit({"enum": [1, "a"]}, "enum") == {"description": '{enum: [1,"a"]}'}
    assert fit({"const": True}, "enum") == {"type": "boolean", "description": "{enum: [true]}"}
    assert fit({"type": "number", "exclusiveMinimum": 0}, "exclusiveMinimum")["description"] == "{exclusiveMinimum: 0}"


def test_references_stay_references_but_stand_alone() -> None:
    made = fit(
        {
            "type": "object",
            "properties": {
                "a": {"$ref": "#/$defs/P"},
                "b": {"$ref": "#/definitions/Q", "description": "the other"},
                "c": {"allOf": [{"$ref": "#/$defs/P"}], "default": None, "title": "C"},
                "d": {"$ref": "#/properties/e/items"},
                "e": {"type": "array", "items": {"const": 1}},
            },
            "$defs": {"P": {"const": "p"}, "unused": {"not": {}}},
            "definitions": {"Q": {"$ref": "#/$defs/P"}},
        }
    )
    one = {"type": "integer", "enum": [1]}
    assert made == {
        "type": "object",
        "properties": {
            "a": {"$ref": "#/$defs/P"},
            "b": {"anyOf": [{"$ref": "#/$defs/Q"}], "description": "the other"},
            "c": {"anyOf": [{"$ref": "#/$defs/P"}], "title": "C"},
            "d": one,
            "e": {"type": "array", "items": one},
        },
        "$defs": {"P": {"type": "string", "enum": ["p"]}, "Q": {"$ref": "#/$defs/P"}},
    }


TREE = {
    "type": "object",
    "properties": {"root": {"$ref": "#/$defs/Node"}},
    "$defs": {"Node": {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/Node"}}}}},
}


def test_recursion_is_kept_where_it_is_known_and_refused_elsewhere() -> None:
    made = fit(TREE)
    assert made["$defs"]["Node"]["properties"]["kids"]["items"] == {"$ref": "#/$defs/Node"}
    with pytest.raises(CallerFault) as caught:
        to_openapi(made, "s")
    assert caught.value.param == "s.properties.root.properties.kids.items"
    assert "Node" in caught.value.message


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"properties": {"a": False}}, "s.properties.a"),
        ({"properties": {"a": {"$ref": "#"}}}, "s.properties.a.$ref"),
        ({"properties": {"a": {"$ref": "#/$defs/none"}}}, "s.properties.a.$ref"),
        ({"properties": {"a": {"$ref": "https://example.com/x"}}}, "s.properties.a.$ref"),
        ({"properties": {"a": {"items": {"$ref": "#/properties/a"}}}}, "s.properties.a.items.items.$ref"),
        ({"allOf": [{"type": "string"}, {"type": "number"}]}, "s.allOf[1].type"),
        ({"allOf": [{"$ref": "#"}, {"$ref": "#"}]}, None),
        ({"anyOf": [{}], "oneOf": [{}]}, "s.oneOf"),
        ({"anyOf": {}}, "s.anyOf"),
        ({"type": 7}, "s.type"),
        ({"properties": []}, "s.properties"),
    ],
)
def test_what_cannot_be_said_is_refused_with_its_place(schema: Any, path: str | None) -> None:
    with pytest.raises(CallerFault) as caught:
        Fitting(schema, "s").fit()
    assert path is None or caught.value.param == path


def test_deep_and_wide_schemas_end() -> None:
    deep: Any = {"type": "string"}
    for _ in range(200):
        deep = {"items": deep}
    wide = {"properties": {f"p{n}": {"anyOf": [{}] * 30} for n in range(1000)}}
    for schema in (deep, wide):
        with pytest.raises(CallerFault, match="too large"):
            Fitting(schema, "s").fit()
    defs: dict[str, Any] = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 10} for n in range(10)}
    defs["d10"] = {"type": "string"}
    small = fit({"$ref": "#/$defs/d0", "$defs": defs})
    assert len(small["$defs"]) == 11
    with pytest.raises(CallerFault, match="becomes too large"):
        to_openapi(small, "s")


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({"type": ["string", "null"]}, {"type": "STRING", "nullable": True}),
        ({"type": ["string", "integer"]}, {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]}),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": "STRING", "nullable": True}),
        ({"anyOf": [OBJECT, {"type": "string"}]}, {"anyOf": [{"type": "OBJECT"}, {"type": "STRING"}]}),
        ({"const": 3}, {"type": "INTEGER", "enum": ["3"], "format": "enum"}),
        ({"enum": ["a", "b"]}, {"type": "STRING", "enum": ["a", "b"], "format": "enum"}),
        ({"type": "string", "format": "date"}, {"type": "STRING"}),
        ({"type": "string", "format": "date-time"}, {"type": "STRING", "format": "date-time"}),
        ({"properties": {"a": {}}, "additionalProperties": False}, {"type": "OBJECT", "properties": {"a": {}}}),
        ({"prefixItems": [OBJECT, OBJECT]}, {"items": {"type": "OBJECT"}, "minItems": 2}),
        (
            {"$ref": "#/$defs/A", "$defs": {"A": {"type": "string"}}, "description": "d"},
            {"type": "STRING", "description": "d"},
        ),
    ],
)
def test_the_older_form(given: Any, made: Any) -> None:
    assert to_openapi(fit(given), "s") == made
