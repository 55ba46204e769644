"""A Responses request as a chat request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.errors import CallerFault
from gateway.wire.bridge.request import Abilities, ChatForm, chat_from_responses
from gateway.wire.chat.request import validate_chat
from gateway.wire.responses.items import canonical_items
from gateway.wire.responses.request import validate_responses
from gateway.wire.responses.sealed_reasoning import is_sealed, seal, unseal

FIXTURES = Path(__file__).parents[1] / "fixtures" / "responses"
PLAIN = Abilities()


def bridge(earlier: list[dict[str, Any]] | None = None, abilities: Abilities = PLAIN, **body: Any) -> ChatForm:
    body.setdefault("model", "m")
    validate_responses(body)
    known = earlier or []
    form = chat_from_responses(
        body, canonical_items(body.get("input"), earlier=known), earlier=known, abilities=abilities
    )
    validate_chat(form.body, allow_missing_model=False)
    return form


def messages(*items: Any, **more: Any) -> Any:
    return bridge(input=list(items), **more).body["messages"]


def call(call_id: str, name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}


def output(call_id: str, result: Any = "ok") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": result}


def chat_call(call_id: str, name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def said(text: str) -> dict[str, Any]:
    return {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    }


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def tool(call_id: str, content: Any = "ok") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


# -- messages ---------------------------------------------------------------------------------------------------


def test_a_string_and_instructions() -> None:
    form = bridge(input="hi", instructions="be brief")
    assert form.body == {"model": "m", "messages": [{"role": "system", "content": "be brief"}, user("hi")]}
    assert form.dropped == []
    developer = bridge(input="hi", instructions="x", abilities=Abilities(instructions_role="developer"))
    assert developer.body["messages"][0]["role"] == "developer"


def test_all_parts_have_their_chat_form() -> None:
    parts = [
        {"type": "input_text", "text": "a", "cache_control": {"type": "ephemeral"}},
        {"type": "input_image", "image_url": "https://x/a.png", "detail": "low"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
        {"type": "input_image", "file_id": "file_1"},
        {"type": "input_file", "file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"},
        {"type": "input_file", "file_id": "file_2"},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
        {"type": "input_video", "video_url": "https://x/a.mp4"},
        {"type": "brand_new", "x": 1},
    ]
    (message,) = messages({"role": "user", "content": parts})
    assert message["content"] == [
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
        {"type": "image_url", "image_url": {"url": "https://x/a.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
        {"type": "file", "file": {"file_id": "file_1"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}},
        {"type": "file", "file": {"file_id": "file_2"}},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
        {"type": "video_url", "video_url": {"url": "https://x/a.mp4"}},
        {"type": "brand_new", "x": 1},
    ]


def test_roles_and_shorthand() -> None:
    assert messages(
        {"role": "system", "content": "s"},
        {"role": "developer", "content": [{"type": "input_text", "text": "d"}]},
        user("u"),
        {"role": "assistant", "content": "a"},
        {"role": "assistant", "content": "b"},
        user("v"),
    ) == [
        {"role": "system", "content": "s"},
        {"role": "developer", "content": "d"},
        user("u"),
        {"role": "assistant", "content": "a"},
        {"role": "assistant", "content": "b"},
        user("v"),
    ]


def test_a_turn_is_one_message_with_its_outputs_behind_it() -> None:
    reasoning = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": "hm"}],
    }
    assert messages(
        user("q"), reasoning, said("let me see"), call("a"), call("b", "g"), output("a", "1"), output("b")
    ) == [
        user("q"),
        {
            "role": "assistant",
            "content": "let me see",
            "reasoning_content": "hm",
            "tool_calls": [chat_call("a"), chat_call("b", "g")],
        },
        tool("a", "1"),
        tool("b"),
    ]


def test_calls_without_text_and_one_after_the_other() -> None:
    assert messages(user("q"), call("a"), output("a"), call("b"), output("b"), said("done")) == [
        user("q"),
        {"role": "assistant", "content": None, "tool_calls": [chat_call("a")]},
        tool("a"),
        {"role": "assistant", "content": None, "tool_calls": [chat_call("b")]},
        tool("b"),
        {"role": "assistant", "content": "done"},
    ]


def test_outputs_stand_behind_their_call_wherever_they_came() -> None:
    assert messages(call("a"), call("b"), output("b", "2"), user("wait"), output("a", "1")) == [
        {"role": "assistant", "content": None, "tool_calls": [chat_call("a"), chat_call("b")]},
        tool("a", "1"),
        tool("b", "2"),
        user("wait"),
    ]


def test_a_reused_call_id_pairs_in_order() -> None:
    got = messages(call("a", "f"), output("a", "1"), user("more"), call("a", "g"), output("a", "2"))
    assert [message.get("content") for message in got] == [None, "1", "more", None, "2"]


def test_interleaved_thinking_is_one_turn() -> None:
    def thought(text: str) -> dict[str, Any]:
        return {"type": "reasoning", "summary": [{"type": "summary_text", "text": text}]}

    (message, _) = messages(thought("one"), said("a"), thought("two"), said("b"), call("x"), output("x"))
    assert message["content"] == "ab"
    assert message["reasoning_content"] == "one\n\ntwo"


def test_refusals_come_back_as_such() -> None:
    refused = {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}
    assert messages(refused) == [{"role": "assistant", "content": None, "refusal": "no"}]


def test_a_call_without_answer_is_refused_as_by_openai() -> None:
    with pytest.raises(CallerFault, match="no tool output found for function call a") as caught:
        bridge(input=[call("a"), user("never mind")])
    assert caught.value.param == "input"


def test_media_and_marks_of_results_stay_with_them() -> None:
    result = [{"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": "https://x/a.png"}]
    image = {"type": "image_url", "image_url": {"url": "https://x/a.png"}}
    marked = {**output("a", result), "is_error": True, "cache_control": {"type": "ephemeral"}}
    form = bridge(input=[user("q"), call("a"), marked])
    kept = tool("a", [{"type": "text", "text": "see"}, image])
    assert form.body["messages"][-1] == {**kept, "is_error": True, "cache_control": {"type": "ephemeral"}}
    assert form.dropped == []


def test_what_servers_did_travels_beside_the_text_that_followed() -> None:
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}
    cited = {"type": "url_citation", "url": "https://a.example/", "title": "A", "start_index": 0, "end_index": 1}
    answer = said("there")
    answer["content"] = [{"type": "output_text", "text": "there", "annotations": [cited]}]
    code = {"type": "code_interpreter_call", "id": "ci_1", "code": "1", "outputs": []}
    (message,) = messages(user("q"), search, answer, code, said("!"))[1:]
    found = {**search, "results": [{"url": "https://a.example/", "title": "A"}]}
    assert message == {
        "role": "assistant",
        "content": "there!",
        "x_gateway": [{"event": "done", "item": found}, {"event": "done", "item": code, "after_text": 5}],
    }


def test_unknown_items_are_refused() -> None:
    form = bridge(input=[user("q"), {"type": "program", "id": "x"}])
    assert form.fault is not None
    assert form.fault.param == "input[1].type"


def test_a_server_side_call_is_told_as_call_and_result() -> None:
    done = {"type": "mcp_call", "id": "mcp_1", "name": "look", "arguments": '{"a":1}', "output": "found"}
    assert messages(user("q"), done, said("there")) == [
        user("q"),
        {"role": "assistant", "content": None, "tool_calls": [chat_call("mcp_1", "look", '{"a":1}')]},
        tool("mcp_1", "found"),
        {"role": "assistant", "content": "there"},
    ]


def test_the_conversation_before_comes_first() -> None:
    earlier = canonical_items([user("q"), call("a")])
    form = bridge(earlier=earlier, input=[{"type": "function_call_output", "callId": "fc_a", "output": "1"}])
    assert form.body["messages"] == [
        user("q"),
        {"role": "assistant", "content": None, "tool_calls": [chat_call("a")]},
        tool("a", "1"),
    ]


def test_the_documents_program() -> None:
    """The client took the item's id for everything; the upstream gets its own call id back."""
    item_id = "fc_b64_ZnVuY3Rpb25zLmdldF9ob3Jvc2NvcGU6MA"
    form = bridge(
        input=[
            {"type": "message", "role": "user", "content": "What is my horoscope?"},
            {"type": "function_call", "id": item_id, "callId": item_id, "name": "get_horoscope", "arguments": "{}"},
            {"type": "function_call_output", "callId": item_id, "id": item_id, "output": "{}"},
        ]
    )
    assert form.body["messages"][1]["tool_calls"][0]["id"] == "functions.get_horoscope:0"
    assert form.body["messages"][2]["tool_call_id"] == "functions.get_horoscope:0"


def test_a_recorded_openai_request() -> None:
    body = orjson.loads((FIXTURES / "reasoning-and-call.request.json").read_bytes())
    form = bridge(**body)
    roles = [message["role"] for message in form.body["messages"]]
    assert roles == ["user", "assistant", "tool", "assistant", "user"]
    assert [path for path in form.dropped if "encrypted_content" in path] == [
        "input[1].encrypted_content",
        "input[4].encrypted_content",
    ]
    assert form.body["messages"][1]["reasoning_details"][0]["type"] == "responses.reasoning"


# -- reasoning --------------------------------------------------------------------------------------------------

DETAILS = [{"type": "thinking", "signature": "c2ln"}, {"type": "redacted", "data": "x", "n": [1, {"a": None}]}]


def test_signatures_come_back_out_of_the_envelope() -> None:
    sealed = seal(DETAILS)
    assert is_sealed(sealed)
    assert unseal(sealed, "p") == (DETAILS, "")
    item = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": sealed}
    (message, _) = messages(item, call("a"), output("a"))
    assert message["reasoning_details"] == DETAILS
    assert message["reasoning_content"] == "hm"


def test_the_envelope_alone_is_enough() -> None:
    item = {"type": "reasoning", "summary": [], "encrypted_content": seal(DETAILS, "all my thoughts")}
    (message,) = messages(item)
    assert message["reasoning_content"] == "all my thoughts"
    assert message["reasoning_details"] == DETAILS


def test_members_of_calls_return_into_their_calls() -> None:
    extra = {"type": "chat.tool_call", "id": "a", "members": {"extra_content": {"s": 1}, "id": "evil"}}
    item = {"type": "reasoning", "summary": [], "encrypted_content": seal([extra])}
    (message, _) = messages(item, call("a"), output("a"))
    assert message["tool_calls"] == [{**chat_call("a"), "extra_content": {"s": 1}}]
    assert "reasoning_details" not in message


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "damaged",
    [
        "gw1.",
        "gw1.!!!",
        "gw1.e30x",
        "gw1.W10",
        seal([{"type": "x"}])[:-3],
        seal([5]),
        seal([{"deep": nested(200)}]),
    ],
)
def test_a_damaged_envelope_is_the_callers_fault(damaged: str) -> None:
    with pytest.raises(CallerFault) as caught:
        bridge(input=[user("q"), {"type": "reasoning", "summary": [], "encrypted_content": damaged}])
    assert caught.value.param == "input[1].encrypted_content"


# -- tools ------------------------------------------------------------------------------------------------------

FUNCTION = {
    "type": "function",
    "name": "f",
    "description": "d",
    "parameters": {"type": "object"},
    "strict": True,
    "x": 1,
}
CUSTOM = {
    "type": "custom",
    "name": "c",
    "description": "d",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: WORD"},
}
SEARCH = {"type": "web_search", "search_context_size": "low"}


def test_tools_nest_and_hosted_ones_are_set_apart() -> None:
    form = bridge(input="q", tools=[FUNCTION, SEARCH], tool_choice="required", parallel_tool_calls=False)
    inner = {key: value for key, value in FUNCTION.items() if key != "type"}
    assert form.body["tools"] == [{"type": "function", "function": inner}]
    assert form.body["tool_choice"] == "required"
    assert form.body["parallel_tool_calls"] is False
    assert form.tools.hosted == [SEARCH]


def test_only_hosted_tools_leave_nothing_for_the_upstream_to_refuse() -> None:
    form = bridge(input="q", tools=[SEARCH], tool_choice="auto", parallel_tool_calls=True)
    assert form.body.keys() == {"model", "messages"}
    assert form.tools.choice == "auto"
    assert bridge(input="q", tools=[SEARCH], tool_choice={"type": "web_search"}).tools.hosted_choice == {
        "type": "web_search"
    }


def test_custom_tools_where_the_upstream_has_them() -> None:
    form = bridge(
        input=[{"type": "custom_tool_call", "call_id": "a", "name": "c", "input": "x"}, output("a")],
        tools=[CUSTOM],
        tool_choice={"type": "custom", "name": "c"},
        abilities=Abilities(custom_tools=True),
    )
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: WORD"}}
    assert form.body["tools"] == [{"type": "custom", "custom": {"name": "c", "description": "d", "format": grammar}}]
    assert form.body["tool_choice"] == {"type": "custom", "custom": {"name": "c"}}
    assert form.body["messages"][0]["tool_calls"] == [
        {"id": "a", "type": "custom", "custom": {"name": "c", "input": "x"}}
    ]


def test_custom_tools_as_functions_with_one_string() -> None:
    form = bridge(
        input=[{"type": "custom_tool_call", "call_id": "a", "name": "c", "input": 'x"y'}, output("a")],
        tools=[CUSTOM],
        tool_choice={"type": "custom", "name": "c"},
    )
    function = form.body["tools"][0]["function"]
    assert function["parameters"]["required"] == ["input"]
    assert "start: WORD" in function["description"]
    assert form.tools.emulated == {"c"}
    assert form.body["tool_choice"] == {"type": "function", "function": {"name": "c"}}
    assert form.body["messages"][0]["tool_calls"] == [chat_call("a", "c", '{"input":"x\\"y"}')]


def test_allowed_tools_as_such_or_by_narrowing_the_list() -> None:
    other = {"type": "function", "name": "g"}
    choice = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "g"}]}
    native = bridge(
        input="q", tools=[FUNCTION, other, SEARCH], tool_choice=choice, abilities=Abilities(allowed_tools=True)
    )
    assert native.body["tool_choice"] == {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "g"}}]},
    }
    assert len(native.body["tools"]) == 2
    narrowed = bridge(input="q", tools=[FUNCTION, other, SEARCH], tool_choice=choice)
    assert narrowed.body["tool_choice"] == "required"
    assert [tool["function"]["name"] for tool in narrowed.body["tools"]] == ["g"]
    assert native.tools.hosted == narrowed.tools.hosted == []


def test_a_choice_of_nothing_is_named() -> None:
    with pytest.raises(CallerFault) as caught:
        bridge(input="q", tools=[FUNCTION], tool_choice={"type": "function", "name": "nobody"})
    assert caught.value.param == "tool_choice.name"


# -- parameters -------------------------------------------------------------------------------------------------

ROWS: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    ({"max_output_tokens": 5}, {"max_completion_tokens": 5}, []),
    ({"temperature": 0, "top_p": 0.5}, {"temperature": 0, "top_p": 0.5}, []),
    ({"reasoning": {"effort": "low", "summary": "auto"}}, {"reasoning_effort": "low"}, []),
    ({"reasoning": {"max_tokens": 5, "context": "auto"}}, {"reasoning": {"max_tokens": 5}}, ["reasoning.context"]),
    ({"text": {"format": {"type": "text"}, "verbosity": "low"}}, {"verbosity": "low"}, []),
    ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}, []),
    (
        {"text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True}, "brand_new": 1}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "strict": True}}},
        ["text.brand_new"],
    ),
    ({"top_logprobs": 2}, {"logprobs": True, "top_logprobs": 2}, []),
    ({"include": ["message.output_text.logprobs"]}, {"logprobs": True}, []),
    ({"include": ["reasoning.encrypted_content"]}, {}, []),
    ({"user": "u", "safety_identifier": "s"}, {"user": "u", "safety_identifier": "s"}, []),
    ({"prompt_cache_key": "k", "service_tier": "flex"}, {"prompt_cache_key": "k", "service_tier": "flex"}, []),
    ({"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}, []),
    ({"stream": False}, {"stream": False}, []),
    ({"store": True, "metadata": {"a": "b"}, "truncation": "auto", "max_tool_calls": 2, "background": False}, {}, []),
    ({"context_management": [{"type": "x"}], "moderation": {}}, {}, ["context_management", "moderation"]),
    ({"brand_new": {"a": 1}}, {"brand_new": {"a": 1}}, []),
    ({"temperature": None, "text": None, "reasoning": None, "tools": None, "include": None}, {}, []),
]


@pytest.mark.parametrize(("given", "expected", "dropped"), ROWS)
def test_every_parameter_has_its_row(given: dict[str, Any], expected: dict[str, Any], dropped: list[str]) -> None:
    form = bridge(input="q", **given)
    assert {key: value for key, value in form.body.items() if key not in ("model", "messages")} == expected
    assert form.dropped == dropped


def test_prompt_templates_are_refused() -> None:
    with pytest.raises(CallerFault) as caught:
        bridge(prompt={"id": "pmpt_1"})
    assert caught.value.param == "prompt"


@pytest.mark.parametrize("member", ["client_metadata", "access_programs"])
def test_what_is_meant_for_one_provider_stays_there_and_is_named(member: str) -> None:
    form = chat_from_responses({"input": "Hi", member: {"installation": "0"}}, canonical_items("Hi"))
    assert member not in form.body
    assert member in form.dropped
