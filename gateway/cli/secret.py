"""gateway secret."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from gateway.cli.common import add_config, add_json, print_json, used_data, whole
from gateway.server_secret import admin_secrets, rotate, undo_rotation

_GRACE = 24 * 3600


def add_commands(commands: Any) -> None:
    """Register the command."""
    secret = commands.add_parser("secret", help="the admin secret, and a new server secret")
    acts = secret.add_subparsers(required=True, metavar="ACT")
    show = acts.add_parser("show", help="print the admin secret")
    turn = acts.add_parser("rotate", help="make a new server secret, and with it a new admin secret; keys stay alive")
    turn.add_argument(
        "--grace",
        type=whole(0, 30 * 86_400),
        default=_GRACE,
        help="seconds that the old admin secret still works (%(default)s)",
    )
    undo = acts.add_parser("undo", help="forget the newest server secret and use the one before")
    for parser, run in ((show, run_show), (turn, run_rotate), (undo, run_undo)):
        add_config(parser)
        add_json(parser)
        parser.set_defaults(run=run)


def run_show(options: argparse.Namespace) -> int:
    """Print the admin secret, and on standard error those of before that are good for a while. Raises ConfigFault."""
    found = admin_secrets(used_data(options).config.data, time.time())
    if options.json:
        print_json({"admin_secrets": found})
    else:
        print(found[0])
        for secret in found[1:]:  # beside what `$(gateway secret show)` reads
            print(f"{secret}  (the one before, for a while)", file=sys.stderr)
    return 0


def run_rotate(options: argparse.Namespace) -> int:
    """Rotate, and print the new admin secret. A running gateway takes it at once. Raises ConfigFault."""
    data = used_data(options).config.data
    now = time.time()
    versions = rotate(data, now + options.grace)
    return _tell(options, versions, admin_secrets(data, now)[0], f"the old one works {options.grace} seconds more")


def run_undo(options: argparse.Namespace) -> int:
    """Undo the last rotation, and print the admin secret that is good again. Raises ConfigFault."""
    data = used_data(options).config.data
    return _tell(options, undo_rotation(data), admin_secrets(data, time.time())[0], "the newest is forgotten")


def _tell(options: argparse.Namespace, versions: int, secret: str, old: str) -> int:
    if options.json:
        print_json({"admin_secret": secret, "versions": versions})
    else:
        print(f"admin secret   {secret}\n({old}; back up the file `secret` of the data folder anew)")
    return 0
