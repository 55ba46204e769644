"""The `gateway` command. Human output by default, `--json` for machines; exit status 0 (done), 1 (could not), 2 (bad
usage or configuration)."""

from __future__ import annotations

import argparse
import gc
import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import NoReturn

from gateway.deferred import defer
from gateway.errors import CallerFault, ConfigFault, Fault

_SERVING = ("serve", "reload")
"""Commands of `gateway.cli.serve`, which need none of the other modules."""
_IN_PARTS = ("aiohttp", "prometheus_client")
"""Packages of which a gateway uses a part."""
_MISTAKEN = 400
"""The status of a fault that is the command line's: what it names can be no such thing."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit status. arguments: those of the process without them; then an interrupt
    (Ctrl-C) ends it as a signal does, without a trace."""
    if arguments is not None:
        return _run(list(arguments))
    _print_any_text()
    try:
        status = _run(sys.argv[1:], forever=True)
        sys.stdout.flush()  # here, where a reader who left is told from a fault
        return status
    except BrokenPipeError:
        # The reader of our output (head, less) has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        # By the signal itself, as shells expect it: a loop that runs the command ends then, too.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
        return 128 + signal.SIGINT


def _run(given: list[str], *, forever: bool = False) -> int:
    with _spared_collector(forever=forever):
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
        return 2 if isinstance(fault, CallerFault) and fault.status == _MISTAKEN else 1
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.filename is None:
            raise
        # A file that was named, mostly: what is wrong with it is not ours, and needs no trace.
        print(f"gateway: {str(error.filename)[:200]}: {error.strerror}", file=sys.stderr)
        return 1


def _print_any_text() -> None:
    """No name ends a command because the machine's locale lacks its letters: what goes to a program is UTF-8, what goes
    to a terminal of another coding has such letters escaped."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower() not in ("utf-8", "utf8"):
            if stream.isatty():
                stream.reconfigure(errors="backslashreplace")
            else:
                stream.reconfigure(encoding="utf-8")


def _is_text(argument: str) -> bool:
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in argument


@contextmanager
def _spared_collector(*, forever: bool) -> Iterator[None]:
    """What is imported stays: to look for garbage in it, again and again as it grows, takes a tenth of a start.
    forever: nor need it be looked at later; for a process of the command's own. What it leaves, such as each class that
    got slots only afterwards, is 1 MB, which what follows then uses."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if forever:
            gc.collect()
            gc.freeze()
        if was_on:
            gc.enable()


def build_parser(command: str = "") -> argparse.ArgumentParser:
    """The whole command line. command: the one that will be run; for those that serve, the others are left out."""
    for package in _IN_PARTS:
        defer(package)
    from gateway.cli import serve
    from gateway.cli.version import ShowVersion

    parser = argparse.ArgumentParser(prog="gateway", description="Tollgate, a self-hosted LLM gateway.")
    parser.add_argument("--version", action=ShowVersion, help="show version, build and plugins, and exit")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    serve.add_commands(commands)
    for module in () if command in _SERVING else _others():
        module.add_commands(commands)
    _refuse_early_options(parser)
    return parser


class _Early(argparse.Action):
    """An option of a command that stands before its name."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> NoReturn:
        name = self.option_strings[0]
        parser.error(f"{name} stands behind the command: {parser.prog} {self.metavar} ... {name}")


def _refuse_early_options(parser: argparse.ArgumentParser) -> None:
    """Have every level of commands say where `--config` and `--json` belong, instead of taking what follows for a
    command."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for option in ("--config", "--json"):
                parser.add_argument(
                    option, action=_Early, nargs="?", metavar=action.metavar, default=argparse.SUPPRESS,
                    help=argparse.SUPPRESS,
                )  # fmt: skip
            for command in dict.fromkeys(action.choices.values()):
                _refuse_early_options(command)
            return


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
        usage,
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
        usage,
        database,
        vouchers,
        topups,
        audit,
        bench,
        demo_data,
    )
