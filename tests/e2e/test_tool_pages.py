"""The programs of docs/web-search.md and docs/mcp-servers.md, and the web-search programs of the API documents, run as
they are: with another address and key, and nothing else. No network, no key of a provider: the embedded model, the
pages that come along, and a server of a few lines."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from .test_documents import run_python

pytestmark = pytest.mark.sdk
ROOT = Path(__file__).resolve().parents[2]
NODE = Path(__file__).parent / "node"
SEARCH, SERVERS = ((ROOT / f"docs/{name}.md").read_text() for name in ("web-search", "mcp-servers"))
DOCUMENTS = (Path(__file__).parent / "programs.md").read_text()
curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.M | re.S)


def program(page: str, language: str) -> str:
    return next(block for block in blocks(page, language) if "YOUR_KEY" in block)


def document(language: str) -> str:
    [found] = re.findall(rf"^## web search: {language}\n.*?^```\w+\n(.*?)^```$", DOCUMENTS, re.M | re.S)
    return found


@pytest.fixture(scope="session")
def tool_world(make_world: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("notes")
    [server] = [block for block in blocks(SERVERS, "python") if "MCPServer" in block]
    (folder / "notes.py").write_text(server)
    config = {
        "providers": {"echo": {"plugin": "echo"}},
        "models": {"openai/gpt-4.1-mini": {"provider": "echo", "upstream": "echo", "free": True}},
        "aliases": {"muh-chat": "openai/gpt-4.1-mini"},
        "search": {"backends": {"sample": {"plugin": "folder"}}},
        "mcp_servers": {"notes": {"command": [sys.executable, str(folder / "notes.py")]}},
        "tools": {"connect": "60s"},
    }
    return make_world(lambda _: config)


def adapted(text: str, world: Any) -> str:
    for host in ("http://127.0.0.1:8080", "https://mume.ai"):
        text = text.replace(host, world.gateway.url)
    for written in ("YOUR_KEY", "your-api-key", "$MUME_API_KEY"):
        text = text.replace(written, world.gateway.key)
    return text


def run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, capture_output=True, timeout=60, cwd=cwd)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def run_curl(text: str) -> Any:
    return orjson.loads(run("bash", "-c", text.replace("curl ", "curl -sS ", 1)))


def test_search_in_python(tool_world):
    printed = run_python(adapted(program(SEARCH, "python"), tool_world))
    assert "searched:" in printed
    assert "cited: The lighthouse at Cape Example is open again https://news.example/lighthouse" in printed


@curl
def test_search_by_curl(tool_world):
    answer = run_curl(adapted(program(SEARCH, "bash"), tool_world))
    message = answer["choices"][0]["message"]
    assert "lighthouse" in message["content"]
    assert message["annotations"]


def test_servers_in_python(tool_world):
    printed = run_python(adapted(program(SERVERS, "python"), tool_world))
    assert "offered: ['search_notes']" in printed
    assert re.search(r"called: search_notes \{.*bees.*\} -> One note about .*bees", printed)


@curl
def test_servers_by_curl(tool_world):
    answer = run_curl(adapted(program(SERVERS, "bash"), tool_world))
    assert [item["type"] for item in answer["output"]] == ["mcp_list_tools", "mcp_call", "message"]


def test_the_documents_in_python(tool_world):
    assert "example" in run_python(adapted(document("Python"), tool_world))


@curl
def test_the_documents_by_curl(tool_world):
    answer = run_curl(adapted(document("cURL"), tool_world))
    assert [item["type"] for item in answer["output"]] == ["web_search_call", "message"]


def test_javascript(tool_world, tmp_path, run_javascript):
    texts = {
        "search": program(SEARCH, "javascript"),
        "servers": program(SERVERS, "javascript"),
        "documents": document("JavaScript"),
    }
    said = run_javascript({name: adapted(text, tool_world) for name, text in texts.items()}, tmp_path)
    assert "example" in said["search"]
    assert "honey" in said["servers"]
    assert "example" in said["documents"]
