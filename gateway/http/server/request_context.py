"""What a handler knows of its request, and how answers are made."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import orjson

from gateway.aside import SMALL
from gateway.call import Call, Caller, Target
from gateway.config.limits import BodyLimits
from gateway.dialect import InboundDialect, RawAnswer, bearer, own_credential
from gateway.errors import Fault, Refusal
from gateway.generation import Runtime
from gateway.http import web
from gateway.http.server.body_coding import coding_of, inflate_body
from gateway.http.server.connection import SERVER
from gateway.http.server.cors import cors_headers
from gateway.http.server.flight import Flight
from gateway.http.server.request_reading import JSON_TYPES, parse_body, read_body, remote_address
from gateway.http.server.router import API_PREFIXES
from gateway.http.server.sessions import SignedIn, check_forgery, find_signed_in, session_token
from gateway.logs import BodyCopy
from gateway.provider import Provider, UpstreamReply, UpstreamRequest
from gateway.runner.lifecycle import CallRunner
from gateway.runtime import Gateway
from gateway.wire.dropped import LONGEST_TEXT
from gateway.wire.errors.render import error_bytes, fault_headers
from gateway.wire.json_body import parse_json
from gateway.wire.multipart import FORM, Field, body_of_form, read_form
from gateway.wire.validators import Validator

JSON_TYPE = "application/json"
SMALL_BODY = BodyLimits(max_body=128 * 1024, grace=20.0, min_rate=1024)
"""Of routes that take a form and no content: metadata, sixteen pairs of escaped text, is 108 KiB at most."""
_SMALL_DEPTH = 8
SSE_TYPE = "text/event-stream; charset=utf-8"
IDEMPOTENCY_KEY = "Idempotency-Key"
T = TypeVar("T")

_FOR_SESSIONS = frozenset(
    prefix + path
    for prefix in API_PREFIXES
    for path in ("/chat/completions", "/responses", "/models", "/explain", "/images/generations", "/audio/speech")
)
"""Routes of the API, besides all under `/account/`, that somebody who is signed in may use without a key."""

NOT_FOR_PLUGINS = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key", "x-goog-api-key"})
"""Headers that carry credentials, in any dialect."""


class CallServer(Protocol):
    """What answers model calls in a way of its own."""

    async def serve(self, context: RequestContext, dialect: InboundDialect) -> web.StreamResponse: ...


@dataclass(slots=True, eq=False)
class RequestContext:
    """One HTTP request on its way through a handler. Plugins see of it what `gateway.hookspecs.RequestContext` names.

    runtime: the configuration generation that serves it, whatever is reloaded meanwhile.
    template, values: the route's template, and the values of its places.
    dialect: in which errors are told, None for OpenAI's.
    call, runner: set once the handler has made them.
    task: in which the handler runs.
    interrupted: set before that task is cancelled by the gateway itself (drain time is over), to tell that from a
        caller who left.
    keyed: what answers requests with an `Idempotency-Key`.
    signed_in: who asks, when a session's cookie said it instead of a key; known once the caller is identified.
    streamed: the copy of a streamed answer, where bodies are logged.
    flight: what of this request lies in memory.
    server: what answers a model call instead of making it; None nearly always.
    """

    gateway: Gateway
    runtime: Runtime
    request: web.BaseRequest
    id: str
    started: float
    template: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    dialect: InboundDialect | None = None
    call: Call | None = None
    runner: CallRunner | None = None
    task: asyncio.Task[Any] | None = None
    interrupted: Fault | None = None
    keyed: CallServer | None = None
    signed_in: SignedIn | None = None
    streamed: BodyCopy | None = None
    flight: Flight | None = None
    _size: int = 0
    server: CallServer | None = None

    def interrupt(self, fault: Fault) -> None:
        """End this request with `fault`, wherever its handler is, and what goes on of its call without the handler."""
        if self.interrupted is None and self.task is not None:
            self.interrupted = fault
            if self.runner is not None:
                self.runner.interrupt(fault)
            self.task.cancel()

    def new_call(self, dialect: InboundDialect | None = None) -> Call:
        """The call of this request, whose body is not read yet. dialect: how the caller speaks, so also how errors are
        told; None for OpenAI's ways."""
        headers = {name.lower(): value for name, value in self.request.headers.items()}
        told = {name: value for name, value in headers.items() if name not in NOT_FOR_PLUGINS}
        self.dialect = dialect
        config = self.runtime.config
        return Call(
            id=self.id,
            route=self.template,
            dialect="chat",
            body={},
            model="",
            stream=False,
            headers=told,
            authorization=own_credential(
                bearer(headers) if dialect is None else dialect.credential(headers, self.request.query),
                headers,
                config.keys.prefix,
            ),
            remote=remote_address(self.request, config.server.trusted_proxies),
            started=self.started,
            created=int(time.time()),
            strict=config.strict or ("x-gateway-strict" in headers and _is_on(headers["x-gateway-strict"])),
        )

    @property
    def query(self) -> Mapping[str, str]:
        """The parameters of the address, decoded."""
        return self.request.query

    def header(self, name: str) -> str | None:
        """A header of the request, by its name in any case; None when it is not there."""
        return self.request.headers.get(name)

    async def identify(self, dialect: InboundDialect | None = None) -> Call:
        """The call of this request, with its caller, before its body is read. Raises Refusal(401)."""
        call = self.new_call(dialect)
        await self.begin(call).identify()
        return call

    async def check_access(self) -> None:
        """Let the policies decide whether this caller may ask, as for a request that calls no model; identifies the
        caller, unless that was done. Raises Refusal."""
        runner = self.runner or self.begin(self.new_call(self.dialect))
        await runner.check_access()
        self._account_for(runner.call)

    async def find_caller(self) -> Caller:
        """Who asks, of a request that calls no model, once the policies have let it pass. Raises Refusal."""
        await self.check_access()
        assert self.call is not None
        assert self.call.caller is not None
        return self.call.caller

    def _account_for(self, call: Call) -> None:
        """From now on what is in flight for this request is its account's. Raises Fault (503, 429)."""
        if self.flight is not None and call.caller is not None:
            self.flight.account = call.caller.account_id
            self.flight.check()

    def resolve(self, call: Call) -> None:
        """Find what `call.model` may lead to: sets its public id and `call.candidates`. Raises CallerFault 404."""
        resolution = self.runtime.catalog.resolve(call.model or None, call.operation)
        call.model = resolution.model
        call.candidates = resolution.candidates

    def models(self) -> list[dict[str, Any]]:
        """The public entries of all models and aliases that this caller may call, as in `GET /models`."""
        entries = self.runtime.catalog.public_list()
        caller = self._restricted()
        if caller is None:
            return entries
        candidates = self.runtime.catalog.candidates
        return [entry for entry in entries if caller.may_call(entry["id"], candidates(entry["id"]))]

    def model(self, name: str) -> dict[str, Any]:
        """One of them. Raises CallerFault 404."""
        catalog, caller = self.runtime.catalog, self._restricted()
        if caller is not None and not caller.may_call(name, catalog.candidates(name)):
            raise catalog.not_found(name, hints=False)
        return catalog.public_one(name)

    def _restricted(self) -> Caller | None:
        caller = None if self.call is None else self.call.caller
        return caller if caller is not None and caller.models is not None else None

    def provider(self, target: Target) -> Provider:
        """The instance that serves a target."""
        return self.runtime.provider(target.provider)

    async def exchange(self, request: UpstreamRequest, *, seconds: float, most: int) -> UpstreamReply:
        """Send one request that is no model call, and wait for the whole answer; see `Runtime.exchange`."""
        return await self.runtime.exchange(request, seconds=seconds, most=most)

    def begin(self, call: Call) -> CallRunner:
        """The runner of this request's call."""
        self.call = call
        self.runner = self.runtime.runner(call)
        if not call.authorization and "Cookie" in self.request.headers and self._takes_sessions():
            self.runner.known = self._session_caller
        return self.runner

    def _takes_sessions(self) -> bool:
        in_reach = self.template in _FOR_SESSIONS or self.template.startswith("/account/")
        return in_reach and session_token(self.request) != ""

    async def _session_caller(self) -> Caller:
        """The account that is signed in. Raises Refusal 401 and 403."""
        signed_in = await find_signed_in(self.request, self.gateway.stores)
        if signed_in is None:
            raise Refusal("Your session has ended. Sign in again.", status=401, code="session_ended")
        check_forgery(self.request, self.runtime.config, signed_in)
        self.signed_in = signed_in
        return signed_in.caller

    def was_interrupted(self) -> Fault | None:
        """To be asked by whoever catches CancelledError: the fault to answer with, None when the caller left."""
        if self.interrupted is not None and self.task is not None:
            self.task.uncancel()
        return self.interrupted

    def headers(self) -> dict[str, str]:
        """The headers of every answer: the request id, and what the chain and the relay had to say."""
        headers = {"x-request-id": self.id, "server": SERVER}
        if self.gateway.leaving:
            headers["connection"] = "close"
        headers |= cors_headers(self.request, self.runtime.config.server.cors_origins)
        own_name = getattr(self.dialect, "request_id_header", "")
        if own_name:
            headers[own_name] = self.id
        if self.call is not None:
            told = self.call.progress
            for name, value in told.answer_headers.items():
                headers[name] = _one_line(value)
            if told.target is not None:
                headers["x-gateway-model"] = told.target.model
                if told.target.model in self.runtime.demo:
                    headers["x-gateway-demo"] = "true"
            if told.dropped:
                headers["x-gateway-dropped-params"] = _one_line(told.dropped.text())
            if told.cost is not None:
                headers["x-gateway-cost"] = str(told.cost)
        return headers

    async def read_json(self) -> dict[str, Any]:
        """The request's body, a JSON object. Raises CallerFault 400, 408, 413, 415."""
        raw = await self._read(JSON_TYPES, self.runtime.body_limits)
        return await parse_body(raw, self.runtime.config.server, self.gateway.aside)

    async def read_small(self) -> dict[str, Any]:
        """`read_json` of a route whose body is a small form, whatever the configuration lets contents be."""
        return parse_json(await self._read(JSON_TYPES, SMALL_BODY), max_depth=_SMALL_DEPTH)

    async def read_form(self) -> list[Field]:
        """The request's body, the parts of a form (`multipart/form-data`). Raises CallerFault 400, 408, 413, 415."""
        raw = await self._read((FORM,), self.runtime.form_limits)
        if self.flight is not None:
            self.flight.take(len(raw))  # once as its files, once as it goes out to a provider
        return await self.aside(read_form, self.request.headers.get("Content-Type", ""), raw)

    async def read_body_for(self, dialect: InboundDialect) -> dict[str, Any]:
        """The body of a model call: a JSON object, or what a form says in its place where the dialect takes forms."""
        form: Mapping[str, Validator] | None = getattr(dialect, "form", None)
        if form is None or self.request.content_type.lower() != FORM:
            return await self.read_json()
        return body_of_form(await self.read_form(), form)

    async def _read(self, types: Sequence[str], limits: BodyLimits) -> bytes:
        if self.call is not None:
            self._account_for(self.call)
        coding = coding_of(self.request.headers)
        take = None if self.flight is None else self.flight.take
        raw = await read_body(self.request, limits, take, types=types, coded=bool(coding))
        if coding:
            raw = await inflate_body(raw, coding, limits.max_body)
        self.log_body("request body", raw)
        self._size = len(raw)
        if self.call is not None:
            self.call.size = len(raw)
        return raw

    async def aside(self, work: Callable[..., T], *given: Any) -> T:
        """What `work(*given)` returns or raises, beside the event loop when the request's body is big."""
        return work(*given) if self._size <= SMALL else await self.gateway.aside(self._size, work, *given)

    def copy_stream(self) -> BodyCopy | None:
        """Takes a copy of the streamed answer, where bodies are logged."""
        self.streamed = self.gateway.body_copy(self.runtime.config)
        return self.streamed

    def log_body(self, what: str, body: bytes | Callable[[], bytes]) -> None:
        """Log the body of a model call, or of its answer, where the operator wants that. Other routes have secrets in
        their bodies by design, such as a new key, and are never logged."""
        copy = self.gateway.body_copy(self.runtime.config) if self.dialect is not None else None
        if copy is not None:
            copy.write(body if isinstance(body, bytes) else body())
            self.gateway.record_body(self.id, what, copy)

    def log_answer(self, response: web.StreamResponse | None) -> None:
        """`log_body` of the answer, as far as it was sent."""
        if self.streamed is not None and self.streamed.size:
            self.gateway.record_body(self.id, "answer body", self.streamed)
        elif isinstance(response, web.Response) and isinstance(response.body, bytes):
            self.log_body("answer body", response.body)

    def json(self, value: Any, status: int = 200) -> web.Response:
        """A JSON answer."""
        return web.Response(
            status=status, body=orjson.dumps(value), headers={**self.headers(), "content-type": JSON_TYPE}
        )

    def whole(self, answer: dict[str, Any] | RawAnswer) -> web.Response:
        """A whole answer, JSON or not."""
        if not isinstance(answer, RawAnswer):
            return self.json(answer)
        return web.Response(body=answer.content, headers={**self.headers(), "content-type": answer.media_type})

    def error(self, fault: Fault) -> web.Response:
        """The answer that `fault` makes."""
        say = getattr(self.dialect, "error_stream", None)
        if say is not None and self.call is not None and self.call.stream:
            stream = say(fault, self.id, {name.lower(): value for name, value in self.request.headers.items()})
            if stream is not None:
                headers = {**self.headers(), **fault_headers(fault), "content-type": SSE_TYPE}
                return web.Response(status=200, body=stream, headers=headers)
        headers = {**self.headers(), **fault_headers(fault), "content-type": JSON_TYPE}
        body = error_bytes(fault, self.id) if self.dialect is None else self.dialect.error_body(fault, self.id)
        response = web.Response(status=fault.status, body=body, headers=headers)
        if headers.get("connection") == "close":
            response.force_close()
        return response


def _is_on(value: str) -> bool:
    return value.lower() in ("1", "true")


def _one_line(value: str) -> str:
    """Header text that plugins wrote, maybe of what callers sent: a line end in it would break the whole answer, and
    proxies refuse headers beyond a few kilobytes."""
    if len(value) > LONGEST_TEXT:
        value = value[:LONGEST_TEXT]
    return value if value.isprintable() else "".join(char if char.isprintable() else " " for char in value)
