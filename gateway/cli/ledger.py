"""gateway ledger check|show|export, gateway usage, gateway backup|restore."""

from __future__ import annotations

import argparse
import asyncio
import csv
import sys
from dataclasses import asdict, fields
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import orjson

from gateway.claim import is_claimed
from gateway.cli.common import add_config, add_json, blueprint_of, print_json, print_table, whole, with_stores
from gateway.cli.keys import every_account, find_account
from gateway.config import Config
from gateway.errors import CallerFault, GatewayFault
from gateway.http.api.usage import NO_KEY, usage_of
from gateway.server_secret import has_secret, server_secret
from gateway.stores import OTHER_COUNTS, Account, Entry, Stores

_DAY = 86_400
_SUMS = ("credits", "tokens", "requests")
_GROUP = ("CREDITS", "REQUESTS", "TOKENS")


def add_commands(commands: Any) -> None:
    """Register the commands of this module."""
    ledger = commands.add_parser("ledger", help="check, show and export the ledger")
    actions = ledger.add_subparsers(required=True, metavar="ACTION")
    check = actions.add_parser("check", help="recompute every sum and compare; exit status 1 when one is off")
    check.add_argument(
        "--new", action="store_true", help="only what was written since the last check that found nothing"
    )
    check.set_defaults(run=run_check)
    show = actions.add_parser("show", help="the last entries of an account")
    show.add_argument("account", help="the account's id, name or e-mail address")
    show.add_argument("--limit", type=whole(1, 1_000_000), default=50, help="how many (%(default)s)")
    show.set_defaults(run=run_show)
    export = actions.add_parser("export", help="every entry, oldest first: CSV, or JSON lines with --json")
    export.add_argument("--account", help="only this account's (id or name)")
    export.add_argument("--start", type=_first_second, help="entries of this UTC day and later, such as 2026-01-31")
    export.add_argument("--end", type=_last_second, help="entries up to this UTC day, itself included")
    export.set_defaults(run=run_export)
    usage = commands.add_parser("usage", help="what an account used, by day and model; without one, all of them")
    usage.add_argument(
        "account", nargs="?", help="the account's id, name or e-mail address; left out, a line for each account"
    )
    usage.add_argument("--key", help="only this key's (id; `console`: what was asked without one)")
    usage.add_argument("--days", help="UTC days including today (30)")
    usage.add_argument("--start", help="the first UTC day, such as 2026-01-31")
    usage.add_argument("--end", help="the last UTC day, itself included")
    usage.add_argument("--by", metavar="TAG", help="told apart by end users (user), or by a name of usage.tag_metadata")
    usage.set_defaults(run=run_usage)
    backup = commands.add_parser("backup", help="copy the database while the gateway runs")
    backup.add_argument("file", type=Path, help="where to; must not exist")
    backup.set_defaults(run=run_backup)
    restore = commands.add_parser("restore", help="check a backup and put it in the database's place")
    restore.add_argument("file", type=Path, help="a file that `gateway backup` wrote")
    restore.add_argument("--force", action="store_true", help="replace the database that is there")
    restore.set_defaults(run=run_restore)
    for action in (check, show, export, usage, backup, restore):
        add_config(action)
        add_json(action)


def run_check(options: argparse.Namespace) -> int:
    """Exit status 0 when every figure is right, 1 otherwise."""

    async def work(stores: Stores) -> int:
        found = await stores.check(full=not options.new)
        if options.json:
            print_json({"ok": not found, "discrepancies": [asdict(item) for item in found]})
        else:
            for item in found:
                print(item)
            print("ledger: every sum is right" if not found else f"ledger: {len(found)} discrepancies")
        return 1 if found else 0

    return with_stores(options, work)


def run_show(options: argparse.Namespace) -> int:
    """Newest first."""

    async def work(stores: Stores) -> int:
        account = await find_account(stores, options.account)
        entries = await stores.ledger.entries(account.id, limit=options.limit, newest_first=True)
        if options.json:
            print_json({**asdict(account), "entries": [asdict(entry) for entry in entries]})
            return 0
        print(f"{account.name} ({account.id}): {account.balance:,} credits, {account.held:,} of them held")
        rows = (
            (
                _when(entry.created_at),
                entry.kind,
                entry.amount,
                entry.balance,
                entry.model,
                entry.request_id or entry.key,
            )
            for entry in entries
        )
        print_table(("TIME (UTC)", "KIND", "CREDITS", "BALANCE", "MODEL", "REQUEST OR KEY"), rows)
        return 0

    return with_stores(options, work)


def run_export(options: argparse.Namespace) -> int:
    """CSV with a header line, or one JSON object per line. Raises CallerFault for days in the wrong order."""
    if options.start is not None and options.end is not None and options.start > options.end:
        raise CallerFault("--start is after --end: name the first day, and the last one, itself included")

    async def work(stores: Stores) -> int:
        account_id = None if options.account is None else (await find_account(stores, options.account)).id
        names = [field.name for field in fields(Entry)]
        writer = csv.DictWriter(sys.stdout, names)
        if not options.json:
            writer.writeheader()
        async for entry in stores.ledger.export(account_id):
            if not (options.start or 0) <= entry.created_at <= (options.end or entry.created_at):
                continue
            if options.json:
                print(orjson.dumps(asdict(entry)).decode())
            else:
                writer.writerow(asdict(entry))
        return 0

    return with_stores(options, work)


def run_usage(options: argparse.Namespace) -> int:
    """Sums of whole UTC days; as JSON what `GET /usage` answers, for all accounts a list of it."""
    query = {name: getattr(options, name) for name in ("key", "days", "start", "end")}
    query["group_by"] = options.by
    query = {name: value for name, value in query.items() if value is not None}
    config = blueprint_of(options).config

    async def work(stores: Stores) -> int:
        account = None if options.account is None else await find_account(stores, options.account)
        if options.key is not None and options.key != NO_KEY:
            account = await _owner_of(stores, options.key, account)
        if account is None:
            return await _usage_of_all(stores, query, config, options.json)
        found = await usage_of(stores, account.id, query, config)
        if options.json:
            print_json(found)
            return 0
        totals, budget = found["totals"], found["key_budget"] or found["budget"]
        print(
            f"{account.name}: balance {found['balance']:,} credits; {budget['percent']} % of this month's budget used"
        )
        print(", ".join(f"{totals[name]:,} {name}" for name in (*_SUMS, *OTHER_COUNTS) if name in totals))
        print_table(("DAY", "CREDITS", "REQUESTS"), (tuple(day.values()) for day in found["daily"]))
        print_table(("MODEL", "CREDITS"), (tuple(model.values()) for model in found["by_model"]))
        if options.by is not None:
            print_table((options.by.upper(), *_GROUP), _groups(found))
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


async def _usage_of_all(stores: Stores, query: dict[str, str], config: Config, as_json: bool) -> int:
    found = [(account, await usage_of(stores, account.id, query, config)) async for account in every_account(stores)]
    if as_json:
        print_json([{"account_id": account.id, "name": account.name, **usage} for account, usage in found])
        return 0
    if "group_by" in query:
        groups = ((account.name, *group) for account, usage in found for group in _groups(usage))
        print_table(("NAME", query["group_by"].upper(), *_GROUP), groups)
        return 0
    sums = (*_SUMS, *(name for name in OTHER_COUNTS if any(name in usage["totals"] for _, usage in found)))
    rows = (
        (
            account.id,
            account.name,
            *(f"{usage['totals'].get(name, 0):,}" for name in sums),
            f"{usage['balance']:,}",
            f"{usage['budget']['percent']} %",
        )
        for account, usage in found
    )
    print_table(("ID", "NAME", *(name.upper() for name in sums), "BALANCE", "BUDGET USED"), rows)
    return 0


def _groups(usage: dict[str, Any]) -> list[tuple[str, ...]]:
    """The rows of a table of `groups`."""
    names = {None: "(none)", "": "(others)"}
    return [
        (names.get(group["value"], group["value"]), *(f"{group[name.lower()]:,}" for name in _GROUP))
        for group in usage["groups"]
    ]


def _first_second(text: str) -> int:
    """The first second of a day. Raises ArgumentTypeError."""
    try:
        return int(datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC).timestamp())
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a day such as 2026-01-31, got {text!r}") from None


def _last_second(text: str) -> int:
    return _first_second(text) + _DAY - 1


def run_backup(options: argparse.Namespace) -> int:
    """A consistent copy, made beside a running gateway. Raises GatewayFault when the file exists."""
    if options.file.exists():
        raise GatewayFault(f"{options.file} exists already")

    async def work(stores: Stores) -> int:
        return await stores.backup(str(options.file))

    size = with_stores(options, work)
    if options.json:
        print_json({"file": str(options.file), "bytes": size})
    else:
        print(f"wrote {options.file} ({size:,} bytes). Keep the server secret beside it: without it no key works.")
    return 0


def run_restore(options: argparse.Namespace) -> int:
    """Checks the backup first. Raises GatewayFault when it is not sound, of a newer gateway, or of another secret
    than the one that is here, or a database is there without --force."""
    blueprint = blueprint_of(options)
    config = blueprint.config
    if is_claimed(config.data):
        raise GatewayFault("a gateway is running on this data folder; stop it first")
    secret = server_secret(config.data) if has_secret(config.data) else None
    place = asyncio.run(
        blueprint.stores_kind().restore(
            config.database.url, str(config.data.absolute()), str(options.file), replace=options.force, secret=secret
        )
    )
    if options.json:
        print_json({"database": place, "secret": secret is not None})
        return 0
    print(f"restored {place}")
    if secret is None:
        print(f"No server secret is in {config.data}: without the one of this database no key works. Put it there.")
    return 0


def _when(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
