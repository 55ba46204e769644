"""Bases for readers of answers."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import Fault, UpstreamFault
from gateway.operations import OPERATIONS
from gateway.plain_readers import PLAIN_READERS
from gateway.provider import UpstreamReply
from gateway.readers import ChatReader
from gateway.testing import make_call
from gateway.wire.event_decoder import JsonEventDecoder, StreamItem

SECRET = "known to the operator"  # like no credential: only its value tells


@pytest.mark.parametrize("kind", [ChatReader, *dict.fromkeys(PLAIN_READERS.values())])
def test_secrets_are_kept_out_of_every_fault(kind: type[ChatReader]) -> None:
    reader = kind(make_call(stream=True), (SECRET,))
    body = b'{"error": {"message": "the key %s is no good", "type": "invalid_request_error"}}' % SECRET.encode()
    faults = [reader.read_fault(UpstreamReply(400, {}, body))]
    with pytest.raises(Fault) as raised:
        reader.read_reply(UpstreamReply(200, {}, body))
    faults.append(raised.value)
    told = ChatReader.open_stream(reader).feed(b"data: " + body + b"\n\n")
    faults += [item for item in told if isinstance(item, Fault)]
    assert len(faults) == 3
    for fault in faults:
        assert "no good" in fault.message
        assert SECRET not in f"{fault.message} {fault.detail}"


class Own(ChatReader):
    """A format of a plugin's own, whose decoder knows nothing of secrets."""

    def make_decoder(self) -> JsonEventDecoder:
        class Decoder(JsonEventDecoder):
            def take(self, event: dict[str, Any], out: list[StreamItem]) -> None:
                raise UpstreamFault(str(event["error"]))

        return Decoder()


def test_a_decoder_of_ones_own_forgets_no_secret() -> None:
    [fault] = Own(make_call(stream=True), (SECRET,)).open_stream().feed(b'data: {"error": "%s"}\n\n' % SECRET.encode())
    assert isinstance(fault, Fault)
    assert SECRET not in fault.message


def test_every_operation_but_conversations_has_a_reader() -> None:
    assert PLAIN_READERS.keys() == {name for name, row in OPERATIONS.items() if not row.in_dialects}
