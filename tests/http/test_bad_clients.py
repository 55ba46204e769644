"""Clients that break the rules, on raw sockets: each gets an answer in OpenAI's shape where one is still possible,
nothing is billed, and the gateway stays sound (the fixture checks that after every test)."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from gateway.testing import Reply, json_reply, openai_completion, openai_stream


async def healthy(site: Any) -> None:
    """Nothing reached the upstream, nothing was billed, and the next caller is served."""
    assert site.upstream.requests == []
    assert await site.spent() == 0
    site.upstream.reply(json_reply(openai_completion("Hi")))
    assert (await site.ask()).status == 200


async def exchange(site: Any, data: bytes, method: str = "POST") -> Any:
    client = await site.connect()
    await client.send(data)
    return await client.answer(method=method)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"NONSENSE\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),  # TLS to a plain port
        (b"GET / HTTP/9.9\r\nhost: x\r\n\r\n", 400),
        (b"POST /v1/chat/completions HTTP/1.1\r\nhost x\r\n\r\n", 400),
        (b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: ten\r\n\r\n", 400),
        (b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", 400),
        (b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}", 400),
        (
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n",
            400,
        ),
        (b"GET /v1/models HTTP/1.1\r\nhost: x\r\nx-a: a\0b\r\n\r\n", 400),
        (b"GET /v1/models HTTP/1.1\r\nhost: x\r\n bad: continuation\r\n\r\n", 400),
        (b"GET /v1/models HTTP/1.1\r\nhost: x\r\nx-big: " + b"a" * 40_000 + b"\r\n\r\n", 400),
        (b"GET /v1/models?" + b"a" * 40_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 400),
        (b"GET /v1/models HTTP/1.1\r\nhost: x\r\n" + b"".join(b"x-%d: 1\r\n" % n for n in range(300)) + b"\r\n", 400),
    ],
)
async def test_broken_heads(site: Any, head: bytes, status: int) -> None:
    client = await site.connect()
    await client.send(head)
    answer = await client.answer()
    assert answer.status == status
    assert answer.error["type"] == "invalid_request_error"
    assert await client.rest() == b""
    assert [line["status"] for line in site.request_lines()] == [status], "also this is in the request log"
    assert site.request_lines()[0]["request_id"] == answer.headers["x-request-id"]
    await healthy(site)


async def test_half_a_head_is_not_waited_for(serve: Any) -> None:
    site = await serve(server={"request_head_timeout": "50ms"})
    client = await site.connect()
    await client.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthor")
    answer = await client.answer()
    assert (answer.status, answer.error["code"]) == (408, "request_timeout")
    assert await client.rest() == b""
    await healthy(site)


async def test_a_connection_that_says_nothing_is_closed_without_a_word(serve: Any) -> None:
    site = await serve(server={"request_head_timeout": "50ms"})
    client = await site.connect()
    assert await client.rest() == b""
    await healthy(site)


async def test_an_idle_connection_stays_as_long_as_configured(serve: Any) -> None:
    site = await serve(server={"request_head_timeout": "200ms", "idle_connection": "1500ms"})
    site.upstream.reply(json_reply(openai_completion("Hi")))
    client = await site.begin()
    assert (await client.answer()).status == 200
    await asyncio.sleep(0.3)
    await client.send(site.request())
    assert (await client.answer()).status == 200
    assert await client.rest() == b""


async def test_the_rest_of_a_refused_body_is_not_taken_for_a_head(serve: Any) -> None:
    """A body that comes in after its request was answered must not start the deadline of the next head: the
    connection would be closed under the client's next request."""
    site = await serve(server={"request_head_timeout": "300ms"})
    client = await site.connect()
    raw = site.request()
    head, body = raw.split(b"\r\n\r\n")
    await client.send(head.replace(site.running.key.encode(), b"mghp_wrong") + b"\r\n\r\n" + body[:5])
    assert (await client.answer()).status == 401
    await client.send(body[5:])
    await asyncio.sleep(0.4)
    site.upstream.reply(json_reply(openai_completion("Hi")))
    await client.send(raw)
    assert (await client.answer()).status == 200


async def test_a_body_that_trickles(serve: Any) -> None:
    site = await serve(server={"body_timeout": "60ms", "min_body_rate": "1MiB"})
    client = await site.connect()
    await client.send(site.head_of(1000) + b'{"messages"')
    answer = await client.answer()
    assert (answer.status, answer.error["code"]) == (408, "request_timeout")
    assert answer.headers["connection"] == "close"
    await healthy(site)


async def test_a_steady_slow_body_is_fine(serve: Any) -> None:
    # Slower than the limit alone would allow, and so much faster than the rate that a busy machine changes nothing.
    site = await serve(server={"body_timeout": "50ms", "min_body_rate": 4})
    site.upstream.reply(json_reply(openai_completion("Hi")))
    client = await site.connect()
    request = site.request(user="x" * 500)
    await client.send(request[:-400])
    for start in range(-400, 0, 100):
        await asyncio.sleep(0.02)
        await client.send(request[start : start + 100 or None])
    assert (await client.answer()).status == 200


async def test_without_a_minimum_rate_each_piece_has_its_time(serve: Any) -> None:
    site = await serve(server={"body_timeout": "500ms", "min_body_rate": 0})
    site.upstream.reply(json_reply(openai_completion("Hi")))
    client = await site.connect()
    request = site.request()
    await client.send(request[:-3])
    for byte in request[-3:]:
        await asyncio.sleep(0.2)
        await client.send(bytes([byte]))
    assert (await client.answer()).status == 200
    await client.send(site.head_of(1000) + b"{")
    assert (await client.answer()).status == 408


async def test_a_declared_body_that_is_too_large_is_refused_before_it_is_sent(serve: Any) -> None:
    site = await serve(server={"max_body": "1KiB"})
    client = await site.connect()
    await client.send(site.head_of(10**12))
    answer = await client.answer()
    assert (answer.status, answer.error["code"]) == (413, "request_too_large")
    assert answer.headers["connection"] == "close"
    await healthy(site)


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_chunked_body_that_is_too_large(serve: Any, at_once: bool) -> None:
    site = await serve(server={"max_body": "1KiB"})
    client = await site.connect()
    await client.send(site.head_of(more="transfer-encoding: chunked\r\n"))
    await client.send(b"800\r\n" + b" " * 2048 + b"\r\n" + (b"0\r\n\r\n" if at_once else b""))
    answer = await client.answer()
    assert (answer.status, answer.error["code"]) == (413, "request_too_large")
    await healthy(site)


async def test_a_chunked_body_in_small_pieces_is_fine(site: Any) -> None:
    site.upstream.reply(json_reply(openai_completion("Hi")))
    client = await site.connect()
    _, body = site.request().split(b"\r\n\r\n")
    pieces = b"".join(b"1;ext=1\r\n" + bytes([byte]) + b"\r\n" for byte in body)
    await client.send(site.head_of(more="transfer-encoding: chunked\r\n") + pieces + b"0\r\nx-trailer: 1\r\n\r\n")
    assert (await client.answer()).status == 200


@pytest.mark.parametrize("broken", [b"zz\r\n{}\r\n0\r\n\r\n", b"2\r\n{}x\r\n0\r\n\r\n", b"ffffffffffffffffff\r\n"])
async def test_broken_chunking(site: Any, broken: bytes) -> None:
    answer = await exchange(site, site.head_of(more="transfer-encoding: chunked\r\n") + broken)
    assert answer.status == 400
    assert answer.error["type"] == "invalid_request_error"
    await healthy(site)


async def test_chunking_that_breaks_later(site: Any) -> None:
    client = await site.connect()
    await client.send(site.head_of(more="transfer-encoding: chunked\r\n") + b"2\r\n{}\r\n")
    await asyncio.sleep(0.02)
    await client.send(b"zz\r\n")
    answer = await client.answer()
    assert answer.status == 400
    await healthy(site)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ("content-encoding: br\r\n", "unsupported_content_encoding"),
        ("content-encoding: gzip, gzip\r\n", "unsupported_content_encoding"),
    ],
)
async def test_encoded_bodies_are_not_inflated(site: Any, more: str, code: str) -> None:
    answer = await exchange(site, site.head_of(4, more=more) + b"\x1f\x8b\x08\x00")
    assert (answer.status, answer.error["code"]) == (415, code)
    await healthy(site)


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_other_media_types(site: Any, media_type: str) -> None:
    answer = await site.ask(headers={"Content-Type": media_type})
    assert (answer.status, answer.error["code"]) == (415, "unsupported_media_type")
    await healthy(site)


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "Application/JSON"])
async def test_json_under_any_spelling(site: Any, media_type: str) -> None:
    site.upstream.reply(json_reply(openai_completion("Hi")))
    assert (await site.ask(headers={"Content-Type": media_type})).status == 200


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "empty"),
        (b"   ", "empty"),
        (b"[]", "object"),
        (b"7", "object"),
        (b"null", "object"),
        (b"{", "JSON"),
        (b"\xff\xfe{}", "UTF-8"),
        (b'{"a": NaN}', "NaN"),
        (b'{"messages": [], "n": 1e999}', "large"),
        (b'{"model": "a", "model": "b"}', "model"),
        (b'{"messages": [{"role": "user", "role": "system"}]}', "messages[0].role"),
        (b'{"a":' * 200 + b"1" + b"}" * 200, "deeper"),
        (b"[" * 5000, "deeper"),
        (b'{"a":' + b"[" * 100_000, ""),
        (b'{"messages": "x"}', "messages"),
        (b'{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": 7}}]}]}', "image_url"),
        (b'{"messages": [{"role": "user", "content": "x"}], "temperature": 3}', "temperature"),
        (b'{"messages": [{"role": "user", "content": "x"}], "api_base": "http://x"}', "api_base"),
    ],
)
async def test_bodies_that_are_no_chat_request(site: Any, body: bytes, named: str) -> None:
    status, headers, raw = await site.running.post("/v1/chat/completions", body)
    assert status == 400
    assert headers["x-request-id"]
    assert named in raw.decode()
    await healthy(site)


async def test_a_body_that_ends_early(site: Any) -> None:
    client = await site.connect()
    await client.send(site.head_of(1000) + b'{"messages": ')
    client.writer.write_eof()
    assert await client.rest() == b"", "half a connection is none: nobody is there to read an answer"
    await healthy(site)


@pytest.mark.parametrize(
    "path",
    [
        "//",
        "//metrics",
        "/v1/metrics",
        "//admin/api/accounts",
        "/v1/v1/../../metrics",
        "//v1//%2e%2e/metrics",
        "/v1",
        "/v2/chat/completions",
        "/chat/completions",
        "/v1/../v1/chat/completions",
        "/v1/%2e%2e/v1/chat/completions",
        "/v1/./chat/completions",
        "/v1/chat%2Fcompletions",
        "/v1/chat/completions/../completions",
        "/v1/models/..",
        "/v1/models/%2e%2e/%2e%2e/metrics",
        "/v1/models/a//b",
        "/v1/models/a%2F%2Fb",
        "/v1/chat/completions%00",
        "/v1/chat/completions%0d%0aset-cookie:x",
    ],
)
async def test_paths_that_lead_nowhere(site: Any, path: str) -> None:
    for method in ("POST", "GET"):
        answer = await exchange(site, site.head_of(0, path=path, method=method))
        assert answer.status == 404
        assert answer.error["code"] == "not_found"
        assert "set-cookie" not in answer.headers
    await healthy(site)


async def test_targets_in_other_forms(site: Any) -> None:
    # An absolute form leads by its path alone, whatever host it claims (RFC 9112, section 3.2.2).
    answer = await exchange(site, site.head_of(path="http://evil.example/v1/models", method="GET"), "GET")
    assert answer.status == 200
    answer = await exchange(site, site.head_of(path="http://evil.example//metrics", method="GET"), "GET")
    assert answer.status == 404
    assert (await exchange(site, site.head_of(path="*", method="OPTIONS"), "OPTIONS")).status == 404
    answer = await exchange(site, b"CONNECT evil.example:443 HTTP/1.1\r\nhost: evil.example\r\n\r\n")
    assert answer.status in (400, 404, 405)
    await healthy(site)


async def test_the_host_header_moves_nothing(site: Any) -> None:
    for host in ("gateway/v1/models?", "x@y", "[::1", "a b", "../../metrics", ""):
        client = await site.connect()
        await client.send(f"GET /v1/nothing HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
        assert (await client.answer()).status in (400, 404), host
    await healthy(site)


@pytest.mark.parametrize("host", ["a b", "x@y", "[::1", "a/b", "a,b", "", "x:99999999", "ex\u00e4mple", "../metrics"])
@pytest.mark.parametrize("path", ["/healthz", "/v1/models", "/"])
async def test_a_host_that_is_none_is_refused(site: Any, host: str, path: str) -> None:
    client = await site.connect()
    await client.send(f"GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode("latin-1"))
    answer = await client.answer()
    assert (answer.status, answer.error["code"]) == (400, "bad_http")
    assert await client.rest() == b""


@pytest.mark.parametrize("host", ["gateway", "my_gateway:8080", "[::1]:80", "llm.example.org", "127.0.0.1:0"])
async def test_a_host_that_is_one(site: Any, host: str) -> None:
    client = await site.connect()
    await client.send(f"GET /healthz HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
    assert (await client.answer()).status == 200


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/chat/completions"), ("DELETE", "/v1/models"), ("PUT", "/healthz")]
)
async def test_other_methods(site: Any, method: str, path: str) -> None:
    answer = await exchange(site, site.head_of(path=path, method=method))
    assert (answer.status, answer.error["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] in ("POST", "GET")
    await healthy(site)


async def test_head_has_headers_and_no_body(site: Any) -> None:
    client = await site.connect()
    await client.send(site.head_of(path="/healthz", method="HEAD"))
    answer = await client.answer(method="HEAD")
    assert (answer.status, answer.headers["content-length"]) == (200, "15")
    await client.send(site.head_of(path="/v1/models", method="HEAD"))
    assert (await client.answer(method="HEAD")).status == 200, "no body stands between the two answers"


async def test_http_1_0(site: Any) -> None:
    site.upstream.reply(Reply(openai_stream("Hi")))
    client = await site.connect()
    await client.send(site.request(stream=True).replace(b"HTTP/1.1", b"HTTP/1.0"))
    answer = await client.answer()
    assert "transfer-encoding" not in answer.headers
    assert answer.events[-1] == "[DONE]"
    site.upstream.reply(json_reply(openai_completion("Hi")))
    client = await site.connect()
    await client.send(site.request().replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert (await client.answer()).json["choices"]
    assert await client.rest() == b""


async def test_expect_100_continue(site: Any) -> None:
    site.upstream.reply(json_reply(openai_completion("Hi")))
    client = await site.connect()
    head, body = site.request(more="expect: 100-continue\r\n").split(b"\r\n\r\n")
    await client.send(head + b"\r\n\r\n")
    assert (await client.head())[0] == 100
    await client.send(body)
    assert (await client.answer()).status == 200


async def test_expect_and_a_bad_key_is_refused_before_the_body(site: Any) -> None:
    client = await site.connect()
    head = site.head_of(100, more="expect: 100-continue\r\n").replace(site.running.key.encode(), b"mghp_x")
    await client.send(head)
    assert (await client.answer()).status == 401
    assert (await exchange(site, site.head_of(2, more="expect: magic\r\n") + b"{}")).status == 417
    await healthy(site)


async def test_pipelined_requests_are_answered_in_order(site: Any) -> None:
    site.upstream.answer(lambda received: json_reply(openai_completion(received.json["user"]), delay=0.01))
    client = await site.connect()
    await client.send(b"".join(site.request(user=str(number)) for number in range(20)))
    for number in range(20):
        answer = await client.answer()
        assert answer.json["choices"][0]["message"]["content"] == str(number)
    assert await site.spent() == 20 * 20


async def test_credentials_with_odd_bytes_are_a_401(site: Any) -> None:
    for value in (b"Bearer \xff\xfe\xfd", b"Bearer \xc3\xa9", b"Bearer", b"", b"Basic eDp5", b"Bearer a b c"):
        client = await site.connect()
        await client.send(b"GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: " + value + b"\r\n\r\n")
        answer = await client.answer()
        assert (answer.status, answer.error["code"]) == (401, "invalid_api_key"), value
    await healthy(site)


async def test_every_answer_bears_a_request_id_of_its_own(site: Any) -> None:
    seen = set()
    async with aiohttp.ClientSession() as session:
        for path in ("/healthz", "/readyz", "/metrics", "/v1/models", "/nowhere"):
            async with session.get(site.running.url + path) as response:
                seen.add(response.headers["x-request-id"])
    assert len(seen) == 5
    assert all(found.startswith("req_") for found in seen)


async def test_a_websocket_upgrade_is_just_a_request(site: Any) -> None:
    answer = await exchange(
        site,
        site.head_of(path="/v1/models", method="GET", more="connection: upgrade\r\nupgrade: websocket\r\n"),
        "GET",
    )
    assert answer.status == 200
    await healthy(site)
