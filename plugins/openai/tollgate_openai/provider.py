"""One configured OpenAI-dialect upstream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, get_args

from gateway.api import (
    COMPLETIONS,
    Attempt,
    Call,
    ChatReader,
    Dialect,
    Fault,
    GatewayFault,
    ListedModel,
    Profile,
    Target,
    Transport,
    UpstreamReply,
    UpstreamRequest,
    Weights,
    bound_text_tokens,
    fault_from_openai_error,
    form_of_body,
    get_request,
    has_uploads,
    json_request,
    later,
    listed_models,
    post_request,
    redact_fault,
    write_form,
)
from tollgate_openai.completions import CompletionsMode, completions_body, knows_no_chat
from tollgate_openai.hosted import TOOLS, check_members
from tollgate_openai.members import without_foreign_members, without_foreign_search
from tollgate_openai.plain import EVERYTHING, PATHS, operations_of, plain_body
from tollgate_openai.quirks import AT_OPENAI, ELSEWHERE, Quirks
from tollgate_openai.request import chat_body
from tollgate_openai.responses import responses_body
from tollgate_openai.settings import OpenAISettings
from tollgate_openai.tokens import ImageCost, cap, image_cost, weights

MakeReader = Callable[[Call, Sequence[str]], ChatReader]
"""A reader's class: out of the call, and the secrets to keep out of its faults."""

# Nearly all calls are chats.
_responses_reader: MakeReader = later("gateway.api:ResponsesReader")
_compaction_reader: MakeReader = later("gateway.api:CompactionReader")
_completions_reader: MakeReader = later("gateway.api:CompletionsReader")
_plain_reader: Callable[[str], MakeReader] = later("gateway.api:PLAIN_READERS.__getitem__")

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
_MOST_WEIGHTS = 1000


class OpenAIProvider:
    """Implements `gateway.provider.Provider` for OpenAI and every server that copied its dialect."""

    def __init__(self, name: str, settings: OpenAISettings) -> None:
        self.name = name
        self.transport: Transport | None = None
        self._settings = settings
        self.quirks = (AT_OPENAI if settings.is_openai else ELSEWHERE).of_instance(settings.all_quirks)
        self._url = settings.base_url + "/chat/completions"
        self._responses_url = settings.base_url + "/responses"
        self._completions_url = settings.base_url + "/completions"
        self._models_url = settings.base_url + "/models"
        self._headers = _headers(settings)
        secrets = (settings.api_key.get_secret_value(), settings.organization, settings.project)
        # Extra headers may carry a second credential (a proxy's key): their values are secrets as well.
        self._secrets = tuple(secret for secret in (*secrets, *settings.headers.values()) if secret)
        self._official = settings.is_openai
        self._weights: dict[str, tuple[Quirks, Weights]] = {}

    def profile(self, target: Target) -> Profile:
        """See `Provider`: the model's own `options.responses` counts before the instance's setting. Raises GatewayFault
        when that is none of the known words, or the model's `options.quirks` are not valid."""
        quirks = self.quirks.of(target)
        mode = target.options.get("responses", "auto")
        if mode not in _SPEAKS:
            raise _misconfigured(target, "responses", _SPEAKS)
        if mode == "auto":
            mode = self._settings.responses
        official = self._official
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
            understands=frozenset({"custom_tools", "allowed_tools", "functions"} if official else {"extensions"})
            | ({"top_k"} if quirks.top_k else set()),
            on_disconnect=self._settings.on_disconnect,
            # The Responses API has a tool for it, and whoever is spoken to in nothing else is asked for that.
            web_search="yes" if dialects == frozenset({"responses"}) else "no",
            tools=TOOLS,
        )

    def _completions(self, target: Target) -> str:
        mode = target.options.get("completions", self._settings.completions)
        known = get_args(CompletionsMode)
        if mode not in known:
            raise _misconfigured(target, "completions", known)
        if mode == "auto":
            return "only" if self._official and knows_no_chat(target.upstream) else "bridge"
        return str(mode)

    def prepare(self, call: Call, target: Target) -> Attempt:
        """See `Provider`. Raises CallerFault for a body that cannot be written as JSON."""
        return (_BY_OPERATION.get(call.operation) or _BY_DIALECT[call.dialect])(self, call, target)

    def prepare_chat(self, call: Call, target: Target) -> Attempt:
        """A chat completion."""
        check_members(call.body, target)
        quirks = self.quirks.of(target)
        body = chat_body(call, target.upstream, quirks, official=self._official)
        if "messages" in body and (self._official or quirks.thoughts == "refused"):
            body["messages"] = without_foreign_members(body["messages"], call)
            if self._official and "web_search_options" in body:
                body["web_search_options"] = without_foreign_search(body["web_search_options"], call)
        return self._attempt(call, self._url, body, ChatReader)

    def prepare_responses(self, call: Call, target: Target) -> Attempt:
        """A response."""
        return self._attempt(call, self._responses_url, self._responses_body(call, target), _responses_reader)

    def prepare_compaction(self, call: Call, target: Target) -> Attempt:
        """A conversation made shorter. How long it gets is the provider's to say."""
        body = self._responses_body(call, target)
        body.pop("max_output_tokens", None)
        return self._attempt(call, self._responses_url + "/compact", body, _compaction_reader)

    def _responses_body(self, call: Call, target: Target) -> dict[str, Any]:
        check_members(call.body, target)
        return responses_body(call, target.upstream, self.quirks.of(target), table=self._official)

    def prepare_completions(self, call: Call, target: Target) -> Attempt:
        """Texts to go on from, in OpenAI's older words."""
        check_members(call.body, target)
        body = completions_body(call, target.upstream, self.quirks.of(target))
        return self._attempt(call, self._completions_url, body, _completions_reader)

    def prepare_plain(self, call: Call, target: Target) -> Attempt:
        """A call that is no conversation."""
        url, reader = self._settings.base_url + PATHS[call.operation], _plain_reader(call.operation)
        body = plain_body(call, target.upstream, official=self._official)
        if not has_uploads(body):
            return self._attempt(call, url, body, reader)
        content_type, data = write_form(form_of_body(body), call.id)
        request = post_request(url, data, content_type, self._headers, stream=call.stream, accept=_accepted(call))
        return Attempt(request, reader(call, self._secrets))

    def _attempt(self, call: Call, url: str, body: dict[str, Any], reader: MakeReader) -> Attempt:
        request = json_request(url, body, self._headers, stream=call.stream, accept=_accepted(call))
        return Attempt(request, reader(call, self._secrets))

    def models_request(self) -> UpstreamRequest:
        """See `ListingProvider`: `GET /models`."""
        return get_request(self._models_url, self._headers)

    def read_models(self, reply: UpstreamReply) -> list[ListedModel]:
        """See `ListingProvider`. Servers that tell a model's limits do so in members of their own."""
        return listed_models(reply, contexts=_CONTEXTS, outputs=_OUTPUTS)

    def files_request(self, method: str, path: str, content_type: str = "", body: bytes = b"") -> UpstreamRequest:
        """See `FilesProvider`: OpenAI's `/files`."""
        headers = {**self._headers, **({"content-type": content_type} if content_type else {})}
        return UpstreamRequest(f"{self._settings.base_url}/files{path}", headers, body, method=method)

    def read_files_fault(self, reply: UpstreamReply) -> Fault:
        """What an error answer to `files_request` means, without secrets."""
        return redact_fault(fault_from_openai_error(reply.status, reply.body, reply.headers), self._secrets)

    def batches_request(self, method: str, path: str, body: bytes = b"") -> UpstreamRequest:
        """See `BatchesProvider`: OpenAI's `/batches`."""
        headers = {**self._headers, "content-type": "application/json"} if body else dict(self._headers)
        return UpstreamRequest(f"{self._settings.base_url}/batches{path}", headers, body, method=method)

    def batch_url(self, request: UpstreamRequest) -> str:
        """See `BatchesProvider`: the path below the base URL, which OpenAI's begins with `/v1`."""
        base = self._settings.base_url
        return "/v1" + request.url.removeprefix(base) if request.url.startswith(base + "/") else ""

    def bound_input_tokens(self, body: Mapping[str, Any], target: Target) -> int:
        """See `Provider`. Pictures cost differently from model to model."""
        quirks = self.quirks.of(target)
        # Per row and name, as every request asks: there are as many as models.
        known = self._weights.get(target.upstream)
        if known is None or known[0] is not quirks:
            if len(self._weights) >= _MOST_WEIGHTS:  # a pattern of models may have any number of names
                self._weights.clear()
            known = self._weights[target.upstream] = (quirks, weights(self._image_cost(target, quirks)))
        return cap(bound_text_tokens(body, known[1]), target)

    def _image_cost(self, target: Target, quirks: Quirks) -> ImageCost | None:
        most = quirks.image_tokens
        if most is None and self._official:
            return image_cost(target.upstream)
        return None if most is None else ImageCost(most, most)


_BY_OPERATION: Mapping[str, Callable[[OpenAIProvider, Call, Target], Attempt]] = MappingProxyType(
    {**dict.fromkeys(PATHS, OpenAIProvider.prepare_plain), "compact": OpenAIProvider.prepare_compaction}
)
"""What is no conversation, or is one made shorter."""
_BY_DIALECT: Mapping[str, Callable[[OpenAIProvider, Call, Target], Attempt]] = MappingProxyType(
    {
        "chat": OpenAIProvider.prepare_chat,
        "responses": OpenAIProvider.prepare_responses,
        COMPLETIONS: OpenAIProvider.prepare_completions,
    }
)


def _misconfigured(target: Target, option: str, known: Iterable[str]) -> GatewayFault:
    return GatewayFault(
        f"The model {target.model} is not configured correctly.",
        detail=f"models.{target.model}.options.{option}: must be one of {', '.join(known)}",
    )


def _accepted(call: Call) -> str:
    """What the answer is, where it is not what is usual."""
    return "*/*" if call.operation in ("speech", "transcriptions", "translations") else ""


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
