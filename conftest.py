"""Fixtures and settings for every test: those of tests/ and those of the plugins."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from hypothesis import HealthCheck, settings

from gateway.testing import RunningGateway

pytest_plugins = ["gateway.testing.pytest_plugin"]

_MEMORY, _ROOM = "/dev/shm", 2 << 30


def _work_in_memory() -> None:
    """Temporary folders lie in memory where there is room, for children too: a test that commits a hundred times waits
    for the disk a hundred times, and nobody cuts the power. `TMPDIR` says otherwise."""
    if "TMPDIR" in os.environ or not os.access(_MEMORY, os.W_OK | os.X_OK):
        return
    found = os.statvfs(_MEMORY)
    # Tests start programs from there, too.
    if found.f_bavail * found.f_frsize >= _ROOM and not found.f_flag & os.ST_NOEXEC:
        os.environ["TMPDIR"] = _MEMORY
        tempfile.tempdir = None


_work_in_memory()
# Tests start the gateway dozens of times: what one process has compiled, the next ones need not.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# One machine is slow, another is busy: no example fails for its duration. In CI the same examples run every time,
# so that a red build is about the change; a developer's runs explore, and keep what they find in .hypothesis/.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("explore"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "explore")


@pytest.fixture(scope="session")
def watched_calls() -> Iterator[BlockBuster]:
    with blockbuster_ctx("gateway") as watched:
        for name, function in watched.functions.items():
            if name.startswith("sqlite3."):
                # A lone caller's commit: nobody else is there to be stopped, and the disk was quick the last time.
                function.can_block_in("sqlite/engine/writer.py", "_commit_here")
        yield watched


@pytest.fixture(autouse=True)
def never_block_the_event_loop(request: pytest.FixtureRequest, watched_calls: BlockBuster) -> Iterator[None]:
    """Code of the gateway that sleeps, reads a file or waits for a socket inside the event loop fails the test.

    One blocking call stops every stream of the process. `@pytest.mark.blocking_allowed` switches this off.
    """
    if request.node.get_closest_marker("blocking_allowed"):
        watched_calls.deactivate()
        yield
        watched_calls.activate()
    else:
        yield


_TESTS = Path(__file__).parent / "tests"
_CHAT = _TESTS / "e2e/schemas/openai-chat.json"
_RESPONSES = _TESTS / "wire/fixtures/responses/openai-schemas.json"


@cache
def _definitions(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(path.read_bytes())["$defs"]
    return found


@cache
def _validator(path: Path, name: str) -> Any:
    # Imported here: it takes a second, and a run of few tests or the process that only hands them out needs it not.
    from jsonschema import Draft202012Validator

    return Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": _definitions(path)})


@cache
def _events() -> dict[str, str]:
    """Type of an event -> its schema."""
    named = {}
    for name, found in _definitions(_RESPONSES).items():
        kind = found.get("properties", {}).get("type", {}).get("enum", [None])[0]
        if name.endswith("Event") and kind:
            named[kind] = name
    return named


def problems_of(path: str, body: bytes) -> list[str]:
    """What is wrong with a good answer (status 200) to `POST path`, whole or streamed; nothing for other paths."""
    path = path.partition("?")[0]
    chat = path.endswith("/chat/completions")
    if not chat and not path.endswith("/responses"):
        return []
    if body[:1] == b"{":
        name = "CreateChatCompletionResponse" if chat else "Response"
        return _wrong(_CHAT if chat else _RESPONSES, name, orjson.loads(body))
    wrong = []
    for line in body.split(b"\n"):
        data = line.removeprefix(b"data: ")
        if data is line or not data.startswith(b"{"):
            continue
        value = orjson.loads(data)
        if chat and "error" not in value:
            wrong += _wrong(_CHAT, "CreateChatCompletionStreamResponse", value)
        elif not chat and value.get("type") in _events():
            wrong += _wrong(_RESPONSES, _events()[value["type"]], value)
    return wrong


_WORDS = frozenset({"type", "object", "role", "status", "finish_reason", "reason", "code", "service_tier", "phase"})
"""Members whose texts are words of a list."""
_RIGHT: set[tuple[str, Any]] = set()


def _wrong(path: Path, name: str, value: Any) -> list[str]:
    """What looks like something that was found right is not looked at again: nearly all events do."""
    shape = (name, _shape(value, ""))
    if shape in _RIGHT:
        return []
    wrong = [f"{name} {error.json_path}: {error.message[:300]}" for error in _validator(path, name).iter_errors(value)]
    if not wrong:
        _RIGHT.add(shape)
    return wrong


def _shape(value: Any, member: str) -> Any:
    """Names, kinds and words of a JSON value, without its texts and numbers."""
    if isinstance(value, dict):
        return tuple((key, _shape(inner, key)) for key, inner in sorted(value.items()))
    if isinstance(value, list):
        return ("list", *sorted({repr(_shape(inner, member)) for inner in value}))
    if isinstance(value, str):
        return value if member in _WORDS else (str, bool(value))
    return (int, value < 0) if isinstance(value, int) and not isinstance(value, bool) else type(value)


@pytest.fixture
def keep_to_published_schemas(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every good answer to a chat completion or a response that a test gets through `RunningGateway.post` keeps to
    OpenAI's published schemas. For whole modules: `pytestmark = pytest.mark.usefixtures(...)`;
    `@pytest.mark.unpublished` switches it off for one test."""
    if request.node.get_closest_marker("unpublished"):
        return
    post = RunningGateway.post

    async def checked(self: RunningGateway, path: str, *args: Any, **more: Any) -> Any:
        status, headers, body = await post(self, path, *args, **more)
        if status == 200:
            wrong = problems_of(path, body)
            assert not wrong, wrong[:5]
        return status, headers, body

    monkeypatch.setattr(RunningGateway, "post", checked)


def pytest_collection_finish() -> None:
    """Modules, tests and their parameters stay until the end. Left out of garbage collection, they make it cheap: those
    by itself, and those of tests that look for what is left over."""
    gc.collect()
    gc.freeze()
