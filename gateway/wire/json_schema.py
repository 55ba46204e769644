"""JSON Schema as data: named parts, null, alternatives, and what becomes of them in a document.

Source: JSON Schema 2020-12, which OpenAPI 3.1 uses as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Tree = Mapping[str, Any]
"""A JSON Schema in which any subschema may be a `Component`."""


@dataclass(frozen=True, slots=True, eq=False)
class Component:
    """A schema with a name. In a document it stands once, and is referred to; inlined it is its tree."""

    name: str
    tree: Tree


def or_null(tree: Tree | Component) -> Tree:
    """The same schema with null allowed."""
    if isinstance(tree, Component):
        return {"anyOf": [tree, {"type": "null"}]}
    kind = tree.get("type")
    if isinstance(kind, str) and "anyOf" not in tree and "not" not in tree and "const" not in tree:
        more = {"enum": [*tree["enum"], None]} if "enum" in tree else {}
        return {**tree, "type": [kind, "null"], **more}
    if isinstance(kind, list) and "null" in kind:
        return tree
    described = {"description": tree["description"]} if "description" in tree else {}
    return {"anyOf": [{k: v for k, v in tree.items() if k != "description"}, {"type": "null"}], **described}


def alternatives(*trees: Tree | Component) -> Tree:
    """A value that passes at least one of these schemas."""
    return {"anyOf": list(trees)}


def tagged(variants: Mapping[str, Tree], *, others: bool = True, refused: Collection[str] = ()) -> Tree:
    """Objects told apart by the word in `type`. variants: word to schema, which says nothing of `type` itself.
    others: objects with another word are taken, whatever is in them; but not with one of `refused`."""
    branches: list[Tree] = []
    for word, tree in variants.items():
        properties = {"type": {"type": "string", "const": word}, **tree.get("properties", {})}
        required = ["type", *tree.get("required", ())]
        branches.append({**tree, "type": "object", "properties": properties, "required": required})
    if others:
        unknown = {"type": "string", "minLength": 1, "not": {"enum": [*variants, *refused]}}
        branches.append({"type": "object", "properties": {"type": unknown}, "required": ["type"]})
    return alternatives(*branches)


def inlined(tree: Any) -> Any:
    """Plain data without references, a copy. For trees that do not contain themselves."""
    if isinstance(tree, Component):
        return inlined(tree.tree)
    if isinstance(tree, Mapping):
        return {key: inlined(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [inlined(value) for value in tree]
    return tree


def referred(tree: Any) -> Any:
    """Plain data with references to `#/components/schemas/NAME`, a copy."""
    if isinstance(tree, Component):
        return {"$ref": f"#/components/schemas/{tree.name}"}
    if isinstance(tree, Mapping):
        return {key: referred(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [referred(value) for value in tree]
    return tree


def components_of(tree: Any) -> Iterator[Component]:
    """Every component that stands in `tree`, at any depth, those within others included."""
    if isinstance(tree, Component):
        yield tree
        yield from components_of(tree.tree)
    elif isinstance(tree, Mapping):
        for value in tree.values():
            yield from components_of(value)
    elif isinstance(tree, list | tuple):
        for value in tree:
            yield from components_of(value)


def is_closed(schema: Any) -> bool:
    """Whether every object lists all it may have and requires all of it: only then OpenAI's strict mode takes it."""
    todo: list[Any] = [schema]
    while todo:
        node = todo.pop()
        if isinstance(node, list):
            todo += node
        elif isinstance(node, dict):
            members = node.get("properties")
            if node.get("type") == "object" or isinstance(members, dict):
                known = set(members) if isinstance(members, dict) else set()
                required = node.get("required")
                listed = {name for name in required if isinstance(name, str)} if isinstance(required, list) else set()
                if node.get("additionalProperties") is not False or listed != known:
                    return False
            todo += node.values()
    return True
