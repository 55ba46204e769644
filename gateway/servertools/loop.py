"""The loop: rounds of a model and of the tools that the gateway runs for it, as one answer.

Admission has seen the request without these tools; what they add is paid for round by round (`admit_round`). After it
the lists of tools are fetched, calls that the caller has approved are made, and the model is asked. As long as it calls
hosted functions, these are run, all of a round at the same time, and it is asked again with what they found. The answer
ends when it calls none, or one of the caller's own, or one that the caller must approve first. At the limits (calls,
rounds, time) it is asked a last time, and may call nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, TypeVar

from gateway.call import Call
from gateway.dialect import InboundCall, RawAnswer, Relay, Watch, keep_alive_of
from gateway.errors import CallerFault
from gateway.profile import Dialect
from gateway.provider import Answer
from gateway.records import ToolRecord
from gateway.runner.rounds import Round
from gateway.runner.sink import EventStream, Flow
from gateway.servertools.activity import added, done, next_round, step
from gateway.servertools.citations import CitationFinder, Sources
from gateway.servertools.execute import Executor, HostedCall, new_id
from gateway.servertools.mcp.results import shown_tools
from gateway.servertools.mcp.spec import McpFault
from gateway.servertools.offer import (
    PAGE_FUNCTION,
    SEARCH_FUNCTION,
    Functions,
    McpEntry,
    ToolPlan,
    mcp_function,
    names_of,
)
from gateway.servertools.rounds import RoundRelay, Shown
from gateway.servertools.toolbox import Toolbox
from gateway.tools import Activity, ToolResult
from gateway.wire.chat.activity import MEMBER
from gateway.wire.chat.fold import ChatFold, unfold
from gateway.wire.lenient import dict_of, dicts_of, text_of

Json = dict[str, Any]
T = TypeVar("T")
Cover = Callable[[Call, int], Awaitable[None]]

_LIMIT = "The limit of tool calls for this answer is reached; answer with what you have."
_DENIED = "The user did not allow this call."


class ToolLoop:
    """The loop of one call. inbound: the caller's side. cover: asks the policies for the cost of tools, in credits over
    the whole call. Used as: `begin`, then `next_body` after each round; the runner speaks to what `wrap` returns."""

    def __init__(
        self,
        toolbox: Toolbox,
        call: Call,
        plan: ToolPlan,
        inbound: InboundCall,
        cover: Cover,
        log: logging.Logger,
        *,
        by_item: bool = False,
        items: list[Json] | None = None,
    ) -> None:
        self._settings = toolbox.config.tools
        self._toolbox = toolbox
        self._call = call
        self._plan = plan
        self._inbound = inbound
        self._cover = cover
        self._items = items or []
        self._sources = Sources()
        self._functions = Functions(names_of(call.body.get("tools")))
        self._sessions = toolbox.mcp.sessions()
        self._executor = Executor(toolbox, call, plan, self._sessions, self._sources, self._tell, log)
        self._finder = CitationFinder(self._sources)
        self._sink: EventStream | None = None
        self._relay: Relay | None = None
        self._watch: Watch | None = None
        self._total = ChatFold()
        self._answer = Shown(self._functions, self._show, self._finder, by_item=by_item)
        self._early: list[bytes] = []
        self._rounds = 0
        self._made = 0
        self._most = min(self._settings.max_calls, plan.most or self._settings.max_calls)
        self._deadline = 0.0
        self._last = False
        self._events: list[Json] = []
        self._latest: RoundRelay | None = None
        self._messages: list[Json] = []
        self._body: Json = {}

    def wrap(self) -> LoopedCall:
        """What the runner speaks to in place of the caller's side."""
        return LoopedCall(self, self._inbound)

    @property
    def servers(self) -> list[str]:
        """Labels of the MCP servers that are asked for their tools before the first round."""
        return [entry.spec.label for entry in self._plan.servers]

    def describe(self) -> dict[str, Any]:
        """What the gateway runs itself for this request: functions, as the model sees them once `begin` was called, the
        servers that offer more, and how many calls may be made."""
        functions = [{"name": hosted.name, "price": str(hosted.price)} for hosted in self._functions.by_name.values()]
        return {"functions": functions, "mcp_servers": self.servers, "max_calls": self._most}

    async def close(self) -> None:
        """The answer is over, however it ended."""
        await self._sessions.close()

    # -- before the first round ---------------------------------------------------------------------------------

    async def begin(self, sink: EventStream | None, flow: Flow) -> Json:
        """See `gateway.runner.lifecycle.FirstBody`: list tools, make approved calls. Raises Fault."""
        self._sink = sink
        hub = self._call.forms.get("chat")
        if hub is not None:
            if hub.fault is not None:
                raise hub.fault
            for path in hub.dropped:
                self._call.report_dropped(path)
        if sink is not None and self._plan.servers:
            await sink.begin(flow)
        self._deadline = asyncio.get_running_loop().time() + self._settings.total
        body = self._call.body
        self._messages = [*body.get("messages", ())]
        plan = self._plan
        if plan.search is not None:
            self._functions.add("web_search", SEARCH_FUNCTION, "search", price=self._price("price"))
        if plan.pages and self._toolbox.search.reads():
            self._functions.add("open_page", PAGE_FUNCTION, "page", price=self._price("page_price"))
        for tool in plan.tools:
            function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
            self._functions.add(tool.name, function, "tool", own=tool, price=self._toolbox.credits(tool.price))
        await self._list_all()
        await self._approved()
        self._body = {key: value for key, value in body.items() if key not in ("tools", "tool_choice")}
        tools = [*dicts_of(body.get("tools")), *self._functions.definitions()]
        self._body["tools"] = tools
        choice = self._choice(body.get("tool_choice"))
        if choice is not None:
            self._body["tool_choice"] = choice
        self._rounds = 1
        return {**self._body, "messages": self._messages}

    def _price(self, name: str) -> Decimal:
        return self._toolbox.credits(getattr(self._toolbox.config.search, name))

    async def _list_all(self) -> None:
        listings = await self._waiting(asyncio.gather(*(self._list(entry) for entry in self._plan.servers)))
        for entry, tools in zip(self._plan.servers, listings, strict=True):
            for tool in tools:
                if entry.allowed(tool):
                    self._functions.add(
                        f"{entry.spec.label}__{tool['name']}",
                        mcp_function(entry, tool),
                        "mcp",
                        price=entry.price,
                        server=entry.spec,
                        tool=tool["name"],
                        approval=entry.approval(tool),
                    )
        if len(self._functions.by_name) > self._settings.max_tools:
            raise CallerFault(
                f"tools: the servers of this request offer {len(self._functions.by_name)} tools, and at most "
                f"{self._settings.max_tools} may be offered (tools.max_tools); choose some by allowed_tools.",
                param="tools",
            )

    async def _list(self, entry: McpEntry) -> list[Json]:
        """The tools of a server: as an earlier answer listed them, or asked for and shown."""
        label = entry.spec.label
        for item in self._items:
            if item.get("type") == "mcp_list_tools" and item.get("server_label") == label and not item.get("error"):
                return [tool for tool in dicts_of(item.get("tools")) if text_of(tool.get("name"))]
        shown: Json = {"id": new_id("mcpl"), "type": "mcp_list_tools", "server_label": label}
        kind = "response.mcp_list_tools"
        self._tell([added({**shown, "tools": []}), step(shown["id"], f"{kind}.in_progress")])
        try:
            tools = await self._toolbox.mcp.tools(entry.spec)
        except McpFault as fault:
            message = f"The list of tools of the MCP server {label!r} could not be had: it {fault.text}."
            self._tell([step(shown["id"], f"{kind}.failed"), done({**shown, "tools": [], "error": message})])
            raise CallerFault(
                f"{entry.path}: {message}", status=424, type="external_connector_error", param=entry.path,
                code="mcp_list_tools_failed",
            ) from None  # fmt: skip
        listed = shown_tools([tool for tool in tools if entry.allowed(tool)])
        self._tell([step(shown["id"], f"{kind}.completed"), done({**shown, "tools": listed})])
        return tools

    async def _approved(self) -> None:
        """Calls of an earlier answer that its caller has now allowed, or not."""
        asked = {item.get("id"): item for item in self._items if item.get("type") == "mcp_approval_request"}
        answered = {item.get("approval_request_id") for item in self._items if item.get("type") == "mcp_call"}
        calls: list[tuple[HostedCall, Json]] = []
        for item in self._items:
            if item.get("type") != "mcp_approval_response" or item.get("approval_request_id") in answered:
                continue
            request = asked.get(item.get("approval_request_id"))
            hosted = None
            if request is not None:
                label, name = text_of(request.get("server_label")), text_of(request.get("name"))
                hosted = self._functions.of_server(label, name)
            if request is None or hosted is None:
                raise CallerFault(
                    "input: an mcp_approval_response names no request of this conversation whose server is in `tools`.",
                    param="input",
                )
            made = HostedCall(hosted, new_id("call"), text_of(request.get("arguments")), approval_id=request["id"])
            calls.append((made, item))
        if not calls:
            return
        allowed = [made for made, item in calls if item.get("approve") is True]
        results = await self._run_all(allowed)
        called: list[Json] = []
        told: list[Json] = []
        for made, item in calls:
            function = {"name": made.hosted.name, "arguments": made.arguments}
            called.append({"id": made.call_id, "type": "function", "function": function})
            reason = text_of(item.get("reason"))
            denied = ToolResult(f"{_DENIED} {reason}".strip(), error=True)
            told.append(self._result(made, results.get(made.call_id, denied)))
        self._messages += [{"role": "assistant", "content": None, "tool_calls": called}, *told]

    # -- between the rounds -------------------------------------------------------------------------------------

    async def next_body(self, found: Round) -> Json | None:
        """The body of the next round, with what the tools gave that the last one called; None when it called none."""
        relay = found.pump.relay if found.pump is not None else self._whole_round(found)
        assert isinstance(relay, RoundRelay)
        self._latest = relay
        message = relay.message()
        calls = relay.hosted(message)
        if not calls:
            return None
        ask = [made for made in calls if made.hosted.approval]
        run = [made for made in calls if not made.hosted.approval]
        self._send(self._answer.new_text())
        results = await self._run_all(run)
        for made in ask:
            self._request_approval(made)
        if ask or self._answer.calls or self._last:
            return None
        images: list[Json] = []
        told = [self._result(made, results[made.call_id], images) for made in calls]
        self._messages += [message, *told]
        if images:
            self._messages.append({"role": "user", "content": images})
        self._rounds += 1
        self._tell([next_round()])
        body = {**self._body, "messages": self._messages}
        if self._choice_is_forced(body.get("tool_choice")):
            # Asked for once; again and again it would never end.
            body["tool_choice"] = "auto"
        if self._rounds >= self._settings.max_rounds or self._made >= self._most or self._left() <= 0:
            body["tool_choice"] = "none"
            self._last = True
        return body

    def _whole_round(self, found: Round) -> RoundRelay:
        """A whole answer, taken like a stream."""
        relay = self.relay(None)
        assert found.answer is not None
        for chunk in unfold(found.answer.body, False):
            _, fault = relay.feed([chunk])
            if fault is not None:
                raise fault
        return relay

    async def _run_all(self, calls: list[HostedCall]) -> dict[str, ToolResult]:
        """Run calls side by side, as far as limits and money allow; results by call id."""
        slots = asyncio.Semaphore(self._settings.parallel)
        results: dict[str, ToolResult] = {}

        async def run(made: HostedCall) -> None:
            async with slots:
                began = time.monotonic()
                result = results[made.call_id] = await self._executor.run(made, max(0.1, self._left()))
                name = made.hosted.tool or made.hosted.name
                took = time.monotonic() - began
                self._call.progress.tool_runs.append(ToolRecord(name, time.time(), took, result.error))

        allowed: list[HostedCall] = []
        for made in calls:
            if self._made >= self._most:
                results[made.call_id] = ToolResult(_LIMIT, error=True)
                if made.told:
                    self._tell([done({**self._executor.begin_call(made), "status": "failed", "error": _LIMIT})])
                continue
            self._made += 1
            allowed.append(made)
        fees = sum((made.hosted.price for made in allowed), Decimal(0))
        if fees:
            await self._cover(self._call, int(-(-(self._call.fees + fees) // 1)))
            self._call.fees += fees
        await self._waiting(_all(run(made) for made in allowed))
        return results

    def _request_approval(self, made: HostedCall) -> None:
        item: Json = {
            "id": new_id("mcpr"),
            "type": "mcp_approval_request",
            "server_label": made.hosted.server.label if made.hosted.server is not None else made.hosted.name,
            "name": made.hosted.tool or made.hosted.name,
            "arguments": made.arguments,
        }
        self._tell([added(item), done(item)])

    def _result(self, made: HostedCall, result: ToolResult, images: list[Json] | None = None) -> Json:
        text, most = result.text, self._settings.max_result
        if len(text) > most:
            text = text[:most] + "\n[The result goes on.]"
        if result.error:
            text = f"Error: {text}"
        if images is not None and all("image" in target.input_modalities for target in self._call.candidates):
            for image in result.images:
                images.append({"type": "text", "text": f"Image of the result of tool call {made.call_id}:"})
                address = f"data:{image.media_type};base64,{image.data}"
                images.append({"type": "image_url", "image_url": {"url": address}})
        return {"role": "tool", "tool_call_id": made.call_id, "content": text}

    def _left(self) -> float:
        return self._deadline - asyncio.get_running_loop().time()

    # -- tool_choice --------------------------------------------------------------------------------------------

    def _choice(self, given: Any) -> Any:
        """`tool_choice` of the first round, with the hosted functions in it where the caller means them."""
        demanded = self._plan.choice
        if demanded is not None:
            kind, label = text_of(demanded.get("type")), text_of(demanded.get("server_label"))
            for hosted in self._functions.by_name.values():
                named = demanded.get("name") in (None, hosted.tool)
                ours = hosted.server is not None and hosted.server.label == label and named
                by_kind = (
                    hosted.name == kind if hosted.own is not None else hosted.kind == "search" and "search" in kind
                )
                if ours or by_kind:
                    if hosted.server is not None and demanded.get("name") is None:
                        return "required"
                    return {"type": "function", "function": {"name": hosted.name}}
            return "required"
        inner = dict_of(dict_of(given).get("allowed_tools"))
        if inner:
            more = [{"type": "function", "function": {"name": name}} for name in self._functions.by_name]
            return {"type": "allowed_tools", "allowed_tools": {**inner, "tools": [*inner.get("tools", ()), *more]}}
        return given

    @staticmethod
    def _choice_is_forced(choice: Any) -> bool:
        if isinstance(choice, dict):
            mode = dict_of(choice.get("allowed_tools")).get("mode")
            return mode != "auto"
        return choice in ("required", "any")

    # -- the caller's side --------------------------------------------------------------------------------------

    def relay(self, watch: Watch | None) -> RoundRelay:
        """The relay of a further round, on the caller's one relay."""
        self._watch = watch
        inner = self._caller_side()
        return RoundRelay(self._answer, inner, keep_alive_of(inner), self.counted)

    def _caller_side(self) -> Relay:
        if self._relay is None:
            self._relay = self._inbound.relay(self._watch)
        return self._relay

    def _show(self, chunk: Json) -> bytes:
        self._total.add(chunk)
        self._events += chunk["choices"][0]["delta"].get(MEMBER, ())
        data, fault = self._caller_side().feed([chunk])
        if fault is not None:
            raise fault
        return data

    def _tell(self, events: list[Json]) -> None:
        self._send(self._answer.activity(events))

    def _send(self, data: bytes) -> None:
        if data and self._sink is not None:
            self._sink.write(data)

    async def _waiting(self, work: Awaitable[T]) -> T:
        """Await tools, and show signs of life to a caller who waits."""
        task = asyncio.ensure_future(work)  # noqa: TID251 - awaited right here, and cancelled with the caller
        try:
            while self._sink is not None and self._sink.quiet and not task.done():
                done_now, _ = await asyncio.wait({task}, timeout=self._sink.quiet)
                if not done_now:
                    self._sink.keep_alive()
            return await task
        finally:
            if not task.done():
                task.cancel()

    def completion(self, usage: Mapping[str, Any]) -> Json:
        """All rounds as one completion, with the last round's finish_reason. Called once, at the end."""
        assert self._latest is not None
        self._latest.close()
        made = self._total.result(self._call.model)
        choices = dicts_of(made.get("choices"))
        if choices and self._events:
            dict_of(choices[0].get("message"))[MEMBER] = Activity(self._events)
        return {**made, "usage": self.counted(usage)}

    def counted(self, usage: Mapping[str, Any]) -> Json:
        """The usage to show, with the searches in it, which are billed as fees."""
        if not self._executor.searches:
            return dict(usage)
        return {**usage, "server_tool_use_details": {"web_search_requests": self._executor.searches}}


async def _all(work: Any) -> None:
    async with asyncio.TaskGroup() as group:
        for one in work:
            group.create_task(one)


class LoopedCall:
    """The caller's side of a call with a loop; implements `InboundCall`."""

    def __init__(self, loop: ToolLoop, inbound: InboundCall) -> None:
        self._loop = loop
        self._inbound = inbound

    def relay(self, watch: Watch | None, dialect: Dialect = "chat") -> RoundRelay:
        """A fresh encoder for this request's stream."""
        return self._loop.relay(watch)

    def whole(self, answer: Answer) -> dict[str, Any] | RawAnswer:
        """See `InboundCall`: of all rounds, not of the last."""
        made = self._loop.completion(answer.usage or {})
        return self._inbound.whole(replace(answer, body=made, dialect="chat", usage=made["usage"]))
