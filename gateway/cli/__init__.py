"""The `gateway` command. Human output by default, `--json` for machines; exit status 0 (done), 1 (could not), 2 (bad
usage or configuration)."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

from gateway.errors import ConfigFault, Fault

_SERVING = ("serve", "reload")
"""Commands of `gateway.cli.serve`, which need none of the other modules."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    with _spared_collector(forever=arguments is None):
        parser = build_parser(given[0] if given else "")
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


@contextmanager
def _spared_collector(*, forever: bool) -> Iterator[None]:
    """What is imported stays: to look for garbage in it, again and again as it grows, takes a tenth of a start.
    forever: nor need it be looked at later; for a process of the command's own."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if forever:
            gc.freeze()
        if was_on:
            gc.enable()


def build_parser(command: str = "") -> argparse.ArgumentParser:
    """The whole command line. command: the one that will be run; for those that serve, the others are left out."""
    from gateway.cli import serve
    from gateway.cli.version import ShowVersion

    parser = argparse.ArgumentParser(prog="gateway", description="Tollgate, a self-hosted LLM gateway.")
    parser.add_argument("--version", action=ShowVersion, help="show version, build and plugins, and exit")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    serve.add_commands(commands)
    for module in () if command in _SERVING else _others():
        module.add_commands(commands)
    return parser


def _others() -> Sequence[ModuleType]:
    """In the order of the help."""
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
        tools,
        topups,
        vouchers,
    )

    return (
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
    )
