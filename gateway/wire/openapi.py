"""What an HTTP route takes and answers, declared beside it, and the OpenAPI document that the declarations make.

Source: OpenAPI 3.1, whose schemas are JSON Schema 2020-12. Pure: the same routes give the same document.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from gateway.wire.json_schema import Component, Tree, components_of, referred
from gateway.wire.multipart import FORM

JSON = "application/json"
EVENTS = "text/event-stream"

STATUSES: Mapping[int, str] = {
    200: "The answer.",
    201: "It was made.",
    304: "What the caller has is current.",
    400: "The request is malformed, or asks for what cannot be had. `param` names the field.",
    401: "The credential is missing or not valid.",
    402: "No credits are left, or the key's monthly limit is reached.",
    403: "The credential may not do this.",
    404: "There is no such thing, or it belongs to another account.",
    408: "The request came too slowly.",
    409: "It contradicts what is there.",
    413: "The body is too large.",
    415: "The body is compressed.",
    429: "Too many requests; `retry-after` tells when to come back.",
    500: "The gateway failed.",
    502: "The provider failed.",
    503: "The gateway or the provider takes no requests now.",
    504: "The provider did not answer in time.",
}
"""What answers of a status mean, wherever they come from."""

ERROR = Component(
    "Error",
    {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["message", "type", "param", "code"],
                "properties": {
                    "message": {"type": "string", "description": "Names the field and what would be right."},
                    "type": {"type": "string"},
                    "param": {"type": ["string", "null"], "description": "The field's path."},
                    "code": {"type": ["string", "null"], "description": "For programs."},
                },
            }
        },
    },
)
"""OpenAI's error object, as `gateway.wire.errors.render` writes it."""


@dataclass(frozen=True, slots=True, eq=False)
class SecurityScheme:
    """A way to prove who one is. tree: OpenAPI's Security Scheme Object."""

    name: str
    tree: Mapping[str, Any]


def _bearer(name: str, description: str) -> SecurityScheme:
    return SecurityScheme(name, {"type": "http", "scheme": "bearer", "description": description})


KEY = _bearer("apiKey", "A key of an account: `Authorization: Bearer mghp_...`.")
ADMIN = _bearer("adminSecret", "The administrator's secret: `Authorization: Bearer mgas_...`.")
SESSION = SecurityScheme(
    "session",
    {
        "type": "apiKey",
        "in": "cookie",
        "name": "__Host-session",
        "description": "The console's session, as `POST /account/sign-in` sets it; `gateway_session` without TLS. "
        "What changes something also needs the header `X-CSRF-Token`.",
    },
)
METRICS = _bearer("metricsToken", "`metrics.token` of the configuration.")


@dataclass(frozen=True, slots=True, eq=False)
class Parameter:
    """A parameter of the query, a header of the request, or a place of the path (which is always there)."""

    name: str
    description: str
    tree: Tree = field(default_factory=lambda: {"type": "string"})
    place: Literal["query", "header", "path"] = "query"
    required: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """What one method of one route does.

    auth: the credentials of which one is needed; None among them: or none at all. Empty: none is looked at.
    request: the schema of the JSON body, None when no body is read; request_required: whether there must be one.
    form: the schema of a body that comes as a form with files, None when none may.
    answer: the schema of the body with `status`, None for a body without a schema, of `answer_type`; other_types: of
    which media types it may be besides.
    events: the schema of the JSON in each `data:` line of a streamed answer, None when answers are never streamed.
    events_only: a streamed answer is the only one. errors: statuses of error answers, whose schema is `fault`.
    headers: more headers of the answer, with their meaning. path: stands in the document instead of the route's
    template, for a route that tells several operations apart by itself.
    """

    summary: str
    tag: str
    description: str = ""
    auth: tuple[SecurityScheme | None, ...] = (KEY,)
    parameters: tuple[Parameter, ...] = ()
    request: Tree | Component | None = None
    request_required: bool = True
    form: Tree | Component | None = None
    answer: Tree | Component | None = None
    answer_type: str = JSON
    other_types: tuple[str, ...] = ()
    status: int = 200
    others: tuple[int, ...] = ()
    events: Tree | Component | None = None
    events_only: bool = False
    errors: tuple[int, ...] = (400, 401, 403, 404, 429, 500, 503)
    fault: Component = ERROR
    headers: Mapping[str, str] | None = None
    path: str = ""


@dataclass(frozen=True, slots=True)
class Documented:
    """A route in the document. path: without a prefix. api: it stands below every prefix of the API."""

    method: str
    path: str
    api: bool
    operation: Operation


_PLACE = re.compile(r"\{(\w+)(?:\.\.\.)?\}")


def document(routes: Iterable[Documented], *, title: str, version: str, prefixes: Sequence[str]) -> dict[str, Any]:
    """The OpenAPI document of these routes. Raises ValueError for two components, or two operations, of one name."""
    paths: dict[str, dict[str, Any]] = {}
    components: dict[str, Component] = {}
    schemes: dict[str, SecurityScheme] = {}
    tags: dict[str, None] = {}
    for route in routes:
        operation = route.operation
        path = _PLACE.sub(r"{\1}", operation.path or route.path)
        item = paths.setdefault(path, {} if route.api else {"servers": [{"url": "/"}]})
        if route.method.lower() in item or ("servers" in item) == route.api:
            raise ValueError(f"{route.method} {path} is documented twice")
        item[route.method.lower()] = _operation(route.method, path, operation)
        tags[operation.tag] = None
        schemes.update((scheme.name, scheme) for scheme in operation.auth if scheme is not None)
        for component in _components(operation):
            if components.setdefault(component.name, component) is not component:
                raise ValueError(f"two components are called {component.name}")
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "servers": [{"url": prefix} for prefix in prefixes],
        "tags": [{"name": tag} for tag in tags],
        "paths": paths,
        "components": {
            "schemas": {name: referred(components[name].tree) for name in sorted(components)},
            "securitySchemes": {name: dict(schemes[name].tree) for name in sorted(schemes)},
        },
    }


def _components(operation: Operation) -> Iterator[Component]:
    for part in (operation.request, operation.form, operation.answer, operation.events):
        yield from components_of(part)
    if operation.errors:
        yield from components_of(operation.fault)
    for parameter in operation.parameters:
        yield from components_of(parameter.tree)


def _operation(method: str, path: str, operation: Operation) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": re.sub(r"[^A-Za-z0-9]+", "_", f"{method.lower()}{path}").strip("_"),
        "summary": operation.summary,
        "tags": [operation.tag],
        "security": [{} if scheme is None else {scheme.name: []} for scheme in operation.auth],
    }
    if operation.description:
        made["description"] = operation.description
    parameters = _parameters(path, operation)
    if parameters:
        made["parameters"] = parameters
    content = {
        media_type: {"schema": referred(tree)}
        for media_type, tree in ((JSON, operation.request), (FORM, operation.form))
        if tree is not None
    }
    if content:
        made["requestBody"] = {"required": operation.request_required, "content": content}
    made["responses"] = _responses(operation)
    return made


def _parameters(path: str, operation: Operation) -> list[dict[str, Any]]:
    described = {parameter.name: parameter for parameter in operation.parameters if parameter.place == "path"}
    places = [described.get(name, Parameter(name, "", place="path")) for name in _PLACE.findall(path)]
    others = [parameter for parameter in operation.parameters if parameter.place != "path"]
    return [
        {
            "name": parameter.name,
            "in": parameter.place,
            "required": parameter.required or parameter.place == "path",
            **({"description": parameter.description} if parameter.description else {}),
            "schema": referred(parameter.tree),
        }
        for parameter in (*places, *others)
    ]


def _meaning(status: int) -> str:
    return STATUSES.get(status, f"HTTP status {status}.")


def _responses(operation: Operation) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if not operation.events_only:
        content[operation.answer_type] = {"schema": {} if operation.answer is None else referred(operation.answer)}
    for media_type in operation.other_types:
        content[media_type] = {"schema": {}}
    if operation.events is not None:
        content[EVENTS] = {"schema": referred(operation.events)}
    headers = {"x-request-id": "Names this request in the gateway's log.", **(operation.headers or {})}
    shown = {name: {"description": text, "schema": {"type": "string"}} for name, text in headers.items()}
    responses: dict[str, Any] = {
        str(operation.status): {"description": _meaning(operation.status), "headers": shown, "content": content}
    }
    for status in operation.others:
        responses[str(status)] = {"description": _meaning(status)}
    for status in operation.errors:
        responses[str(status)] = {
            "description": _meaning(status),
            "content": {JSON: {"schema": referred(operation.fault)}},
        }
    return responses
