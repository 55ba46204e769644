"""Running responses: whose they are, their numbers, and their end on demand."""

from __future__ import annotations

import pytest

from gateway.errors import Fault
from gateway.responses.running import (
    ResponseCancelled,
    RunningResponse,
    RunningResponses,
    from_number,
    last_number,
)
from gateway.runner.recording import Recording
from gateway.wire.responses.events import encode_event

EVENTS = [
    encode_event({"type": "response.created", "sequence_number": 0}),
    encode_event({"type": "response.output_text.delta", "delta": '"sequence_number":9', "sequence_number": 1}),
    # A caller's schema that has a member of this name is echoed in the event.
    encode_event({"type": "x", "response": {"tools": [{"sequence_number": 77}]}, "sequence_number": 2}),
]


def running(response_id: str, account_id: str, stopped: list[Fault] | None = None) -> RunningResponse:
    stop = stopped.append if stopped is not None else None
    return RunningResponse(response_id, account_id, Recording(100), dict, stop)


def test_a_response_of_another_account_is_not_there() -> None:
    responses = RunningResponses()
    own = running("resp_1", "acct_a")
    responses.add(own)
    assert responses.get("acct_a", "resp_1") is own
    assert responses.get("acct_b", "resp_1") is None
    assert responses.get("acct_a", "resp_2") is None
    responses.discard("resp_1")
    assert responses.get("acct_a", "resp_1") is None


def test_background_responses_are_counted_per_account() -> None:
    responses = RunningResponses()
    for name, account in (("1", "a"), ("2", "a"), ("3", "b")):
        responses.add(running(name, account, []))
    responses.add(running("4", "a"))
    assert (responses.count_background("a"), responses.count_background("b"), responses.background) == (2, 1, 3)
    responses.discard("1")
    responses.discard("4")
    assert (responses.count_background("a"), responses.background) == (1, 2)


def test_background_responses_are_stopped_each_with_a_fault_of_its_own() -> None:
    responses = RunningResponses()
    stopped: dict[str, list[Fault]] = {name: [] for name in "123"}
    for name, faults in stopped.items():
        responses.add(running(name, "a", faults))
    responses.add(running("4", "a"))
    responses.stop_background(ResponseCancelled, ["2"])
    assert [len(faults) for faults in stopped.values()] == [0, 1, 0]
    responses.stop_background(ResponseCancelled)
    assert [len(faults) for faults in stopped.values()] == [1, 2, 1]
    raised = [fault for faults in stopped.values() for fault in faults]
    assert len({id(fault) for fault in raised}) == 4, "one that is raised twice keeps both tracebacks"


@pytest.mark.parametrize(("after", "left"), [(-1, 3), (0, 2), (1, 1), (2, 0), (100, 0)])
def test_events_above_a_number(after: int, left: int) -> None:
    assert from_number(b"".join(EVENTS), after) == b"".join(EVENTS[3 - left :])


def test_the_last_number() -> None:
    assert [last_number(b"".join(EVENTS[: count + 1]), -1) for count in range(3)] == [0, 1, 2]
    assert last_number(b": keep-alive\n\n", 5) == 5
    assert last_number(b"", 5) == 5
