"""Ids that lead back to their call, and function results in either spelling."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import CallerFault
from gateway.wire.responses.ids import Minter, call_id_of, is_minted, item_id_for_call
from gateway.wire.responses.items import canonical_items, require_answers, unanswered_calls

NATIVE = "fc_00483e9118f52e4c016a3c12160b80819db632c047c5399c42"


@given(st.text(min_size=1, max_size=80), st.sampled_from(["function_call", "custom_tool_call"]))
def test_every_call_id_comes_back_out_of_its_item_id(call_id: str, kind: str) -> None:
    item_id = item_id_for_call(call_id, kind)
    assert call_id_of(item_id) == call_id
    assert item_id.isascii()
    assert all(ch.isalnum() or ch in "_-" for ch in item_id)


def test_item_ids_of_calls_are_readable_where_they_can_be() -> None:
    assert item_id_for_call("call_Zck") == "fc_call_Zck"
    assert item_id_for_call("toolu_01", "custom_tool_call") == "ctc_toolu_01"
    assert item_id_for_call("functions.get_weather:0").startswith("fc_b64_")
    assert call_id_of("fc_b64_not+base64") == "b64_not+base64"
    assert call_id_of("fc_") == "fc_"
    assert call_id_of("fc_b64_") == "b64_"


def test_minted_ids_repeat_with_their_seed_and_are_known_as_ours() -> None:
    ids = [Minter("ab/c").mint(prefix) for prefix in ("msg", "rs")]
    assert ids == ["msg_gwabc_0", "rs_gwabc_0"]
    assert all(is_minted(item_id) for item_id in ids)
    assert not is_minted("msg_0786f8f250")
    assert not is_minted(None)


def call(spelling: str, call_id: str, item_id: str) -> dict[str, Any]:
    ids: dict[str, dict[str, Any]] = {
        "call_id": {"call_id": call_id},
        "both": {"id": item_id, "call_id": call_id},
        "callId": {"id": item_id, "callId": item_id},
        "id as call_id": {"call_id": item_id},
        "only id": {"id": item_id},
        "everything": {"id": item_id, "call_id": call_id, "callId": call_id},
    }
    return {"type": "function_call", "name": "f", "arguments": "{}", **ids[spelling]}


def output(spelling: str, call_id: str, item_id: str) -> dict[str, Any]:
    ids: dict[str, dict[str, Any]] = {
        "call_id": {"call_id": call_id},
        "callId": {"id": item_id, "callId": item_id},
        "id as call_id": {"call_id": item_id},
        "only callId": {"callId": item_id},
        "other id": {"call_id": call_id, "id": "fco_1"},
    }
    return {"type": "function_call_output", "output": "1", **ids[spelling]}


CALLS = ("call_id", "both", "callId", "id as call_id", "only id", "everything")
OUTPUTS = ("call_id", "callId", "id as call_id", "only callId", "other id")


@pytest.mark.parametrize(("first", "second"), list(itertools.product(CALLS, OUTPUTS)))
@pytest.mark.parametrize("call_id", ["call_Zck", "toolu_01AbC", "functions.get_weather:0", "D681PevKs"])
def test_all_spellings_in_any_mix(first: str, second: str, call_id: str) -> None:
    item_id = item_id_for_call(call_id)
    other = {"type": "function_call", "name": "g", "arguments": "{}", "call_id": "call_other"}
    items = canonical_items([other, call(first, call_id, item_id), output(second, call_id, item_id)])
    assert [item["call_id"] for item in items] == ["call_other", call_id, call_id]
    assert items[1]["id"] == item_id
    assert items[2].keys() == {"type", "call_id", "output"}
    assert "callId" not in items[1]


@pytest.mark.parametrize("first", CALLS)
@pytest.mark.parametrize("second", OUTPUTS)
def test_ids_of_another_maker_pair_wherever_either_side_knows_both(first: str, second: str) -> None:
    """An upstream's own item id does not tell the call id; calls that bear both, or one id used twice, still pair."""
    knows_both = first in ("both", "everything")
    by_item_id = first in ("callId", "id as call_id", "only id") and second in (
        "callId",
        "id as call_id",
        "only callId",
    )
    by_call_id = first == "call_id" and second in ("call_id", "other id")
    request = [call(first, "call_Z", NATIVE), output(second, "call_Z", NATIVE)]
    if knows_both or by_item_id or by_call_id:
        made = canonical_items(request)
        assert made[0]["call_id"] == made[1]["call_id"]
        assert knows_both <= (made[0]["call_id"] == "call_Z")
    else:
        with pytest.raises(CallerFault, match=r"input\[1\]\.call_id: no function call"):
            canonical_items(request)


def test_outputs_find_calls_of_the_store() -> None:
    stored = canonical_items([call("both", "call_Z", NATIVE)])
    stored[0]["id"] = NATIVE
    for spelling in OUTPUTS:
        (made,) = canonical_items([output(spelling, "call_Z", NATIVE)], earlier=stored)
        assert made["call_id"] == "call_Z"


def test_a_resent_call_is_not_doubled_but_a_reused_id_is_another_call() -> None:
    stored = canonical_items([call("call_id", "call_0", "")])
    again = canonical_items([call("callId", "call_0", "fc_call_0"), output("call_id", "call_0", "")], earlier=stored)
    assert [item["type"] for item in again] == ["function_call_output"]
    answered = [*stored, *again]
    reused = canonical_items([call("call_id", "call_0", ""), output("call_id", "call_0", "")], earlier=answered)
    assert [item["type"] for item in reused] == ["function_call", "function_call_output"]


def test_results_take_the_kind_of_their_call() -> None:
    custom = {"type": "custom_tool_call", "name": "c", "input": "x", "call_id": "call_1", "id": "ctc_call_1"}
    items = canonical_items([custom, {"type": "function_call_output", "callId": "ctc_call_1", "output": "y"}])
    assert items[1] == {"type": "custom_tool_call_output", "call_id": "call_1", "output": "y"}


def test_shorthand_messages_and_strings() -> None:
    assert canonical_items("hi") == [{"type": "message", "role": "user", "content": "hi"}]
    assert canonical_items(None) == []
    assert canonical_items([{"role": "user", "content": "a", "x": 1}]) == [
        {"type": "message", "role": "user", "content": "a", "x": 1}
    ]


def test_references_are_replaced_and_unknown_ones_refused() -> None:
    stored = {"type": "message", "role": "assistant", "id": "msg_1", "content": "a"}
    for reference in ({"type": "item_reference", "id": "msg_1"}, {"id": "msg_1"}, {"type": None, "id": "msg_1"}):
        assert canonical_items([reference], references={"msg_1": stored}) == [stored]
        assert canonical_items([reference], earlier=[stored]) == [stored]
    with pytest.raises(CallerFault) as caught:
        canonical_items([{"id": "msg_2"}], references={"msg_1": stored})
    assert caught.value.param == "input[0].id"
    assert caught.value.status == 404


def test_references_to_calls_lead_to_the_stored_call() -> None:
    stored = canonical_items([call("call_id", "call_Z", "")])
    made = canonical_items([{"id": "fc_call_Z"}, output("call_id", "call_Z", "")], earlier=stored)
    assert [item["type"] for item in made] == ["function_call_output"]


def test_calls_without_answer_are_named() -> None:
    items = canonical_items(
        [call("call_id", "call_A", ""), call("call_id", "call_B", ""), output("call_id", "call_B", "")]
    )
    assert unanswered_calls(items) == ["call_A"]
    with pytest.raises(CallerFault, match="no tool output found for function call call_A"):
        require_answers(items)


def test_the_given_input_is_not_changed() -> None:
    given_items = [call("callId", "call_Z", "fc_call_Z"), output("callId", "call_Z", "fc_call_Z")]
    copies = [dict(item) for item in given_items]
    canonical_items(given_items)
    assert given_items == copies


@pytest.mark.parametrize("arguments", ["", " ", "\n"])
def test_no_arguments_are_an_empty_object(arguments: str) -> None:
    given = {"type": "function_call", "call_id": "c", "name": "f", "arguments": arguments}
    output = {"type": "function_call_output", "call_id": "c", "output": "x"}
    assert canonical_items([given, output])[0]["arguments"] == "{}"
    assert given["arguments"] == arguments
