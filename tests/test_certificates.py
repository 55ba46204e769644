"""The authorities' certificates are read once, and only by who makes a TLS connection."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from gateway.certificates import Certificates


async def test_read_at_the_first_connection_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[ssl.SSLContext] = []
    read = ssl.create_default_context

    def counted() -> ssl.SSLContext:
        made.append(read())
        return made[-1]

    monkeypatch.setattr(ssl, "create_default_context", counted)
    certificates = Certificates()
    assert made == []
    several = await asyncio.gather(*(certificates.context() for _ in range(3)))
    assert len({id(one) for one in several}) == 1
    assert several[0].verify_mode is ssl.CERT_REQUIRED
    count = len(made)
    assert await certificates.context() is several[0]
    assert len(made) == count


async def test_another_context_can_be_given() -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    assert await Certificates(tls).context() is tls
