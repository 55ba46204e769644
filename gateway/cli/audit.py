"""gateway audit."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import orjson

from gateway.cli.common import add_config, add_json, print_json, print_table, whole, with_stores
from gateway.stores import Stores


def add_commands(commands: Any) -> None:
    """Register the command."""
    audit = commands.add_parser("audit", help="what administrators did, newest first")
    audit.add_argument("--limit", type=whole(1, 1_000_000), default=50, help="how many (%(default)s)")
    audit.add_argument("--actor", default="", help="only of this one, such as admin or cli:NAME")
    audit.add_argument("--action", default="", help="only this, such as key.revoke")
    audit.add_argument("--subject", default="", help="only what was done to this id")
    add_config(audit)
    add_json(audit)
    audit.set_defaults(run=run_audit)


def run_audit(options: argparse.Namespace) -> int:
    """Print the last entries."""

    async def work(stores: Stores) -> int:
        entries = await stores.audit.entries(
            limit=options.limit, actor=options.actor, action=options.action, subject=options.subject
        )
        if options.json:
            print_json([asdict(entry) for entry in entries])
            return 0
        rows = (
            (
                datetime.fromtimestamp(entry.at, UTC).strftime("%Y-%m-%d %H:%M:%S"),
                entry.actor,
                entry.remote,
                entry.action,
                entry.subject,
                orjson.dumps(dict(entry.detail)).decode(),
            )
            for entry in entries
        )
        print_table(("TIME (UTC)", "ACTOR", "FROM", "ACTION", "SUBJECT", "DETAIL"), rows)
        return 0

    return with_stores(options, work)
