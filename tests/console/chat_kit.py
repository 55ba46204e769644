"""The playground in a browser, before a gateway whose models are scripted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Page, Request

from gateway.testing import (
    FakeUpstream,
    Received,
    Reply,
    RunningGateway,
    json_reply,
    upstream_config,
)

from .conftest import Serve
from .looking import WIDE, Look
from .visitors import Person, new_person, sign_in

MODEL = {"provider": "fake", "price": {"input": 1, "output": 2}, "context": 128_000, "max_output": 4096}


def mcp_server(request: Received) -> Reply:
    """What an MCP server with the single tool `add` answers."""
    if request.method != "POST":
        return Reply(status=200 if request.method == "DELETE" else 405, framing="length")
    asked = request.json
    schema = {"type": "object", "properties": {"a": {"type": "number"}}}
    results: dict[str, Any] = {
        "initialize": {
            "protocolVersion": "2025-06-18",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "fake", "version": "1"},
        },
        "tools/list": {"tools": [{"name": "add", "description": "<b>adds</b>", "inputSchema": schema}]},
        "tools/call": {"content": [{"type": "text", "text": "two"}]},
    }
    if "id" not in asked:
        return Reply(status=202, framing="length")
    result = results.get(asked["method"])
    told = {"error": {"code": -32601, "message": "Method not found"}} if result is None else {"result": result}
    return json_reply({"jsonrpc": "2.0", "id": asked["id"], **told})


@dataclass
class ChatSite:
    """A running gateway, its scripted upstreams, and the person who uses it."""

    running: RunningGateway
    model: FakeUpstream
    search: FakeUpstream
    person: Person

    async def spent(self) -> int:
        """Credits charged to the person so far."""
        account = await self.running.gateway.stores.accounts.get_account(self.person.account.id)
        assert account is not None
        return self.person.account.balance - account.balance


@dataclass
class Chat:
    """The page. asked: every address that the browser asked for. sent: the bodies of its requests to the API.
    problems: what the browser complained about."""

    site: ChatSite
    page: Page
    asked: list[str] = field(default_factory=list)
    sent: list[Any] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def model(self) -> FakeUpstream:
        return self.site.model

    def watch(self) -> None:
        """Note what the page asks for, and what goes wrong in it."""
        for event, note in self._notes.items():
            self.page.on(event, note)

    def unwatch(self) -> None:
        """Note nothing more."""
        for event, note in self._notes.items():
            self.page.remove_listener(event, note)

    def __post_init__(self) -> None:
        def note(request: Request) -> None:
            self.asked.append(request.url)
            if request.method == "POST":
                self.sent.append(request.post_data_json)

        def complain(message: ConsoleMessage) -> None:
            if "Content Security Policy" in message.text:
                self.problems.append(message.text)

        self._notes: dict[Any, Any] = {
            "request": note,
            "pageerror": lambda error: self.problems.append(str(error)),
            "console": complain,
        }

    async def ready(self) -> None:
        """Wait until the page's scripts have put all in place."""
        await self.page.locator("#chat[data-ready]").wait_for()

    async def write(self, text: str) -> None:
        """Put a text in the box."""
        await self.page.locator("#chat-box").fill(text)

    async def send(self, text: str) -> None:
        """Send a message, and wait for the end of its answers."""
        before = await self.page.locator(".message.assistant").count()
        await self.write(text)
        await self.page.locator("#chat-box").press("Enter")
        await self.page.locator(".message.assistant").nth(before).wait_for(state="attached")
        await self.settled()

    async def settled(self) -> None:
        """Wait until no answer is being made."""
        await self.page.locator("[data-part=send]").wait_for()
        await self.page.locator(".message.busy").wait_for(state="detached")

    async def click(self, name: str) -> None:
        """Press the only, or else the last, button of this name."""
        await self.page.get_by_role("button", name=name, exact=True).last.click()

    async def text(self, selector: str) -> str:
        """What stands in the last element that is found."""
        found: str = await self.page.locator(selector).last.inner_text()
        return found.strip()

    async def chosen_model(self) -> str:
        """The model of the first lane."""
        found: str = await self.page.locator(".model-button").first.inner_text()
        return found.removeprefix("Model:").strip()

    async def set_trap(self) -> None:
        """Let `boom()` be what hostile code would call."""
        await self.page.evaluate("() => { window.boom = () => { window.boomed = true; }; }")

    async def is_trapped(self) -> bool:
        """Whether any code called it."""
        return bool(await self.page.evaluate("() => window.boomed === true"))


OpenChat = Callable[..., Awaitable[Chat]]


@dataclass
class ChatWindow:
    """A gateway, its upstreams (a model, a search service, the MCP server `notes`) and a browser's page."""

    running: RunningGateway
    model: FakeUpstream
    search: FakeUpstream
    notes: FakeUpstream
    page: Page
    people: list[Person] = field(default_factory=list)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chat_window(
    tmp_path_factory: pytest.TempPathFactory, serve: Serve, chromium: Browser
) -> AsyncIterator[ChatWindow]:
    """What all tests of a module share, because it takes long to come up: a gateway before fake upstreams, and a page.
    Its scripts stay in the browser's memory; conversations are apart for each account."""
    async with AsyncExitStack() as stack:
        model, search, notes = [await stack.enter_async_context(FakeUpstream()) for _ in range(3)]
        config = upstream_config(
            model.url + "/v1",
            models={
                "fake/other": {**MODEL, "upstream": "upstream-other"},
                "off/model": {**MODEL, "provider": "off", "upstream": "x"},
                "fake/draws": {"provider": "fake", "operations": ["images"], "price": {"per_image": {"default": 0.04}}},
                "fake/speaks": {"provider": "fake", "operations": ["speech"], "price": {"characters": 15}},
                "fake/embeds": {"provider": "fake", "operations": ["embeddings"], "price": {"input": 1, "output": 0}},
            },
            providers={"off": {"plugin": "openai", "api_key": "${OFF_KEY:-}"}},
            search={"backends": {"searxng": {"url": search.url}}},
            mcp_servers={"notes": {"url": notes.url + "/mcp", "require_approval": "never"}},
        )
        running = await stack.enter_async_context(serve(tmp_path_factory.mktemp("chat"), config))
        context = await chromium.new_context(reduced_motion="reduce")
        yield ChatWindow(running, model, search, notes, await context.new_page())
        await context.close()


@pytest_asyncio.fixture(loop_scope="module")
async def open_chat(chat_window: ChatWindow) -> AsyncIterator[OpenChat]:
    """`await open_chat()` opens the page as a new person with credits, before upstreams that have heard nothing yet.
    path: of the page."""
    opened: list[Chat] = []
    window, page = chat_window, chat_window.page

    async def start(path: str = "/chat", *, credits: int = 1_000_000) -> Chat:
        for upstream in (window.model, window.search, window.notes):
            upstream.forget()
        window.notes.answer(mcp_server)
        person = await new_person(window.running, name=f"ada <b>{len(window.people)}", credits=credits)
        window.people.append(person)
        await page.goto("about:blank")  # the last test's page must be gone before somebody else signs in
        await sign_in(window.running, page.context, person)
        await Look(page).show("light", WIDE)
        chat = Chat(ChatSite(window.running, window.model, window.search, person), page)
        chat.watch()
        opened.append(chat)
        await page.goto(window.running.url + path)
        await chat.ready()
        return chat

    yield start
    for chat in opened:
        chat.unwatch()
        assert chat.problems == []
