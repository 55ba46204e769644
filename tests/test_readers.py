"""Bases for readers of answers."""

from __future__ import annotations

import pytest

from gateway.errors import Fault
from gateway.operations import OPERATIONS
from gateway.plain_readers import PLAIN_READERS
from gateway.provider import UpstreamReply
from gateway.readers import ChatReader
from gateway.testing import make_call

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


def test_every_operation_but_conversations_has_a_reader() -> None:
    assert PLAIN_READERS.keys() == {name for name, row in OPERATIONS.items() if not row.in_dialects}
