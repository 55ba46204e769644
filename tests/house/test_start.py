"""What a gateway imports before it serves: a start is imports, so it is kept by their names and not by a clock."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from typing import Any

import pytest

PROGRAM = """
import asyncio, json, sys
from pathlib import Path

from gateway.cli import build_parser

build_parser("serve")
from gateway.console import ConsolePart
from gateway.http.server.service import Service
from gateway.runtime import Gateway
from gateway.stores import KeySettings

ANSWER = (
    b'{"id":"x","object":"chat.completion","created":1,"model":"b","choices":[{"index":0,"finish_reason":"stop",'
    b'"message":{"role":"assistant","content":"Hi"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}'
)
HEAD = b"HTTP/1.1 200 OK\\r\\ncontent-type: application/json\\r\\ncontent-length: %d\\r\\n\\r\\n"

async def provide(reader, writer):
    head = await reader.readuntil(b"\\r\\n\\r\\n")
    await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))
    writer.write(HEAD % len(ANSWER) + ANSWER)

async def ask(port, line, key="", body=b""):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"{line} HTTP/1.1\\r\\nhost: a\\r\\nauthorization: Bearer {key}\\r\\ncontent-type: application/json\\r\\n"
    writer.write(f"{head}content-length: {len(body)}\\r\\n\\r\\n".encode() + body)
    status = int((await reader.readline()).split()[1])
    writer.close()
    return status

async def main():
    folder = Path(sys.argv[1])
    upstream = await asyncio.start_server(provide, "127.0.0.1", 0)
    config = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(config.replace("PORT", str(upstream.sockets[0].getsockname()[1])))
    gateway = Gateway(folder / "config.yaml", {"GATEWAY_DATA": str(folder / "data")})
    await gateway.start()
    service = Service(gateway, host="127.0.0.1", port=0, parts=(ConsolePart(),))
    await service.start()
    account = await gateway.stores.accounts.create_account("a", grant=1000000)
    _, key = await gateway.stores.keys.create_key(account.id, KeySettings(name="a"))
    said = b'{"messages":[{"role":"user","content":"Hi"}],"max_tokens":5}'
    told = {"chat": await ask(service.address[1], "POST /v1/chat/completions", key, said)}
    told["health"] = await ask(service.address[1], "GET /healthz")
    told["modules"] = sorted(sys.modules)
    told["models"] = await ask(service.address[1], "GET /v1/models", key)
    told["then"] = sorted(sys.modules)
    print(json.dumps(told))
    await service.close()
    upstream.close()
    await gateway.stop()

asyncio.run(main())
"""
CONFIG = """
providers:
  openai: {plugin: openai, base_url: "http://127.0.0.1:PORT/v1", api_key: x}
models:
  a/b: {provider: openai, upstream: b, context: 1000, price: {input: 1, output: 1}}
default_model: a/b
"""
# What a gateway cannot do without; everything else is imported when it is used.
NEEDED = frozenset(
    {
        "aiohappyeyeballs",
        "aiohttp",
        "aiosqlite",
        "annotated_types",
        "attr",
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
SERVING = frozenset(f"gateway.cli.{name}" for name in ("serve", "common", "loglines", "supervisor", "version"))
# What some command or plugin needs, and costs tens of milliseconds.
HEAVY = frozenset({"statistics", "unittest.mock", "multiprocessing", "tomllib", "rich", "jinja2", "pdb", "doctest"})
HEAVY |= {"aiohttp.client", "aiohttp.connector", "prometheus_client.exposition", "http.server", "wsgiref"}
HEAVY |= {"aiohttp.web", "aiohttp.web_app", "aiohttp.web_urldispatcher", "aiohttp.web_fileresponse", "aiohttp.web_ws"}
OWN = ("gateway", "tollgate_")
# Of the gateway, what no chat completion and no probe needs: these, and what is below them.
LATER = (
    "gateway.batch_bill gateway.batch_object gateway.batches gateway.console.pages gateway.console.site "
    "gateway.http.all_routes gateway.http.api.account gateway.http.api.admin gateway.http.api.operations "
    "gateway.http.api.responses gateway.http.calls.background gateway.http.calls.explaining "
    "gateway.http.calls.plain_routes gateway.item_readers gateway.plain_dialect gateway.plain_readers "
    "gateway.provider_files gateway.responses.compaction gateway.responses.dialect gateway.responses.history "
    "gateway.servertools.choose gateway.servertools.execute gateway.servertools.loop gateway.servertools.offer "
    "gateway.text_dialect gateway.text_readers gateway.upstream.back_reading gateway.wire.batches "
    "gateway.wire.bridge.back_reply gateway.wire.bridge.back_request gateway.wire.bridge.messages "
    "gateway.wire.bridge.request gateway.wire.bridge.retelling gateway.wire.bridge.stream gateway.wire.completions "
    "gateway.wire.embeddings gateway.wire.images gateway.wire.moderation gateway.wire.openapi gateway.wire.pdf "
    "gateway.wire.rerank gateway.wire.responses gateway.wire.speech gateway.wire.transcription "
    "tollgate_anthropic.inbound tollgate_google.inbound"
).split()
# Of a plugin that the configuration does not name, what tells the gateway of it.
DOOR = frozenset({"settings", "kind", "plugin"})
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


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a gateway says that has answered one chat, and then a request for the list of models."""
    folder = tmp_path_factory.mktemp("start")
    (folder / "config.yaml").write_text(CONFIG)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert (found["chat"], found["health"], found["models"]) == (200, 200, 200), done.stderr
    return found


def too_early(modules: list[str]) -> list[str]:
    """Those among them that belong to what is imported later."""
    later = [name for name in modules if any(f"{name}.".startswith(f"{one}.") for one in LATER)]
    parts = [name.split(".") for name in modules if name.startswith("tollgate_")]
    later += [".".join(part) for part in parts if part[0] != "tollgate_openai" and not DOOR.issuperset(part[1:])]
    return later


def test_a_start_imports_what_it_needs_and_nothing_else(told: Any) -> None:
    modules = told["modules"]
    assert foreign(modules) - NEEDED == set(), "import it where it is used"
    assert not [name for name in modules if name.startswith("gateway.testing")], "the kit is for authors of plugins"
    commands = {name for name in modules if name.startswith("gateway.cli.")}
    assert commands <= SERVING, "other commands are imported when they are run"
    assert HEAVY.isdisjoint(modules), "of the standard library, too"
    assert too_early(modules) == [], "see gateway.deferred.later"


def test_the_rest_comes_when_it_is_asked_for(told: Any) -> None:
    came = {name for name in told["then"] if name not in told["modules"]}
    assert came >= {"gateway.http.all_routes", "gateway.console.site", "tollgate_anthropic.inbound"}
    assert not [name for name in came if name.startswith("tollgate_echo")], "nobody names this provider"


def test_what_comes_later_is_still_there(told: Any) -> None:
    for name in LATER:
        assert importlib.util.find_spec(name) is not None, "the list names what was moved"


def test_a_module_too_early_is_found() -> None:
    early = ["gateway.console.pages.usage", "tollgate_google.request"]
    assert too_early([*early, "gateway.console", "tollgate_google.settings", "tollgate_openai.request"]) == early


def test_a_package_too_many_is_found() -> None:
    assert foreign(["json.decoder", "gateway.cli", "tollgate_openai.request", "_ssl", "rich.console"]) == {"rich"}
