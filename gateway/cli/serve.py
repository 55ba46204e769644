"""gateway serve, gateway reload."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import re
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from gateway import config as configuration
from gateway.blueprint import Blueprint, catalog_of, demo_note, open_stores
from gateway.claim import Claim, announce, holder, withdraw
from gateway.cli.common import add_config, add_json, blueprint_of, console_base, print_json, whole
from gateway.cli.loglines import is_watched, log_lines
from gateway.cli.supervisor import Supervisor, inherited, listen, worker_command
from gateway.config import Config, Server
from gateway.config.explain import said_of
from gateway.console import ConsolePart
from gateway.errors import ConfigFault, Fault, GatewayFault
from gateway.http.api.links import link_url
from gateway.http.server.service import Service
from gateway.logs import style_of
from gateway.reloading import forget_outcome, wait_for_outcome
from gateway.runtime import Gateway
from gateway.server_secret import admin_secrets, data_folder
from gateway.siblings import Link
from gateway.stores import KeySettings, NewLink, Stores
from gateway.wire.redact import Redactor

_LOOK_FOR_SUPERVISOR = 1.0
_RELOAD = 60.0
"""Seconds to wait for what comes of a reload: plugins may take their time to start."""
FIRST_ACCOUNT = "admin"
FIRST_GRANT = 10_000_000
"""Credits of the account that the first start creates (10 USD at the default rate): the operator's own."""
FIRST_LINK = 86_400
"""Seconds that its first link to the console holds."""


def add_commands(commands: Any) -> None:
    """Register the commands of this module."""
    serve = commands.add_parser("serve", help="start the gateway")
    add_config(serve)
    serve.add_argument("--host", type=_setting("host"), help="listen here instead of server.host")
    serve.add_argument("--port", type=_setting("port"), help="listen here instead of server.port; 0 picks a free one")
    serve.add_argument(
        "--workers", type=_setting("workers"), help="processes that share the port, instead of server.workers"
    )
    serve.add_argument("--listen-fd", type=_socket, help=argparse.SUPPRESS)
    serve.add_argument("--siblings-fd", type=_socket, help=argparse.SUPPRESS)
    serve.add_argument("--log-format", choices=("auto", "text", "json"), default="auto", help=argparse.SUPPRESS)
    serve.add_argument("--supervisor", type=whole(1, 2**31 - 1), default=0, help=argparse.SUPPRESS)
    serve.set_defaults(run=run_serve)
    reload = commands.add_parser("reload", help="make the running gateway read its configuration again")
    add_config(reload)
    add_json(reload)
    reload.set_defaults(run=run_reload)


def _socket(text: str) -> int:
    """The parser of a flag by which a supervisor passes on a socket."""
    descriptor = whole(0, 2**31 - 1)(text)
    try:
        is_socket = stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError:
        is_socket = False
    if not is_socket:
        raise argparse.ArgumentTypeError(f"{text} is no socket of this process; only a supervisor has one to pass on")
    return descriptor


def _setting(name: str) -> Callable[[str], Any]:
    """The parser of a flag that stands for `server.NAME`: it takes what the file takes."""

    def parse(text: str) -> Any:
        value: Any = int(text) if re.fullmatch(r"-?[0-9]{1,9}", text, re.ASCII) and name != "host" else text
        try:
            return getattr(Server.model_validate({name: value}), name)
        except ValidationError as error:
            raise argparse.ArgumentTypeError(f"server.{name}: {said_of(error.errors()[0])} (found {text!r})") from None

    return parse


def run_serve(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT. Raises ConfigFault, Fault where people look on; else such a fault is a line of the
    log like all others."""
    redact, style = Redactor(), options.log_format
    try:
        with log_lines(style, redact):
            if options.listen_fd is not None:
                return _run_loop(_serve(options, inherited(options.listen_fd), redact))
            blueprint = blueprint_of(options, complete=True, flags=_flags(options))
        redact.add(blueprint.config.secrets)
        style = blueprint.config.log.format
        with log_lines(style, redact) as log:
            return _run(options, blueprint, log, redact)
    except BrokenPipeError:
        raise
    except Exception as fault:  # whatever ends it, of bugs the trace too, is told in the log's format
        if is_watched() and options.listen_fd is None:
            raise
        with log_lines(style, redact) as log:
            if not isinstance(fault, ConfigFault | Fault):
                log.critical("uncaught exception", exc_info=fault)
                return 1
            for problem in fault.problems if isinstance(fault, ConfigFault) else [fault.message]:
                log.error(problem)
        return 2 if isinstance(fault, ConfigFault) else 1


def _run(options: argparse.Namespace, blueprint: Blueprint, log: logging.Logger, redact: Redactor) -> int:
    config = blueprint.config
    with data_folder(config.data):
        claim = Claim(config.data)
    try:
        if config.server.workers <= 1:
            return _run_loop(_serve(options, None, redact))
        return _run_workers(options, blueprint, log)
    finally:
        claim.release()


def _flags(options: argparse.Namespace) -> dict[str, Any]:
    """What the command line says instead of `server`'s values."""
    given = {"host": options.host, "port": options.port, "workers": options.workers}
    return {name: value for name, value in given.items() if value is not None}


def _run_workers(options: argparse.Namespace, blueprint: Blueprint, log: logging.Logger) -> int:
    config, server = blueprint.config, blueprint.config.server
    try:
        listening = listen(server.host, server.port)
    except OSError as error:
        raise _cannot_listen(server, error) from error
    asyncio.run(_introduce(blueprint, listening))
    port = listening.getsockname()[1]
    announce(config.data, server.host, port)
    try:
        # What the workers say has the supervisor's format, also before they have read the configuration.
        style = style_of(blueprint.config.log.format, sys.stderr)
        flags = ["--host", server.host, "--port", str(port), "--workers", str(server.workers)]
        command = worker_command(["serve", "--config", str(options.config), "--log-format", style, *flags])
        return asyncio.run(Supervisor(command, listening, server.workers, config.data, log).run())
    finally:
        withdraw(config.data)


def _cannot_listen(server: Server, error: OSError) -> GatewayFault:
    return GatewayFault(f"cannot listen on {server.host}, port {server.port}: {error.strerror or error}")


def run_reload(options: argparse.Namespace) -> int:
    """Tell the running gateway, wait, and say what came of it; 2 when its file has faults. Raises ConfigFault,
    GatewayFault. Which file that is says the gateway: it may be another than the one that is named here."""
    data = configuration.read(options.config, os.environ).data
    process = holder(data)
    if process is None:
        raise GatewayFault(f"no gateway is running on the data folder {data}")
    forget_outcome(data)
    os.kill(process, signal.SIGHUP)
    outcome = wait_for_outcome(data, _RELOAD)
    if outcome is None:
        raise GatewayFault(f"the gateway has not answered within {_RELOAD:g} s; its log tells what came of it")
    if options.json:
        print_json({"ok": not outcome["problems"], **outcome})
    else:
        _show_outcome(outcome)
    return 2 if outcome["problems"] else 0


def _show_outcome(outcome: dict[str, Any]) -> None:
    for problem in outcome["problems"]:
        print(problem, file=sys.stderr)
    if outcome["problems"]:
        print(f"gateway: not reloaded; the configuration of before stays ({outcome['config']})", file=sys.stderr)
        return
    for warning in outcome["warnings"]:
        print(f"warning: {warning}")
    processes = outcome["processes"]
    print(f"reloaded {outcome['config']}" + (f" in {processes} processes" if processes > 1 else ""))


def _run_loop(work: Any) -> int:
    try:
        import uvloop
    except ImportError:  # not on this platform; asyncio's own loop does the same, slower
        return int(asyncio.run(work))
    return int(uvloop.run(work))


async def _serve(options: argparse.Namespace, listening: socket.socket | None, redact: Redactor) -> int:
    """One process that serves: alone, or as a worker on the supervisor's socket."""
    link = None if options.siblings_fd is None else Link(socket.socket(fileno=options.siblings_fd))
    shared = listening is not None
    gateway = Gateway(
        options.config, os.environ, shared=shared, siblings=link, flags=_flags(options), redact=redact
    )  # fmt: skip
    if link is not None:
        await link.start()
    await gateway.start()
    service = Service(gateway, listening=listening, parts=(ConsolePart(),))
    try:
        with service.signals():
            # Whoever waits for /readyz to find the first key in what was printed finds it there.
            gateway.introducing = listening is None
            await service.start()
            if listening is None:
                runtime = gateway.runtime
                await _greet(
                    gateway.stores,
                    gateway.admin_secret(),
                    runtime.config,
                    service.address,
                    runtime.catalog.usable(),
                    runtime.demo_note,
                )
                gateway.introducing = False
            _spare_the_collector()
            if listening is not None:
                _end_with(options.supervisor, service)
            if link is not None:
                link.tell("ready", os.getpid())
            await service.serve()
    except OSError as error:
        raise _cannot_listen(gateway.runtime.config.server, error) from error
    finally:
        await service.close()
        await gateway.stop()
        if link is not None:
            await link.close()
    return 0


def _end_with(supervisor: int, service: Service) -> None:
    """A worker whose supervisor is gone, however it went, drains and ends: nobody could stop, reload or replace it."""
    if os.getppid() == supervisor:
        asyncio.get_running_loop().call_later(_LOOK_FOR_SUPERVISOR, _end_with, supervisor, service)
        return
    service.gateway.log.warning("the supervisor is gone: this worker ends")
    service.request_stop()


def _spare_the_collector() -> None:
    """What stands after the start stands for good: the collector of cycles need not look at it again and again, and
    what a request makes is gone with it before a larger young generation is full."""
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


async def _introduce(blueprint: Blueprint, listening: socket.socket) -> None:
    """What the supervisor does before there are workers: greet, and make the first account if need be."""
    stores = await open_stores(blueprint)
    try:
        await _greet(
            stores,
            admin_secrets(blueprint.config.data, time.time())[0],
            blueprint.config,
            listening.getsockname()[:2],
            catalog_of(blueprint).usable(),
            demo_note(blueprint),
        )
    finally:
        await stores.close()


async def _greet(
    stores: Stores, admin: str, config: Config, address: tuple[str, int], model: str | None, demo: str
) -> None:
    """Say where the gateway is; on the first start also create and show, once, what is needed to use it.

    model: a name to try, None when no model can be used. demo: what is to be said of demo mode, if it is on."""
    host, port = address
    base = f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}"
    print(f"Tollgate serves {base}/v1 (also {base}/api/v1)", flush=True)
    if demo:
        print(demo[0].upper() + demo[1:] + ".", flush=True)
    if await stores.accounts.list_accounts(limit=1):
        return
    account = await stores.accounts.create_account(FIRST_ACCOUNT, role="admin", grant=FIRST_GRANT)
    _, key = await stores.keys.create_key(account.id, KeySettings(name="first key"))
    console = ""
    if config.console.enabled:
        link, token = await stores.logins.create_link(NewLink("sign_in", lifetime=FIRST_LINK, account_id=account.id))
        url = link_url(console_base(config.server, port), link, token)
        console = f"\n  console        {url}\n                 (signs in once, within {FIRST_LINK // 3600} hours)"
    print(
        f"""
First start: the account '{FIRST_ACCOUNT}' was created with {FIRST_GRANT:,} credits.
These are shown only now:

  API key        {key}
  admin secret   {admin}   (opens the admin API){console}
{_try(base, key, model)}
""",
        flush=True,
    )


def _try(base: str, key: str, model: str | None) -> str:
    """A first request to paste."""
    if model is None:
        return "\nNo model can be used yet: `gateway check` tells what their providers lack."
    return f"""
Try it:

  curl {base}/v1/chat/completions \\
    -H "Authorization: Bearer {key}" \\
    -H "Content-Type: application/json" \\
    -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello!"}}]}}'"""
