"""Keys, models, limits and money over HTTP, and what is logged and counted about them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson
import pytest

from gateway.stores import KeySettings
from gateway.testing import Reply, json_reply, openai_completion, openai_error, openai_stream, usage
from gateway.testing.upstream import Received

FINE = json_reply(openai_completion("Hi", reported=usage(10, 2)))


@pytest.fixture
def fine(site: Any) -> Any:
    site.upstream.reply(FINE)
    return site


# Keys


@pytest.mark.parametrize("key", ["", "x", "mghp_", "mghp_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa_aaaaaa", "a" * 5000])
async def test_bad_keys(fine: Any, key: str) -> None:
    for answer in (
        await fine.ask(key=key),
        await fine.get("/v1/models", key=key),
        await fine.get("/v1/usage", key=key),
    ):
        assert answer.status == 401
        assert answer.error["code"] == "invalid_api_key"
        assert answer.error["type"] == "invalid_request_error"
    assert fine.upstream.requests == []
    assert await fine.rows() == []


async def test_a_revoked_key_stops_within_a_second(fine: Any) -> None:
    key = await fine.running.new_key()
    assert (await fine.ask(key=key)).status == 200
    stores = fine.running.gateway.stores
    (found,) = [k for k in await stores.keys.list_keys() if k.label.endswith(key[-4:])]
    await stores.keys.revoke_key(found.id)
    revoked = time.monotonic()
    asked = revoked
    while (await fine.ask(key=key)).status == 200:
        assert asked - revoked < 1.0
        asked = time.monotonic()
    assert (await fine.ask(key=key)).error["code"] == "invalid_api_key"
    assert (await fine.ask()).status == 200


async def test_an_expired_key(fine: Any) -> None:
    expires = int(time.time()) + 1
    key = await fine.running.new_key(KeySettings(expires_at=expires))
    while (answer := await fine.ask(key=key)).status == 200:
        assert time.time() < expires + 0.1
    assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")


async def test_a_key_for_other_addresses(fine: Any) -> None:
    key = await fine.running.new_key(KeySettings(ip_allow=("203.0.113.0/24",)))
    answer = await fine.ask(key=key)
    assert answer.status == 403


async def test_forwarded_addresses_count_only_from_trusted_proxies(serve: Any) -> None:
    forwarded = {"X-Forwarded-For": "198.51.100.7, 203.0.113.9"}
    for trusted, status in ((["127.0.0.1"], 200), (["10.0.0.0/8"], 403)):
        site = await serve(server={"trusted_proxies": trusted}, folder=str(status))
        site.upstream.reply(FINE)
        key = await site.running.new_key(KeySettings(ip_allow=("203.0.113.0/24",)))
        assert (await site.ask(key=key, headers=forwarded)).status == status


# Models

TWO = {
    "models": {
        "fake/model": {
            "provider": "fake",
            "upstream": "upstream-model",
            "price": {"input": 1, "output": 2},
            "max_output": 4096,
        },
        "fake/free": {"provider": "fake", "upstream": "free-model", "free": True},
        "fake/unpriced": {"provider": "fake", "upstream": "x"},
        "off/model": {"provider": "off", "price": {"input": 1, "output": 2}},
    },
    "aliases": {"muh": "fake/model", "mixed": ["fake/model", "fake/free"]},
    "default_model": "muh",
}


async def with_models(serve: Any) -> Any:
    """Three models and two aliases; the provider `off` lacks its key."""
    site = await serve()
    config = orjson.loads(await asyncio.to_thread(site.running.config_path.read_bytes))
    config |= TWO
    config["providers"]["off"] = {"plugin": "openai"}
    await asyncio.to_thread(site.running.config_path.write_bytes, orjson.dumps(config))
    await site.running.gateway.reload()
    site.upstream.reply(FINE)
    return site


async def test_the_list_of_models(serve: Any) -> None:
    site = await with_models(serve)
    for prefix in ("/v1", "/api/v1"):
        answer = await site.get(f"{prefix}/models")
        assert answer.status == 200
        assert answer.json["object"] == "list"
        found = {entry["id"]: entry for entry in answer.json["data"]}
        assert set(found) == {"muh", "mixed", "fake/model", "fake/free", "fake/unpriced", "off/model"}
        assert all(entry["object"] == "model" and entry["created"] and entry["owned_by"] for entry in found.values())
        assert {name for name, entry in found.items() if not entry["available"]} == {"fake/unpriced", "off/model"}


@pytest.mark.parametrize("path", ["fake/model", "fake%2Fmodel", "fake%2fmodel", "muh", "off/model"])
async def test_one_model(serve: Any, path: str) -> None:
    site = await with_models(serve)
    answer = await site.get(f"/v1/models/{path}")
    assert answer.status == 200
    assert answer.json["id"] == path.replace("%2F", "/").replace("%2f", "/")


async def test_unknown_and_unavailable_models(serve: Any) -> None:
    site = await with_models(serve)
    answer = await site.get("/v1/models/fake/modle")
    assert (answer.status, answer.error["code"]) == (404, "model_not_found")
    answer = await site.ask(model="fake/modle")
    assert (answer.status, answer.error["code"], answer.error["param"]) == (404, "model_not_found", "model")
    assert "fake/model" in answer.error["message"]
    for model, code in (("fake/unpriced", "model_unpriced"), ("off/model", "model_unavailable")):
        answer = await site.ask(model=model)
        assert (answer.status, answer.error["code"]) == (503, code)
        assert answer.headers["x-should-retry"] == "false"
    assert site.upstream.requests == []
    assert await site.spent() == 0


@pytest.mark.parametrize(
    ("asked", "sent"), [("muh", "upstream-model"), ("fake/free", "free-model"), (None, "upstream-model")]
)
async def test_the_answers_model_is_the_one_asked_for(serve: Any, asked: str | None, sent: str) -> None:
    site = await with_models(serve)
    answer = await site.ask(**({"model": asked} if asked else {}))
    assert answer.json["model"] == (asked or "muh")
    assert site.upstream.requests[0].json["model"] == sent
    assert await site.spent() == (0 if asked == "fake/free" else 14)


@pytest.mark.parametrize(
    ("allowed", "asked", "status"),
    [
        (("fake/model",), "fake/model", 200),
        (("fake/model",), "muh", 200),  # all that the alias leads to is on the list
        (("fake/model",), "mixed", 403),  # one of its targets is not
        (("fake/*",), "mixed", 200),
        (("muh",), "muh", 200),
        (("muh",), "fake/model", 403),  # the alias does not open the model's own name
        (("other/*",), "fake/model", 403),
        (("other/model", "fake/free"), "fake/free", 200),
    ],
)
async def test_the_allow_list_of_a_key(serve: Any, allowed: tuple[str, ...], asked: str, status: int) -> None:
    site = await with_models(serve)
    key = await site.running.new_key(KeySettings(models=allowed))
    answer = await site.ask(key=key, model=asked)
    assert answer.status == status
    if status == 403:
        assert answer.error["type"] == "model_not_allowed"
        assert answer.error["param"] == "model"
        assert site.upstream.requests == []
        assert (await site.row()).row.status == 403


# Limits


async def test_the_rate_limit_is_exact(serve: Any) -> None:
    site = await serve(rate_limit={"requests_per_minute": 5})
    site.upstream.reply(FINE)
    for left in (4, 3, 2, 1, 0):
        answer = await site.ask()
        assert answer.status == 200
        assert answer.headers["x-ratelimit-limit-requests"] == "5"
        assert answer.headers["x-ratelimit-remaining-requests"] == str(left)
    answers = await asyncio.gather(*(site.ask() for _ in range(5)))
    assert {answer.status for answer in answers} == {429}
    answer = answers[0]
    assert (answer.error["type"], answer.error["code"]) == ("rate_limit", "rate_limit_exceeded")
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert 0 < int(answer.headers["retry-after-ms"]) <= 60_000
    assert answer.headers["x-ratelimit-remaining-requests"] == "0"
    assert float(answer.headers["x-ratelimit-reset-requests"].removesuffix("s")) <= 60
    listed = await site.get("/v1/models")
    assert listed.status == 200, "only calls of models are counted"
    assert listed.headers["x-ratelimit-remaining-requests"] == "0"
    assert len(site.upstream.requests) == 5


async def test_sixty_in_a_minute_is_the_default(serve: Any) -> None:
    site = await serve(rate_limit={"requests_per_minute": 60})
    site.upstream.reply(FINE)
    answers = await asyncio.gather(*(site.ask() for _ in range(75)))
    assert sorted(answer.status for answer in answers) == [200] * 60 + [429] * 15


async def test_a_key_may_have_a_smaller_limit(fine: Any) -> None:
    key = await fine.running.new_key(KeySettings(requests_per_minute=1))
    assert (await fine.ask(key=key)).headers["x-ratelimit-limit-requests"] == "1"
    assert (await fine.ask(key=key)).status == 429
    assert (await fine.ask()).status == 200


# Money


async def test_no_credits(fine: Any) -> None:
    key = await fine.running.new_key(credits=0)
    for stream in (False, True):
        answer = await fine.ask(key=key, stream=stream)
        assert (answer.status, answer.error["type"]) == (402, "insufficient_quota")
        assert answer.headers["x-should-retry"] == "false"
    assert fine.upstream.requests == []
    assert [row.row.status for row in await fine.rows()] == [402, 402]


async def test_a_small_balance_clamps_the_output(fine: Any) -> None:
    key = await fine.running.new_key(credits=500)
    answer = await fine.ask(key=key, max_tokens=4000)
    assert answer.status == 200
    clamped = int(answer.headers["x-gateway-clamped"].removeprefix("max_tokens=").removesuffix("; reason=credits"))
    assert 16 <= clamped < 250
    assert fine.upstream.requests[0].json["max_tokens"] == clamped


async def test_a_keys_monthly_ceiling(fine: Any) -> None:
    key = await fine.running.new_key(KeySettings(monthly_limit=1))
    answer = await fine.ask(key=key)
    assert (answer.status, answer.error["type"]) == (402, "insufficient_quota")
    assert (await fine.ask()).status == 200


@pytest.mark.parametrize("stream", [False, True])
async def test_a_limit_above_the_models_is_lowered_and_told(serve: Any, stream: bool) -> None:
    site = await serve()
    site.upstream.reply(Reply(openai_stream("Hi")) if stream else json_reply(openai_completion("Hi")))
    answer = await site.ask(max_tokens=60_000, stream=stream)
    assert answer.headers["x-gateway-clamped"] == "max_tokens=4096; reason=model"
    assert site.upstream.requests[0].json["max_tokens"] == 4096


async def test_a_model_without_a_limit_of_its_own_gets_the_callers(serve: Any) -> None:
    price = {"input": 1, "output": 2}
    model = {"provider": "fake", "upstream": "upstream-model", "price": price, "context": 1000}
    site = await serve(models={"fake/model": model})
    site.upstream.reply(json_reply(openai_completion("Hi")))
    answer = await site.ask(max_tokens=5000)
    assert "x-gateway-clamped" not in answer.headers
    assert site.upstream.requests[0].json["max_tokens"] == 5000


async def test_no_clamp_no_limit_sent(fine: Any) -> None:
    answer = await fine.ask()
    assert "x-gateway-clamped" not in answer.headers
    assert "max_tokens" not in fine.upstream.requests[0].json


async def test_many_at_once_never_spend_more_than_there_is(fine: Any) -> None:
    fine.upstream.reply(json_reply(openai_completion("Hi", reported=usage(10, 90)), delay=0.02))
    key = await fine.running.new_key(credits=1000)
    answers = await asyncio.gather(*(fine.ask(key=key, max_tokens=90) for _ in range(30)))
    paid = [answer for answer in answers if answer.status == 200]
    assert {answer.status for answer in answers} == {200, 402}
    assert sum(answer.json["usage"]["cost"] for answer in paid) <= 1000
    accounts = await fine.running.gateway.stores.accounts.list_accounts()
    assert accounts[-1].balance == 1000 - sum(answer.json["usage"]["cost"] for answer in paid) >= 0


async def test_usage(fine: Any) -> None:
    await fine.ask()
    await fine.ask(stream=False)
    await fine.rest()
    answer = await fine.get("/v1/usage")
    assert answer.json["object"] == "usage"
    assert answer.json["totals"] == {"credits": 28, "tokens": 24, "requests": 2}
    assert answer.json["balance"] == 1_000_000_000 - 28
    assert [entry["credits"] for entry in answer.json["daily"] if entry["credits"]] == [28]
    assert answer.json["by_model"] == [{"model": "fake/model", "credits": 28}]
    for query, named in (("days=0", "days"), ("days=x", "days"), ("start=yesterday", "start"), ("dyas=3", "dyas")):
        answer = await fine.get(f"/v1/usage?{query}")
        assert (answer.status, answer.error["param"]) == (400, named)


# Logs and metrics


async def test_one_line_per_request_and_nothing_private_in_the_log(site: Any) -> None:
    secret_text = "my private question"
    site.upstream.queue(
        FINE,
        Reply(openai_stream("my private answer")),
        json_reply(openai_error("bad key sk-fake-upstream-key in my private header"), 401),
    )
    messages = [{"role": "user", "content": secret_text}]
    await site.ask(messages=messages, user="private@example.com")
    await site.ask(messages=messages, stream=True)
    await site.ask(messages=messages)
    await site.ask(messages=messages, temperature=9)
    await site.ask(messages=messages, key="mghp_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa_aaaaaa")
    await site.get("/v1/models")
    await site.rest()
    lines = site.request_lines()
    assert [line["status"] for line in lines] == [200, 200, lines[2]["status"], 400, 401, 200]
    for line in lines[:2]:
        assert line["account"] == site.running.account.id
        assert line["key"].endswith(site.running.key[-4:])
        assert len(line["key"]) < 16
        assert (line["model"], line["target"], line["method"]) == ("fake/model", "fake/model", "POST")
        assert line["route"] == "/v1/chat/completions"
        assert line["prompt_tokens"] == 10
        assert 0 < line["first_byte_ms"] <= line["total_ms"]
        assert line["request_id"].startswith("req_")
    assert len({line["request_id"] for line in lines}) == 6
    text = site.running.stream.getvalue()
    for private in (
        secret_text,
        "private answer",
        "private@example.com",
        "sk-fake-upstream-key",
        site.running.key,
        "mghp_aaaa",
    ):
        assert private not in text, private


async def test_metrics(fine: Any) -> None:
    await fine.ask()
    await fine.ask(model="nonsense/made-up")
    await fine.rest()
    text = (await fine.get("/metrics")).body.decode()
    labels = 'model="fake/model",route="/v1/chat/completions",status="200",target="fake/model"'
    assert f"gateway_requests_total{{{labels}}} 1.0" in text
    assert 'gateway_tokens_total{class="completion",model="fake/model",target="fake/model"} 2.0' in text
    assert 'gateway_credits_total{model="fake/model",target="fake/model"} 14.0' in text
    assert 'gateway_upstream_attempts_total{endpoint="1",outcome="ok",provider="fake",target="fake/model"} 1.0' in text
    assert "gateway_active_requests 1.0" in text, "the one that asks"
    assert "made-up" not in text


async def test_metrics_may_need_a_token(serve: Any) -> None:
    site = await serve(metrics={"token": "scrape-me-please"})
    assert (await site.get("/metrics")).status == 401
    assert (await site.get("/metrics", key="scrape-me-please")).status == 200
    site = await serve(metrics={"enabled": False}, folder="off")
    assert (await site.get("/metrics")).status == 404


async def test_metrics_without_a_token_are_for_this_machine_only(site: Any) -> None:
    assert (await site.get("/metrics")).status == 200
    client = await site.connect()
    await client.send(b"GET /metrics HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 203.0.113.9\r\n\r\n")
    assert (await client.answer()).status == 403


# What goes upstream


async def test_what_goes_upstream(fine: Any) -> None:
    body = {
        "temperature": 0.5,
        "tools": [
            {
                "type": "function",
                "function": {"name": "f", "parameters": {"type": "object", "properties": {}}, "x_new": 1},
            }
        ],
        "x_unknown": {"deep": [1, 2.5, None, "\u00fc"]},
        "metadata": {"a": "b"},
        "user": "someone",
    }
    headers = {"Cookie": "a=b", "X-Forwarded-For": "198.51.100.7", "OpenAI-Organization": "org-mine", "X-Custom": "1"}
    await fine.ask(**body, headers=headers)
    received: Received = fine.upstream.requests[0]
    assert (received.method, received.path) == ("POST", "/v1/chat/completions")
    for key, value in body.items():
        assert received.json[key] == value
    assert received.headers["authorization"] == "Bearer sk-fake-upstream-key"
    assert not {"cookie", "x-forwarded-for", "openai-organization", "x-custom"} & set(received.headers)
    assert received.headers["accept-encoding"] == "identity"
    assert fine.running.key not in str(received.headers)


async def test_headers_of_the_upstream_stay_behind(site: Any) -> None:
    private = {
        "set-cookie": "a=b",
        "openai-organization": "org-of-the-operator",
        "x-request-id": "theirs",
        "server": "x",
    }
    site.upstream.reply(json_reply(openai_completion("Hi"), headers=private))
    answer = await site.ask()
    assert "set-cookie" not in answer.headers
    assert "openai-organization" not in answer.headers
    assert answer.headers["x-request-id"].startswith("req_")
    assert answer.headers["server"] == "tollgate"


async def test_usage_that_no_request_can_have_caused_is_not_believed(serve: Any) -> None:
    """A provider that tells of 2^40 tokens for a greeting must not empty an account."""
    site = await serve()
    site.upstream.reply(json_reply(openai_completion("Hi", reported=usage(2**39, 2**39))))
    stores = site.running.gateway.stores
    before = await stores.accounts.get_account(site.running.account.id)
    assert (await site.ask()).status == 200
    after = await stores.accounts.get_account(site.running.account.id)
    entries = await stores.ledger.entries(site.running.account.id)
    (disputed,) = [entry for entry in entries if entry.kind == "overrun"]
    hold = next(entry for entry in entries if entry.kind == "hold")
    assert before.balance - after.balance <= hold.reserved
    assert (disputed.amount, disputed.note) == (0, "disputed usage")
    assert disputed.unpaid > 2**39
    assert not await stores.check()
    assert site.request_lines()[-1]["disputed_credits"] == disputed.unpaid, "the operator is told"
    assert 'gateway_disputed_bills_total{target="fake/model"} 1.0' in (await site.get("/metrics")).body.decode()


async def test_what_a_providers_own_tools_read_is_believed_within_reason(serve: Any) -> None:
    """A model that runs tools of its provider's reads more than was sent, which is due; but not without end."""
    site = await serve()
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    for told, believed in ((100_000, True), (2**39, False)):
        site.upstream.reply(json_reply(openai_completion("Hi", reported=usage(told, 2))))
        assert (await site.ask(tools=tools)).status == 200
        assert ("disputed_credits" in site.request_lines()[-1]) is not believed


AGENT = (
    "    for name, value in sorted(items.items()):\n        if value is not None:\n            total += value\n" * 1_100
)
"""Some 110 kB of code, as a coding agent's first request has them: 30,000 tokens."""


@pytest.mark.parametrize(("hold", "status"), [("expected", 200), ("strict", 402)])
async def test_a_long_input_needs_about_what_it_costs(serve: Any, hold: str, status: int) -> None:
    site = await serve(credits={"hold": hold})
    site.upstream.reply(json_reply(openai_completion("Hi", reported=usage(30_000, 10))))
    key = await site.running.new_key(credits=60_000)
    answer = await site.ask(key=key, messages=[{"role": "user", "content": AGENT}], max_tokens=100)
    assert answer.status == status
    if status == 200:
        assert "x-gateway-clamped" not in answer.headers
        assert answer.headers["x-gateway-cost"] == "30020"


async def test_what_a_dense_input_costs_beyond_its_hold_is_taken_and_the_rest_is_visible(serve: Any) -> None:
    site = await serve()
    site.upstream.reply(json_reply(openai_completion("Hi", reported=usage(100_000, 10))))
    key = await site.running.new_key(credits=60_000)
    answer = await site.ask(key=key, messages=[{"role": "user", "content": AGENT}], max_tokens=100)
    assert (answer.status, answer.headers["x-gateway-cost"]) == (200, "60000")
    await site.rest()
    stores = site.running.gateway.stores
    entries = [entry async for entry in stores.ledger.export()]
    assert [(entry.kind, entry.unpaid) for entry in entries if entry.unpaid] == [("overrun", 100_020 - 60_000)]


async def test_a_restricted_key_sees_what_it_may_call(serve: Any) -> None:
    price = {"input": 1, "output": 2}
    models = {
        f"fake/{name}": {"provider": "fake", "upstream": name, "price": price} for name in ("one", "two", "three")
    }
    site = await serve(models=models, aliases={"cheap": "fake/two", "mixed": ["fake/one", "fake/two"]})
    key = await site.running.new_key(KeySettings(models=("fake/t*",)))
    seen = {"fake/two", "fake/three", "cheap"}
    assert {entry["id"] for entry in (await site.get("/v1/models", key=key)).json["data"]} == seen
    gemini = (await site.get("/v1beta/models?pageSize=1000", key=key)).json["models"]
    assert {entry["name"].removeprefix("models/") for entry in gemini} == seen
    for name in ("cheap", "fake/two"):
        assert (await site.get(f"/v1/models/{name}", key=key)).status == 200
    for name in ("mixed", "fake/one", "fake/model", "nothing"):
        answer = await site.get(f"/v1/models/{name}", key=key)
        assert (answer.status, answer.error["code"]) == (404, "model_not_found")
        assert "Did you mean" not in answer.error["message"]
    assert len((await site.get("/v1/models")).json["data"]) > len(seen)
