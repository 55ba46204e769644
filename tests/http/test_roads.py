"""Roads that clients and browsers try: CORS, probes, WebSockets, slips in the base URL, keys in other headers."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from gateway.testing import Reply, RunningGateway, json_reply, openai_completion, openai_stream, usage

from .conftest import CHAT, HELLO, Answer

FINE = json_reply(openai_completion("Hi", reported=usage(10, 2)))
PAGE = "http://localhost:3000"
OPEN = "access-control-allow-origin"


async def send(site: Any, method: str, path: str, headers: dict[str, str], body: Any = None) -> Answer:
    raw = b"" if body is None else orjson.dumps(body)
    head = f"{method} {path} HTTP/1.1\r\nhost: gateway\r\ncontent-length: {len(raw)}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    client = await site.connect()
    await client.send(head.encode() + b"\r\n" + raw)
    answer: Answer = await client.answer(method=method)
    return answer


def preflight(origin: str) -> dict[str, str]:
    return {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
    }


async def allow(running: RunningGateway, origins: list[str]) -> None:
    config = orjson.loads(await asyncio.to_thread(running.config_path.read_bytes))
    config["server"] = {**config.get("server", {}), "cors_origins": origins}
    await asyncio.to_thread(running.config_path.write_bytes, orjson.dumps(config))
    await running.gateway.reload()


def key_of(site: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {site.running.key}", "content-type": "application/json"}


@pytest.mark.parametrize(
    ("origins", "origin", "found"),
    [
        (None, PAGE, PAGE),
        (None, "http://127.0.0.1", "http://127.0.0.1"),
        (None, "https://evil.example", None),
        (None, "http://localhost.evil.example:3000", None),
        (None, "http://localhost:x", None),
        (None, "https://localhost:3000", None),
        ([], PAGE, None),
        (["https://app.example.org"], "https://app.example.org", "https://app.example.org"),
        (["https://app.example.org"], "https://app.example.org:8443", None),
        (["https://app.example.org"], PAGE, None),
        (["*"], "https://evil.example", "*"),
    ],
)
async def test_which_pages_may_call(serve: Any, origins: list[str] | None, origin: str, found: str | None) -> None:
    site = await serve()
    if origins is not None:
        await allow(site.running, origins)
    asked = await send(site, "OPTIONS", CHAT, preflight(origin))
    assert asked.headers.get(OPEN) == found
    assert "access-control-allow-credentials" not in asked.headers
    if found is None:
        assert (asked.status, asked.error["code"]) == (403, "origin_not_allowed")
        assert "server.cors_origins" in asked.error["message"]
    else:
        assert asked.status == 204
        assert "POST" in asked.headers["access-control-allow-methods"]
        assert asked.headers["access-control-allow-headers"] == "authorization,content-type"
    models = await send(site, "GET", "/v1/models", {**key_of(site), "origin": origin})
    assert models.status == 200
    assert models.headers.get(OPEN) == found
    refused = await send(site, "GET", "/v1/models", {"origin": origin})
    assert (refused.status, refused.headers.get(OPEN)) == (401, found), "a page must be able to read its errors"


async def test_streams_carry_the_origin_too(serve: Any) -> None:
    site = await serve()
    site.upstream.reply(Reply(openai_stream("Hi")))
    answer = await send(
        site, "POST", CHAT, {**key_of(site), "origin": PAGE}, {"messages": HELLO, "model": "fake/model", "stream": True}
    )
    assert answer.headers[OPEN] == PAGE
    assert answer.headers["access-control-expose-headers"] == "*"


@pytest.mark.parametrize("path", ["/metrics", "/admin/api/accounts", "/account/topups", "/healthz"])
async def test_what_no_page_may_read(serve: Any, path: str) -> None:
    site = await serve()
    await allow(site.running, ["*"])
    assert OPEN not in (await send(site, "GET", path, {**key_of(site), "origin": PAGE})).headers
    asked = await send(site, "OPTIONS", path, preflight(PAGE))
    assert OPEN not in asked.headers
    assert asked.status == 405


async def test_the_root(serve: Any) -> None:
    site = await serve()
    answer = await send(site, "GET", "/", {})
    assert answer.status == 200
    assert answer.json["api"] == ["/v1", "/api/v1"]
    head = await send(site, "HEAD", "/", {})
    assert (head.status, head.body) == (200, b"")
    assert (await send(site, "POST", "/", {})).status == 405


@pytest.mark.parametrize("path", ["/v1/responses", "/api/v1/responses", "/v1/chat/completions"])
async def test_a_websocket_is_told_to_use_http(serve: Any, path: str) -> None:
    site = await serve()
    headers = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
    answer = await send(site, "GET", path, headers)
    assert (answer.status, answer.error["code"]) == (426, "websocket_not_supported")
    assert (await send(site, "GET", path, {})).status == 405


@pytest.mark.parametrize(
    "path",
    [
        "//v1/chat/completions",
        "/v1//chat/completions",
        "/v1/v1/chat/completions",
        "/api/v1/v1//chat/completions",
        "//v1//api/v1/chat/completions/",
        "/v1/chat/completions/",
    ],
)
async def test_slips_in_a_base_url(serve: Any, path: str) -> None:
    site = await serve()
    site.upstream.reply(FINE)
    answer = await send(site, "POST", path, key_of(site), {"messages": HELLO, "model": "fake/model"})
    assert answer.status == 200
    models = path.replace("chat/completions", "models").rstrip("/")
    assert (await send(site, "GET", models, key_of(site))).json["object"] == "list"
    assert (await send(site, "GET", models + "/fake/model", key_of(site))).json["id"] == "fake/model"


async def test_a_forgotten_prefix_is_named(serve: Any) -> None:
    site = await serve()
    answer = await send(site, "POST", "/chat/completions", key_of(site))
    assert answer.status == 404
    assert "Did you mean '/v1/chat/completions'?" in answer.error["message"]


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/v1/responses"])
@pytest.mark.parametrize("header", ["x-api-key", "x-goog-api-key", "api-key"])
async def test_our_key_counts_wherever_it_stands(serve: Any, path: str, header: str) -> None:
    site = await serve()
    method, body = ("GET", None) if path == "/v1/models" else ("POST", {"model": "no/such"})
    for foreign in ({}, {"authorization": "Bearer sk-of-another-service"}, {"authorization": "Basic eDp5"}):
        headers = {"content-type": "application/json", **foreign}
        assert (await send(site, method, path, headers, body)).status == 401
        assert (await send(site, method, path, {**headers, header: "sk-foreign"}, body)).status == 401
        known = await send(site, method, path, {**headers, header: site.running.key}, body)
        assert known.status != 401
    broken = {"content-type": "application/json", "authorization": "Bearer mghp_mistyped", header: site.running.key}
    assert (await send(site, method, path, broken, body)).status == 401, "the first of ours counts"


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("anthropic-version", lambda body: body["type"] == "error" and body["error"]["type"] == "not_found_error"),
        ("x-goog-api-client", lambda body: body["error"]["status"] == "NOT_FOUND"),
    ],
)
async def test_a_client_is_told_in_its_own_words_what_is_not_here(serve: Any, header: str, told: Any) -> None:
    """Batches and files of theirs have paths that lead nowhere here, or to OpenAI's objects, which are others."""
    site = await serve()
    for path in ("/v1/messages/batches", "/v1beta/cachedContents", "/v1/files", "/v1/batches/one"):
        answer = await send(site, "GET", path, {**key_of(site), header: "1"})
        assert answer.status == 404
        assert told(answer.json)
    assert (await send(site, "GET", "/v1/files", key_of(site))).json["object"] == "list"


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/v1beta/files/one", lambda body: body["error"]["status"] == "NOT_FOUND"),
        ("/v1alpha/files/one", lambda body: body["error"]["status"] == "NOT_FOUND"),
        ("/v1beta/operations", lambda body: body["error"]["status"] == "NOT_FOUND"),
        ("/api/v1/messages/batches", lambda body: body["error"]["type"] == "not_found_error"),
        ("/v1/messagesbatches", lambda body: body["error"]["code"] == "not_found"),
    ],
)
async def test_a_path_that_one_dialect_has_tells_whose_client_asks(serve: Any, path: str, told: Any) -> None:
    """Clients that are no SDK send none of its headers."""
    site = await serve()
    for method in ("GET", "POST", "DELETE"):
        answer = await send(site, method, path, key_of(site))
        assert answer.status == 404
        assert told(answer.json)
