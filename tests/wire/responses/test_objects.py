"""Response objects, item lists and usage, held against the published schemas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator

from gateway.errors import CallerFault, Fault, GatewayFault, Refusal, UpstreamFault
from gateway.wire.bridge.truncate import count_input, truncate
from gateway.wire.responses.items import canonical_items
from gateway.wire.responses.objects import (
    cancelled,
    conclude,
    deletion,
    error_of,
    item_list,
    item_resources,
    new_response,
    usage_from_chat,
    usage_to_chat,
    web_searches,
)

FIXTURES = Path(__file__).parents[1] / "fixtures" / "responses"


def validator(file: str, name: str) -> Draft202012Validator:
    schemas = orjson.loads((FIXTURES / file).read_bytes())
    return Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": schemas["$defs"]})


OPENAI = validator("openai-schemas.json", "Response")
OPEN = validator("open-responses-schemas.json", "ResponseResource")
LIST = validator("openai-schemas.json", "ResponseItemList")

REQUESTS: list[dict[str, Any]] = [
    {"input": "hi"},
    {
        "input": "hi",
        "instructions": "x",
        "max_output_tokens": 20,
        "max_tool_calls": 2,
        "parallel_tool_calls": False,
        "previous_response_id": "resp_0",
        "reasoning": {"effort": "low", "generate_summary": "auto"},
        "service_tier": "flex",
        "store": False,
        "temperature": 0,
        "top_p": 0.5,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}, "verbosity": "high"},
        "tools": [{"type": "function", "name": "f"}],
        "tool_choice": {"type": "function", "name": "f"},
        "metadata": {"a": "b"},
        "truncation": "auto",
        "user": "u",
        "safety_identifier": "s",
        "prompt_cache_key": "k",
        "top_logprobs": 2,
        "conversation": "conv_1",
    },
]


@pytest.mark.parametrize("request_body", REQUESTS)
def test_a_response_has_every_field_from_its_beginning_to_its_end(request_body: dict[str, Any]) -> None:
    begun = new_response(request_body, response_id="resp_1", model="a/b", now=100)
    usage = usage_from_chat({"prompt_tokens": 5, "completion_tokens": 3})
    ends = [
        conclude(begun, status="completed", output=[], usage=usage, now=105),
        conclude(begun, status="incomplete", output=[], usage=usage, now=105, reason="max_output_tokens"),
        conclude(begun, status="failed", output=[], usage=None, now=105, error=error_of(GatewayFault("x"))),
        cancelled(begun, now=105),
    ]
    for response in [begun, new_response(request_body, response_id="r", model="m", now=1, status="queued"), *ends]:
        OPENAI.validate(response)
        OPEN.validate(response)
    assert [end["completed_at"] for end in ends] == [105, None, None, None]
    assert begun["completed_at"] is None
    for key in ("instructions", "store", "temperature", "metadata", "tool_choice", "truncation"):
        if key in request_body:
            assert begun[key] == request_body[key]


def test_the_fields_are_those_that_openai_sends() -> None:
    recorded = orjson.loads((FIXTURES / "calls.json").read_bytes())
    ours = conclude(
        new_response({"input": "x"}, response_id="r", model="m", now=1),
        status="completed",
        output=[],
        usage=usage_from_chat({"prompt_tokens": 1, "completion_tokens": 1}),
        now=2,
    )
    # `user` comes as null from OpenAI, which its own schema does not allow; ours is left out instead.
    assert recorded.keys() - ours.keys() <= {"moderation", "billing", "tool_usage", "user"}
    assert recorded["usage"].keys() <= ours["usage"].keys()
    assert recorded["text"].keys() == ours["text"].keys()


def test_the_tier_that_served_is_told() -> None:
    begun = new_response({"input": "x"}, response_id="r", model="m", now=1)
    assert begun["service_tier"] == "auto"
    assert conclude(begun, status="completed", output=[], usage=None, now=2)["service_tier"] == "default"
    flex = conclude(begun, status="completed", output=[], usage=None, now=2, service_tier="flex")
    assert flex["service_tier"] == "flex"


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (UpstreamFault("m", code="rate_limit_exceeded"), "rate_limit_exceeded"),
        (UpstreamFault("m", status=429, code="anything"), "rate_limit_exceeded"),
        (CallerFault("m", code="context_length_exceeded"), "invalid_prompt"),
        (CallerFault("m", code="invalid_image_url"), "invalid_image_url"),
        (Refusal("m", status=402, code="insufficient_quota"), "server_error"),
        (UpstreamFault("m"), "server_error"),
        (GatewayFault("m"), "server_error"),
    ],
)
def test_error_codes_are_of_the_closed_list(fault: Fault, code: str) -> None:
    assert error_of(fault) == {"code": code, "message": "m"}


def test_deletion() -> None:
    assert deletion("resp_1") == {"id": "resp_1", "object": "response", "deleted": True}


def test_web_searches_are_counted() -> None:
    assert web_searches({"output": [{"type": "web_search_call"}, {"type": "message"}, 5]}) == 1
    assert web_searches({"output": 7}) == 0


# -- lists ------------------------------------------------------------------------------------------------------

ITEMS = canonical_items(
    [
        {"role": "user", "content": "a"},
        {
            "role": "user",
            "content": [{"type": "input_image", "image_url": "https://x"}, {"type": "input_text", "text": ""}],
        },
        {"role": "assistant", "content": "b"},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "x"},
    ]
)


def test_listed_items_are_whole_and_repeat() -> None:
    listed = item_resources(ITEMS, "seed")
    page = item_list(listed, limit=100, order="asc")
    LIST.validate(page)
    assert page["has_more"] is False
    assert item_resources(ITEMS, "seed") == listed
    assert len({item["id"] for item in listed}) == len(listed)
    assert listed[4]["id"] == "fc_call_1"


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 2, 4, 6])
def test_pages_join_to_the_whole(order: str, limit: int) -> None:
    listed = item_resources(ITEMS, "seed")
    seen: list[Any] = []
    after = None
    while True:
        page = item_list(listed, after=after, limit=limit, order=order)
        assert page["first_id"] == page["data"][0]["id"]
        seen += page["data"]
        after = page["last_id"]
        if not page["has_more"]:
            break
    assert seen == (listed if order == "asc" else listed[::-1])


def test_an_empty_page_and_wrong_questions() -> None:
    assert item_list([])["data"] == []
    LIST.validate(item_list([]))
    for wrong in ({"limit": 0}, {"limit": 101}, {"order": "up"}, {"after": "nobody"}):
        with pytest.raises(CallerFault) as caught:
            item_list(item_resources(ITEMS, "s"), **wrong)  # type: ignore[arg-type]
        assert caught.value.param == next(iter(wrong))


# -- usage ------------------------------------------------------------------------------------------------------


def test_usage_goes_there_and_back() -> None:
    chat = {
        "prompt_tokens": 10,
        "completion_tokens": 7,
        "total_tokens": 17,
        "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 5},
        "cost": 12,
    }
    made = usage_from_chat(chat)
    assert made == {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 17,
        "cost": 12,
    }
    back = usage_to_chat(made)
    assert back is not None
    assert back["prompt_tokens_details"] == {"cached_tokens": 4, "audio_tokens": 0, "cache_write_tokens": 2}
    assert {key: back[key] for key in ("prompt_tokens", "completion_tokens", "total_tokens", "cost")} == {
        "prompt_tokens": 10,
        "completion_tokens": 7,
        "total_tokens": 17,
        "cost": 12,
    }


@pytest.mark.parametrize("usage", [None, 5, "x", []])
def test_no_usage_is_no_usage(usage: Any) -> None:
    assert usage_from_chat(usage) is None
    assert usage_to_chat(usage) is None


# -- limits -----------------------------------------------------------------------------------------------------


def test_truncation_leaves_out_whole_exchanges_from_the_beginning() -> None:
    items = canonical_items(
        [
            {"role": "system", "content": "s"},
            {"role": "user", "content": "1"},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "x"},
            {"role": "user", "content": "2"},
            {"role": "assistant", "content": "a"},
            {"role": "user", "content": "3"},
        ]
    )
    assert truncate(items, len, 100) == (items, 0)
    assert truncate(items, len, 5) == ([items[0], *items[4:]], 3)
    assert truncate(items, len, 3) == ([items[0], items[6]], 5)
    assert truncate(items, len, 0) == ([items[0], items[6]], 5)


def test_counting_input_counts_the_chat_body() -> None:
    body = {"model": "m", "input": "hi", "instructions": "be"}
    made = count_input(body, canonical_items("hi"), lambda chat: len(chat["messages"]))
    assert made == {"object": "response.input_tokens", "input_tokens": 2}
