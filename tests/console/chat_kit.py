"""The playground in a browser, before a gateway whose models are scripted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, Request

from gateway.testing import (
    FakeUpstream,
    Received,
    Reply,
    RunningGateway,
    json_reply,
    running_gateway,
    upstream_config,
)

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

        def note(request: Request) -> None:
            self.asked.append(request.url)
            if request.method == "POST":
                self.sent.append(request.post_data_json)

        self.page.on("request", note)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on(
            "console",
            lambda message: self.problems.append(message.text) if "Content Security Policy" in message.text else None,
        )

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

    async def check_axe(self) -> None:
        """No serious fault for people with disabilities."""
        results = await Axe().run(self.page)
        serious = [one for one in results.response["violations"] if one["impact"] in ("serious", "critical")]
        assert serious == [], [(one["id"], [node["html"] for node in one["nodes"]]) for one in serious]


OpenChat = Callable[..., Awaitable[Chat]]


@pytest_asyncio.fixture(loop_scope="module")
async def open_chat(tmp_path: Path, chromium: Browser) -> AsyncIterator[OpenChat]:
    """`await open_chat()` opens the page as a person with credits. path: of the page; mcp: the gateway knows the server
    `notes`; scheme, width: of the browser."""
    async with AsyncExitStack() as stack:
        model = await stack.enter_async_context(FakeUpstream())
        search = await stack.enter_async_context(FakeUpstream())
        notes = await stack.enter_async_context(FakeUpstream())
        notes.answer(mcp_server)
        opened: list[Chat] = []

        async def start(
            path: str = "/chat",
            *,
            credits: int = 1_000_000,
            mcp: bool = False,
            scheme: Any = "light",
            width: int = 1280,
        ) -> Chat:
            config = upstream_config(
                model.url + "/v1",
                models={
                    "fake/other": {**MODEL, "upstream": "upstream-other"},
                    "off/model": {**MODEL, "provider": "off", "upstream": "x"},
                },
                providers={"off": {"plugin": "openai", "api_key": "${OFF_KEY:-}"}},
                search={"backends": {"searxng": {"url": search.url}}},
                **({"mcp_servers": {"notes": {"url": notes.url + "/mcp", "require_approval": "never"}}} if mcp else {}),
            )
            running = await stack.enter_async_context(running_gateway(tmp_path, config))
            context = await chromium.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
            person = await new_person(running, credits=credits)
            await sign_in(running, context, person)
            chat = Chat(ChatSite(running, model, search, person), await context.new_page())
            chat.watch()
            opened.append(chat)
            await chat.page.goto(running.url + path)
            await chat.ready()
            return chat

        yield start
        for chat in opened:
            await chat.page.context.close()
            assert chat.problems == []
