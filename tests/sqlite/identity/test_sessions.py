"""Sessions and the audit log."""

from __future__ import annotations


async def test_no_token_stands_in_the_file(house, tmp_path):
    _, token = await house.stores.sessions.open_session(house.account.id, lifetime=100)
    await house.stores.backup(str(tmp_path / "copy.db"))
    assert token.encode() not in (tmp_path / "copy.db").read_bytes()
