"""JSON Schemas as callers write them, to what Gemini takes.

`fit` makes a JSON Schema for `parametersJsonSchema` and `responseJsonSchema`. Google's API reference lists what these
enforce: $defs, $ref (without neighbours), type, format, title, description, enum of strings and numbers, items,
prefixItems, minItems, maxItems, minimum, maximum, anyOf, oneOf (as anyOf), properties, additionalProperties, required,
propertyOrdering. The SDK's `JSONSchema` adds default, pattern and the limits on lengths and properties. Equivalent
forms are rewritten (const, nullable, allOf, definitions, tuples); what cannot be enforced is told to the model in the
description and named in `unenforced`; what would change the meaning is refused with its path.
`tollgate_google.openapi` turns the result into the older `Schema` for models before Gemini 2.5.
"""

from __future__ import annotations

from typing import Any

import orjson

from gateway.api import as_dict

from .draft import refuse

Schema = dict[str, Any]

_KEPT = (
    "title", "description", "default", "minItems", "maxItems", "minimum", "maximum", "pattern", "minLength",
    "maxLength", "minProperties", "maxProperties", "required", "propertyOrdering", "$anchor",
)  # fmt: skip
_NO_MEANING = (
    "$schema", "$id", "$comment", "$vocabulary", "deprecated", "readOnly", "writeOnly", "strict", "discriminator",
    "additionalItems", "examples", "example",
)  # fmt: skip
"""Annotations that say nothing about valid values. (`examples` do help a model: they are told, never enforced.)"""

_FORMATS = ("date-time", "date", "time", "int32", "int64", "float", "double", "enum")
_MOST_STEPS = 150
_MOST_NODES = 20_000


class Fitting:
    """Fits one schema. `unenforced`: the keywords that are only told to the model, in order of appearance."""

    def __init__(self, root: Schema, path: str) -> None:
        self.root = root
        self.path = path
        self.unenforced: dict[str, None] = {}
        self._taken: set[str] = set()
        self._names: dict[str, str] = {}
        self._pointers: list[str] = []
        self._nodes = 0

    def fit(self) -> Schema:
        """The fitted schema. Raises CallerFault that names the place of what cannot be expressed."""
        out = self._node(self.root, self.path, ())
        fitted: dict[str, Any] = {}
        # A definition may lead to others; each is fitted once, so recursion through $defs ends here.
        for pointer in self._pointers:
            name = self._names[pointer]
            fitted[name] = self._node(self._at(pointer, self.path), f"{self.path}.$defs.{name}", ())
        if fitted:
            out["$defs"] = fitted
        return out

    def _node(self, node: Any, path: str, open_refs: tuple[str, ...]) -> Schema:
        self._nodes += 1
        if self._nodes > _MOST_NODES or path.count(".") + path.count("[") > _MOST_STEPS or len(open_refs) > 50:
            raise refuse(path, "this schema is too large or nests too deeply for Gemini")
        if node is True:
            return {}
        if node is False:
            raise refuse(path, "a schema that allows nothing (false) cannot be expressed for Gemini")
        node = self._merged(as_dict(node, path), path)
        if isinstance(node.get("$ref"), str):
            return self._reference(node, path, open_refs)
        out: Schema = {key: node[key] for key in _KEPT if node.get(key) is not None}
        told: dict[str, Any] = {}
        self._values(node, out, told, path)
        self._children(node, out, path, open_refs)
        for key, value in node.items():
            if key in ("examples", "example"):
                told[key] = value
            elif key not in _READ and key not in _NO_MEANING and not key.startswith("x-") and value is not None:
                told[key] = value
                self.unenforced[key] = None
        _tell(out, told)
        return out

    def _merged(self, node: Schema, path: str, depth: int = 0) -> Schema:
        """`allOf` resolved into the node itself, where that is possible without changing the meaning."""
        branches = node.get("allOf")
        if branches is None:
            return node
        if not isinstance(branches, list):
            raise refuse(f"{path}.allOf", "must be an array")
        if depth > 50:
            raise refuse(path, "allOf leads back to itself or nests too deeply")
        merged = {key: value for key, value in node.items() if key != "allOf"}
        for at, branch in enumerate(branches):
            where = f"{path}.allOf[{at}]"
            branch = self._merged(as_dict(branch, where), where, depth + 1)
            if isinstance(branch.get("$ref"), str) and (len(branches) > 1 or "properties" in merged):
                branch = {**as_dict(self._at(branch["$ref"], where), where), **_without(branch, "$ref")}
                branch = self._merged(branch, where, depth + 1)
            for key, value in branch.items():
                held = merged.get(key)
                if held is None or held == value or key in ("title", "description", "default"):
                    merged.setdefault(key, value)
                elif key == "properties" and isinstance(held, dict) and isinstance(value, dict):
                    if any(name in held and held[name] != inner for name, inner in value.items()):
                        raise refuse(where, "two branches of allOf describe one property differently")
                    merged[key] = {**held, **value}
                elif key == "required" and isinstance(held, list) and isinstance(value, list):
                    merged[key] = list(dict.fromkeys([*held, *value]))
                else:
                    raise refuse(f"{where}.{key}", "branches of allOf that differ here cannot be expressed for Gemini")
        return merged

    def _reference(self, node: Schema, path: str, open_refs: tuple[str, ...]) -> Schema:
        pointer = node["$ref"]
        rest = {key: value for key, value in node.items() if not key.startswith("$")}
        steps = pointer.split("/")
        if len(steps) == 3 and steps[0] == "#" and steps[1] in ("$defs", "definitions"):
            self._at(pointer, path)
            name = self._name(pointer)
            if not rest:
                return {"$ref": f"#/$defs/{name}"}
            # "If $ref is set on a sub-schema, no other properties may be set", so it moves one level down.
            around = self._node(rest, path, open_refs)
            if "anyOf" in around:
                raise refuse(f"{path}.$ref", "$ref beside anyOf or oneOf cannot be expressed for Gemini")
            return {**around, "anyOf": [{"$ref": f"#/$defs/{name}"}]}
        if pointer in open_refs or pointer == "#":
            raise refuse(f"{path}.$ref", f"{pointer!r} leads back to itself; put what recurs into $defs")
        return self._node({**as_dict(self._at(pointer, path), path), **rest}, path, (*open_refs, pointer))

    def _name(self, pointer: str) -> str:
        """The name under `$defs` for a pointer; one that both homes of definitions use is made unique."""
        if pointer in self._names:
            return self._names[pointer]
        name = _unescape(pointer.rpartition("/")[2]).replace("/", "_")
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        self._names[pointer] = name
        self._pointers.append(pointer)
        return name

    def _at(self, pointer: str, path: str) -> Any:
        """What a JSON pointer in this document leads to (RFC 6901)."""
        node: Any = self.root
        if not pointer.startswith("#"):
            raise refuse(f"{path}.$ref", f"{pointer[:80]!r} is not in this schema; only references within it are known")
        for step in pointer.split("/")[1:]:
            step = _unescape(step)
            if isinstance(node, dict) and step in node:
                node = node[step]
            elif isinstance(node, list) and step.isdecimal() and len(step) < 6 and int(step) < len(node):
                node = node[int(step)]
            else:
                raise refuse(f"{path}.$ref", f"{pointer[:80]!r} leads nowhere in this schema")
        return node

    def _values(self, node: Schema, out: Schema, told: dict[str, Any], path: str) -> None:
        kind = node.get("type")
        if isinstance(kind, list):
            kinds = [entry for entry in kind if isinstance(entry, str)]
            out["type"] = kinds[0] if len(kinds) == 1 else kinds
        elif isinstance(kind, str):
            out["type"] = kind
        elif kind is not None:
            raise refuse(f"{path}.type", "must be a string or an array of strings")
        form = node.get("format")
        if form in _FORMATS:
            out["format"] = form
        elif form is not None:
            told["format"] = form
            self.unenforced["format"] = None
        values = node.get("enum")
        if "const" in node:
            values = [node["const"]]
        if isinstance(values, list):
            self._enum(values, out, told)
        elif values is not None:
            raise refuse(f"{path}.enum", "must be an array")
        if node.get("nullable") is True:
            _allow_null(out)

    def _enum(self, values: list[Any], out: Schema, told: dict[str, Any]) -> None:
        plain = [value for value in values if value is not None]
        if all(isinstance(value, str) for value in plain):
            kind = "string"
        elif all(type(value) in (int, float) for value in plain):
            kind = "integer" if all(type(value) is int for value in plain) else "number"
        else:
            kind = "boolean" if all(isinstance(value, bool) for value in plain) else ""
            if len(plain) < 2 or not kind:  # {true, false} is what `boolean` says anyway
                told["enum"] = values
                self.unenforced["enum"] = None
        if kind and plain:
            out.setdefault("type", kind)
        if kind in ("string", "integer", "number") and plain:
            out["enum"] = plain
        if len(plain) < len(values):
            if plain:
                _allow_null(out)
            else:
                out["type"] = "null"

    def _children(self, node: Schema, out: Schema, path: str, refs: tuple[str, ...]) -> None:
        properties = node.get("properties")
        if properties is not None:
            out["properties"] = {
                name: self._node(child, f"{path}.properties.{name}", refs)
                for name, child in as_dict(properties, f"{path}.properties").items()
            }
        items = node.get("items")
        tuple_items = node.get("prefixItems", items if isinstance(items, list) else None)
        if isinstance(tuple_items, list):
            out["prefixItems"] = [
                self._node(child, f"{path}.prefixItems[{at}]", refs) for at, child in enumerate(tuple_items)
            ]
        if items is False:
            if isinstance(tuple_items, list):
                out.setdefault("maxItems", len(tuple_items))
        elif items is not None and not isinstance(items, list):
            out["items"] = self._node(items, f"{path}.items", refs)
        extra = node.get("additionalProperties")
        if isinstance(extra, bool):
            out["additionalProperties"] = extra
        elif extra is not None:
            out["additionalProperties"] = self._node(extra, f"{path}.additionalProperties", refs)
        for key in ("anyOf", "oneOf"):
            branches = node.get(key)
            if branches is None:
                continue
            if not isinstance(branches, list):
                raise refuse(f"{path}.{key}", "must be an array")
            fitted = [self._node(child, f"{path}.{key}[{at}]", refs) for at, child in enumerate(branches)]
            if "anyOf" in out:
                raise refuse(f"{path}.{key}", "anyOf and oneOf side by side cannot be expressed for Gemini")
            # oneOf is read as anyOf upstream; that its branches exclude each other is the caller's own knowledge.
            out["anyOf"] = fitted


_READ = frozenset({
    *_KEPT, "type", "format", "enum", "const", "nullable", "properties", "items", "prefixItems", "anyOf", "oneOf",
    "additionalProperties", "$ref", "$defs", "definitions",
})  # fmt: skip


def _unescape(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")


def _without(node: Schema, key: str) -> Schema:
    return {name: value for name, value in node.items() if name != key}


def _allow_null(out: Schema) -> None:
    kind = out.get("type")
    if isinstance(kind, str) and kind != "null":
        out["type"] = [kind, "null"]
    elif isinstance(kind, list) and "null" not in kind:
        out["type"] = [*kind, "null"]


def _tell(out: Schema, told: dict[str, Any]) -> None:
    """Put what is not enforced into the description, where the model reads it."""
    if told:
        hint = "{" + ", ".join(f"{key}: {_short(value)}" for key, value in told.items()) + "}"
        about = out.get("description")
        out["description"] = f"{about} {hint}" if isinstance(about, str) and about else hint


def _short(value: Any) -> str:
    try:
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
    except TypeError:
        text = "..."
    return text if len(text) <= 300 else text[:297] + "..."
