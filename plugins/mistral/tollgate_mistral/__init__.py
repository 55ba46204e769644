"""Mistral's chat completions as a provider kind, `plugin: mistral`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from gateway.api import (
    Attempt,
    Call,
    CallerFault,
    ListedModel,
    Profile,
    ProviderKind,
    Target,
    Transport,
    UpstreamReply,
    UpstreamRequest,
    hookimpl,
    listed_models,
)

from .embeddings import ListReader, embeddings_body
from .estimate import bound_input
from .plain import TranscriptReader, VerdictReader, moderation_body, operations_of, transcription_form
from .quirks import TABLE
from .reader import MistralReader
from .request import chat_body
from .settings import Settings

__all__ = ["MistralProvider", "Settings", "create", "ready", "register_providers"]


class MistralProvider:
    """One configured instance; implements `gateway.api.Provider`. Holds nothing but its settings."""

    transport: Transport | None = None

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.settings = settings
        self.quirks = TABLE.of_instance(settings.quirks)
        self._secrets = (settings.api_key.get_secret_value(),)

    def profile(self, target: Target) -> Profile:
        """See `gateway.api.Provider`. Mistral itself makes several choices, and bills the input once. What it
        understands is emulated here already (see `messages` and `tools`)."""
        self.quirks.of(target)
        return Profile(
            operations=operations_of(target.upstream),
            understands=frozenset({"allowed_tools", "tool_media"}),
            on_disconnect=self.settings.on_disconnect,
        )

    def prepare(self, call: Call, target: Target) -> Attempt:
        """See `gateway.api.Provider`. Raises CallerFault for a body that cannot be written as JSON."""
        if call.operation == "embeddings":
            request = self._request("/embeddings", embeddings_body(call, target), stream=False)
            return Attempt(request, ListReader(call, self._secrets))
        if call.operation == "transcriptions":
            content_type, data = transcription_form(call, target)
            request = self._send("/audio/transcriptions", data, content_type, stream=False)
            return Attempt(request, TranscriptReader(call, self._secrets))
        if call.operation == "moderations":
            request = self._request("/moderations", moderation_body(call, target), stream=False)
            return Attempt(request, VerdictReader(call, self._secrets))
        request = self._request("/chat/completions", chat_body(call, target, self.quirks.of(target)), call.stream)
        return Attempt(request, MistralReader(call, self._secrets))

    def models_request(self) -> UpstreamRequest:
        """See `ListingProvider`: `GET /models`."""
        return UpstreamRequest(self.settings.base_url + "/models", self._headers(), b"", method="GET")

    def read_models(self, reply: UpstreamReply) -> list[ListedModel]:
        """The models in the answer, with the limits that it tells. Raises UpstreamFault when it is no list."""
        return listed_models(reply, contexts=("max_context_length",))

    def bound_input_tokens(self, body: Mapping[str, Any], target: Target) -> int:
        """An upper bound in tokens of the input that this chat body makes at `target`."""
        return bound_input(body, target, self.quirks.of(target).image_tokens)

    def _request(self, path: str, body: dict[str, Any], stream: bool) -> UpstreamRequest:
        try:
            data = orjson.dumps(body)
        except orjson.JSONEncodeError as error:  # nested deeper than 254, half a surrogate pair, a number above 64 bits
            raise CallerFault(f"The request body cannot be sent on as JSON: {error}.") from error
        return self._send(path, data, "application/json", stream=stream)

    def _send(self, path: str, data: bytes, content_type: str, *, stream: bool) -> UpstreamRequest:
        headers = self._headers() | {"content-type": content_type}
        if stream:
            headers["accept"] = "text/event-stream"
        return UpstreamRequest(self.settings.base_url + path, headers, data, stream=stream)

    def _headers(self) -> dict[str, str]:
        key = self._secrets[0]
        return {"accept": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}


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
