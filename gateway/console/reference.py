"""The OpenAPI document as pages read it: operations by tag, with their parameters, bodies and answers as rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_METHODS = ("get", "post", "put", "patch", "delete")
_DEEPEST = 3
_LONGEST_LIST = 12
_INT64 = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Row:
    """A parameter, or a member of a body. depth: how deep it stands. place: of a parameter: path, query, header."""

    name: str
    kind: str
    text: str
    required: bool = False
    depth: int = 0
    place: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one path, as it is called."""

    anchor: str
    method: str
    path: str
    summary: str
    description: str
    auth: tuple[str, ...]
    parameters: tuple[Row, ...]
    request: tuple[Row, ...]
    answer: tuple[Row, ...]
    statuses: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Tag:
    """The operations of one subject. slug: its place in addresses."""

    name: str
    slug: str
    endpoints: list[Endpoint] = field(default_factory=list)


class Reference:
    """Everything that a document of `gateway.wire.openapi` says. tags: by slug, in the document's order."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._schemas = document["components"]["schemas"]
        self._schemes = document["components"]["securitySchemes"]
        prefix = document["servers"][0]["url"]
        names = [tag["name"] for tag in document["tags"]]
        self.tags: dict[str, Tag] = {_slug(name): Tag(name, _slug(name)) for name in names}
        for path, item in document["paths"].items():
            own = item["servers"][0]["url"].rstrip("/") if "servers" in item else prefix
            for method in _METHODS:
                if method in item:
                    tag = self.tags[_slug(item[method]["tags"][0])]
                    tag.endpoints.append(self._endpoint(method, own + path, item[method]))
        self.tags = {slug: tag for slug, tag in self.tags.items() if tag.endpoints}

    def _endpoint(self, method: str, path: str, operation: Mapping[str, Any]) -> Endpoint:
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        responses: Mapping[str, Any] = operation["responses"]
        good: Mapping[str, Any] = next((responses[one] for one in responses if one < "300"), {})
        answer = good.get("content", {}).get("application/json", {}).get("schema", {})
        auth = [
            "none" if not choice else self._schemes[name].get("description", name)
            for choice in operation["security"]
            for name in (choice or {"": []})
        ]
        return Endpoint(
            anchor=operation["operationId"],
            method=method.upper(),
            path=path,
            summary=operation["summary"],
            description=operation.get("description", ""),
            auth=tuple(auth),
            parameters=tuple(self._parameter(parameter) for parameter in operation.get("parameters", ())),
            request=tuple(self._members(body, 0)),
            answer=tuple(self._members(answer, 0)),
            statuses=tuple((status, said["description"]) for status, said in responses.items()),
        )

    def _parameter(self, parameter: Mapping[str, Any]) -> Row:
        return Row(
            parameter["name"],
            self._kind(parameter["schema"]),
            parameter.get("description", ""),
            parameter["required"],
            place=parameter["in"],
        )

    def _members(self, schema: Mapping[str, Any], depth: int) -> Iterator[Row]:
        """The members of an object, and of the objects in it as far as that helps."""
        schema = self._whole(schema)
        if schema.get("type") == "array":
            schema = self._whole(schema.get("items", {}))
        for part in (schema, *(self._whole(part) for part in schema.get("allOf", ()))):
            required = part.get("required", ())
            for name, member in part.get("properties", {}).items():
                whole = self._whole(member)
                text = member.get("description") or whole.get("description", "")
                yield Row(name, self._kind(member), text, name in required, depth)
                if depth + 1 < _DEEPEST:
                    yield from self._members(whole, depth + 1)

    def _whole(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a reference leads to."""
        for _ in range(8):
            if "$ref" not in schema:
                break
            schema = self._schemas.get(schema["$ref"].rsplit("/", 1)[1], {})
        return schema

    def _kind(self, schema: Mapping[str, Any]) -> str:
        """The values of a schema in a few words."""
        schema = self._whole(schema)
        if "const" in schema:
            return repr(schema["const"]) if not isinstance(schema["const"], str) else schema["const"]
        if "enum" in schema:
            values = [str(value) for value in schema["enum"]]
            return " | ".join(values[:_LONGEST_LIST]) + (" | ..." if len(values) > _LONGEST_LIST else "")
        kinds = schema.get("type")
        if kinds is None:
            choices = [self._kind(choice) for choice in schema.get("anyOf", schema.get("oneOf", ()))]
            return " or ".join(dict.fromkeys(choices)) or "any"
        kinds = [kinds] if isinstance(kinds, str) else list(kinds)
        said = " or ".join(kinds)
        if kinds == ["array"] and schema.get("items"):
            said = f"array of {self._kind(schema['items'])}"
        return said + _range(schema.get("minimum"), schema.get("maximum"))


def _range(least: float | None, most: float | None) -> str:
    """`, 0 to 2`, `, at least 1`, `, at most 5`; what 64 bits hold is no limit to speak of."""
    least, most = (None if bound is None or abs(bound) >= _INT64 else bound for bound in (least, most))
    if least is not None and most is not None:
        return f", {least} to {most}"
    return f", at least {least}" if least is not None else f", at most {most}" if most is not None else ""


def _slug(name: str) -> str:
    return "-".join(name.lower().split())
