"""The programs of the API documents that use the Responses API (responses_programs.md), unmodified but for base URL
and key, against the echo model."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio

from gateway.testing import RunningGateway, running_gateway

from .responses_kit import ECHO

pytestmark = pytest.mark.sdk

DOCUMENT = (Path(__file__).parent / "responses_programs.md").read_text()
PROGRAMS = dict(re.findall(r"^## ([^\n]+)\n.*?^```\w+\n(.*?)^```$", DOCUMENT, re.M | re.S))
MODULES = Path(__file__).parents[1] / "e2e/node/node_modules"


@pytest_asyncio.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[RunningGateway]:
    async with running_gateway(tmp_path, ECHO) as running:
        yield running


def adapted(name: str, gateway: RunningGateway) -> str:
    text = PROGRAMS[name].replace("https://mume.ai", gateway.url)
    for written in ("your-api-key", "$MUME_API_KEY"):
        text = text.replace(written, gateway.key)
    assert gateway.url in text
    assert gateway.key in text
    return text


async def run(*command: str, within: float = 60.0, **environment: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], **environment},
    )
    out, err = await asyncio.wait_for(process.communicate(), within)
    assert process.returncode == 0, err.decode()
    return out.decode()


async def run_node(text: str, folder: Path) -> str:
    if not shutil.which("node") or not (MODULES / "openai").exists():
        pytest.skip("node with the SDK is not installed (tests/e2e/test_node.py installs it)")
    file = folder / "program.mjs"
    await asyncio.to_thread(file.write_text, text)
    await asyncio.to_thread((folder / "node_modules").symlink_to, MODULES)
    return await run("node", str(file))


def test_all_programs_are_read() -> None:
    assert len(PROGRAMS) == 14


POEMS = ["Basic Request", "Simple String Input", "Streaming Responses", "Async Streaming Responses"]


@pytest.mark.parametrize("name", POEMS)
async def test_python(gateway: RunningGateway, name: str) -> None:
    printed = await run(sys.executable, "-c", adapted(f"{name}: Python", gateway))
    assert "Write a poem about the moon." in printed


@pytest.mark.parametrize("name", POEMS[:3])
async def test_javascript(gateway: RunningGateway, name: str, tmp_path: Path) -> None:
    printed = await run_node(adapted(f"{name}: JavaScript", gateway), tmp_path)
    assert "Write a poem about the moon." in printed


@pytest.mark.parametrize("name", [*POEMS[:3], "Function Calling"])
async def test_curl(gateway: RunningGateway, name: str) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    names = [found for found in PROGRAMS if found.startswith(f"{name}: cURL")]
    for found in names:
        text = adapted(found, gateway).replace("curl ", "curl -sS ", 1)
        printed = await run("bash", "-c", text)
        if name == "Streaming Responses":
            assert printed.count("event: response.completed\n") == 1
        else:
            assert orjson.loads(printed)["status"] == "completed"


async def _function_calls(gateway: RunningGateway) -> list[Any]:
    """What the two requests of a function-calling program led to: the calls, then the text."""
    rows = await gateway.gateway.stores.usage.recent(limit=10)
    assert [row.row.status for row in rows] == [200, 200]
    stored = await gateway.gateway.stores.read("SELECT input, output FROM responses ORDER BY n")
    return [(orjson.loads(given), orjson.loads(made)) for given, made in stored]


async def check_function_calling(gateway: RunningGateway, printed: str) -> None:
    (_, called), (given, said) = await _function_calls(gateway)
    assert [item["type"] for item in called] == ["function_call"]
    assert called[0]["name"] == "get_horoscope"
    assert [item["type"] for item in given] == ["message", "function_call", "function_call_output"]
    assert given[1]["call_id"] == given[2]["call_id"] == called[0]["call_id"]
    assert "befriend a baby otter" in given[2]["output"]
    assert said[-1]["content"][0]["text"] == printed


async def test_function_calling_in_python(gateway: RunningGateway) -> None:
    printed = await run(sys.executable, "-c", adapted("Function Calling: Python", gateway))
    await check_function_calling(gateway, printed)


async def test_function_calling_in_javascript(gateway: RunningGateway, tmp_path: Path) -> None:
    printed = await run_node(adapted("Function Calling: JavaScript", gateway), tmp_path)
    await check_function_calling(gateway, printed)
