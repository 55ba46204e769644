"""Values made for schemas are valid for them, judged by an independent validator."""

from __future__ import annotations

import time
from typing import Any

import jsonschema
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tollgate_echo.answer import compose
from tollgate_echo.encode import completion
from tollgate_echo.hints import Hints
from tollgate_echo.schema import FORMATS, Builder

from gateway.testing.steps import count_steps

SAID = 'Meet Ada Lovelace, 36, of "12 Baker Street" in London on 3.5 occasions; she likes blue.'


def build(schema: Any, said: str = SAID) -> Any:
    return Builder(schema, Hints(said)).build()


def check(schema: Any, value: Any) -> None:
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER).validate(
        value
    )


TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                "parent": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["name", "children", "parent"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/node",
}

SCHEMAS: list[Any] = [
    {"type": "string"},
    {"type": "string", "minLength": 50},
    {"type": "string", "maxLength": 2},
    {"type": "string", "minLength": 3, "maxLength": 3},
    {"type": "string", "enum": ["red", "blue"]},
    {"type": "string", "pattern": "^[0-9]+$"},
    {"type": "string", "pattern": "^[A-Z]{3}$"},
    {"const": {"a": [1]}},
    {"enum": [None, 1]},
    {"type": "integer", "minimum": 100},
    {"type": "integer", "maximum": -3},
    {"type": "integer", "exclusiveMinimum": 36, "exclusiveMaximum": 38},
    {"type": "integer", "multipleOf": 7},
    {"type": "integer", "minimum": 30, "maximum": 36, "multipleOf": 5},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.25},
    {"type": "number", "multipleOf": 0.5, "maximum": 2},
    {"type": "boolean"},
    {"type": "null"},
    {"type": ["string", "null"]},
    {"type": ["null", "integer"]},
    {"type": "array", "items": {"type": "integer"}, "minItems": 3, "maxItems": 4},
    {"type": "array", "items": {"type": "string"}, "minItems": 3, "uniqueItems": True},
    {"type": "array", "maxItems": 0},
    {"type": "array", "prefixItems": [{"type": "string"}, {"type": "boolean"}], "items": False},
    {"type": "object"},
    {"type": "object", "minProperties": 2},
    {"type": "object", "required": ["x"]},
    {"type": "object", "properties": {"a": {"type": "string", "default": "z"}}, "additionalProperties": False},
    {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}]},
    {"oneOf": [{"type": "integer", "minimum": 5}, {"type": "string"}]},
    {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
            {"properties": {"b": {"const": 2}}, "required": ["b"]},
        ]
    },
    {
        "type": "object",
        "properties": {"who": {"$ref": "#/definitions/p~1q", "description": "x"}},
        "definitions": {"p/q": {"type": "integer"}},
    },
    TREE,
    {"type": "object", "properties": {"next": {"$ref": "#"}, "value": {"type": "integer"}}, "required": ["value"]},
    *({"type": "string", "format": name} for name in FORMATS),
    True,
    {},
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: str(schema)[:60])
@pytest.mark.parametrize("said", [SAID, "", "hi"])
def test_values_are_valid(schema: Any, said: str) -> None:
    check(schema, build(schema, said))


def test_values_come_from_the_conversation() -> None:
    schema = {
        "type": "object",
        "properties": {
            "street": {"type": "string"},
            "name": {"type": "string"},
            "age": {"type": "integer"},
            "colour": {"enum": ["red", "blue"]},
        },
    }
    value = build(schema)
    assert value == {"street": "12 Baker Street", "name": "Ada Lovelace", "age": 36, "colour": "blue"}


def test_structured_outputs() -> None:
    described = {"type": "json_schema", "json_schema": {"name": "tree", "schema": TREE, "strict": True}}
    body = {"messages": [{"role": "user", "content": SAID}], "response_format": described}
    content = orjson.loads(completion(compose(body, True)))["choices"][0]["message"]["content"]
    check(TREE, orjson.loads(content))
    body["response_format"] = {"type": "json_object"}
    content = orjson.loads(completion(compose(body, True)))["choices"][0]["message"]["content"]
    assert orjson.loads(content) == {"echo": SAID}


HOSTILE: list[Any] = [
    None,
    False,
    7,
    {"$ref": "#"},
    {"$ref": "https://example.com/schema"},
    {"$ref": "#/nowhere/at/all"},
    {"type": 7, "enum": {}, "properties": [], "required": "x", "items": 3, "anyOf": {}},
    {"type": "array", "minItems": 10**9, "items": {"type": "array", "minItems": 10**9, "items": {"type": "string"}}},
    {"type": "string", "minLength": 1e300},
    {"type": "string", "pattern": "(a+)+$"},
    {"type": "string", "pattern": "("},
    {"type": "integer", "minimum": 1e308, "multipleOf": 1e-300},
    {"type": "integer", "multipleOf": 0},
    {"type": "object", "properties": {f"p{n}": {"$ref": "#"} for n in range(60)}},
    {
        "type": "object",
        "properties": {f"p{n}": {"$ref": "#"} for n in range(9)},
        "required": [f"p{n}" for n in range(9)],
    },
    {"type": "object", "required": ["x"], "properties": {"x": {"$ref": "#"}}},
    {"allOf": [{"$ref": "#"}, {"$ref": "#"}]},
    {"type": "object", "minProperties": 10**6},
]


@pytest.mark.parametrize("schema", HOSTILE, ids=lambda schema: str(schema)[:60])
def test_impossible_schemas_end_quickly(schema: Any) -> None:
    start = time.process_time()
    orjson.dumps(build(schema))
    assert time.process_time() - start < 0.5


_LEAVES = st.one_of(
    st.just({"type": "boolean"}),
    st.builds(
        lambda low, size: {"type": "integer", "minimum": low, "maximum": low + size},
        st.integers(-99, 99),
        st.integers(0, 9),
    ),
    st.builds(
        lambda low, size: {"type": "string", "minLength": low, "maxLength": low + size},
        st.integers(0, 30),
        st.integers(0, 9),
    ),
    st.builds(lambda values: {"enum": values}, st.lists(st.integers() | st.text(max_size=4) | st.none(), min_size=1)),
    st.sampled_from([{"type": "string", "format": name} for name in FORMATS]),
)


def _grow(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = st.text("abcde", min_size=1, max_size=3)
    return st.one_of(
        st.builds(
            lambda properties, strict: {
                "type": "object",
                "properties": properties,
                "required": list(properties) if strict else [],
                "additionalProperties": False,
            },
            st.dictionaries(names, inner, max_size=4),
            st.booleans(),
        ),
        st.builds(lambda item, least: {"type": "array", "items": item, "minItems": least}, inner, st.integers(0, 3)),
        st.builds(lambda options: {"anyOf": options}, st.lists(inner, min_size=1, max_size=3)),
    )


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.recursive(_LEAVES, _grow, max_leaves=8), st.text(max_size=40))
def test_any_schema_made_of_these_parts(schema: Any, said: str) -> None:
    check(schema, build(schema, said))


def test_patterns_are_met() -> None:
    for pattern in ("^[A-Z]{2}-[0-9]{4}$", "^(north|south) [0-9]+ km$", "^#[0-9a-f]{6}$", "^\\+?[0-9 ]{7,}$"):
        schema = {"type": "string", "pattern": pattern}
        check(schema, build(schema))
    assert build({"type": "string", "pattern": "^[A-Z][a-z]+$"}, "I live in Lisbon.") == "Lisbon"
    assert len(build({"type": "string", "pattern": "^[a-z]+$", "minLength": 2})) >= 2


BIG = {f"k{number}": {"type": "string"} for number in range(20_000)}
DEAR: dict[str, Any] = {
    "a long constant in many places": {
        "$defs": {"c": {"const": "x" * 1_000_000}},
        "type": "array",
        "minItems": 100,
        "items": {"type": "array", "minItems": 100, "items": {"$ref": "#/$defs/c"}},
    },
    "a large object to merge": {"$defs": {"b": {"properties": BIG}}, "allOf": [{"$ref": "#/$defs/b"}] * 20_000},
    "many options": {"anyOf": [{"$ref": "#/anyOf/0"}, *[{"type": "null"}] * 20_000]},
    "many choices in many places": {
        "$defs": {"e": {"enum": ["said " * 30] * 20_000}},
        "type": "array",
        "minItems": 100,
        "items": {"type": "array", "minItems": 100, "items": {"$ref": "#/$defs/e"}},
    },
    "a long way to a definition": {"type": "array", "minItems": 100, "items": {"$ref": "#" + "/x" * 500_000}},
    "long texts": {"type": "array", "minItems": 100, "items": {"type": "array", "minItems": 100, "items": {
        "type": "string", "minLength": 10_000}}},
    "dear patterns": {"type": "array", "minItems": 100, "items": {"type": "array", "minItems": 100, "items": {
        "type": "string", "pattern": "(?:a?){300}b$"}}},
    "equal values": {"type": "array", "minItems": 100, "items": {"type": "array", "minItems": 100, "uniqueItems": True,
        "items": {"const": 1}}},
    "names nobody needs": {"type": "array", "minItems": 100, "items": {"type": "array", "minItems": 100, "items": {
        "type": "object", "properties": BIG, "required": ["k1"]}}},
}  # fmt: skip


@pytest.mark.parametrize("name", DEAR)
def test_an_answer_has_a_stated_cost(name: str) -> None:
    made: list[Any] = []
    steps = count_steps(lambda: made.append(build(DEAR[name], "a " * 2_000)))
    assert steps < 2_000_000
    assert len(orjson.dumps(made)) < 3_000_000


@pytest.mark.parametrize(
    "message",
    ["\n" * 2_000 + "Ab " * 600, "A." * 2_000, "in" + " " * 3_900, "A" + "-" * 3_900, '"' * 4_000, "a" * 4_000],
)
def test_hints_take_linear_work(message: str) -> None:
    assert count_steps(Hints, message) < 400_000
    assert count_steps(lambda: Hints(message).choose(["a", "in"])) < 450_000
