"""Heads of requests: made once, and refused as often as they are wrong."""

from __future__ import annotations

import pytest

from gateway.errors import GatewayFault
from gateway.provider import UpstreamRequest
from gateway.upstream.request_head import RequestHeads


def test_a_head_is_its_requests_own() -> None:
    heads = RequestHeads()
    for body in (b"{}", b'{"a":1}'):
        for key in ("one", "two"):
            request = UpstreamRequest("http://127.0.0.1:81/v1?b=c", {"authorization": key}, body)
            origin, head = heads.make(request)
            assert origin == (False, "127.0.0.1", 81)
            assert head == (
                b"POST /v1?b=c HTTP/1.1\r\nhost: 127.0.0.1:81\r\naccept-encoding: identity\r\n"
                b"authorization: %b\r\ncontent-length: %d\r\n\r\n" % (key.encode(), len(body))
            )
    _, head = heads.make(UpstreamRequest("http://127.0.0.1:81/v1?b=c", {"authorization": "one"}, b"", method="GET"))
    assert head.startswith(b"GET ")


def test_a_header_with_a_line_break_is_refused_each_time() -> None:
    heads = RequestHeads()
    for _ in range(2):
        with pytest.raises(GatewayFault, match="line break"):
            heads.make(UpstreamRequest("http://127.0.0.1/v1", {"x-a": "1\r\nx-b: 2"}, b""))
