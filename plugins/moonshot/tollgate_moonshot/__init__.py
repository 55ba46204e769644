"""Moonshot's Kimi API as a provider kind, `plugin: moonshot`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import orjson

from gateway.api import (
    BOUND,
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
    bound_text_tokens,
    hookimpl,
    redact_fault,
)

from .faults import fault_from_reply
from .messages import media_urls
from .quirks import resolve
from .reply import STATE, MoonshotDecoder, read_message
from .request import draft_request, quirks_of
from .settings import Settings

__all__ = ["MoonshotProvider", "Settings", "create", "ready", "register_providers"]


class MoonshotProvider:
    """One configured instance; implements `gateway.api.Provider`. Holds nothing but its settings.

    max_n: the most choices of one call; the gateway makes `n` > 1 out of several calls.
    understands: what is emulated here already, so that the gateway need not (see `tools`).
    """

    speaks: frozenset[Dialect] = frozenset({"chat"})
    transport: Transport | None = None
    max_n = 1
    understands: frozenset[str] = frozenset({"allowed_tools"})

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.settings = settings
        self.on_disconnect = settings.on_disconnect
        self._secrets = (settings.api_key.get_secret_value(),)
        self._image_tokens = resolve("", settings.quirks).image_tokens

    def media_urls(self, body: Mapping[str, Any]) -> list[str]:
        """The addresses of pictures and videos in `body`: the gateway fetches them and puts data URLs in their place
        before it asks for the request, because Moonshot takes nothing else."""
        return media_urls(body)

    def build_request(self, call: Call, target: Target) -> UpstreamRequest:
        """See `gateway.api.Provider`. Leaves in `call.state` how the answer is to be read. Raises CallerFault for a
        body that cannot be written as JSON."""
        draft = draft_request(call, target, self.settings)
        try:
            data = orjson.dumps(draft.out)
        except orjson.JSONEncodeError as error:  # nested deeper than 254, half a surrogate pair, a number above 64 bits
            raise CallerFault(f"The request body cannot be sent on as JSON: {error}.") from error
        call.state[STATE] = draft.renamed
        headers = {
            "accept": "text/event-stream" if call.stream else "application/json",
            "content-type": "application/json",
        }
        if self._secrets[0]:
            headers["authorization"] = f"Bearer {self._secrets[0]}"
        return UpstreamRequest(self.settings.endpoint, headers, data, stream=call.stream)

    def read_reply(self, call: Call, reply: UpstreamReply) -> dict[str, Any]:
        """See `gateway.api.Provider`."""
        try:
            return read_message(call, reply)
        except Fault as fault:
            raise self._clean(fault) from None

    def open_stream(self, call: Call) -> StreamDecoder:
        """See `gateway.api.Provider`."""
        return MoonshotDecoder(call, self._clean)

    def read_fault(self, reply: UpstreamReply) -> Fault:
        """See `gateway.api.Provider`."""
        return self._clean(fault_from_reply(reply))

    def bound_input_tokens(self, body: Mapping[str, Any], target: Target | None = None) -> int:
        """See `gateway.api.Provider`; with `target` its model's own figures count. A picture makes at most 4,096
        patches (Kimi's image processor, pre-merge limit 16,384 of which four become one)."""
        image = self._image_tokens if target is None else quirks_of(target, self.settings).image_tokens
        tokens = bound_text_tokens(body, replace(BOUND, image=image, image_low=image))
        return min(tokens, target.context) if target is not None and target.context is not None else tokens

    def _clean(self, fault: Fault) -> Fault:
        return redact_fault(fault, self._secrets)


def create(name: str, settings: Settings) -> MoonshotProvider:
    """One instance for one section of the configuration."""
    return MoonshotProvider(name, settings)


def ready(settings: Settings) -> str:
    """ "" or why the instance is switched off. A server of one's own may do without a key."""
    return "" if settings.api_key.get_secret_value() or not settings.needs_key else "no api_key is set"


@hookimpl
def register_providers(register: Callable[[ProviderKind], None]) -> None:
    """Offer the kind `moonshot`."""
    register(
        ProviderKind(kind="moonshot", settings_model=Settings, create=create, ready=ready, price_source="moonshotai")
    )
