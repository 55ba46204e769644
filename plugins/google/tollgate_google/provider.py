"""One configured instance of Google's Gemini API."""

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
    count_in,
)

from .costs import TOOLS, check_costs
from .embeddings import ListReader, embeddings_body
from .estimate import bound_input
from .faults import fault_from_reply, tidy
from .images import GoogleImagesReader, images_request, operations_of
from .inbound.native import GENERATE, NativeReader, native_body
from .models import models, read_models
from .parts import media_urls
from .quirks import TABLE
from .reading import Reading
from .reply import GeminiReader
from .request import build, draft_request, post, resource
from .settings import Settings
from .speech import GoogleSpeechReader, speech_request
from .tools import TOOL_NAMES


class GoogleProvider:
    """One configured instance; implements `gateway.api.CountingProvider`. Holds nothing but its settings."""

    transport: Transport | None = None

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.settings = settings
        self.quirks = TABLE.of_instance(settings.quirks)
        self._secret = settings.api_key.get_secret_value()

    def profile(self, target: Target) -> Profile:
        """See `gateway.api.Provider`: beside the hub's dialect Google's own, in which callers may speak, too. How many
        choices one request may ask for differs from model to model."""
        return Profile(
            dialects=frozenset({"chat", GENERATE}),
            operations=operations_of(target.upstream),
            max_choices=self.quirks.of(target).candidates,
            media="bytes",
            understands=frozenset({"activity", "allowed_tools", "tool_media", "tool_marks", "top_k"}),
            on_disconnect=self.settings.on_disconnect,
            # Most models refuse Google's search beside functions.
            web_search="alone",
            tools=TOOLS,
            tool_names=TOOL_NAMES,
            counts=GENERATE,
        )

    def prepare(self, call: Call, target: Target) -> Attempt:
        """The request for this call, and the reader of its answer."""
        make = _BY_OPERATION.get(call.operation) or _BY_DIALECT[call.dialect]
        return make(self, call, target)

    def prepare_chat(self, call: Call, target: Target) -> Attempt:
        """A chat completion, by generateContent."""
        draft, reading = draft_request(call, target, self.settings, self.quirks.of(target))
        check_costs(draft.out, self.settings.root, target)
        return Attempt(build(draft, target, self.settings), GeminiReader(call, reading, (self._secret,)))

    def prepare_native(self, call: Call, target: Target) -> Attempt:
        """A request in Google's own words."""
        method = "streamGenerateContent?alt=sse" if call.stream else "generateContent"
        body = native_body(call, self.settings.safety_settings)
        check_costs(body, self.settings.root, target)
        request = post(target, method, body, self.settings, stream=call.stream)
        reading = Reading(every_search=self.quirks.of(target).searches == "each")
        return Attempt(request, NativeReader(call, reading, (self._secret,)))

    def prepare_embeddings(self, call: Call, target: Target) -> Attempt:
        """Vectors of texts."""
        body = embeddings_body(call, resource(target))
        request = post(target, "batchEmbedContents", body, self.settings, stream=False)
        return Attempt(request, ListReader(call, (self._secret,)))

    def prepare_images(self, call: Call, target: Target) -> Attempt:
        """Images, new ones or edited."""
        return Attempt(images_request(call, target, self.settings), GoogleImagesReader(call, (self._secret,)))

    def prepare_speech(self, call: Call, target: Target) -> Attempt:
        """Speech, as samples or WAV."""
        return Attempt(speech_request(call, target, self.settings), GoogleSpeechReader(call, (self._secret,)))

    def read_fault(self, reply: UpstreamReply) -> Fault:
        """What an error answer to `build_count` means."""
        return tidy(fault_from_reply(reply), (self._secret,))

    def build_count(self, call: Call, body: Mapping[str, Any], target: Target) -> UpstreamRequest:
        """The request that lets Google count the input of a generateContent body, at no cost."""
        inner = {**body, "model": resource(target)}
        return post(target, "countTokens", {"generateContentRequest": inner}, self.settings, stream=False)

    def read_count(self, reply: UpstreamReply) -> int | None:
        """The number in an answer to `build_count`."""
        return count_in(reply, "totalTokens")

    def models_request(self) -> UpstreamRequest:
        """See `ListingProvider`: `GET /models`, a page of a thousand."""
        return models(self.settings)

    def read_models(self, reply: UpstreamReply) -> list[ListedModel]:
        """The models in the answer, with the limits that it tells. Raises UpstreamFault when it is no list."""
        return read_models(reply)

    def bound_input_tokens(self, body: Mapping[str, Any], target: Target) -> int:
        """See `gateway.api.Provider`. Media cost differently from model to model; its context bounds the whole."""
        return bound_input(body, self.quirks.of(target), target.context)

    def media_urls(self, body: Mapping[str, Any]) -> list[str]:
        """The http(s) URLs in a chat body that Gemini needs as bytes, for the gateway to fetch and put in place as
        data URLs. What Google reads itself (its Files API, YouTube) is not among them."""
        return media_urls(body)


_BY_OPERATION: Mapping[str, Callable[[GoogleProvider, Call, Target], Attempt]] = MappingProxyType(
    {
        "embeddings": GoogleProvider.prepare_embeddings,
        "images": GoogleProvider.prepare_images,
        "image_edits": GoogleProvider.prepare_images,
        "speech": GoogleProvider.prepare_speech,
    }
)
"""What is no conversation."""
_BY_DIALECT: Mapping[str, Callable[[GoogleProvider, Call, Target], Attempt]] = MappingProxyType(
    {"chat": GoogleProvider.prepare_chat, GENERATE: GoogleProvider.prepare_native}
)
