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

from gateway.call import Call, Form
from gateway.dialect import Relay, Watch, bearer
from gateway.errors import CallerFault, Fault, Refusal
from gateway.provider import dialects_at
from gateway.responses.history import conversation_of, load_earlier, load_references
from gateway.responses.relays import BridgeRelay, NativeStream
from gateway.responses.running import RunningResponse, Tape
from gateway.responses.services import ResponsesServices
from gateway.stores import StoredResponse
from gateway.wire.bridge.messages import MessageBuilder
from gateway.wire.bridge.reply import response_from_chat
from gateway.wire.bridge.request import Abilities, ChatForm, chat_from_responses
from gateway.wire.bridge.stream import BridgeStream
from gateway.wire.bridge.truncate import truncate
from gateway.wire.chat.request import validate_chat
from gateway.wire.errors.render import error_bytes
from gateway.wire.responses.items import canonical_items
from gateway.wire.responses.native import native_request, native_response
from gateway.wire.responses.objects import new_response, usage_from_chat
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

_HELLO = [{"role": "user", "content": "."}]


class ResponsesDialect:
    """OpenAI's `POST /responses`."""

    name = "responses"

    def __init__(self, services: ResponsesServices) -> None:
        self._services = services

    def credential(self, headers: Mapping[str, str], query: Mapping[str, str]) -> str:
        """See `InboundDialect`."""
        return bearer(headers)

    def open(self, call: Call, body: dict[str, Any], values: Mapping[str, str]) -> ResponsesCall:
        """See `InboundDialect`."""
        check_request(body)
        call.model = body.get("model") or ""
        call.stream = body.get("stream") is True
        return ResponsesCall(call, body, self._services)

    def error_body(self, fault: Fault, request_id: str) -> bytes:
        """See `InboundDialect`."""
        return error_bytes(fault, request_id)


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


class ResponsesCall:
    """One request; implements `gateway.dialect.StatefulInboundCall`."""

    def __init__(self, call: Call, body: Json, services: ResponsesServices) -> None:
        self._call = call
        self._services = services
        self._request = body
        self.id = "resp_" + secrets.token_hex(20)
        self.store = services.settings.store and body.get("store") is not False
        self.background = body.get("background") is True
        self.wants_stream = call.stream
        self._items: list[Json] = []
        self._form: ChatForm | None = None
        self._relay: BridgeRelay | NativeStream | None = None
        self._final: Json | None = None
        self._tape: Tape | None = None
        self._kept = False
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
        """See `StatefulInboundCall`."""
        call, request, services = self._call, self._request, self._services
        request["store"] = self.store
        if self.background and services.live.count_background(self.account_id) >= services.settings.max_background:
            raise Refusal(
                f"This account has {services.settings.max_background} background responses running "
                "(responses.max_background); wait for one to end.",
                status=429,
                type="rate_limit",
                code="too_many_background_responses",
                retry_after=5.0,
            )
        self._check_count(request.get("input"))
        earlier = await load_earlier(services, self.account_id, request)
        references = await load_references(services, self.account_id, request, earlier)
        self._items = canonical_items(request.get("input"), earlier=earlier, references=references)
        native = [
            "responses" in dialects_at(services.find_provider(target.provider), target) for target in call.candidates
        ]
        if self.background:
            # Always streamed from upstream: so it can be followed, cancelled, and billed for what it came to.
            call.stream = request["stream"] = True
        self._form = form = self._chat_form(earlier, any(native))
        call.body = form.body
        call.forms = {"chat": Form(form.body, form.dropped, _hosted_fault(form, request.get("tools") or ()))}
        if any(native):
            body, dropped = native_request(request, self._items, earlier=earlier)
            call.forms["responses"] = Form(body, dropped)
        elif (fault := call.forms["chat"].fault) is not None:
            raise fault

    def _check_count(self, given: Any) -> None:
        most = self._services.settings.max_items
        if isinstance(given, list) and len(given) > most:
            raise CallerFault(f"input: more than {most} items (responses.max_items).", param="input")

    def _chat_form(self, earlier: Sequence[Mapping[str, Any]], native: bool) -> ChatForm:
        request = self._request
        if native and request.get("prompt") is not None:
            # Known upstream only; what it adds to the input cannot be counted here.
            request = {key: value for key, value in request.items() if key != "prompt"}
        abilities = self._abilities()
        form = chat_from_responses(request, self._items, earlier=earlier, abilities=abilities)
        form.body.pop("prompt", None)
        if request.get("truncation") != "auto":
            return form
        limits = [target.context - (target.max_output or 0) for target in self._call.candidates if target.context]
        if not limits or estimate_input_tokens(form.body) <= min(limits):
            return form

        def size(items: Sequence[Mapping[str, Any]]) -> int:
            builder = MessageBuilder(custom_tools=abilities.custom_tools, tool_media=abilities.tool_media)
            return estimate_input_tokens({"messages": builder.build(items)}) - EXPECTED.base

        frame = estimate_input_tokens(chat_from_responses(request, [], abilities=abilities).body)
        kept, _ = truncate([*earlier, *self._items], size, min(limits) - frame)
        return chat_from_responses(request, kept, abilities=abilities)

    def _abilities(self) -> Abilities:
        """What every candidate that is spoken to in chat understands."""
        common: set[str] | None = None
        for target in self._call.candidates:
            provider = self._services.find_provider(target.provider)
            if "responses" not in dialects_at(provider, target):
                own = set(getattr(provider, "understands", ()))
                common = own if common is None else common & own
        has = common or set()
        return Abilities(
            custom_tools="custom_tools" in has, allowed_tools="allowed_tools" in has, tool_media="tool_media" in has
        )

    # -- during ------------------------------------------------------------------------------------------------

    def begun(self, status: str = "in_progress") -> Json:
        """The response object at its beginning."""
        call = self._call
        return new_response(self._request, response_id=self.id, model=call.model, now=call.created, status=status)

    def relay(self, watch: Watch | None) -> Relay:
        """See `InboundCall`."""
        taken = None if self._tape is None else self._tape.write
        if self._call.answered_in == "responses":
            self._relay = NativeStream(self.begun(), watch, taken)
            return self._relay
        form = self._form
        stream = BridgeStream(
            self._request,
            response_id=self.id,
            model=self._call.model,
            now=self._call.created,
            emulated=form.tools.emulated if form is not None else (),
            background=self.background,
        )
        self._relay = BridgeRelay(stream, watch, self._services.clock, taken)
        return self._relay

    def whole(self, completion: dict[str, Any]) -> dict[str, Any]:
        """See `InboundCall`."""
        usage = completion.get("usage")
        if self._call.answered_in == "responses":
            final = native_response(completion, self.begun())
            if isinstance(usage, dict) and "prompt_tokens" in usage:
                final["usage"] = usage_from_chat(usage)
        else:
            final = response_from_chat(
                completion,
                self._request,
                response_id=self.id,
                model=self._call.model,
                now=self._services.clock(),
                created=self._call.created,
                emulated=self._form.tools.emulated if self._form is not None else (),
                usage=usage,
            )
        self._final = final
        return final

    # -- running -----------------------------------------------------------------------------------------------

    def run(self, stop: Callable[[Fault], None] | None) -> None:
        """See `StatefulInboundCall`."""
        if self.store:
            self._tape = Tape(self._services.settings.live_events)
            self._services.live.add(
                RunningResponse(self.id, self.account_id, self._tape, self.snapshot, stop, self._add_up)
            )

    def abandon(self) -> None:
        """See `StatefulInboundCall`."""
        self._services.live.discard(self.id)
        if self._tape is not None:
            self._tape.end()

    @property
    def tape(self) -> Tape:
        """The events of a background response."""
        assert self._tape is not None
        return self._tape

    def snapshot(self) -> Json:
        """The response as it stands."""
        if self._final is not None:
            return self._final
        return self.begun() if self._relay is None else self._relay.response

    def _add_up(self, most: int) -> bool:
        return self._final is None and self._relay is not None and self._relay.add_up(most)

    # -- after -------------------------------------------------------------------------------------------------

    async def keep(self, *, events: bytes = b"") -> None:
        """See `StatefulInboundCall`. events: what was streamed, for whoever takes the stream up later."""
        kept, self._kept = self._kept, True
        try:
            if not self.store or kept:
                return
            final = self._final if self._relay is None else self._relay.response
            if final is None:
                return
            self._final = final
            await self._save(final, events=events)
        except Fault as fault:
            # The answer is paid for, and told. Whoever continues it is told plainly that it is not there.
            if self._final is not None:
                self._final["store"] = False
            level = logging.INFO if isinstance(fault, CallerFault) else logging.ERROR
            more = {"request_id": self._call.id}
            self._services.log.log(level, "response %s was not kept: %s", self.id, fault, extra=more)
        finally:
            self.abandon()

    def fail(self, fault: Fault) -> None:
        """End the stream of a background response with `fault`."""
        if self._relay is None:
            self.relay(None)
        assert self._relay is not None
        self._relay.fail(fault, self._call.id)

    def stop(self, usage: Mapping[str, Any]) -> None:
        """End the stream as cancelled; see `BridgeRelay.cancel`."""
        if self._relay is None:
            self.relay(None)
        assert self._relay is not None
        self._relay.cancel(usage)

    async def keep_left(self, found: Relay | dict[str, Any] | None, whole: bool, usage: Mapping[str, Any]) -> None:
        """See `StatefulInboundCall`: an answer that came whole is kept as it is, what broke off as cancelled."""
        if isinstance(found, dict):
            self.whole({**found, "usage": dict(usage)})
            await self.keep()
            return
        relay = self._relay
        if found is None or relay is None:
            self._relay = None
        elif whole:
            relay.finish(usage)
        else:
            relay.cancel(usage)
        await self.keep(events=self.taped())

    def taped(self) -> bytes:
        """The events that were streamed so far, as far as they are kept."""
        return b"" if self._tape is None else self._tape.whole

    async def begin_background(self) -> Json:
        """Write down that it runs; returns the object to answer with."""
        await self._save(self.begun(), running=True)
        return self.begun("queued")

    async def _save(self, response: Json, *, running: bool = False, events: bytes = b"") -> None:
        services = self._services
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
                conversation_id=conversation_of(self._request),
                background=self.background,
                running=running,
                events=await asyncio.to_thread(zlib.compress, events, 1) if events else b"",
            ),
            most=services.settings.max_stored,
        )


def _hosted_fault(form: ChatForm, tools: Sequence[Mapping[str, Any]]) -> CallerFault | None:
    """Tools that a server runs, on an upstream that has no such server."""
    if not form.tools.hosted:
        return None
    kind = form.tools.hosted[0].get("type")
    path = f"tools[{next(index for index, tool in enumerate(tools) if tool.get('type') == kind)}]"
    return CallerFault(
        f"{path}: {str(kind)[:100]!r} is a built-in tool that this model does not have; "
        "leave it out, or offer a function instead.",
        code="unsupported_tool",
        param=path,
    )
