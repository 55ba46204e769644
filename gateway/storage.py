"""How much may be kept for one account: responses, conversations and answers under an `Idempotency-Key` together."""

from __future__ import annotations

from gateway.config import StorageSettings
from gateway.errors import Refusal
from gateway.stores import Stored, Stores

CODE = "storage_quota_exceeded"


class StorageQuota:
    """The quota of every account. What is asked to be kept at the same moment is not counted yet: accounts may exceed
    theirs by what they have in flight (`server.max_in_flight_per_account`)."""

    def __init__(self, stores: Stores, settings: StorageSettings) -> None:
        self._stores = stores
        self.settings = settings

    async def stored(self, account_id: str) -> Stored | None:
        """What is kept for an account; None where the store does not count that."""
        return await self._stores.stored(account_id)

    async def has_room(self, account_id: str) -> bool:
        """May more be kept?"""
        stored, settings = await self.stored(account_id), self.settings
        if stored is None:
            return True
        return stored.bytes < settings.bytes_per_account and stored.objects < settings.objects_per_account

    async def check(self, account_id: str, what: str) -> None:
        """Raise Refusal (403) when nothing more may be kept. what: what would have been, as the sentence's subject."""
        if not await self.has_room(account_id):
            settings = self.settings
            raise Refusal(
                f"{what} cannot be kept: this account has used up its storage ({settings.bytes_per_account} bytes, "
                f"{settings.objects_per_account} objects). Delete stored responses or conversations, or wait until "
                "they expire; GET /usage shows what is used.",
                status=403,
                code=CODE,
            )
