"""Paths to handlers. Decides on the path as it was sent, never on the Host header or a decoded URL.

A template's `{name}` stands for one segment, `{name...}` for the rest of the path, slashes (plain or `%2F`)
included. Paths with `//`, or with `.` or `..` as a segment, plain or encoded, lead nowhere, but for the slips of a
client's base URL: slashes doubled around the API's prefix, the prefix given twice. Those lead into the API alone, so
that a proxy's rule for other paths cannot be passed by.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from gateway.deferred import later
from gateway.errors import CallerFault

if TYPE_CHECKING:
    from gateway.wire.openapi import Documented, Operation
else:
    Documented = later("gateway.wire.openapi:Documented")

API_PREFIXES = ("/v1", "/api/v1")
"""Where the API is mounted."""

Handler = Callable[..., Awaitable[Any]]

_PLACE = re.compile(r"\{(\w+)(\.\.\.)?\}")


class Route:
    """One path template with its handlers by method, and what those take and answer."""

    __slots__ = ("handlers", "operations", "pages", "pattern", "template")

    def __init__(self, template: str) -> None:
        self.template = template
        self.pages: set[str] = set()
        self.handlers: dict[str, Handler] = {}
        self.operations: dict[str, tuple[Operation, ...]] = {}
        parts = _PLACE.split(template)
        expression = ""
        for literal, name, rest in zip(parts[::3], [*parts[1::3], None], [*parts[2::3], None], strict=True):
            expression += re.escape(literal)
            if name:
                expression += f"(?P<{name}>.+)" if rest else f"(?P<{name}>[^/]+)"
        self.pattern = re.compile(expression) if len(parts) > 1 else None


class RouteTable:
    """All routes of a gateway. prefixes: the API's mount points, e.g. `/v1`; routes added with `api=False`
    stand at the root only."""

    def __init__(self, prefixes: tuple[str, ...]) -> None:
        self.prefixes = prefixes
        self._exact: dict[str, Route] = {}
        self._patterns: list[Route] = []
        self._by_template: dict[str, Route] = {}

    def add(self, method: str, template: str, handler: Handler, *operations: Operation, api: bool = True) -> None:
        """Let `handler` serve `method` on `template` (below every API prefix when `api`). A later route for the
        same method and template replaces an earlier one.

        operations: what it takes and answers, for the document; several where the handler tells them apart by the path
        (`Operation.path`). Without them a handler that replaces another keeps that one's.
        """
        for prefix in self.prefixes if api else ("",):
            full = prefix + template
            route = self._by_template.get(full)
            if route is None:
                route = self._by_template[full] = Route(full)
                if route.pattern is None:
                    self._exact[full] = route
                else:
                    self._patterns.append(route)
            route.handlers[method] = handler
            if operations:
                route.operations[method] = operations

    def add_page(self, method: str, template: str, handler: Handler) -> None:
        """Let `handler` serve a page for people at the root; `GET /openapi.json`, which is for programs, says nothing
        of it. Where `GET` has a handler already, what that takes and answers stays documented."""
        self.add(method, template, handler, api=False)
        self._by_template[template].pages.add(method)

    def is_page(self, template: str) -> bool:
        """Whether people are shown something under this template."""
        route = self._by_template.get(template)
        return route is not None and bool(route.pages)

    def serving(self, method: str, template: str, *, api: bool = True) -> Handler | None:
        """The handler of a route so far, None when there is none."""
        route = self._by_template.get((self.prefixes[0] if api else "") + template)
        return None if route is None else route.handlers.get(method)

    def documented(self) -> Iterator[Documented]:
        """What the routes take and answer, those of the API once for all prefixes."""
        for route in self._by_template.values():
            prefix = next((prefix for prefix in self.prefixes if route.template.startswith(prefix + "/")), "")
            if prefix in ("", self.prefixes[0]):
                path = route.template.removeprefix(prefix)
                for method, operations in route.operations.items():
                    for operation in operations:
                        yield Documented(method, path, prefix != "", operation)

    def templates(self) -> Iterator[str]:
        """The templates of all routes, each below its prefix."""
        return iter(self._by_template)

    def undocumented(self) -> list[str]:
        """The routes of which nothing is said, as `METHOD template`."""
        return [
            f"{method} {route.template}"
            for route in self._by_template.values()
            for method in route.handlers
            if method not in route.operations and method not in route.pages
        ]

    def find(self, method: str, raw_path: str) -> tuple[Handler, str, dict[str, str]]:
        """The handler, the route's template, and the decoded values of its places.

        Raises CallerFault 404 for an unknown path and 405 (with `allow`) for an unknown method.
        """
        route = self._exact.get(raw_path)
        values: dict[str, str] = {}
        if route is None:
            found = self._match(raw_path) or self._match(self._mended(raw_path))
            if found is None:
                raise self.unknown(raw_path)
            route, values = found
        handler = route.handlers.get("GET" if method == "HEAD" else method)
        if handler is None:
            allowed = ", ".join(sorted(route.handlers))
            raise CallerFault(
                f"{method} is not allowed on {route.template}; it takes {allowed}.",
                status=405,
                code="method_not_allowed",
                headers={"allow": allowed},
            )
        return handler, route.template, values

    def _match(self, raw_path: str) -> tuple[Route, dict[str, str]] | None:
        path = raw_path[:-1] if raw_path.endswith("/") and len(raw_path) > 1 else raw_path
        segments = unquote(path).split("/")[1:]
        if all(segment not in ("", ".", "..") for segment in segments):
            if path in self._exact:
                return self._exact[path], {}
            for route in self._patterns:
                found = route.pattern.fullmatch(path) if route.pattern else None
                if found:
                    return route, {name: unquote(value) for name, value in found.groupdict().items()}
        return None

    def _mended(self, raw_path: str) -> str:
        """The path that a client with a slip in its base URL meant, "" when it is not the API's."""
        prefix, rest = "", "/" + raw_path.lstrip("/")
        while found := next((known for known in self.prefixes if rest.startswith(known + "/")), ""):
            prefix, rest = found, "/" + rest[len(found) :].lstrip("/")
        # What stands beside a prefix, such as `/v1beta`, is the API too.
        return rest if rest.startswith(self.prefixes) else prefix + rest if prefix else ""

    def unknown(self, raw_path: str) -> CallerFault:
        """What is said of a path that leads nowhere, with the API's that was probably meant."""
        meant = self.prefixes[0] + raw_path.rstrip("/")
        hint = f" Did you mean {meant!r}?" if meant in self._exact else ""
        return CallerFault(
            f"Unknown path {raw_path[:200]!r}. The API lives under {' and '.join(self.prefixes)}; "
            f"GET /openapi.json lists what is there.{hint}",
            status=404,
            code="not_found",
        )
