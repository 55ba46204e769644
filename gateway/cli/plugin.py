"""gateway plugin new|check: make a plugin that works, and check one."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from importlib import resources
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gateway.cli.common import add_json, is_frozen, number, print_json
from gateway.errors import GatewayFault

KINDS = {
    "provider": "Models of another provider, for the Tollgate gateway.",
    "policy": "A policy of the Tollgate gateway: which requests it takes.",
    "tool": "A tool that the Tollgate gateway runs for models.",
    "search": "A web search service, for the Tollgate gateway.",
    "payment": "A payment service by which users of the Tollgate gateway buy credits.",
    "store": "A database for the Tollgate gateway.",
}
"""Kind of plugin -> what its package is described as at first."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_SUFFIX = ".txt"


def add_commands(commands: Any) -> None:
    """Register the commands of this module."""
    parser = commands.add_parser("plugin", help="make a new plugin, and check one")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    new = actions.add_parser("new", help="write a complete package with a plugin that works, and its tests")
    new.add_argument("name", help="its name in the configuration: lower-case letters, digits and _")
    new.add_argument("--kind", choices=sorted(KINDS), required=True)
    new.add_argument("--folder", type=Path, help="where to write it (a new folder of the package's name)")
    new.set_defaults(run=run_new)
    check = actions.add_parser("check", help="run the contract and the checks of hooks on a plugin")
    check.add_argument("plugin", help="the name of an installed plugin, a .py file, or the folder of a package")
    check.add_argument("--transcripts", type=Path, help="recorded exchanges of a provider (the package's own)")
    check.add_argument(
        "--timeout", type=number(1, 86_400), default=600.0, metavar="SECONDS", help="how long all of it may take (600)"
    )
    add_json(check)
    check.set_defaults(run=run_check)


def run_new(options: argparse.Namespace) -> int:
    """Raises GatewayFault when the name cannot be one, or the folder is there."""
    name: str = options.name
    if not _NAME.fullmatch(name):
        raise GatewayFault(f"{name!r} cannot be a plugin's name: lower-case letters, digits and _, a letter first")
    project = f"tollgate-{name.replace('_', '-')}"
    folder: Path = options.folder or Path(project)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise GatewayFault(f"{folder} is there already, and not empty")
    for path, text in scaffold(name, options.kind).items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    print(f"{folder}: a {options.kind} that works, with its tests. Go on with:")
    print(f"  cd {folder} && pip install -e '.[test]' && pytest && gateway plugin check .")
    return 0


def scaffold(name: str, kind: str) -> dict[str, str]:
    """The files of a new package: path below its folder -> text."""
    package = f"tollgate_{name}"
    words = {
        "@name@": name,
        "@NAME@": name.upper(),
        "@Class@": "".join(part.capitalize() for part in name.split("_")),
        "@package@": package,
        "@project@": f"tollgate-{name.replace('_', '-')}",
        "@summary@": KINDS[kind],
    }
    templates = resources.files("gateway.cli") / "plugin_templates"
    words["@usage@"] = _fill((templates / kind / "usage.txt").read_text(encoding="utf-8"), words).strip()
    files: dict[str, str] = {}
    for folder in (templates / "common", templates / kind):
        for path, text in _texts(folder, ""):
            if path == "usage":
                continue
            path = path.replace("package/", f"{package}/") if path.startswith("package/") else path
            path = f"{package}/py.typed" if path == "py.typed" else path
            files[_fill(path, words)] = _fill(text, words)
    return files


def _texts(folder: Traversable, above: str) -> list[tuple[str, str]]:
    """The templates in a folder and below: path without its suffix -> text."""
    found: list[tuple[str, str]] = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            found += _texts(entry, f"{above}{entry.name}/")
        elif entry.name.endswith(_SUFFIX):
            found.append((above + entry.name.removesuffix(_SUFFIX), entry.read_text(encoding="utf-8")))
    return found


def _fill(text: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(word, value)
    return text


def run_check(options: argparse.Namespace) -> int:
    """Exit status 0 when everything holds, 1 otherwise. The checks run in a process of their own: the plugin is foreign
    code, and pytest wants one for itself. Raises GatewayFault where they cannot run."""
    if is_frozen() or find_spec("pytest_asyncio") is None:
        raise GatewayFault("the contract needs Python and the test kit: pip install 'tollgate[testing]'")
    command = [sys.executable, "-m", "gateway.testing.check", options.plugin]
    if options.transcripts is not None:
        command += ["--transcripts", str(options.transcripts)]
    if options.json:
        command.append("--json")
    with tempfile.TemporaryDirectory() as folder:
        # A plugin may end the process it is checked in; what counts is that the checks came to their end.
        verdict = Path(folder) / "verdict"
        try:
            status = subprocess.call([*command, "--verdict", str(verdict)], timeout=options.timeout)
        except subprocess.TimeoutExpired:
            problem = f"its checks did not end within {options.timeout:g} seconds"
        else:
            if verdict.exists():
                return status
            problem = f"it ended the process, with status {status}, before it was checked"
    if options.json:
        print_json({"ok": False, "checks": [{"name": "load", "ok": False, "detail": problem}]})
    else:
        print(f"FAILED load: {problem}")
    return 1
