"""gateway keys create|list|update|revoke|rotate."""

from __future__ import annotations

import argparse
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, fields, replace
from typing import Any

from gateway.budgets import period_of
from gateway.cli.common import add_config, add_json, number, print_json, print_table, record, whole, with_stores
from gateway.errors import CallerFault, Refusal
from gateway.stores import MAX_CREDITS, Account, Key, KeySettings, Stores

NONE = "none"
ALERT_AT = "percents of the month's budget at which to be told; 'never', or 'none' for those of the configuration"

_SHORTEST_SECRET = 20
"""Characters of what may be a key itself."""


def add_commands(commands: Any) -> None:
    """Register the commands of this module."""
    parser = commands.add_parser("keys", help="create, list and revoke API keys")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make a key and show it, once")
    create.add_argument("--account", default="admin", help="the account's id, name or e-mail address (%(default)s)")
    _add_settings(create)
    create.set_defaults(run=run_create)
    update = actions.add_parser("update", help="change what is named of a key's settings; 'none' takes a limit away")
    update.add_argument("key", help="the key's id")
    _add_settings(update)
    update.set_defaults(run=run_update)
    listing = actions.add_parser("list", help="list keys (never their secrets)")
    listing.add_argument("--account", help="only this account's keys")
    listing.set_defaults(run=run_list)
    revoke = actions.add_parser("revoke", help="make a key stop working, within a second")
    revoke.add_argument("key", help="the key's id, or the key itself, as it was found where it should not be")
    revoke.set_defaults(run=run_revoke)
    rotate = actions.add_parser("rotate", help="give a key a new secret and show it, once; its settings stay")
    rotate.add_argument("key", help="the key's id")
    rotate.add_argument(
        "--grace", type=number(0, 31_536_000), default=0.0, help="seconds the old secret still works (%(default)s)"
    )
    rotate.set_defaults(run=run_rotate)
    for action in (create, update, listing, revoke, rotate):
        add_config(action)
        add_json(action)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", help="what the key is for")
    parser.add_argument("--monthly-limit", type=number_or_none, help="ceiling in credits per calendar month (UTC)")
    parser.add_argument("--models", nargs="+", help="allow-list of models and patterns such as 'openai/*'")
    parser.add_argument("--requests-per-minute", type=number_or_none, help="rate limit of this key")
    parser.add_argument("--expires-in-days", type=days_or_none, help="the key stops working after this many days")
    parser.add_argument("--alert-at", nargs="+", metavar="PERCENT", help=ALERT_AT)
    parser.add_argument("--allow-ip", nargs="+", help="addresses or networks the key may be used from")


def run_create(options: argparse.Namespace) -> int:
    """Print the new key."""

    async def work(stores: Stores) -> int:
        account = await find_account(stores, options.account)
        key, plain = await stores.keys.create_key(account.id, _settings(options, KeySettings()))
        await record(stores, "key.create", key.id, account=account.id, name=key.name)
        if options.json:
            print_json({"key": plain, **asdict(key)})
        else:
            print(f"{plain}\n\nThis key of the account '{account.name}' is shown only now. Its id is {key.id}.")
        return 0

    return with_stores(options, work)


def run_update(options: argparse.Namespace) -> int:
    """Print the key as it is now."""

    async def work(stores: Stores) -> int:
        key = await stores.keys.get_key(options.key)
        if key is not None:
            before = KeySettings(**{field.name: getattr(key, field.name) for field in fields(KeySettings)})
            key = await stores.keys.update_key(key.id, _settings(options, before))
        if key is None:
            raise CallerFault(f"there is no active key with the id '{options.key}'", status=404)
        settings = {field.name: getattr(key, field.name) for field in fields(KeySettings)}
        await record(stores, "key.update", key.id, account=key.account_id, **settings)
        if options.json:
            print_json(asdict(key))
        else:
            for field in fields(KeySettings):
                print(f"{field.name}: {getattr(key, field.name)}")
        return 0

    return with_stores(options, work)


def _settings(options: argparse.Namespace, before: KeySettings) -> KeySettings:
    """`before` with what the command line names; NONE takes a limit away."""
    given = {
        "name": options.name,
        "monthly_limit": options.monthly_limit,
        "requests_per_minute": options.requests_per_minute,
        "models": _words(options.models),
        "ip_allow": _words(options.allow_ip),
        "alert_thresholds": alert_thresholds(options.alert_at),
        "expires_at": options.expires_in_days,
    }
    if isinstance(options.expires_in_days, float):
        given["expires_at"] = int(time.time() + options.expires_in_days * 86_400)
    named: dict[str, Any] = {
        name: None if value == NONE else value for name, value in given.items() if value is not None
    }
    return replace(before, **named)


def _words(values: list[str] | None) -> tuple[str, ...] | str | None:
    return NONE if values == [NONE] else None if values is None else tuple(values)


def alert_thresholds(words: list[str] | None) -> tuple[int, ...] | str | None:
    """Percents of a command line; `never` for no alert, NONE for those of the configuration. Raises CallerFault."""
    if words is None or words == [NONE]:
        return None if words is None else NONE
    if words == ["never"]:
        return ()
    try:
        return tuple(sorted({int(word.removesuffix("%")) for word in words}))
    except ValueError:
        raise CallerFault("--alert-at: expected percents such as 50 80 100, 'never', or 'none'") from None


def number_or_none(text: str) -> int | str:
    """A whole number, or `none` to take a limit away."""
    return NONE if text == NONE else whole(0, MAX_CREDITS)(text)


def days_or_none(text: str) -> float | str:
    """A number of days, or `none`."""
    return NONE if text == NONE else number(0, 36_500)(text)


def run_list(options: argparse.Namespace) -> int:
    """Print the keys of one account or of all."""

    async def work(stores: Stores) -> int:
        account = None if options.account is None else await find_account(stores, options.account)
        keys = await stores.keys.list_keys(None if account is None else account.id)
        accounts = [account] if account is not None else [one async for one in every_account(stores)]
        names = {one.id: one.name for one in accounts}
        period = period_of(time.time())
        spent = {key.id: (await stores.keys.month_use(key.id, period))[0] for key in keys}
        if options.json:
            print_json([{**asdict(key), "spent_this_month": spent[key.id]} for key in keys])
        else:
            header = (
                "ID",
                "ACCOUNT",
                "NAME",
                "KEY",
                "STATE",
                "SPENT",
                "LIMIT",
                "USED",
                "MODELS",
                "EXPIRES",
                "LAST USED",
            )
            print_table(header, (_row(key, names.get(key.account_id, key.account_id), spent[key.id]) for key in keys))
        return 0

    return with_stores(options, work)


def run_revoke(options: argparse.Namespace) -> int:
    """Revoke one key."""

    async def work(stores: Stores) -> int:
        key = await stores.keys.revoke_key(await _id_of(stores, options.key))
        if key is None:
            raise CallerFault(f"there is no key with the id '{options.key}'", status=404)
        await record(stores, "key.revoke", key.id, account=key.account_id)
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
        await record(stores, "key.rotate", key.id, account=key.account_id, grace=options.grace)
        if options.json:
            print_json({"key": plain, **asdict(key)})
        else:
            print(f"{plain}\n\nThis new secret of the key {key.id} is shown only now.")
        return 0

    return with_stores(options, work)


async def find_account(stores: Stores, text: str) -> Account:
    """The account with this id, name or e-mail address. Raises CallerFault when there is none, and when one's name is
    another's address."""
    named = await stores.accounts.find_account(text)
    login = await stores.logins.find_login(text)
    if named is not None and login is not None and login.account_id != named.id:
        raise CallerFault(f"'{text}' is the name of {named.id} and the address of {login.account_id}: give the id")
    account = named if login is None else await stores.accounts.get_account(login.account_id)
    if account is None:
        raise CallerFault(f"there is no account '{text}'; see: gateway accounts list", status=404)
    return account


async def every_account(stores: Stores) -> AsyncIterator[Account]:
    """All accounts, the oldest first, a page at a time."""
    after = ""
    while page := await stores.accounts.list_accounts(after=after, limit=500):
        for account in page:
            yield account
        after = page[-1].id


async def _id_of(stores: Stores, text: str) -> str:
    """The id of a key that is named by its id, or by itself. Raises CallerFault when no key works that looks so."""
    if text.startswith("key_") or len(text) < _SHORTEST_SECRET:
        return text
    try:
        caller = await stores.keys.authenticate(text, "")
    except Refusal:  # it may be used from some addresses only, or its account is disabled: its label tells it
        alike = [
            key for key in await stores.keys.list_keys() if key.revoked_at is None and key.label.endswith(text[-4:])
        ]
        if len(alike) == 1:
            return alike[0].id
        raise CallerFault("several keys end like this one; name it by its id, see: gateway keys list") from None
    if caller is None:
        raise CallerFault("this is no key that works here: unknown, expired, or revoked already", status=404)
    return caller.key_id


def _row(key: Key, account: str, spent: int) -> tuple[object, ...]:
    limit = key.monthly_limit
    return (
        key.id,
        account,
        key.name,
        key.label,
        _state(key),
        f"{spent:,}",
        "" if limit is None else f"{limit:,}",
        f"{spent * 100 // limit} %" if limit else "",
        "all" if key.models is None else " ".join(key.models),
        _day(key.expires_at),
        _day(key.last_used_at),
    )


def _day(seconds: int | None) -> str:
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))


def _state(key: Key) -> str:
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is not None and key.expires_at <= time.time():
        return "expired"
    return "active"
