"""gateway demo-data: an empty database becomes one in which people have worked for a month, for trying the console out.

What is written goes through the same stores as everything else, with a clock that is set back: holds, charges and sums
are true to each other, and `gateway ledger check` finds nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

from gateway.blueprint import Blueprint, stores_settings
from gateway.call import Usage
from gateway.cli.common import add_config, blueprint_of, record, whole
from gateway.config import ModelEntry
from gateway.errors import ConfigFault
from gateway.passwords import Passwords
from gateway.records import AttemptRecord
from gateway.stores import HoldRequest, KeySettings, Stores, UsageRow
from gateway.stores.tries import pack_tries
from gateway.wire.spend_tags import Tags

_DAY = 86_400
_PEOPLE = ("Ada Lovelace", "Grace Hopper", "Mary Somerville", "Research group")
_KEYS = ("laptop", "web site", "nightly reports")
_FAILURES = ((429, "rate_limit"), (502, "upstream_error"), (504, "upstream_timeout"), (400, "invalid_request_error"))
_MOST_MODELS = 5
_PUBLIC_KEY = _KEYS[1]
_VISITORS = 6
"""End users whom requests with the public key name."""


@dataclass
class _Clock:
    """The time that the store sees, in unix seconds."""

    now: float

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True, slots=True)
class _Worker:
    """Somebody who sends requests. busy: how many on a usual weekday. visitors: end users in whose name."""

    account_id: str
    key_id: str
    model: ModelEntry
    busy: int
    visitors: int


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command of this module."""
    parser = commands.add_parser("demo-data", help="fill an empty database with made-up accounts and a month of usage")
    parser.add_argument("--days", type=whole(1, 90), default=30, help="1 to 90 (%(default)s)")
    parser.add_argument(
        "--seed", type=whole(-(10**15), 10**15), default=1, help="the same seed gives the same figures (%(default)s)"
    )
    add_config(parser)
    parser.set_defaults(run=run_demo_data)


def run_demo_data(options: argparse.Namespace) -> int:
    """Fill the database. Raises ConfigFault when it has accounts already, or no model has a price."""
    blueprint = blueprint_of(options)
    return asyncio.run(_run(blueprint, options.days, Random(options.seed)))


async def _run(blueprint: Blueprint, days: int, chance: Random) -> int:
    clock = _Clock(time.time() - days * _DAY)
    settings = await asyncio.to_thread(stores_settings, blueprint.config)
    kind = blueprint.stores_kind()
    stores = await kind.open(blueprint.config.database.url, replace(settings, clock=clock))
    try:
        if await stores.accounts.list_accounts(limit=1):
            raise ConfigFault(
                [
                    f"{blueprint.config.data}: this database has accounts already, and made-up figures do not belong "
                    "among true ones. Name an empty data folder with the environment variable GATEWAY_DATA"
                ]
            )
        models = [model for model in blueprint.config.models.values() if model.price is not None and model.price.output]
        if not models:
            raise ConfigFault([f"{blueprint.config.file}: models: none has a price, so nothing could be used"])
        password = secrets.token_urlsafe(12)
        workers = await _people(stores, models[:_MOST_MODELS], chance, await Passwords().hash(password))
        requests = await _month(stores, workers, clock, days, chance)
        await _vouchers(stores, workers[0].account_id)
        await record(stores, "demo_data", "", days=days, requests=requests)
        await _finish(stores, workers, requests, password)
    finally:
        await stores.close()
    return 0


async def _people(stores: Stores, models: list[ModelEntry], chance: Random, password: str) -> list[_Worker]:
    admin = await stores.accounts.create_account("admin", role="admin", grant=50_000_000)
    owners = [admin]
    for number, name in enumerate(_PEOPLE):
        owners.append(await stores.accounts.create_account(name, grant=(20_000_000, 40_000_000)[number % 2]))
    workers = []
    for number, owner in enumerate(owners):
        email = f"{owner.name.split()[0].lower()}@example.org"
        await stores.logins.set_login(owner.id, email=email, password_hash=password)
        for name in _KEYS[: 1 + (number + 1) % len(_KEYS)]:
            limit = 15_000_000 if name == "nightly reports" else None
            key, _ = await stores.keys.create_key(owner.id, KeySettings(name=name, monthly_limit=limit))
            visitors = _VISITORS if name == _PUBLIC_KEY else 0
            workers.append(_Worker(owner.id, key.id, chance.choice(models), chance.randint(3, 14), visitors))
    unused, _ = await stores.keys.create_key(admin.id, KeySettings(name="old laptop"))
    await stores.keys.revoke_key(unused.id)
    return workers


async def _month(stores: Stores, workers: list[_Worker], clock: _Clock, days: int, chance: Random) -> int:
    """Every day's requests in order of time, up to now."""
    written = 0
    end = time.time()
    today = datetime.fromtimestamp(end, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    start = today - timedelta(days=days - 1)
    for day in range(days):
        morning = start + timedelta(days=day)
        weekend = morning.weekday() >= 5
        moments = sorted(
            (morning.timestamp() + 3600 * chance.triangular(6, 23, 14), number)
            for number, worker in enumerate(workers)
            for _ in range(round(worker.busy * (0.25 if weekend else 1) * chance.uniform(0.5, 1.5)))
        )
        for moment, number in moments:
            if moment >= end - 60:
                continue
            clock.now = max(clock.now, moment)
            await _request(stores, workers[number], f"req_demo{written:06}", clock, chance)
            written += 1
    clock.now = end
    return written


async def _request(stores: Stores, worker: _Worker, request_id: str, clock: _Clock, chance: Random) -> None:
    model = worker.model
    assert model.price is not None
    failed = chance.choice(_FAILURES) if chance.random() < 0.03 else None
    prompt = round(chance.lognormvariate(7, 1.1)) + 20
    usage = Usage(prompt, min(round(chance.lognormvariate(5.5, 0.9)) + 5, 8000), cached_tokens=prompt // 3)
    tags: Tags = ()
    if worker.visitors:  # some come more often than others
        tags = (("user", f"visitor-{round(chance.triangular(1, worker.visitors, 1))}"),)
    first = round(chance.lognormvariate(6.2, 0.5))
    took = first + (0 if failed else usage.completion_tokens * chance.randint(6, 20))
    row = UsageRow(
        request_id=request_id,
        account_id=worker.account_id,
        key_id=worker.key_id,
        model=model.id,
        target="" if failed else model.id,
        route="/v1/chat/completions",
        status=failed[0] if failed else 200,
        usage=Usage() if failed else usage,
        basis="void" if failed else "provider",
        created=int(clock.now),
        first_byte_ms=None if failed else first,
        total_ms=took,
        error=failed[1] if failed else "",
        tags=tags,
        tries=pack_tries(_attempts(model, failed, clock.now, first, took)),
    )
    if not failed:
        charge = model.price.charge(usage)
        period = datetime.fromtimestamp(clock.now, UTC).strftime("%Y-%m")
        base = Decimal(charge)
        hold = HoldRequest(
            request_id, worker.account_id, worker.key_id, period, None, base, Decimal(0), 1, 1, model.id, tags=tags
        )
        await stores.ledger.hold(hold)
        await stores.ledger.settle(request_id, charge, "provider", usage, model.id)
    stores.usage.record(row)


def _attempts(
    model: ModelEntry, failed: tuple[int, str] | None, began: float, first: int, took: int
) -> list[AttemptRecord]:
    """The one attempt at the model that a request made; none where the gateway said no itself. first, took: ms."""
    if failed and failed[0] < 500:
        return []
    status = None if failed and failed[0] == 504 else failed[0] if failed else 200
    return [
        AttemptRecord(
            model.id, model.provider, "", "failed" if failed else "ok", status, failed[1] if failed else "", "",
            began + took / 1000, took / 1000, None if failed else first / 1000,
        )
    ]  # fmt: skip


async def _vouchers(stores: Stores, account_id: str) -> None:
    codes = await stores.ledger.create_vouchers(6, 5_000_000, note="workshop")
    await stores.ledger.redeem(account_id, codes[0])
    listed = await stores.ledger.list_vouchers(limit=2)
    await stores.ledger.revoke_voucher(listed[1].id)


async def _finish(stores: Stores, workers: list[_Worker], requests: int, password: str) -> None:
    others = ", ".join(f"{name.split()[0].lower()}@example.org" for name in _PEOPLE)
    _, plain = await stores.keys.create_key(workers[0].account_id, KeySettings(name="demo"))
    accounts = len({worker.account_id for worker in workers})
    print(
        f"""{accounts} accounts, {len(workers)} keys in use and {requests:,} requests were made up.

These are shown only now:

  key of the account 'admin'   {plain}
  sign in as                   admin@example.org (an administrator), {others}
  password of them all         {password}

`gateway serve` with the same configuration and data folder shows what they did."""
    )
