"""What administrators do over HTTP and on the command line stands in the audit log."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import orjson

from gateway.testing import running_gateway

ECHO = {"providers": {"echo": {"plugin": "echo"}}, "models": {"echo/echo": {"provider": "echo", "free": True}}}


async def test_every_change_is_entered_with_who_and_where(tmp_path):
    async with running_gateway(tmp_path, ECHO) as site:
        admin = site.gateway.admin_secret()

        async def act(method, path, body=None):
            headers = {"Authorization": f"Bearer {admin}"}
            async with site.session.request(method, site.url + "/admin/api" + path, json=body, headers=headers) as got:
                assert got.status < 300, await got.text()
                return orjson.loads(await got.read())

        account = (await act("POST", "/accounts", {"name": "ada", "credits": 5}))["id"]
        await act("PATCH", f"/accounts/{account}", {"disabled": False})
        await act("POST", f"/accounts/{account}/credits", {"credits": 7, "idempotency_key": "a", "note": "hello"})
        made = await act("POST", f"/accounts/{account}/keys", {"name": "k"})
        key, plain = made["id"], made["key"]
        await act("PATCH", f"/keys/{key}", {"monthly_limit": 9})
        rotated = (await act("POST", f"/keys/{key}/rotate", {}))["key"]
        await act("DELETE", f"/keys/{key}")
        codes = (await act("POST", "/vouchers", {"credits": 3}))["codes"]
        await act("DELETE", "/vouchers/1")
        entries = (await act("GET", "/audit"))["data"]
        assert [entry["action"] for entry in reversed(entries)] == [
            "account.create", "account.update", "account.credits", "key.create", "key.update", "key.rotate",
            "key.revoke", "voucher.create", "voucher.revoke",
        ]  # fmt: skip
        assert {(entry["actor"], entry["remote"]) for entry in entries} == {("admin", "127.0.0.1")}
        text = orjson.dumps(entries).decode()
        assert not [secret for secret in (plain, rotated, admin, *codes) if secret in text]
        page = (await act("GET", f"/audit?limit=1&subject={key}&before={entries[2]['seq']}"))["data"]
        assert [(entry["action"], entry["detail"]["account"]) for entry in page] == [("key.rotate", account)]
        command = [sys.executable, "-m", "gateway"]
        env = {**os.environ, "GATEWAY_DATA": str(tmp_path / "data")}
        config = ["--config", str(site.config_path)]

        def run(*words):
            return subprocess.run([*command, *words, *config], env=env, capture_output=True, text=True, check=True)

        await asyncio.to_thread(run, "accounts", "grant", "ada", "11")
        told = orjson.loads((await asyncio.to_thread(run, "audit", "--json", "--limit", "1")).stdout)
        assert told[0]["actor"].startswith("cli:")
        assert (told[0]["action"], told[0]["subject"], told[0]["detail"]["credits"]) == ("account.credits", account, 11)
        assert "key.revoke" in (await asyncio.to_thread(run, "audit")).stdout
