"""What a gateway imports before it serves: a start is imports, so it is kept by their names and not by a clock."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import asyncio, json, sys
from pathlib import Path

from gateway.cli import build_parser

build_parser("serve")
from gateway.runtime import Gateway

async def main():
    gateway = Gateway(Path(sys.argv[1]) / "config.yaml", {"GATEWAY_DATA": sys.argv[1] + "/data"})
    await gateway.start()
    print(json.dumps(sorted(sys.modules)))
    await gateway.stop()

asyncio.run(main())
"""
CONFIG = """
providers:
  openai: {plugin: openai, api_key: x}
models:
  a/b: {provider: openai, upstream: b, price: {input: 1, output: 1}}
default_model: a/b
"""
# What a gateway cannot do without; everything else is imported when it is used.
NEEDED = frozenset(
    {
        "aiohappyeyeballs",
        "aiohttp",
        "aiosignal",
        "aiosqlite",
        "annotated_types",
        "attr",
        "frozenlist",
        "httptools",
        "idna",
        "multidict",
        "orjson",
        "pluggy",
        "prometheus_client",
        "propcache",
        "pydantic",
        "pydantic_core",
        "typing_extensions",
        "typing_inspection",
        "yaml",
        "yarl",
    }
)
# Of the command line, what serves.
SERVING = frozenset(
    f"gateway.cli.{name}" for name in ("serve", "common", "keys", "loglines", "people", "supervisor", "version")
)
# What some command or plugin needs, and costs tens of milliseconds.
HEAVY = frozenset({"statistics", "unittest.mock", "multiprocessing", "tomllib", "rich", "jinja2", "pdb", "doctest"})
HEAVY |= {"aiohttp.client", "aiohttp.connector", "prometheus_client.exposition", "http.server", "wsgiref"}
OWN = ("gateway", "tollgate_")
# Found beside others without costing anything: namespaces, and what the interpreter's environment brings.
BESIDE = frozenset(
    {"backports", "cython_runtime", "google", "mpl_toolkits", "sitecustomize", "sphinxcontrib", "usercustomize", "zope"}
)


def foreign(modules: list[str]) -> set[str]:
    """The packages among them that are neither Python's nor ours."""
    tops = {name.partition(".")[0] for name in modules}
    return {
        name
        for name in tops
        if name not in sys.stdlib_module_names and not name.startswith(("_", *OWN)) and name not in BESIDE
    }


def test_a_start_imports_what_it_needs_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    modules = json.loads(done.stdout.strip().splitlines()[-1])
    assert foreign(modules) - NEEDED == set(), "import it where it is used"
    assert not [name for name in modules if name.startswith("gateway.testing")], "the kit is for authors of plugins"
    commands = {name for name in modules if name.startswith("gateway.cli.")}
    assert commands <= SERVING, "other commands are imported when they are run"
    assert HEAVY.isdisjoint(modules), "of the standard library, too"


def test_a_package_too_many_is_found() -> None:
    assert foreign(["json.decoder", "gateway.cli", "tollgate_openai.request", "_ssl", "rich.console"]) == {"rich"}
