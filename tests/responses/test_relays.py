"""The caller's side of a streamed response without HTTP: what is sent, taken, held back, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from gateway.errors import Fault, UpstreamFault
from gateway.responses.relays import BridgeRelay, NativeStream
from gateway.testing import chunk, usage
from gateway.wire.bridge.stream import BridgeStream
from gateway.wire.responses.objects import new_response

BEGUN = {"response_id": "resp_1", "model": "ours/m", "now": 100}
USED = {**usage(3, 4), "cost": 7}
Make = Callable[..., BridgeRelay | NativeStream]


def bridge(watch: Any = None, taken: Any = None) -> BridgeRelay:
    return BridgeRelay(BridgeStream({}, **BEGUN), watch, lambda: 101, taken)  # type: ignore[arg-type]


def native(watch: Any = None, taken: Any = None) -> NativeStream:
    return NativeStream(new_response({}, **BEGUN), watch, taken)  # type: ignore[arg-type]


def event(kind: str, number: int, **members: Any) -> bytes:
    return orjson.dumps({"type": kind, "sequence_number": number, **members})


def upstream(status: str, **members: Any) -> dict[str, Any]:
    return {"id": "resp_up", "object": "response", "model": "up", "status": status, "output": [], **members}


BRIDGED = [chunk({"role": "assistant", "content": ""}), chunk({"content": "Hi"}), chunk({}, finish="stop")]
NATIVE = [
    event("response.created", 0, response=upstream("in_progress")),
    event("response.output_text.delta", 1, item_id="m", output_index=0, content_index=0, delta="Hi"),
    event("response.completed", 2, response=upstream("completed", usage={"input_tokens": 9})),
]
BOTH = pytest.mark.parametrize(("make", "items"), [(bridge, BRIDGED), (native, NATIVE)], ids=["bridge", "native"])


def events(data: bytes) -> list[dict[str, Any]]:
    return [orjson.loads(block.partition(b"data: ")[2]) for block in data.split(b"\n\n") if block]


@BOTH
def test_the_end_waits_for_the_bill_and_bears_it(make: Make, items: list[Any]) -> None:
    relay = make()
    data, fault = relay.feed(items)
    assert fault is None
    kinds = [found["type"] for found in events(data)]
    assert kinds[0] == "response.created"
    assert "response.completed" not in kinds
    last = events(relay.finish(USED))[-1]
    assert last["type"] == "response.completed"
    assert last["response"]["id"] == "resp_1"
    assert (last["response"]["model"], last["response"]["usage"]["input_tokens"]) == ("ours/m", 3)
    assert relay.response == last["response"]


@BOTH
def test_sequence_numbers_have_no_holes_to_the_end(make: Make, items: list[Any]) -> None:
    relay = make()
    sent = events(relay.feed(items)[0] + relay.finish(USED))
    assert [found["sequence_number"] for found in sent] == list(range(len(sent)))


@BOTH
def test_all_that_goes_to_the_caller_is_taken(make: Make, items: list[Any]) -> None:
    taken: list[bytes] = []
    relay = make(taken=taken.append)
    sent = [relay.feed([item])[0] for item in items] + [relay.finish(USED)]
    assert b"".join(taken) == b"".join(sent)
    assert all(taken), "nothing is taken where nothing is sent"


@BOTH
def test_a_fault_ends_it_behind_what_was_said(make: Make, items: list[Any]) -> None:
    taken: list[bytes] = []
    relay = make(taken=taken.append)
    broken = UpstreamFault("broke off", code="upstream_cut")
    data, fault = relay.feed([*items[:2], broken, items[2]])
    assert fault is broken
    assert b"Hi" in data
    failed = events(relay.fail(broken, "req_1"))
    assert failed[-1]["type"] == "response.failed"
    assert failed[-1]["response"]["error"]["message"] == "broke off"
    assert b"".join(taken).endswith(orjson.dumps(failed[-1]) + b"\n\n")
    assert "Hi" in orjson.dumps(failed[-1]["response"]).decode() or make is native


@BOTH
def test_what_the_gateway_cuts_is_incomplete(make: Make, items: list[Any]) -> None:
    relay = make()
    relay.feed(items[:2])
    relay.cut()
    last = events(relay.finish(USED))[-1]
    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": "max_output_tokens"}


@BOTH
def test_a_cancelled_one_says_so(make: Make, items: list[Any]) -> None:
    relay = make()
    relay.feed(items[:2])
    last = events(relay.cancel(USED))[-1]
    assert (last["type"], last["response"]["status"]) == ("response.cancelled", "cancelled")


@BOTH
def test_who_watches_sees_each_item_parsed(make: Make, items: list[Any]) -> None:
    seen: list[Any] = []
    relay = make(watch=seen.append)
    relay.feed([item if isinstance(item, bytes) else orjson.dumps(item) for item in items])
    assert len(seen) == len(items)
    assert all(isinstance(item, dict) for item in seen)


def test_a_failure_that_the_upstream_tells_is_a_fault() -> None:
    relay = native()
    failed = upstream("failed", error={"code": "server_error", "message": "out of order"})
    data, fault = relay.feed([NATIVE[0], event("response.failed", 1, response=failed), NATIVE[1]])
    assert isinstance(fault, Fault)
    assert "out of order" in fault.detail
    assert [found["type"] for found in events(data)] == ["response.created"]


def test_nothing_is_said_behind_the_terminal_event() -> None:
    relay = native()
    data, fault = relay.feed([*NATIVE, NATIVE[1]])
    assert fault is None
    kinds = [found["type"] for found in events(data)]
    assert kinds == ["response.created", "response.output_item.added", "response.content_part.added",
                     "response.output_text.delta"]  # fmt: skip
    assert relay.feed([NATIVE[1]]) == (b"", None)


@pytest.mark.parametrize("item", [b"nonsense", b"[]", b'{"kind": "x"}'])
def test_what_is_no_event_is_the_providers_fault(item: bytes) -> None:
    data, fault = native().feed([NATIVE[0], item])
    assert isinstance(fault, UpstreamFault)
    assert b"response.created" in data
