"""What reads the answer to one request."""

from __future__ import annotations

from typing import Any

from gateway.api import Call, ChatReader, Fault, StreamDecoder, UpstreamReply, redact_fault

from .faults import fault_from_reply
from .reply import read_message
from .stream import MistralDecoder


class CleanReader(ChatReader):
    """Faults in Mistral's words, without the operator's secrets."""

    def __init__(self, call: Call, secrets: tuple[str, ...]) -> None:
        super().__init__(call)
        self._secrets = secrets

    def fault_of(self, reply: UpstreamReply) -> Fault:
        """The fault that an error answer means, not yet cleaned."""
        return fault_from_reply(reply)

    def clean(self, fault: Fault) -> Fault:
        """The fault without the operator's secrets."""
        return redact_fault(fault, self._secrets)


class MistralReader(CleanReader):
    """Chat completions, whole and streamed."""

    def read_body(self, reply: UpstreamReply) -> dict[str, Any]:
        """A whole answer as the hub has it. Raises Fault for what is none."""
        return read_message(self.call, reply)

    def make_decoder(self) -> StreamDecoder:
        """A fresh decoder for the streamed answer."""
        return MistralDecoder(self.call, self.clean)
