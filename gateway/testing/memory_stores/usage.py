"""The usage log, in memory."""

from __future__ import annotations

from dataclasses import replace

from gateway.api.stores import (
    ALL_USE,
    LoggedRequest,
    TagSum,
    UsageFilter,
    UsageRow,
    UsageSummary,
    counts_of,
    summed_up,
)
from gateway.testing.memory_stores.world import Held, Store, World, page, refunded


def log(world: World, row: UsageRow, held: Held | None) -> None:
    """One row with its sums, on its hold's account, key, day and model; once for each hold."""
    row = replace(row, usage=replace(row.usage))
    if held is not None:
        if held.logged:
            return
        held.logged = True
        asked = held.request
        row = replace(row, account_id=asked.account_id, key_id=asked.key_id, model=asked.model, created=held.created)
        row = replace(row, tags=asked.tags)
    world.usage.append(LoggedRequest(world.number(), 0, row))
    counts = counts_of(row.usage)
    world.add(row.account_id, row.created, row.key_id, row.model, row.tags, 0, 1, sum(counts[:2]), counts[11:])


class MemoryUsage(Store):
    """`gateway.stores.UsageLog`."""

    def record(self, row: UsageRow) -> None:
        """At once."""
        held = self.world.holds.get(row.request_id)
        if held is not None or row.account_id in self.world.accounts:
            log(self.world, row, held)

    async def summary(self, account_id: str, *, start: int, end: int, key_id: str | None = None) -> UsageSummary:
        """From the sums of days."""
        found = self.world.accounts.get(account_id)
        sums = (
            (day, model, key, *figures)
            for (account, day, key, model), figures in self.world.sums.items()
            if account == account_id and start // 86_400 <= day < -(-end // 86_400) and key_id in (None, key)
        )
        return summed_up(found.balance if found else 0, sums)

    async def by_tag(
        self, account_id: str, name: str, *, start: int, end: int, key_id: str | None = None
    ) -> list[TagSum]:
        """From the sums of days."""
        values: dict[str, list[int]] = {}
        for (account, day, tag, value, key), sums in self.world.tag_sums.items():
            if (account, tag) == (account_id, name) and start // 86_400 <= day < -(-end // 86_400):
                if key_id in (None, key):
                    own = values.setdefault(value, [0, 0, 0])
                    for place, more in enumerate(sums):
                        own[place] += more
        found = (TagSum(value, *sums) for value, sums in values.items())
        return sorted(found, key=lambda one: (-one.credits, one.value))

    async def recent(
        self, account_id: str | None = None, *, before: int = 0, limit: int = 50, only: UsageFilter = ALL_USE
    ) -> list[LoggedRequest]:
        """Newest first."""
        rows = [
            one
            for one in self.world.usage
            if account_id in (None, one.row.account_id)
            and (not only.key_ids or one.row.key_id in only.key_ids)
            and only.model in ("", one.row.model)
            and (not only.failed or one.row.status >= 400)
            and (only.tag is None or only.tag in one.row.tags)
            and (not before or only.after or one.seq < before)
            and one.seq > only.after
        ]
        found = page(rows, limit)[::-1] if only.after else page(reversed(rows), limit)
        return [replace(one, credits=self._charged(one.row.request_id)) for one in found]

    async def find(self, request_id: str) -> LoggedRequest | None:
        """The only one."""
        rows = (one for one in self.world.usage if one.row.request_id == request_id)
        return next((replace(one, credits=self._charged(request_id)) for one in rows), None)

    def _charged(self, request_id: str) -> int:
        held = self.world.holds.get(request_id)
        return held.charged - refunded(self.world, request_id) if held is not None else 0

    async def prune(self, before: int) -> int:
        """Rows go, sums stay."""
        kept = [one for one in self.world.usage if one.row.created >= before]
        gone = len(self.world.usage) - len(kept)
        self.world.usage[:] = kept
        return gone
