"""gateway accounts create|list|update|grant|refund; `gateway.cli.people` has more of them."""

from __future__ import annotations

import argparse
import secrets
from dataclasses import asdict
from typing import Any

from gateway.cli import people
from gateway.cli.common import add_config, add_json, print_json, print_table, record, whole, with_stores
from gateway.cli.keys import ALERT_AT, NONE, alert_thresholds, every_account, find_account, number_or_none
from gateway.stores import MAX_CREDITS, AccountChange, Stores


def add_commands(commands: Any) -> None:
    """Register the commands of this module."""
    parser = commands.add_parser("accounts", help="create and list accounts, grant credits")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make an account")
    create.add_argument("name")
    create.add_argument(
        "--credits", type=whole(0, MAX_CREDITS), default=0, help="starting balance in credits (%(default)s)"
    )
    create.add_argument("--role", choices=("user", "admin"), default="user")
    create.set_defaults(run=run_create)
    listing = actions.add_parser("list", help="list accounts and balances")
    listing.set_defaults(run=run_list)
    grant = actions.add_parser("grant", help="add credits to an account")
    grant.add_argument("account", help="the account's id, name or e-mail address")
    grant.add_argument("credits", type=whole(-MAX_CREDITS, MAX_CREDITS))
    grant.add_argument("--note", default="", help="why, for the ledger")
    grant.add_argument("--key", help="idempotency key: the same key grants only once")
    grant.set_defaults(run=run_grant)
    update = actions.add_parser("update", help="rename, disable, limit")
    update.add_argument("account", help="the account's id, name or e-mail address")
    update.add_argument("--name", help="a new name")
    update.add_argument("--role", choices=("user", "admin"))
    update.add_argument("--requests-per-minute", type=number_or_none, help="its own rate limit; 'none' for the default")
    update.add_argument("--alert-at", nargs="+", metavar="PERCENT", help=ALERT_AT)
    update.add_argument("--disabled", choices=("yes", "no"), help="a disabled account's keys are refused")
    update.set_defaults(run=run_update)
    refund = actions.add_parser("refund", help="give back credits of a settled request")
    refund.add_argument("request", help="the request id")
    refund.add_argument("credits", type=whole(1, MAX_CREDITS))
    refund.add_argument("--note", default="", help="why, for the ledger")
    refund.add_argument("--key", help="idempotency key: the same key refunds only once")
    refund.set_defaults(run=run_refund)
    for action in (create, listing, update, grant, refund, *people.add_actions(actions)):
        add_config(action)
        add_json(action)


def run_create(options: argparse.Namespace) -> int:
    """Print the new account's id."""

    async def work(stores: Stores) -> int:
        account = await stores.accounts.create_account(options.name, role=options.role, grant=options.credits)
        await record(
            stores, "account.create", account.id, name=account.name, role=account.role, credits=options.credits
        )
        if options.json:
            print_json(asdict(account))
        else:
            print(f"created account '{account.name}' ({account.id}) with {account.balance:,} credits")
        return 0

    return with_stores(options, work, create=True)


def run_list(options: argparse.Namespace) -> int:
    """Print every account."""

    async def work(stores: Stores) -> int:
        accounts = [account async for account in every_account(stores)]
        if options.json:
            print_json([asdict(account) for account in accounts])
        else:
            rows = (
                (
                    account.id,
                    account.name,
                    account.role,
                    "disabled" if account.disabled else "active",
                    f"{account.balance:,}",
                    f"{account.held:,}",
                )
                for account in accounts
            )
            print_table(("ID", "NAME", "ROLE", "STATE", "BALANCE", "HELD"), rows)
        return 0

    return with_stores(options, work)


def run_grant(options: argparse.Namespace) -> int:
    """Add credits; negative amounts correct."""

    async def work(stores: Stores) -> int:
        account = await find_account(stores, options.account)
        key = options.key or f"cli-{secrets.token_hex(8)}"
        kind = "grant" if options.credits > 0 else "correction"
        balance = await stores.ledger.grant(account.id, options.credits, kind=kind, key=key, note=options.note)
        await record(
            stores, "account.credits", account.id,
            credits=options.credits, kind=kind, idempotency_key=key, note=options.note,
        )  # fmt: skip
        if options.json:
            print_json({"account": account.id, "balance": balance, "idempotency_key": key})
        else:
            print(f"account '{account.name}' now has {balance:,} credits")
        return 0

    return with_stores(options, work)


def run_update(options: argparse.Namespace) -> int:
    """Set what is named on the command line; the balance is never among it."""

    async def work(stores: Stores) -> int:
        account = await find_account(stores, options.account)
        given = {
            "name": options.name,
            "role": options.role,
            "requests_per_minute": options.requests_per_minute,
            "alert_thresholds": alert_thresholds(options.alert_at),
            "disabled": None if options.disabled is None else options.disabled == "yes",
        }
        named: dict[str, Any] = {
            name: None if value == NONE else value for name, value in given.items() if value is not None
        }
        changed = await stores.accounts.update_account(account.id, AccountChange(change=tuple(named), **named))
        await record(stores, "account.update", account.id, **named)
        if options.json:
            print_json(asdict(changed or account))
        else:
            print(f"account '{(changed or account).name}' ({account.id}) is changed")
        return 0

    return with_stores(options, work)


def run_refund(options: argparse.Namespace) -> int:
    """Give back at most what the request was charged."""

    async def work(stores: Stores) -> int:
        key = options.key or f"cli-{secrets.token_hex(8)}"
        balance = await stores.ledger.refund(options.request, options.credits, key=key, note=options.note)
        await record(stores, "refund", options.request, credits=options.credits, idempotency_key=key, note=options.note)
        if options.json:
            print_json({"request_id": options.request, "balance": balance, "idempotency_key": key})
        else:
            print(f"refunded; the account now has {balance:,} credits")
        return 0

    return with_stores(options, work)
