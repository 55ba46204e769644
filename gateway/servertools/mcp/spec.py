"""An MCP server as one request may use it, and what can go wrong with it. Free of the SDK."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Literal

from gateway.config import AllowedHost, FetchSettings, McpServerSettings
from gateway.fetch.urls import UrlProblem, parse_url
from gateway.tools import ToolFault

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_OURS = frozenset(
    "host content-length transfer-encoding connection upgrade te trailer keep-alive expect accept accept-encoding "
    "content-type content-encoding mcp-session-id mcp-protocol-version last-event-id proxy-authorization".split()
)
"""Headers that a request may not set: the protocol's, and those that could split a message."""


class McpFault(ToolFault):
    """The server did not do what was asked: half a sentence whose subject is the server."""


class SessionLost(McpFault):
    """The server does not know the session any more, and did nothing: connect again, then ask again."""


@dataclass(slots=True, frozen=True)
class ServerSpec:
    """label: as the request calls it. url or command: one of both. policy: which addresses may be connected to.
    headers: credentials among them; never shown. own: defined by the operator."""

    label: str
    policy: FetchSettings = field(repr=False)
    url: str = ""
    transport: Literal["http", "sse"] = "http"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float = 60.0
    own: bool = False

    @property
    def key(self) -> str:
        """The same for everybody who would see the same tools: address and credentials, as a digest. What the operator
        defined is apart from what requests name: its address may be one that they must not reach."""
        parts = [self.label if self.own else "", self.url, self.transport, *self.command]
        for name in sorted(self.headers):
            parts += [name.lower(), self.headers[name]]
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def own_server(label: str, settings: McpServerSettings, fetch: FetchSettings, timeout: float) -> ServerSpec:
    """A server that the operator defined: it may be reached wherever it is, and nowhere else."""
    policy = fetch
    if settings.url:
        url = parse_url(settings.url + ("" if "/" in settings.url.partition("://")[2] else "/"))
        network = ip_network(url.host) if url.literal else None
        allowed = AllowedHost(None if url.literal else url.host, network, url.port)
        policy = fetch.model_copy(update={"allow_hosts": (allowed,), "ports": ()})
    return ServerSpec(
        label=label,
        policy=policy,
        url=settings.url or "",
        transport=settings.transport,
        headers={name: value.get_secret_value() for name, value in settings.headers.items() if value},
        command=settings.command,
        env={name: value.get_secret_value() for name, value in settings.env.items()},
        timeout=settings.timeout or timeout,
        own=True,
    )


def remote_server(
    label: str, url: str, headers: Mapping[str, str], authorization: str, fetch: FetchSettings, timeout: float
) -> ServerSpec:
    """A server that a request names. A URL that ends in `/sse` is spoken to by the older protocol, as elsewhere. Raises
    ValueError that says what is wrong, as half a sentence about the field that is named first: `server_url: ...`."""
    try:
        parse_url(url)
    except UrlProblem as problem:
        raise ValueError(f"server_url: {problem}") from None
    sent: dict[str, str] = {}
    for name, value in headers.items():
        if not _HEADER.fullmatch(name) or name.lower() in _OURS:
            raise ValueError(f"headers: {name[:60]!r} cannot be set")
        if not isinstance(value, str) or not value.isascii() or not (value.isprintable() or not value):
            raise ValueError(f"headers: the value of {name[:60]!r} must be printable ASCII")
        sent[name] = value
    if authorization:
        if not authorization.isascii() or not authorization.isprintable():
            raise ValueError("authorization: must be printable ASCII")
        bare = authorization.split(" ", 1)[0].lower() not in ("bearer", "basic")
        sent["Authorization"] = f"Bearer {authorization}" if bare else authorization
    path = url.partition("?")[0].rstrip("/")
    transport: Literal["http", "sse"] = "sse" if path.endswith("/sse") else "http"
    return ServerSpec(label, fetch, url, transport, sent, timeout=timeout)
