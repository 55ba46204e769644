"""A whole database on its way into another store, whatever kinds the two are.

A store shows all that it keeps as rows of `TABLES`, in one state (`Snapshot`), and an empty one takes such rows over.
The columns are the members of the protocols; what they add:

- `n`: the number of a row, unique in its table and growing with age. It stays the same in the copy, because pages are
  asked for by it and rows refer to each other by it: `account`, `key` (0 for none), `hold`, `topup`, `conversation` and
  `previous` (-1: gone) are such numbers.
- Times are unix seconds, periods numbers such as 202611, days days since 1970; `digest` is under the server secret.
- `input`, `response`, `output` and `item` are JSON, as bytes; `events` and `content` are zlib. `counts`: see
  `counts_of`. `models` and `ip_allow`: tuples of texts. `tags`: pairs of texts. `metadata`, `headers` and
  `detail`: dicts.
- What runs (holds in state 0, `running` responses, answers without a status) is nobody's in the copy: it is resolved as
  if its process had died.

Leases and rate windows stay behind.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Protocol

Row = tuple[Any, ...]

TABLES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        name: tuple(columns.split())
        for name, columns in {
            "accounts": "n id name role balance held requests_per_minute disabled created alert_thresholds",
            "keys": "n id account name label created expires revoked last_used monthly_limit models "
            "requests_per_minute ip_allow alert_thresholds",
            "secrets": "digest key until",
            "months": "key period used held",
            "holds": "n request_id account key period created model amount units state charged logged target "
            "dispatched base unit_price ceiling known known_prompt known_completion tags",
            "entries": "n account kind amount reserved unpaid balance created hold basis idem note",
            "vouchers": "n digest label credits created expires redeemed account note revoked",
            "topups": "n id account method currency amount credits created state checkout url settled returned "
            "credited owed entries",
            "topup_parts": "topup name amount rank",
            "usage": "n account key hold request_id model target route status basis created counts first_byte_ms "
            "total_ms error tags tries",
            "rollups": "account day key model credits requests tokens images characters seconds searches",
            "tag_sums": "account day name value key credits requests tokens",
            "responses": "n id account status created expires previous running background cancelled request_id input "
            "response output events",
            "conversations": "n id account created expires metadata",
            "conversation_items": "n conversation id item",
            "answers": "name account body request_id expires status headers content",
            "objects": "n id account provider kind size created details is_open",
            "sessions": "n id digest account created expires seen remote agent",
            "logins": "account email password changed",
            "identities": "issuer subject account",
            "links": "n id digest purpose account email role credits created expires",
            "audit": "n at actor remote action subject detail",
        }.items()
    }
)
"""What a database consists of, by name, with the columns of a row; what is referred to stands before what refers to it.
Rows come in the order of their first column, then of the second and so on, texts by their code points."""

_AT_ONCE = MappingProxyType({"responses": 20, "answers": 50, "conversation_items": 200})


def at_once(table: str) -> int:
    """How many rows of a table are read and written together: fewer of those that may be large."""
    return _AT_ONCE.get(table, 2000)


class Snapshot(Protocol):
    """All that a store keeps, as it was at one moment, while others go on."""

    def rows(self, table: str) -> AsyncIterator[Sequence[Row]]:
        """All rows of one of `TABLES`, some at a time (see `at_once`)."""


def exact(price: Decimal | str | None) -> str | None:
    """A decimal as every store shows it: without an exponent, and without zeros at its end."""
    if price is None:
        return None
    text = format(Decimal(price), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def to_words(table: str, values: list[Any], kinds: Sequence[str], bases: Sequence[str]) -> None:
    """Of a row with positions in `kinds` and `bases`, as databases keep them, put the words in their places, and prices
    in their one form."""
    place = TABLES[table].index
    if table == "entries":
        values[place("kind")] = kinds[values[place("kind")]]
    if table in ("entries", "usage"):
        values[place("basis")] = bases[values[place("basis")]]
    if table == "holds":
        for name in ("base", "unit_price"):
            values[place(name)] = exact(values[place(name)])


def to_positions(table: str, values: list[Any], kinds: Sequence[str], bases: Sequence[str]) -> None:
    """The other way round; prices stay as they are."""
    place = TABLES[table].index
    if table == "entries":
        values[place("kind")] = kinds.index(values[place("kind")])
    if table in ("entries", "usage"):
        values[place("basis")] = bases.index(values[place("basis")])
