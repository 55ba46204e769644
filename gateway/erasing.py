"""An account's end at the providers and in the store: batches are cancelled, files deleted there, then what is personal
is erased here."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from gateway.batches import Batches
from gateway.provider_files import Cleared, ProviderFiles
from gateway.stores import Account, Stores


@dataclass(slots=True, frozen=True)
class Erasure:
    """What became of it. account: as it is now. batches, files: those at providers."""

    account: Account
    batches: Cleared
    files: Cleared

    @property
    def left(self) -> list[tuple[str, str, str]]:
        """What may still be at providers, as provider, id and why."""
        return [*self.batches.left, *self.files.left]

    def shown(self) -> dict[str, Any]:
        """The account as JSON, with what was done at providers and what is left for the operator to do there."""
        left = [{"provider": provider, "id": name, "reason": why} for provider, name, why in self.left]
        done = {"batches_cancelled": self.batches.done, "files_deleted": self.files.done, "left": left}
        return {**asdict(self.account), "at_providers": done}


async def erase_account(stores: Stores, files: ProviderFiles, batches: Batches, account_id: str) -> Erasure | None:
    """Erase an account; None when there is none. What cannot be ended or deleted at a provider is in the answer, and is
    no reason not to erase the rest. Idempotent."""
    cancelled = await batches.cancel_all(account_id)
    deleted = await files.delete_all(account_id)
    account = await stores.accounts.erase_account(account_id)
    return None if account is None else Erasure(account, cancelled, deleted)
