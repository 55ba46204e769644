"""Schemas of functions in the form that the providers' own checks let through."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.wire.function_parameters import function_parameters

TEXT = {"type": "string"}
WHOLE = {"type": "integer"}
FILE = {"type": "object", "properties": {"path": TEXT, "mode": TEXT}, "required": ["path", "mode"]}
PAGE = {"type": "object", "properties": {"url": TEXT, "mode": WHOLE}, "required": ["url", "mode"]}
BOTH = {"path": TEXT, "mode": {"anyOf": [TEXT, WHOLE]}, "url": TEXT}
EMPTY: dict[str, Any] = {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    ("given", "made"),
    [
        (None, EMPTY),
        ({}, EMPTY),
        ({"type": "object"}, EMPTY),
        ({"type": ["object", "null"], "properties": {"a": TEXT}}, {"type": "object", "properties": {"a": TEXT}}),
        ({"type": "object", "properties": None, "required": None}, EMPTY),
        (
            {"type": "object", "properties": {"a": TEXT}, "required": None},
            {"type": "object", "properties": {"a": TEXT}},
        ),
        ({"properties": {"a": TEXT}, "$defs": {}}, {"type": "object", "properties": {"a": TEXT}, "$defs": {}}),
    ],
)
def test_what_is_left_out_is_said(given: Any, made: Any) -> None:
    assert function_parameters(given) == made
    assert function_parameters(given, flat=False) == made


@pytest.mark.parametrize(
    "given",
    [FILE, {"type": "string"}, {"type": "object", "properties": [1]}, [1], "x"],
    ids=["whole", "text", "no properties", "list", "word"],
)
def test_a_whole_schema_and_what_is_none_of_an_object_stay_the_very_same(given: Any) -> None:
    assert function_parameters(given) is given


@pytest.mark.parametrize("key", ["anyOf", "oneOf"])
@pytest.mark.parametrize("named", [False, True], ids=["written out", "named"])
def test_alternatives_become_one_object(key: str, named: bool) -> None:
    branches: list[Any] = [{"$ref": "#/$defs/File"}, PAGE] if named else [FILE, PAGE]
    given = {"type": "object", key: branches, "required": ["id"], "properties": {"id": WHOLE}, "$defs": {"File": FILE}}
    made = function_parameters(given)
    assert made["properties"] == {"id": WHOLE, **BOTH}
    assert made["required"] == ["id", "mode"]  # what each of them requires
    assert key not in made
    assert key in made["description"]  # the model is told what else must hold
    assert function_parameters(given, flat=False) is given


def test_all_of_several_requires_what_each_requires() -> None:
    made = function_parameters({"allOf": [FILE, {"required": ["more"]}], "description": "About it."})
    assert (made["type"], made["properties"], made["required"]) == (
        "object",
        {"path": TEXT, "mode": TEXT},
        ["path", "mode", "more"],
    )
    assert made["description"].startswith("About it.\nMust also match: ")


def test_what_leads_nowhere_adds_nothing_and_a_long_note_is_left_out() -> None:
    given = {"type": "object", "anyOf": [{"$ref": "#/$defs/Gone"}, {"$ref": "#"}, True, {"enum": ["x" * 3000]}]}
    assert function_parameters(given) == EMPTY


@pytest.mark.parametrize("required", [5, "ab", [{}, 1, "a"]])
def test_nonsense_of_a_caller_is_no_failure_of_the_gateway(required: Any) -> None:
    branches = [{"required": required, "properties": {"a": {"maximum": 2**80}}}]
    made = function_parameters({"type": "object", "required": required, "anyOf": branches})
    assert made["properties"] == {"a": {"maximum": 2**80}}
    assert made.get("required", []) in ([], ["a"], required)
    assert "description" not in made
