"""URLs that a provider asks itself, of media and of MCP servers: none leads into a network that only the operator sees.

A provider on the internet cannot be led there, but a server of the operator's own can, so there names are resolved,
too; elsewhere a host is judged by what it says of itself. What the operator lets the gateway fetch
(`fetch.allow_hosts`) may be passed on as well.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from gateway.config import FetchSettings
from gateway.errors import CallerFault
from gateway.fetch.addresses import is_public
from gateway.fetch.body import SERVER_LISTS, find_links
from gateway.fetch.guard import Resolve
from gateway.fetch.policy import is_listed, is_named
from gateway.fetch.urls import MediaUrl, UrlProblem, parse_url

_NO_NAMES = ("localhost", "local", "internal", "intranet", "lan", "home", "corp", "private", "arpa")
"""Last labels of names that are not on the internet (RFC 6761, 6762, 8375; ICANN's `internal`; the usual others)."""
_PRIVATE = "the URL's host is not on the public internet"
_PATIENCE = 2.0
"""Seconds to wait for a name; one that is not known here is the provider's business."""


class Links:
    """settings: the `fetch` section; of it `private_links` and `allow_hosts` count. resolve: for tests; by default the
    system's."""

    def __init__(self, settings: FetchSettings, resolve: Resolve | None = None) -> None:
        self._settings = settings
        self._resolve = resolve or _ask_system

    def judge(self, body: Mapping[str, Any]) -> dict[str, tuple[str, MediaUrl]]:
        """Raise CallerFault for the first URL of a body whose host says of itself that no provider must fetch it.
        Returns the names whose addresses would tell more, each with its first place and URL. Linear, no I/O."""
        names: dict[str, tuple[str, MediaUrl]] = {}
        if self._settings.private_links:
            return names
        for path, text in find_links(body):
            try:
                url = parse_url(text)
            except UrlProblem as problem:
                raise _refused(path, str(problem)) from None
            if is_named(self._settings, url) or (url.literal and is_listed(self._settings, url, url.host)):
                continue
            if not (is_public(url.host) if url.literal else _is_public_name(url.host)):
                raise _refused(path, _PRIVATE)
            if not url.literal:
                names.setdefault(url.host, (path, url))
        return names

    async def check(self, names: Mapping[str, tuple[str, MediaUrl]], upstream: str) -> None:
        """Raise CallerFault when the provider at the URL `upstream` is in a network of the operator's own and one of
        these names, as `judge` gives them, leads there, too."""
        if not names or not _is_inside(upstream):
            return
        most = self._settings.max_per_request
        if len(names) > most:
            path = list(names.values())[most][0]
            raise _refused(path, f"more than {most} different hosts in one request (fetch.max_per_request)")
        await asyncio.gather(*(self._check_name(path, url) for path, url in names.values()))

    async def _check_name(self, path: str, url: MediaUrl) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                addresses = await self._resolve(url.host, url.port)
        except (OSError, TimeoutError):
            return
        if not all(is_public(address) or is_listed(self._settings, url, address) for address in addresses):
            raise _refused(path, _PRIVATE)


async def _ask_system(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(info[4][0]) for info in found]


def _is_public_name(host: str) -> bool:
    head, _, last = host.rpartition(".")
    return bool(head) and last not in _NO_NAMES


def _is_inside(upstream: str) -> bool:
    """Whether a provider is a server of the operator's own network."""
    host = urlsplit(upstream).hostname or ""
    literal = ":" in host or host.rpartition(".")[2].isdigit()
    return not (is_public(host) if literal else _is_public_name(host))


def _refused(path: str, why: str) -> CallerFault:
    fix = "name a server that is" if path.startswith(SERVER_LISTS) else "send the content as a data: URL"
    return CallerFault(f"{path}: {why}; {fix}.", code="private_url", param=path)
