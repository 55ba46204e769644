"""What a target can, as data: asked of its provider once at start, and kept with the target in the catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gateway.wire.tool_names import COMMON_NAMES

Dialect = str
"""The API dialect of a body: `chat` (OpenAI Chat Completions, the hub format), `responses` (OpenAI Responses), or one
of a plugin's own, which its inbound dialect writes and its provider understands."""

DisconnectPolicy = Literal["cancel", "drain"]
MediaForm = Literal["any", "bytes"]
WebSearch = Literal["no", "alone", "yes"]
"""A web search of the provider's own: none, only in requests without functions, or in any."""

CHAT: frozenset[Dialect] = frozenset({"chat"})

COMPLETIONS: Dialect = "completions"
"""Of OpenAI's older `POST /completions`: the name of its dialect, and of what a model does that knows no chat."""


@dataclass(slots=True, frozen=True)
class Profile:
    """The capabilities of one target.

    dialects: which the upstream is spoken to in. Without `chat`, a chat call is bridged into `responses`. With
        `completions`, texts to go on from are sent as they are; without it, as a chat.
    operations: names of `gateway.operations.OPERATIONS` that it does.
    max_choices: the most choices (`n`) of one request, None for any number. For more, the gateway sends as many
        requests as it takes, each with a body without `n`, and the prompt is paid for each time.
    understands: what the upstream's chat dialect has beyond the common ground; what is missing is emulated, told in
        words, or left out and reported. `extensions`: whatever servers have added to OpenAI's dialect
        (`gateway.wire.chat.extensions`); `top_k`, `thinking` (as Anthropic has it): these alone. `custom_tools`,
        `allowed_tools`: see `gateway.wire.bridge.request.Abilities`. `tool_media`, `tool_marks`: media in results of
        tools; their `is_error` and `cache_control`. `activity`: `x_gateway` of earlier answers, of which the provider
        tells the rest in words (`tell_activity`). `functions`: `functions`, the older form of `tools`, with
        `function_call` in messages.
    media: `bytes` when the upstream takes media as bytes only: the gateway then fetches the URLs that the provider's
        `media_urls` names.
    on_disconnect: what happens upstream when the caller leaves: `cancel` closes the connection and bills what was
        received; `drain` reads on (bounded) and bills in full.
    web_search: whether it takes `{"type": "web_search"}` among chat's tools, and searches itself.
    tools: types of tools, with `*` for any rest, that it may be asked to run or to call beside functions, because they
        cost no more than the model's prices say: tokens, and searches that its usage counts. Others are refused, unless
        the operator lets them through.
    tool_names: a pattern that the whole name of a function must match there, "" for any name. In chat and in Responses
        the gateway renames what does not, and gives the answer back with the caller's own names.
    counts: the dialect of which the upstream counts tokens, "" for none; see `gateway.provider.CountingProvider`.
    """

    dialects: frozenset[Dialect] = CHAT
    operations: frozenset[str] = CHAT
    max_choices: int | None = None
    understands: frozenset[str] = frozenset()
    media: MediaForm = "any"
    on_disconnect: DisconnectPolicy = "cancel"
    web_search: WebSearch = "no"
    tools: tuple[str, ...] = ()
    tool_names: str = COMMON_NAMES
    counts: Dialect = ""


PLAIN = Profile()
"""What any server can that speaks chat."""
