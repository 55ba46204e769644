"""One configured instance of Moonshot's Kimi API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gateway.api import (
    BOUND,
    Attempt,
    Call,
    ListedModel,
    Profile,
    Target,
    Transport,
    UpstreamReply,
    UpstreamRequest,
    bearer_header,
    bound_text_tokens,
    get_request,
    json_request,
    listed_models,
)

from .messages import media_urls
from .quirks import TABLE
from .reply import MoonshotReader
from .request import draft_request
from .settings import Settings
from .tools import TOOL_NAMES


class MoonshotProvider:
    """One configured instance; implements `gateway.api.MediaProvider`. Holds nothing but its settings."""

    transport: Transport | None = None

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.settings = settings
        self.quirks = TABLE.of_instance(settings.quirks)
        self._secrets = (settings.api_key.get_secret_value(),)

    def profile(self, target: Target) -> Profile:
        """See `gateway.api.Provider`. What it understands is emulated here already (see `tools`)."""
        self.quirks.of(target)
        return Profile(
            max_choices=1,
            understands=frozenset({"allowed_tools", "thinking"}),
            media="bytes",
            tool_names=TOOL_NAMES,
            on_disconnect=self.settings.on_disconnect,
        )

    def media_urls(self, body: Mapping[str, Any]) -> list[str]:
        """The addresses of pictures and videos in `body`: the gateway fetches them and puts data URLs in their place
        before it asks for the request, because Moonshot takes nothing else."""
        return media_urls(body)

    def prepare(self, call: Call, target: Target) -> Attempt:
        """See `gateway.api.Provider`. Raises CallerFault for a body that cannot be written as JSON."""
        draft = draft_request(call, target, self.quirks.of(target))
        request = json_request(self.settings.endpoint, draft.out, bearer_header(self._secrets[0]), stream=call.stream)
        return Attempt(request, MoonshotReader(call, self._secrets))

    def models_request(self) -> UpstreamRequest:
        """See `ListingProvider`: `GET /models`."""
        return get_request(self.settings.base_url + "/models", bearer_header(self._secrets[0]))

    def read_models(self, reply: UpstreamReply) -> list[ListedModel]:
        """The models in the answer, with the limits that it tells. Raises UpstreamFault when it is no list."""
        return listed_models(reply, contexts=("context_length",))

    def bound_input_tokens(self, body: Mapping[str, Any], target: Target) -> int:
        """See `gateway.api.Provider`. A picture makes at most 4,096 patches (Kimi's image processor, pre-merge limit
        16,384 of which four become one)."""
        image = self.quirks.of(target).image_tokens
        tokens = bound_text_tokens(body, replace(BOUND, image=image, image_low=image))
        return tokens if target.context is None else min(tokens, target.context)
