"""What the subcommands share: options, opening the stores, and printing."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import math
import os
import re
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson

from gateway.blueprint import Blueprint, open_stores, read_blueprint
from gateway.claim import served_address
from gateway.config import Config, Server
from gateway.errors import ConfigFault
from gateway.server_secret import has_secret
from gateway.stores import Stores

DEFAULT_CONFIG = "config.yaml"
_WIDEST = 10_000
"""Columns of a terminal on which any table has room."""
_NUMBER = re.compile(r"-?[0-9][0-9,]*(\.[0-9]+)?( ?%)?")
_STYLES: Mapping[str, str] = MappingProxyType(
    {"active": "green", "yes": "green", "revoked": "red", "expired": "yellow", "no": "red", "disabled": "red"}
)


def is_frozen() -> bool:
    """Whether this is the single binary, which has no Python beside it."""
    return bool(getattr(sys, "frozen", False))


def add_config(parser: argparse.ArgumentParser) -> None:
    """The option `--config`."""
    parser.add_argument("--config", type=Path, default=Path(DEFAULT_CONFIG), help="the YAML file (%(default)s)")


def number(least: float, most: float) -> Callable[[str], float]:
    """The parser of a flag that is a number within these; argparse says what it refuses."""

    def parse(text: str) -> float:
        value = float(text) if re.fullmatch(r"-?[0-9]{1,18}(\.[0-9]{1,18})?", text, re.ASCII) else math.nan
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(
                f"expected a number from {_plain(least)} to {_plain(most)}, got {text[:40]!r}"
            )
        return value

    return parse


def _plain(value: float) -> str:
    """Without the exponent of a large number."""
    return f"{value:.0f}" if value == int(value) else f"{value:g}"


def whole(least: int, most: int) -> Callable[[str], int]:
    """The same of a whole number."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", text, re.ASCII) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"expected a whole number from {least} to {most}, got {text[:40]!r}")
        return int(text)

    return parse


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option `--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON for machines")


class _MayLack(dict[str, str]):
    """An environment in which every variable is set, if only to nothing: for commands that call no provider, and need
    no key of one."""

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]
        return super().get(name, "" if default is None else default)


def blueprint_of(
    options: argparse.Namespace, *, complete: bool = False, flags: Mapping[str, Any] = MappingProxyType({})
) -> Blueprint:
    """The checked configuration. complete: variables that it names must be set. flags: see `read_blueprint`. Raises
    ConfigFault."""
    if str(options.config) == DEFAULT_CONFIG and not options.config.exists():
        raise ConfigFault(
            [
                f"{DEFAULT_CONFIG}: there is none in this folder. Name the gateway's configuration with --config, or "
                "write a new one with `gateway init`"
            ]
        )
    return read_blueprint(options.config, os.environ if complete else _MayLack(os.environ), flags=flags)


def served(config: Config) -> Server:
    """The `server` section with the address that the running gateway of this data folder really listens on."""
    address = served_address(config.data)
    if address is None:
        return config.server
    return config.server.model_copy(update={"host": address[0], "port": address[1]})


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

    if sys.stdout.isatty():
        _load_rich()  # before there is a loop that an import would hold up

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


def _load_rich() -> tuple[Any, ...]:
    """The parts of rich that draw tables: they take a moment to import, and only people at a terminal need them."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    return box, Console, Table, Text


def _print_rich(table: Sequence[Sequence[str]]) -> None:
    box, Console, Table, Text = _load_rich()
    console = Console()
    shown = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for column, name in enumerate(table[0]):
        numbers = all(_NUMBER.fullmatch(row[column]) for row in table[1:] if row[column])
        shown.add_column(name, justify="right" if numbers and len(table) > 1 else "left", overflow="fold")
    # As text: a name such as `[bold]` is no markup.
    cells = [[Text(cell, style=_STYLES.get(cell, "")) for cell in row] for row in table[1:]]
    for row in cells:
        shown.add_row(*row)
    if not cells or console.measure(shown, options=console.options.update(max_width=_WIDEST)).maximum <= console.width:
        console.print(shown)
        return
    # A table that is cut into slices of a few letters cannot be read: a line for each cell instead.
    for row in cells:
        record = Table(box=None, show_header=False, pad_edge=False)
        record.add_column(style="bold", no_wrap=True)
        record.add_column(overflow="fold")
        for name, cell in zip(table[0], row, strict=True):
            if cell.plain:
                record.add_row(name, cell)
        console.print(record, "")


def print_json(value: Any) -> None:
    """One JSON document, indented."""
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode())


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns under a header, numbers to the right; nothing but the header when there are no rows. On a terminal with
    colours and lines, and where it is too narrow a line for each cell; otherwise plain text for `grep` and `awk`."""
    table = [tuple(header), *(tuple("" if cell is None else str(cell) for cell in row) for row in rows)]
    if sys.stdout.isatty():
        _print_rich(table)
        return
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def console_base(server: Server, port: int | None = None) -> str:
    """How a browser reaches the console. port: the one really listened on, where that is known."""
    if server.public_url is not None:
        return server.public_url
    everywhere = server.host in ("0.0.0.0", "::")
    host = "127.0.0.1" if everywhere else f"[{server.host}]" if ":" in server.host else server.host
    return f"http://{host}:{port or server.port}"
