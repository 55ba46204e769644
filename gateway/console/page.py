"""What a page is, and what its handler knows of the visit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

from multidict import MultiDict, MultiMapping

from gateway.config import Config
from gateway.console.shelf import Shelf
from gateway.console.visitor import Visitor
from gateway.generation import Runtime
from gateway.http import web
from gateway.http.routes import Routes
from gateway.http.server.request_context import RequestContext

Needs = Literal["account", "admin"] | None
"""Whom a page is for: anybody, the signed in, administrators."""

Answer = Mapping[str, Any] | web.StreamResponse
"""What a page's handler returns: its template's variables, or a response of its own."""

FLASH_COOKIE = "console_said"
_LONGEST_FLASH = 300


@dataclass(slots=True)
class Visit:
    """One request for a page.

    context: the HTTP request; its `values` are the places of the path. base_url: how this visitor reaches the gateway,
    such as `https://llm.example.org`, for snippets. form: the fields of a `POST`. flash: what an act before had to say.
    theme: `light`, `dark`, or "" for what the system prefers. language: in which examples are shown first. status: of
    the page, when its template is rendered. shelf: for what is made once per process; generation: once per generation
    of the configuration. routes: all of that one.
    """

    context: RequestContext
    visitor: Visitor
    base_url: str
    shelf: Shelf
    generation: Shelf
    routes: Routes
    form: MultiMapping[str] = field(default_factory=MultiDict)
    flash: str = ""
    theme: str = ""
    status: int = 200
    language: str = ""

    @property
    def path(self) -> str:
        """The path that was asked for, as it was sent."""
        return self.context.request.rel_url.raw_path

    @property
    def query(self) -> Mapping[str, str]:
        """The parameters of the address, decoded."""
        return self.context.query

    @property
    def values(self) -> Mapping[str, str]:
        """The places of the path, decoded."""
        return self.context.values

    @property
    def runtime(self) -> Runtime:
        """The configuration generation that serves this request."""
        return self.context.runtime

    @property
    def config(self) -> Config:
        """Its configuration."""
        return self.context.runtime.config

    def redirect(self, path: str, *, say: str = "") -> web.Response:
        """Lead the browser to a page of this console. path: begins with one slash. say: shown there, once."""
        response = web.Response(status=303, headers={**self.context.headers(), "location": path})
        if say:
            response.set_cookie(
                FLASH_COOKIE,
                quote(say[:_LONGEST_FLASH]),
                max_age=60,
                path="/",
                httponly=True,
                secure=self.base_url.startswith("https://"),
                samesite="Lax",
            )
        return response


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the console; `page` makes one. method: GET or POST. paths: route templates, all served alike."""

    method: str
    paths: tuple[str, ...]
    handle: Callable[[Visit], Awaitable[Answer]]
    template: str
    needs: Needs


def page(
    method: Literal["GET", "POST"], *paths: str, template: str = "", needs: Needs = None
) -> Callable[[Callable[[Visit], Awaitable[Answer]]], Page]:
    """Make a page of a handler. template: a file of `templates/`, for handlers that return its variables."""

    def made(handle: Callable[[Visit], Awaitable[Answer]]) -> Page:
        return Page(method, paths, handle, template, needs)

    return made
