"""Google's Gemini API as a provider kind, `plugin: google`."""

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

from .embeddings import embeddings_body, read_embeddings
from .estimate import bound_input
from .faults import fault_from_reply, tidy
from .inbound import add_routes
from .inbound.native import GENERATE, NativeDecoder, as_chat, is_native, native_body, read_native
from .parts import media_urls
from .reading import STATE
from .reply import read_response
from .request import build, draft_request, post, quirks_of, resource
from .settings import Settings, ready
from .stream import GeminiDecoder

__all__ = ["GoogleProvider", "Settings", "create", "ready", "register_providers", "register_routes"]


class GoogleProvider:
    """One configured instance; implements `gateway.api.Provider`. Holds nothing but its settings.

    max_n: the most choices of one request that every model gives; `most_choices` says it for one model.
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
        """See `gateway.api.Provider`: beside the hub's dialect Google's own, in which callers may speak, too."""
        return self.speaks | {GENERATE}

    def build_request(self, call: Call, target: Target) -> UpstreamRequest:
        """See `gateway.api.Provider`. Leaves in `call.state` how the answer is to be read."""
        if is_native(call):
            method = "streamGenerateContent?alt=sse" if call.stream else "generateContent"
            every_search = quirks_of(target, self.settings).searches == "each"
            body = native_body(call, self.settings.safety_settings, every_search=every_search)
            return post(target, method, body, self.settings, stream=call.stream)
        call = as_chat(call)
        draft, reading = draft_request(call, target, self.settings)
        request = build(draft, target, self.settings)
        call.state[STATE] = reading
        return request

    def read_reply(self, call: Call, reply: UpstreamReply) -> dict[str, Any]:
        """See `gateway.api.Provider`."""
        try:
            return read_native(call, reply) if is_native(call) else read_response(call, reply)
        except Fault as fault:
            raise tidy(fault, self._secret) from None

    def open_stream(self, call: Call) -> StreamDecoder:
        """See `gateway.api.Provider`."""
        return NativeDecoder(self._secret) if is_native(call) else GeminiDecoder(call, self._secret)

    def build_embeddings(self, call: Call, target: Target) -> UpstreamRequest:
        """See `gateway.api.Embeds`."""
        body = embeddings_body(call, resource(target))
        return post(target, "batchEmbedContents", body, self.settings, stream=False)

    def read_embeddings(self, call: Call, reply: UpstreamReply) -> dict[str, Any]:
        """See `gateway.api.Embeds`."""
        try:
            return read_embeddings(call, reply)
        except Fault as fault:
            raise tidy(fault, self._secret) from None

    def build_contents_count(self, body: Mapping[str, Any], target: Target) -> UpstreamRequest:
        """The request that lets Google count the input of a generateContent body, at no cost."""
        inner = {**body, "model": resource(target)}
        return post(target, "countTokens", {"generateContentRequest": inner}, self.settings, stream=False)

    def read_fault(self, reply: UpstreamReply) -> Fault:
        """See `gateway.api.Provider`."""
        return tidy(fault_from_reply(reply), self._secret)

    def bound_input_tokens(self, body: Mapping[str, Any], target: Target | None = None) -> int:
        """See `gateway.api.Provider`. Media cost differently from model to model: with `target` its own row counts,
        and its context bounds the whole."""
        if target is None:
            return bound_input(body, None, None)
        return bound_input(body, quirks_of(target, self.settings), target.context)

    def media_urls(self, body: Mapping[str, Any]) -> list[str]:
        """The http(s) URLs in a chat body that Gemini needs as bytes, for the gateway to fetch and put in place as
        data URLs. What Google reads itself (its Files API, YouTube) is not among them."""
        return media_urls(body)

    def most_choices(self, target: Target) -> int:
        """How many choices (`n`) one request for this target may ask for."""
        return quirks_of(target, self.settings).candidates


def create(name: str, settings: Settings) -> GoogleProvider:
    """One instance for one section of the configuration."""
    return GoogleProvider(name, settings)


@hookimpl
def register_providers(register: Callable[[ProviderKind], None]) -> None:
    """Offer the kind `google`."""
    register(ProviderKind(kind="google", settings_model=Settings, create=create, ready=ready, price_source="google"))


@hookimpl
def register_routes(router: Router) -> None:
    """Let callers speak Google's dialect, to every model."""
    add_routes(router)
