"""gateway accounts invite|sign-in-link|reset-password|links|revoke-link|erase-login: how people get in;
export|erase: how they go."""

from __future__ import annotations

import argparse
import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from gateway.batches import Batches
from gateway.blueprint import Blueprint
from gateway.cli.common import (
    blueprint_of,
    console_base,
    number,
    print_json,
    print_table,
    record,
    served,
    used_data,
    whole,
    with_stores,
)
from gateway.cli.keys import find_account
from gateway.erasing import erase_account
from gateway.errors import CallerFault
from gateway.http.api.admin.erasing import kept
from gateway.http.api.links import link_url
from gateway.provider_files import ProviderFiles
from gateway.storage import StorageQuota
from gateway.stores import MAX_CREDITS, Link, NewLink, Stores
from gateway.upstream.exchanges import Exchanges
from gateway.upstream.transports import make_transport

_HOUR, _DAY = 3600, 86_400


def add_actions(actions: Any) -> list[argparse.ArgumentParser]:
    """Register the commands of this module below `accounts`."""
    invite = actions.add_parser("invite", help="make a link by which somebody makes an account, once")
    invite.add_argument(
        "email", nargs="?", default="", help="for this address only; without it, for whoever has the link"
    )
    invite.add_argument(
        "--credits", type=whole(0, MAX_CREDITS), default=0, help="beside credits.signup_grant (%(default)s)"
    )
    invite.add_argument("--role", choices=("user", "admin"), default="user")
    invite.add_argument("--days", type=number(0.001, 3650), default=7.0, help="how long it holds (%(default)s)")
    invite.set_defaults(run=run_invite)
    enter = actions.add_parser("sign-in-link", help="make a link that signs in to an account, once")
    enter.add_argument("account", help="the account's id, name or e-mail address")
    enter.add_argument("--hours", type=number(0.001, 87_600), default=1.0, help="how long it holds (%(default)s)")
    enter.set_defaults(run=run_enter)
    reset = actions.add_parser("reset-password", help="make a link that sets a new password, once")
    reset.add_argument("account", help="the account's id, name or e-mail address")
    reset.add_argument("--email", default="", help="set this address to sign in with, too")
    reset.add_argument("--hours", type=number(0.001, 87_600), default=24.0, help="how long it holds (%(default)s)")
    reset.set_defaults(run=run_reset)
    links = actions.add_parser("links", help="list the links that hold")
    links.set_defaults(run=run_links)
    revoke = actions.add_parser("revoke-link", help="make a link worthless")
    revoke.add_argument("link", help="the link's id")
    revoke.set_defaults(run=run_revoke)
    erase = actions.add_parser("erase-login", help="delete an account's address and password, and end its sessions")
    erase.add_argument("account", help="the account's id, name or e-mail address")
    erase.set_defaults(run=run_erase)
    export = actions.add_parser("export", help="print all that is kept of an account, a JSON object a line")
    export.add_argument("account", help="the account's id, name or e-mail address")
    export.set_defaults(run=run_export)
    end = actions.add_parser("erase", help="erase what is personal of an account for good, at providers too")
    end.add_argument("account", help="the account's id, name or e-mail address")
    end.add_argument("--name", required=True, help="its name once more, so that no other is erased by a slip")
    end.set_defaults(run=run_erase_account)
    return [invite, enter, reset, links, revoke, erase, export, end]


def run_invite(options: argparse.Namespace) -> int:
    """Print the invitation."""

    async def make(stores: Stores) -> tuple[Link, str]:
        made = await stores.logins.create_link(
            NewLink(
                "invitation",
                lifetime=round(options.days * _DAY),
                email=options.email,
                role=options.role,
                credits=options.credits,
            )
        )
        await record(stores, "link.invite", made[0].id, email=made[0].email, role=options.role, credits=options.credits)
        return made

    return _print_link(options, make)


def run_enter(options: argparse.Namespace) -> int:
    """Print the link."""

    async def make(stores: Stores) -> tuple[Link, str]:
        account = await find_account(stores, options.account)
        made = await stores.logins.create_link(
            NewLink("sign_in", lifetime=round(options.hours * _HOUR), account_id=account.id)
        )
        await record(stores, "link.sign_in", made[0].id, account=account.id)
        return made

    return _print_link(options, make)


def run_reset(options: argparse.Namespace) -> int:
    """Print the link."""

    async def make(stores: Stores) -> tuple[Link, str]:
        account = await find_account(stores, options.account)
        made = await stores.logins.create_link(
            NewLink("password", lifetime=round(options.hours * _HOUR), account_id=account.id, email=options.email)
        )
        await record(stores, "link.password", made[0].id, account=account.id, email=made[0].email)
        return made

    return _print_link(options, make)


def _print_link(options: argparse.Namespace, make: Callable[[Stores], Awaitable[tuple[Link, str]]]) -> int:
    base = console_base(served(blueprint_of(options).config))

    async def work(stores: Stores) -> int:
        link, token = await make(stores)
        url = link_url(base, link, token)
        if options.json:
            print_json({"url": url, **asdict(link)})
        else:
            print(f"{url}\n\nThis link is shown only now. It works once, until {_moment(link.expires_at)}.")
        return 0

    return with_stores(options, work)


def run_links(options: argparse.Namespace) -> int:
    """Print the links that hold, without what opens anything."""

    async def work(stores: Stores) -> int:
        links = await stores.logins.list_links()
        if options.json:
            print_json([asdict(link) for link in links])
        else:
            rows = (
                (link.id, link.purpose, link.account_id, link.email, link.role, _moment(link.expires_at))
                for link in links
            )
            print_table(("ID", "PURPOSE", "ACCOUNT", "E-MAIL", "ROLE", "UNTIL"), rows)
        return 0

    return with_stores(options, work)


def run_revoke(options: argparse.Namespace) -> int:
    """Revoke one link."""

    async def work(stores: Stores) -> int:
        if not await stores.logins.revoke_link(options.link):
            raise CallerFault(f"there is no link '{options.link}'; see: gateway accounts links", status=404)
        await record(stores, "link.revoke", options.link)
        if options.json:
            print_json({"id": options.link, "revoked": True})
        else:
            print(f"revoked {options.link}")
        return 0

    return with_stores(options, work)


def run_erase(options: argparse.Namespace) -> int:
    """Erase one login."""

    async def work(stores: Stores) -> int:
        account = await find_account(stores, options.account)
        erased = await stores.logins.erase_login(account.id)
        await record(stores, "login.erase", account.id)
        if options.json:
            print_json({"account": account.id, "erased": erased})
        else:
            print(f"nobody signs in to '{account.name}' any more; its keys are as they were")
        return 0

    return with_stores(options, work)


def run_export(options: argparse.Namespace) -> int:
    """Print what `/export` of the admin API gives."""

    async def work(stores: Stores) -> int:
        account = await find_account(stores, options.account)
        await record(stores, "account.export", account.id)
        async for value in kept(stores, account):
            print(orjson.dumps(value).decode())
        return 0

    return with_stores(options, work)


def run_erase_account(options: argparse.Namespace) -> int:
    """Erase one account; says what was deleted at providers, and names what is left there for the operator to do."""
    blueprint = used_data(options)

    async def work(stores: Stores) -> int:
        account = await find_account(stores, options.account)
        if options.name != account.name:
            raise CallerFault(f"--name does not match; write {account.name!r} to erase this account")
        async with at_providers(blueprint, stores) as (files, batches):
            erased = await erase_account(stores, files, batches, account.id)
        if erased is None:
            raise CallerFault(f"there is no account '{options.account}'", status=404)
        shown = erased.shown()
        await record(stores, "account.erase", account.id, **shown["at_providers"])
        if options.json:
            print_json(shown)
            return 0 if not erased.left else 1
        print(f"what was personal of '{account.name}' is erased; it is called '{erased.account.name}' from now on")
        if erased.files.done or erased.batches.done:
            print(f"at providers: {erased.files.done} files deleted, {erased.batches.done} batches cancelled")
        if erased.left:
            print("left there, for you to delete:")
            print_table(("PROVIDER", "ID", "WHY"), erased.left)
        return 0 if not erased.left else 1

    return with_stores(options, work)


@asynccontextmanager
async def at_providers(blueprint: Blueprint, stores: Stores) -> AsyncIterator[tuple[ProviderFiles, Batches]]:
    """What reaches the files and batches at the providers of a configuration, without a gateway that runs."""
    config = blueprint.config
    log = logging.getLogger("gateway.cli")
    log.addHandler(logging.NullHandler())
    log.propagate = False
    transport = make_transport(config, log)
    host = _Here(stores, log)
    quota = StorageQuota(stores, config.storage)
    files = ProviderFiles(config.files, blueprint.providers, host, quota, Exchanges(transport))
    try:
        yield files, Batches(config.batches, files, host)
    finally:
        await transport.close()


@dataclass(slots=True, frozen=True)
class _Here:
    """The command's own process."""

    stores: Stores
    log: logging.Logger

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(work, name=name)


def _moment(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
