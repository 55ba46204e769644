"""Sessions and the audit log."""

from __future__ import annotations

import sqlite3

import pytest

from gateway.errors import GatewayFault, Refusal
from gateway.stores import AccountChange


async def test_a_session_from_sign_in_to_its_end(house):
    sessions = house.stores.sessions
    session, token = await sessions.open_session(house.account.id, lifetime=100, remote="192.0.2.1", agent="b" * 300)
    assert len(token) >= 43
    assert len(session.agent) == 200
    assert await sessions.find_session(token) == session
    assert await sessions.find_session(token[:-1]) is None
    house.clock.move(60)
    await sessions.find_session(token)
    await house.stores.write(lambda _: None)
    assert (await sessions.find_session(token)).last_seen_at == session.created_at + 60
    house.clock.move(39)
    assert await sessions.find_session(token) is not None
    house.clock.move(1)
    assert await sessions.find_session(token) is None
    assert not await sessions.end_session(session.id), "it is over already"
    assert await sessions.prune(int(house.clock.time())) == 1


async def test_ending_one_and_all(house, opening):
    sessions, other = house.stores.sessions, (await opening()).sessions
    opened = [await sessions.open_session(house.account.id, lifetime=100) for _ in range(4)]
    operator, operators_token = await sessions.open_session("", lifetime=100)
    assert [one.id for one in await other.list_sessions(house.account.id)] == [one.id for one, _ in reversed(opened)]
    assert [one.id for one in await other.list_sessions("")] == [operator.id]
    assert not await other.end_session(opened[0][0].id, account_id="acct_other")
    assert not await other.end_session(operator.id, account_id="acct_other"), "not even the operator's"
    assert await other.end_session(opened[0][0].id, account_id=house.account.id)
    assert await sessions.find_session(opened[0][1]) is None, "at once, in every process"
    assert await sessions.end_sessions("acct_other") == 0
    assert await sessions.end_sessions(house.account.id, but=opened[1][0].id) == 2
    assert await sessions.find_session(opened[1][1]) is not None
    assert await sessions.find_session(operators_token) is not None


async def test_who_may_not(house):
    sessions = house.stores.sessions
    _, token = await sessions.open_session(house.account.id, lifetime=100)
    await house.stores.accounts.update_account(house.account.id, AccountChange(change=("disabled",), disabled=True))
    assert await sessions.find_session(token) is None
    with pytest.raises(Refusal) as disabled:
        await sessions.open_session(house.account.id, lifetime=100)
    with pytest.raises(Refusal) as unknown:
        await sessions.open_session("acct_nobody", lifetime=100)
    assert (disabled.value.status, unknown.value.status) == (403, 404)


async def test_no_token_stands_in_the_file(house, tmp_path):
    _, token = await house.stores.sessions.open_session(house.account.id, lifetime=100)
    await house.stores.backup(str(tmp_path / "copy.db"))
    assert token.encode() not in (tmp_path / "copy.db").read_bytes()


async def test_the_audit_log_is_read_in_pages_and_only_grows(house):
    audit = house.stores.audit
    for number in range(5):
        await audit.record("admin", "key.revoke", f"key_{number}", remote="192.0.2.1", detail={"n": number})
    await audit.record("cli:ada", "account.create", "acct_1", detail={"text": "x" * 9000})
    newest = await audit.entries(limit=2)
    assert [entry.subject for entry in newest] == ["acct_1", "key_4"]
    assert "was not kept" in newest[0].detail["note"]
    assert [entry.subject for entry in await audit.entries(before=newest[-1].seq, limit=2)] == ["key_3", "key_2"]
    [only] = await audit.entries(subject="key_0", actor="admin", action="key.revoke")
    assert (only.remote, only.detail, only.at) == ("192.0.2.1", {"n": 0}, int(house.clock.time()))
    assert await audit.entries(subject="key_0", actor="cli:ada") == []
    for sql in ("UPDATE audit SET actor = 'nobody'", "DELETE FROM audit"):
        with pytest.raises((GatewayFault, sqlite3.Error)):
            await house.stores.write(lambda connection, sql=sql: connection.execute(sql))
    assert len(await audit.entries()) == 6
