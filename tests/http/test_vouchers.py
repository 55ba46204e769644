"""Printed codes become credits, once, for one account, and cannot be guessed."""

from __future__ import annotations

import asyncio
import time
from contextlib import redirect_stdout
from io import StringIO

import orjson
import pytest
import pytest_asyncio

from gateway.cli import main
from gateway.testing import running_gateway, upstream_config


@pytest_asyncio.fixture
async def gateway(tmp_path):
    async with running_gateway(tmp_path, upstream_config("http://127.0.0.1:9")) as running:
        yield running


async def redeem(gateway, code, **options):
    status, headers, body = await gateway.post("/account/vouchers/redeem", {"code": code}, **options)
    return status, orjson.loads(body), headers


async def codes(gateway, count=1, credits=500, **options):
    return await gateway.gateway.stores.ledger.create_vouchers(count, credits, **options)


async def test_a_code_becomes_credits_once(gateway):
    [code] = await codes(gateway)
    status, answer, _ = await redeem(gateway, f" {code.lower()} ")
    assert status == 200
    assert answer == {
        "object": "voucher.redemption", "credits": 500, "balance": gateway.account.balance + 500,
    }  # fmt: skip
    status, answer, _ = await redeem(gateway, code)
    assert (status, answer["error"]["code"]) == (400, "invalid_voucher")
    other = await gateway.new_key(credits=0)
    status, answer, _ = await redeem(gateway, code, key=other)
    assert (status, answer["error"]["code"]) == (400, "invalid_voucher")
    assert await gateway.gateway.stores.check() == []


async def test_a_retry_with_an_idempotency_key_gets_the_same_answer(gateway):
    [code] = await codes(gateway)
    first = await redeem(gateway, code, headers={"Idempotency-Key": "try-1"})
    again = await redeem(gateway, code, headers={"Idempotency-Key": "try-1"})
    assert first[:2] == again[:2]
    assert again[0] == 200


async def test_many_at_once_win_once(gateway):
    [code] = await codes(gateway)
    keys = [gateway.key, *[await gateway.new_key(credits=0) for _ in range(7)]]
    answers = await asyncio.gather(*(redeem(gateway, code, key=key) for key in keys))
    assert sorted(status for status, _, _ in answers) == [200] + [400] * 7
    assert await gateway.gateway.stores.check() == []


async def test_expired_and_revoked_codes_are_worthless(gateway):
    ledger = gateway.gateway.stores.ledger
    [late] = await codes(gateway, expires_at=int(time.time()) + 1)
    [revoked] = await codes(gateway)
    assert (await ledger.revoke_voucher(2)).revoked_at is not None
    assert await ledger.revoke_voucher(99) is None
    await asyncio.sleep(1.1)
    answers = [await redeem(gateway, code) for code in (late, revoked, "AAAAA-AAAAA-AAAAA-AAAAA", "x")]
    assert [status for status, _, _ in answers] == [400] * 4
    assert len({answer["error"]["message"] for _, answer, _ in answers}) == 1


async def test_a_redeemed_voucher_cannot_be_revoked(gateway):
    [code] = await codes(gateway)
    await redeem(gateway, code)
    with pytest.raises(Exception, match="redeemed already"):
        await gateway.gateway.stores.ledger.revoke_voucher(1)


async def test_tries_are_limited_per_account(gateway):
    answers = [await redeem(gateway, "wrong") for _ in range(10)]
    assert {status for status, _, _ in answers} == {400}
    [code] = await codes(gateway)
    status, answer, headers = await redeem(gateway, code)
    assert (status, answer["error"]["type"]) == (429, "rate_limit")
    assert 50 <= float(headers["retry-after"]) <= 60
    assert (await redeem(gateway, code, key=await gateway.new_key(credits=0)))[0] == 200


async def test_tries_are_limited_per_address_too(gateway):
    keys = [await gateway.new_key(credits=0) for _ in range(4)]
    answers = [await redeem(gateway, "wrong", key=keys[number // 10]) for number in range(31)]
    assert [status for status, _, _ in answers] == [400] * 30 + [429]


@pytest.mark.parametrize("body", [{}, {"code": None}, {"code": 7}, {"code": " "}, {"code": "x", "credits": 5}])
async def test_bad_bodies_name_the_member(gateway, body):
    status, _, answer = await gateway.post("/account/vouchers/redeem", body)
    assert status == 400
    assert orjson.loads(answer)["error"]["param"] in ("code", "credits")


async def test_a_key_is_needed(gateway):
    assert (await redeem(gateway, "x", key="mghp_nonsense"))[0] == 401


def run(*arguments: str) -> tuple[int, str]:
    out = StringIO()
    with redirect_stdout(out):
        status = main(list(arguments))
    return status, out.getvalue()


@pytest.mark.blocking_allowed  # the command line is a process of its own in real life
def test_the_command_line(tmp_path, monkeypatch):
    monkeypatch.setenv("GATEWAY_DATA", str(tmp_path / "data"))
    config = tmp_path / "config.yaml"
    config.write_text("providers: {echo: {plugin: echo}}\n")
    place = ["--config", str(config)]
    assert run("accounts", "create", "Ada", *place)[0] == 0
    made = ("vouchers", "create", "--credits", "7", "--count", "2", "--expires-in-days", "1", "--note", "fair", *place)
    status, text = run(*made)
    assert status == 0
    first, second = text.split()
    assert first != second
    status, text = run("vouchers", "list", *place)
    assert first not in text
    assert text.count("good until") == 2
    assert "..." + first[-4:] in text
    assert run("vouchers", "revoke", "1", *place)[0] == 0
    listed = orjson.loads(run("vouchers", "list", "--json", *place)[1])
    assert [voucher["revoked_at"] is None for voucher in listed] == [False, True]
    assert run("vouchers", "revoke", "9", *place)[0] == 1
