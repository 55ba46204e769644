"""The `gateway` command. Human output by default, `--json` for machines; exit status 0 (done), 1 (could not), 2 (bad
usage or configuration)."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from gateway.cli import (
    accounts,
    audit,
    bench,
    catalogue,
    database,
    demo_data,
    doctor,
    explaining,
    init,
    inspect,
    keys,
    ledger,
    plugin,
    record,
    secret,
    serve,
    tools,
    topups,
    vouchers,
)
from gateway.cli.version import ShowVersion
from gateway.errors import ConfigFault, Fault


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit status."""
    parser = build_parser()
    given = list(sys.argv[1:] if arguments is None else arguments)
    # What is no UTF-8 can neither be stored, nor sent, nor printed.
    odd = next((one for one in given if not _is_text(one)), None)
    if odd is not None:
        parser.error(f"{odd!r} is not valid UTF-8")
    options = parser.parse_args(given)
    try:
        return int(options.run(options) or 0)
    except ConfigFault as fault:
        for problem in fault.problems:
            print(problem, file=sys.stderr)
        return 2
    except Fault as fault:
        print(f"gateway: {fault.message}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader of our output (head, less) has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.filename is None:
            raise
        # A file that was named, mostly: what is wrong with it is not ours, and needs no trace.
        print(f"gateway: {str(error.filename)[:200]}: {error.strerror}", file=sys.stderr)
        return 1


def _is_text(argument: str) -> bool:
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in argument


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(prog="gateway", description="Tollgate, a self-hosted LLM gateway.")
    parser.add_argument("--version", action=ShowVersion, help="show version, build and plugins, and exit")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module in (
        serve,
        init,
        doctor,
        inspect,
        explaining,
        plugin,
        record,
        tools,
        catalogue,
        accounts,
        keys,
        secret,
        ledger,
        database,
        vouchers,
        topups,
        audit,
        bench,
        demo_data,
    ):
        module.add_commands(commands)
    return parser
