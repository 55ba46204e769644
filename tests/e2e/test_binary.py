"""The single binary by itself: what it says, that it is small, runs workers and plugins of a folder, without Python.

Runs where `GATEWAY_BINARY` names one (`scripts/release` makes it); then all of tests/e2e runs against it.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from .binary import binary
from .conftest import HERE

LARGEST = 45 * 1000 * 1000
PROGRAM = binary()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="GATEWAY_BINARY names no binary")

CONFIG = {
    "providers": {"echo": {"plugin": "echo"}},
    "models": {"echo/echo": {"price": {"input": 1, "output": 2}, "max_output": 1000}},
    "default_model": "echo/echo",
}
PLUGIN = """
from gateway.api import Call, Refusal, hookimpl


@hookimpl
async def authorize_call(call: Call) -> None:
    if "swordfish" in str(call.body):
        raise Refusal("No.", status=403)
"""


def run(*words: str, folder: Path) -> str:
    env = {"PATH": "/nowhere", "GATEWAY_DATA": str(folder / "data"), "TMPDIR": str(folder)}
    done = subprocess.run([str(PROGRAM), *words], env=env, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_small_and_says_what_it_is(tmp_path: Path) -> None:
    assert PROGRAM is not None
    assert PROGRAM.stat().st_size < LARGEST
    told = run("--version", folder=tmp_path)
    assert "single binary" in told
    for plugin in (HERE.parents[1] / "plugins").glob("*/pyproject.toml"):
        assert f"{plugin.parent.name} " in told


def test_a_configuration_is_begun_and_checked(tmp_path: Path) -> None:
    run("init", "made", "--no-input", "--set", "OPENAI_API_KEY=sk-1234567890", folder=tmp_path)
    assert "ok" in run("check", "--config", "made/config.yaml", folder=tmp_path)
    assert "openai" in run("plugins", "--config", "made/config.yaml", folder=tmp_path)


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Two workers, with a plugin of a folder; the address, and the key of the first start."""
    (tmp_path / "plugins.d").mkdir()
    (tmp_path / "plugins.d" / "no_fish.py").write_text(PLUGIN)
    (tmp_path / "config.yaml").write_bytes(orjson.dumps({**CONFIG, "plugins": {"dir": "plugins.d"}}))
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    env = {"PATH": "/nowhere", "TMPDIR": str(tmp_path)}
    words = [str(PROGRAM), "serve", "--config", "config.yaml", "--port", str(port), "--workers", "2"]
    with (tmp_path / "told").open("wb") as told:
        process = subprocess.Popen(words, env=env, cwd=tmp_path, stdout=told, stderr=subprocess.DEVNULL)
    base = f"http://127.0.0.1:{port}"
    for _ in range(600):
        try:
            urllib.request.urlopen(base + "/readyz", timeout=5).read()
            break
        except OSError:
            time.sleep(0.1)
    words = (tmp_path / "told").read_text().split()
    (key,) = {word for word in words if word.startswith("mghp_") and word.replace("_", "").isalnum()}
    yield base, key
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def ask(base: str, key: str, path: str, body: Any) -> tuple[int, bytes]:
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    request = urllib.request.Request(base + path, orjson.dumps(body), headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_workers_console_documentation_and_a_plugin_of_a_folder(serving: tuple[str, str]) -> None:
    base, key = serving
    hello = {"messages": [{"role": "user", "content": "Hello"}]}
    for _ in range(6):
        assert ask(base, key, "/v1/chat/completions", hello)[0] == 200
    status, raw = ask(base, key, "/v1/responses", {"input": "Hello"})
    assert (status, b"Hello" in raw) == (200, True)
    assert ask(base, key, "/v1/chat/completions", {"messages": [{"role": "user", "content": "swordfish"}]})[0] == 403
    for page in ("/", "/docs", "/models"):
        with urllib.request.urlopen(urllib.request.Request(base + page, headers={"accept": "text/html"})) as answer:
            assert b"<html" in answer.read()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the root folder")
def test_it_needs_no_python(tmp_path: Path) -> None:
    """In a root file system with nothing but the C library."""
    assert PROGRAM is not None
    root = tmp_path / "root"
    for folder in ("tmp", "etc", "lib64", "lib"):
        (root / folder).mkdir(parents=True)
    listed = subprocess.run(["ldd", str(PROGRAM)], capture_output=True, text=True, check=True).stdout
    names = [word for line in listed.splitlines() for word in line.split() if word.startswith("/")]
    library = Path(next(name for name in names if "libc." in name)).parent
    more = "libm.so.6 libdl.so.2 libpthread.so.0 librt.so.1 libutil.so.1 libgcc_s.so.1 libresolv.so.2".split()
    for name in more:
        if (library / name).exists():
            names.append(str(library / name))
    for name in names:
        target = root / name.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(Path(name).read_bytes())
        target.chmod(0o755)
    (root / "gateway").write_bytes(PROGRAM.read_bytes())
    (root / "gateway").chmod(0o755)
    (root / "etc" / "config.yaml").write_bytes(orjson.dumps(CONFIG))
    done = subprocess.run(
        [str(shutil.which("chroot")), str(root), "/gateway", "check", "--config", "/etc/config.yaml"],
        env={"GATEWAY_DATA": "/data"}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "/etc/config.yaml: ok\n"), done.stderr
