"""The Responses API as a dialect at the door.

A request becomes two forms of itself: a chat body for upstreams that speak chat (which is also what is estimated, held
and clamped by), and a Responses body for those that speak Responses. Which of the two goes out is decided per attempt
(`gateway.upstream.translation`), and the answer comes back in the dialect of that attempt.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.call import Call, Form, Target
from gateway.dialect import Relay, StatefulInboundCall, Watch, bearer
from gateway.errors import CallerFault, Fault, too_fast
from gateway.profile import Dialect
from gateway.provider import Answer
from gateway.responses.history import conversation_of, load_earlier, load_references, weight_of
from gateway.responses.relays import BridgeRelay, NativeStream, done_items
from gateway.responses.running import ResponseCancelled, RunningResponse
from gateway.responses.services import ResponsesServices
from gateway.runner.recording import Recording
from gateway.servertools.choose import Abilities as TargetAbilities
from gateway.servertools.choose import split
from gateway.servertools.offer import ToolPlan, make_plan, names_of
from gateway.stores import StoredResponse
from gateway.wire.bridge.reply import response_from_chat
from gateway.wire.bridge.request import Abilities, ChatForm, chat_from_responses, message_builder
from gateway.wire.bridge.stream import BridgeStream
from gateway.wire.bridge.truncate import truncate
from gateway.wire.chat.request import validate_chat
from gateway.wire.errors.render import error_bytes
from gateway.wire.responses.events import encode_events
from gateway.wire.responses.ids import input_seed
from gateway.wire.responses.items import canonical_items
from gateway.wire.responses.native import native_request, native_response
from gateway.wire.responses.objects import item_resources, new_response, shown_usage
from gateway.wire.responses.request import KNOWN, validate_responses
from gateway.wire.tokens import EXPECTED, estimate_input_tokens

Json = dict[str, Any]

_CHAT_ONLY = {
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "response_format": "text.format",
    "reasoning_effort": "reasoning.effort",
    "functions": "tools",
    "function_call": "tool_choice",
    "n": "",
}
"""Members of a chat request that a Responses request says otherwise. Left as they are they would get into the chat
form unchecked, or be ignored by an upstream that speaks Responses."""

_TOLD_IN_STREAM = frozenset({"insufficient_quota", "context_length_exceeded"})
_HELLO = [{"role": "user", "content": "."}]


class ResponsesDialect:
    """OpenAI's `POST /responses`."""

    name = "responses"
    turns = "input"

    def __init__(self, services: ResponsesServices) -> None:
        self._services = services

    def credential(self, headers: Mapping[str, str], query: Mapping[str, str]) -> str:
        """The key of `Authorization: Bearer KEY`; see `InboundDialect`."""
        return bearer(headers)

    def open(self, call: Call, body: dict[str, Any], values: Mapping[str, str]) -> ResponsesCall:
        """Validate a request to `POST /responses`; its hub form is made later (`ResponsesCall.prepare`), because that
        needs what stands before it in the store. Raises CallerFault that names the field."""
        check_request(body)
        call.model = body.get("model") or ""
        call.stream = body.get("stream") is True
        return ResponsesCall(call, body, self._services)

    def error_body(self, fault: Fault, request_id: str) -> bytes:
        """OpenAI's error object; see `InboundDialect`."""
        return error_bytes(fault, request_id)

    def error_stream(self, fault: Fault, request_id: str, headers: Mapping[str, str]) -> bytes | None:
        """For Codex, which repeats a 402 five times, and gives up at a 400 where it could make room: it knows that
        money or window have run out by `response.failed` with the code for it, and by nothing else."""
        if not headers.get("originator", "").startswith("codex") or fault.code not in _TOLD_IN_STREAM:
            return None
        begun = new_response({}, response_id=request_id, model="", now=self._services.clock())
        message = fault.message.encode("utf-8", "replace").decode()
        failed = {**begun, "status": "failed", "error": {"code": fault.code, "message": message}}
        events = [{"type": "response.created", "response": begun}, {"type": "response.failed", "response": failed}]
        return encode_events([{**event, "sequence_number": number} for number, event in enumerate(events)])


def check_request(body: Any) -> None:
    """Is this a request that both forms can be made of? Raises CallerFault that names the field."""
    validate_responses(body)
    for name, instead in _CHAT_ONLY.items():
        if body.get(name) is not None:
            fix = f"; use {instead}" if instead else ""
            raise CallerFault(f"{name}: the Responses API has no such parameter{fix}.", param=name)
    beside = {name: value for name, value in body.items() if name not in KNOWN}
    if beside:
        # What chat knows and Responses does not (`stop`, `seed`) travels on into the chat form: checked like there.
        validate_chat({"messages": _HELLO, **beside}, allow_missing_model=True)


class ResponsesCall(StatefulInboundCall):
    """One request."""

    def __init__(self, call: Call, body: Json, services: ResponsesServices) -> None:
        self._call = call
        self._services = services
        self._request = body
        self.id = "resp_" + secrets.token_hex(20)
        self.store = services.settings.store and body.get("store") is not False
        self.background = body.get("background") is True
        self.wants_stream = call.stream
        self._items: list[Json] = []
        self._told: list[Json] = []  # the items as models are told them
        self._form: ChatForm | None = None
        self._relay: BridgeRelay | NativeStream | None = None
        self._final: Json | None = None
        self._recording: Recording | None = None
        self._kept = False
        self.plan: ToolPlan | None = None
        self.loop_items: list[Json] = []
        self._earlier: Sequence[Mapping[str, Any]] = ()
        if self.background and not self.store:
            raise CallerFault(
                "background: this gateway does not keep responses (responses.store), which background needs.",
                param="background",
            )

    @property
    def account_id(self) -> str:
        """Whose request this is; known once the caller is."""
        caller = self._call.caller
        assert caller is not None
        return caller.account_id

    # -- before ------------------------------------------------------------------------------------------------

    async def prepare(self) -> None:
        """Load what stands before and make the forms of the request; see `StatefulInboundCall`."""
        call, request, services = self._call, self._request, self._services
        await self._look_for_room()
        request["store"] = self.store
        if self.background and services.running.count_background(self.account_id) >= services.settings.max_background:
            raise too_fast(
                f"This account has {services.settings.max_background} background responses running "
                "(responses.max_background); wait for one to end.",
                code="too_many_background_responses",
                retry_after=5.0,
            )
        self._check_count(request.get("input"))
        earlier, call.given_ids = await load_earlier(services, self.account_id, request)
        self._earlier = earlier
        call.size += weight_of(earlier)
        references = await load_references(services, self.account_id, request, earlier)
        await services.aside(call.size, self._make_forms, references)

    def _make_forms(self, references: Mapping[str, Mapping[str, Any]]) -> None:
        call, request, earlier = self._call, self._request, self._earlier
        self._items = canonical_items(request.get("input"), earlier=earlier, references=references)
        sealer = self._services.sealer
        earlier = self._earlier = sealer.expand(self.account_id, earlier)
        self._told = sealer.expand(self.account_id, self._items)
        native = ["responses" in target.profile.dialects for target in call.candidates]
        if self.background:
            # Always streamed from upstream: so it can be followed, cancelled, and billed for what it came to.
            call.stream = request["stream"] = True
        self._form = form = self._chat_form(earlier, any(native))
        call.body = form.body
        self.plan = self._plan_tools(form, any(native))
        if self.plan is not None:
            call.forms = {"chat": Form(form.body, form.dropped, form.fault)}
            return
        fault = form.fault or _hosted_fault(form, request.get("tools") or ())
        call.forms = {"chat": Form(form.body, form.dropped, fault)}
        if any(native):
            body, dropped = native_request(request, self._told, earlier=earlier)
            call.forms["responses"] = Form(body, dropped)
        elif fault is not None:
            raise fault

    async def _look_for_room(self) -> None:
        """Can this response be kept? Raises Refusal for one that must be, and leaves any other unkept."""
        quota, request = self._services.quota, self._request
        if not self.store or await quota.has_room(self.account_id):
            return
        if self.background or request.get("store") is True or conversation_of(request):
            await quota.check(self.account_id, "This response")
        self.store = False
        self._call.answer_headers["x-gateway-not-stored"] = "storage"

    def _check_count(self, given: Any) -> None:
        most = self._services.settings.max_items
        if isinstance(given, list) and len(given) > most:
            raise CallerFault(f"input: more than {most} items (responses.max_items).", param="input")

    def _plan_tools(self, form: ChatForm, native: bool) -> ToolPlan | None:
        """Which of the hosted tools the gateway runs itself; None for none. The others stay in the hub form for targets
        that run them. Raises CallerFault."""
        call, request, toolbox = self._call, self._request, self._services.toolbox
        if not form.tools.hosted:
            return None
        hosted = [
            (f"tools[{at}]", tool)
            for at, tool in enumerate(request.get("tools") or ())
            if any(tool == kept for kept in form.tools.hosted)
        ]
        functions = names_of(form.body.get("tools"))

        def abilities(target: Target) -> TargetAbilities:
            if "responses" in target.profile.dialects:
                return TargetAbilities("yes", all=True)
            return TargetAbilities(target.profile.web_search)

        found = split(toolbox, call, hosted, abilities, functions=bool(functions))
        if not found.own:
            if found.native and not all("responses" in target.profile.dialects for target in call.candidates):
                # The targets search themselves, in chat's words too. That it must be done cannot be said there.
                if form.tools.hosted_choice is not None or (request.get("tool_choice") == "required" and not functions):
                    form.dropped.append("tool_choice")
                form.body.setdefault("tools", []).extend(dict(tool) for _, tool in found.native)
                form.tools.hosted = [dict(tool) for _, tool in found.unknown]
            return None
        demanded = form.tools.hosted_choice is not None or request.get("tool_choice") == "required"
        strict = call.strict or demanded or not functions
        plan = make_plan(toolbox, call, [*found.own, *found.unknown], strict=strict)
        include = request.get("include") or ()
        plan.sources = "web_search_call.action.sources" in include
        plan.results = "web_search_call.results" in include
        plan.most = request.get("max_tool_calls")
        plan.choice = form.tools.hosted_choice
        if found.native:
            form.body.setdefault("tools", []).extend(dict(tool) for _, tool in found.native)
        self.loop_items = [dict(item) for item in (*self._earlier, *self._told)]
        return plan

    def _chat_form(self, earlier: Sequence[Mapping[str, Any]], native: bool) -> ChatForm:
        request = self._request
        if native and request.get("prompt") is not None:
            # Known upstream only; what it adds to the input cannot be counted here.
            request = {key: value for key, value in request.items() if key != "prompt"}
        abilities = self._abilities()
        form = chat_from_responses(request, self._told, earlier=earlier, abilities=abilities)
        form.body.pop("prompt", None)
        if request.get("truncation") != "auto":
            return form
        limits = [target.context - (target.max_output or 0) for target in self._call.candidates if target.context]
        if not limits or estimate_input_tokens(form.body) <= min(limits):
            return form

        def size(items: Sequence[Mapping[str, Any]]) -> int:
            builder = message_builder(abilities)
            return estimate_input_tokens({"messages": builder.build(items)}) - EXPECTED.base

        frame = estimate_input_tokens(chat_from_responses(request, [], abilities=abilities).body)
        kept, _ = truncate([*earlier, *self._told], size, min(limits) - frame)
        return chat_from_responses(request, kept, abilities=abilities)

    def _abilities(self) -> Abilities:
        """What every candidate that is spoken to in chat understands."""
        common: frozenset[str] | None = None
        for target in self._call.candidates:
            if "responses" not in target.profile.dialects:
                own = target.profile.understands
                common = own if common is None else common & own
        has = common or frozenset()
        return Abilities(custom_tools="custom_tools" in has, allowed_tools="allowed_tools" in has)

    # -- during ------------------------------------------------------------------------------------------------

    def begun(self, status: str = "in_progress") -> Json:
        """The response object at its beginning."""
        call = self._call
        return new_response(self._request, response_id=self.id, model=call.model, now=call.created, status=status)

    def relay(self, watch: Watch | None, dialect: Dialect = "chat") -> Relay:
        """A fresh encoder, of chat chunks or of an upstream's own events; see `InboundCall`."""
        taken = None if self._recording is None else self._recording.write
        if dialect == "responses":
            self._relay = NativeStream(self.begun(), watch, taken)
            return self._relay
        form = self._form
        stream = BridgeStream(
            self._request,
            response_id=self.id,
            model=self._call.model,
            now=self._call.created,
            emulated=form.tools.emulated if form is not None else (),
            aliases=form.aliases if form is not None else None,
            background=self.background,
        )
        self._relay = self.bridge_relay(stream, watch, taken)
        return self._relay

    def bridge_relay(
        self, stream: BridgeStream, watch: Watch | None, taken: Callable[[bytes], None] | None
    ) -> BridgeRelay:
        """The encoder of an answer that comes in chat."""
        return BridgeRelay(stream, watch, self._services.clock, taken)

    def whole(self, answer: Answer) -> dict[str, Any]:
        """The response object of a whole answer in either dialect; see `InboundCall`."""
        usage = answer.usage
        if self.plan is not None and self._relay is not None:
            # Rounds and tools were fed to the relay one by one: their order is there, and not in the completion.
            self._relay.finish(usage or {})
            self._final = self._relay.response
            return self._final
        if answer.dialect == "responses":
            final = native_response(answer.body, self.begun())
            if usage is not None:
                final["usage"] = shown_usage(usage)
        else:
            final = response_from_chat(
                answer.body,
                self._request,
                response_id=self.id,
                model=self._call.model,
                now=self._services.clock(),
                created=self._call.created,
                emulated=self._form.tools.emulated if self._form is not None else (),
                aliases=self._form.aliases if self._form is not None else None,
                usage=usage,
                server_items=done_items(answer.body),
            )
        self._final = final
        return final

    # -- running -----------------------------------------------------------------------------------------------

    def run(self, stop: Callable[[Fault], None] | None) -> None:
        """Let callers of `GET /responses/{id}` find it, if it is going to be kept; see `StatefulInboundCall`."""
        if self.store:
            self._recording = recording = Recording(self._services.settings.live_events)
            running = RunningResponse(self.id, self.account_id, recording, self.snapshot, stop, self._add_up)
            self._services.running.add(running)

    def abandon(self) -> None:
        """End the recording of what runs no more; see `StatefulInboundCall`."""
        self._services.running.discard(self.id)
        if self._recording is not None:
            self._recording.end()

    @property
    def recording(self) -> Recording:
        """The events of a response that runs."""
        assert self._recording is not None
        return self._recording

    def snapshot(self) -> Json:
        """The response as it stands."""
        if self._final is not None:
            return self._final
        return self.begun() if self._relay is None else self._relay.response

    def _add_up(self, most: int) -> bool:
        return self._final is None and self._relay is not None and self._relay.add_up(most)

    # -- after -------------------------------------------------------------------------------------------------

    def break_off(self, fault: Fault, usage: Mapping[str, Any]) -> bytes:
        """The events that end the stream as failed, or as cancelled on its owner's wish; see `StatefulInboundCall`."""
        if self._relay is None:
            self.relay(None)
        assert self._relay is not None
        if isinstance(fault, ResponseCancelled):
            return self._relay.cancel(usage)
        return self._relay.fail(fault, self._call.id)

    async def keep(self) -> None:
        """Store the response, once; that of a background one with its events; see `StatefulInboundCall`."""
        await self._keep(with_events=self.background)

    async def keep_left(self, found: Relay | Answer | None, whole: bool, usage: Mapping[str, Any]) -> None:
        """Store what came: an answer that came whole as it is, what broke off as cancelled; see
        `StatefulInboundCall`."""
        if isinstance(found, Answer):
            found.usage = dict(usage)
            self.whole(found)
            await self.keep()
            return
        relay = self._relay
        if found is None or relay is None:
            self._relay = None
        elif whole:
            relay.finish(usage)
        else:
            relay.cancel(usage)
        await self._keep(with_events=True)

    async def _keep(self, *, with_events: bool) -> None:
        """with_events: what was streamed is kept too, for whoever takes the stream up later."""
        kept, self._kept = self._kept, True
        try:
            if not self.store or kept:
                return
            final = self._final if self._relay is None else self._relay.response
            if final is None:
                return
            self._final = final
            recording = self._recording
            await self._save(final, events=recording.whole if with_events and recording is not None else b"")
        except Fault as fault:
            # The answer is paid for, and told. Whoever continues it is told plainly that it is not there.
            if self._final is not None:
                self._final["store"] = False
            level = logging.INFO if isinstance(fault, CallerFault) else logging.ERROR
            more = {"request_id": self._call.id}
            self._services.log.log(level, "response %s was not kept: %s", self.id, fault, extra=more)
        finally:
            self.abandon()

    async def begin_background(self) -> Json:
        """Write down that it runs; returns the object to answer with."""
        await self._save(self.begun(), running=True)
        return self.begun("queued")

    async def _save(self, response: Json, *, running: bool = False, events: bytes = b"") -> None:
        services = self._services
        conversation = conversation_of(self._request)
        grown: Sequence[Mapping[str, Any]] = ()
        if conversation and not running:
            grown = [*item_resources(self._items, input_seed(self.id)), *response["output"]]
        await services.store.save(
            StoredResponse(
                id=self.id,
                account_id=self.account_id,
                status=str(response["status"]),
                created=self._call.created,
                expires=services.expires(),
                request_id=self._call.id,
                input=self._items,
                response=response,
                previous_id=self._request.get("previous_response_id") or "",
                conversation_id=conversation,
                items=grown,
                background=self.background,
                running=running,
                events=await asyncio.to_thread(zlib.compress, events, 1) if events else b"",
            ),
            most=services.settings.max_stored,
        )


def _hosted_fault(form: ChatForm, tools: Sequence[Mapping[str, Any]]) -> CallerFault | None:
    """Tools that a server runs, on an upstream that has no such server. A search that was merely offered is left out
    and reported: agents offer it with every request."""
    demanded = form.tools.hosted_choice is not None
    missing = []
    for tool in form.tools.hosted:
        if str(tool.get("type")).startswith("web_search") and not demanded:
            form.dropped.append(f"{_place(tools, tool)} ({tool['type']})")
        else:
            missing.append(tool)
    if not missing:
        return None
    kind = missing[0].get("type")
    path = _place(tools, missing[0])
    return CallerFault(
        f"{path}: {str(kind)[:100]!r} is a built-in tool that this model does not have; "
        "leave it out, or offer a function instead.",
        code="unsupported_tool",
        param=path,
    )


def _place(tools: Sequence[Mapping[str, Any]], tool: Mapping[str, Any]) -> str:
    """Where in the request a tool of this kind stands."""
    kinds = [given.get("type") for given in tools]
    return f"tools[{kinds.index(tool.get('type'))}]" if tool.get("type") in kinds else "input"
