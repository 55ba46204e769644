"""A whole gateway in the test's own event loop: real sockets, a real database file, a free port.

async with running_gateway(tmp_path, config) as gateway:
    status, headers, body = await gateway.post("/v1/chat/completions", {"messages": [...]})
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import aiohttp
import orjson

from gateway.console import Console
from gateway.http.server.service import Service
from gateway.runtime import Gateway
from gateway.stores import Account, KeySettings

CREDITS = 1_000_000_000


def upstream_config(base_url: str, **sections: Any) -> dict[str, Any]:
    """A configuration with one OpenAI-compatible provider at `base_url`, its priced model `fake/model` as the default,
    quick retries and no rate limit to speak of. sections: merged over it, key by key."""
    config: dict[str, Any] = {
        "providers": {"fake": {"plugin": "openai", "base_url": base_url, "api_key": "sk-fake-upstream-key"}},
        "models": {
            "fake/model": {
                "provider": "fake",
                "upstream": "upstream-model",
                "price": {"input": 1, "cached_input": 0.5, "output": 2},
                "context": 128_000,
                "max_output": 4096,
            }
        },
        "default_model": "fake/model",
        "rate_limit": {"requests_per_minute": 1_000_000},
        "upstream": {"backoff": "10ms", "max_backoff": "1s"},
    }
    for name, section in sections.items():
        if isinstance(section, dict) and isinstance(config.get(name), dict):
            config[name] = {**config[name], **section}
        else:
            config[name] = section
    return config


@dataclass
class RunningGateway:
    """A gateway that serves. key: of `account`, which has plenty of credits. log: what it wrote so far."""

    gateway: Gateway
    service: Service
    account: Account
    key: str
    config_path: Path
    session: aiohttp.ClientSession
    stream: io.StringIO = field(repr=False)

    @property
    def url(self) -> str:
        """`http://host:port`, without a path."""
        host, port = self.service.address
        return f"http://{host}:{port}"

    @property
    def log(self) -> list[dict[str, Any]]:
        """The log lines so far, parsed."""
        return [orjson.loads(line) for line in self.stream.getvalue().splitlines()]

    async def post(
        self, path: str, body: Any, *, key: str | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """POST a JSON body (or raw bytes, or a file of them) as `key`; returns status, headers and the whole answer."""
        data = body if isinstance(body, bytes | io.BytesIO) else orjson.dumps(body)
        sent = {
            "Authorization": f"Bearer {self.key if key is None else key}",
            "Content-Type": "application/json",
            **(headers or {}),
        }
        async with self.session.post(self.url + path, data=data, headers=sent) as response:
            return response.status, response.headers, await response.read()

    async def get(self, path: str, *, key: str | None = None) -> tuple[int, Mapping[str, str], bytes]:
        """GET as `key`; returns status, headers and the whole answer."""
        sent = {"Authorization": f"Bearer {self.key if key is None else key}"}
        async with self.session.get(self.url + path, headers=sent) as response:
            return response.status, response.headers, await response.read()

    async def new_key(self, settings: KeySettings | None = None, *, credits: int | None = None) -> str:
        """Another key: of the same account, or of a new account with `credits`."""
        account_id = self.account.id
        if credits is not None:
            name = f"account {len(await self.gateway.stores.accounts.list_accounts(limit=500))}"
            account_id = (await self.gateway.stores.accounts.create_account(name, grant=credits)).id
        _, plain = await self.gateway.stores.keys.create_key(account_id, settings or KeySettings())
        return plain


@asynccontextmanager
async def running_gateway(
    folder: Path,
    config: Mapping[str, Any] | str,
    *,
    env: Mapping[str, str] | None = None,
    plugins: Mapping[str, object] = MappingProxyType({}),
    account_name: str = "test",
    console: Console | None = None,
) -> AsyncIterator[RunningGateway]:
    """Start a gateway with `config` (YAML text, or a mapping that is written as YAML) on a free port of 127.0.0.1.

    folder: an empty folder for configuration and data. account_name: of the account that is made for the test, for
    gateways that share a database. plugins: name -> module or class, loaded beside the gateway's
    own and the installed ones. console: what shows the pages; tests that start many gateways pass
    each one whose shelf shares what is dear to make. Raises ConfigFault like the real start.
    """
    config_path = folder / "config.yaml"
    # JSON is YAML, so a mapping needs no YAML writer.
    text = config if isinstance(config, str) else orjson.dumps(config).decode()
    await asyncio.to_thread(config_path.write_text, text)
    stream = io.StringIO()
    environment = {"GATEWAY_DATA": str(folder / "data"), **(env or {})}
    gateway = Gateway(config_path, environment, log_stream=stream, plugins=plugins)
    await gateway.start()
    service = Service(gateway, host="127.0.0.1", port=0, parts=((console or Console()).mount,))
    await service.start()
    try:
        account = await gateway.stores.accounts.create_account(account_name, grant=CREDITS)
        _, key = await gateway.stores.keys.create_key(account.id, KeySettings(name="test"))
        async with aiohttp.ClientSession() as session:
            yield RunningGateway(gateway, service, account, key, config_path, session, stream)
    finally:
        await service.close()
        await gateway.stop()
