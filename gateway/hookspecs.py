"""Every hook of the gateway, on one page.

A plugin is a module, a class (one instance is made per gateway) or an object whose methods bear these names and
are marked with `gateway.api.hookimpl`. A hook takes any subset of the arguments given here. pluggy registers,
names and checks; at start-up each phase is compiled into a tuple of plain callables that a request then meets in
the order of `pipeline:` in the YAML. Which hooks are `async def` is part of the contract and is checked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pluggy

from gateway.aside import Aside
from gateway.call import BilledRound, Call, Caller, Outcome, Target
from gateway.dialect import InboundDialect
from gateway.errors import Fault
from gateway.payments import PaymentKind
from gateway.provider import Provider, ProviderKind, UpstreamReply, UpstreamRequest
from gateway.stores import CountersKind, Stores, StoresKind
from gateway.text_filter import MakeFilter
from gateway.tools import PageReader, SearchKind, ServerTool

if TYPE_CHECKING:
    from pydantic import BaseModel

    from gateway.wire.openapi import Operation

PROJECT = "gateway"
T = TypeVar("T")

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

ASYNC_HOOKS = frozenset(
    {
        "start_up",
        "shut_down",
        "identify_caller",
        "count_request",
        "authorize_call",
        "admit_call",
        "choose_targets",
        "admit_round",
        "admit_fees",
        "extend_call",
        "finish_call",
    }
)
"""The hooks that must be `async def`; all others must not."""


class App(Protocol):
    """What a plugin sees of the gateway it runs in; given to `start_up` and `shut_down`."""

    @property
    def config(self) -> Any:
        """The frozen configuration (`gateway.config.Config`)."""

    @property
    def stores(self) -> Stores:
        """Accounts, keys, ledger, usage and counters."""

    def section(self, name: str) -> Any:
        """The plugin's own validated section: an instance of the model its `config_model` returned."""

    def provider(self, name: str) -> Any:
        """The provider instance with this name; KeyError when there is none."""

    def spawn(self, work: Awaitable[None], name: str) -> None:
        """Run `work` in a task that the process owns and awaits before it ends."""

    @property
    def aside(self) -> Aside:
        """Runs work on big inputs beside the event loop: `await app.aside(call.size, work, *arguments)`."""


class RequestContext(Protocol):
    """One HTTP request, as the handler of a plugin's route is given it.

    dialect: in which errors are told from now on; None for OpenAI's. It is set by `identify`, too.
    values: what stands in the places of the route's template. A handler may set both before it passes the request on.
    """

    dialect: InboundDialect | None
    values: Mapping[str, str]

    @property
    def query(self) -> Mapping[str, str]:
        """The parameters of the address, decoded."""

    def header(self, name: str) -> str | None:
        """A header of the request, by its name in any case; None when it is not there."""

    async def identify(self, dialect: InboundDialect | None = None) -> Call:
        """The call of this request, with its caller, before its body is read. Raises Refusal(401)."""

    async def read_json(self) -> dict[str, Any]:
        """The body, a JSON object, within the limits of the configuration. Raises CallerFault."""

    def resolve(self, call: Call) -> None:
        """Find what `call.model` may lead to: sets its public id and `call.candidates`. Raises CallerFault 404."""

    async def check_access(self) -> None:
        """Let the policies decide whether this caller may ask, as for a request that calls no model; identifies the
        caller, unless that was done. Raises Refusal."""

    async def aside(self, work: Callable[..., T], *given: Any) -> T:
        """What `work(*given)` returns or raises, beside the event loop when the request is big: for whatever takes
        time by its body."""

    def models(self) -> list[dict[str, Any]]:
        """The public entries of all models and aliases, as in `GET /models`."""

    def model(self, name: str) -> dict[str, Any]:
        """One of them. Raises CallerFault 404."""

    def provider(self, target: Target) -> Provider:
        """The instance that serves a target."""

    async def exchange(self, request: UpstreamRequest, *, seconds: float, most: int) -> UpstreamReply:
        """Send one request that is no model call over the upstream connections, and wait for the whole answer, whatever
        its status: at most `seconds` and `most` bytes. Raises UpstreamFault."""

    def json(self, value: Any, status: int = 200) -> Any:
        """A JSON answer, for the handler to return, with the headers that every answer has."""

    def error(self, fault: Fault) -> Any:
        """The answer that a fault makes, in the request's dialect. A handler may as well raise the fault."""


Handler = Callable[..., Awaitable[Any]]


class Router(Protocol):
    """Takes routes; `template` is a path such as `/things/{id}` or `/things/{rest...}`, matched below every API
    prefix (`/v1`, `/api/v1`), or at the root with `api=False`. operations: what the route takes and answers, for
    `GET /openapi.json`; several where it tells them apart by the path itself. A handler that replaces another, and says
    nothing of its own, keeps that one's."""

    def add(self, method: str, template: str, handler: Handler, *operations: Operation, api: bool = True) -> None:
        """Let `await handler(context)` answer; `context` is the `RequestContext` of this request."""

    def add_dialect(
        self, method: str, template: str, dialect: InboundDialect, *operations: Operation, api: bool = True
    ) -> None:
        """Let the route take model calls in another dialect, through the same chain and bill."""

    def serving(self, method: str, template: str, *, api: bool = True) -> Handler | None:
        """What serves a route so far: for a plugin that answers some of its requests and passes the others on."""


@hookspec
def register_providers(register: Callable[[ProviderKind], None]) -> None:
    """Offer kinds of providers. Sync, at start-up."""


@hookspec
def register_stores(register: Callable[[StoresKind], None]) -> None:
    """Offer kinds of databases (`gateway.api.stores`); the scheme of `database.url` chooses one. Sync, at
    start-up."""


@hookspec
def register_counters(register: Callable[[CountersKind], None]) -> None:
    """Offer places for rate windows apart from the store (`gateway.api.stores`); the scheme of `counters.url` chooses
    one. Sync, at start-up."""


@hookspec
def register_payments(register: Callable[[PaymentKind], None]) -> None:
    """Offer kinds of payment services, by which users buy credits. Sync, at start-up."""


@hookspec
def register_tools(register: Callable[[ServerTool], None]) -> None:
    """Offer tools that the gateway runs, in requests of every dialect and for every model. Sync, at start-up."""


@hookspec
def register_search(register: Callable[[SearchKind], None], register_reader: Callable[[PageReader], None]) -> None:
    """Offer kinds of search services, and what makes readable text of web pages. Sync, at start-up."""


@hookspec
def register_routes(router: Router) -> None:
    """Add HTTP routes, with the `Operation`s that say in `GET /openapi.json` what they take and answer. Sync, with the
    first request. A plugin whose routes replace none of `POST /chat/completions`, `/healthz`, `/readyz` and `/metrics`
    may say `routes_can_wait = True`: it is called, on a thread, with the first request for another path."""


@hookspec
def config_model() -> type[BaseModel] | None:
    """The pydantic model of the plugin's own top-level section in the YAML. Sync, at start-up."""


@hookspec
def start_up(app: App) -> None:
    """Async. The gateway is about to serve; open what the plugin needs."""


@hookspec
def shut_down(app: App) -> None:
    """Async, in reverse order. The gateway has stopped serving; close what the plugin opened."""


@hookspec(firstresult=True)
def identify_caller(call: Call) -> Caller | None:
    """Async. Who calls? The first answer that is not None counts.
    A credential that is known but not good raises `Refusal(status=401)`."""


@hookspec
def count_request(call: Call, generates: bool) -> None:
    """Async. A request whose caller is known and of whose body nothing was read yet; whatever it asks for. generates:
    it calls a model, so `admit_call` may follow. `Refusal` with 429 says no before anything was spent on it."""


@hookspec
def authorize_call(call: Call) -> None:
    """Async, without side effects. May this caller make this call at all? `Refusal(status=403)` says no."""


@hookspec
def admit_call(call: Call) -> None:
    """Async. May reserve (rate, credits), cheapest first. `Refusal` with 429 or 402 says no; whatever was
    reserved before is released in `finish_call`, which runs for every call that reached this phase."""


@hookspec(firstresult=True)
def choose_targets(call: Call) -> Sequence[Target] | None:
    """Async. The targets to try, in order, out of `call.candidates`. The first answer that is not None counts."""


@hookspec
def filter_answer(call: Call) -> MakeFilter | None:
    """Sync, once for each admitted chat call. What makes a filter for each text of the answer, in streams too, and in
    every dialect; None lets the answer pass as it is. Filters run in plugin order. Such a call is spoken in chat
    to every target, and its thoughts can no longer be given back to the model. Arguments of functions are not text."""


@hookspec
def before_dispatch(call: Call, target: Target, headers: dict[str, str]) -> None:
    """Sync, right before each request for this call goes out to an upstream (`call.attempts` counts them).
    headers: what is put in (names in lower case) goes with it, unless the provider sets a header of that name."""


@hookspec
def admit_round(call: Call, billed: Sequence[BilledRound]) -> None:
    """Async. A call that was admitted is about to send a further request to a model. call: a copy with the body of that
    round, whose `covered` and `max_output` may be set as in `admit_call`; `state` is the call's own. billed: the rounds
    before. Reserves what the round needs besides; `Refusal` ends the call, which is billed for what came before."""


@hookspec
def admit_fees(call: Call, billed: Sequence[BilledRound], fees: int) -> None:
    """Async. The gateway is about to run tools for this call, which then cost `fees` credits in all, beside the rounds
    that were `billed`. Reserves what is not reserved yet; `Refusal` ends the call as in `admit_round`."""


@hookspec
def extend_call(call: Call, tokens: int) -> bool:
    """Async. May a stream go on that has used up much of `call.covered`? Asked well before it is used up, and only when
    a plugin has set it in `admit_call`; that plugin pays for more and raises `call.covered` (None: all is covered now).
    tokens: what would be billed as output if the answer ended here. When one plugin says False and what is covered is
    used up, the gateway ends the answer itself, in good order, with the finish_reason `length`."""
    return True


@hookspec
def watch_event(call: Call, event: Mapping[str, Any]) -> None:
    """Sync, for every chunk of a streamed chat, parsed. Costs nothing as long as no plugin implements it."""


@hookspec
def finish_call(call: Call, outcome: Outcome) -> None:
    """Async, in reverse order, all of them, each guarded; exactly once per call that was identified.
    Settles and logs. Runs before the last byte of the answer leaves. A `GatewayFault` with status 503 says that it
    cannot be written now: the answer ends with an error then, and the hook is asked again until it raises none."""
