"""A Messages request as a chat request: what is mapped, reported, or impossible elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tollgate_anthropic.inbound import MessagesDialect
from tollgate_anthropic.inbound.native import MESSAGES

from gateway.api import Call, CallerFault, Form, activity_notes, seal
from gateway.testing import HOSTILE_VALUES, make_call

Json = dict[str, Any]

USER = [{"role": "user", "content": "Hi"}]
TOOL = {"name": "f", "description": "d", "input_schema": {"type": "object", "properties": {}}}
PNG = "iVBORw0KGgo="


def opened(**body: Any) -> Call:
    call = make_call()
    MessagesDialect().open(call, {"model": "test/model", "max_tokens": 100, "messages": USER, **body}, {})
    return call


def chat(**body: Any) -> Json:
    """The chat body, which must be possible and without losses."""
    form = opened(**body).forms["chat"]
    assert form.fault is None
    assert form.dropped == []
    return form.body


def lossy(**body: Any) -> Form:
    return opened(**body).forms["chat"]


def messages(*given: Json, **more: Any) -> list[Json]:
    found: list[Json] = chat(messages=list(given), **more)["messages"]
    return found


def user(*blocks: Json) -> Json:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Json) -> Json:
    return {"role": "assistant", "content": list(blocks)}


def text(words: str, **more: Any) -> Json:
    return {"type": "text", "text": words, **more}


def test_the_least_request() -> None:
    call = opened()
    assert call.body == {"model": "test/model", "max_tokens": 100, "messages": USER}
    assert call.model == "test/model"
    assert call.stream is False
    assert list(call.forms) == ["chat", MESSAGES]


def test_a_request_may_leave_the_model_to_the_gateway() -> None:
    assert opened(model=None).model == ""


def test_a_stream_is_asked_for() -> None:
    call = opened(stream=True)
    assert call.stream
    assert call.body["stream"] is True


# -- parameters ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"temperature": 0.5}, {"temperature": 0.5}),
        ({"top_p": 0.9}, {"top_p": 0.9}),
        ({"stop_sequences": ["a", "b"]}, {"stop": ["a", "b"]}),
        ({"stop_sequences": []}, {}),
        ({"metadata": {"user_id": "u1"}}, {"user": "u1"}),
        ({"metadata": {"user_id": None}}, {}),
        ({"service_tier": "auto"}, {"service_tier": "auto"}),
        ({"service_tier": "standard_only"}, {"service_tier": "default"}),
        ({"system": "Be kind."}, {"messages": [{"role": "system", "content": "Be kind."}, *USER]}),
        ({"system": []}, {}),
        ({"system": [text("Be kind.")]}, {"messages": [{"role": "system", "content": "Be kind."}, *USER]}),
        (
            {"system": [text("a"), text("b")]},
            {"messages": [{"role": "system", "content": [text("a"), text("b")]}, *USER]},
        ),
        ({"thinking": {"type": "disabled"}}, {"reasoning_effort": "none"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, {"reasoning_effort": "low"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 10_000}}, {"reasoning_effort": "medium"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 31_999}}, {"reasoning_effort": "high"}),
        ({"thinking": {"type": "adaptive"}}, {"reasoning_effort": "medium"}),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, {"reasoning_effort": "xhigh"}),
        ({"output_config": {"effort": "low"}}, {"reasoning_effort": "low"}),
        ({"thinking": None, "top_k": None, "container": None, "mcp_servers": []}, {}),
        ({"top_k": 5}, {"top_k": 5}),
        ({"top_k": 0}, {}),
    ],
    ids=str,
)
def test_parameters_are_mapped(fields: Json, expected: Json) -> None:
    assert chat(**fields) == {"model": "test/model", "max_tokens": 100, "messages": USER, **expected}


@pytest.mark.parametrize(
    ("fields", "dropped"),
    [
        ({"stop_sequences": list("abcdef")}, ["stop_sequences[4:]"]),
        ({"metadata": {"user_id": "u", "other": "x"}}, ["metadata.other"]),
        ({"service_tier": "batch"}, ["service_tier"]),
        ({"context_management": {"edits": []}}, ["context_management"]),
        ({"cache_control": {"type": "ephemeral"}}, ["cache_control"]),
        ({"unheard_of": 1}, ["unheard_of"]),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000, "display": "omitted"}}, ["thinking.display"]),
        ({"thinking": {"type": "new"}}, ["thinking"]),
        ({"output_config": {"effort": "utmost", "new": 1}}, ["output_config.new", "output_config.effort"]),
        ({"tools": [{**TOOL, "cache_control": {"type": "ephemeral"}}]}, ["cache_control"]),
        ({"tools": [{**TOOL, "defer_loading": True}]}, ["tools[].defer_loading"]),
        ({"system": [text("x", cache_control={"type": "ephemeral"})]}, ["cache_control"]),
        ({"messages": [assistant(text("x", citations=[{}]))]}, ["messages[].content[].citations"]),
    ],
    ids=str,
)
def test_what_others_lack_is_reported(fields: Json, dropped: list[str]) -> None:
    form = lossy(**fields)
    assert form.fault is None
    assert form.dropped == dropped


def test_a_beta_is_reported() -> None:
    call = make_call(headers={"anthropic-beta": "some-beta-2025-01-01"})
    MessagesDialect().open(call, {"max_tokens": 1, "messages": USER}, {})
    assert call.forms["chat"].dropped == ["anthropic-beta"]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"tools": [TOOL, {"type": "code_execution_20250825", "name": "code_execution"}]}, "tools[1]"),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools[0]"),
        ({"container": "c1"}, "container"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"output_config": {"format": {"type": "grammar"}}}, "output_config.format.type"),
        ({"messages": [user({"type": "container_upload", "file_id": "f"})]}, "messages[0].content[0]"),
        ({"messages": [user({"type": "image", "source": {"type": "file", "file_id": "f"}})]}, "messages[0].content[0]"),
        (
            {"messages": [user({"type": "document", "source": {"type": "file", "file_id": "f"}})]},
            "messages[0].content[0]",
        ),
        (
            {"messages": [assistant({"type": "code_execution_tool_result", "tool_use_id": "s", "content": {}})]},
            "messages[0].content[0]",
        ),
        (
            {
                "messages": [
                    assistant({"type": "tool_use", "id": "a", "name": "f", "input": {}, "caller": {"type": "code"}})
                ]
            },
            "messages[0].content[0].caller",
        ),
    ],
    ids=str,
)
def test_what_others_cannot_do_is_refused_there_and_only_there(fields: Json, path: str) -> None:
    call = opened(**fields)
    fault = call.forms["chat"].fault
    assert fault is not None
    assert fault.param == path
    assert fault.status == 400
    assert call.forms[MESSAGES].fault is None


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": "100"}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"model": 5}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [5]}, "messages[0]"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [user({"type": "text"})]}, "messages[0].content[0].text"),
        ({"messages": [user({})]}, "messages[0].content[0].type"),
        (
            {"messages": [user({"type": "image", "source": {"type": "url", "url": "file:///x"}})]},
            "messages[0].content[0].source.url",
        ),
        (
            {"messages": [assistant({"type": "tool_use", "id": "a", "name": "f", "input": "x"})]},
            "messages[0].content[0].input",
        ),
        ({"messages": [user({"type": "tool_result", "content": "x"})]}, "messages[0].content[0].tool_use_id"),
        (
            {"messages": [assistant({"type": "thinking", "thinking": "x", "signature": "gw1.???"})]},
            "messages[0].content[0].signature",
        ),
        ({"system": 5}, "system"),
        ({"temperature": 1.5}, "temperature"),
        ({"stop_sequences": "x"}, "stop_sequences"),
        ({"stop_sequences": [1]}, "stop_sequences[0]"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "g"}}, "tool_choice.name"),
        ({"tools": [TOOL], "tool_choice": {"type": "maybe"}}, "tool_choice.type"),
        ({"tools": [TOOL], "tool_choice": "auto"}, "tool_choice"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"metadata": "x"}, "metadata"),
        ({"api_base": "https://evil.example"}, "api_base"),
        ({"extra-headers": {}}, "extra-headers"),
    ],
    ids=str,
)
def test_what_is_wrong_everywhere_is_refused_by_its_path(fields: Json, path: str) -> None:
    with pytest.raises(CallerFault) as caught:
        opened(**fields)
    assert caught.value.param == path
    assert caught.value.status == 400


def test_counting_needs_no_limit() -> None:
    call = make_call()
    MessagesDialect(counting=True).open(call, {"model": "m", "messages": USER}, {})
    assert "max_tokens" not in call.body


def test_a_long_user_id_is_the_same_short_one_every_time() -> None:
    long = "user_" + "a" * 200
    first, second = chat(metadata={"user_id": long})["user"], chat(metadata={"user_id": long})["user"]
    assert first == second
    assert len(first) == 64


# -- tools ---------------------------------------------------------------------------------------------------------


def test_tools_become_functions() -> None:
    found = chat(tools=[TOOL, {**TOOL, "name": "g", "type": "custom", "strict": True}])["tools"]
    schema = TOOL["input_schema"]
    assert found == [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": schema}},
        {"type": "function", "function": {"name": "g", "description": "d", "parameters": schema, "strict": True}},
    ]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, "auto"),
        ({"type": "any"}, "required"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "f"}, {"type": "function", "function": {"name": "f"}}),
    ],
)
def test_choices_of_tools(choice: Json, expected: Any) -> None:
    found = chat(tools=[TOOL], tool_choice=choice)
    assert found["tool_choice"] == expected
    assert "parallel_tool_calls" not in found
    if choice["type"] != "none":
        found = chat(tools=[TOOL], tool_choice={**choice, "disable_parallel_tool_use": True})
        assert found["parallel_tool_calls"] is False


def test_an_answer_of_a_schema() -> None:
    open_ = {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": False}
    closed = {**open_, "required": ["a"]}
    wanted = {"type": "json_schema", "schema": closed}
    spec = {"name": "answer", "schema": closed, "strict": True}
    for body in ({"output_config": {"format": wanted}}, {"output_format": wanted}):
        assert chat(**body)["response_format"] == {"type": "json_schema", "json_schema": spec}
    found = chat(output_format={"type": "json_schema", "schema": open_})["response_format"]
    assert found["json_schema"]["strict"] is False


# -- messages ------------------------------------------------------------------------------------------------------


def test_content_of_a_user() -> None:
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
    found = messages(
        user(
            text("Look:"),
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
            {"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}},
            {"type": "document", "source": pdf, "title": "t.pdf", "context": "From the archive."},
            {"type": "document", "source": {"type": "url", "url": "https://a.example/c.pdf"}},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "plain"}, "title": "T"},
            {"type": "document", "source": {"type": "content", "content": [text("inner")]}},
            {"type": "search_result", "title": "T", "source": "https://s", "content": [text("found")]},
        )
    )
    assert found[0]["content"] == [
        text("Look:"),
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}},
        text("From the archive."),
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "t.pdf"}},
        {
            "type": "file",
            "file": {
                "file_data": "https://a.example/c.pdf",
                "file_url": "https://a.example/c.pdf",
                "filename": "document.pdf",
            },
        },
        text("T\n\nplain"),
        text("inner"),
        text("T\nhttps://s\nfound"),
    ]


def test_results_come_directly_after_the_calls() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    found = messages(
        assistant(
            text("Let me "),
            text("look."),
            {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
            {"type": "tool_use", "id": "b", "name": "g", "input": {}},
        ),
        user(
            {"type": "tool_result", "tool_use_id": "a", "content": [text("one"), text("two")]},
            {"type": "tool_result", "tool_use_id": "b", "content": [image]},
            text("And now?"),
        ),
    )
    assert found == [
        {
            "role": "assistant",
            "content": "Let me look.",
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
                {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "one\ntwo"},
        {
            "role": "tool",
            "tool_call_id": "b",
            "content": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}],
        },
        {"role": "user", "content": "And now?"},
    ]


def test_calls_of_consecutive_messages_are_one_turn() -> None:
    """Anthropic combines them; elsewhere each message's calls would miss their results."""
    uses = [{"type": "tool_use", "id": name, "name": "add", "input": {}} for name in ("a", "b")]
    results = [{"type": "tool_result", "tool_use_id": name, "content": name} for name in ("a", "b")]
    said = [
        {"role": "user", "content": "Add."},
        *({"role": "assistant", "content": [use]} for use in uses),
        {"role": "assistant", "content": "Soon."},
        {"role": "user", "content": results},
        {"role": "assistant", "content": "One."},
        {"role": "assistant", "content": [{"type": "text", "text": "Two."}]},
    ]
    made = chat(messages=said)["messages"]
    assert [message["role"] for message in made] == ["user", "assistant", "tool", "tool", "assistant", "assistant"]
    assert [call["id"] for call in made[1]["tool_calls"]] == ["a", "b"]
    assert made[1]["content"] == "Soon."


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({}, {"content": ""}),
        ({"content": "fine"}, {"content": "fine"}),
        ({"content": "no such file", "is_error": True}, {"content": "no such file", "is_error": True}),
        ({"is_error": True}, {"content": "", "is_error": True}),
    ],
)
def test_a_result_says_that_it_failed(block: Json, expected: Json) -> None:
    call = assistant({"type": "tool_use", "id": "a", "name": "f", "input": {}})
    found = messages(call, user({"type": "tool_result", "tool_use_id": "a", **block}))
    assert found[1:] == [{"role": "tool", "tool_call_id": "a", **expected}]


def test_what_servers_did_is_told_where_it_stood() -> None:
    found = [{"type": "web_search_result", "url": "https://a.example/", "title": "A", "encrypted_content": "E"}]
    page = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "All of it."}}
    (message,) = messages(
        assistant(
            text("Let me look."),
            {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
            {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": found},
            {
                "type": "server_tool_use",
                "id": "srvtoolu_2",
                "name": "web_fetch",
                "input": {"url": "https://b.example/"},
            },
            {"type": "web_fetch_tool_result", "tool_use_id": "srvtoolu_2", "content": {"content": page}},
            {"type": "mcp_tool_use", "id": "mcptoolu_3", "name": "t", "server_name": "s", "input": {"a": 1}},
            {"type": "mcp_tool_result", "tool_use_id": "mcptoolu_3", "is_error": True, "content": "no"},
            text("There."),
        )
    )
    assert message["content"] == "Let me look.There."
    assert activity_notes(message) == [
        (12, '(Searched the web for "q". Found:\nhttps://a.example/ A\n)'),
        (12, "(Opened the page https://b.example/, which says:\nAll of it.\n)"),
        (12, '(Called the tool t of the server s with {"a":1}. It failed:\nno\n)'),
    ]


def test_thoughts_come_back_to_who_thought_them() -> None:
    detail = {"type": "google.thought_signature", "signature": "abc"}
    extra = {"type": "chat.tool_call", "id": "a", "members": {"extra_content": {"google": {}}}}
    found = messages(
        assistant(
            {"type": "thinking", "thinking": "mm", "signature": seal([detail])},
            {"type": "redacted_thinking", "data": seal([extra])},
            {"type": "tool_use", "id": "a", "name": "f", "input": {}},
        )
    )
    (message,) = found
    assert message["reasoning_content"] == "mm"
    assert message["reasoning_details"] == [{**detail, "index": 0}]
    assert message["tool_calls"][0]["extra_content"] == {"google": {}}
    assert message["content"] is None


def test_anthropics_thoughts_are_details_that_only_it_reads() -> None:
    (message,) = messages(
        assistant(
            {"type": "thinking", "thinking": "mm", "signature": "REAL"},
            {"type": "redacted_thinking", "data": "DATA"},
            text("x"),
        )
    )
    assert "reasoning_content" not in message
    assert message["reasoning_details"] == [
        {"index": 0, "type": "anthropic.thinking", "text": "mm", "signature": "REAL"},
        {"index": 1, "type": "anthropic.redacted_thinking", "data": "DATA"},
    ]


def test_an_empty_answer_is_left_out() -> None:
    assert messages(*USER, assistant(), user(text("x"))) == [*USER, {"role": "user", "content": "x"}]


def test_instructions_inside_the_conversation() -> None:
    inside = [{"role": "system", "content": "a"}, {"role": "system", "content": [text("b")]}]
    assert messages(*USER, *inside)[1:] == [{"role": "system", "content": "a"}, {"role": "system", "content": "b"}]


# -- hostile -------------------------------------------------------------------------------------------------------

FIELDS = (
    "model max_tokens messages system stream stop_sequences temperature top_p top_k thinking output_config "
    "output_format metadata service_tier tools tool_choice mcp_servers container unheard_of"
).split()
KINDS = "text image document tool_use tool_result thinking redacted_thinking search_result".split()
MEMBERS = (
    "text source id name input content tool_use_id thinking signature data title cache_control is_error caller"
).split()


def refused(body: Json) -> CallerFault | None:
    """The fault of a body, None when it is taken."""
    try:
        opened(**body)
    except CallerFault as fault:
        return fault
    return None


@pytest.mark.parametrize("value", HOSTILE_VALUES, ids=lambda value: repr(value)[:20])
def test_values_of_any_type_are_taken_or_refused(value: Any) -> None:
    bodies: list[Json] = [{name: value} for name in FIELDS]
    bodies += [{"messages": [{"role": "user", "content": value}]}, {"messages": [{"role": value, "content": "x"}]}]
    for role in ("user", "assistant"):
        for kind in KINDS:
            block = {"type": kind, **dict.fromkeys(MEMBERS, value)}
            bodies.append({"messages": [{"role": role, "content": [block]}]})
    schema = {"type": "object", "properties": value, "required": value}
    bodies += [
        {"tools": [value]},
        {"tools": [{"name": value, "input_schema": value, "type": value}]},
        {"tools": [TOOL], "tool_choice": {"type": value, "name": value}},
        {"thinking": {"type": value, "budget_tokens": value}},
        {"output_config": {"effort": value, "format": value}},
        {"output_format": {"type": "json_schema", "schema": schema}},
    ]
    faults = [fault for fault in map(refused, bodies) if fault is not None]
    assert all(fault.status == 400 and fault.param for fault in faults)
    assert faults


LEAVES = st.none() | st.booleans() | st.integers(-5, 2**40) | st.floats(allow_nan=False) | st.text(max_size=5)
NAMES = st.sampled_from([*FIELDS, *MEMBERS, "type", "role"])
JSON = st.recursive(
    LEAVES | st.sampled_from([*KINDS, "user", "assistant"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=5))
def test_any_body_is_taken_or_refused(body: Json) -> None:
    fault = refused(body)
    assert fault is None or fault.param


def test_a_search_of_the_provider_is_asked_for_in_chats_words() -> None:
    place = {"type": "approximate", "city": "Bern"}
    tool = {"type": "web_search_20250305", "name": "web_search", "user_location": place}
    body = chat(tools=[TOOL, tool])
    assert body["web_search_options"] == {"user_location": {"type": "approximate", "approximate": {"city": "Bern"}}}
    assert [made["function"]["name"] for made in body["tools"]] == ["f"]
    alone = lossy(tools=[{"type": "web_search_20260101", "name": "web_search", "max_uses": 3, "new": 1}])
    assert (alone.body["web_search_options"], "tools" in alone.body, alone.fault) == ({"max_uses": 3}, False, None)
    assert alone.dropped == ["tools[].new"]
    filtered = chat(tools=[{**tool, "user_location": None, "allowed_domains": ["a.example"], "blocked_domains": None}])
    assert filtered["web_search_options"] == {"filters": {"allowed_domains": ["a.example"]}}


def test_the_line_that_changes_with_each_request_stays_out_of_other_prompts() -> None:
    line = {"type": "text", "text": "x-anthropic-billing-header: cc_version=2; cch=a1b2c;"}
    form = lossy(system=[line, {"type": "text", "text": "Be brief."}])
    assert form.body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert form.dropped == ["system[0]"]
    assert lossy(system=[line]).body["messages"][0]["role"] == "user"
    longer = {"type": "text", "text": line["text"] + "\nBe brief."}
    assert lossy(system=[longer]).body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert chat(system=[{"type": "text", "text": "Be brief."}, line])["messages"][0]["content"][1] == line


def test_a_tool_that_was_found_is_named_in_the_result() -> None:
    content = [{"type": "tool_reference", "tool_name": "Bash"}]
    messages = [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": content}]},
    ]
    assert chat(messages=messages, tools=[TOOL])["messages"][1]["content"] == "The tool Bash can be called now."
