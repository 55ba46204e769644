"""Erasing what is personal of an account: its ledger and its figures stay, under an id that says nothing."""

from __future__ import annotations

import sqlite3

from gateway.api.stores import erased_name
from gateway.sqlite.engine.core import Core
from gateway.sqlite.identity.authentication import NEW_GENERATION
from gateway.sqlite.money.unit_of_work import Names

_ACCESS = (
    "UPDATE accounts SET name = :name, role = 'user', disabled = 1 WHERE n = :account",
    "DELETE FROM secrets WHERE key IN (SELECT n FROM keys WHERE account = :account)",
    "UPDATE keys SET name = '', ip_allow = NULL, revoked = coalesce(revoked, :now) WHERE account = :account",
    "DELETE FROM logins WHERE account = :account",
    "DELETE FROM identities WHERE account = :account",
    "DELETE FROM links WHERE account = :account",
    "DELETE FROM sessions WHERE account = :account",
    "DELETE FROM tag_sums WHERE account = :account",
    NEW_GENERATION,
)
# What may be large goes in pieces. A response that still runs ends by itself, since its account is disabled.
_CONTENT = (
    "DELETE FROM responses WHERE n IN (SELECT n FROM responses WHERE account = ? AND process IS NULL LIMIT ?)",
    """
    DELETE FROM conversation_items WHERE n IN (
        SELECT i.n FROM conversations AS c JOIN conversation_items AS i ON i.conversation = c.n
        WHERE c.account = ? LIMIT ?
    )
    """,
    "DELETE FROM conversations WHERE n IN (SELECT n FROM conversations WHERE account = ? LIMIT ?)",
    "DELETE FROM objects WHERE n IN (SELECT n FROM objects WHERE account = ? AND is_open = 0 LIMIT ?)",
    "UPDATE usage SET tags = NULL WHERE n IN (SELECT n FROM usage WHERE account = ? AND tags IS NOT NULL LIMIT ?)",
    "UPDATE holds SET tags = NULL WHERE n IN (SELECT n FROM holds WHERE account = ? AND tags IS NOT NULL LIMIT ?)",
)
_AT_ONCE = 200


async def erase(core: Core, account_id: str) -> bool:
    """End every access in one step, then delete what is stored, in pieces; False when there is no such account.
    Idempotent: asked again, it goes on where it was broken off."""
    values = {"name": erased_name(account_id), "now": core.now()}

    def access(connection: sqlite3.Connection, _: Names) -> int | None:
        row = connection.execute("SELECT n FROM accounts WHERE id = ?", (account_id,)).fetchone()
        if row is None:
            return None
        number: int = row[0]
        for statement in _ACCESS:
            connection.execute(statement, {**values, "account": number})
        return number

    number = await core.write(access)
    if number is None:
        return False
    for statement in _CONTENT:
        await core.drop(statement, number, _AT_ONCE)
    return True
