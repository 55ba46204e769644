"""Hosts that an operator names: `files.lan`, `files.lan:8080`, `10.0.0.5`, `[::1]:8080`, `10.0.0.0/8`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any

from pydantic import PlainValidator

from gateway.config.types import refuse

_NAME = re.compile(
    r"(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*", re.ASCII
)
_WITH_PORT = re.compile(r"(\[[^\[\]]+\]|[^:\[\]/]+):([0-9]{1,5})", re.ASCII)
_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)", re.ASCII)


@dataclass(slots=True, frozen=True)
class AllowedHost:
    """Either `network` (one address is a network of one) or `name` (lower case). port: None for the usual ones."""

    name: str | None
    network: IPv4Network | IPv6Network | None
    port: int | None


def _allowed_host(value: Any) -> AllowedHost:
    if isinstance(value, AllowedHost):
        return value
    text = value.lower() if isinstance(value, str) else ""
    port: int | None = None
    parts = _WITH_PORT.fullmatch(text)
    if parts is not None:
        text, port = parts[1], int(parts[2])
    if port is None or 1 <= port <= 65535:
        network = _network(text[1:-1] if text.startswith("[") and text.endswith("]") else text)
        if network is not None:
            return AllowedHost(None, network, port)
        if _NAME.fullmatch(text) and not _ENDS_IN_NUMBER.fullmatch(text):
            return AllowedHost(text, None, port)
    refuse("must be a host such as files.lan, files.lan:8080, 10.0.0.5 or [::1]:8080, or a network such as 10.0.0.0/8")


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text)
    except ValueError:
        return None


HostEntry = Annotated[AllowedHost, PlainValidator(_allowed_host)]
"""A host or a network that an operator allows."""
