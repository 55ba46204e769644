"""The frame of all pages: headers, static files, caching, who gets a page and who gets JSON, forms, faults."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
import pytest
from multidict import MultiDict

from gateway.console.page import Visit, page
from gateway.console.shelf import Shelf
from gateway.console.site import Console
from gateway.console.visitor import Stranger
from gateway.errors import GatewayFault
from gateway.http.routes import Routes
from gateway.testing import RunningGateway

from .conftest import Site

ADA = Stranger(signed_in=True, account_id="acc_1", name="Ada", csrf="token-of-ada")
PUBLIC = ("/",)


class Known:
    """Everybody is who the test says."""

    def __init__(self, visitor: Stranger) -> None:
        self.visitor = visitor

    async def find(self, context: Any) -> Stranger:
        return self.visitor


def put_pages(running: RunningGateway, visitor: Stranger, *pages: Any) -> None:
    """Serve pages of the test's own to this visitor, instead of the console's."""
    app = running.service.app
    shelf = Shelf(app._parts[0].__self__._shelf._made)

    class TestConsole(Console):
        def mount(self, routes: Routes, runtime: Any) -> None:
            super().mount(routes, runtime)
            for one in pages:
                for path in one.paths:
                    routes.add_page(one.method, path, self._handler(one, path, routes, Shelf()))

    app._parts = (TestConsole(Known(visitor), shelf).mount,)
    running.gateway.runtime.routes = None


@page("GET", "/test/account", template="error.html", needs="account")
async def for_accounts(visit: Visit) -> Mapping[str, Any]:
    return {"fault": GatewayFault(f"Hello {visit.visitor.name}"), "request_id": "r"}


@page("GET", "/test/admin", template="error.html", needs="admin")
async def for_admins(visit: Visit) -> Mapping[str, Any]:
    return {"fault": GatewayFault("secret of the admins"), "request_id": "r"}


@page("GET", "/test/bug")
async def with_a_bug(visit: Visit) -> Mapping[str, Any]:
    raise RuntimeError("internal <detail>")


@page("POST", "/test/form")
async def takes_a_form(visit: Visit) -> Any:
    return visit.redirect("/", say=",".join(visit.form.getall("tick")) + " <b>ümlaut</b>")


async def test_every_page_keeps_to_itself(site: Site) -> None:
    for path in (*PUBLIC, "/no-such-page"):
        seen = await site.get(path)
        policy = seen.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert seen.headers["x-content-type-options"] == "nosniff"
        assert seen.headers["x-frame-options"] == "DENY"
        assert seen.headers["referrer-policy"] == "same-origin"
        assert seen.headers["x-request-id"].startswith("req_")
        assert not re.search(r"<script(?![^>]* src=)(?![^>]* type=\"application/json\")", seen.text)
        assert not re.search(r"<style| style=| on\w+=", seen.text)
        assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", seen.text)


async def test_a_page_is_kept_by_its_etag_and_packed(site: Site) -> None:
    first = await site.get("/")
    assert first.status == 200
    assert first.headers["content-type"] == "text/html; charset=utf-8"
    assert first.headers["content-encoding"] == "gzip"
    assert first.headers["cache-control"] == "private, no-cache"
    again = await site.get("/", if_none_match=first.headers["etag"])
    assert (again.status, again.text) == (304, "")
    assert again.headers["etag"] == first.headers["etag"]
    plain = await site.get("/", accept_encoding="identity")
    assert "content-encoding" not in plain.headers
    assert plain.text == first.text
    assert "content-encoding" not in (await site.get("/", accept_encoding="gzip;q=0")).headers


async def test_static_files_have_addresses_of_their_content(site: Site) -> None:
    html = (await site.get("/")).text
    urls = set(re.findall(r'"(/static/[^"]+)"', html))
    assert {url.rsplit("/", 1)[1] for url in urls} >= {"console.css", "console.js", "icon.svg"}
    for url in urls:
        seen = await site.get(url, accept="*/*")
        assert seen.status == 200
        assert seen.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert (await site.get(url, if_none_match=seen.headers["etag"])).status == 304
        version = url.split("/")[2]
        older = await site.get(url.replace(version, "0" * 12))
        assert older.headers["cache-control"] == "no-cache"
    for wrong in ("/static/x/nope.css", "/static/x/../site.py", "/static/x/%2e%2e/site.py", "/static/x/js%2F..%2Fa.js"):
        assert (await site.get(wrong)).status == 404


async def test_modules_import_what_is_there(site: Site) -> None:
    version = re.search(r"/static/(\w+)/", (await site.get("/")).text)
    assert version
    waiting, seen = ["js/console.js", "js/api.js"], set()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        answer = await site.get(f"/static/{version[1]}/{name}", accept="*/*")
        assert answer.headers["content-type"].startswith("text/javascript"), name
        found = {"js/" + other for other in re.findall(r'from "\./([^"]+)"', answer.text)}
        waiting.extend(found - seen)
    assert "js/ui.js" in seen


async def test_the_style_sheet_is_small(site: Site) -> None:
    url = re.search(r'"(/static/[^"]+\.css)"', (await site.get("/")).text)
    assert url
    assert len((await site.get(url[1], accept_encoding="identity")).text) < 25_000


async def test_programs_get_json(site: Site) -> None:
    for accept in ("*/*", "application/json", ""):
        seen = await site.get("/", accept=accept)
        assert orjson.loads(seen.text)["object"] == "gateway"
        assert seen.headers["vary"] == "Accept"
        missing = await site.get("/nowhere", accept=accept)
        assert missing.status == 404
        assert orjson.loads(missing.text)["error"]["code"] == "not_found"
    head = await site.get("/", method="HEAD")
    assert (head.status, head.text) == (200, "")


async def test_faults_are_pages_for_people_only_outside_the_api(site: Site) -> None:
    seen = await site.get("/<script>alert(1)</script>")
    assert seen.status == 404
    assert "There is no such page" in seen.text
    assert "<script>alert" not in seen.text
    assert (await site.get("/", method="DELETE")).headers["content-type"].startswith("text/html")
    for path in ("/v1/nope", "/v1/models", "/api/v1/chat/completions", "/account/topups", "/admin/api/accounts"):
        answer = await site.get(path)
        assert answer.headers["content-type"] == "application/json", path
        assert answer.status >= 400


async def test_the_console_can_be_switched_off(open_site: Any) -> None:
    site = await open_site(console={"enabled": False})
    assert orjson.loads((await site.get("/")).text)["object"] == "gateway"
    missing = await site.get("/models")
    assert missing.status == 404
    assert missing.headers["content-type"] == "application/json"


async def test_the_operators_name_is_shown_escaped(open_site: Any) -> None:
    site = await open_site(console={"name": "A <b> & Co"})
    assert 'href="/">A &lt;b&gt; &amp; Co</a>' in (await site.get("/")).text


async def test_snippets_name_the_address_the_visitor_used(open_site: Any) -> None:
    site = await open_site()
    assert "http://llm.lan:8080/v1" in (await site.get("/", host="llm.lan:8080")).text
    for hostile in ('x"><script>', "a/b", "a b"):
        seen = await site.get("/", host=hostile)
        assert "<script>" not in seen.text.replace("<script type", "")
        assert hostile not in seen.text
    forged = await site.get("/", x_forwarded_proto="https", host="llm.lan")
    assert "http://llm.lan/v1" in forged.text


async def test_behind_a_trusted_proxy_the_scheme_is_the_outer_one(open_site: Any) -> None:
    site = await open_site(server={"trusted_proxies": ["127.0.0.1"]})
    assert "https://llm.lan/v1" in (await site.get("/", x_forwarded_proto="https", host="llm.lan")).text


async def test_choices_are_rendered_by_the_server(site: Site) -> None:
    chosen = (await site.get("/", cookie="console_theme=dark; console_code=curl")).text
    assert '<html lang="en" data-theme="dark">' in chosen
    assert re.search(r'value="curl" checked', chosen)
    odd = (await site.get("/", cookie='console_theme="><b>; console_code=<i>')).text
    assert '<html lang="en">' in odd
    assert re.search(r'value="Python" checked', odd)


async def test_who_may_see_what(site: Site) -> None:
    put_pages(site.running, Stranger(), for_accounts, for_admins)
    for path in ("/test/account", "/test/admin"):
        stranger = await site.get(path + "?a=1&b=%26")
        assert stranger.status == 303
        assert stranger.headers["location"] == f"/login?next={path.replace('/', '%2F')}%3Fa%3D1%26b%3D%2526"
    put_pages(site.running, ADA, for_accounts, for_admins)
    seen = await site.get("/test/account")
    assert "Hello Ada" in seen.text
    assert seen.headers["cache-control"] == "no-store"
    assert "etag" not in seen.headers
    assert "content-encoding" not in seen.headers  # it holds the session's token
    assert 'content="token-of-ada"' in seen.text
    hidden = await site.get("/test/admin")
    assert hidden.status == 404
    assert "secret of the admins" not in hidden.text
    put_pages(site.running, replace(ADA, is_admin=True), for_admins)
    assert "secret of the admins" in (await site.get("/test/admin")).text


async def test_a_bug_is_a_page_without_details(site: Site) -> None:
    put_pages(site.running, ADA, with_a_bug)
    seen = await site.get("/test/bug")
    assert seen.status == 500
    assert "Something failed here" in seen.text
    assert seen.headers["x-request-id"] in seen.text
    assert "internal" not in seen.text
    assert any("internal <detail>" in str(line) for line in site.running.log)
    program = await site.get("/test/bug", accept="application/json")
    assert orjson.loads(program.text)["error"]["type"] == "server_error"


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({}, "csrf=token-of-ada&tick=a&tick=b", 303),
        ({"origin": "SELF", "sec_fetch_site": "same-origin"}, "csrf=token-of-ada&tick=a&tick=b", 303),
        ({}, "csrf=wrong&tick=a", 403),
        ({}, "tick=a", 403),
        ({"origin": "https://evil.example"}, "csrf=token-of-ada&tick=a", 403),
        ({"origin": "null"}, "csrf=token-of-ada&tick=a", 403),
        ({"sec_fetch_site": "cross-site"}, "csrf=token-of-ada&tick=a", 403),
        ({"sec_fetch_site": "same-site"}, "csrf=token-of-ada&tick=a", 403),
        ({"content_type": "text/plain"}, "csrf=token-of-ada&tick=a", 415),
        ({}, "csrf=token-of-ada&" + "tick=a&" * 600, 400),
        ({}, b"csrf=token-of-ada&tick=\xff", 400),
        ({}, "csrf=token-of-ada&tick=" + "a" * 300_000, 413),
    ],
)
async def test_forms_come_from_own_pages_with_the_token(
    site: Site, headers: dict[str, str], body: Any, status: int
) -> None:
    put_pages(site.running, ADA, takes_a_form)
    sent = {name: site.running.url if value == "SELF" else value for name, value in headers.items()}
    seen = await site.get("/test/form", method="POST", body=body, **{"content_type": FORM, **sent})
    assert seen.status == status
    if status == 303:
        cookie = seen.headers["set-cookie"]
        assert "HttpOnly" in cookie
        shown = await site.get(seen.headers["location"], cookie=cookie.partition(";")[0])
        assert "a,b &lt;b&gt;ümlaut&lt;/b&gt;" in shown.text
        assert "console_said=" in shown.headers["set-cookie"]
        assert "Max-Age=0" in shown.headers["set-cookie"]


def test_a_visit_has_an_empty_form_by_default() -> None:
    assert Visit(None, ADA, "http://x", Shelf(), Shelf(), None).form == MultiDict()  # type: ignore[arg-type]
