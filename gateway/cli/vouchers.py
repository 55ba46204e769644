"""gateway vouchers create|list|revoke: credits as printed codes."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from gateway.cli.common import add_config, add_json, number, print_json, print_table, record, whole, with_stores
from gateway.errors import CallerFault
from gateway.stores import MAX_CREDITS, Stores, Voucher


def add_commands(commands: Any) -> None:
    """Register the commands of this module."""
    parser = commands.add_parser("vouchers", help="make, list and revoke codes that users turn into credits")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make codes and show them, once")
    create.add_argument("--credits", type=whole(1, MAX_CREDITS), required=True, help="worth of each code in credits")
    create.add_argument("--count", type=whole(1, 10_000), default=1, help="how many codes (%(default)s)")
    create.add_argument(
        "--expires-in-days", type=number(0.001, 36_500), help="the codes are worthless after this many days"
    )
    create.add_argument("--note", default="", help="what they are for, for the list")
    create.set_defaults(run=run_create)
    listing = actions.add_parser("list", help="list vouchers (never their codes)")
    listing.set_defaults(run=run_list)
    revoke = actions.add_parser("revoke", help="make an unused voucher worthless")
    revoke.add_argument("voucher", type=whole(1, MAX_CREDITS), help="the voucher's id in the list")
    revoke.set_defaults(run=run_revoke)
    for action in (create, listing, revoke):
        add_config(action)
        add_json(action)


def run_create(options: argparse.Namespace) -> int:
    """Print the codes, one a line, so that they can be piped into a file."""

    async def work(stores: Stores) -> int:
        expires = None if options.expires_in_days is None else int(time.time() + options.expires_in_days * 86400)
        codes = await stores.ledger.create_vouchers(
            options.count, options.credits, expires_at=expires, note=options.note
        )
        await record(
            stores, "voucher.create", "",
            count=options.count, credits=options.credits, expires_at=expires, note=options.note,
        )  # fmt: skip
        if options.json:
            print_json({"codes": codes, "credits": options.credits, "expires_at": expires})
        else:
            print("\n".join(codes))
        return 0

    return with_stores(options, work)


def run_list(options: argparse.Namespace) -> int:
    """Print every voucher."""

    async def work(stores: Stores) -> int:
        vouchers: list[Voucher] = []
        while page := await stores.ledger.list_vouchers(after=vouchers[-1].id if vouchers else 0, limit=1000):
            vouchers += page
        if options.json:
            print_json([asdict(voucher) for voucher in vouchers])
        else:
            rows = (
                (voucher.id, "..." + voucher.label, f"{voucher.credits:,}", _state(voucher), voucher.note)
                for voucher in vouchers
            )
            print_table(("ID", "CODE", "CREDITS", "STATE", "NOTE"), rows)
        return 0

    return with_stores(options, work)


def run_revoke(options: argparse.Namespace) -> int:
    """Revoke one voucher."""

    async def work(stores: Stores) -> int:
        voucher = await stores.ledger.revoke_voucher(options.voucher)
        if voucher is None:
            raise CallerFault(
                f"there is no voucher with the id {options.voucher}; see: gateway vouchers list", status=404
            )
        await record(stores, "voucher.revoke", str(voucher.id), label=voucher.label)
        if options.json:
            print_json(asdict(voucher))
        else:
            print(f"revoked voucher {voucher.id} (...{voucher.label})")
        return 0

    return with_stores(options, work)


def _state(voucher: Voucher) -> str:
    if voucher.redeemed_at is not None:
        return f"redeemed by {voucher.redeemed_by}"
    if voucher.revoked_at is not None:
        return "revoked"
    if voucher.expires_at is not None:
        day = datetime.fromtimestamp(voucher.expires_at, UTC).date()
        return "expired" if voucher.expires_at <= time.time() else f"good until {day}"
    return "good"
