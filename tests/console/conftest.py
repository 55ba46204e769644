"""A gateway with a console, and an HTTP client that is a browser or a program as the test wants."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.console import Console
from gateway.console.shelf import Shelf
from gateway.testing import RunningGateway, running_gateway

CONFIG: Mapping[str, Any] = {
    "providers": {"echo": {"plugin": "echo"}},
    "models": {
        "echo/echo": {
            "name": "Echo",
            "description": "Repeats what you say.",
            "price": {"input": 1, "output": 2.5, "cached_input": 0.1},
            "context": 128_000,
            "max_output": 4096,
            "input_modalities": ["text", "image"],
            "supported_parameters": ["tools", "reasoning_effort"],
        },
        "echo/plain": {"upstream": "echo", "free": True},
    },
    "aliases": {"best": "echo/echo"},
    "default_model": "echo/echo",
}
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@dataclass
class Seen:
    """One answer. headers: lower-case names. text: the body, unpacked."""

    status: int
    headers: dict[str, str]
    text: str


@dataclass
class Site:
    """A running gateway with its console."""

    running: RunningGateway

    async def get(
        self, path: str, *, accept: str = BROWSER, method: str = "GET", body: Any = None, **headers: str
    ) -> Seen:
        """Ask as a browser does; redirects are not followed. headers: `if_none_match="..."` and the like."""
        sent = {"accept": accept, **{name.replace("_", "-"): value for name, value in headers.items()}}
        async with self.running.session.request(
            method, self.running.url + path, headers=sent, data=body, allow_redirects=False
        ) as answer:
            return Seen(
                answer.status, {name.lower(): value for name, value in answer.headers.items()}, await answer.text()
            )


Open = Callable[..., Awaitable[Site]]
NewConsole = Callable[..., Console]
Serve = Callable[..., AbstractAsyncContextManager[RunningGateway]]


@pytest.fixture(scope="module", autouse=True)
def quick_passwords() -> Iterator[None]:
    """Passwords cost a fraction of what they cost outside; tests/test_passwords.py sees the true price."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway.passwords._TIME_COST", 1)
        patch.setattr("gateway.passwords._MEMORY_KIB", 64)
        yield


@pytest.fixture(scope="session")
def new_console() -> NewConsole:
    """Makes consoles that share templates and documentation: to make those takes longer than most tests do."""
    made: dict[tuple[Any, ...], Any] = {}

    def make(**more: Any) -> Console:
        return Console(shelf=Shelf(made), **more)

    return make


@pytest.fixture(scope="session")
def serve(new_console: NewConsole) -> Serve:
    """`running_gateway`, with such a console."""

    def run(folder: Path, config: Mapping[str, Any], **more: Any) -> AbstractAsyncContextManager[RunningGateway]:
        return running_gateway(folder, config, console=new_console(), **more)

    return run


@pytest_asyncio.fixture
async def open_site(tmp_path: Path, serve: Serve) -> AsyncIterator[Open]:
    """`await open_site(console={...})` starts a gateway; the arguments are sections of its configuration."""
    async with AsyncExitStack() as stack:

        async def start(**sections: Any) -> Site:
            return Site(await stack.enter_async_context(serve(tmp_path, {**CONFIG, **sections})))

        yield start


@pytest_asyncio.fixture
async def site(open_site: Open) -> Site:
    """A gateway with two models of the embedded provider, and the default console."""
    return await open_site()
