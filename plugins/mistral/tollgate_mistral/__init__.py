"""Mistral's chat completions as a provider kind, `plugin: mistral`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from gateway.api import (
    Call,
    CallerFault,
    Dialect,
    Fault,
    ProviderKind,
    StreamDecoder,
    Target,
    Transport,
    UpstreamReply,
    UpstreamRequest,
    hookimpl,
    redact_fault,
)

from .embeddings import embeddings_body, read_list
from .estimate import bound_input
from .faults import fault_from_reply
from .quirks import resolve
from .reply import read_message
from .request import chat_body, quirks_of
from .settings import Settings
from .stream import MistralDecoder

__all__ = ["MistralProvider", "Settings", "create", "ready", "register_providers"]


class MistralProvider:
    """One configured instance; implements `gateway.api.Provider` and `Embeds`. Holds nothing but its settings.

    Has no `max_n`: Mistral itself makes several choices, and bills the input once.
    understands: what is emulated here already, so that the gateway need not (see `messages` and `tools`).
    """

    speaks: frozenset[Dialect] = frozenset({"chat"})
    transport: Transport | None = None
    understands: frozenset[str] = frozenset({"allowed_tools", "tool_media"})

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.settings = settings
        self.on_disconnect = settings.on_disconnect
        self._secrets = (settings.api_key.get_secret_value(),)
        self._image_tokens = resolve("", settings.quirks).image_tokens

    def build_request(self, call: Call, target: Target) -> UpstreamRequest:
        """See `gateway.api.Provider`. Raises CallerFault for a body that cannot be written as JSON."""
        return self._request("/chat/completions", chat_body(call, target, self.settings), call.stream)

    def build_embeddings(self, call: Call, target: Target) -> UpstreamRequest:
        """See `gateway.api.Embeds`."""
        return self._request("/embeddings", embeddings_body(call, target), stream=False)

    def read_embeddings(self, call: Call, reply: UpstreamReply) -> dict[str, Any]:
        """See `gateway.api.Embeds`."""
        try:
            return read_list(reply)
        except Fault as fault:
            raise self._clean(fault) from None

    def read_reply(self, call: Call, reply: UpstreamReply) -> dict[str, Any]:
        """See `gateway.api.Provider`."""
        try:
            return read_message(call, reply)
        except Fault as fault:
            raise self._clean(fault) from None

    def open_stream(self, call: Call) -> StreamDecoder:
        """See `gateway.api.Provider`."""
        return MistralDecoder(call, self._clean)

    def read_fault(self, reply: UpstreamReply) -> Fault:
        """See `gateway.api.Provider`."""
        return self._clean(fault_from_reply(reply))

    def bound_input_tokens(self, body: Mapping[str, Any], target: Target | None = None) -> int:
        """See `gateway.api.Provider`; with `target` its model's own figures count."""
        image = self._image_tokens if target is None else quirks_of(target, self.settings).image_tokens
        return bound_input(body, target, image)

    def _request(self, path: str, body: dict[str, Any], stream: bool) -> UpstreamRequest:
        try:
            data = orjson.dumps(body)
        except orjson.JSONEncodeError as error:  # nested deeper than 254, half a surrogate pair, a number above 64 bits
            raise CallerFault(f"The request body cannot be sent on as JSON: {error}.") from error
        headers = {"accept": "text/event-stream" if stream else "application/json", "content-type": "application/json"}
        if self._secrets[0]:
            headers["authorization"] = f"Bearer {self._secrets[0]}"
        return UpstreamRequest(self.settings.base_url + path, headers, data, stream=stream)

    def _clean(self, fault: Fault) -> Fault:
        return redact_fault(fault, self._secrets)


def create(name: str, settings: Settings) -> MistralProvider:
    """One instance for one section of the configuration."""
    return MistralProvider(name, settings)


def ready(settings: Settings) -> str:
    """ "" or why the instance is switched off. A server of one's own may do without a key."""
    return "" if settings.api_key.get_secret_value() or not settings.needs_key else "no api_key is set"


@hookimpl
def register_providers(register: Callable[[ProviderKind], None]) -> None:
    """Offer the kind `mistral`."""
    register(ProviderKind(kind="mistral", settings_model=Settings, create=create, ready=ready, price_source="mistral"))
