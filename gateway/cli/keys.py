"""gateway keys create|list|revoke|rotate."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from typing import Any

from gateway.cli.common import add_config, add_json, print_json, print_table, with_stores
from gateway.errors import CallerFault
from gateway.stores import Account, Key, KeySettings, Stores


def add_commands(commands: Any) -> None:
    """Register the commands of this module."""
    parser = commands.add_parser("keys", help="create, list and revoke API keys")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make a key and show it, once")
    create.add_argument("--account", default="admin", help="account id or name (%(default)s)")
    create.add_argument("--name", default="", help="what the key is for")
    create.add_argument("--monthly-limit", type=int, help="ceiling in credits per calendar month (UTC)")
    create.add_argument("--models", nargs="+", help="allow-list of models and patterns such as 'openai/*'")
    create.add_argument("--requests-per-minute", type=int, help="rate limit of this key")
    create.add_argument("--expires-in-days", type=float, help="the key stops working after this many days")
    create.add_argument("--allow-ip", nargs="+", help="addresses or networks the key may be used from")
    create.set_defaults(run=run_create)
    listing = actions.add_parser("list", help="list keys (never their secrets)")
    listing.add_argument("--account", help="only this account's keys")
    listing.set_defaults(run=run_list)
    revoke = actions.add_parser("revoke", help="make a key stop working, within a second")
    revoke.add_argument("key", help="the key's id")
    revoke.set_defaults(run=run_revoke)
    rotate = actions.add_parser("rotate", help="give a key a new secret and show it, once; its settings stay")
    rotate.add_argument("key", help="the key's id")
    rotate.add_argument("--grace", type=float, default=0.0, help="seconds the old secret still works (%(default)s)")
    rotate.set_defaults(run=run_rotate)
    for action in (create, listing, revoke, rotate):
        add_config(action)
        add_json(action)


def run_create(options: argparse.Namespace) -> int:
    """Print the new key."""

    async def work(stores: Stores) -> int:
        account = await find_account(stores, options.account)
        expires = None if options.expires_in_days is None else int(time.time() + options.expires_in_days * 86400)
        key, plain = await stores.keys.create_key(
            account.id,
            KeySettings(
                name=options.name,
                expires_at=expires,
                monthly_limit=options.monthly_limit,
                models=None if options.models is None else tuple(options.models),
                requests_per_minute=options.requests_per_minute,
                ip_allow=None if options.allow_ip is None else tuple(options.allow_ip),
            ),
        )
        if options.json:
            print_json({"key": plain, **asdict(key)})
        else:
            print(f"{plain}\n\nThis key of the account '{account.name}' is shown only now. Its id is {key.id}.")
        return 0

    return with_stores(options, work)


def run_list(options: argparse.Namespace) -> int:
    """Print the keys of one account or of all."""

    async def work(stores: Stores) -> int:
        account_id = None if options.account is None else (await find_account(stores, options.account)).id
        keys = await stores.keys.list_keys(account_id)
        if options.json:
            print_json([asdict(key) for key in keys])
        else:
            rows = ((key.id, key.account_id, key.name, key.label, _state(key)) for key in keys)
            print_table(("ID", "ACCOUNT", "NAME", "KEY", "STATE"), rows)
        return 0

    return with_stores(options, work)


def run_revoke(options: argparse.Namespace) -> int:
    """Revoke one key."""

    async def work(stores: Stores) -> int:
        key = await stores.keys.revoke_key(options.key)
        if key is None:
            raise CallerFault(f"there is no key with the id '{options.key}'", status=404)
        if options.json:
            print_json(asdict(key))
        else:
            print(f"revoked {key.label} ({key.id})")
        return 0

    return with_stores(options, work)


def run_rotate(options: argparse.Namespace) -> int:
    """Print the key's new secret."""

    async def work(stores: Stores) -> int:
        rotated = await stores.keys.rotate_key(options.key, grace=options.grace)
        if rotated is None:
            raise CallerFault(f"there is no key with the id '{options.key}'", status=404)
        key, plain = rotated
        if options.json:
            print_json({"key": plain, **asdict(key)})
        else:
            print(f"{plain}\n\nThis new secret of the key {key.id} is shown only now.")
        return 0

    return with_stores(options, work)


async def find_account(stores: Stores, id_or_name: str) -> Account:
    """The account with this id or name. Raises CallerFault when there is none."""
    account = await stores.accounts.find_account(id_or_name)
    if account is None:
        raise CallerFault(f"there is no account '{id_or_name}'; see: gateway accounts list", status=404)
    return account


def _state(key: Key) -> str:
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is not None and key.expires_at <= time.time():
        return "expired"
    return "active"
