"""Gateways as a whole: what a configuration makes of them, and that two in one process do not meet."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.blueprint import read_blueprint
from gateway.errors import ConfigFault
from gateway.runtime import Gateway
from gateway.testing import running_gateway

ECHO = """
providers: {echo: {plugin: echo}}
models: {echo/echo: {price: {input: 1, output: 2}, context: 8000, max_output: 1000}}
default_model: echo/echo
"""
BODY = {"messages": [{"role": "user", "content": "Hello!"}]}


def problems(folder: Path, text: str) -> list[str]:
    path = folder / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigFault) as caught:
        read_blueprint(path, {"GATEWAY_DATA": str(folder / "data")})
    return caught.value.problems


def test_every_problem_of_every_part_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """
pipeline: [auth, autorisation]
providers: {echo: {plugin: ecko}, other: {plugin: openai, base_url: nonsense}}
models: {echo/echo: {free: true}}
rate_limit: {requests_per_minute: many}
sever: {port: 1}
""",
    )
    text = "\n".join(found)
    for line, key in (
        (2, "pipeline[1]"),
        (3, "providers.echo.plugin"),
        (5, "rate_limit.requests_per_minute"),
        (6, "sever"),
    ):
        assert f"config.yaml:{line}: {key}: " in text
    assert "config.yaml:3: providers.other.base_url: " in text
    assert "autorisation" in text


def test_a_faulty_plugin_is_part_of_the_report(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "mine.py").write_text(
        "from gateway.api import hookimpl\n@hookimpl\ndef admit_call(c): ...\n"
    )
    found = problems(tmp_path, ECHO + f"plugins: {{dir: {tmp_path / 'plugins'}}}\n")
    assert any("mine.py:2: admit_call: unknown argument 'c'" in problem for problem in found)


def test_a_missing_file_is_a_problem_and_no_traceback(tmp_path: Path) -> None:
    with pytest.raises(ConfigFault, match=r"nowhere\.yaml"):
        read_blueprint(tmp_path / "nowhere.yaml", {})


async def test_two_gateways_in_one_process(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with (
        running_gateway(tmp_path / "a", ECHO + "rate_limit: {requests_per_minute: 1}\n") as first,
        running_gateway(tmp_path / "b", ECHO) as second,
    ):
        path = "/v1/chat/completions"
        assert (await first.post(path, BODY))[0] == 200
        assert (await first.post(path, BODY))[0] == 429
        for _ in range(3):
            assert (await second.post(path, BODY))[0] == 200
        assert (await second.post(path, BODY, key=first.key))[0] == 401
        text = (await second.get("/metrics"))[2].decode()
        assert 'status="429"' not in text
        assert {line["status"] for line in second.log if line["logger"] == "requests"} == {200, 401}
        assert first.gateway.runtime.plugins.manager is not second.gateway.runtime.plugins.manager
        assert first.gateway.admin_secret() != second.gateway.admin_secret()


PRICED = {"price": {"input": 1, "output": 1}}
DEMO: dict[str, Any] = {
    "providers": {"openai": {"plugin": "openai", "api_key": "${SOME_KEY:-}"}, "echo": {"plugin": "echo"}},
    "models": {"openai/x": PRICED, "openai/y": PRICED, "echo/echo": PRICED},
    "aliases": {"muh-chat": "openai/x"},
    "default_model": "muh-chat",
}


async def test_without_any_key_the_embedded_model_stands_in(tmp_path: Path) -> None:
    async with running_gateway(tmp_path, DEMO) as gateway:
        said = [line["message"] for line in gateway.log]
        assert any("provider openai is switched off: api_key is empty (SOME_KEY not set)" in line for line in said)
        assert any(line.startswith("demo mode: ") and "SOME_KEY" in line for line in said)
        for model, shown in ((None, "muh-chat"), ("openai/y", "openai/y")):
            body = BODY if model is None else {**BODY, "model": model}
            status, headers, raw = await gateway.post("/v1/chat/completions", body)
            assert (status, headers["x-gateway-demo"], headers["x-gateway-cost"]) == (200, "true", "0")
            answer = orjson.loads(raw)
            assert (answer["model"], answer["system_fingerprint"]) == (shown, "fp_echo")
        _, headers, _ = await gateway.post("/v1/chat/completions", {**BODY, "model": "echo/echo"})
        assert "x-gateway-demo" not in headers, "who asks for it gets what was asked for"
        assert int(headers["x-gateway-cost"]) > 0


async def test_one_key_ends_demo_mode(tmp_path: Path) -> None:
    async with running_gateway(tmp_path, DEMO) as gateway:
        one = {**DEMO, "providers": {**DEMO["providers"], "other": {"plugin": "openai", "api_key": "sk-one"}}}
        one["models"] = {**DEMO["models"], "other/z": PRICED}
        gateway.config_path.write_bytes(orjson.dumps(one))
        await gateway.gateway.reload()
        status, headers, raw = await gateway.post("/v1/chat/completions", BODY)
        message = orjson.loads(raw)["error"]["message"]
        assert status == 503
        assert "SOME_KEY is not set" in message
        assert "'other/z' can be used now" in message or "'echo/echo' can be used now" in message
        assert "x-gateway-demo" not in headers
        assert any(line["message"].startswith("default_model: The model 'muh-chat'") for line in gateway.log)
        gateway.config_path.write_bytes(orjson.dumps(DEMO))
        await gateway.gateway.reload()
        assert (await gateway.post("/v1/chat/completions", BODY))[1]["x-gateway-demo"] == "true"


async def test_work_that_the_process_owns_is_awaited_and_its_failure_logged(tmp_path: Path) -> None:
    done = []

    async def work() -> None:
        await asyncio.sleep(0.02)
        done.append(True)

    async def fail() -> None:
        raise RuntimeError("boom")

    async with running_gateway(tmp_path, ECHO) as gateway:
        gateway.gateway.spawn(work(), "work")
        gateway.gateway.spawn(fail(), "fail")
    assert done
    (line,) = [line for line in gateway.log if line["level"] == "error"]
    assert line["message"] == "task fail failed"
    assert "RuntimeError: boom" in line["trace"]


async def test_plugins_open_in_order_and_close_in_reverse(tmp_path: Path) -> None:
    folder = tmp_path / "plugins"
    folder.mkdir()
    for name in ("one", "two"):
        text = f"""
from gateway.api import hookimpl

@hookimpl
async def start_up(app):
    app.stores.extra.setdefault("notes", []).append("open {name}")

@hookimpl
async def shut_down(app):
    app.stores.extra["notes"].append("close {name}")
    raise RuntimeError("one plugin's trouble")
"""
        await asyncio.to_thread((folder / f"{name}.py").write_text, text)
    async with running_gateway(tmp_path, ECHO + f"plugins: {{dir: {folder}}}\n") as gateway:
        notes = gateway.gateway.stores.extra["notes"]
    assert notes == ["open one", "open two", "close two", "close one"]


async def test_readiness_follows_the_database(tmp_path: Path) -> None:
    async with running_gateway(tmp_path, ECHO) as gateway:
        assert await gateway.gateway.problems() == []

        async def broken(*_: object) -> None:
            raise OSError("disk is gone")

        # Its class has slots, so the one attribute is set past them.
        ping = type(gateway.gateway.stores).ping
        type(gateway.gateway.stores).ping = broken  # type: ignore[method-assign]
        status, _, body = await gateway.get("/readyz")
        assert (status, orjson.loads(body)["reasons"]) == (503, ["database"])
        type(gateway.gateway.stores).ping = ping  # type: ignore[method-assign]


async def test_a_second_start_on_the_same_data_keeps_keys_and_balances(tmp_path: Path) -> None:
    async with running_gateway(tmp_path, ECHO) as first:
        await first.post("/v1/chat/completions", BODY)
        key, account = first.key, first.account
    gateway = Gateway(tmp_path / "config.yaml", {"GATEWAY_DATA": str(tmp_path / "data")}, log_stream=first.stream)
    await gateway.start()
    try:
        caller = await gateway.stores.keys.authenticate(key, "127.0.0.1")
        assert caller is not None
        assert caller.account_id == account.id
        found = await gateway.stores.accounts.get_account(account.id)
        assert found is not None
        assert found.balance < account.balance
    finally:
        await gateway.stop()


async def test_flags_stand_in_the_configuration_through_a_reload(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(ECHO)
    flags = {"port": 9, "workers": 2}
    gateway = Gateway(path, {"GATEWAY_DATA": str(tmp_path / "data")}, log_stream=io.StringIO(), flags=flags)
    await gateway.start()
    try:
        await gateway.reload()
        server = gateway.runtime.config.server
        assert (server.port, server.workers, server.host) == (9, 2, "127.0.0.1")
    finally:
        await gateway.stop()
