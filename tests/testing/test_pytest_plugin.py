"""The fixtures that plugin authors get."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from gateway.testing import FakeUpstream, json_reply
from gateway.testing.pytest_plugin import fake_upstream, refused_address

__all__ = ["fake_upstream", "refused_address"]


async def test_a_running_upstream(fake_upstream: FakeUpstream) -> None:
    fake_upstream.reply(json_reply({"ok": True}))
    async with aiohttp.ClientSession() as client, client.post(fake_upstream.url, data=b"{}") as response:
        assert await response.json() == {"ok": True}


async def test_an_address_without_listener(refused_address: str) -> None:
    host, port = refused_address.removeprefix("http://").split(":")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, int(port))
