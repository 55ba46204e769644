"""gateway tools: what the gateway runs for models, and whether it works."""

from __future__ import annotations

import argparse
import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from gateway.blueprint import Blueprint
from gateway.cli.common import add_config, add_json, blueprint_of, print_json, print_table
from gateway.cli.network import exchanging
from gateway.errors import Fault
from gateway.servertools.toolbox import Toolbox
from gateway.tools import SearchQuery, ToolFault


def add_commands(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser("tools", help="list the tools that the gateway runs for models, and try them")
    add_config(parser)
    add_json(parser)
    parser.add_argument(
        "--test", action="store_true", help="search with each service, and ask each MCP server for its tools"
    )
    parser.add_argument("--query", default="weather today", metavar="TEXT", help="what to search for with --test")
    parser.set_defaults(run=run_tools)


def run_tools(options: argparse.Namespace) -> int:
    """Exit status 1 when --test found something that does not work."""
    rows = asyncio.run(_look(blueprint_of(options), options.query if options.test else None))
    if options.json:
        print_json([{"kind": kind, "name": name, "ok": ok, "detail": detail} for kind, name, ok, detail in rows])
    else:
        state = {True: "ok" if options.test else "ready", False: "fails" if options.test else "off", None: "off"}
        print_table(("KIND", "NAME", "STATE", ""), [(kind, name, state[ok], told) for kind, name, ok, told in rows])
    return 1 if options.test and any(ok is False for _, _, ok, _ in rows) else 0


Row = tuple[str, str, bool | None, str]
"""Kind, name, whether it works (None: it is switched off), and what more there is to say."""


async def _look(blueprint: Blueprint, query: str | None) -> list[Row]:
    async with _toolbox(blueprint) as toolbox:
        rows: list[Row] = []
        for service in toolbox.services:
            ok, told = (
                True,
                "made-up pages, for free models while no other service is ready" if service.development else "",
            )
            if query is not None:
                ok, told = await _try(_search(toolbox, service.backend, query))
            rows.append(("search", service.backend.name, ok, told))
        rows += [("search", name, None, reason) for name, reason in toolbox.switched_off.items()]
        rows.append(("pages", "reader", toolbox.search.reads() or None, "" if toolbox.search.reads() else "no plugin"))
        for label, spec in toolbox.servers.items():
            ok, told = True, spec.url or " ".join(spec.command)
            if query is not None:
                ok, told = await _try(_list(toolbox, label))
            rows.append(("mcp", label, ok, told))
        rows += [("tool", tool.name, True, tool.description) for tool in toolbox.tools.values()]
        return rows


async def _search(toolbox: Toolbox, backend: Any, query: str) -> str:
    async with asyncio.timeout(toolbox.config.search.timeout):
        found = await backend.search(SearchQuery(query, count=3), toolbox.net)
    return f"{len(found)} results" + (f", the first: {found[0].title}" if found else "")


async def _list(toolbox: Toolbox, label: str) -> str:
    tools = await toolbox.mcp.tools(toolbox.servers[label])
    return f"{len(tools)} tools: " + ", ".join(tool["name"] for tool in tools)


async def _try(work: Any) -> tuple[bool, str]:
    try:
        return True, await work
    except ToolFault as fault:
        return False, f"{fault.text} {fault.detail}".strip()
    except Fault as fault:
        return False, f"{fault.message} {fault.detail}".strip()
    except TimeoutError:
        return False, "no answer in time"
    except Exception as error:  # a plugin's fault is what this command is asked for
        return False, f"{type(error).__name__}: {error}"


@asynccontextmanager
async def _toolbox(blueprint: Blueprint) -> AsyncIterator[Toolbox]:
    """The tools of a configuration, without a gateway around them."""
    log = logging.Logger("gateway", logging.CRITICAL)
    async with exchanging(blueprint.config, log) as exchange:
        toolbox = Toolbox(blueprint.config, blueprint.offers, exchange, log)
        try:
            yield toolbox
        finally:
            await toolbox.close()
