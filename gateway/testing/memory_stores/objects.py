"""What accounts keep at providers, in memory."""

from __future__ import annotations

from dataclasses import replace

from gateway.api import Refusal
from gateway.api.stores import KeptObject, ObjectKind
from gateway.testing.memory_stores.world import Store, page


class MemoryObjects(Store):
    """`gateway.stores.Objects`."""

    async def add_object(self, kept: KeptObject) -> None:
        """The first account that names it has it."""
        self.world.account(kept.account_id)
        found = self.world.objects.get((kept.provider, kept.id))
        if found is None:
            self.world.objects[kept.provider, kept.id] = replace(kept, seq=self.world.number())
        elif found.account_id != kept.account_id:
            raise Refusal("This object belongs to another account.", status=409, code="object_taken")

    async def find_object(self, account_id: str, kind: ObjectKind, object_id: str) -> KeptObject | None:
        """The first of that id."""
        found = (one for one in self.world.objects.values() if one.id == object_id and one.kind == kind)
        return next((one for one in found if one.account_id == account_id), None)

    async def owns_object(self, account_id: str, provider: str, kind: ObjectKind, object_id: str) -> bool:
        """By provider and id."""
        found = self.world.objects.get((provider, object_id))
        return found is not None and (found.account_id, found.kind) == (account_id, kind)

    async def list_objects(
        self, account_id: str, kind: ObjectKind | None = None, *, before: int = 0, limit: int = 100
    ) -> list[KeptObject]:
        """Newest first."""
        own = [one for one in self.world.objects.values() if one.account_id == account_id and kind in (None, one.kind)]
        return page((one for one in reversed(own) if not before or one.seq < before), limit)

    async def open_objects(self, *, after: int = 0, limit: int = 100) -> list[KeptObject]:
        """Oldest first."""
        return page((one for one in self.world.objects.values() if one.is_open and one.seq > after), limit)

    async def change_object(self, kept: KeptObject) -> bool:
        """In place, so that the order stays."""
        place = kept.provider, kept.id
        found = self.world.objects.get(place)
        if found is not None:
            self.world.objects[place] = replace(found, size=kept.size, details=kept.details, is_open=kept.is_open)
        return found is not None

    async def remove_object(self, account_id: str, provider: str, object_id: str) -> bool:
        """Only the account's own."""
        found = self.world.objects.get((provider, object_id))
        if found is None or found.account_id != account_id:
            return False
        del self.world.objects[provider, object_id]
        return True
