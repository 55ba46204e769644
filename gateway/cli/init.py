"""gateway init: a commented configuration, and the keys of providers beside it."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gateway.blueprint import read_blueprint, switched_off
from gateway.config.dotenv import FILE, dotenv_line, parse_dotenv
from gateway.errors import CallerFault, GatewayFault

_PACKAGE = Path(__file__).resolve().parents[1]


def add_commands(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser("init", help="write a commented config.yaml, and ask for the keys of providers")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(), help="where (the working directory)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a variable for .env, such as a provider's key"
    )
    parser.add_argument("--no-input", action="store_true", help="ask for nothing")
    parser.set_defaults(run=run_init)


def run_init(options: argparse.Namespace) -> int:
    """Raises GatewayFault when there is a configuration already, or a file cannot be written."""
    folder: Path = options.folder
    config, secrets = folder / "config.yaml", folder / FILE
    given = dict(_variable(text) for text in options.set)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with config.open("x", encoding="utf-8") as file:
            file.write(default_config().read_text(encoding="utf-8"))
    except FileExistsError:
        raise GatewayFault(f"{config} is there already; `gateway check --config {config}` tells about it") from None
    except OSError as error:
        raise GatewayFault(f"{config} cannot be written: {error.strerror}") from error
    print(f"{config}: what can be set, with its comments")
    known = parse_dotenv(secrets.read_bytes(), str(secrets)) if secrets.exists() else {}
    fresh = {name: value for name, value in given.items() if name not in known}
    if not options.no_input and sys.stdin.isatty():
        asked = [one for one in _wanted(config, {**os.environ, **known, **fresh}) if one[1] not in fresh]
        if asked:
            print("Keys of providers; an empty line passes one over, and all can be set later:")
        for provider, name in asked:
            value = getpass.getpass(f"  {name} ({provider}): ").strip()
            if value:
                fresh[name] = value
    write_secrets(secrets, fresh)
    print(f"{secrets}: {', '.join(fresh) or 'no keys yet'}; only you can read it")
    print(f"Go on with `gateway doctor --config {config}`, then `gateway serve --config {config}`.")
    return 0


def default_config() -> Path:
    """The commented configuration that comes with the gateway: inside an installed package, or beside a checkout."""
    inside = _PACKAGE / "shared" / "config.yaml"
    return inside if inside.is_file() else _PACKAGE.parent / "config.yaml"


def write_secrets(path: Path, variables: Mapping[str, str]) -> None:
    """Add variables to a file that only its owner can read. Raises GatewayFault."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            # It may be older than this, and have been readable for others.
            os.fchmod(descriptor, 0o600)
            if not os.fstat(descriptor).st_size:
                file.write("# Variables for ${NAME} in config.yaml; the environment counts more.\n")
            file.writelines(dotenv_line(name, value) + "\n" for name, value in variables.items())
    except OSError as error:
        raise GatewayFault(f"{path} cannot be written: {error.strerror}") from error


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise CallerFault(f"--set {name[:40]}: expected NAME=VALUE")
    return name, value


def _wanted(config: Path, env: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """(provider, variable) of what providers lack, in the order of the file."""
    blueprint = read_blueprint(config, env)
    off = switched_off(blueprint)
    for name, entry in blueprint.config.providers.items():
        if name in off:
            yield from ((name, variable) for variable in entry.unset)
