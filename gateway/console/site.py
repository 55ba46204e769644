"""The pages' common frame: who asks, what they may see, how it is rendered, and how faults look."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from multidict import MultiDict, MultiMapping

from gateway.config.limits import BodyLimits
from gateway.console.answers import HTML, PAGE_HEADERS, etag_of, pack, send
from gateway.console.page import FLASH_COOKIE, Page, Visit
from gateway.console.pages import PAGES
from gateway.console.rendering import Templates
from gateway.console.shelf import Shelf
from gateway.console.snippets import LANGUAGES
from gateway.console.visitor import Members, Stranger, Visitor, Visitors
from gateway.console.words import Money
from gateway.errors import CallerFault, Fault
from gateway.generation import Runtime
from gateway.http import web
from gateway.http.routes import Routes
from gateway.http.server.request_context import RequestContext
from gateway.http.server.request_reading import is_own_origin, own_address, read_body
from gateway.http.server.router import Handler

THEME_COOKIE = "console_theme"
LANGUAGE_COOKIE = "console_code"
_FORM = "application/x-www-form-urlencoded"
_FORM_LIMITS = BodyLimits(max_body=256 * 1024, grace=20.0, min_rate=1024)
_MOST_FIELDS = 500
_OPEN = "private, no-cache"
_PERSONAL = "no-store"
_VARY = "Accept, Accept-Encoding, Cookie"


class Console:
    """The console of one gateway. visitors: finds out who asks; left out, the session in the cookie says it. shelf: for
    what is made once per process, whatever the configuration says."""

    def __init__(self, visitors: Visitors | None = None, shelf: Shelf | None = None) -> None:
        self._visitors = visitors or Members()
        self._shelf = shelf or Shelf()

    def mount(self, routes: Routes, runtime: Runtime) -> None:
        """Add the pages to the routes of one generation of the configuration, if it wants them."""
        if not runtime.config.console.enabled:
            return
        generation = Shelf()
        for page in PAGES:
            for path in page.paths:
                routes.add_page(page.method, path, self._handler(page, path, routes, generation))
        routes.add_page("GET", "/static/{version}/{name...}", self._send_asset)
        routes.error_page = _ErrorPages(self, routes, generation).show

    def _handler(self, page: Page, path: str, routes: Routes, generation: Shelf) -> Handler:
        """What serves a page. Programs that ask for JSON where an address has both get that, or the API's hint."""
        for_programs = routes.serving(page.method, path, api=False)
        is_twin = routes.serving(page.method, path) is not None

        async def handle(context: RequestContext) -> web.StreamResponse:
            if (for_programs is not None or is_twin) and not wants_page(context):
                if for_programs is None:
                    raise routes.unknown(context.request.rel_url.raw_path)
                answer: web.StreamResponse = await for_programs(context)
                answer.headers["vary"] = "Accept"
                return answer
            visitor = await self._visitors.find(context)
            return await self._serve(page, self.visit(context, visitor, routes, generation))

        return handle

    async def _serve(self, page: Page, visit: Visit) -> web.StreamResponse:
        context, visitor = visit.context, visit.visitor
        if page.needs is not None and not visitor.signed_in:
            return _to_sign_in(context)
        if page.needs == "admin" and not visitor.is_admin:
            raise CallerFault("There is no such page.", status=404, code="not_found")
        if page.method == "POST":
            visit.form = await _read_form(context, visitor)
        answer = await page.handle(visit)
        if isinstance(answer, web.StreamResponse):
            if not answer.prepared:
                for name, value in PAGE_HEADERS.items():
                    answer.headers.setdefault(name, value)
                answer.headers.setdefault("cache-control", _PERSONAL)
            return answer
        return await self.render(visit, page.template, answer, status=visit.status)

    def visit(self, context: RequestContext, visitor: Visitor, routes: Routes, generation: Shelf) -> Visit:
        """What a handler knows of this request."""
        cookies = context.request.cookies
        theme, language = cookies.get(THEME_COOKIE, ""), cookies.get(LANGUAGE_COOKIE, "")
        return Visit(
            context=context,
            visitor=visitor,
            base_url=own_address(context.request, context.runtime.config.server),
            shelf=self._shelf,
            generation=generation,
            routes=routes,
            flash=unquote(cookies.get(FLASH_COOKIE, "")),
            theme=theme if theme in ("light", "dark") else "",
            language=language if language in LANGUAGES else LANGUAGES[0],
        )

    async def render(
        self, visit: Visit, template: str, values: Mapping[str, Any], *, status: int = 200
    ) -> web.Response:
        """A page from its template and the template's variables."""
        templates = await self._shelf.get(Templates)
        body = templates.render(
            template,
            {
                "visit": visit,
                "site": visit.config.console,
                "money": Money(visit.config),
                **values,
            },
        )
        # A page with a session's token and something a stranger may choose is not compressed: from its size, byte by
        # byte, the token could be guessed (the attack called BREACH).
        personal = visit.visitor.signed_in or visit.visitor.csrf != "" or visit.flash != ""
        response = send(
            visit.context,
            body,
            kind=HTML,
            cache=_PERSONAL if personal else _OPEN,
            packed=None if personal else pack(body),
            status=status,
            etag="" if personal else etag_of(body),
            vary=_VARY,
        )
        if visit.flash:
            response.del_cookie(FLASH_COOKIE, path="/")
        return response

    async def find_visitor(self, context: RequestContext) -> Visitor:
        """Who asks, for a page about a fault: when that cannot be found out either, a stranger."""
        try:
            return await self._visitors.find(context)
        except Exception as error:  # the page about the first fault must come out, whatever else is broken
            context.gateway.log.warning("the visitor of a page is not known: %r", error)
            return Stranger()

    async def _send_asset(self, context: RequestContext) -> web.StreamResponse:
        templates = await self._shelf.get(Templates)
        return templates.assets.answer(context)


class _ErrorPages:
    """Shows faults to people."""

    def __init__(self, console: Console, routes: Routes, generation: Shelf) -> None:
        self._console = console
        self._routes = routes
        self._generation = generation

    async def show(self, context: RequestContext, fault: Fault) -> web.StreamResponse | None:
        """A page about the fault; None where a program asks, or where the API lives."""
        if not wants_page(context) or not self._is_ours(context):
            return None
        try:
            visitor = await self._console.find_visitor(context)
            visit = self._console.visit(context, visitor, self._routes, self._generation)
            shown = {"fault": fault, "request_id": context.id}
            response = await self._console.render(visit, "error.html", shown, status=fault.status)
        except Exception:  # JSON is better than nothing, and the log tells what is wrong with the page
            context.gateway.log.exception("the page about a fault failed", extra={"request_id": context.id})
            return None
        response.headers["cache-control"] = _PERSONAL
        for name, value in fault.headers.items():
            response.headers.setdefault(name, value)
        if fault.headers.get("connection") == "close":
            response.force_close()
        return response

    def _is_ours(self, context: RequestContext) -> bool:
        if context.template:
            return self._routes.is_page(context.template)
        path = context.request.rel_url.raw_path
        return not path.startswith(self._routes.prefixes)


def wants_page(context: RequestContext) -> bool:
    """Whether a browser asks: those name HTML, which programs do not."""
    return "text/html" in context.request.headers.get("Accept", "").lower()


def _to_sign_in(context: RequestContext) -> web.Response:
    """To the sign-in page, and from there back."""
    back = context.request.rel_url.raw_path_qs if context.request.method in ("GET", "HEAD") else "/"
    location = f"/login?next={quote(back, safe='')}"
    return web.Response(status=303, headers={**context.headers(), "location": location, "cache-control": _PERSONAL})


async def _read_form(context: RequestContext, visitor: Visitor) -> MultiMapping[str]:
    """The fields of a form that was sent from a page of ours, by the one to whom it was shown.

    Raises CallerFault 403 for any other, and 400, 408, 413, 415."""
    if not is_own_origin(context.request, context.runtime.config.server):
        raise CallerFault("This form was not sent from a page of this gateway.", status=403, code="wrong_origin")
    raw = await read_body(context.request, _FORM_LIMITS, types=(_FORM,))
    try:
        fields = parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise CallerFault("The form cannot be read.", code="bad_form") from error
    form = MultiDict(fields)
    if visitor.csrf and not hmac.compare_digest(form.get("csrf", "").encode(), visitor.csrf.encode()):
        raise CallerFault(
            "This form is out of date. Load the page again and send it once more.", status=403, code="bad_csrf_token"
        )
    return form
