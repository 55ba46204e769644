"""gateway doctor: what is wrong around the gateway, and what to do about it."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import resource
import shutil
import socket
import stat
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal

from gateway.blueprint import Blueprint, catalog_of, switched_off
from gateway.call import Call, Target
from gateway.claim import is_claimed
from gateway.cli.common import add_config, add_json, blueprint_of, print_json, served
from gateway.cli.network import Exchanging, exchanging
from gateway.config.dotenv import FILE
from gateway.errors import ConfigFault, Fault
from gateway.pluginload import check_late
from gateway.server_secret import FILE_NAME, has_secret, server_secret
from gateway.stores import StoresSettings

_SCARCE, _FULL = 2 * 1024**3, 200 * 1024**2
_FILES = 4096
_CLOCK = 120.0
_SECONDS, _MOST = 20.0, 1024 * 1024

State = Literal["ok", "warning", "fault"]


@dataclass(slots=True, frozen=True)
class Finding:
    """One thing that was looked at. advice: what to do, "" when nothing."""

    what: str
    state: State
    detail: str = ""
    advice: str = ""


def add_commands(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser("doctor", help="look for what is wrong around the gateway, and say what to do")
    add_config(parser)
    add_json(parser)
    parser.add_argument("--no-calls", action="store_true", help="call no provider; else each gets one call, of a word")
    parser.set_defaults(run=run_doctor)


def run_doctor(options: argparse.Namespace) -> int:
    """Exit status 0 when nothing is at fault (warnings allowed), 1 otherwise."""
    findings = list(_look(options))
    if options.json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            print(f"{finding.state:8} {finding.what}" + (f": {finding.detail}" if finding.detail else ""))
            if finding.advice:
                print(f"{'':8} -> {finding.advice}")
    return 1 if any(finding.state == "fault" for finding in findings) else 0


def _look(options: argparse.Namespace) -> Iterator[Finding]:
    try:
        blueprint = blueprint_of(options)
        check_late(blueprint.plugins)
    except ConfigFault as fault:
        for problem in fault.problems:
            yield Finding("configuration", "fault", problem, "mend this line; docs/configuration.md explains each key")
        return
    yield Finding("configuration", "ok", str(options.config))
    for warning in blueprint.config.warnings:
        yield Finding("configuration", "warning", warning)
    yield from _files(options.config)
    yield from _data(blueprint.config.data)
    yield asyncio.run(_database(blueprint))
    yield _port(blueprint)
    yield _open_files()
    yield from asyncio.run(_providers(blueprint, call=not options.no_calls))


def _files(config: Path) -> Iterator[Finding]:
    """Who else can read the secrets, or change the configuration."""
    secrets = config.resolve().parent / FILE
    if secrets.exists() and secrets.stat().st_mode & 0o077:
        yield Finding(str(secrets), "warning", "others can read it", f"chmod 600 {secrets}")
    if config.stat().st_mode & stat.S_IWOTH:
        yield Finding(str(config), "fault", "everybody can change it", f"chmod o-w {config}")


def _data(data: Path) -> Iterator[Finding]:
    """The data folder: there, ours, with room."""
    what = f"data folder {data}"
    place = data
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        yield Finding(what, "fault", f"{place} is no folder", "name a folder by GATEWAY_DATA")
        return
    if not os.access(place, os.W_OK | os.X_OK):
        yield Finding(what, "fault", f"{place} cannot be written by this user", f"chown {os.geteuid()} {place}")
        return
    free = shutil.disk_usage(place).free
    room = f"{free / 1024**3:.1f} GiB free"
    if free < _SCARCE:
        yield Finding(what, "fault" if free < _FULL else "warning", room, "make room, or name another folder")
    else:
        yield Finding(what, "ok", room)
    secret = data / FILE_NAME
    if secret.exists() and secret.stat().st_mode & 0o077:
        yield Finding(str(secret), "fault", "others can read the server's secret", f"chmod 600 {secret}")


async def _database(blueprint: Blueprint) -> Finding:
    """The database: of a version that this gateway can open, with the secret that its keys need."""
    config = blueprint.config
    has = await asyncio.to_thread(has_secret, config.data)
    # None is made for a look: what a database holds, and of which version it is, can be read without.
    try:
        secret = await asyncio.to_thread(server_secret, config.data) if has else b""
        settings = StoresSettings(str(config.data.absolute()), secret, config.keys.prefix, config.keys.per_account)
        plan = await blueprint.stores_kind().plan(config.database.url, settings)
    except (ConfigFault, Fault) as fault:
        return Finding("database", "fault", str(fault), "is database.url right, and may this user read it?")
    if not plan.version:
        return Finding("database", "ok", "none yet; `gateway serve` makes one")
    if plan.version > plan.newest:
        return Finding("database", "fault", plan.blocked, "install that gateway, or restore a backup of before")
    if not has:
        advice = f"put the file `{FILE_NAME}` of its gateway, or of its backup, into {config.data}"
        return Finding("database", "fault", "its server secret is missing: no key works without it", advice)
    if plan.steps:
        return Finding("database", "ok", f"version {plan.version}; the next start makes it {plan.newest}")
    return Finding("database", "ok", f"version {plan.version}")


def _port(blueprint: Blueprint) -> Finding:
    server = served(blueprint.config)
    what = f"port {server.port} on {server.host}"
    if is_claimed(blueprint.config.data):
        return Finding(what, "ok", "the gateway is running")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
    except OSError as error:
        reason = error.strerror or str(error)
        return Finding(what, "fault", reason, "stop what listens there, or set server.port and server.host")
    return Finding(what, "ok", "free")


def _open_files() -> Finding:
    most, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most >= _FILES or most == resource.RLIM_INFINITY:
        return Finding("open files", "ok", str(most))
    advice = f"ulimit -n {min(hard, 65536) if hard > 0 else 65536}, or LimitNOFILE= of the systemd unit"
    return Finding("open files", "warning", f"{most}; every stream takes two", advice)


async def _providers(blueprint: Blueprint, *, call: bool) -> list[Finding]:
    found = [
        Finding(
            f"provider {name}", "ok", f"switched off: {reason}", "to use it, set what it lacks, in .env for example"
        )
        for name, reason in switched_off(blueprint).items()
    ]
    if not blueprint.providers:
        found.append(Finding("providers", "fault", "none is ready", "set the key of one"))
    if call:
        async with exchanging(blueprint.config, logging.Logger("gateway", logging.CRITICAL)) as exchange:
            found += [finding async for finding in _calls(blueprint, exchange)]
    return found


async def _calls(blueprint: Blueprint, exchange: Exchanging) -> AsyncIterator[Finding]:
    """One call of each provider that is ready, at its cheapest model, for an answer of a few tokens."""
    clocks: list[float] = []
    for name, provider in blueprint.providers.items():
        what = f"provider {name}"
        target = _cheapest(blueprint, name)
        if target is None:
            yield Finding(what, "ok", "ready; it has no chat model to try")
            continue
        if provider.transport is not None:
            yield Finding(what, "ok", "needs no network")
            continue
        try:
            attempt = provider.prepare(_hello(target), target)
            reply = await exchange(attempt.request, seconds=_SECONDS, most=_MOST)
            if reply.status >= 300:
                fault: Fault | None = attempt.reader.read_fault(reply)
            else:
                attempt.reader.read_reply(reply)
                fault = None
        except Fault as error:
            yield Finding(what, "fault", error.message, "is the address right, and the network open to it?")
            continue
        if date := reply.headers.get("date"):
            clocks.append(_apart(date))
        yield _answered(what, target, reply.status, fault, blueprint)
    if clocks and min(map(abs, clocks)) > _CLOCK:
        yield Finding("clock", "fault", f"{min(clocks, key=abs):+.0f} s apart from providers'", "set up NTP")
    elif clocks:
        yield Finding("clock", "ok")


def _answered(what: str, target: Target, status: int, fault: Fault | None, blueprint: Blueprint) -> Finding:
    if fault is None:
        return Finding(what, "ok", f"{target.model} answers")
    entry = blueprint.config.providers[target.provider]
    if status in (401, 403):
        names = " or ".join(entry.unset) or "its key in the configuration or .env"
        return Finding(what, "fault", f"refuses the key: {fault.message}", f"check {names}")
    if status == 404:
        return Finding(what, "fault", fault.message, f"check `upstream` of the model {target.model}")
    if status == 429:
        return Finding(what, "warning", fault.message, "check quota and billing at the provider")
    return Finding(what, "fault" if status < 500 else "warning", f"status {status}: {fault.message}")


def _cheapest(blueprint: Blueprint, provider: str) -> Target | None:
    targets = {
        target.model: target
        for model in blueprint.config.models
        if blueprint.config.models[model].provider == provider
        for target in catalog_of(blueprint).resolve(model).candidates
        if target.provider == provider and "chat" in target.profile.operations and "chat" in target.profile.dialects
    }
    return min(targets.values(), key=lambda target: target.price.output if target.price else 0, default=None)


def _hello(target: Target) -> Call:
    body = {"model": target.model, "messages": [{"role": "user", "content": "Say hi."}], "max_tokens": 16}
    return Call(
        id="req_doctor", route="/chat/completions", dialect="chat", body=body, model=target.model, stream=False,
        headers={}, authorization="", remote="", started=time.monotonic(), created=int(time.time()), max_output=16,
        targets=(target,), candidates=(target,),
    )  # fmt: skip


def _apart(date: str) -> float:
    try:
        return time.time() - parsedate_to_datetime(date).timestamp()
    except ValueError:
        return 0.0
