"""What a gateway serves before anything but chat completions was asked for is what it serves afterwards."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest

from gateway.api import hookimpl
from gateway.http.routes import FirstRoutes, Routes
from gateway.http.server import app as app_module
from gateway.testing import json_reply, openai_completion, running_gateway, upstream_config, usage

from .conftest import CHAT, HELLO

FINE = json_reply(openai_completion("Hi", reported=usage(10, 2)))


class Waiting:
    """A plugin whose routes say that they replace none of the first."""

    routes_can_wait = True

    @hookimpl
    def register_routes(self, router: Any) -> None:
        async def answer(context: Any) -> Any:
            return context.json({"from": "plugin"})

        router.add("GET", "/mine", answer)


class Replacing:
    """A plugin that says nothing of the kind, and answers chats itself."""

    @hookimpl
    def register_routes(self, router: Any) -> None:
        async def answer(context: Any) -> Any:
            return context.json({"from": "plugin"})

        router.add("POST", "/chat/completions", answer)


def table(running: Any) -> Routes:
    found: Routes = running.gateway.runtime.routes
    return found


async def test_chats_and_probes_need_only_the_first(site: Any) -> None:
    for path in ("/healthz", "/readyz"):
        assert (await site.get(path)).status == 200
    site.upstream.reply(FINE)
    assert (await site.ask()).status == 200
    refused, _, _ = await site.running.post(CHAT, {"messages": HELLO}, key="mghp_of_nobody")
    assert refused == 401
    assert isinstance(table(site.running), FirstRoutes)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/models", 200),
        ("GET", "/v1/no/such/path", 404),
        ("GET", CHAT, 405),
        ("POST", "/v1//chat/completions", 200),
        ("POST", "/v1/v1/chat/completions", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/login", 200),
    ],
)
async def test_any_other_path_is_answered_by_the_whole_table(site: Any, method: str, path: str, status: int) -> None:
    site.upstream.reply(FINE)
    if method == "POST":
        first, _, _ = await site.running.post(path, {"messages": HELLO})
    else:
        first = (await site.get(path)).status
    assert first == status
    assert table(site.running).whole


HTML = "accept: text/html\r\nhost: gateway\r\n\r\n"


async def test_people_are_shown_pages_about_faults_from_the_first_request(serve: Any) -> None:
    site = await serve(metrics={"token": "a-secret-of-the-operator"})
    client = await site.connect()
    await client.send(b"GET /metrics HTTP/1.1\r\n" + HTML.encode())
    assert (await client.answer(method="GET")).error["code"] == "invalid_api_key"
    assert isinstance(table(site.running), FirstRoutes), "what programs ask for needs no page"
    await client.send(b"GET /no/such/page HTTP/1.1\r\n" + HTML.encode())
    answer = await client.answer(method="GET")
    assert (answer.status, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")


async def test_a_fault_before_any_route_is_a_page_too(site: Any) -> None:
    await site.get("/healthz")
    client = await site.connect()
    await client.send(b"GET / HTTP/1.1\r\nauthorization: a\r\nauthorization: b\r\n" + HTML.encode())
    answer = await client.answer(method="GET")
    assert (answer.status, answer.headers["content-type"]) == (400, "text/html; charset=utf-8")


async def test_the_table_is_built_once_and_aside(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[int] = []
    build = app_module.build_routes

    def spy(*arguments: Any) -> Any:
        built.append(threading.get_ident())
        return build(*arguments)

    monkeypatch.setattr(app_module, "build_routes", spy)
    answers = await asyncio.gather(*(site.get("/v1/models") for _ in range(4)))
    assert [answer.status for answer in answers] == [200] * 4
    assert len(built) == 1
    assert built[0] != threading.get_ident()


async def test_what_fails_once_is_tried_again(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    build, left = app_module.build_routes, [OSError("too many open files")]

    def fail(*arguments: Any) -> Any:
        if left:
            raise left.pop()
        return build(*arguments)

    monkeypatch.setattr(app_module, "build_routes", fail)
    assert (await site.get("/v1/models")).status == 500
    assert (await site.get("/v1/models")).status == 200
    site.noisy = True
    assert any(line["message"] == "handler failed" for line in site.log)


class Failing(Waiting):
    """A plugin whose routes cannot be had, whenever they are asked for."""

    @hookimpl
    def register_routes(self, router: Any) -> None:
        raise OSError("too many open files")


async def test_what_always_fails_spoils_no_other_answer(tmp_path: Path) -> None:
    plugins = {"failing": Failing}
    async with running_gateway(tmp_path, upstream_config("http://127.0.0.1:9/v1"), plugins=plugins) as running:
        for path in ("/v1/models", "/no/such/path"):
            status, _, body = await running.get(path)
            assert (status, b"failed to handle this request" in body) == (500, True)
        status, _, body = await running.post(CHAT, {"input": "a body for another door"})
        assert (status, b"messages" in body) == (400, True)
        assert (await running.get("/healthz"))[0] == 200


async def test_routes_that_can_wait_do(tmp_path: Path) -> None:
    config = upstream_config("http://127.0.0.1:9/v1")
    async with running_gateway(tmp_path, config, plugins={"waiting": Waiting}) as running:
        await running.get("/healthz")
        assert isinstance(table(running), FirstRoutes)
        status, _, body = await running.get("/v1/mine")
        assert (status, body) == (200, b'{"from":"plugin"}')


async def test_routes_that_do_not_say_so_are_there_at_once(tmp_path: Path) -> None:
    config = upstream_config("http://127.0.0.1:9/v1")
    async with running_gateway(tmp_path, config, plugins={"replacing": Replacing}) as running:
        status, _, body = await running.post(CHAT, {"messages": HELLO})
        assert (status, body) == (200, b'{"from":"plugin"}')
        assert table(running).whole


async def test_an_old_configuration_is_let_go(site: Any) -> None:
    for path in ("/healthz", "/v1/models", "/healthz"):
        await site.get(path)
        old = weakref.ref(site.running.gateway.runtime)
        await site.running.gateway.reload()
        await site.rest()
        gc.collect()
        assert old() is None, path
