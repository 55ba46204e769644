"""Which transport a configuration asks for."""

from __future__ import annotations

import logging

from gateway.config import Config
from gateway.upstream.pool import PooledTransport
from gateway.upstream.proxied import AiohttpTransport


def make_transport(config: Config, log: logging.Logger) -> PooledTransport | AiohttpTransport:
    """What carries requests to upstreams: the pool, or where a proxy stands between, what knows proxies."""
    upstream = config.upstream
    if upstream.proxy is None:
        return PooledTransport(connect=upstream.connect, connections_per_host=upstream.connections_per_host, log=log)
    return AiohttpTransport(
        connect=upstream.connect,
        connections_per_host=upstream.connections_per_host,
        log=log,
        proxy=upstream.proxy,
    )
