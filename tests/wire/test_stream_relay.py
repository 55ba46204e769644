"""The loop that relays share."""

from __future__ import annotations

from typing import Any

from gateway.errors import UpstreamFault
from gateway.wire.stream_relay import StreamRelay


class Upper(StreamRelay):
    def write(self, item: bytes | dict[str, Any], out: list[bytes]) -> None:
        if item == b"bad":
            out.append(b"half")
            raise UpstreamFault("bad item")
        out.append(item.upper() if isinstance(item, bytes) else b"{}")


def test_items_are_written_in_order() -> None:
    assert Upper().feed([b"a", {"x": 1}, b"b"]) == (b"A{}B", None)
    assert Upper().feed([]) == (b"", None)


def test_what_comes_before_a_fault_is_sent_and_nothing_after_it() -> None:
    fault = UpstreamFault("sent by the provider")
    assert Upper().feed([b"a", fault, b"b"]) == (b"A", fault)


def test_a_fault_of_the_relay_ends_the_stream_like_one_that_was_sent() -> None:
    data, fault = Upper().feed([b"a", b"bad", b"b"])
    assert data == b"Ahalf"
    assert isinstance(fault, UpstreamFault)
    assert fault.message == "bad item"
