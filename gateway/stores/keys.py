"""Keys: the credentials of accounts; see `gateway.stores`. `gateway.credentials` says what they look like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gateway.call import Caller


@dataclass(slots=True, frozen=True)
class Key:
    """A key without its secret. label: prefix and last four characters, fit for display and logs.
    alert_thresholds: percents of its ceiling at which is told of it; None: those of the configuration."""

    id: str
    account_id: str
    name: str
    label: str
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    last_used_at: int | None = None
    monthly_limit: int | None = None
    models: tuple[str, ...] | None = None
    requests_per_minute: int | None = None
    ip_allow: tuple[str, ...] | None = None
    alert_thresholds: tuple[int, ...] | None = None


@dataclass(slots=True, frozen=True)
class KeySettings:
    """What its creator decides about a key; see `Key` and `gateway.call.Caller` for meanings and units."""

    name: str = ""
    expires_at: int | None = None
    monthly_limit: int | None = None
    models: tuple[str, ...] | None = None
    requests_per_minute: int | None = None
    ip_allow: tuple[str, ...] | None = None
    alert_thresholds: tuple[int, ...] | None = None


class Keys(Protocol):
    """Credentials. Only digests are kept. Where `account_id` is given, a key of another account is as good as unknown.
    Every change counts within one second in every process, and at once in the one that made it."""

    async def create_key(self, account_id: str, settings: KeySettings) -> tuple[Key, str]:
        """A new key and its plain text, which is not kept. Not idempotent: a caller that lost the answer revokes what
        it finds. Raises Refusal(404) for an unknown account, Refusal(400) when it has too many active keys, CallerFault
        for settings that cannot be stored."""

    async def authenticate(self, plain: str, remote: str) -> Caller | None:
        """The caller behind a plain key, or None when it is unknown, expired, revoked, or of a disabled account.
        Every request asks, so an implementation keeps good answers in memory: by the full digest, never longer than
        the second within which a revocation counts. Raises Refusal(403) when the key may not be used from `remote`."""

    async def get_key(self, key_id: str, *, account_id: str | None = None) -> Key | None:
        """The key with this id. `last_used_at` may be a minute behind."""

    async def list_keys(self, account_id: str | None = None) -> list[Key]:
        """All keys (revoked ones too) of one account or of all, in order of creation."""

    async def update_key(self, key_id: str, settings: KeySettings, *, account_id: str | None = None) -> Key | None:
        """Replace all settings of a key that is not revoked; None when there is none. Idempotent."""

    async def rotate_key(
        self, key_id: str, *, grace: float = 0.0, account_id: str | None = None
    ) -> tuple[Key, str] | None:
        """A new secret for the same key: its id, settings and use stay. The old secret works `grace` seconds more, 0
        to 30 days; None when there is no such key that is not revoked."""

    async def revoke_key(self, key_id: str, *, account_id: str | None = None) -> Key | None:
        """Revoke for good; the key as it is now, also when it was revoked before; None when it is unknown."""

    async def month_use(self, key_id: str, period: str) -> tuple[int, int]:
        """Credits (charged, held) of a key in a UTC month; (0, 0) when it was not used in it."""
