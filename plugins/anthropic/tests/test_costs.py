"""What changes the price, or names what is kept for all callers alike, goes out in no dialect."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from tollgate_anthropic import create
from tollgate_anthropic.costs import THREAD, check_costs, refuse_thread
from tollgate_anthropic.inbound.faults import error_object
from tollgate_anthropic.settings import Settings

from gateway.api import CallerFault, Price
from gateway.testing import make_call, make_target

HOUR = {"type": "ephemeral", "ttl": "1h"}
PRICED = Price(input=Decimal(3), cache_write=Decimal("3.75"))
FILE = {"type": "document", "source": {"type": "file", "file_id": "file_1"}}


def user(*blocks: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(blocks)}]}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"speed": "fast"}, "speed"),
        ({"speed": ["fast"]}, "speed"),
        ({"inference_geo": "us"}, "inference_geo"),
        ({"thread": {"type": "continue", "previous_message_id": "msg_of_somebody_else"}}, "thread"),
        ({"container": "container_1"}, "container"),
        ({"container": {"id": "container_1"}}, "container"),
        (user(FILE), "messages[0].content[0]"),
        (user({"type": "tool_result", "tool_use_id": "t", "content": [FILE]}), "messages[0].content[0].content[0]"),
        (user({"type": "container_upload", "file_id": "file_1"}), "messages[0].content[0]"),
        ({"tools": [{"type": "custom", "name": "f"}, {"type": "code_execution_20250825"}]}, "tools[1]"),
        ({"tools": [{"type": "advisor_20260101", "name": "advisor", "model": "dear"}]}, "tools[0]"),
        (user({"type": "text", "text": "x", "cache_control": HOUR}), "messages[0].content[0].cache_control.ttl"),
        ({"system": [{"type": "text", "text": "x", "cache_control": HOUR}]}, "system[0].cache_control.ttl"),
        ({"tools": [{"name": "f", "cache_control": HOUR}]}, "tools[0].cache_control.ttl"),
        ({"cache_control": HOUR}, "cache_control.ttl"),
    ],
)
def test_refused(body: dict[str, Any], path: str) -> None:
    with pytest.raises(CallerFault) as raised:
        check_costs(body, make_target(price=PRICED))
    assert raised.value.param == path


@pytest.mark.parametrize(
    "body",
    [
        {"speed": "standard", "inference_geo": "global", "thread": None},
        {"container": {"skills": []}},
        user({"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "5m"}}),
        {"messages": "nonsense", "tools": {"a": 1}, "system": "text"},
        {"messages": [None, {"content": None}, {"content": [None, 1]}]},
    ],
)
def test_let_through(body: dict[str, Any]) -> None:
    check_costs(body, make_target(price=PRICED))


def test_an_hour_in_the_cache_is_let_through_where_it_has_a_price() -> None:
    body = user({"type": "text", "text": "x", "cache_control": HOUR})
    check_costs(body, make_target(price=replace(PRICED, cache_write_1h=Decimal(6))))
    check_costs(body, make_target())
    check_costs(body, make_target(price=Price(input=Decimal(3))))


@pytest.mark.parametrize("member", [{"speed": "fast"}, {"inference_geo": "us"}])
def test_in_chat_as_well(member: dict[str, Any]) -> None:
    call = make_call({"messages": [{"role": "user", "content": "Hi"}], **member})
    with pytest.raises(CallerFault):
        create("x", Settings()).prepare(call, make_target("claude-sonnet-4-5"))


def test_a_thread_is_refused_in_the_words_on_which_the_history_is_sent() -> None:
    fault = refuse_thread({"type": "create"})
    assert fault is not None
    assert error_object(fault, "req_1")["error"]["details"] == {"error_code": THREAD}
    assert refuse_thread(None) is None
