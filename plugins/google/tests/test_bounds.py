"""What a caller sends is walked in linear time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.testing.steps import assert_linear

Built = Callable[..., Any]
SHAPES: dict[str, Callable[[int], dict[str, Any]]] = {
    "neighbours": lambda size: {"messages": [{"role": "user", "content": "x"}] * size},
    "answers": lambda size: {
        "messages": [{"role": "user", "content": "x"}, *[{"role": "assistant", "content": "y"}] * size]
    },
    "a chain of definitions": lambda size: schema({f"d{at}": ref(at + 1) for at in range(size)} | {f"d{size}": {}}),
    "many references": lambda size: schema(
        {f"d{at}": {"type": "string"} for at in range(size + 1)}, {f"p{at}": ref(at) for at in range(size)}
    ),
}


def ref(at: int) -> dict[str, Any]:
    return {"$ref": f"#/$defs/d{at}"}


def schema(definitions: dict[str, Any], properties: dict[str, Any] | None = None) -> dict[str, Any]:
    inner = {"type": "object", "$defs": definitions, "properties": properties or {"a": ref(0)}}
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": inner}}}


@pytest.mark.parametrize("name", SHAPES)
def test_work_is_linear(name: str, built: Built) -> None:
    def make(size: int) -> Callable[[], Any]:
        body = SHAPES[name](size)
        return lambda: built(body)

    assert_linear(make, 100)
