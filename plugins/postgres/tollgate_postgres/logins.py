"""Logins, identities and links. What a link allows and its end are one transaction, with the link's row locked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.api import CallerFault
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
from tollgate_postgres.engine import Database, count_of
from tollgate_postgres.identity import add_account

if TYPE_CHECKING:
    import asyncpg

    Connection = asyncpg.Connection[asyncpg.Record]

_BY_EMAIL = "SELECT * FROM gw_logins WHERE email = $1"
_OF_ACCOUNT = "SELECT * FROM gw_logins WHERE account = $1"
_PUT = """
    INSERT INTO logins (account, email, password, changed) VALUES ($1, $2, $3, $4)
    ON CONFLICT (account) DO UPDATE SET email = excluded.email, password = excluded.password, changed = excluded.changed
"""
_ERASE = (
    "DELETE FROM identities WHERE account = $1",
    "DELETE FROM links WHERE account = $1",
    "DELETE FROM sessions WHERE account = $1",
)
_IDENTITY = """
    SELECT a.id FROM identities AS i JOIN accounts AS a ON a.n = i.account WHERE i.issuer = $1 AND i.subject = $2
"""
_ADD_LINK = """
    INSERT INTO links (id, digest, purpose, account, email, role, credits, created, expires)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
_LINK = "SELECT * FROM gw_links WHERE digest = $1 AND purpose = $2 AND expires > $3 AND NOT account_disabled"
_LOCK_LINK = "SELECT 1 FROM links WHERE digest = $1 FOR UPDATE"


class PostgresLogins:
    """`gateway.stores.Logins`."""

    def __init__(self, database: Database, secret: bytes) -> None:
        self._database = database
        self._pepper = derive(secret, LINK_PEPPER)

    async def find_login(self, email: str) -> Login | None:
        """By address; one that cannot be stored is nobody's."""
        try:
            row = await self._database.row(_BY_EMAIL, checked_email(email))
        except CallerFault:
            return None
        return None if row is None else Login(*row[:4])

    async def login_of(self, account_id: str) -> Login | None:
        """By account."""
        row = await self._database.row(_OF_ACCOUNT, account_id)
        return None if row is None else Login(*row[:4])

    async def set_login(
        self, account_id: str, *, email: str | None = None, password_hash: str | None = None, keep: str = ""
    ) -> Login:
        """Address, password and the end of sessions in one transaction."""
        address, now = None if email is None else checked_email(email), self._database.now()

        async def work(connection: Connection) -> Login:
            return await _put(connection, account_id, address, password_hash, keep, now)

        return await self._database.transaction(work)

    async def erase_login(self, account_id: str) -> bool:
        """Everything by which somebody gets in."""

        async def work(connection: Connection) -> bool:
            number = await connection.fetchval("SELECT n FROM accounts WHERE id = $1", account_id)
            if number is None:
                return False
            for statement in _ERASE:
                await connection.execute(statement, number)
            return count_of(await connection.execute("DELETE FROM logins WHERE account = $1", number)) > 0

        return await self._database.transaction(work)

    async def sign_up(self, new: SignUp) -> Account:
        """Account, login, identity and the end of the invitation are one transaction."""
        address, now = checked_email(new.email), self._database.now()
        asked_credits(new.grant, "grant", least=0)

        async def work(connection: Connection) -> Account:
            role, credits = "user", new.grant
            if new.invitation:
                link = await self._take(connection, new.invitation, "invitation", now)
                if link is None or link.email not in ("", address):
                    raise invalid_link()
                role, credits = link.role, asked_credits(new.grant + link.credits, "grant", least=0)
            account = await add_account(connection, address, role, credits, now)
            await _put(connection, account.id, address, new.password_hash, "", now)
            if new.identity is not None:
                await _add_identity(connection, account.id, *new.identity)
            return account

        import asyncpg

        try:
            return await self._database.transaction(work)
        except asyncpg.UniqueViolationError:
            raise email_taken() from None

    async def find_identity(self, issuer: str, subject: str) -> str | None:
        """By both of its names."""
        found: str | None = await self._database.value(_IDENTITY, issuer, subject)
        return found

    async def add_identity(self, account_id: str, issuer: str, subject: str) -> None:
        """One row; what is there already must be the same account's."""

        async def work(connection: Connection) -> None:
            await _add_identity(connection, account_id, issuer, subject)

        await self._database.transaction(work)

    async def create_link(self, new: NewLink) -> tuple[Link, str]:
        """Only the token's digest is kept."""
        now, token = self._database.now(), new_token()
        email = checked_email(new.email) if new.email else ""
        role, credits = checked_role(new.role), asked_credits(new.credits, "credits", least=0)
        link = Link(
            "link_" + random_text(16), new.purpose, now, now + new.lifetime, new.account_id, email, role, credits
        )
        number = None
        if link.account_id:
            number = await self._database.value("SELECT n FROM accounts WHERE id = $1", link.account_id)
            if number is None:
                raise no_account()
        await self._database.execute(
            _ADD_LINK, link.id, digest(self._pepper, token), link.purpose, number, email, role, credits, now,
            link.expires_at, again=False,
        )  # fmt: skip
        return link, token

    async def find_link(self, token: str, purpose: LinkPurpose) -> Link | None:
        """One that holds now."""
        row = await self._database.row(_LINK, digest(self._pepper, token), purpose, self._database.now())
        return None if row is None else Link(*row[:8])

    async def take_link(self, token: str, purpose: LinkPurpose) -> Link | None:
        """Read and deleted in one transaction."""

        async def work(connection: Connection) -> Link | None:
            return await self._take(connection, token, purpose, self._database.now())

        return await self._database.transaction(work)

    async def _take(self, connection: Connection, token: str, purpose: str, now: int) -> Link | None:
        stored = digest(self._pepper, token)
        await connection.execute(_LOCK_LINK, stored)
        row = await connection.fetchrow(_LINK, stored, purpose, now)
        if row is None:
            return None
        await connection.execute("DELETE FROM links WHERE digest = $1", stored)
        return Link(*row[:8])

    async def reset_password(self, token: str, password_hash: str, *, email: str = "") -> Login | None:
        """The link's end, the password and the end of sessions are one transaction."""
        given, now = checked_email(email) if email else None, self._database.now()

        async def work(connection: Connection) -> Login | None:
            link = await self._take(connection, token, "password", now)
            if link is None:
                return None
            # Who only may set a password must not move the login to another address.
            has_login = await connection.fetchrow(_OF_ACCOUNT, link.account_id) is not None
            address = link.email or (None if has_login else given)
            return await _put(connection, link.account_id, address, password_hash, "", now)

        return await self._database.transaction(work)

    async def list_links(self) -> list[Link]:
        """Newest first."""
        rows = await self._database.rows(
            "SELECT * FROM gw_links WHERE expires > $1 ORDER BY n DESC", self._database.now()
        )
        return [Link(*row[:8]) for row in rows]

    async def revoke_link(self, link_id: str) -> bool:
        """Delete its row."""
        return await self._database.execute("DELETE FROM links WHERE id = $1", link_id) > 0

    async def prune_links(self, now: int) -> int:
        """By the index of their ends."""
        return await self._database.execute("DELETE FROM links WHERE expires <= $1", now)


async def _put(
    connection: Connection, account_id: str, email: str | None, password: str | None, keep: str, now: int
) -> Login:
    """Set what is given of a login, and end the sessions that a new password ends."""
    number = await connection.fetchval("SELECT n FROM accounts WHERE id = $1 FOR NO KEY UPDATE", account_id)
    if number is None:
        raise no_account()
    row = await connection.fetchrow(_OF_ACCOUNT, account_id)
    if row is None and email is None:
        raise CallerFault("email: this account has no address to sign in with yet; give one.", param="email")
    before = Login(*row[:4]) if row is not None else Login(account_id, "", "", now)
    login = Login(
        account_id,
        before.email if email is None else email,
        before.password_hash if password is None else password,
        before.changed_at if password is None else now,
    )
    other = await connection.fetchrow(_BY_EMAIL, login.email)
    if other is not None and other["n"] != number:
        raise email_taken()
    await connection.execute(_PUT, number, login.email, login.password_hash, login.changed_at)
    if password is not None:
        await connection.execute("DELETE FROM sessions WHERE account = $1 AND id <> $2", number, keep)
    return login


async def _add_identity(connection: Connection, account_id: str, issuer: str, subject: str) -> None:
    done = await connection.execute(
        "INSERT INTO identities (issuer, subject, account) SELECT $1, $2, n FROM accounts WHERE id = $3 "
        "ON CONFLICT DO NOTHING", issuer, subject, account_id,
    )  # fmt: skip
    owner = await connection.fetchval(_IDENTITY, issuer, subject)
    if owner is None and not count_of(done):
        raise no_account()
    if owner != account_id:
        raise identity_taken()
