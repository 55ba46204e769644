"""gateway db copy|migrate."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from gateway.blueprint import Blueprint, stores_settings
from gateway.claim import is_claimed
from gateway.cli.common import add_config, add_json, print_json, print_table, record, used_data
from gateway.errors import ConfigFault, GatewayFault
from gateway.server_secret import FILE_NAME
from gateway.stores import MigrationPlan, StoresKind
from gateway.stores.copying import Copied, copy_stores


def add_commands(commands: Any) -> None:
    """Register the commands of this module."""
    database = commands.add_parser("db", help="copy a database into another one, bring it to its newest shape")
    actions = database.add_subparsers(required=True, metavar="ACTION")
    copy = actions.add_parser("copy", help="copy everything into an empty database, and prove that it arrived")
    copy.add_argument("source", metavar="FROM", help="its URL, as under `database.url`")
    copy.add_argument("target", metavar="TO", help="the URL of the empty one")
    copy.set_defaults(run=run_copy)
    migrate = actions.add_parser("migrate", help="bring the database to this version's shape")
    migrate.add_argument("--plan", action="store_true", help="only show what would be done")
    migrate.set_defaults(run=run_migrate)
    for action in (copy, migrate):
        add_config(action)
        add_json(action)


def kind_of(blueprint: Blueprint, url: str) -> StoresKind:
    """The kind of store a URL means. Raises ConfigFault for one that no plugin offers, or that is wrong."""
    scheme = url.partition("://")[0]
    kind = blueprint.stores.get(scheme)
    if kind is None:
        there = ", ".join(sorted(blueprint.stores))
        raise ConfigFault([f"{scheme}: no plugin offers such a database; there are {there}"])
    if problem := kind.check(url):
        raise ConfigFault([f"{scheme}: {problem}"])
    return kind


def run_copy(options: argparse.Namespace) -> int:
    """Exit status 1 when the source is not sound, the target not empty, or the copy not the same."""
    blueprint = used_data(options)
    ends = kind_of(blueprint, options.source), kind_of(blueprint, options.target)
    if is_claimed(blueprint.config.data):
        print("A gateway is running: what it does from now on is not in the copy. To move, stop it first.",
              file=sys.stderr)  # fmt: skip
    copied = asyncio.run(_copy(blueprint, options, ends, Progress(time.monotonic)))
    if options.json:
        print_json({"rows": dict(copied.rows), "balance": copied.balance, "held": copied.held})
        return 0
    print_table(("TABLE", "ROWS"), ((table, f"{count:,}") for table, count in copied.rows.items() if count))
    print(
        f"All rows are the same on both sides, and so are the balances: {copied.balance:,} credits, {copied.held:,} of "
        "them held. Every sum of both ledgers is right."
    )
    print(
        "The copy belongs to the same server secret, without which no key works. Every gateway that uses it needs this "
        f"file: {blueprint.config.data / FILE_NAME}"
    )
    return 0


async def _copy(
    blueprint: Blueprint, options: argparse.Namespace, ends: tuple[StoresKind, StoresKind], told: Progress
) -> Copied:
    settings = await asyncio.to_thread(stores_settings, blueprint.config)
    if not (await ends[0].plan(options.source, settings)).version:
        raise GatewayFault("there is no database at FROM")
    async with await ends[0].open(options.source, settings) as source:
        async with await ends[1].open(options.target, settings) as target:
            if source.describe() == target.describe():
                raise GatewayFault("FROM and TO are the same database")
            copied = await copy_stores(source, target, told)
        await record(source, "database.copy", "", target=target.describe()["place"])
    return copied


class Progress:
    """Tells people on a terminal how far it is, once a second."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._last = monotonic()

    def __call__(self, table: str, count: int) -> None:
        now = self._monotonic()
        if now - self._last >= 1.0:
            self._last = now
            print(f"{table}: {count:,} rows", file=sys.stderr)


def run_migrate(options: argparse.Namespace) -> int:
    """Exit status 1 while a gateway is in the way, and for a database of a newer one."""
    blueprint = used_data(options)
    kind, url = blueprint.stores_kind(), blueprint.config.database.url

    async def work() -> MigrationPlan:
        settings = await asyncio.to_thread(stores_settings, blueprint.config)
        return await (kind.plan if options.plan else kind.migrate)(url, settings)

    plan = asyncio.run(work())
    if options.json:
        print_json({"done": not options.plan, **asdict(plan)})
        return 0
    if not plan.version:
        print("there is no database yet; `gateway serve` makes one")
        return 0
    print(f"the database has version {plan.version}; this gateway knows {plan.newest}")
    if plan.version > plan.newest:
        raise GatewayFault(plan.blocked)
    if not plan.steps:
        print("nothing is to be done" if options.plan else "nothing was to be done")
        return 0
    print_table(("STAGE", "VERSION", "WHAT"), ((step.stage, step.version, step.what) for step in plan.steps))
    if not options.plan:
        print("done")
    elif plan.blocked:
        print(f"not now: {plan.blocked}")
    else:
        print(f"{plan.living} gateways run on it, and can go on while and after this is done")
    return 0
