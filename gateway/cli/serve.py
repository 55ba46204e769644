"""gateway serve, gateway reload."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from typing import Any

from gateway.cli.common import add_config, blueprint_of
from gateway.errors import GatewayFault
from gateway.http.service import PID_FILE, Service
from gateway.runtime import Gateway
from gateway.stores import KeySettings

FIRST_ACCOUNT = "admin"
FIRST_GRANT = 10_000_000
"""Credits of the account that the first start creates (10 USD at the default rate): the operator's own."""


def add_commands(commands: Any) -> None:
    """Register the commands of this module."""
    serve = commands.add_parser("serve", help="start the gateway")
    add_config(serve)
    serve.add_argument("--host", help="listen here instead of server.host")
    serve.add_argument("--port", type=int, help="listen here instead of server.port; 0 picks a free one")
    serve.set_defaults(run=run_serve)
    reload = commands.add_parser("reload", help="make the running gateway read its configuration again")
    add_config(reload)
    reload.set_defaults(run=run_reload)


def run_serve(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    return _run_loop(_serve(options))


def run_reload(options: argparse.Namespace) -> int:
    """Check the configuration and, when it is good, tell the running gateway. Raises ConfigFault, GatewayFault."""
    data = blueprint_of(options).config.data
    try:
        os.kill(int((data / PID_FILE).read_text()), signal.SIGHUP)
    except (FileNotFoundError, ValueError, ProcessLookupError) as error:
        raise GatewayFault(f"no gateway is running on the data folder {data}") from error
    print("reload requested; the gateway's log tells the result")
    return 0


def _run_loop(work: Any) -> int:
    try:
        import uvloop
    except ImportError:  # not on this platform; asyncio's own loop does the same, slower
        return int(asyncio.run(work))
    return int(uvloop.run(work))


async def _serve(options: argparse.Namespace) -> int:
    gateway = Gateway(options.config, os.environ)
    await gateway.start()
    service = Service(gateway, host=options.host, port=options.port)
    try:
        await service.start()
        await _greet(gateway, service)
        await service.serve()
    except OSError as error:
        print(f"gateway: cannot listen: {error}", file=sys.stderr)
        return 1
    finally:
        await service.close()
        await gateway.stop()
    return 0


async def _greet(gateway: Gateway, service: Service) -> None:
    """Say where the gateway is; on the first start also create and show, once, what is needed to use it."""
    host, port = service.address
    base = f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}"
    print(f"Tollgate serves {base}/v1 (also {base}/api/v1)", flush=True)
    stores = gateway.stores
    if await stores.accounts.list_accounts(limit=1):
        return
    account = await stores.accounts.create_account(FIRST_ACCOUNT, role="admin", grant=FIRST_GRANT)
    _, key = await stores.keys.create_key(account.id, KeySettings(name="first key"))
    print(
        f"""
First start: the account '{FIRST_ACCOUNT}' was created with {FIRST_GRANT:,} credits.
These are shown only now:

  API key        {key}
  admin secret   {gateway.admin_secret()}   (signs in to the console and the admin API)

Try it:

  curl {base}/v1/chat/completions \\
    -H "Authorization: Bearer {key}" \\
    -H "Content-Type: application/json" \\
    -d '{{"model": "muh-chat", "messages": [{{"role": "user", "content": "Hello!"}}]}}'
""",
        flush=True,
    )
