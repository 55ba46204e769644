"""Logins, identities and links, in memory."""

from __future__ import annotations

from dataclasses import replace

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
    random_text,
)
from gateway.testing.memory_stores.world import Store


class MemoryLogins(Store):
    """`gateway.stores.Logins`."""

    async def find_login(self, email: str) -> Login | None:
        """By address."""
        wanted = email.strip().lower()
        return next((one for one in self.world.logins.values() if one.email == wanted), None)

    async def login_of(self, account_id: str) -> Login | None:
        """By account."""
        return self.world.logins.get(account_id)

    async def set_login(
        self, account_id: str, *, email: str | None = None, password_hash: str | None = None, keep: str = ""
    ) -> Login:
        """What is given."""
        return self._set(account_id, None if email is None else checked_email(email), password_hash, keep)

    def _set(self, account_id: str, email: str | None, password_hash: str | None, keep: str = "") -> Login:
        self.world.account(account_id)
        before = self.world.logins.get(account_id)
        if before is None and email is None:
            raise CallerFault("email: this account has no address to sign in with yet; give one.", param="email")
        login = before or Login(account_id, "", "", self.world.now())
        if email is not None:
            self._check_free(email, account_id)
            login = replace(login, email=email)
        if password_hash is not None:
            login = replace(login, password_hash=password_hash, changed_at=self.world.now())
            self._end_sessions(account_id, keep)
        self.world.logins[account_id] = login
        return login

    def _check_free(self, email: str, own: str) -> None:
        if any(one.email == email and one.account_id != own for one in self.world.logins.values()):
            raise email_taken()

    def _end_sessions(self, account_id: str, keep: str) -> None:
        kept = {stored: one for stored, one in self.world.sessions.items()
                if one.account_id != account_id or one.id == keep}  # fmt: skip
        self.world.sessions.clear()
        self.world.sessions.update(kept)

    async def erase_login(self, account_id: str) -> bool:
        """All that lets somebody in."""
        world = self.world
        self._end_sessions(account_id, "")
        for name in [name for name, owner in world.identities.items() if owner == account_id]:
            del world.identities[name]
        for stored in [stored for stored, link in world.links.items() if link.account_id == account_id]:
            del world.links[stored]
        return world.logins.pop(account_id, None) is not None

    async def sign_up(self, new: SignUp) -> Account:
        """Everything is checked before anything is changed."""
        address, identity = checked_email(new.email), new.identity
        role, grant = "user", asked_credits(new.grant, "grant", least=0)
        link = self._held(new.invitation, "invitation") if new.invitation else None
        if new.invitation:
            if link is None or link.email not in ("", address):
                raise invalid_link()
            role, grant = link.role, asked_credits(grant + link.credits, "grant", least=0)
        self._check_free(address, "")
        if any(one.name == address for one in self.world.accounts.values()):
            raise email_taken()
        if identity is not None and identity in self.world.identities:
            raise identity_taken()
        if link is not None:
            del self.world.links[self._digest(new.invitation)]
        account = Account("acct_" + random_text(16), address, role, 0, 0, self.world.now())
        self.world.accounts[account.id] = account
        if grant:
            self.world.post(account.id, "grant", grant, key="account:" + account.id)
        self._set(account.id, address, new.password_hash)
        if identity is not None:
            self.world.identities[identity] = account.id
        return self.world.accounts[account.id]

    async def find_identity(self, issuer: str, subject: str) -> str | None:
        """By both names."""
        return self.world.identities.get((issuer, subject))

    async def add_identity(self, account_id: str, issuer: str, subject: str) -> None:
        """The first account has it."""
        self.world.account(account_id)
        if self.world.identities.setdefault((issuer, subject), account_id) != account_id:
            raise identity_taken()

    def _digest(self, token: str) -> bytes:
        return digest(derive(self.settings.secret, LINK_PEPPER), token)

    def _held(self, token: str, purpose: LinkPurpose) -> Link | None:
        link = self.world.links.get(self._digest(token))
        if link is None or link.purpose != purpose or link.expires_at <= self.world.now():
            return None
        return None if link.account_id and self.world.accounts[link.account_id].disabled else link

    async def create_link(self, new: NewLink) -> tuple[Link, str]:
        """Only the token's digest is kept."""
        if new.account_id:
            self.world.account(new.account_id)
        now, token = self.world.now(), new_token()
        link = Link(
            "link_" + random_text(16), new.purpose, now, now + new.lifetime, new.account_id,
            checked_email(new.email) if new.email else "", checked_role(new.role),
            asked_credits(new.credits, "credits", least=0),
        )  # fmt: skip
        self.world.links[self._digest(token)] = link
        return link, token

    async def find_link(self, token: str, purpose: LinkPurpose) -> Link | None:
        """One that holds."""
        return self._held(token, purpose)

    async def take_link(self, token: str, purpose: LinkPurpose) -> Link | None:
        """Once."""
        link = self._held(token, purpose)
        if link is not None:
            del self.world.links[self._digest(token)]
        return link

    async def reset_password(self, token: str, password_hash: str, *, email: str = "") -> Login | None:
        """The link is gone when the password is set."""
        given = checked_email(email) if email else None
        link = self._held(token, "password")
        if link is None:
            return None
        address = link.email or (None if link.account_id in self.world.logins else given)
        login = self._set(link.account_id, address, password_hash)
        del self.world.links[self._digest(token)]
        return login

    async def list_links(self) -> list[Link]:
        """Newest first."""
        now = self.world.now()
        return [link for link in reversed(self.world.links.values()) if link.expires_at > now]

    async def revoke_link(self, link_id: str) -> bool:
        """One."""
        return self._drop({stored for stored, link in self.world.links.items() if link.id == link_id}) > 0

    async def prune_links(self, now: int) -> int:
        """What expired."""
        return self._drop({stored for stored, link in self.world.links.items() if link.expires_at <= now})

    def _drop(self, gone: set[bytes]) -> int:
        for stored in gone:
            del self.world.links[stored]
        return len(gone)
