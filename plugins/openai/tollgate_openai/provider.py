"""One configured OpenAI-dialect upstream."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, get_args

import orjson

from gateway.api import (
    COMPLETIONS,
    Attempt,
    Call,
    CallerFault,
    ChatReader,
    CompactionReader,
    CompletionsReader,
    Dialect,
    EmbeddingsReader,
    Fault,
    GatewayFault,
    ImagesReader,
    ListedModel,
    ModerationReader,
    Profile,
    ResponsesReader,
    SpeechReader,
    Target,
    TranscriptionReader,
    Transport,
    UpstreamReply,
    UpstreamRequest,
    bound_text_tokens,
    form_of_body,
    has_uploads,
    listed_models,
    redact_fault,
    write_form,
)
from tollgate_openai.completions import CompletionsMode, completions_body, knows_no_chat
from tollgate_openai.hosted import TOOLS, check_members
from tollgate_openai.members import without_foreign_members
from tollgate_openai.plain import EVERYTHING, PATHS, operations_of, plain_body
from tollgate_openai.quirks import AT_OPENAI, ELSEWHERE
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

# vLLM, OpenRouter and Groq, LM Studio.
_CONTEXTS = ("max_model_len", "context_length", "context_window", "max_context_length")
_OUTPUTS = ("max_output_tokens", "max_completion_tokens")


class OpenAIProvider:
    """Implements `gateway.provider.Provider` for OpenAI and every server that copied its dialect."""

    def __init__(self, name: str, settings: OpenAISettings) -> None:
        self.name = name
        self.transport: Transport | None = None
        self._settings = settings
        self.quirks = (AT_OPENAI if settings.is_openai else ELSEWHERE).of_instance(settings.quirks)
        self._url = settings.base_url + "/chat/completions"
        self._responses_url = settings.base_url + "/responses"
        self._completions_url = settings.base_url + "/completions"
        self._models_url = settings.base_url + "/models"
        self._headers = _headers(settings)
        secrets = (settings.api_key.get_secret_value(), settings.organization, settings.project)
        # Extra headers may carry a second credential (a proxy's key): their values are secrets as well.
        self._secrets = tuple(secret for secret in (*secrets, *settings.headers.values()) if secret)

    def profile(self, target: Target) -> Profile:
        """See `Provider`: the model's own `options.responses` counts before the instance's setting. Raises GatewayFault
        when that is none of the known words, or the model's `options.quirks` are not valid."""
        self.quirks.of(target)
        mode = target.options.get("responses", "auto")
        if mode not in _SPEAKS:
            raise GatewayFault(
                f"The model {target.model} is not configured correctly.",
                detail=f"models.{target.model}.options.responses: must be one of {', '.join(_SPEAKS)}",
            )
        if mode == "auto":
            mode = self._settings.responses
        official = self._settings.is_openai
        dialects = _SPEAKS["native" if mode == "auto" and official else mode]
        operations = operations_of(target.upstream) if official else EVERYTHING
        if official and "responses" in dialects and "chat" in operations:
            operations |= {"compact"}
        texts = self._completions(target)
        if texts == "only":
            dialects = operations = frozenset({COMPLETIONS})
        elif texts == "native":
            dialects, operations = dialects | {COMPLETIONS}, operations | {COMPLETIONS}
        return Profile(
            dialects=dialects,
            operations=operations,
            understands=frozenset({"custom_tools", "allowed_tools", "functions"} if official else ()),
            on_disconnect=self._settings.on_disconnect,
            tools=TOOLS,
        )

    def _completions(self, target: Target) -> str:
        mode = target.options.get("completions", self._settings.completions)
        if mode not in get_args(CompletionsMode):
            raise GatewayFault(
                f"The model {target.model} is not configured correctly.",
                detail=f"models.{target.model}.options.completions: must be one of {', '.join(_SPEAKS)}",
            )
        if mode == "auto":
            return "only" if self._settings.is_openai and knows_no_chat(target.upstream) else "bridge"
        return str(mode)

    def prepare(self, call: Call, target: Target) -> Attempt:
        """See `Provider`. Raises CallerFault for a body that cannot be written as JSON."""
        if call.operation in PATHS:
            return self._plain(call, target)
        check_members(call.body, target)
        if call.dialect == "responses":
            body = responses_body(call, target.upstream, self.quirks.of(target), table=self._settings.is_openai)
            if call.operation == "compact":
                body.pop("max_output_tokens", None)  # how long it gets is the provider's to say
                return self._attempt(call, self._responses_url + "/compact", body, _Compaction)
            return self._attempt(call, self._responses_url, body, _Responses)
        if call.dialect == COMPLETIONS:
            body = completions_body(call, target.upstream, self.quirks.of(target))
            return self._attempt(call, self._completions_url, body, _Completions)
        body = chat_body(call, target.upstream, self.quirks.of(target))
        if self._settings.is_openai and "messages" in body:
            body["messages"] = without_foreign_members(body["messages"], call)
        return self._attempt(call, self._url, body, _Chat)

    def _plain(self, call: Call, target: Target) -> Attempt:
        """A call that is no conversation."""
        url = self._settings.base_url + PATHS[call.operation]
        body = plain_body(call, target.upstream, official=self._settings.is_openai)
        if not has_uploads(body):
            return self._attempt(call, url, body, _PLAIN[call.operation])
        content_type, data = write_form(form_of_body(body), call.id)
        return self._send(call, url, data, _PLAIN[call.operation], content_type)

    def _attempt(self, call: Call, url: str, body: dict[str, Any], reader: type[_Clean]) -> Attempt:
        try:
            data = orjson.dumps(body)
        except orjson.JSONEncodeError as error:  # nested deeper than 254, half a surrogate pair, a number above 64 bits
            raise CallerFault(f"The request body cannot be sent on as JSON: {error}.") from error
        return self._send(call, url, data, reader, "application/json")

    def _send(self, call: Call, url: str, data: bytes, reader: type[_Clean], content_type: str) -> Attempt:
        accepted = "text/event-stream" if call.stream else "application/json"
        if call.operation in ("speech", "transcriptions", "translations"):
            accepted = "*/*"
        headers = {**self._headers, "content-type": content_type, "accept": accepted}
        return Attempt(UpstreamRequest(url, headers, data, stream=call.stream), reader(call, self._secrets))

    def models_request(self) -> UpstreamRequest:
        """See `ListingProvider`: `GET /models`."""
        return UpstreamRequest(self._models_url, self._headers, b"", method="GET")

    def read_models(self, reply: UpstreamReply) -> list[ListedModel]:
        """See `ListingProvider`. Servers that tell a model's limits do so in members of their own."""
        return listed_models(reply, contexts=_CONTEXTS, outputs=_OUTPUTS)

    def bound_input_tokens(self, body: Mapping[str, Any], target: Target) -> int:
        """See `Provider`. Pictures cost differently from model to model."""
        return cap(bound_text_tokens(body, weights(self._image_cost(target))), target)

    def _image_cost(self, target: Target) -> ImageCost | None:
        most = self.quirks.of(target).image_tokens
        if most is None and self._settings.is_openai:
            return image_cost(target.upstream)
        return None if most is None else ImageCost(most, most)


class _Clean(ChatReader):
    """Reads with the operator's secrets kept out of faults."""

    def __init__(self, call: Call, secrets: tuple[str, ...]) -> None:
        super().__init__(call)
        self._secrets = secrets

    def clean(self, fault: Fault) -> Fault:
        """The fault without the operator's secrets."""
        return redact_fault(fault, self._secrets)


class _Chat(_Clean):
    """Chat completions: chunks as raw JSON bytes."""


class _Responses(_Clean, ResponsesReader):
    """Responses: events as raw JSON bytes."""


class _Completions(_Clean, CompletionsReader):
    """OpenAI's older completions."""


class _Compaction(_Clean, CompactionReader):
    """Compacted conversations."""


class _Embeddings(_Clean, EmbeddingsReader):
    """Lists of embeddings."""


class _Images(_Clean, ImagesReader):
    """Lists of images."""


class _Speech(_Clean, SpeechReader):
    """Audio."""


class _Transcription(_Clean, TranscriptionReader):
    """What was heard."""


class _Moderation(_Clean, ModerationReader):
    """Verdicts."""


_PLAIN: Mapping[str, type[_Clean]] = MappingProxyType(
    {
        "embeddings": _Embeddings,
        "images": _Images,
        "image_edits": _Images,
        "speech": _Speech,
        "transcriptions": _Transcription,
        "translations": _Transcription,
        "moderations": _Moderation,
    }
)


def _headers(settings: OpenAISettings) -> dict[str, str]:
    headers = dict(settings.headers)
    key = settings.api_key.get_secret_value()
    if key:
        headers["authorization"] = f"Bearer {key}"
    if settings.organization:
        headers["openai-organization"] = settings.organization
    if settings.project:
        headers["openai-project"] = settings.project
    return headers
