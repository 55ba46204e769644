"""What the subcommands share: options, opening the stores, and printing."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson

from gateway.blueprint import Blueprint, open_stores, read_blueprint
from gateway.errors import ConfigFault
from gateway.server_secret import has_secret
from gateway.stores import Stores

DEFAULT_CONFIG = "config.yaml"


def is_frozen() -> bool:
    """Whether this is the single binary, which has no Python beside it."""
    return bool(getattr(sys, "frozen", False))


def add_config(parser: argparse.ArgumentParser) -> None:
    """The option `--config`."""
    parser.add_argument("--config", type=Path, default=Path(DEFAULT_CONFIG), help="the YAML file (%(default)s)")


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option `--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON for machines")


def blueprint_of(options: argparse.Namespace) -> Blueprint:
    """The checked configuration. Raises ConfigFault."""
    return read_blueprint(options.config, os.environ)


def used_data(options: argparse.Namespace) -> Blueprint:
    """`blueprint_of`, whose data folder a gateway has used before. Raises ConfigFault."""
    blueprint = blueprint_of(options)
    data = blueprint.config.data
    if not has_secret(data):
        raise ConfigFault(
            [
                f"{data}: no gateway has used this data folder yet. Name the gateway's configuration with --config, or "
                "its data folder with the environment variable GATEWAY_DATA; `gateway serve` makes a new one"
            ]
        )
    return blueprint


def with_stores(options: argparse.Namespace, work: Callable[[Stores], Awaitable[int]], *, create: bool = False) -> int:
    """Run `work` on the opened stores of the configuration; works beside a running gateway.

    create: the command makes sense on an empty database. Any other one is asked in the wrong place when there is none:
    raises ConfigFault instead of making it.
    """

    blueprint = blueprint_of(options) if create else used_data(options)

    async def run() -> int:
        stores = await open_stores(blueprint)
        try:
            return await work(stores)
        finally:
            await stores.close()

    return asyncio.run(run())


async def record(stores: Stores, action: str, subject: str, **detail: object) -> None:
    """Enter what a person at this machine has done in the audit log."""
    try:
        person = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in many containers
        person = str(os.getuid())
    await stores.audit.record(f"cli:{person}", action, subject, detail=detail)


def print_json(value: Any) -> None:
    """One JSON document, indented."""
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode())


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Left-aligned columns under a header; nothing but the header when there are no rows."""
    table = [tuple(header), *(tuple("" if cell is None else str(cell) for cell in row) for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
