"""What the relays of all dialects have in common: items in, bytes out, up to the first fault."""

from __future__ import annotations

from typing import Any

from gateway.errors import Fault
from gateway.wire.event_decoder import StreamItem


class StreamRelay:
    """Base of a `gateway.dialect.Relay`: a dialect writes single items, and what else a relay does."""

    def write(self, item: bytes | dict[str, Any], out: list[bytes]) -> None:
        """Append what one item makes for the caller. Raises the Fault that ends the stream."""
        raise NotImplementedError

    def feed(self, items: list[StreamItem]) -> tuple[bytes, Fault | None]:
        """Take decoded items, as the tally passed them on; return the bytes to send now, and the fault that ends the
        stream, if one came."""
        out: list[bytes] = []
        write = self.write
        try:
            for item in items:
                if isinstance(item, Fault):
                    return b"".join(out), item
                write(item, out)
        except Fault as fault:
            return b"".join(out), fault
        return b"".join(out), None
