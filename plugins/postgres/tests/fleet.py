"""Gateways as an operator runs them: processes of their own on one database, and callers who look at /readyz."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from gateway.testing import ForkServer, GatewayProcess

HELLO = {"model": "fake/model", "messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 20}


class Member:
    """One gateway, in a folder of its own."""

    def __init__(self, folder: Path, forks: ForkServer) -> None:
        self.folder = folder
        self.url = ""
        self.said = ""
        self.process: GatewayProcess | None = None
        self._forks = forks

    async def start(self) -> None:
        """Until it says where it is. Its log is in the folder."""
        with open(self.folder / "log", "ab") as log:
            self.process = await self._forks.start(
                "serve", "--config", str(self.folder / "config.yaml"), "--port", "0",
                env={**os.environ, "GATEWAY_DATA": str(self.folder / "data")}, stderr=log.fileno(),
            )  # fmt: skip
        self.said = ""
        while not (found := re.search(r"Tollgate serves (http://[\d.:]+)/v1", self.said)):
            line = (await self.process.stdout.readline()).decode()
            assert line, (self.folder / "log").read_text()
            self.said += line
        self.url = found.group(1)

    async def read_key(self) -> str:
        """The first start shows it, once."""
        while not (found := re.search(r"mghp_\w+", self.said)):
            self.said += (await self.process.stdout.readline()).decode()
        return found.group()

    def send(self, number: signal.Signals) -> None:
        """A signal."""
        self.process.send_signal(number)

    async def gone(self) -> int:
        """Its exit status, once it has one."""
        return await self.process.wait()

    async def close(self) -> None:
        """Whatever state it is in."""
        if self.process is not None:
            self.process.kill()
            await self.process.wait()


class Fleet:
    """Some gateways, the key of their first account, and a session that asks them."""

    def __init__(self, members: list[Member], key: str, session: aiohttp.ClientSession) -> None:
        self.members = members
        self.key = key
        self.session = session

    async def is_ready(self, member: Member) -> bool:
        """What a balancer asks."""
        try:
            async with self.session.get(member.url + "/readyz") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def wait_until_ready(self, member: Member) -> None:
        """For as long as it takes."""
        while not await self.is_ready(member):
            await asyncio.sleep(0.05)

    async def ask(self, member: Member, path: str = "/v1/chat/completions", **more: Any) -> tuple[int, str, bytes]:
        """Status, request id and body; status 0 when the connection broke, -1 when there was none to be had."""
        headers = {"Authorization": f"Bearer {self.key}"}
        body = more.pop("body", HELLO)
        try:
            async with self.session.post(member.url + path, json={**body, **more}, headers=headers) as answer:
                return answer.status, answer.headers.get("x-request-id", ""), await answer.read()
        except aiohttp.ClientConnectorError as error:
            return -1, "", repr(error).encode()
        except aiohttp.ClientError as error:
            return 0, "", repr(error).encode()

    async def get(self, member: Member, path: str) -> dict[str, Any]:
        """A JSON answer."""
        async with self.session.get(member.url + path, headers={"Authorization": f"Bearer {self.key}"}) as answer:
            found: dict[str, Any] = orjson.loads(await answer.read())
            return found


@asynccontextmanager
async def running_fleet(folder: Path, forks: ForkServer, config: dict[str, Any], count: int) -> AsyncIterator[Fleet]:
    """`count` gateways with one secret; the first has made the first account."""
    members = []
    try:
        for number in range(count):
            place = folder / f"member-{number}"
            place.mkdir()
            (place / "config.yaml").write_bytes(orjson.dumps(config))
            members.append(Member(place, forks))
        await members[0].start()
        key = await members[0].read_key()
        for member in members[1:]:
            (member.folder / "data").mkdir(mode=0o700)
            shutil.copy(members[0].folder / "data/secret", member.folder / "data/secret")
        await asyncio.gather(*(member.start() for member in members[1:]))
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
            yield Fleet(members, key, session)
    finally:
        for member in members:
            await member.close()
