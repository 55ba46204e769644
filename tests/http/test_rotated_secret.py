"""A rotation of the server secret while the gateway runs: a new admin secret, the old one for a while, and all keys."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from gateway.server_secret import admin_secrets, rotate


async def test_a_new_secret_opens_the_api_and_the_old_one_for_its_grace(site: Any) -> None:
    data, gateway = site.running.gateway.runtime.config.data, site.running.gateway
    old = gateway.admin_secret()
    await asyncio.to_thread(rotate, data, time.time() + 600)
    [new, _] = await asyncio.to_thread(admin_secrets, data, time.time())
    for secret, status in ((old, 200), (new, 200), (new + "x", 401)):
        assert (await site.get("/admin/api/accounts", key=secret)).status == status
    await asyncio.to_thread(rotate, data, 0.0)
    assert (await site.get("/admin/api/accounts", key=new)).status == 401
    newest = gateway.admin_secret()
    assert (await site.get("/admin/api/accounts", key=newest)).status == 200
    assert (await site.get("/v1/models")).status == 200, "keys stay alive"
    for secret in (old, new, newest):
        assert secret not in gateway.mask(f"a {secret} b")
