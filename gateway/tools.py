"""What a plugin implements to give models tools that the gateway runs: server tools, web search, reading of pages.

A model sees such a tool as one more function; its calls are executed by the gateway, the results fed back, and the
caller gets the final answer (`gateway.servertools`). A tool never opens a socket: it asks `Net`, which owns
connections, time limits and the guard against addresses that are not for strangers.

Amounts are USD, times seconds, sizes bytes or characters as named.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, Protocol

from gateway.provider import UpstreamReply, UpstreamRequest

ContextSize = Literal["low", "medium", "high"]
"""`search_context_size`: how much of the web a model is shown for one search."""


@dataclass(slots=True, frozen=True)
class Document:
    """What was behind a URL. url: where redirects led. media_type: as the server calls it, lower case, without
    parameters, "" when it did not say. charset: as the server names it, "" when it did not. truncated: there was more.
    """

    url: str
    media_type: str
    data: bytes
    charset: str = ""
    truncated: bool = False


class Net(Protocol):
    """The network as a tool may use it. Every request counts against the time limit of the tool's call."""

    async def exchange(self, request: UpstreamRequest) -> UpstreamReply:
        """Send one request to a service that the operator configured, and wait for its whole answer, whatever its
        status. Raises UpstreamFault. Never for addresses that a model or a caller named: those are for `fetch`."""

    async def fetch(self, url: str) -> Document:
        """GET a page of the public internet through the guard; redirects are checked like the first address. Raises
        `ToolFault` that says why not, in words that a model may read."""


class ToolFault(Exception):
    """A tool cannot do what was asked. The text is told to the model and shown to the caller; it names no address of
    the operator's network and no credential. detail: for the operator's log."""

    def __init__(self, text: str, detail: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.detail = detail


# -- search ----------------------------------------------------------------------------------------------------


@dataclass(slots=True, frozen=True)
class SearchQuery:
    """One search. count: results wanted. allowed_domains, blocked_domains: hosts with their subdomains; the gateway
    filters the results too, so a service without such filters may leave them out. location: of the asking user, any
    of `city`, `region`, `country` (two letters), `timezone` (IANA). size: see `ContextSize`."""

    text: str
    count: int = 5
    allowed_domains: tuple[str, ...] = ()
    blocked_domains: tuple[str, ...] = ()
    location: Mapping[str, str] = field(default_factory=dict)
    size: ContextSize = "medium"


@dataclass(slots=True, frozen=True)
class SearchResult:
    """One page that a search found. text: the snippet, plain text. published: as the service writes it, or ""."""

    url: str
    title: str
    text: str = ""
    published: str = ""


class SearchBackend(Protocol):
    """One configured search service. name: the instance's name in the YAML."""

    name: str

    async def search(self, query: SearchQuery, net: Net) -> Sequence[SearchResult]:
        """The best results first. Raises UpstreamFault or ToolFault when the service fails; the next back-end is then
        asked."""

    async def read(self, url: str, net: Net) -> Page | None:
        """The page behind `url`, of a service that has the text itself; None lets the page reader fetch it."""


@dataclass(slots=True, frozen=True)
class SearchKind:
    """A kind of search service that a plugin registers: `create(name, settings)` builds one instance.

    kind: the value of `plugin:` in the YAML. settings_model: the pydantic model of the instance's section (without
    `plugin`). `ready(settings)` returns "" or why the instance is switched off (e.g. no API key).
    development: made-up results, used only while nothing else is ready, for models that are free.
    """

    kind: str
    settings_model: type[Any]
    create: Callable[[str, Any], SearchBackend] = field(repr=False)
    ready: Callable[[Any], str] = field(repr=False)
    development: bool = False


@dataclass(slots=True, frozen=True)
class Page:
    """A web page as a model reads it: plain text or Markdown."""

    url: str
    title: str
    text: str


class PageReader(Protocol):
    """Makes readable text of what `Net.fetch` brought. Runs in a thread: it may take its time, and must not touch the
    event loop."""

    def read(self, document: Document) -> Page:
        """Raises ToolFault for content that has no text."""


# -- tools -----------------------------------------------------------------------------------------------------


@dataclass(slots=True, frozen=True)
class Source:
    """A page that a result rests on."""

    url: str
    title: str = ""


@dataclass(slots=True, frozen=True)
class ToolImage:
    """An image in a result. data: base64. media_type: `image/png`, ..."""

    media_type: str
    data: str


@dataclass(slots=True, frozen=True)
class ToolResult:
    """What a tool found. text: for the model. sources: become citations where the answer links to them. images: shown
    to models that can see. structured: the same as data, for callers. error: the call failed, and `text` says how."""

    text: str
    sources: tuple[Source, ...] = ()
    images: tuple[ToolImage, ...] = ()
    structured: Mapping[str, Any] | None = None
    error: bool = False


class ToolRun(Protocol):
    """One call of a tool, seen from the tool. net: the network. request_id: of the request it belongs to, for logs.
    account_id, key_id: for whom it runs."""

    net: Net
    request_id: str
    account_id: str
    key_id: str

    def progress(self, text: str) -> None:
        """Tell a caller who streams how far it is; keeps the connection alive too."""


@dataclass(slots=True, frozen=True)
class ServerTool:
    """A tool that a plugin registers. A request asks for it by `{"type": name}` in its `tools`.

    name: letters, digits, `_` and `-`; also the name of the function that the model sees.
    description: for the model. parameters: JSON schema of an object.
    call: `await call(arguments, run)`; arguments are the model's, an object that nobody has checked. Raises ToolFault;
        anything else it raises is a bug, which the model is told as a failure without details.
    price: USD per call that was begun. timeout: seconds for one call.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    call: Callable[[dict[str, Any], ToolRun], Awaitable[ToolResult]] = field(repr=False)
    price: Decimal = Decimal(0)
    timeout: float = 30.0
