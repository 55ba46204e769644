"""What the operator's `fetch` section allows: ports, and hosts beside the public internet. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from gateway.config import AllowedHost, FetchSettings
from gateway.fetch.addresses import is_public
from gateway.fetch.urls import MediaUrl, UrlProblem

NOT_PUBLIC = "the URL's host does not resolve to public addresses only"
"""Also said when it does not resolve at all: whether an internal name exists is not for the caller to learn."""


def check_port(settings: FetchSettings, url: MediaUrl) -> None:
    """Raises UrlProblem unless the port is one of `ports`, or named by an entry of `allow_hosts`."""
    if url.port not in settings.ports and not any(entry.port == url.port for entry in settings.allow_hosts):
        raise UrlProblem(f"only URLs of port {' or '.join(map(str, settings.ports))} are fetched")


def check_addresses(settings: FetchSettings, url: MediaUrl, addresses: Sequence[str]) -> None:
    """Raises UrlProblem unless every one of `addresses`, to which the host resolved, may be connected to."""
    if not addresses or not all(_is_allowed(settings, url, address) for address in addresses):
        raise UrlProblem(NOT_PUBLIC)


def _is_allowed(settings: FetchSettings, url: MediaUrl, address: str) -> bool:
    if url.port in settings.ports and is_public(address):
        return True
    return is_listed(settings, url, address)


def is_listed(settings: FetchSettings, url: MediaUrl, address: str) -> bool:
    """Whether an entry of `allow_hosts` covers the URL, whose host has this address."""
    parsed = _plain(address)
    return parsed is not None and any(_covers(settings, entry, url, parsed) for entry in settings.allow_hosts)


def is_named(settings: FetchSettings, url: MediaUrl) -> bool:
    """Whether an entry of `allow_hosts` names the URL's host, whatever its address."""
    return any(entry.name == url.host and _fits(settings, entry, url) for entry in settings.allow_hosts)


def _plain(address: str) -> IPv4Address | IPv6Address | None:
    """The address that is really connected to; None for what is none, or has a zone."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    if isinstance(parsed, IPv4Address):
        return parsed
    return None if parsed.scope_id is not None else parsed.ipv4_mapped or parsed


def _covers(settings: FetchSettings, entry: AllowedHost, url: MediaUrl, address: IPv4Address | IPv6Address) -> bool:
    if not _fits(settings, entry, url):
        return False
    return address in entry.network if entry.network is not None else url.host == entry.name


def _fits(settings: FetchSettings, entry: AllowedHost, url: MediaUrl) -> bool:
    return url.port == entry.port or (entry.port is None and url.port in settings.ports)
