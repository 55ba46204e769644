"""What a provider plugin implements: pure translation between the hub format and one provider's wire.

A provider never opens a socket. For each attempt it says what to send and how the answer to exactly that is to be read
(`prepare`); the gateway owns connections, time limits, retries and fallback. So a provider is tested with recorded
bytes alone, split at every position.

The hub format is OpenAI's Chat Completions dict with unknown keys preserved; streams are its chunks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.call import Call, Target
from gateway.errors import Fault
from gateway.profile import Dialect, Profile
from gateway.wire.event_decoder import StreamItem as StreamItem
from gateway.wire.tokens import estimate_tokens


@dataclass(slots=True)
class UpstreamRequest:
    """What to send. `url` is absolute (http or https); `headers` have lower-case names and include the
    provider's credentials; `body` is ready to send. `stream` says that an SSE answer is expected. `connect`: seconds
    for opening a connection, set by the gateway where it is another than usual."""

    url: str
    headers: dict[str, str]
    body: bytes
    method: str = "POST"
    stream: bool = False
    connect: float | None = None


@dataclass(slots=True)
class UpstreamReply:
    """A whole answer: HTTP status, headers with lower-case names, and the complete body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True, frozen=True)
class ListedModel:
    """A model as its provider lists it. id: the name there. context, max_output: limits in tokens, None when they are
    not known."""

    id: str
    context: int | None = None
    max_output: int | None = None


class StreamDecoder(Protocol):
    """An incremental reader of one streamed answer. Pure: bytes in, chat chunks out, at any split.
    `gateway.wire.event_decoder` has bases that leave to a dialect what its events mean.

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


class Tally(Protocol):
    """Sees every item of one stream, once, on its way from the decoder to the caller's side: finds what to bill.

    usage: the last usage that the upstream told, in the names of chat; None while there is none. Other counts are
        another object: one that was looked at is not looked at again.
    finish_reason: of the first choice that ended, in the words of chat; "" while none has.
    text_bytes: bytes in UTF-8 of all that the model wrote so far (text, reasoning, refusals, names and arguments of
        tool calls), in whatever spelling it came. chunks: items that held any of it.
    text_tokens (optional): the tokens that this text is expected to make (`WrittenTokens`); without it four bytes are
        one.
    complete: the answer is whole, whatever else is missing: every choice has said why it ended.
    opening (optional): True while what came only says that an answer begins (an id, a role, what the input counts), so
        that another try may still take its place; a tally without it says that each item is part of an answer.
    """

    @property
    def usage(self) -> dict[str, Any] | None: ...

    @property
    def finish_reason(self) -> str: ...

    @property
    def text_bytes(self) -> int: ...

    @property
    def chunks(self) -> int: ...

    @property
    def complete(self) -> bool: ...

    def add(self, items: list[StreamItem]) -> list[StreamItem]:
        """Take what the decoder gave; return what the caller's side shall get of it: the same items, or parsed ones
        in their place. Never raises; nonsense becomes a Fault item, the last one."""

    def cut(self) -> None:
        """The gateway ends the answer here: what has no finish_reason yet ends with `length`."""


def written_output(tally: Tally) -> int:
    """The output tokens that a stream is expected to have brought so far: by its text, and one at least for each item,
    as providers send them."""
    return max(estimate_tokens(tally.text_bytes), math.ceil(getattr(tally, "text_tokens", 0)), tally.chunks)


@dataclass(slots=True)
class Answer:
    """A whole answer.

    body: as `dialect` has it. usage: as the upstream told it, in the names of chat, or None; once the call is billed,
    what is shown to the caller. finish_reason: of the first choice, in the words of chat, "" when unknown.
    output_tokens: of all that the model wrote, estimated, should there be no usage.
    shorten: ends such a body after so many tokens of text (of each choice), as `gateway.wire.shortening` does; None for
    one that is no text. unfold: the items of a stream that says the same as such a body, see `Reader.unfold`.
    overran: it was longer than its limit, and was ended there.
    """

    body: dict[str, Any]
    dialect: Dialect
    usage: dict[str, Any] | None = None
    finish_reason: str = ""
    output_tokens: int = 0
    shorten: Callable[[dict[str, Any], int], dict[str, Any]] | None = None
    unfold: Callable[[dict[str, Any]], Sequence[StreamItem]] | None = None
    overran: bool = False


class Reader(Protocol):
    """Understands the answer to one request. `gateway.readers` has bases for the usual dialects.

    dialect: of what it gives out: of the answer's body, and of the stream's items.
    """

    dialect: Dialect

    def read_reply(self, reply: UpstreamReply) -> Answer:
        """A successful (2xx) whole answer, measured. Raises UpstreamFault when it makes no sense."""

    def is_stream(self, headers: Mapping[str, str]) -> bool:
        """Whether a successful answer with these headers (lower-case names) is the stream that was asked for; what is
        none is collected, and goes through `unfold`."""

    def open_stream(self) -> StreamDecoder:
        """A fresh decoder for the streamed answer. For `chat` its items are chat chunks; for `responses` the events as
        the JSON bytes of their data, the last of them the terminal one; for others what the dialect's relay takes."""

    def open_tally(self, choices: int) -> Tally:
        """A fresh tally for the items of the stream. choices: how many were asked for (`n`)."""

    def read_fault(self, reply: UpstreamReply) -> Fault:
        """An error answer (status >= 400) in the contract's terms. Never repeats the operator's credentials."""

    def unfold(self, reply: UpstreamReply) -> list[StreamItem]:
        """The stream's items for a whole answer that came although a stream was asked for. Raises UpstreamFault."""


@dataclass(slots=True, frozen=True)
class Attempt:
    """One request to an upstream, and what understands its answer."""

    request: UpstreamRequest
    reader: Reader


class Provider(Protocol):
    """One configured provider instance. Checked at load: a method that is missing, or takes other arguments, or is
    `async`, stops the start.

    name: the instance's name in the YAML.
    transport: None for HTTP through the gateway's connection pool; a local model brings its own.
    """

    name: str
    transport: Transport | None

    def profile(self, target: Target) -> Profile:
        """What this target can. Asked once per target, at start. Raises ValueError or GatewayFault for options of the
        model (from YAML) that make no sense; the start then fails and says where they stand."""

    def prepare(self, call: Call, target: Target) -> Attempt:
        """The request for this call, and the reader of its answer. `call.operation` is one of the profile's,
        `call.dialect` one of its dialects, and `call.body` is in that dialect (for what is no chat: the body of
        OpenAI's route, with files as `Upload`s). Reports with `call.report_dropped` what cannot be carried; raises
        CallerFault (naming the field) for what must not be attempted. `call.max_output`, when set, is always sent. For
        a chat call that streams, usage is always asked for. May be called again for a retry; leaves nothing behind in
        the call."""

    def bound_input_tokens(self, body: Mapping[str, Any], target: Target) -> int:
        """An upper bound in tokens of the input that this chat body makes at `target`; never less than it really is."""


class MediaProvider(Provider, Protocol):
    """A provider whose profile says `media="bytes"`: its upstream takes media as bytes only, and the gateway fetches
    what has a URL.

    Where the operator has enabled `fetch`, `prepare` gets a call with another body, in which each of these URLs
    is a `data:` URL of the type that the content really has: in the same place, except that `file_url` becomes
    `file_data`, and a source `{"type": "url", "url"}` becomes `{"type": "base64", "media_type", "data"}`. What other
    targets get stays as the caller sent it. Where fetching is disabled, such a call is refused.

    The hold for the input is made before anything is fetched, and is not made larger afterwards. So
    `bound_input_tokens` takes a URL that is named here for the dearest media that can be behind it.
    """

    def media_urls(self, body: Mapping[str, Any]) -> list[str]:
        """The URLs in the content parts of this chat body that are needed as bytes, in order. Never raises."""


class CountingProvider(Provider, Protocol):
    """A provider whose profile names a dialect that its upstream counts tokens of (`counts`), at no cost."""

    def build_count(self, call: Call, body: Mapping[str, Any], target: Target) -> UpstreamRequest:
        """The request that has `body`, in that dialect, counted. Raises CallerFault for what cannot be sent."""

    def read_count(self, reply: UpstreamReply) -> int | None:
        """The number in a successful answer, None when it holds none. Never raises."""

    def read_fault(self, reply: UpstreamReply) -> Fault:
        """What an error answer to that request means. Never repeats the operator's credentials."""


class ListingProvider(Provider, Protocol):
    """A provider that can be asked which models it has, for entries such as `local/*` under `models`."""

    def models_request(self) -> UpstreamRequest:
        """The request for the list."""

    def read_models(self, reply: UpstreamReply) -> list[ListedModel]:
        """The list in an answer, whatever its status. Raises UpstreamFault when it is none."""


class FilesProvider(Provider, Protocol):
    """A provider that keeps files for the operator's account, as OpenAI's `/files` does (API reference); named in
    `files.providers`."""

    def files_request(self, method: str, path: str, content_type: str = "", body: bytes = b"") -> UpstreamRequest:
        """The request to `path` below its files: "" for all of them, `/ID`, `/ID/content`. body: a form, for POST."""

    def read_files_fault(self, reply: UpstreamReply) -> Fault:
        """What an error answer (status >= 300) to such a request means. Never repeats the operator's credentials."""


class BatchesProvider(FilesProvider, Protocol):
    """A provider of files that answers many requests at once, as OpenAI's `/batches` does (API reference); named in
    `batches.providers`."""

    def batches_request(self, method: str, path: str, body: bytes = b"") -> UpstreamRequest:
        """The request to `path` below its batches: "" and `?limit=100` for all of them, `/ID`, `/ID/cancel`. body:
        JSON, for POST. An error answer is read by `read_files_fault`."""

    def batch_url(self, request: UpstreamRequest) -> str:
        """Where a line of a batch goes that makes this request, which `prepare` made: such as `/v1/chat/completions`;
        "" for what can be no line."""


@dataclass(slots=True, frozen=True)
class ProviderKind:
    """A kind of provider that a plugin registers: `create(name, settings)` builds one instance.

    kind: the value of `plugin:` in the YAML. settings_model: the pydantic model of the instance's section
    (without `plugin`). `ready(settings)` returns "" or why the instance is switched off (e.g. no API key).
    price_source: for `gateway catalogue`, this provider's id in the data package `genai-prices`, or the address of its
    API; or a function of the settings that returns one of them, "" for neither.
    embedded: its model is part of the gateway, needs neither key nor network, and stands in for all others as long as
    no provider has what it needs (`gateway.blueprint`).
    """

    kind: str
    settings_model: type[Any]
    create: Any = field(repr=False)
    ready: Any = field(repr=False)
    price_source: str | Callable[[Any], str] = ""
    embedded: bool = False
