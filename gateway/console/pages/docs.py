"""The documentation: GET /docs, its pages, their search, and the reference of the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway import __version__
from gateway.console.answers import send
from gateway.console.docs import Book
from gateway.console.highlight import fill
from gateway.console.page import Answer, Visit, page
from gateway.console.reference import Reference
from gateway.errors import CallerFault
from gateway.http import web
from gateway.http.routes import Routes
from gateway.wire.openapi import document

_LONGEST_QUERY = 200


@page("GET", "/docs", template="docs_page.html")
async def overview(visit: Visit) -> Answer:
    """The first page, or what a search found: `?q=` (scripts search by themselves)."""
    query = visit.query.get("q", "").strip()[:_LONGEST_QUERY]
    if not query:
        return await _shown(visit, "")
    book = await visit.shelf.get(Book)
    return {"book": book, "name": None, "query": query, "found": book.search(query)}


@page("GET", "/docs/{name}", template="docs_page.html")
async def doc(visit: Visit) -> Answer:
    """One page. Raises CallerFault 404."""
    return await _shown(visit, visit.values["name"])


@page("GET", "/docs/index/{version}")
async def index(visit: Visit) -> web.StreamResponse:
    """The words of all pages as JSON, for the search in the browser: `[[address, page, heading, text], ...]`."""
    book = await visit.shelf.get(Book)
    current = visit.values["version"] == book.version
    cache = "public, max-age=31536000, immutable" if current else "no-cache"
    return send(visit.context, book.index, kind="application/json", cache=cache, packed=book.packed_index)


@page("GET", "/docs/reference", template="reference.html")
async def reference(visit: Visit) -> Answer:
    """All operations of the API by their tags."""
    return {**await _reference(visit), "tag": None, "query": ""}


@page("GET", "/docs/reference/{tag}", template="reference.html")
async def reference_tag(visit: Visit) -> Answer:
    """The operations of one tag. Raises CallerFault 404."""
    values = await _reference(visit)
    tag = values["reference"].tags.get(visit.values["tag"])
    if tag is None:
        raise _missing()
    return {**values, "tag": tag, "query": ""}


async def _shown(visit: Visit, name: str) -> Mapping[str, Any]:
    from markupsafe import Markup

    book = await visit.shelf.get(Book)
    written = book.pages.get(name)
    if written is None or (name == "" and visit.path.rstrip("/") != "/docs"):
        raise _missing()
    html = fill(written.html, base_url=visit.base_url, language=visit.language)
    before, after = book.around(name)
    return {
        "book": book,
        "name": name,
        "query": "",
        "title": written.title,
        "body": Markup(html),
        "sections": [section for section in written.sections if section.level == 2],
        "before": before,
        "after": after,
    }


async def _reference(visit: Visit) -> dict[str, Any]:
    book = await visit.shelf.get(Book)
    return {"book": book, "name": "reference", "reference": await visit.generation.get(_read_routes, visit.routes)}


def _read_routes(routes: Routes) -> Reference:
    return Reference(document(routes.documented(), title="Tollgate", version=__version__, prefixes=routes.prefixes))


def _missing() -> CallerFault:
    return CallerFault("There is no such page.", status=404, code="not_found")


PAGES = (overview, doc, index, reference, reference_tag)
