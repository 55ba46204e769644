"""Anthropic's Messages API as a provider kind, `plugin: anthropic`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.api import (
    Call,
    Dialect,
    Fault,
    ProviderKind,
    Router,
    StreamDecoder,
    Target,
    Transport,
    UpstreamReply,
    UpstreamRequest,
    hookimpl,
)

from .estimate import bound_input
from .faults import fault_from_reply, redact
from .inbound import add_routes
from .inbound.native import MESSAGES, NativeDecoder, as_chat, is_native, native_body, read_native
from .reading import STATE, Reading
from .reply import read_message
from .request import build, draft_request, post
from .settings import ANTHROPIC, Settings
from .stream import MessageDecoder

__all__ = ["AnthropicProvider", "Settings", "create", "ready", "register_providers", "register_routes"]


class AnthropicProvider:
    """One configured instance; implements `gateway.api.Provider`. Holds nothing but its settings.

    max_n: the most choices of one call; the gateway makes `n` > 1 out of several calls.
    """

    speaks: frozenset[Dialect] = frozenset({"chat"})
    transport: Transport | None = None
    max_n = 1

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.settings = settings
        self.on_disconnect = settings.on_disconnect
        self._secret = settings.api_key.get_secret_value()

    def dialects(self, target: Target) -> frozenset[Dialect]:
        """See `gateway.api.Provider`: beside the hub's dialect Anthropic's own, in which callers may speak, too."""
        return self.speaks | {MESSAGES}

    def build_request(self, call: Call, target: Target) -> UpstreamRequest:
        """See `gateway.api.Provider`. Leaves in `call.state` how the answer is to be read."""
        if is_native(call):
            body, betas = native_body(call, target)
            return post(self.settings.endpoint, body, betas, self.settings, stream=call.stream)
        call = as_chat(call)
        draft = draft_request(call, target, self.settings)
        request = build(draft, self.settings)
        call.state[STATE] = Reading(json_tool=draft.json_tool, json_text=draft.json_text)
        return request

    def read_reply(self, call: Call, reply: UpstreamReply) -> dict[str, Any]:
        """See `gateway.api.Provider`."""
        try:
            return read_native(call, reply) if is_native(call) else read_message(call, reply)
        except Fault as fault:
            raise redact(fault, self._secret) from None

    def open_stream(self, call: Call) -> StreamDecoder:
        """See `gateway.api.Provider`."""
        return NativeDecoder(self._secret) if is_native(call) else MessageDecoder(call, self._secret)

    def read_fault(self, reply: UpstreamReply) -> Fault:
        """See `gateway.api.Provider`."""
        return redact(fault_from_reply(reply), self._secret)

    def build_count(self, body: Mapping[str, Any], betas: list[str], target: Target) -> UpstreamRequest:
        """The request that lets Anthropic count the input of a Messages body, at no cost."""
        out = {**body, "model": target.upstream}
        return post(self.settings.endpoint + "/count_tokens", out, betas, self.settings, stream=False)

    def bound_input_tokens(self, body: Mapping[str, Any], target: Target | None = None) -> int:
        """See `gateway.api.Provider`."""
        return bound_input(body)


def create(name: str, settings: Settings) -> AnthropicProvider:
    """One instance for one section of the configuration."""
    return AnthropicProvider(name, settings)


def ready(settings: Settings) -> str:
    """ "" or why the instance is switched off. A server of one's own may do without a key."""
    if settings.api_key.get_secret_value() or settings.base_url != ANTHROPIC:
        return ""
    return "no api_key is set"


@hookimpl
def register_providers(register: Callable[[ProviderKind], None]) -> None:
    """Offer the kind `anthropic`."""
    register(
        ProviderKind(kind="anthropic", settings_model=Settings, create=create, ready=ready, price_source="anthropic")
    )


@hookimpl
def register_routes(router: Router) -> None:
    """Let callers speak Anthropic's dialect, to every model."""
    add_routes(router)
