"""What reads the answer to one request."""

from __future__ import annotations

from typing import Any

from gateway.api import ChatReader, Fault, StreamDecoder, UpstreamReply

from .faults import fault_from_reply
from .reply import read_message
from .stream import MistralDecoder


class FaultsReader(ChatReader):
    """Faults in Mistral's words."""

    def fault_of(self, reply: UpstreamReply) -> Fault:
        """The fault that an error answer means, not yet cleaned."""
        return fault_from_reply(reply)


class MistralReader(FaultsReader):
    """Chat completions, whole and streamed."""

    def read_body(self, reply: UpstreamReply) -> dict[str, Any]:
        """A whole answer as the hub has it. Raises Fault for what is none."""
        return read_message(self.call, reply)

    def make_decoder(self) -> StreamDecoder:
        """A fresh decoder for the streamed answer."""
        return MistralDecoder(self.call, self.clean)
