"""What an upstream's recorded answer comes to: read by the present code, summed up so that it can be compared."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.call import Call
from gateway.errors import Fault
from gateway.operations import OPERATIONS
from gateway.provider import Reader, UpstreamReply
from gateway.runner.bill import Measured, measure_ended_stream, measure_whole, nothing
from gateway.wire.chat.fold import fold_stream
from gateway.wire.lenient import dict_of, dicts_of


def read_again(call: Call, reader: Reader, reply: UpstreamReply) -> tuple[dict[str, Any], Measured]:
    """What the caller would be told, in short, and what would be measured. call: frozen or not; its target is set."""
    try:
        if reply.status >= 300:
            raise reader.read_fault(reply)
        if reply.headers.get("content-type", "").startswith("text/event-stream"):
            return _stream(call, reader, reply.body)
        answer = reader.read_reply(reply)
    except Fault as fault:
        return {"fault": {"status": fault.status, "code": fault.code}}, nothing()
    return _summary(answer.body), measure_whole(call, answer)


def _stream(call: Call, reader: Reader, body: bytes) -> tuple[dict[str, Any], Measured]:
    decoder = reader.open_stream()
    items = [*decoder.feed(body), *decoder.finish()]
    tally = reader.open_tally(OPERATIONS[call.operation].choices(call.body))
    seen = tally.add(items)
    for item in seen:
        if isinstance(item, Fault):
            raise item
    if reader.dialect == "chat":
        chunks = [
            orjson.loads(item) if isinstance(item, bytes) else item for item in seen if not isinstance(item, Fault)
        ]
        return _summary(fold_stream(chunks)), measure_ended_stream(call, tally)
    return {"finish_reason": tally.finish_reason, "text_bytes": tally.text_bytes}, measure_ended_stream(call, tally)


def _summary(body: dict[str, Any]) -> dict[str, Any]:
    """What of a completion is compared: texts, calls and reasons; not ids and times."""
    choices = []
    for choice in dicts_of(body.get("choices")):
        message = dict_of(choice.get("message"))
        calls = [dict_of(called.get("function")) for called in dicts_of(message.get("tool_calls"))]
        choices.append(
            {
                "text": message.get("content"),
                "reasoning": message.get("reasoning_content"),
                "refusal": message.get("refusal"),
                "calls": [{"name": one.get("name"), "arguments": one.get("arguments")} for one in calls],
                "finish_reason": choice.get("finish_reason"),
            }
        )
    if choices:
        return {"choices": choices}
    return {"vectors": len(dicts_of(body.get("data")))} if "data" in body else {"status": body.get("status")}
