"""Running one call of a hosted function, told as items and events. What fails becomes a result that says so."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import orjson

from gateway.call import Call
from gateway.servertools.activity import PROGRESS, added, done, step
from gateway.servertools.citations import Sources
from gateway.servertools.mcp.servers import McpSessions
from gateway.servertools.mcp.spec import McpFault
from gateway.servertools.offer import Hosted, ToolPlan
from gateway.servertools.toolbox import Toolbox
from gateway.tools import Net, SearchQuery, Source, ToolFault, ToolResult
from gateway.wire.exact_json import load_exact

Json = dict[str, Any]
Tell = Callable[[list[Json]], None]

_FAILED = "The tool failed."


@dataclass(slots=True)
class HostedCall:
    """One call that the model made. item_id: of the item that shows it. approval_id: of the request that was approved.
    told: its item was added already, while its arguments came."""

    hosted: Hosted
    call_id: str
    arguments: str
    item_id: str = ""
    approval_id: str | None = None
    told: bool = False


@dataclass(slots=True)
class Run:
    """What a tool is given of the call that it runs for."""

    net: Net
    request_id: str
    account_id: str
    key_id: str
    progress: Callable[[str], None]


def new_id(prefix: str) -> str:
    """The id of an item, in the form of OpenAI's."""
    return f"{prefix}_{secrets.token_hex(20)}"


class Executor:
    """Runs the calls of one request. sources: what was found is added there. tell: shows events to the caller."""

    def __init__(
        self,
        toolbox: Toolbox,
        call: Call,
        plan: ToolPlan,
        sessions: McpSessions,
        sources: Sources,
        tell: Tell,
        log: logging.Logger,
    ) -> None:
        self._toolbox = toolbox
        self._call = call
        self._plan = plan
        self._sessions = sessions
        self._sources = sources
        self._tell = tell
        self._log = log
        self.searches = 0
        self.pages = 0
        self.calls = 0

    async def run(self, made: HostedCall, seconds: float) -> ToolResult:
        """Run a call within `seconds`, show it, and return what the model is told. Never raises anything but
        cancellation."""
        arguments = read_arguments(made.arguments)
        kind = made.hosted.kind
        if kind == "search":
            return await self._search(arguments, seconds)
        if kind == "page":
            return await self._page(arguments, seconds)
        return await self._called(made, arguments, seconds)

    def fees(self, calls: Sequence[HostedCall]) -> Decimal:
        """What these calls cost; those cost nothing that are beyond what the request allows of their kind."""
        total = Decimal(0)
        asked = {"search": self.searches, "page": self.pages}
        for made in calls:
            kind = made.hosted.kind
            most = {"search": self._plan.most_searches, "page": self._plan.most_pages}.get(kind)
            if most is not None and asked[kind] >= most:
                continue
            asked[kind] = asked.get(kind, 0) + 1
            total += made.hosted.price
        return total

    # -- search ------------------------------------------------------------------------------------------------

    async def _search(self, arguments: Json | None, seconds: float) -> ToolResult:
        query = str((arguments or {}).get("query") or "").strip()[:1000]
        item: Json = {"id": new_id("ws"), "type": "web_search_call", "status": "in_progress"}
        action: Json = {"type": "search", "query": query, "queries": [query]}
        self._begin_search({**item, "action": action})
        item["action"] = action
        if not query:
            return self._fail_search(item, "query is missing", "invalid_input")
        if self._plan.most_searches is not None and self.searches >= self._plan.most_searches:
            return self._fail_search(item, "The request allows no more searches.", "max_uses_exceeded")
        self.searches += 1
        wanted = replace(self._plan.search or SearchQuery(""), text=query)
        try:
            async with asyncio.timeout(seconds):
                found = await self._toolbox.search.search(wanted, free=self._plan.free)
        except (ToolFault, TimeoutError) as error:
            return self._fail_search(item, _text(error))
        for result in found:
            self._sources.add(Source(result.url, result.title))
        if self._plan.sources:
            action["sources"] = [{"type": "url", "url": result.url} for result in found]
        item["status"] = "completed"
        if self._plan.results:
            item["results"] = [{"url": r.url, "title": r.title, "text": r.text} for r in found]
        parts = [
            f"[{number}] {result.title}\nAddress: {result.url}\n"
            + (f"Date: {result.published}\n" if result.published else "")
            + result.text
            for number, result in enumerate(found, 1)
        ]
        text = "\n\n".join(parts) if parts else "Nothing was found."
        return self._end_search(item, ToolResult(text, tuple(Source(r.url, r.title) for r in found)))

    async def _page(self, arguments: Json | None, seconds: float) -> ToolResult:
        url = str((arguments or {}).get("url") or "").strip()
        item: Json = {"id": new_id("ws"), "type": "web_search_call", "status": "in_progress"}
        item["action"] = {"type": "open_page", "url": url}
        self._begin_search(dict(item))
        if self._plan.most_pages is not None and self.pages >= self._plan.most_pages:
            return self._fail_search(item, "The request allows no more pages.", "max_uses_exceeded")
        self.pages += 1
        try:
            async with asyncio.timeout(seconds):
                page = await self._toolbox.search.open(url, self._plan.pages or SearchQuery(""), free=self._plan.free)
        except (ToolFault, TimeoutError) as error:
            return self._fail_search(item, _text(error))
        self._sources.add(Source(url, page.title))
        read = page.text[: self._plan.page_text]
        text = f"{page.title}\nAddress: {url}\n\n{read}" if page.title else read
        result = ToolResult(text, (Source(url, page.title),))
        if self._plan.results:
            item["text"] = read
        return self._end_search({**item, "status": "completed"}, result)

    def _begin_search(self, item: Json) -> None:
        kind = "response.web_search_call"
        self._tell([added(item), step(item["id"], f"{kind}.in_progress"), step(item["id"], f"{kind}.searching")])

    def _fail_search(self, item: Json, text: str, code: str = "unavailable") -> ToolResult:
        """code: Anthropic's word for what is wrong."""
        if self._plan.results:
            item["error_code"] = code
        return self._end_search({**item, "status": "failed"}, _fault(text))

    def _end_search(self, item: Json, result: ToolResult) -> ToolResult:
        self._tell([step(item["id"], "response.web_search_call.completed"), done(item)])
        return result

    # -- servers and plugins -----------------------------------------------------------------------------------

    async def _called(self, made: HostedCall, arguments: Json | None, seconds: float) -> ToolResult:
        self.calls += 1
        item = self.begin_call(made)
        if arguments is None:
            result = _fault("The arguments are not a JSON object.")
        else:
            result = await self._ask(made, arguments, seconds)
        for source in result.sources:
            self._sources.add(source)
        failed = result.error
        item["status"] = "failed" if failed else "completed"
        if failed:
            content = [{"type": "text", "text": result.text}]
            item["error"] = {"type": "mcp_tool_execution_error", "content": content}
        else:
            item["output"] = result.text
        self._tell([step(item["id"], f"response.mcp_call.{item['status']}"), done(item)])
        return result

    def begin_call(self, made: HostedCall) -> Json:
        """Show the item of a call whose arguments are known by now; returns it."""
        item = call_item(made)
        events = (
            [] if made.told else [added({**item, "arguments": ""}), step(item["id"], "response.mcp_call.in_progress")]
        )
        if not made.told and made.arguments:
            events.append(step(item["id"], "response.mcp_call_arguments.delta", delta=made.arguments))
        events.append(step(item["id"], "response.mcp_call_arguments.done", arguments=made.arguments))
        self._tell(events)
        return item

    async def _ask(self, made: HostedCall, arguments: Json, seconds: float) -> ToolResult:
        hosted = made.hosted

        def progress(text: str) -> None:
            self._tell([step(made.item_id, PROGRESS, text=text[:500])])

        try:
            async with asyncio.timeout(seconds):
                if hosted.server is not None:
                    return await self._sessions.call(hosted.server, hosted.tool, arguments, progress)
                assert hosted.own is not None
                async with asyncio.timeout(hosted.own.timeout):
                    return await hosted.own.call(arguments, self._run(progress))
        except McpFault as fault:
            label = hosted.server.label if hosted.server is not None else ""
            return _fault(f"The server {label!r} {fault.text}.")
        except (ToolFault, TimeoutError) as error:
            return _fault(_text(error))
        except Exception:  # a plugin's bug must not end the answer; its trace goes to the log, not to the model
            self._log.exception("tool %s failed", hosted.name, extra={"request_id": self._call.id})
            return _fault(_FAILED)

    def _run(self, progress: Callable[[str], None]) -> Run:
        caller = self._call.caller
        account, key = (caller.account_id, caller.key_id) if caller is not None else ("", "")
        return Run(self._toolbox.net, self._call.id, account, key, progress)


def call_item(made: HostedCall) -> Json:
    """The `mcp_call` item of a call. A plugin's tool is shown as one of a server with its name."""
    hosted = made.hosted
    made.item_id = made.item_id or new_id("mcp")
    return {
        "id": made.item_id,
        "type": "mcp_call",
        "server_label": hosted.server.label if hosted.server is not None else hosted.name,
        "name": hosted.tool or hosted.name,
        "arguments": made.arguments,
        "approval_request_id": made.approval_id,
        "status": "in_progress",
        "output": None,
        "error": None,
    }


def read_arguments(text: str) -> Json | None:
    """The arguments of a call; None for what is no JSON object. Nothing at all is an empty object."""
    try:
        value = load_exact(text, int) if text.strip() else {}
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _fault(text: str) -> ToolResult:
    return ToolResult(text, error=True)


def _text(error: Exception) -> str:
    return error.text if isinstance(error, ToolFault) else "It took too long."
