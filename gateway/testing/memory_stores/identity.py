"""Accounts, keys, sessions and the audit log, in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import orjson

from gateway.api import Caller, CallerFault, Refusal
from gateway.api.stores import (
    KEY_PEPPER,
    LONGEST_GRACE,
    SESSION_PEPPER,
    Account,
    AccountChange,
    AuditEntry,
    Key,
    KeySettings,
    Session,
    address_allowed,
    asked_credits,
    check_change,
    checked_role,
    checked_settings,
    checked_text,
    derive,
    digest,
    erased_name,
    label_of,
    name_taken,
    new_key,
    new_token,
    random_text,
    well_formed,
)
from gateway.testing.memory_stores.world import Store, page


class MemoryAccounts(Store):
    """`gateway.stores.Accounts`."""

    async def create_account(self, name: str, *, role: str = "user", grant: int = 0) -> Account:
        """With its first entry."""
        checked_text(name, "name", least=1, most=200)
        checked_role(role)
        asked_credits(grant, "grant", least=0)
        self._check_free(name, "")
        account = Account("acct_" + random_text(16), name, role, 0, 0, self.world.now())
        self.world.accounts[account.id] = account
        if grant:
            self.world.post(account.id, "grant", grant, key="account:" + account.id)
        return self.world.accounts[account.id]

    def _check_free(self, name: str, own: str) -> None:
        if any(one.name == name and one.id != own for one in self.world.accounts.values()):
            raise name_taken()

    async def get_account(self, account_id: str) -> Account | None:
        """By id."""
        return self.world.accounts.get(account_id)

    async def find_account(self, id_or_name: str) -> Account | None:
        """By id, else by name."""
        named = (one for one in self.world.accounts.values() if one.name == id_or_name)
        return self.world.accounts.get(id_or_name) or next(named, None)

    async def list_accounts(self, *, after: str = "", limit: int = 100) -> list[Account]:
        """In order of creation."""
        if after and after not in self.world.accounts:
            return []
        ids = list(self.world.accounts)
        begin = ids.index(after) + 1 if after else 0
        return page((self.world.accounts[one] for one in ids[begin:]), limit)

    async def update_account(self, account_id: str, change: AccountChange) -> Account | None:
        """Only what is named."""
        check_change(change)
        account = self.world.accounts.get(account_id)
        if account is None:
            return None
        if "name" in change.change:
            self._check_free(change.name, account_id)
        values: dict[str, Any] = {name: getattr(change, name) for name in change.change}
        self.world.accounts[account_id] = replace(account, **values)
        return self.world.accounts[account_id]

    async def erase_account(self, account_id: str) -> Account | None:
        """All at once."""
        world = self.world
        account = world.accounts.get(account_id)
        if account is None:
            return None
        own = {key.id for key in world.keys.values() if key.account_id == account_id}
        for key_id in own:
            key = world.keys[key_id]
            ended = world.now() if key.revoked_at is None else key.revoked_at
            world.keys[key_id] = replace(key, name="", ip_allow=None, revoked_at=ended)
        drop(world.secrets, lambda held: held[0] in own)
        drop(world.sessions, lambda session: session.account_id == account_id)
        drop(world.links, lambda link: link.account_id == account_id)
        drop(world.identities, lambda owner: owner == account_id)
        drop(world.responses, lambda kept: kept[0].account_id == account_id and not kept[0].running)
        drop(world.conversations, lambda kept: kept[0].account_id == account_id)
        drop(world.objects, lambda kept: kept.account_id == account_id and not kept.is_open)
        world.logins.pop(account_id, None)
        for tagged in [one for one in world.tag_sums if one[0] == account_id]:
            del world.tag_sums[tagged]
        world.usage[:] = [
            replace(one, row=replace(one.row, tags=(), tries="")) if one.row.account_id == account_id else one
            for one in world.usage
        ]
        for held in world.holds.values():
            if held.request.account_id == account_id:
                held.request = replace(held.request, tags=())
        world.accounts[account_id] = replace(account, name=erased_name(account_id), role="user", disabled=True)
        return world.accounts[account_id]


def drop(rows: dict[Any, Any], which: Callable[[Any], bool]) -> None:
    """Delete the rows whose value is meant."""
    for name in [name for name, value in rows.items() if which(value)]:
        del rows[name]


class MemoryKeys(Store):
    """`gateway.stores.Keys`."""

    def _digest(self, plain: str) -> bytes:
        return digest(derive(self.settings.secret, KEY_PEPPER), plain)

    async def create_key(self, account_id: str, settings: KeySettings) -> tuple[Key, str]:
        """Only its digest is kept."""
        now = self.world.now()
        wanted = checked_settings(settings, now)
        self.world.account(account_id)
        most = self.settings.keys_per_account
        active = [one for one in self.world.keys.values()
                  if one.account_id == account_id and one.revoked_at is None
                  and (one.expires_at is None or one.expires_at > now)]  # fmt: skip
        if len(active) >= most:
            raise Refusal(f"This account has {most} active keys, the most it may have.", status=400,
                          code="too_many_keys")  # fmt: skip
        plain = new_key(self.settings.key_prefix)
        key = Key("key_" + random_text(16), account_id, "", label_of(plain, self.settings.key_prefix), now)
        self.world.secrets[self._digest(plain)] = (key.id, None)
        return self._set(key, wanted), plain

    def _set(self, key: Key, settings: KeySettings) -> Key:
        changed = replace(
            key, name=settings.name, expires_at=settings.expires_at, monthly_limit=settings.monthly_limit,
            models=settings.models, requests_per_minute=settings.requests_per_minute, ip_allow=settings.ip_allow,
            alert_thresholds=settings.alert_thresholds,
        )  # fmt: skip
        self.world.keys[key.id] = changed
        return changed

    async def authenticate(self, plain: str, remote: str) -> Caller | None:
        """Nothing needs to be kept apart here: a look-up is as fast."""
        if not well_formed(plain, self.settings.key_prefix):
            return None
        key_id, until = self.world.secrets.get(self._digest(plain), ("", None))
        key = self.world.keys.get(key_id)
        if key is None or key.revoked_at is not None:
            return None
        account, now = self.world.accounts[key.account_id], self.world.clock()
        if account.disabled or any(end is not None and now >= end for end in (until, key.expires_at)):
            return None
        if key.ip_allow is not None and not address_allowed(remote, key.ip_allow):
            raise Refusal("This API key may not be used from this address.", status=403, code="ip_not_allowed")
        self.world.keys[key_id] = replace(key, last_used_at=int(now))
        return Caller(
            account_id=account.id, key_id=key.id, key_label=key.label, key_name=key.name, models=key.models,
            monthly_limit=key.monthly_limit, requests_per_minute=key.requests_per_minute,
            account_requests_per_minute=account.requests_per_minute,
        )  # fmt: skip

    def _own(self, key_id: str, account_id: str | None) -> Key | None:
        key = self.world.keys.get(key_id)
        return key if key is not None and account_id in (None, key.account_id) else None

    async def get_key(self, key_id: str, *, account_id: str | None = None) -> Key | None:
        """By id."""
        return self._own(key_id, account_id)

    async def list_keys(self, account_id: str | None = None) -> list[Key]:
        """In order of creation."""
        return [one for one in self.world.keys.values() if account_id in (None, one.account_id)]

    async def update_key(self, key_id: str, settings: KeySettings, *, account_id: str | None = None) -> Key | None:
        """All settings."""
        wanted, key = checked_settings(settings, self.world.now()), self._own(key_id, account_id)
        return None if key is None or key.revoked_at is not None else self._set(key, wanted)

    async def rotate_key(
        self, key_id: str, *, grace: float = 0.0, account_id: str | None = None
    ) -> tuple[Key, str] | None:
        """The old secrets end at the latest after `grace`."""
        if not 0 <= grace <= LONGEST_GRACE:
            raise CallerFault("grace: expected seconds from 0 to 2592000.", param="grace")
        key = self._own(key_id, account_id)
        if key is None or key.revoked_at is not None:
            return None
        end = self.world.now() + int(grace)
        for stored, (owner, until) in list(self.world.secrets.items()):
            if owner == key_id:
                self.world.secrets[stored] = (owner, min(end, until) if until is not None else end)
        plain = new_key(self.settings.key_prefix)
        self.world.secrets[self._digest(plain)] = (key_id, None)
        self.world.keys[key_id] = replace(key, label=label_of(plain, self.settings.key_prefix))
        return self.world.keys[key_id], plain

    async def revoke_key(self, key_id: str, *, account_id: str | None = None) -> Key | None:
        """The first time stays."""
        key = self._own(key_id, account_id)
        if key is not None and key.revoked_at is None:
            key = self.world.keys[key_id] = replace(key, revoked_at=self.world.now())
        return key

    async def month_use(self, key_id: str, period: str) -> tuple[int, int]:
        """Charged and held."""
        return self.world.month(key_id, period)


class MemorySessions(Store):
    """`gateway.stores.Sessions`."""

    def _digest(self, token: str) -> bytes:
        return digest(derive(self.settings.secret, SESSION_PEPPER), token)

    async def open_session(
        self, account_id: str, *, lifetime: int, remote: str = "", agent: str = ""
    ) -> tuple[Session, str]:
        """Only the token's digest is kept."""
        if account_id and self.world.account(account_id).disabled:
            raise Refusal("This account is disabled.", status=403, type="account_disabled", code="account_disabled")
        now, token = self.world.now(), new_token()
        session = Session("sess_" + random_text(16), account_id, now, now + lifetime, now, remote[:200], agent[:200])
        self.world.sessions[self._digest(token)] = session
        return session, token

    async def find_session(self, token: str) -> Session | None:
        """One that has not ended."""
        stored, now = self._digest(token), self.world.now()
        found = self.world.sessions.get(stored)
        if found is None or found.expires_at <= now:
            return None
        if found.account_id and self.world.accounts[found.account_id].disabled:
            return None
        if now - found.last_seen_at >= 60:
            self.world.sessions[stored] = replace(found, last_seen_at=now)
        return found

    async def list_sessions(self, account_id: str) -> list[Session]:
        """Newest first."""
        now = self.world.now()
        return [one for one in reversed(self.world.sessions.values())
                if one.account_id == account_id and one.expires_at > now]  # fmt: skip

    def _end(self, ids: set[str]) -> int:
        gone = [stored for stored, one in self.world.sessions.items() if one.id in ids]
        for stored in gone:
            del self.world.sessions[stored]
        return len(gone)

    async def end_session(self, session_id: str, *, account_id: str | None = None) -> bool:
        """One."""
        now = self.world.now()
        return self._end({one.id for one in self.world.sessions.values()
                          if one.id == session_id and account_id in (None, one.account_id)
                          and one.expires_at > now}) > 0  # fmt: skip

    async def end_sessions(self, account_id: str, *, but: str = "") -> int:
        """All of an account, except one."""
        return self._end({one.id for one in await self.list_sessions(account_id) if one.id != but})

    async def prune(self, now: int) -> int:
        """What expired."""
        return self._end({one.id for one in self.world.sessions.values() if one.expires_at <= now})


class MemoryAudit(Store):
    """`gateway.stores.Audit`."""

    async def record(
        self, actor: str, action: str, subject: str, *, remote: str = "", detail: Mapping[str, Any] | None = None
    ) -> None:
        """One more."""
        text = orjson.dumps(dict(detail or {}), default=str)
        kept = orjson.loads(text) if len(text) <= 8_000 else {"note": f"{len(text)} bytes, so it was not kept"}
        entry = AuditEntry(self.world.number(), self.world.now(), actor[:200], remote[:200], action[:200],
                           subject[:200], kept)  # fmt: skip
        self.world.audit.append(entry)

    async def entries(
        self, *, before: int = 0, limit: int = 100, actor: str = "", action: str = "", subject: str = ""
    ) -> list[AuditEntry]:
        """Newest first."""
        return page(
            (
                one
                for one in reversed(self.world.audit)
                if (not before or one.seq < before)
                and actor in ("", one.actor)
                and action in ("", one.action)
                and subject in ("", one.subject)
            ),
            limit,
        )
