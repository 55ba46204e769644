"""One configured instance of Anthropic's Messages API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.api import (
    Attempt,
    Call,
    Fault,
    ListedModel,
    Profile,
    Target,
    Transport,
    UpstreamReply,
    UpstreamRequest,
    count_in,
    listed_models,
)

from .costs import TOOLS, check_costs
from .estimate import bound_input
from .faults import fault_from_reply, redact
from .inbound.native import MESSAGES, NativeReader, native_body, read_betas
from .quirks import TABLE
from .reading import Reading
from .reply import MessageReader
from .request import build, draft_request, models, post
from .settings import Settings
from .tools import TOOL_NAMES


class AnthropicProvider:
    """One configured instance; implements `gateway.api.CountingProvider`. Holds nothing but its settings."""

    transport: Transport | None = None

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.settings = settings
        self.quirks = TABLE.of_instance(settings.quirks)
        self._secret = settings.api_key.get_secret_value()

    def profile(self, target: Target) -> Profile:
        """See `gateway.api.Provider`: beside the hub's dialect Anthropic's own, in which callers may speak, too."""
        self.quirks.of(target)
        return Profile(
            dialects=frozenset({"chat", MESSAGES}),
            max_choices=1,
            understands=frozenset({"activity", "allowed_tools", "thinking", "tool_media", "tool_marks", "top_k"}),
            on_disconnect=self.settings.on_disconnect,
            web_search="yes",
            tools=TOOLS,
            tool_names=TOOL_NAMES,
            counts=MESSAGES,
        )

    def prepare(self, call: Call, target: Target) -> Attempt:
        """The request for this call, and the reader of its answer."""
        if call.dialect == MESSAGES:
            body, betas = native_body(call, target)
            check_costs(body, target)
            request = post(self.settings.endpoint, body, betas, self.settings, stream=call.stream)
            return Attempt(request, NativeReader(call, Reading(), (self._secret,)))
        draft = draft_request(call, target, self.settings, self.quirks.of(target))
        check_costs(draft.out, target)
        reading = Reading(json_tool=draft.json_tool, json_text=draft.json_text)
        return Attempt(build(draft, self.settings), MessageReader(call, reading, (self._secret,)))

    def read_fault(self, reply: UpstreamReply) -> Fault:
        """What an error answer to `build_count` means."""
        return redact(fault_from_reply(reply), (self._secret,))

    def build_count(self, call: Call, body: Mapping[str, Any], target: Target) -> UpstreamRequest:
        """The request that lets Anthropic count the input of a Messages body, at no cost."""
        out, betas = {**body, "model": target.upstream}, read_betas(call.headers)
        return post(self.settings.endpoint + "/count_tokens", out, betas, self.settings, stream=False)

    def read_count(self, reply: UpstreamReply) -> int | None:
        """The number in an answer to `build_count`."""
        return count_in(reply, "input_tokens")

    def models_request(self) -> UpstreamRequest:
        """See `ListingProvider`: `GET /v1/models`, a page of a thousand."""
        return models(self.settings)

    def read_models(self, reply: UpstreamReply) -> list[ListedModel]:
        """The models in the answer, with the limits that it tells. Raises UpstreamFault when it is no list."""
        return listed_models(reply, contexts=("max_input_tokens",), outputs=("max_tokens",))

    def bound_input_tokens(self, body: Mapping[str, Any], target: Target) -> int:
        """An upper bound in tokens of the input that this chat body makes at `target`."""
        return bound_input(body)
