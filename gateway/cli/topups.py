"""gateway topups: orders of credits through payment services, for operators: above all what is owed."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from gateway.cli.common import add_config, add_json, print_json, print_table, whole, with_stores
from gateway.cli.keys import find_account
from gateway.stores import Stores, TopUp


def add_commands(commands: Any) -> None:
    """Register the commands of this module."""
    parser = commands.add_parser("topups", help="list orders of credits, newest first")
    parser.add_argument("--account", help="only this account's orders (id or name)")
    parser.add_argument("--owed", action="store_true", help="only orders whose credits were spent before a refund")
    parser.add_argument("--limit", type=whole(1, 1_000_000), default=50, help="the most orders to show (%(default)s)")
    add_config(parser)
    add_json(parser)
    parser.set_defaults(run=run_list)


def run_list(options: argparse.Namespace) -> int:
    """Print the newest orders."""

    async def work(stores: Stores) -> int:
        account_id = None if options.account is None else (await find_account(stores, options.account)).id
        found: list[TopUp] = []
        before = ""
        while len(found) < options.limit:
            page = await stores.topups.list_topups(account_id, before=before, limit=1000)
            if not page:
                break
            before = page[-1].id
            found += [topup for topup in page if topup.owed or not options.owed]
        found = found[: max(options.limit, 0)]
        if options.json:
            print_json([{**asdict(topup), "status": topup.status} for topup in found])
        else:
            header = ("ID", "ACCOUNT", "METHOD", "STATUS", "AMOUNT", "CREDITED", "OWED", "ORDERED")
            print_table(header, (_row(topup) for topup in found))
        return 0

    return with_stores(options, work)


def _row(topup: TopUp) -> tuple[str, ...]:
    ordered = datetime.fromtimestamp(topup.created_at, UTC)
    return (
        topup.id,
        topup.account_id,
        topup.method,
        topup.status,
        f"{topup.amount // 100}.{topup.amount % 100:02} {topup.currency.upper()}",
        f"{topup.credited:,}",
        f"{topup.owed:,}",
        f"{ordered:%Y-%m-%d %H:%M}",
    )
