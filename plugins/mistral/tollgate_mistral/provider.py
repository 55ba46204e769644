"""One configured instance of Mistral's chat completions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
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
    bearer_header,
    get_request,
    json_request,
    listed_models,
    post_request,
    redact_fault,
)

from .embeddings import ListReader, embeddings_body
from .estimate import bound_input
from .faults import fault_from_reply
from .plain import TranscriptReader, VerdictReader, moderation_body, operations_of, transcription_form
from .quirks import TABLE
from .reader import FaultsReader, MistralReader
from .request import chat_body
from .settings import Settings


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
        return _PREPARE[call.operation](self, call, target)

    def prepare_chat(self, call: Call, target: Target) -> Attempt:
        """A chat completion."""
        return self._attempt(call, "/chat/completions", chat_body(call, target, self.quirks.of(target)), MistralReader)

    def prepare_embeddings(self, call: Call, target: Target) -> Attempt:
        """Vectors of texts."""
        return self._attempt(call, "/embeddings", embeddings_body(call, target), ListReader)

    def prepare_transcription(self, call: Call, target: Target) -> Attempt:
        """The text of a recording."""
        content_type, data = transcription_form(call, target)
        url = f"{self.settings.base_url}/audio/transcriptions"
        request = post_request(url, data, content_type, bearer_header(self._secrets[0]), stream=False)
        return Attempt(request, TranscriptReader(call, self._secrets))

    def prepare_moderation(self, call: Call, target: Target) -> Attempt:
        """Verdicts on texts."""
        return self._attempt(call, "/moderations", moderation_body(call, target), VerdictReader)

    def _attempt(self, call: Call, path: str, body: dict[str, Any], reader: type[FaultsReader]) -> Attempt:
        key = bearer_header(self._secrets[0])
        request = json_request(self.settings.base_url + path, body, key, stream=call.stream)
        return Attempt(request, reader(call, self._secrets))

    def models_request(self) -> UpstreamRequest:
        """See `ListingProvider`: `GET /models`."""
        return get_request(self.settings.base_url + "/models", bearer_header(self._secrets[0]))

    def read_models(self, reply: UpstreamReply) -> list[ListedModel]:
        """The models in the answer, with the limits that it tells. Raises UpstreamFault when it is no list."""
        return listed_models(reply, contexts=("max_context_length",))

    def files_request(self, method: str, path: str, content_type: str = "", body: bytes = b"") -> UpstreamRequest:
        """See `FilesProvider`: Mistral's `/files` is OpenAI's."""
        headers = {
            **bearer_header(self._secrets[0]),
            "accept": "*/*",
            **({"content-type": content_type} if content_type else {}),
        }
        return UpstreamRequest(f"{self.settings.base_url}/files{path}", headers, body, method=method)

    def read_files_fault(self, reply: UpstreamReply) -> Fault:
        """What an error answer to `files_request` means, without secrets."""
        return redact_fault(fault_from_reply(reply), self._secrets)

    def bound_input_tokens(self, body: Mapping[str, Any], target: Target) -> int:
        """An upper bound in tokens of the input that this chat body makes at `target`."""
        return bound_input(body, target, self.quirks.of(target).image_tokens)


_PREPARE: Mapping[str, Callable[[MistralProvider, Call, Target], Attempt]] = MappingProxyType(
    {
        "chat": MistralProvider.prepare_chat,
        "embeddings": MistralProvider.prepare_embeddings,
        "transcriptions": MistralProvider.prepare_transcription,
        "moderations": MistralProvider.prepare_moderation,
    }
)
