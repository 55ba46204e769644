"""One request's values: who calls, for which model, where it may go, and how it ended.

Plain slotted values without behaviour beyond arithmetic. Amounts are named by their unit:
credits are integers, prices are `Decimal` credits per token or per event, times are seconds. `Price` and `Usage` are of
`gateway.price`, and stand here for all who know a call.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from typing import Any, Literal, NoReturn

from gateway.errors import CallerFault
from gateway.explanation import Explanation
from gateway.price import Price as Price
from gateway.price import Usage as Usage
from gateway.profile import PLAIN, Dialect, Profile
from gateway.records import AttemptRecord, ToolRecord
from gateway.text_filter import MakeFilter
from gateway.wire.dropped import DroppedParams
from gateway.wire.lenient import matches_any
from gateway.wire.spend_tags import Tags

Basis = Literal["provider", "estimated", "void"]
"""Where the numbers of a bill come from: reported by the provider, counted by us, or nothing to bill."""


@dataclass(slots=True, frozen=True)
class Target:
    """One place a call can be sent to.

    model: the public id, `provider/model`.
    provider: name of the provider instance in the configuration.
    upstream: the model's name at that provider.
    price: None means nobody said what it costs: such a target is refused unless `free`.
    context, max_output: the model's own limits in tokens, None when unknown.
    weight: its share of the requests within its group.
    group: position in the fallback order, from 0: targets of one group share the requests by weight and stand in
        for each other; those of the next group are tried when all of them failed.
    options: free-form per-model settings of the provider plugin (from YAML).
    thinks: it may write output that is billed but not shown (its `supported_parameters` name `reasoning_effort`).
    profile: what it can, as its provider said at start.
    hosted_tools, shared_ids: tools without a price, ids of what is kept there: what the operator lets everybody use.
    """

    model: str
    provider: str
    upstream: str
    price: Price | None = None
    free: bool = False
    context: int | None = None
    max_output: int | None = None
    weight: float = 1.0
    group: int = 0
    input_modalities: tuple[str, ...] = ("text",)
    output_modalities: tuple[str, ...] = ("text",)
    options: Mapping[str, Any] = field(default_factory=dict)
    thinks: bool = False
    profile: Profile = field(default=PLAIN)
    hosted_tools: frozenset[str] = frozenset()
    shared_ids: frozenset[str] = frozenset()


@dataclass(slots=True, frozen=True)
class Caller:
    """The account and key behind a request, as `identify_caller` found them.

    models: allow-list of model ids and patterns such as `openai/*`; None means every model.
    monthly_limit: the key's ceiling in credits per calendar month (UTC), or None.
    requests_per_minute: a limit of this key below the account's, or None.
    account_requests_per_minute: the account's own limit, or None for the configured default.
    key_label: what may be shown and logged of the key: its prefix and last four characters.
    """

    account_id: str
    key_id: str
    key_label: str
    key_name: str = ""
    models: tuple[str, ...] | None = None
    monthly_limit: int | None = None
    requests_per_minute: int | None = None
    account_requests_per_minute: int | None = None

    def may_call(self, model: str, candidates: Sequence[Target]) -> bool:
        """Whether the allow-list names a model, or everything that it may lead to."""
        if self.models is None or matches_any(model, self.models):
            return True
        return bool(candidates) and all(matches_any(target.model, self.models) for target in candidates)


@dataclass(slots=True)
class BilledRound:
    """What one round of a call (one request to a model) is billed for.

    target: the target that answered; rounds of one call may be answered at different prices.
    usage, basis: what to bill, and where the numbers come from.
    """

    target: Target
    usage: Usage
    basis: Basis

    @property
    def charge(self) -> int:
        """In credits; 0 for a target without a price."""
        return self.target.price.charge(self.usage) if self.target.price is not None else 0


@dataclass(slots=True)
class Outcome:
    """How a call ended, handed to every `finish_call`.

    status: the HTTP status the caller saw (499 when the caller left before the end).
    usage, basis: the sum over all rounds, and where the numbers come from.
    target: the target that answered last, None when nothing was dispatched.
    rounds: what is billed, round by round; empty when nothing is. fees: credits for tools that the gateway ran.
    fault_code: the error's `code` or `type` when it failed, "" otherwise.
    finish_reason: of the first choice, "" when unknown.
    first_byte, total: seconds from the request's head to the first byte of the answer, and to its end.
    attempts: how many times a request went out to an upstream.
    client_left: the caller disconnected before the end.
    """

    status: int
    usage: Usage
    basis: Basis
    target: Target | None = None
    fault_code: str = ""
    finish_reason: str = ""
    first_byte: float | None = None
    total: float = 0.0
    attempts: int = 0
    client_left: bool = False
    rounds: tuple[BilledRound, ...] = ()
    fees: Decimal = Decimal(0)

    @property
    def charge(self) -> int:
        """What the call costs in credits: each round at the price of its own target, and the tools' fees."""
        total = math.ceil(self.fees) if self.fees else 0
        for part in self.rounds:
            total += part.charge
        return total


@dataclass(slots=True, frozen=True)
class Form:
    """A request in one dialect.

    dropped: paths of what this dialect cannot carry. fault: why the request cannot be made in this dialect at all.
    beyond: members of `body` that not every server of this dialect takes, with the caller's own paths of them: a target
        that does not say it takes one (`Profile.understands`) goes without, and that path is reported.
    """

    body: dict[str, Any]
    dropped: Sequence[str] = ()
    fault: CallerFault | None = None
    beyond: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class CallProgress:
    """What changes of a call while it goes on; all views of the call (`Call.view`) share it.

    target: the one being tried or that answered.
    attempts: requests that went out to upstreams so far.
    refused: how many of them ended with a fault before there was any answer, so that they cost nothing.
    dropped: parameters that could not be carried to the target, reported in `x-gateway-dropped-params`; once each,
        and only so many of them.
    covered: output tokens of a stream, over all choices, that are paid for so far; before they are used up, the hook
        `extend_call` is asked for more. None: the whole answer is covered.
    cost: credits charged, known once the call was settled.
    fees: credits for tools that the gateway ran for this call so far.
    disputed: credits of usage that a provider told and that the request cannot have caused; nobody paid them.
    answer_headers: headers for the answer, added by plugins and the relay.
    tries: every attempt at a target that is over, in the order of their ends.
    tool_runs: every run of a tool by the gateway that is over, likewise.
    """

    target: Target | None = None
    attempts: int = 0
    refused: int = 0
    dropped: DroppedParams = field(default_factory=DroppedParams)
    covered: int | None = None
    cost: int | None = None
    fees: Decimal = Decimal(0)
    disputed: int = 0
    answer_headers: dict[str, str] = field(default_factory=dict)
    tries: list[AttemptRecord] = field(default_factory=list)
    tool_runs: list[ToolRecord] = field(default_factory=list)


@dataclass(slots=True)
class Call:
    """A request on its way through the chain. Plugins may change it until it is admitted; then it is frozen, and only
    its `progress` goes on changing.

    id: the request id, also sent as `x-request-id`; the ledger's idempotency key.
    route: the matched route's template, e.g. `/chat/completions`.
    operation: what the model is to do; a name of `gateway.operations.OPERATIONS`.
    body: the validated JSON body in `dialect`. Whoever changes it in `authorize_call` or `admit_call`, in place or
        by another, makes all other `forms` void.
    headers: request headers, lower-case names, without credentials.
    authorization: the credential as sent (scheme stripped), "" if none; never logged.
    model: the id the caller asked for (or the default model); it is also the `model` of the answer.
    candidates: all targets that `model` may lead to; a hold is priced at the dearest.
    targets: the order to try, set by `choose_targets`.
    max_output: the output tokens allowed after clamping, None for no explicit limit; sent upstream when set.
    state: scratch room for plugins, keyed by plugin name.
    strict: refuse with 400 what would otherwise be reported in `dropped`.
    forms: of a caller who spoke another dialect than the hub's: the request in each dialect that a target may speak.
        `body` is then the hub's.
    progress: what changes while the call goes on; its members can be read and set on the call itself, too.
    size: bytes of the request as it was read, and of what it continues: what work on it takes time by.
    explanation: set when the caller only wants to know what would happen: nothing is sent. A policy then reserves and
        counts nothing, but decides as ever, and may `note` the figures that it goes by.
    tags: for whom it is made, as its spending is told apart by (`user`, and what `usage.tag_metadata` names).
    given_ids: of what its targets keep: those that they gave to its account in answers which it continues.
    answer_filters: what changes the text of its answer, as plugins said in `filter_answer`.
    started: monotonic seconds at the request's head; created: unix seconds.
    """

    id: str
    route: str
    dialect: Dialect
    body: dict[str, Any]
    model: str
    stream: bool
    headers: Mapping[str, str]
    authorization: str
    remote: str
    started: float
    created: int
    candidates: Sequence[Target] = ()
    targets: Sequence[Target] = ()
    caller: Caller | None = None
    max_output: int | None = None
    state: dict[str, Any] = field(default_factory=dict)
    strict: bool = False
    operation: str = "chat"
    forms: Mapping[Dialect, Form] = field(default_factory=dict)
    progress: CallProgress = field(default_factory=CallProgress)
    size: int = 0
    explanation: Explanation | None = None
    answer_filters: Sequence[MakeFilter] = ()
    tags: Tags = ()
    given_ids: frozenset[str] = frozenset()

    @property
    def target(self) -> Target | None:
        """The target being tried, or that answered."""
        return self.progress.target

    @target.setter
    def target(self, value: Target | None) -> None:
        self.progress.target = value

    @property
    def attempts(self) -> int:
        """Requests that went out to upstreams so far."""
        return self.progress.attempts

    @attempts.setter
    def attempts(self, value: int) -> None:
        self.progress.attempts = value

    @property
    def dropped(self) -> DroppedParams:
        """Names of parameters that could not be carried to the target."""
        return self.progress.dropped

    @property
    def covered(self) -> int | None:
        """Output tokens of a stream that are paid for so far, None for all of the answer."""
        return self.progress.covered

    @covered.setter
    def covered(self, value: int | None) -> None:
        self.progress.covered = value

    @property
    def cost(self) -> int | None:
        """Credits charged, None until the call was settled."""
        return self.progress.cost

    @cost.setter
    def cost(self, value: int | None) -> None:
        self.progress.cost = value

    @property
    def fees(self) -> Decimal:
        """Credits for tools that the gateway ran for this call so far."""
        return self.progress.fees

    @fees.setter
    def fees(self, value: Decimal) -> None:
        self.progress.fees = value

    @property
    def answer_headers(self) -> dict[str, str]:
        """Headers for the answer, added by plugins and the relay."""
        return self.progress.answer_headers

    def freeze(self) -> None:
        """From now on whoever assigns to a member of the request itself gets an AttributeError."""
        # Another class of the same layout: costs one assignment, and nothing while the call is being made.
        self.__class__ = FrozenCall

    def view(self, dialect: Dialect, body: dict[str, Any], operation: str = "") -> Call:
        """This call with another body, frozen, for one attempt; it shares `progress` and `state`. operation: as which
        it is asked for there, "" for its own."""
        made = self._copied(dialect, body)
        made.operation = operation or self.operation
        made.freeze()
        return made

    def further_round(self, body: dict[str, Any]) -> Call:
        """This call with the chat body of a further round, not frozen yet: what that round is covered by and may write
        is said anew. It shares what is told to the caller."""
        made = self._copied("chat", body)
        made.forms = {}
        made.progress = replace(self.progress, covered=None, refused=self.progress.attempts)
        return made

    def _copied(self, dialect: Dialect, body: dict[str, Any]) -> Call:
        made = object.__new__(Call)
        for name in _MEMBERS:
            setattr(made, name, getattr(self, name))
        made.dialect, made.body = dialect, body
        return made

    def report_dropped(self, path: str, why: str = "") -> None:
        """Note that the parameter at `path` is not carried to the target. Raises CallerFault instead when the call is
        strict; why: what the caller is then told."""
        if self.strict:
            told = why or f"the model {self.model} does not support this; leave it out."
            raise CallerFault(f"{path}: {told}", param=path, code=None if why else "unsupported_parameter")
        self.progress.dropped.append(path)


_MEMBERS = tuple(member.name for member in fields(Call))
_CHANGING = frozenset({"target", "attempts", "covered", "cost", "fees"})


class FrozenCall(Call):
    """A call after its admission; see `Call.freeze`."""

    __slots__ = ()

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _CHANGING:
            _refuse_change(name)
        setattr(self.progress, name, value)

    def __delattr__(self, name: str) -> NoReturn:
        _refuse_change(name)


def _refuse_change(name: str) -> NoReturn:
    raise AttributeError(f"Call.{name} cannot be changed any more: the call was admitted.")
