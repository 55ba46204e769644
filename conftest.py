"""Fixtures and settings for every test: those of tests/ and those of the plugins."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest
from blockbuster import blockbuster_ctx
from hypothesis import HealthCheck, settings
from jsonschema import Draft202012Validator

from gateway.testing import RunningGateway

pytest_plugins = ["gateway.testing.pytest_plugin"]

# One machine is slow, another is busy: no example fails for its duration. In CI the same examples run every time,
# so that a red build is about the change; a developer's runs explore, and keep what they find in .hypothesis/.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("explore"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "explore")


@pytest.fixture(autouse=True)
def never_block_the_event_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """Code of the gateway that sleeps, reads a file or waits for a socket inside the event loop fails the test.

    One blocking call stops every stream of the process. `@pytest.mark.blocking_allowed` switches this off.
    """
    if request.node.get_closest_marker("blocking_allowed"):
        yield
        return
    with blockbuster_ctx("gateway"):
        yield


_TESTS = Path(__file__).parent / "tests"
_CHAT = _TESTS / "e2e/schemas/openai-chat.json"
_RESPONSES = _TESTS / "wire/fixtures/responses/openai-schemas.json"


@cache
def _definitions(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(path.read_bytes())["$defs"]
    return found


@cache
def _validator(path: Path, name: str) -> Draft202012Validator:
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
        return value if member in _WORDS else bool(value)
    return type(value) if not isinstance(value, int) or isinstance(value, bool) else value < 0


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
