"""What accounts keep at providers."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway.errors import Refusal
from gateway.stores import KeptObject


def file(house: Any, object_id: str = "file-1", **changes: Any) -> KeptObject:
    made = KeptObject(object_id, house.account.id, "lab", "file", 100, int(house.clock.unix), {"filename": "ä.txt"})
    return replace(made, **changes)


async def ids(found: Any) -> list[str]:
    return [one.id for one in await found]


class ObjectsPromises:
    """See the module and `StoresContract`."""

    async def test_objects_belong_to_the_account_that_made_them(self, house: Any) -> None:
        objects, mine = house.stores.objects, house.account.id
        other = await house.stores.accounts.create_account("eve")
        await objects.add_object(file(house))
        await objects.add_object(file(house))
        found = await objects.find_object(mine, "file", "file-1")
        assert replace(found, seq=0) == file(house)
        assert found.seq > 0
        assert await objects.find_object(mine, "batch", "file-1") is None
        assert await objects.find_object(other.id, "file", "file-1") is None
        assert await objects.owns_object(mine, "lab", "file", "file-1")
        for whose, provider, kind, name in (
            (other.id, "lab", "file", "file-1"), (mine, "other", "file", "file-1"), (mine, "lab", "batch", "file-1"),
            (mine, "lab", "file", "file-2"), (mine, "lab", "file", "%"), ("acct_none", "lab", "file", "file-1"),
        ):  # fmt: skip
            assert not await objects.owns_object(whose, provider, kind, name)
        with pytest.raises(Refusal) as caught:
            await objects.add_object(file(house, account_id=other.id))
        assert caught.value.status == 409
        with pytest.raises(Refusal) as caught:
            await objects.add_object(file(house, "file-9", account_id="acct_none"))
        assert caught.value.status == 404
        assert not await objects.remove_object(other.id, "lab", "file-1")
        assert await objects.remove_object(mine, "lab", "file-1")
        assert not await objects.remove_object(mine, "lab", "file-1")
        assert not await objects.owns_object(mine, "lab", "file", "file-1")

    async def test_objects_of_one_id_at_two_providers(self, house: Any) -> None:
        objects = house.stores.objects
        await objects.add_object(file(house))
        await objects.add_object(file(house, provider="other"))
        assert await ids(objects.list_objects(house.account.id)) == ["file-1", "file-1"]

    async def test_objects_one_id_is_given_once_also_at_once(self, house: Any) -> None:
        accounts = [(await house.stores.accounts.create_account(f"a{n}")).id for n in range(8)]
        made = await asyncio.gather(
            *(house.stores.objects.add_object(file(house, account_id=one)) for one in accounts), return_exceptions=True
        )
        assert sum(one is None for one in made) == 1
        assert all(one is None or (isinstance(one, Refusal) and one.status == 409) for one in made)

    async def test_objects_come_in_pages(self, house: Any) -> None:
        objects, mine = house.stores.objects, house.account.id
        for number in range(5):
            await objects.add_object(file(house, f"file-{number}"))
        await objects.add_object(file(house, "batch-1", kind="batch", is_open=True))
        first = await objects.list_objects(mine, "file", limit=2)
        assert [one.id for one in first] == ["file-4", "file-3"]
        assert await ids(objects.list_objects(mine, "file", before=first[-1].seq)) == ["file-2", "file-1", "file-0"]
        assert await ids(objects.list_objects(mine, "batch")) == ["batch-1"]
        assert len(await objects.list_objects(mine)) == 6

    async def test_objects_that_are_open_are_found_until_they_are_closed(self, house: Any) -> None:
        objects = house.stores.objects
        other = await house.stores.accounts.create_account("eve")
        await objects.add_object(file(house))
        for number, whose in enumerate((house.account.id, other.id)):
            await objects.add_object(file(house, f"b{number}", account_id=whose, kind="batch", size=0, is_open=True))
        first, second = await objects.open_objects()
        assert (first.id, second.id, second.account_id) == ("b0", "b1", other.id)
        assert await ids(objects.open_objects(after=first.seq)) == ["b1"]
        changed = replace(first, details={"state": "done"}, is_open=False, size=7)
        assert await objects.change_object(changed)
        assert await ids(objects.open_objects()) == ["b1"]
        assert await objects.find_object(house.account.id, "batch", "b0") == changed
        assert not await objects.change_object(file(house, "gone"))

    async def test_objects_count_among_what_is_kept(self, house: Any) -> None:
        objects, stored = house.stores.objects, house.stores.stored
        if await stored(house.account.id) is None:
            return
        await objects.add_object(file(house))
        await objects.add_object(file(house, "file-2", size=50))
        found = await stored(house.account.id)
        assert (found.bytes, found.objects) == (150, 2)
        await objects.change_object(file(house, size=70))
        await objects.remove_object(house.account.id, "lab", "file-2")
        found = await stored(house.account.id)
        assert (found.bytes, found.objects) == (70, 1)

    async def test_objects_are_forgotten_with_an_erased_account(self, house: Any) -> None:
        objects = house.stores.objects
        await objects.add_object(file(house))
        await objects.add_object(file(house, "batch-1", kind="batch", is_open=True))
        await house.stores.accounts.erase_account(house.account.id)
        assert await ids(objects.list_objects(house.account.id)) == ["batch-1"], "its bill is still to be written"
