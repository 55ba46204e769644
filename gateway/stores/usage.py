"""What was used: the usage log; see `gateway.stores`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Protocol

from gateway.call import Basis, Usage
from gateway.stores.ledger import MAX_CREDITS
from gateway.wire.spend_tags import Tags

MOST_TAG_VALUES = 1000
"""Different values of one tag that are counted apart, for an account and a UTC day; more come under ""."""
OTHER_COUNTS = ("images", "characters", "seconds", "searches")
"""What a usage counts besides tokens, as its members are called."""
_EPOCH = date(1970, 1, 1)


@dataclass(slots=True)
class UsageRow:
    """One request in the usage log. created: unix seconds; milliseconds for the two durations.
    model: what the caller asked for; target: the model that answered, "" when none did. tags: for whom it was; those
    of a held request are its hold's. tries: its attempts at targets, as `pack_tries` makes them."""

    request_id: str
    account_id: str
    key_id: str
    model: str
    target: str
    route: str
    status: int
    usage: Usage
    basis: Basis
    created: int
    first_byte_ms: int | None = None
    total_ms: int = 0
    error: str = ""
    tags: Tags = ()
    tries: str = ""


@dataclass(slots=True, frozen=True)
class LoggedRequest:
    """A usage row as read back; seq: grows with every row; credits: what the ledger charged for it, less what it gave
    back."""

    seq: int
    credits: int
    row: UsageRow


@dataclass(slots=True, frozen=True)
class UsageSummary:
    """The figures of `GET /usage`: totals; `(day, credits, requests)` per UTC day with any use, ascending;
    `(model, credits)` and `(key id, credits, requests)`, most credits first, the key "" for calls without one. The
    credits are the ledger's own charges, booked on the day and under
    the model of their hold; tokens, requests and what is counted otherwise come from the usage log."""

    balance: int
    credits: int
    tokens: int
    requests: int
    daily: Sequence[tuple[str, int, int]] = ()
    by_model: Sequence[tuple[str, int]] = ()
    by_key: Sequence[tuple[str, int, int]] = ()
    images: int = 0
    characters: int = 0
    seconds: int = 0
    searches: int = 0

    @property
    def others(self) -> dict[str, int]:
        """What was used besides tokens, as far as anything was."""
        counts = {name: getattr(self, name) for name in OTHER_COUNTS}
        return {name: count for name, count in counts.items() if count}


def counts_of(u: Usage) -> list[int]:
    """What a usage log keeps of a usage, as it stands in `counts` of `TABLES`: the numbers of `Usage` in their order,
    the last four of them `OTHER_COUNTS`. What is beyond all reason is cut down to what can be kept."""
    counts = [
        u.prompt_tokens, u.completion_tokens, u.cached_tokens, u.cache_write_tokens, u.reasoning_tokens,
        u.audio_input_tokens, u.audio_output_tokens, u.image_input_tokens, u.image_output_tokens, u.web_searches,
        u.cache_write_1h_tokens, u.images, u.characters, u.seconds, u.searches,
    ]  # fmt: skip
    if min(counts) < 0 or max(counts) > MAX_CREDITS:
        return [min(max(int(count), 0), MAX_CREDITS) for count in counts]
    return counts


def summed_up(balance: int, sums: Iterable[Iterable[Any]]) -> UsageSummary:
    """The summary of what a store has added up. sums: of each the UTC day (days since 1970), the model, the key's id,
    credits, requests, tokens, and `OTHER_COUNTS` in their order."""
    days: dict[int, tuple[int, int]] = {}
    keys: dict[str, tuple[int, int]] = {}
    models: dict[str, int] = {}
    totals = [0] * (3 + len(OTHER_COUNTS))
    for day, model, key, *figures in sums:
        credits, requests = figures[:2]
        before = days.get(day, (0, 0))
        days[day] = (before[0] + credits, before[1] + requests)
        before = keys.get(key, (0, 0))
        keys[key] = (before[0] + credits, before[1] + requests)
        models[model] = models.get(model, 0) + credits
        totals = [total + more for total, more in zip(totals, figures, strict=True)]
    all_credits, all_requests, tokens, *others = totals
    return UsageSummary(
        balance=balance,
        credits=all_credits,
        tokens=tokens,
        requests=all_requests,
        daily=tuple(((_EPOCH + timedelta(days=day)).isoformat(), *days[day]) for day in sorted(days)),
        by_model=tuple(sorted(models.items(), key=lambda pair: (-pair[1], pair[0]))),
        by_key=tuple((key, *keys[key]) for key in sorted(keys, key=lambda key: (-keys[key][0], key))),
        **dict(zip(OTHER_COUNTS, others, strict=True)),
    )


@dataclass(slots=True, frozen=True)
class TagSum:
    """What was used under one value of a tag; the value "" stands for those beyond `MOST_TAG_VALUES`."""

    value: str
    credits: int
    requests: int
    tokens: int


@dataclass(slots=True, frozen=True)
class UsageFilter:
    """Which rows of the log; what is None or "" is not asked about.

    key_ids: those of any of these keys, "" for calls without one; empty for all. model: as the caller named it.
    failed: only those with a status of 400 or more. after: only rows after the one with this `seq`, and of a page those
    that came next after it. tag: a name and a value.
    """

    key_ids: tuple[str, ...] = ()
    model: str = ""
    failed: bool = False
    after: int = 0
    tag: tuple[str, str] | None = None


ALL_USE = UsageFilter()


class UsageLog(Protocol):
    """What happened; never the source of a bill. Sums are kept as rows arrive, so that reading them costs the same
    however long the log is."""

    def record(self, row: UsageRow) -> None:
        """Hand over one row without waiting. It may be batched: it is durable at the latest when a ledger operation of
        this process returns that was called after it, or when the store is closed, and may be lost when the process
        dies before. A row for a held request stands on its hold's account, key, day and model; a second one is
        ignored."""

    async def summary(self, account_id: str, *, start: int, end: int, key_id: str | None = None) -> UsageSummary:
        """Sums over rows with start <= created < end (unix seconds; a time inside a day stands for the whole UTC day).
        The balance is the account's, also with a key; zero when there is no such account."""

    async def by_tag(
        self, account_id: str, name: str, *, start: int, end: int, key_id: str | None = None
    ) -> list[TagSum]:
        """Sums over the rows of `summary` that have this tag, for each of its values, most credits first. Gone with
        the account's personal data."""

    async def recent(
        self, account_id: str | None = None, *, before: int = 0, limit: int = 50, only: UsageFilter = ALL_USE
    ) -> list[LoggedRequest]:
        """Rows of the log, newest first; `before` is the `seq` of the last row of the page before. limit: 1 to
        1000."""

    async def find(self, request_id: str) -> LoggedRequest | None:
        """The row of one request. May look through the whole log, so it is for people who ask, not for requests."""

    async def prune(self, before: int) -> int:
        """Delete the rows created before this time (unix seconds); sums stay. Returns how many."""
