"""Gateways that live in a thread of their own, for synchronous SDK clients; recordings; schemas.

A `World` is one gateway with one fake upstream. It serves many tests, so a test says what the upstream answers
(`world.play(...)`) instead of queueing: nothing is left over for the next test.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import openai
import pytest
from jsonschema import Draft202012Validator

from gateway.stores import KeySettings, LoggedRequest
from gateway.testing import FakeUpstream, Received, Reply, RunningGateway, refused_url, running_gateway, upstream_config

from .binary import binary, running_binary

HERE = Path(__file__).parent
PATIENCE = 60.0
"""Seconds that anything may take on a busy machine before it counts as never."""
NODE = Path(__file__).parent / "node"
T = TypeVar("T")
ECHO = {"provider": "echo", "upstream": "echo", "price": {"input": 1, "output": 2}, "context": 128_000}
ECHO["input_modalities"] = ["text", "image", "audio", "file"]


class World:
    """A running gateway (`gateway`) and the upstream of its provider `fake` (`upstream`), both in one thread.

    configure: makes the configuration from the upstream's address.
    """

    def __init__(self, folder: Path, configure: Callable[[str], dict[str, Any]]) -> None:
        self._folder = folder
        self._configure = configure
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live()), name="world")
        self.gateway: RunningGateway
        self.upstream: FakeUpstream

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(PATIENCE), "the gateway did not start"
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        if self._failure is None:
            self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the gateway did not stop"

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        try:
            async with AsyncExitStack() as stack:
                self.upstream = await stack.enter_async_context(FakeUpstream())
                config = self._configure(self.upstream.url)
                program = binary()
                serving = (
                    running_gateway(self._folder, config)
                    if program is None
                    else running_binary(program, self._folder, config)
                )
                self.gateway = await stack.enter_async_context(serving)
                self._ready.set()
                await self._stopped.wait()
        except BaseException as error:
            self._failure = error
            self._ready.set()
            raise

    def run(self, work: Coroutine[Any, Any, T], within: float = PATIENCE) -> T:
        """Run a coroutine in the gateway's loop and wait for its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(within)

    def event(self) -> tuple[asyncio.Event, Callable[[], None]]:
        """An event of the gateway's loop for `Hold`, and what sets it from the test's thread."""
        event = asyncio.Event()
        return event, lambda: self._loop.call_soon_threadsafe(event.set) and None

    @property
    def base_url(self) -> str:
        return self.gateway.url + "/v1"

    def play(self, *replies: Reply) -> list[Received]:
        """The upstream forgets what it received and answers with these in turn, the last one ever again.
        Returns the list that receives the requests from now on."""
        waiting = list(replies)
        self.upstream.requests.clear()
        self.upstream.answer(lambda _: waiting.pop(0) if len(waiting) > 1 else waiting[0])
        return self.upstream.requests

    def key(self, settings: KeySettings | None = None, *, credits: int | None = None) -> str:
        """Another key; see `RunningGateway.new_key`."""
        return self.run(self.gateway.new_key(settings, credits=credits))

    def client(self, prefix: str = "/v1", **options: Any) -> openai.OpenAI:
        """A synchronous client; options are `openai.OpenAI`'s. To be used in a `with` block."""
        options = {"api_key": self.gateway.key, "max_retries": 0, "timeout": PATIENCE, **options}
        return openai.OpenAI(base_url=self.gateway.url + prefix, **options)

    def async_client(self, **options: Any) -> openai.AsyncOpenAI:
        """The same for asyncio."""
        options = {"api_key": self.gateway.key, "max_retries": 0, "timeout": PATIENCE, **options}
        return openai.AsyncOpenAI(base_url=self.base_url, **options)

    def usage_row(self, request_id: str, within: float = PATIENCE) -> LoggedRequest:
        """The usage row of a request, as soon as it is written."""
        return self.run(self._usage_row(request_id, within), within + 5)

    async def _usage_row(self, request_id: str, within: float) -> LoggedRequest:
        async with asyncio.timeout(within):
            while True:
                for logged in await self.gateway.gateway.stores.usage.recent(limit=500):
                    if logged.row.request_id == request_id:
                        return logged
                await asyncio.sleep(0.01)

    def log_lines(self, **members: Any) -> list[dict[str, Any]]:
        """The request log's lines that have these members."""
        return [line for line in self.gateway.log if all(line.get(name) == value for name, value in members.items())]

    def logged(self, **members: Any) -> dict[str, Any]:
        """The first such line, waited for: it is written just after its answer has left. Not for the gateway's loop."""
        ends = time.monotonic() + PATIENCE
        while time.monotonic() < ends:
            if lines := self.log_lines(**members):
                return lines[0]
            time.sleep(0.02)
        raise AssertionError(f"no line of the log has {members}")


def everything(url: str, dead: str) -> dict[str, Any]:
    """One configuration with whatever the tests need: a fake provider, echo, one that nobody answers for."""
    return upstream_config(
        url,
        providers={
            "echo": {"plugin": "echo"},
            "dead": {"plugin": "openai", "base_url": dead, "api_key": "sk-fake"},
        },
        models={
            "echo/echo": ECHO,
            "dead/model": {"provider": "dead", "upstream": "model", "free": True},
            "openai/gpt-4.1-mini": {**ECHO, "provider": "fake", "upstream": "gpt-4.1-mini"},
        },
        aliases={"muh-chat": "echo/echo", "gpt-4o": "fake/model", "spare": ["dead/model", "echo/echo"]},
        default_model="muh-chat",
    )


@pytest.fixture(scope="session")
def make_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., World]]:
    """Starts further worlds: `make_world(lambda url: {...})`. They end with the session."""
    worlds: list[World] = []

    def make(configure: Callable[[str], dict[str, Any]]) -> World:
        world = World(tmp_path_factory.mktemp("world"), configure)
        world.start()
        worlds.append(world)
        return world

    yield make
    for world in worlds:
        world.stop()


@pytest.fixture(scope="session")
def world(make_world: Callable[..., World]) -> Iterator[World]:
    """The gateway that most tests share."""
    with refused_url() as dead:
        yield make_world(lambda url: everything(url, dead))


@pytest.fixture(scope="session")
def hurried(make_world: Callable[..., World]) -> World:
    """A gateway with short time limits and frequent keep-alives, which tries everything once."""
    limits = {"first_byte": "1s", "idle": "1s", "retries": 0}
    return make_world(lambda url: upstream_config(url, upstream=limits, server={"keep_alive": "100ms"}))


@pytest.fixture(scope="session")
def restless(make_world: Callable[..., World]) -> World:
    """A gateway with frequent keep-alives."""
    return make_world(lambda url: upstream_config(url, server={"keep_alive": "100ms"}))


@pytest.fixture(scope="session")
def client(world: World) -> Iterator[openai.OpenAI]:
    """One client for all tests, as a program has one: its connections are used again."""
    with world.client() as client:
        yield client


@pytest.fixture(scope="session")
def problems() -> Callable[[str, Any], Sequence[str]]:
    """What is wrong with a value by OpenAI's published schema: `problems("Model", {...})` -> [] or sentences."""
    schemas = json.loads((HERE / "schemas" / "openai-chat.json").read_text())

    def check(name: str, value: Any) -> Sequence[str]:
        validator = Draft202012Validator({**schemas, "$ref": f"#/$defs/{name}"})
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]

    return check


@pytest.fixture(scope="session")
def modules() -> Path:
    """`node_modules` with the SDK in the version that package.json names; installed once, then kept."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("node and npm are not installed")
    wanted = json.loads((NODE / "package.json").read_text())["dependencies"]["openai"]
    installed = NODE / "node_modules" / "openai" / "package.json"
    with (NODE / "package-lock.json").open() as lock:  # one process at a time, should the tests run in several
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not installed.exists() or json.loads(installed.read_text())["version"] != wanted:
            command = ["npm", "ci", "--no-audit", "--no-fund"]
            done = subprocess.run(command, cwd=NODE, capture_output=True, text=True, timeout=300)
            if done.returncode:
                pytest.skip(f"npm could not install the SDK: {done.stderr[-300:]}")
    return NODE / "node_modules"


@pytest.fixture(scope="session")
def run_javascript(modules: Path) -> Callable[[dict[str, str], Path], dict[str, str]]:
    """Runs programs in a folder, in the order given: name -> text becomes name -> what it said."""

    def run(programs: dict[str, str], folder: Path) -> dict[str, str]:
        (folder / "node_modules").symlink_to(modules)
        files = {str(folder / f"{at}.mjs"): name for at, name in enumerate(programs)}
        for file, name in files.items():
            Path(file).write_text(programs[name])
        command = ["node", str(NODE / "programs.mjs"), *files]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, cwd=folder)
        results = [json.loads(line) for line in done.stdout.splitlines()]
        assert {files[one["file"]]: one["failed"] for one in results if one["failed"]} == {}
        said = {files[one["file"]]: one["said"] for one in results}
        assert said.keys() == programs.keys(), done.stderr
        return said

    return run
