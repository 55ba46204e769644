"""A fitted JSON Schema as the older `Schema`, a subset of OpenAPI 3.0 that models before Gemini 2.5 take.

Differences (Google's API reference, `Schema`, and the errors it gives): no references, so they are resolved, and
recursion is refused; one type in capitals and `nullable` in place of lists of types; enums only as strings, with
`format: enum`; neither additionalProperties nor tuples; string formats `enum` and `date-time` only.
"""

from __future__ import annotations

from typing import Any

from .draft import refuse
from .schema import Schema

_SAME = (
    "title", "description", "default", "minItems", "maxItems", "minimum", "maximum", "pattern", "minLength",
    "maxLength", "minProperties", "maxProperties", "required", "propertyOrdering",
)  # fmt: skip
_MOST_NODES = 5_000


def to_openapi(schema: Schema, path: str) -> Schema:
    """The `Schema` for a fitted JSON Schema. Raises CallerFault, naming the place, for recursion."""
    return _Lowering(schema.get("$defs", {})).node(schema, path, ())


class _Lowering:
    def __init__(self, defs: dict[str, Schema]) -> None:
        self.defs = defs
        self.nodes = 0

    def node(self, node: Schema, path: str, inside: tuple[str, ...]) -> Schema:
        self.nodes += 1
        if self.nodes > _MOST_NODES:
            raise refuse(path, "this schema becomes too large once its references are resolved for this model")
        reference = node.get("$ref")
        if isinstance(reference, str):
            name = reference.removeprefix("#/$defs/")
            if name in inside:
                raise refuse(path, f"the schema {name[:80]!r} contains itself, which this model cannot express")
            return self.node(self.defs[name], path, (*inside, name))
        out: Schema = {key: node[key] for key in _SAME if key in node}
        if "enum" in node:
            out["enum"] = [value if isinstance(value, str) else str(value) for value in node["enum"]]
            out["format"] = "enum"
        elif node.get("format") in ("date-time", "int32", "int64", "float", "double"):
            out["format"] = node["format"]
        if "properties" in node:
            out["properties"] = {
                name: self.node(child, f"{path}.properties.{name}", inside)
                for name, child in node["properties"].items()
            }
        self._items(node, out, path, inside)
        self._branches(node, out, path, inside)
        self._type(node, out)
        return out

    def _items(self, node: Schema, out: Schema, path: str, inside: tuple[str, ...]) -> None:
        if node.get("prefixItems"):
            tuples = enumerate(node["prefixItems"])
            shapes = [self.node(child, f"{path}.prefixItems[{at}]", inside) for at, child in tuples]
            out["items"] = shapes[0] if all(shape == shapes[0] for shape in shapes) else {"anyOf": shapes}
            out.setdefault("minItems", len(shapes))
        elif "items" in node:
            out["items"] = self.node(node["items"], f"{path}.items", inside)

    def _branches(self, node: Schema, out: Schema, path: str, inside: tuple[str, ...]) -> None:
        branches = [(at, child) for at, child in enumerate(node.get("anyOf", ())) if child.get("type") != "null"]
        if len(branches) < len(node.get("anyOf", ())):
            out["nullable"] = True
        made = [self.node(child, f"{path}.anyOf[{at}]", inside) for at, child in branches]
        if len(made) == 1:
            # One branch is the schema itself; what stands beside it (a description) goes before the branch's own.
            out.update({key: value for key, value in made[0].items() if key not in out})
        elif made:
            out["anyOf"] = made

    def _type(self, node: Schema, out: Schema) -> None:
        kinds: Any = node.get("type", [])
        kinds = [kinds] if isinstance(kinds, str) else kinds
        plain = [kind for kind in kinds if kind != "null"]
        if len(plain) < len(kinds):
            out["nullable"] = True
        if len(plain) == 1:
            out["type"] = plain[0].upper()
        elif len(plain) > 1 and "anyOf" not in out:
            out["anyOf"] = [{"type": kind.upper()} for kind in plain]
        elif not plain and "type" not in out and "anyOf" not in out and "properties" in out:
            out["type"] = "OBJECT"
