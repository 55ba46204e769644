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


@dataclass(slots=True, frozen=True)
class Profile:
    """The capabilities of one target.

    dialects: which the upstream is spoken to in. Without `chat`, a chat call is bridged into `responses`.
    operations: names of `gateway.operations.OPERATIONS` that it does.
    max_choices: the most choices (`n`) of one request, None for any number. For more, the gateway sends as many
        requests as it takes, each with a body without `n`, and the prompt is paid for each time.
    understands: what the upstream's chat dialect has beyond the common ground, names of
        `gateway.wire.bridge.request.Abilities`: `custom_tools`, `allowed_tools`, `tool_media`, `tool_marks`.
        What is missing is emulated for callers of the Responses API.
    media: `bytes` when the upstream takes media as bytes only: the gateway then fetches the URLs that the provider's
        `media_urls` names.
    on_disconnect: what happens upstream when the caller leaves: `cancel` closes the connection and bills what was
        received; `drain` reads on (bounded) and bills in full.
    web_search: whether it takes `{"type": "web_search"}` among chat's tools, and searches itself.
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
    tool_names: str = COMMON_NAMES
    counts: Dialect = ""


PLAIN = Profile()
"""What any server can that speaks chat."""
