"""One configured OpenAI-dialect upstream."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import orjson
from pydantic import ValidationError

from gateway.api import (
    Call,
    CallerFault,
    ChatStreamDecoder,
    Dialect,
    Fault,
    GatewayFault,
    ResponsesEventDecoder,
    StreamDecoder,
    Target,
    Transport,
    UpstreamFault,
    UpstreamReply,
    UpstreamRequest,
    bound_text_tokens,
    fault_from_openai_error,
    read_completion,
    read_response,
    redact_fault,
)
from tollgate_openai.members import without_foreign_members
from tollgate_openai.quirks import COMPATIBLE, Quirks, QuirkSettings, openai_quirks
from tollgate_openai.request import chat_body
from tollgate_openai.responses import responses_body
from tollgate_openai.settings import OpenAISettings
from tollgate_openai.tokens import ImageCost, cap, image_cost, weights

_SPEAKS: Mapping[str, frozenset[Dialect]] = MappingProxyType(
    {
        "auto": frozenset({"chat"}),
        "bridge": frozenset({"chat"}),
        "native": frozenset({"chat", "responses"}),
        "only": frozenset({"responses"}),
    }
)


class OpenAIProvider:
    """Implements `gateway.provider.Provider` for OpenAI and every server that copied its dialect."""

    def __init__(self, name: str, settings: OpenAISettings) -> None:
        self.name = name
        mode = settings.responses
        self.speaks: frozenset[Dialect] = _SPEAKS["native" if mode == "auto" and settings.is_openai else mode]
        self.understands: tuple[str, ...] = ("custom_tools", "allowed_tools") if settings.is_openai else ()
        self.on_disconnect: Literal["cancel", "drain"] = settings.on_disconnect
        self.transport: Transport | None = None
        self._settings = settings
        self._url = settings.base_url + "/chat/completions"
        self._responses_url = settings.base_url + "/responses"
        self._embeddings_url = settings.base_url + "/embeddings"
        self._headers = _headers(settings)
        secrets = (settings.api_key.get_secret_value(), settings.organization, settings.project)
        # Extra headers may carry a second credential (a proxy's key): their values are secrets as well.
        self._secrets = tuple(secret for secret in (*secrets, *settings.headers.values()) if secret)
        self._table: dict[str, Quirks] = {}

    def quirks(self, target: Target) -> Quirks:
        """What the target's model tolerates: the table's row, the instance's overrides, then the model's own.
        Raises GatewayFault when the `quirks` in the model's options are not valid."""
        row = self._table.get(target.upstream)
        if row is None:
            row = openai_quirks(target.upstream) if self._settings.is_openai else COMPATIBLE
            row = self._table[target.upstream] = self._settings.quirks.apply(row)
        own = target.options.get("quirks")
        if own is None:
            return row
        try:
            return QuirkSettings.model_validate(own).apply(row)
        except ValidationError as error:
            raise GatewayFault(
                f"The model {target.model} is not configured correctly.",
                detail=f"models.{target.model}.options.quirks: {error}",
            ) from error

    def dialects(self, target: Target) -> frozenset[Dialect]:
        """See `Provider`: the model's own `options.responses` counts before the instance's setting.
        Raises GatewayFault when that is none of the known words."""
        mode = target.options.get("responses", "auto")
        if mode == "auto":
            return self.speaks
        if mode not in _SPEAKS:
            raise GatewayFault(
                f"The model {target.model} is not configured correctly.",
                detail=f"models.{target.model}.options.responses: must be one of {', '.join(_SPEAKS)}",
            )
        return _SPEAKS[mode]

    def build_request(self, call: Call, target: Target) -> UpstreamRequest:
        """See `Provider.build_request`. Raises CallerFault for a body that cannot be written as JSON."""
        native = call.dialect == "responses"
        if native:
            body = responses_body(call, target.upstream, self.quirks(target), table=self._settings.is_openai)
        else:
            body = chat_body(call, target.upstream, self.quirks(target))
            if self._settings.is_openai and "messages" in body:
                body["messages"] = without_foreign_members(body["messages"], call)
        try:
            data = orjson.dumps(body)
        except orjson.JSONEncodeError as error:  # nested deeper than 254, half a surrogate pair, a number above 64 bits
            raise CallerFault(f"The request body cannot be sent on as JSON: {error}.") from error
        headers = dict(self._headers)
        headers["accept"] = "text/event-stream" if call.stream else "application/json"
        return UpstreamRequest(self._responses_url if native else self._url, headers, data, stream=call.stream)

    def build_embeddings(self, call: Call, target: Target) -> UpstreamRequest:
        """See `Embeds.build_embeddings`: the same dialect, so only the model's name changes."""
        data = orjson.dumps({**call.body, "model": target.upstream})
        return UpstreamRequest(self._embeddings_url, {**self._headers, "accept": "application/json"}, data)

    def read_embeddings(self, call: Call, reply: UpstreamReply) -> dict[str, Any]:
        """See `Embeds.read_embeddings`: the answer as it came."""
        try:
            answer = orjson.loads(reply.body)
        except orjson.JSONDecodeError:
            answer = None
        if not isinstance(answer, dict) or not isinstance(answer.get("data"), list):
            detail = reply.body[:500].decode("utf-8", "replace")
            raise self._clean(
                UpstreamFault(
                    "The provider's answer holds no embeddings.", code="upstream_invalid_response", detail=detail
                )
            )
        return answer

    def read_reply(self, call: Call, reply: UpstreamReply) -> dict[str, Any]:
        """See `Provider.read_reply`: the completion, or the response object, as it came."""
        try:
            return read_response(reply.body) if call.dialect == "responses" else read_completion(reply.body)
        except Fault as fault:
            raise self._clean(fault) from None

    def open_stream(self, call: Call) -> StreamDecoder:
        """See `Provider.open_stream`: chunks, or events, as raw JSON bytes."""
        return ResponsesEventDecoder(self._clean) if call.dialect == "responses" else ChatStreamDecoder(self._clean)

    def read_fault(self, reply: UpstreamReply) -> Fault:
        """See `Provider.read_fault`."""
        return self._clean(fault_from_openai_error(reply.status, reply.body, reply.headers))

    def bound_input_tokens(self, body: Mapping[str, Any], target: Target | None = None) -> int:
        """See `Provider.bound_input_tokens`. Pictures cost differently from model to model: with `target` its
        own figure counts, without it the largest of all models."""
        return cap(bound_text_tokens(body, weights(self._image_cost(target))), target)

    def _image_cost(self, target: Target | None) -> ImageCost | None:
        if target is None:
            most = self._settings.quirks.image_tokens
        else:
            most = self.quirks(target).image_tokens
            if most is None and self._settings.is_openai:
                return image_cost(target.upstream)
        return None if most is None else ImageCost(most, most)

    def _clean(self, fault: Fault) -> Fault:
        return redact_fault(fault, self._secrets)


def _headers(settings: OpenAISettings) -> dict[str, str]:
    headers = dict(settings.headers)
    key = settings.api_key.get_secret_value()
    if key:
        headers["authorization"] = f"Bearer {key}"
    if settings.organization:
        headers["openai-organization"] = settings.organization
    if settings.project:
        headers["openai-project"] = settings.project
    headers["content-type"] = "application/json"
    return headers
