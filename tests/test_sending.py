"""Requests to upstreams."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import CallerFault
from gateway.sending import bearer_header, carry_rest, get_request, json_request
from gateway.testing import make_call


def test_a_request_of_json() -> None:
    request = json_request("http://x/y", {"a": 1}, {**bearer_header("k"), "accept": "text/html"}, stream=False)
    assert (request.method, request.url, request.body, request.stream) == ("POST", "http://x/y", b'{"a":1}', False)
    assert request.headers == {
        "authorization": "Bearer k", "accept": "application/json", "content-type": "application/json",
    }  # fmt: skip


def test_a_stream_without_a_key() -> None:
    request = json_request("http://x", {}, bearer_header(""), stream=True)
    assert request.headers == {"accept": "text/event-stream", "content-type": "application/json"}
    assert request.stream


def nested(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize("body", [nested(300), {"a": "\ud800"}, {"a": 2**70}], ids=["deep", "surrogate", "big"])
def test_what_cannot_be_written_is_the_callers_fault(body: dict[str, Any]) -> None:
    with pytest.raises(CallerFault, match="cannot be sent on as JSON"):
        json_request("http://x", body, stream=False)


def test_a_list_is_asked_for_as_json() -> None:
    request = get_request("http://x/models", bearer_header("k"))
    assert (request.method, request.body, request.stream) == ("GET", b"", False)
    assert request.headers == {"authorization": "Bearer k", "accept": "application/json"}


LOST: dict[str, tuple[tuple[Any, ...], str]] = {"seed": ((), "no seed"), "store": ((False,), "nothing is kept")}


def test_what_was_not_read_by_name_is_carried_and_what_is_lost_is_reported() -> None:
    call, out = make_call({}), {"model": "m"}
    body = {"model": "x", "seed": 7, "store": False, "top_k": 3, "own": None}
    carry_rest(call, body, out, handled={"model"}, lost=LOST)
    assert out == {"model": "m", "top_k": 3}
    assert list(call.dropped) == ["seed"]


def test_what_is_lost_is_refused_for_who_is_strict() -> None:
    with pytest.raises(CallerFault, match="store: nothing is kept"):
        carry_rest(make_call({}, strict=True), {"store": True}, {}, handled=(), lost=LOST)
