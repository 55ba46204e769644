"""What an attacker tried and got through with, once: each of these answered 500, or was believed, or was not billed."""

from __future__ import annotations

import threading
from typing import Any

import orjson
import pytest

from gateway.stores import HoldRequest, KeySettings
from gateway.testing import json_reply, openai_completion
from gateway.wire.json_body import parse_json

from .conftest import CHAT, HELLO
from .test_logged_text import DOORS

HUGE = "0" * 20 + "9" * 30
HUGER = "0" * 20 + "9" * 5000


async def admin(site: Any, method: str, path: str, secret: bytes | None = None) -> Any:
    """A request to the admin API without a body."""
    given = site.running.gateway.admin_secret().encode() if secret is None else secret
    client = await site.connect()
    head = f"{method} /admin/api{path} HTTP/1.1\r\nhost: gateway\r\n".encode()
    await client.send(head + b"authorization: Bearer " + given + b"\r\n\r\n")
    return await client.answer(method=method)


@pytest.mark.parametrize("number", [HUGE, HUGER])
@pytest.mark.parametrize("path", ["/accounts?limit=", "/accounts/test/entries?after=", "/vouchers?after="])
async def test_pages_of_numbers_that_no_database_can_hold(site: Any, path: str, number: str) -> None:
    answer = await admin(site, "GET", path + number)
    assert answer.status == 400
    assert answer.error["param"] in ("limit", "after")


@pytest.mark.parametrize("number", ["9" * 19, "9" * 30, "9" * 5000])
async def test_a_voucher_of_an_impossible_number(site: Any, number: str) -> None:
    assert (await admin(site, "DELETE", f"/vouchers/{number}")).status == 404


async def test_admin_secrets_that_are_no_text_are_counted_as_tries(site: Any) -> None:
    statuses = [(await admin(site, "GET", "/accounts", b"mgas_\xff\xfe")).status for _ in range(21)]
    assert statuses == [401] * 20 + [429]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("days=000030" + "9" * 30, "days"),
        ("days=000030" + "9" * 5000, "days"),
        ("end=0001-01-05", "end"),
        ("start=0001-01-01&end=0001-01-02", "end"),
    ],
)
async def test_usage_of_days_outside_the_calendar(site: Any, query: str, param: str) -> None:
    answer = await site.get(f"/v1/usage?{query}")
    assert (answer.status, answer.error["param"]) == (400, param)


@pytest.mark.parametrize("header", ["authorization: Bearer other", "x-api-key: a\r\nx-api-key: b"])
@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/v1/messages", "/admin/api/accounts"])
async def test_credentials_that_stand_twice_are_refused(site: Any, path: str, header: str) -> None:
    client = await site.connect()
    await client.send(site.head_of(2, path=path, more=f"{header}\r\n") + b"{}")
    answer = await client.answer()
    assert (answer.status, answer.error["code"]) == (400, "duplicate_header")
    assert not site.upstream.requests


@pytest.mark.parametrize("coding", ["gzip, chunked", "deflate,chunked", "br , chunked"])
async def test_transfer_codings_that_nobody_undoes(site: Any, coding: str) -> None:
    client = await site.connect()
    head = site.head_of(more=f"transfer-encoding: {coding}\r\n")
    await client.send(head + b"2\r\n{}\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nhost: gateway\r\n\r\n")
    answer = await client.answer()
    assert (answer.status, answer.error["code"]) == (501, "unsupported_transfer_encoding")
    assert answer.headers["connection"] == "close"
    assert await client.rest() == b"", "what follows is not read as a request"


async def test_chunking_is_unknown_to_http_1_0(site: Any) -> None:
    client = await site.connect()
    head = site.head_of(more="transfer-encoding: chunked\r\n").replace(b"HTTP/1.1", b"HTTP/1.0")
    await client.send(head + b"2\r\n{}\r\n0\r\n\r\n")
    answer = await client.answer()
    assert (answer.status, answer.error["code"]) == (400, "bad_http")
    assert await client.rest() == b""


async def test_a_length_and_chunking_together_are_refused(site: Any) -> None:
    client = await site.connect()
    await client.send(
        site.head_of(5, more="transfer-encoding: chunked\r\n") + b"0\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n"
    )
    assert (await client.answer()).status == 400
    assert await client.rest() == b""


async def test_a_proxy_that_adds_a_second_line_of_addresses_is_believed(serve: Any) -> None:
    site = await serve(server={"trusted_proxies": ["127.0.0.1"]})
    site.upstream.reply(json_reply(openai_completion("Hi")))
    key = await site.running.new_key(KeySettings(ip_allow=("203.0.113.9",)))
    for last, status in (("198.51.100.7", 403), ("203.0.113.9", 200)):
        client = await site.connect()
        more = f"x-forwarded-for: 203.0.113.9\r\nx-forwarded-for: {last}\r\n"
        request = site.request(more=more).replace(site.running.key.encode(), key.encode())
        await client.send(request)
        assert (await client.answer()).status == status


@pytest.mark.parametrize(
    "field", ["models", "route", "fallbacks", "provider", "plugins", "preset", "Models", "context_window_fallbacks"]
)
@pytest.mark.parametrize("path", [CHAT, "/v1/responses", "/v1/embeddings"])
async def test_no_other_model_can_be_named_beside_the_model(site: Any, path: str, field: str) -> None:
    """Upstreams that are gateways obey these; the key's allow-list and the price know only `model`."""
    body = {"messages": HELLO} if path == CHAT else {"input": "Hello!"}
    status, _, raw = await site.running.post(path, {**body, field: ["other/dear"]})
    assert status == 400, raw
    assert b"forbidden_parameter" in raw
    assert not site.upstream.requests


@pytest.mark.parametrize("tier", ["priority", "fast", "Priority", "ultrafast", "\u2028"])
@pytest.mark.parametrize("path", [CHAT, "/v1/responses"])
async def test_tiers_that_cost_more_than_is_billed(site: Any, path: str, tier: str) -> None:
    body = {"messages": HELLO} if path == CHAT else {"input": "Hello!"}
    status, _, raw = await site.running.post(path, {**body, "service_tier": tier})
    assert (status, b"service_tier" in raw) == (400, True)
    assert not site.upstream.requests


async def test_the_default_tiers_travel_on(site: Any) -> None:
    site.upstream.reply(json_reply(openai_completion("Hi")))
    for tier in ("auto", "default", "flex", None):
        assert (await site.ask(service_tier=tier)).status == 200


@pytest.mark.parametrize("n", [-1000, 10**15, 2.5, "a", [], {}, [1], True])
async def test_embeddings_have_no_choices_that_could_change_the_hold(
    site: Any, n: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = [{"object": "embedding", "index": 0, "embedding": [0.5]}]
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    site.upstream.reply(json_reply({"object": "list", "data": vectors, "model": "m", "usage": usage}))
    ledger = site.running.gateway.stores.ledger
    holds: list[HoldRequest] = []
    hold = ledger.hold

    async def noted(request: HoldRequest) -> Any:
        holds.append(request)
        return await hold(request)

    monkeypatch.setattr(ledger, "hold", noted)
    for more in ({}, {"n": n}):
        assert (await site.running.post("/v1/embeddings", {"input": "Hello!", **more}))[0] == 200
    # It multiplies nothing: what is sent along unknown is held for as the text that it is.
    assert holds[0].unit_price == holds[1].unit_price
    assert 0 <= holds[1].base - holds[0].base <= len(orjson.dumps(n))


@pytest.mark.parametrize("model", ["fake/model", None])
async def test_a_restricted_key_cannot_count_with_other_models(serve: Any, model: str | None) -> None:
    site = await serve(aliases={"cheap": ["fake/model"]})
    key = await site.running.new_key(KeySettings(models=("cheap",)))
    body = {"input": "Hello!"} if model is None else {"input": "Hello!", "model": model}
    assert (await site.running.post("/v1/responses/input_tokens", body, key=key))[0] == 403
    assert (await site.running.post("/v1/responses/input_tokens", {**body, "model": "cheap"}, key=key))[0] == 200


@pytest.mark.parametrize("key", [None, "once"])
async def test_long_bodies_are_parsed_beside_the_event_loop(
    site: Any, key: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """White space before colons and a string that begins with one call for the exact search for repeated keys."""
    threads: list[int] = []

    def noted(raw: bytes, **options: Any) -> Any:
        threads.append(threading.get_ident())
        return parse_json(raw, **options)

    monkeypatch.setattr("gateway.http.server.request_reading.parse_json", noted)
    site.upstream.reply(json_reply(openai_completion("Hi")))
    headers = {} if key is None else {"Idempotency-Key": key}
    many = b'{"a" :":b"},' * 40_000
    body = b'{"messages":[{"role":"user","content":"x"}],"more":[' + many + b"%b]}"
    status, _, raw = await site.running.post(CHAT, body % b"1", headers=headers)
    assert status == 200, raw
    status, _, raw = await site.running.post(CHAT, body % b'[{"z":1,"z":2}]')
    assert (status, b"more[40000][0].z: this key stands more than once" in raw) == (400, True), raw
    assert threads
    assert threading.get_ident() not in threads


@pytest.mark.parametrize("door", DOORS)
async def test_a_member_in_another_case_gets_past_no_door(serve: Any, door: str) -> None:
    """Some servers would take it for the other, and the checks do not see it."""
    site = await serve()
    path, body, _ = DOORS[door]
    turns = next(name for name in ("messages", "input", "contents") if name in body)
    for odd in (
        {turns.title(): body[turns]},
        {"tools": [{"Type": "code_interpreter"}]},
        {turns: [{"role": "user", "Content": "x", "content": "y"}]},
        {"any_thing": {"service_tier": "flex", "serviceTier": "priority"}},
    ):
        status, _, raw = await site.running.post(path, {**body, **odd})
        assert (status, b"forbidden_parameter" in raw or b"is to be written" in raw or b"stands here" in raw) == (
            400,
            True,
        )
    assert site.upstream.requests == []
