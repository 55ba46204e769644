"""Logins, identities and links on SQLite. What a link allows and its end are one transaction."""

from __future__ import annotations

import sqlite3

from gateway.api import CallerFault, Refusal
from gateway.api.stores import (
    LINK_PEPPER,
    Account,
    Link,
    LinkPurpose,
    Login,
    NewLink,
    SignUp,
    asked_credits,
    checked_email,
    checked_role,
    derive,
    digest,
    email_taken,
    identity_taken,
    invalid_link,
    new_token,
    no_account,
    random_text,
)
from gateway.sqlite.engine.core import Core, Row
from gateway.sqlite.identity.accounts import add_account, new_account_id
from gateway.sqlite.money.unit_of_work import Names

_BY_EMAIL = """
    SELECT a.id, l.email, l.password, l.changed FROM logins AS l JOIN accounts AS a ON a.n = l.account WHERE l.email = ?
"""
_OF_ACCOUNT = """
    SELECT a.id, l.email, l.password, l.changed FROM accounts AS a JOIN logins AS l ON l.account = a.n WHERE a.id = ?
"""
_NUMBER = "SELECT n FROM accounts WHERE id = ?"
_TAKEN = "SELECT 1 FROM logins WHERE email = ? AND account != ?"
_PUT = """
    INSERT INTO logins (account, email, password, changed) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (account) DO UPDATE SET email = excluded.email, password = excluded.password, changed = excluded.changed
"""
_END_SESSIONS = "DELETE FROM sessions WHERE account = ? AND id != ?"
_ERASE = (
    "DELETE FROM identities WHERE account = ?",
    "DELETE FROM links WHERE account = ?",
    "DELETE FROM sessions WHERE account = ?",
)
_DROP_LOGIN = "DELETE FROM logins WHERE account = ?"
_IDENTITY = """
    SELECT a.id FROM identities AS i JOIN accounts AS a ON a.n = i.account WHERE i.issuer = ? AND i.subject = ?
"""
_ADD_IDENTITY = "INSERT INTO identities (issuer, subject, account) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_ADD_LINK = """
    INSERT INTO links (id, digest, purpose, account, email, role, credits, created, expires)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_LINK = """
    SELECT l.id, l.purpose, l.created, l.expires, coalesce(a.id, ''), l.email, l.role, l.credits
    FROM links AS l LEFT JOIN accounts AS a ON a.n = l.account
    WHERE l.digest = ? AND l.purpose = ? AND l.expires > ? AND (l.account IS NULL OR a.disabled = 0)
"""
_LINKS = """
    SELECT l.id, l.purpose, l.created, l.expires, coalesce(a.id, ''), l.email, l.role, l.credits
    FROM links AS l LEFT JOIN accounts AS a ON a.n = l.account WHERE l.expires > ? ORDER BY l.n DESC
"""
_DROP_LINK = "DELETE FROM links WHERE id = ?"
_PRUNE = "DELETE FROM links WHERE n IN (SELECT n FROM links WHERE expires <= ?1 LIMIT ?2)"
_AT_ONCE = 500


class SqliteLogins:
    """`gateway.stores.Logins`."""

    def __init__(self, core: Core, secret: bytes) -> None:
        self._core = core
        self._pepper = derive(secret, LINK_PEPPER)

    async def find_login(self, email: str) -> Login | None:
        """By address; one that cannot be stored is nobody's."""
        try:
            row = await self._core.reader.row(_BY_EMAIL, (checked_email(email),))
        except CallerFault:
            return None
        return None if row is None else Login(*row)

    async def login_of(self, account_id: str) -> Login | None:
        """By account."""
        row = await self._core.reader.row(_OF_ACCOUNT, (account_id,))
        return None if row is None else Login(*row)

    async def set_login(
        self, account_id: str, *, email: str | None = None, password_hash: str | None = None, keep: str = ""
    ) -> Login:
        """Address and password in one statement, and the end of sessions in the same transaction."""
        address = None if email is None else checked_email(email)
        now = self._core.now()

        def work(connection: sqlite3.Connection, _: Names) -> Login:
            return _put(connection, account_id, address, password_hash, keep, now)

        return await self._core.write(work)

    async def erase_login(self, account_id: str) -> bool:
        """Everything by which somebody gets in."""

        def work(connection: sqlite3.Connection, _: Names) -> bool:
            account = connection.execute(_NUMBER, (account_id,)).fetchone()
            if account is None:
                return False
            for statement in _ERASE:
                connection.execute(statement, account)
            return connection.execute(_DROP_LOGIN, account).rowcount > 0

        return await self._core.write(work)

    async def sign_up(self, new: SignUp) -> Account:
        """Account, login, identity and the end of the invitation are one transaction."""
        address = checked_email(new.email)
        asked_credits(new.grant, "grant", least=0)
        account_id, now = new_account_id(), self._core.now()
        stored = digest(self._pepper, new.invitation) if new.invitation else None

        def work(connection: sqlite3.Connection, names: Names) -> Account:
            role, credits = "user", new.grant
            if stored is not None:
                link = _held(connection, stored, "invitation", now)
                if link is None or link.email not in ("", address):
                    raise invalid_link()
                role, credits = link.role, asked_credits(new.grant + link.credits, "grant", least=0)
                connection.execute(_DROP_LINK, (link.id,))
            if connection.execute(_TAKEN, (address, 0)).fetchone():
                raise email_taken()
            try:
                account = add_account(connection, names, account_id, address, role, credits, now)
            except Refusal as taken:
                raise email_taken() from taken
            _put(connection, account_id, address, new.password_hash, "", now)
            if new.identity is not None:
                _add_identity(connection, account_id, *new.identity)
            return account

        return await self._core.write(work)

    async def find_identity(self, issuer: str, subject: str) -> str | None:
        """By both of its names."""
        row = await self._core.reader.row(_IDENTITY, (issuer, subject))
        return None if row is None else row[0]

    async def add_identity(self, account_id: str, issuer: str, subject: str) -> None:
        """One row; what is there already must be the same account's."""
        await self._core.write(lambda connection, _: _add_identity(connection, account_id, issuer, subject))

    async def create_link(self, new: NewLink) -> tuple[Link, str]:
        """Only the token's digest is kept."""
        now, token = self._core.now(), new_token()
        email = checked_email(new.email) if new.email else ""
        role, credits = checked_role(new.role), asked_credits(new.credits, "credits", least=0)
        link = Link(
            "link_" + random_text(16), new.purpose, now, now + new.lifetime, new.account_id, email, role, credits
        )
        stored = digest(self._pepper, token)

        def work(connection: sqlite3.Connection, _: Names) -> None:
            number = _number(connection, link.account_id) if link.account_id else None
            values = (link.id, stored, link.purpose, number, email, role, credits, now, link.expires_at)
            connection.execute(_ADD_LINK, values)

        await self._core.write(work)
        return link, token

    async def find_link(self, token: str, purpose: LinkPurpose) -> Link | None:
        """One that holds now."""
        row = await self._core.reader.row(_LINK, (digest(self._pepper, token), purpose, self._core.now()))
        return None if row is None else Link(*row)

    async def take_link(self, token: str, purpose: LinkPurpose) -> Link | None:
        """Read and deleted in one transaction."""
        stored, now = digest(self._pepper, token), self._core.now()

        def work(connection: sqlite3.Connection, _: Names) -> Link | None:
            link = _held(connection, stored, purpose, now)
            if link is not None:
                connection.execute(_DROP_LINK, (link.id,))
            return link

        return await self._core.write(work)

    async def reset_password(self, token: str, password_hash: str, *, email: str = "") -> Login | None:
        """The link's end, the password and the end of sessions are one transaction."""
        stored, now = digest(self._pepper, token), self._core.now()
        given = checked_email(email) if email else None

        def work(connection: sqlite3.Connection, _: Names) -> Login | None:
            link = _held(connection, stored, "password", now)
            if link is None:
                return None
            connection.execute(_DROP_LINK, (link.id,))
            has_login = connection.execute(_OF_ACCOUNT, (link.account_id,)).fetchone() is not None
            # Who only may set a password must not move the login to another address.
            address = link.email or (None if has_login else given)
            return _put(connection, link.account_id, address, password_hash, "", now)

        return await self._core.write(work)

    async def list_links(self) -> list[Link]:
        """Newest first."""
        rows = await self._core.reader.rows(_LINKS, (self._core.now(),), slow=True)
        return [Link(*row) for row in rows]

    async def revoke_link(self, link_id: str) -> bool:
        """Delete its row."""
        return await self._core.write(lambda connection, _: connection.execute(_DROP_LINK, (link_id,)).rowcount > 0)

    async def prune_links(self, now: int) -> int:
        """Delete what expired, in pieces."""
        return await self._core.drop(_PRUNE, now, _AT_ONCE)


def _number(connection: sqlite3.Connection, account_id: str) -> int:
    row: Row | None = connection.execute(_NUMBER, (account_id,)).fetchone()
    if row is None:
        raise no_account()
    return int(row[0])


def _put(
    connection: sqlite3.Connection, account_id: str, email: str | None, password: str | None, keep: str, now: int
) -> Login:
    """Set what is given of a login, and end the sessions that a new password ends."""
    number = _number(connection, account_id)
    row = connection.execute(_OF_ACCOUNT, (account_id,)).fetchone()
    if row is None and email is None:
        raise CallerFault("email: this account has no address to sign in with yet; give one.", param="email")
    before = Login(*row) if row is not None else Login(account_id, "", "", now)
    login = Login(
        account_id,
        before.email if email is None else email,
        before.password_hash if password is None else password,
        before.changed_at if password is None else now,
    )
    if connection.execute(_TAKEN, (login.email, number)).fetchone():
        raise email_taken()
    connection.execute(_PUT, (number, login.email, login.password_hash, login.changed_at))
    if password is not None:
        connection.execute(_END_SESSIONS, (number, keep))
    return login


def _add_identity(connection: sqlite3.Connection, account_id: str, issuer: str, subject: str) -> None:
    connection.execute(_ADD_IDENTITY, (issuer, subject, _number(connection, account_id)))
    if connection.execute(_IDENTITY, (issuer, subject)).fetchone()[0] != account_id:
        raise identity_taken()


def _held(connection: sqlite3.Connection, stored: bytes, purpose: str, now: int) -> Link | None:
    row: Row | None = connection.execute(_LINK, (stored, purpose, now)).fetchone()
    return None if row is None else Link(*row)
