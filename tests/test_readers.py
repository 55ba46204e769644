"""Bases for readers of answers."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.errors import Fault, UpstreamFault
from gateway.item_readers import ResponsesReader
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


def _streamed(*events: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in events)


def test_a_completion_that_came_as_a_stream_is_read() -> None:
    part = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    piece = {**part, "choices": [{"index": 0, "delta": {"content": "Hel"}, "finish_reason": None}]}
    last = {**part, "choices": [{"index": 0, "delta": {"content": "lo"}, "finish_reason": "end_turn"}]}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    reader = ChatReader(make_call())
    for head in (b"", b": waking up\n\n", b"\r\n"):
        body = head + _streamed(piece, last, {**part, "choices": [], "usage": usage}) + b"data: [DONE]\n\n"
        answer = reader.read_reply(UpstreamReply(200, {"content-type": "application/json"}, body))
        [choice] = answer.body["choices"]
        assert (choice["message"]["content"], choice["finish_reason"], answer.usage) == ("Hello", "stop", usage)
    for body in (_streamed(piece), _streamed(piece, {"error": {"message": "no"}}), _streamed({"error": "no"})):
        with pytest.raises(Fault):
            reader.read_reply(UpstreamReply(200, {}, body))


@pytest.mark.parametrize("whole", [True, False])
def test_a_response_that_came_as_a_stream_is_read(whole: bool) -> None:
    item = {"id": "m", "type": "message", "role": "assistant", "status": "completed"}
    item["content"] = [{"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}]
    response = {"id": "r", "object": "response", "status": "completed", "output": [item] if whole else []}
    body = _streamed(
        {"type": "response.created", "response": {**response, "status": "in_progress", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": response},
    )
    answer = ResponsesReader(make_call()).read_reply(UpstreamReply(200, {}, body))
    assert answer.body["output"] == [item]
    assert answer.body["status"] == "completed"
    with pytest.raises(Fault):
        ResponsesReader(make_call()).read_reply(UpstreamReply(200, {}, body[:-200]))
