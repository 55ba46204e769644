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
        self._secret = ""

    async def __aenter__(self) -> Self:
        with (self.folder / "gateway.log").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                self.command, "serve", "--config", str(self.config), env=self.environment, stdout=log, stderr=log
            )
        for _ in range(400):
            if self._process.returncode is not None:
                raise RuntimeError("the gateway did not start:\n" + self.log()[-2000:])
            if await asyncio.to_thread(self._ready):
                self._secret = await self._find_secret()
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

    async def _find_secret(self) -> str:
        """The administrator's. Raises RuntimeError."""
        process = await asyncio.create_subprocess_exec(
            self.command, "secret", "show", "--config", str(self.config), env=self.environment,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, errors = await process.communicate()
        if process.returncode:
            raise RuntimeError(errors.decode("utf-8", "replace"))
        return output.decode().strip()

    async def _administer(self, method: str, path: str, body: Any = None) -> Any:
        """The answer of the admin API. Raises urllib.error.HTTPError."""

        def ask() -> Any:
            request = urllib.request.Request(
                f"http://127.0.0.1:{self.port}/admin/api{path}", method=method,
                data=None if body is None else orjson.dumps(body),
                headers={"authorization": f"Bearer {self._secret}", "content-type": "application/json"},
            )  # fmt: skip
            with urllib.request.urlopen(request, timeout=60) as answer:
                return orjson.loads(answer.read())

        return await asyncio.to_thread(ask)

    async def new_account(self, credits: int) -> tuple[str, str]:
        """A new account: (its id, its key)."""
        self._accounts += 1
        account = await self._administer(
            "POST", "/accounts", {"name": f"agent-{self._accounts}", "credits": credits}
        )  # fmt: skip
        key = await self._administer("POST", f"/accounts/{account['id']}/keys", {})
        return account["id"], key["key"]

    async def charged(self, account: str, before: int) -> int:
        """What the account's balance lost since it had `before` credits."""
        found = await self._administer("GET", f"/accounts/{account}")
        return before - int(found["balance"])

    async def discrepancies(self) -> list[str]:
        """What is wrong with the ledger."""
        return list((await self._administer("GET", "/ledger/check"))["discrepancies"])
