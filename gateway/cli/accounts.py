"""gateway accounts create|list|grant."""

from __future__ import annotations

import argparse
import secrets
from dataclasses import asdict
from typing import Any

from gateway.cli.common import add_config, add_json, print_json, print_table, with_stores
from gateway.cli.keys import find_account
from gateway.stores import Account, Stores


def add_commands(commands: Any) -> None:
    """Register the commands of this module."""
    parser = commands.add_parser("accounts", help="create and list accounts, grant credits")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make an account")
    create.add_argument("name")
    create.add_argument("--credits", type=int, default=0, help="starting balance in credits (%(default)s)")
    create.add_argument("--role", choices=("user", "admin"), default="user")
    create.set_defaults(run=run_create)
    listing = actions.add_parser("list", help="list accounts and balances")
    listing.set_defaults(run=run_list)
    grant = actions.add_parser("grant", help="add credits to an account")
    grant.add_argument("account", help="account id or name")
    grant.add_argument("credits", type=int)
    grant.add_argument("--note", default="", help="why, for the ledger")
    grant.add_argument("--key", help="idempotency key: the same key grants only once")
    grant.set_defaults(run=run_grant)
    for action in (create, listing, grant):
        add_config(action)
        add_json(action)


def run_create(options: argparse.Namespace) -> int:
    """Print the new account's id."""

    async def work(stores: Stores) -> int:
        account = await stores.accounts.create_account(options.name, role=options.role, grant=options.credits)
        if options.json:
            print_json(asdict(account))
        else:
            print(f"created account '{account.name}' ({account.id}) with {account.balance:,} credits")
        return 0

    return with_stores(options, work)


def run_list(options: argparse.Namespace) -> int:
    """Print every account."""

    async def work(stores: Stores) -> int:
        accounts: list[Account] = []
        while page := await stores.accounts.list_accounts(after=accounts[-1].id if accounts else "", limit=500):
            accounts += page
        if options.json:
            print_json([asdict(account) for account in accounts])
        else:
            rows = (
                (account.id, account.name, account.role, f"{account.balance:,}", f"{account.held:,}")
                for account in accounts
            )
            print_table(("ID", "NAME", "ROLE", "BALANCE", "HELD"), rows)
        return 0

    return with_stores(options, work)


def run_grant(options: argparse.Namespace) -> int:
    """Add credits; negative amounts correct."""

    async def work(stores: Stores) -> int:
        account = await find_account(stores, options.account)
        key = options.key or f"cli-{secrets.token_hex(8)}"
        kind = "grant" if options.credits > 0 else "correction"
        balance = await stores.ledger.grant(account.id, options.credits, kind=kind, key=key, note=options.note)
        if options.json:
            print_json({"account": account.id, "balance": balance, "idempotency_key": key})
        else:
            print(f"account '{account.name}' now has {balance:,} credits")
        return 0

    return with_stores(options, work)
