"""What a provider plugin implements: pure translation between the hub format and one provider's wire.

A provider never opens a socket. It says what to send (`build_request`), and reads what came back
(`read_reply`, `open_stream`, `read_fault`); the gateway owns connections, time limits, retries and fallback.
So a provider is tested with recorded bytes alone, split at every position.

The hub format is OpenAI's Chat Completions dict with unknown keys preserved; streams are its chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from gateway.call import Call, Dialect, Target
from gateway.errors import Fault

StreamItem = bytes | dict[str, Any] | Fault
"""One thing a stream decoder found: a chat chunk as its raw JSON bytes (same dialect, not parsed),
a chat chunk as a dict (translated), or an error event the provider sent inside the stream."""


@dataclass(slots=True)
class UpstreamRequest:
    """What to send. `url` is absolute (http or https); `headers` have lower-case names and include the
    provider's credentials; `body` is ready to send. `stream` says that an SSE answer is expected."""

    url: str
    headers: dict[str, str]
    body: bytes
    method: str = "POST"
    stream: bool = False


@dataclass(slots=True)
class UpstreamReply:
    """A whole answer: HTTP status, headers with lower-case names, and the complete body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class StreamDecoder(Protocol):
    """An incremental reader of one streamed answer. Pure: bytes in, chat chunks out, at any split.

    done: the dialect's own end marker was seen (`data: [DONE]`, `message_stop`, ...). A stream whose
        connection ends while `done` is false is a cut unless every choice already has a finish_reason.
    """

    done: bool

    def feed(self, data: bytes) -> list[StreamItem]:
        """Take the next bytes; return what they completed. After a Fault item nothing more is fed."""

    def finish(self) -> list[StreamItem]:
        """The connection ended; return what was still held back."""


class Sink(Protocol):
    """Receiver of one upstream exchange. Called from the transport's own callback, never concurrently:
    `head` at most once, then `data` any number of times, then `end` exactly once."""

    def head(self, status: int, headers: Mapping[str, str]) -> None: ...

    def data(self, chunk: bytes) -> None: ...

    def end(self, fault: Fault | None) -> None: ...


class Exchange(Protocol):
    """The running upstream request, seen from the sink's side."""

    def pause(self) -> None:
        """Stop reading from upstream until `resume`; at most what is in flight is still delivered."""

    def resume(self) -> None: ...

    def cancel(self) -> None:
        """Close the upstream connection now. `end` is not called afterwards."""


class Transport(Protocol):
    """Carries requests to an upstream and pushes the answer into a sink."""

    def send(self, request: UpstreamRequest, sink: Sink) -> Exchange: ...


@runtime_checkable
class Provider(Protocol):
    """One configured provider instance.

    name: the instance's name in the YAML.
    speaks: which dialects the upstream understands natively. For `responses`, `call.dialect` says in which one a call
        is to be made: then `call.body` is a Responses body (`native_request`), the whole answer is a response object
        (`read_response`), and the stream's items are its events as the JSON bytes of their data, the last of them the
        terminal one (`ResponsesEventDecoder`). A provider that speaks only `responses` is reached from chat by bridging
        back.
    dialects (optional): a method `dialects(target)` for a provider whose models differ in what they speak.
    on_disconnect: what happens upstream when the caller leaves: `cancel` closes the connection and bills
        what was received; `drain` reads on (bounded) and bills in full.
    transport: None for HTTP through the gateway's connection pool; a local model brings its own.
    understands (optional): what the upstream's chat dialect has beyond the common ground, names of
        `gateway.wire.bridge.request.Abilities`: `custom_tools`, `allowed_tools`, `tool_media`. What is missing is
        emulated for callers of the Responses API.
    max_n (optional): the most choices that one request can give; without it, any number. The gateway then sends as
        many requests as it takes, each with a body without `n`.
    """

    name: str
    speaks: frozenset[Dialect]
    on_disconnect: Literal["cancel", "drain"]
    transport: Transport | None

    def build_request(self, call: Call, target: Target) -> UpstreamRequest:
        """The request for this call. Appends to `call.dropped` what cannot be carried; raises CallerFault
        (naming the field) for what must not be attempted. `call.max_output`, when set, is always sent.
        For a chat call that streams, usage is always asked for."""

    def read_reply(self, call: Call, reply: UpstreamReply) -> dict[str, Any]:
        """A successful (2xx) whole answer as a chat completion. Raises UpstreamFault when it makes no sense."""

    def open_stream(self, call: Call) -> StreamDecoder:
        """A fresh decoder for this call's streamed answer."""

    def read_fault(self, reply: UpstreamReply) -> Fault:
        """An error answer (status >= 400) in the contract's terms. Never repeats the operator's credentials."""

    def bound_input_tokens(self, body: Mapping[str, Any], target: Target | None = None) -> int:
        """An upper bound in tokens of the input that this chat body makes at `target` (None: at the dearest model);
        never less than its true size."""


@runtime_checkable
class Embeds(Protocol):
    """What a provider offers besides when its models make embeddings. The hub format is OpenAI's `POST /embeddings`:
    a body with `input`, and a list object with `data` and `usage`."""

    def build_embeddings(self, call: Call, target: Target) -> UpstreamRequest:
        """As `Provider.build_request`, for a call whose `operation` is `embeddings`."""

    def read_embeddings(self, call: Call, reply: UpstreamReply) -> dict[str, Any]:
        """A successful whole answer as OpenAI's list object. Raises UpstreamFault when it makes no sense."""


@runtime_checkable
class WantsMedia(Protocol):
    """Optional for a provider: its upstream takes media as bytes only, and the gateway fetches what has a URL.

    Where the operator has enabled `fetch`, `build_request` gets a call with another body, in which each of these URLs
    is a `data:` URL of the type that the content really has: in the same place, except that `file_url` becomes
    `file_data`, and a source `{"type": "url", "url"}` becomes `{"type": "base64", "media_type", "data"}`. What other
    targets get stays as the caller sent it. Where fetching is disabled, such a call is refused.

    The hold for the input is made before anything is fetched, and is not made larger afterwards. So
    `bound_input_tokens` takes a URL that is named here for the dearest media that can be behind it.
    """

    def media_urls(self, body: Mapping[str, Any]) -> list[str]:
        """The URLs in the content parts of this chat body that are needed as bytes, in order. Never raises."""


def dialects_at(provider: Provider, target: Target) -> frozenset[Dialect]:
    """What `provider` speaks at this target."""
    ask = getattr(provider, "dialects", None)
    return provider.speaks if ask is None else ask(target)


@dataclass(slots=True, frozen=True)
class ProviderKind:
    """A kind of provider that a plugin registers: `create(name, settings)` builds one instance.

    kind: the value of `plugin:` in the YAML. settings_model: the pydantic model of the instance's section
    (without `plugin`). `ready(settings)` returns "" or why the instance is switched off (e.g. no API key).
    price_source: for `gateway catalogue`, this provider's id in the data package `genai-prices`, or the address of its
    API; or a function of the settings that returns one of them, "" for neither.
    """

    kind: str
    settings_model: type[Any]
    create: Any = field(repr=False)
    ready: Any = field(repr=False)
    price_source: str | Callable[[Any], str] = ""
