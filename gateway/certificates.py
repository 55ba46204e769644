"""What a TLS server must prove itself with: the certificates of the authorities that the system trusts."""

from __future__ import annotations

import asyncio
import ssl


class Certificates:
    """Read at the first TLS connection: a gateway whose upstreams are on its own machine never needs them, and reading
    costs 20 ms of CPU, which no start and no other request should wait for. tls: to use instead."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls

    async def context(self) -> ssl.SSLContext:
        """The context for a connection. When several connections are the first, each may read; one is kept."""
        if self._tls is None:
            read = await asyncio.to_thread(ssl.create_default_context)
            self._tls = self._tls or read
        return self._tls
