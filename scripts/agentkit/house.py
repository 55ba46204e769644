"""The gateway under test: `gateway serve` of this tree in a process of its own, with one model for each dialect."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import urllib.request
from pathlib import Path
from typing import Any, Self

import orjson

PRICE = {"input": 1, "cached_input": 1, "cache_write": 1, "output": 5}
"""Credits per token: what a run costs is then a sum of whole numbers."""
UPSTREAM_NAMES = {
    "chat": "gpt-5-mini",
    "native": "gpt-5.1",
    "only": "gpt-5.1",
    "anthropic": "claude-sonnet-4-6",
    "google": "gemini-3-pro-preview",
    "mistral": "mistral-large-2512",
    "moonshot": "kimi-k2.5",
}


def configuration(port: int, upstream: str) -> dict[str, Any]:
    """The gateway's configuration. upstream: the scripted upstream's address."""
    keys = {"api_key": "scripted"}
    v1 = {name: f"{upstream}/{name}/v1" for name in UPSTREAM_NAMES}
    model = {"price": PRICE, "context": 400_000, "max_output": 64_000, "input_modalities": ["text", "image"]}
    return {
        "server": {"host": "127.0.0.1", "port": port},
        "rate_limit": {"requests_per_minute": 1_000_000},
        "upstream": {"retries": 1, "backoff": "20ms", "max_backoff": "100ms"},
        "providers": {
            "chat": {"plugin": "openai", "base_url": v1["chat"], **keys},
            "native": {"plugin": "openai", "base_url": v1["native"], "responses": "native", **keys},
            "only": {"plugin": "openai", "base_url": v1["only"], "responses": "only", **keys},
            "anthropic": {"plugin": "anthropic", "base_url": f"{upstream}/anthropic", **keys},
            "google": {"plugin": "google", "base_url": f"{upstream}/google", **keys},
            "mistral": {"plugin": "mistral", "base_url": v1["mistral"], **keys},
            "moonshot": {"plugin": "moonshot", "base_url": v1["moonshot"], **keys},
        },
        "models": {
            f"{name}/model": {"provider": name, "upstream": upstream_name, **model}
            for name, upstream_name in UPSTREAM_NAMES.items()
        },
        # The name that Gemini CLI searches the web with.
        "aliases": {"gemini-3-flash-preview": "google/model"},
        "default_model": "chat/model",
    }


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class House:
    """A running gateway. folder: for its configuration, data and log."""

    def __init__(self, folder: Path, upstream: str) -> None:
        self.port = free_port()
        self.folder = folder
        self.config = folder / "gateway.yaml"
        self.config.write_bytes(orjson.dumps(configuration(self.port, upstream)))
        self.environment = {**os.environ, "GATEWAY_DATA": str(folder / "data")}
        self.command = str(Path(sys.executable).parent / "gateway")
        self._process: asyncio.subprocess.Process | None = None
        self._accounts = 0

    async def __aenter__(self) -> Self:
        with (self.folder / "gateway.log").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                self.command, "serve", "--config", str(self.config), env=self.environment, stdout=log, stderr=log
            )
        for _ in range(400):
            if self._process.returncode is not None:
                raise RuntimeError("the gateway did not start:\n" + self.log()[-2000:])
            if await asyncio.to_thread(self._ready):
                return self
            await asyncio.sleep(0.05)
        raise RuntimeError("the gateway did not become ready")

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self._process.wait(), 20)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def log(self) -> str:
        """What it wrote so far."""
        return (self.folder / "gateway.log").read_text("utf-8", "replace")

    async def run(self, *arguments: str) -> tuple[int, str]:
        """A `gateway` command on its configuration: exit status and output."""
        process = await asyncio.create_subprocess_exec(
            self.command, *arguments, "--config", str(self.config), env=self.environment,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await process.communicate()
        return process.returncode or 0, output.decode("utf-8", "replace")

    async def new_account(self, credits: int) -> tuple[str, str]:
        """A new account: (its name, its key). Raises RuntimeError."""
        self._accounts += 1
        name = f"agent-{self._accounts}"
        status, output = await self.run("accounts", "create", name, "--credits", str(credits), "--json")
        if status:
            raise RuntimeError(output)
        status, output = await self.run("keys", "create", "--account", name, "--json")
        if status:
            raise RuntimeError(output)
        return name, _find_key(orjson.loads(output))

    async def charged(self, name: str, before: int) -> int:
        """What the account's balance lost since it had `before` credits."""
        _, output = await self.run("accounts", "list", "--json")
        listed = orjson.loads(output)
        rows = listed if isinstance(listed, list) else listed["accounts"]
        return before - int(next(row["balance"] for row in rows if row["name"] == name))


def _find_key(value: Any) -> str:
    """The secret in what `gateway keys create --json` printed."""
    if isinstance(value, dict):
        for one in value.values():
            if found := _find_key(one):
                return found
    return value if isinstance(value, str) and value.startswith("mghp_") and len(value) > 24 else ""
