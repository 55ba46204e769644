"""The single binary in place of the source tree: `GATEWAY_BINARY=dist/gateway pytest tests/e2e`."""

from __future__ import annotations

import asyncio
import io
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import orjson

from gateway.blueprint import open_stores, read_blueprint
from gateway.stores import KeySettings
from gateway.testing import RunningGateway
from gateway.testing.running import CREDITS


def binary() -> Path | None:
    """The binary that the tests shall run, None for the source tree."""
    given = os.environ.get("GATEWAY_BINARY")
    return Path(given).resolve() if given else None


@asynccontextmanager
async def running_binary(program: Path, folder: Path, config: Mapping[str, Any]) -> AsyncIterator[RunningGateway]:
    """Like `gateway.testing.running_gateway`: a process of its own, whose database is opened beside it."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    path = folder / "config.yaml"
    path.write_bytes(orjson.dumps(config))
    # Nothing of this environment's Python may be of use to it.
    env = {"PATH": "/usr/bin:/bin", "GATEWAY_DATA": str(folder / "data"), "TMPDIR": str(folder)}
    lines = io.StringIO()
    words = ("serve", "--config", str(path), "--host", "127.0.0.1", "--port", str(port))
    process = await asyncio.create_subprocess_exec(
        str(program), *words, env=env, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    listening = asyncio.create_task(_listen(process, lines))
    try:
        async with aiohttp.ClientSession() as session:
            await _answers(session, f"http://127.0.0.1:{port}/healthz", process)
            stores = await open_stores(await asyncio.to_thread(read_blueprint, path, env))
            try:
                account = await stores.accounts.create_account("test", grant=CREDITS)
                _, key = await stores.keys.create_key(account.id, KeySettings(name="test"))
                seen: Any = SimpleNamespace(stores=stores)
                service: Any = SimpleNamespace(address=("127.0.0.1", port))
                yield RunningGateway(seen, service, account, key, path, session, lines)
            finally:
                await stores.close()
    finally:
        if process.returncode is None:
            process.terminate()
        status = await process.wait()
        await listening
    assert status == 0, lines.getvalue()[-2000:]


async def _listen(process: asyncio.subprocess.Process, lines: io.StringIO) -> None:
    """Keep what it logs."""
    assert process.stderr is not None
    async for line in process.stderr:
        lines.write(line.decode())


async def _answers(session: aiohttp.ClientSession, url: str, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(60):
        while process.returncode is None:
            try:
                async with session.get(url) as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)
    raise AssertionError(f"the binary ended with status {process.returncode}")
