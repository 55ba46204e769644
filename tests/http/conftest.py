"""A gateway before a fake upstream, a raw HTTP client for what well-behaved ones cannot do, and the rule that every
test leaves the gateway at rest: no request, task, hold or user of the configuration left over, and the books right."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
import uvloop

from gateway.http.server.connection import Connection
from gateway.stores import LoggedRequest
from gateway.testing import FakeUpstream, RunningGateway, running_gateway, upstream_config
from gateway.testing.pytest_plugin import fake_upstream
from gateway.testing.running import CREDITS
from gateway.testing.upstream import PATIENCE

__all__ = ["fake_upstream"]


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that `gateway serve` runs in: its transports and its callbacks are not quite asyncio's."""
    return {"uvloop": uvloop.new_event_loop}


HELLO = [{"role": "user", "content": "Hello!"}]
CHAT = "/v1/chat/completions"


@dataclass
class Answer:
    """One HTTP answer. headers: lower-case names."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The OpenAI error object, checked for its shape and for the request id beside it."""
        assert self.headers["content-type"].startswith("application/json")
        assert self.headers["x-request-id"].startswith("req_")
        assert self.headers["server"] == "tollgate"
        error = self.json["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"]
        return error

    @property
    def events(self) -> list[Any]:
        """The events of a stream: JSON values, the string `[DONE]`, and comments as `: text`."""
        return read_events(self.body)


def read_events(body: bytes) -> list[Any]:
    """What a strict reader finds in a whole event stream; every event must be closed by a blank line."""
    assert body == b"" or body.endswith(b"\n\n"), body[-80:]
    found: list[Any] = []
    for block in body.split(b"\n\n")[:-1]:
        lines = block.split(b"\n")
        if all(line.startswith(b":") for line in lines):
            found.append(block.decode())
            continue
        assert all(line.startswith(b"data: ") for line in lines), block
        data = b"\n".join(line[6:] for line in lines)
        found.append("[DONE]" if data == b"[DONE]" else orjson.loads(data))
    return found


class RawClient:
    """A TCP connection to the gateway on which a test may say anything, and stop anywhere."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self, within: float = PATIENCE) -> tuple[int, dict[str, str]]:
        """The next status line and headers."""
        async with asyncio.timeout(within):
            raw = await self.reader.readuntil(b"\r\n\r\n")
        status, *lines = raw.decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines if line)
        return int(status.split()[1]), {name.lower(): value for name, value in headers.items()}

    async def answer(self, within: float = PATIENCE, *, method: str = "POST") -> Answer:
        """The next whole answer, however it is framed."""
        status, headers = await self.head(within)
        async with asyncio.timeout(within):
            if method == "HEAD" or status in (100, 204, 304):
                body = b""
            elif "content-length" in headers:
                body = await self.reader.readexactly(int(headers["content-length"]))
            elif headers.get("transfer-encoding") == "chunked":
                body = b"".join([part async for part in self.chunks()])
            else:
                body = await self.reader.read()
        return Answer(status, headers, body)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The chunks of a chunked body; raises IncompleteReadError when it breaks off."""
        while True:
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            chunk = await self.reader.readexactly(size + 2)
            if not size:
                return
            yield chunk[:-2]

    async def rest(self, within: float = PATIENCE) -> bytes:
        """Everything up to the close of the connection."""
        async with asyncio.timeout(within):
            return await self.reader.read()

    def abort(self) -> None:
        """Leave without a word."""
        self.writer.transport.abort()


@dataclass
class Site:
    """A running gateway with its upstream. noisy: the test provokes errors in the gateway's log."""

    running: RunningGateway
    upstream: FakeUpstream
    noisy: bool = False
    _clients: list[RawClient] = field(default_factory=list)

    @property
    def log(self) -> list[dict[str, Any]]:
        return self.running.log

    async def ask(
        self, *, path: str = CHAT, key: str | None = None, headers: Mapping[str, str] | None = None, **body: Any
    ) -> Answer:
        """POST a chat request; `messages` need not be given."""
        status, found, raw = await self.running.post(path, {"messages": HELLO, **body}, key=key, headers=headers)
        return Answer(status, {name.lower(): value for name, value in found.items()}, raw)

    async def get(self, path: str, *, key: str | None = None) -> Answer:
        status, found, raw = await self.running.get(path, key=key)
        return Answer(status, {name.lower(): value for name, value in found.items()}, raw)

    async def connect(self) -> RawClient:
        host, port = self.running.service.address
        client = RawClient(*await asyncio.open_connection(host, port))
        self._clients.append(client)
        return client

    def head_of(self, length: int | str = "", *, path: str = CHAT, more: str = "", method: str = "POST") -> bytes:
        """The head of a request with this site's key; length: the content-length, "" for none."""
        framing = f"content-length: {length}\r\n" if length != "" else ""
        return (
            f"{method} {path} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {self.running.key}\r\n"
            f"content-type: application/json\r\n{framing}{more}\r\n"
        ).encode()

    def request(self, *, more: str = "", **body: Any) -> bytes:
        """A whole chat request as bytes."""
        raw = orjson.dumps({"messages": HELLO, **body})
        return self.head_of(len(raw), more=more) + raw

    async def begin(self, **body: Any) -> RawClient:
        """Send a chat request on a connection of its own and return that."""
        client = await self.connect()
        await client.send(self.request(**body))
        return client

    async def rest(self, within: float = PATIENCE) -> None:
        """Wait until nothing goes on in the gateway any more."""
        gateway = self.running.gateway
        async with asyncio.timeout(within):
            while self.running.service.app.busy or gateway._tasks or gateway.runtime.users:
                await asyncio.sleep(0.002)

    async def rows(self) -> list[LoggedRequest]:
        """The usage rows, oldest first, once all are written: any later operation waits for those that are posted."""
        await self.rest()
        await self.running.gateway.stores.ledger.void("req_unknown")
        return (await self.running.gateway.stores.usage.recent(limit=500))[::-1]

    async def row(self) -> LoggedRequest:
        """The only usage row."""
        rows = await self.rows()
        assert len(rows) == 1, rows
        return rows[0]

    async def spent(self) -> int:
        """Credits charged to the test's account so far; nothing may be held any more."""
        await self.rest()
        account = await self.running.gateway.stores.accounts.get_account(self.running.account.id)
        assert account is not None
        assert account.held == 0
        return CREDITS - account.balance

    def request_lines(self) -> list[dict[str, Any]]:
        """The request log."""
        return [line for line in self.log if line["logger"] == "requests"]

    def connections(self) -> list[Connection]:
        """The gateway's side of the open client connections."""
        server = self.running.service._server
        assert server is not None
        return [found for found in server.connections if isinstance(found, Connection)]

    async def check(self) -> None:
        """The gateway is at rest and sound."""
        for client in self._clients:
            client.abort()
        await self.rest()
        stores = self.running.gateway.stores
        accounts = await stores.accounts.list_accounts(limit=500)
        assert [account.held for account in accounts] == [0] * len(accounts)
        assert await stores.check() == []
        errors = [line for line in self.log if line["level"] == "error"]
        assert self.noisy or not errors, errors


Serve = Callable[..., Awaitable[Site]]


@pytest_asyncio.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    """`await serve(upstream={...}, server={...})` starts a gateway; the arguments are sections of its configuration."""
    async with AsyncExitStack() as stack:
        sites: list[Site] = []

        async def start(*, base_path: str = "/v1", folder: str = "", **sections: Any) -> Site:
            upstream = await stack.enter_async_context(FakeUpstream())
            place = tmp_path / folder
            place.mkdir(exist_ok=True)
            config = upstream_config(upstream.url + base_path, **sections)
            running = await stack.enter_async_context(running_gateway(place, config))
            site = Site(running, upstream)
            sites.append(site)
            return site

        yield start
        for site in sites:
            await site.check()


@pytest_asyncio.fixture
async def site(serve: Serve) -> Site:
    """A gateway with the default configuration of tests."""
    return await serve()


@pytest.fixture
def quick() -> dict[str, Any]:
    """A section `upstream` without waiting between tries."""
    return {"backoff": "1ms", "max_backoff": "20ms", "retries": 2}
