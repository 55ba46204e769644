"""gateway usage: what accounts used, as tables, as CSV, or in the shape of the API."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gateway.cli.common import add_config, add_json, blueprint_of, print_json, print_table, with_stores
from gateway.cli.keys import every_account, find_account
from gateway.config import Config
from gateway.errors import CallerFault
from gateway.http.api.account.requests import lines
from gateway.http.api.usage import NO_KEY, usage_of
from gateway.stores import OTHER_COUNTS, Account, Stores

_SUMS = ("credits", "tokens", "requests")
_PARTS: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        "day": ("daily", ("day", "credits", "requests")),
        "model": ("by_model", ("model", "credits")),
        "key": ("by_key", ("key_id", "credits", "requests")),
    }
)
"""What `--by` names besides tags: the member of the usage object, and the members of each of its entries."""
_TAGGED = ("value", "credits", "requests", "tokens")
_NO_VALUE = MappingProxyType({None: "(none)", "": "(others)"})


def add_commands(commands: Any) -> None:
    """Register the command."""
    usage = commands.add_parser("usage", help="what an account used, by day and model; without one, all of them")
    usage.add_argument(
        "account", nargs="?", help="the account's id, name or e-mail address; left out, a line for each account"
    )
    usage.add_argument("--key", help="only this key's (id; `console`: what was asked without one)")
    usage.add_argument("--days", help="UTC days including today (30)")
    usage.add_argument("--start", help="the first UTC day, such as 2026-01-31")
    usage.add_argument("--end", help="the last UTC day, itself included")
    usage.add_argument(
        "--by", metavar="WHAT", help="told apart by day, model, key, end users (user), or a name of usage.tag_metadata"
    )
    usage.add_argument("--csv", action="store_true", help="print one table, as comma-separated values")
    add_config(usage)
    add_json(usage)
    usage.set_defaults(run=run_usage)


@dataclass(slots=True, frozen=True)
class _Asked:
    """A command line. query: as `GET /usage` takes it. by: how the table tells apart; as_csv, as_json: how it is
    printed."""

    query: Mapping[str, str]
    by: str | None
    as_csv: bool
    as_json: bool

    @classmethod
    def of(cls, options: argparse.Namespace, config: Config) -> _Asked:
        """Raises CallerFault."""
        if options.csv and options.json:
            raise CallerFault("give either --csv or --json")
        query = {name: getattr(options, name) for name in ("key", "days", "start", "end")}
        if options.by not in _PARTS or options.by in config.usage.tag_metadata:
            query["group_by"] = options.by
        query = {name: value for name, value in query.items() if value is not None}
        return cls(query, options.by, options.csv, options.json)

    def show(self, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """One table. rows: numbers as such."""
        if self.as_csv:
            print(lines([header, *rows]).decode(), end="")
            return
        shown = [[f"{cell:,}" if isinstance(cell, int) else cell for cell in row] for row in rows]
        print_table([name.upper().replace("_", " ") for name in header], shown)


def run_usage(options: argparse.Namespace) -> int:
    """Sums of whole UTC days; as JSON what `GET /usage` answers, for all accounts a list of it. Raises CallerFault."""
    config = blueprint_of(options).config
    asked = _Asked.of(options, config)

    async def work(stores: Stores) -> int:
        account = None if options.account is None else await find_account(stores, options.account)
        if options.key is not None and options.key != NO_KEY:
            account = await _owner_of(stores, options.key, account)
        if account is None:
            await _show_all(stores, asked, config)
        else:
            await _show_one(stores, asked, config, account)
        return 0

    return with_stores(options, work)


async def _owner_of(stores: Stores, key_id: str, account: Account | None) -> Account:
    """The account of a key. account: whose it must be. Raises CallerFault for a key that is not there."""
    key = await stores.keys.get_key(key_id)
    owner = None if key is None else await stores.accounts.get_account(key.account_id)
    if owner is None or (account is not None and owner.id != account.id):
        whose = "" if account is None else f" of '{account.name}'"
        raise CallerFault(f"there is no key{whose} with the id '{key_id}'; see: gateway keys list", status=404)
    return owner


async def _show_one(stores: Stores, asked: _Asked, config: Config, account: Account) -> None:
    found = await usage_of(stores, account.id, asked.query, config)
    if asked.as_json:
        print_json(found)
        return
    if asked.as_csv:
        asked.show(*await _parts(stores, asked.by or "day", [("", found)]))
        return
    totals, budget = found["totals"], found["key_budget"] or found["budget"]
    print(f"{account.name}: balance {found['balance']:,} credits; {budget['percent']} % of this month's budget used")
    print(", ".join(f"{totals[name]:,} {name}" for name in (*_SUMS, *OTHER_COUNTS) if name in totals))
    for by in dict.fromkeys(("day", "model", asked.by)):
        if by is not None:
            asked.show(*await _parts(stores, by, [("", found)]))


async def _show_all(stores: Stores, asked: _Asked, config: Config) -> None:
    found = [
        (account, await usage_of(stores, account.id, asked.query, config)) async for account in every_account(stores)
    ]
    if asked.as_json:
        print_json([{"account_id": account.id, "name": account.name, **usage} for account, usage in found])
        return
    if asked.by is not None:
        header, rows = await _parts(stores, asked.by, [(account.name, usage) for account, usage in found])
        asked.show(("name", *header), rows)
        return
    sums = (*_SUMS, *(name for name in OTHER_COUNTS if any(name in usage["totals"] for _, usage in found)))
    percent = "{}" if asked.as_csv else "{} %"
    rows = [
        (
            account.id,
            account.name,
            *(usage["totals"].get(name, 0) for name in sums),
            usage["balance"],
            percent.format(usage["budget"]["percent"]),
        )
        for account, usage in found
    ]
    asked.show(("id", "name", *sums, "balance", "budget_used"), rows)


async def _parts(
    stores: Stores, by: str, usages: Sequence[tuple[str, Mapping[str, Any]]]
) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Header and rows of usage that is told apart. usages: of each account with its name, which stands in front of the
    rows, and is "" for no such column."""
    tagged = any(usage.get("group_by") == by for _, usage in usages)
    member, names = ("groups", _TAGGED) if tagged or by not in _PARTS else _PARTS[by]
    header: tuple[str, ...] = (by, *names[1:])
    rows = []
    for name, usage in usages:
        for part in usage[member]:
            first, *rest = (part[each] for each in names)
            first = (first or NO_KEY) if member == "by_key" else _NO_VALUE.get(first, first)
            rows.append((*((name,) if name else ()), first, *rest))
    if member == "by_key":
        keys = {key.id: key.name or key.label for key in await stores.keys.list_keys()}
        header, rows = (*header, "key_name"), [(*row, keys.get(row[-3], "")) for row in rows]
    return header, rows
