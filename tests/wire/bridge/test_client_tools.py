"""Namespaces, shells and searches of the caller's as plain functions, and back."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.wire.bridge.client_tools import Alias, flatten, restore_call
from gateway.wire.bridge.reply import response_from_chat
from gateway.wire.bridge.request import chat_from_responses
from gateway.wire.responses.items import canonical_items
from gateway.wire.responses.native import native_request

Json = dict[str, Any]


def function(name: str, **more: Any) -> Json:
    return {"type": "function", "name": name, "parameters": {"type": "object", "properties": {}}, **more}


def space(name: str, *tools: Json) -> Json:
    return {"type": "namespace", "name": name, "description": "d", "tools": list(tools)}


def test_functions_of_a_namespace_are_offered_under_names_that_lead_back() -> None:
    flat = flatten([function("f"), space("mcp__calc", function("add"), {"type": "custom", "name": "free"})], [], None)
    assert [tool["name"] for tool in flat.tools] == ["f", "mcp__calc__add", "mcp__calc__free"]
    assert flat.aliases == {
        "mcp__calc__add": Alias("function_call", "add", "mcp__calc"),
        "mcp__calc__free": Alias("custom_tool_call", "free", "mcp__calc"),
    }


def test_names_are_legal_short_and_no_two_alike() -> None:
    spaces = [space("a.b", function("c:d")), space("a_b", function("c_d")), space("n" * 60, function("x" * 60))]
    spaces += [space("n" * 60, function("x" * 59 + "y"))]
    flat = flatten([function("a_b__c_d"), *spaces], [], None)
    names = [str(tool["name"]) for tool in flat.tools]
    assert len(set(names)) == 5
    assert all(len(name) <= 64 and name.replace("_", "").replace("-", "").isalnum() for name in names)
    assert names == [str(tool["name"]) for tool in flatten([function("a_b__c_d"), *spaces], [], None).tools]


def test_what_items_bring_along_is_offered_once() -> None:
    later = function("later", defer_loading=True)
    items = [
        {"type": "additional_tools", "tools": [later]},
        {"type": "tool_search_output", "call_id": "s", "tools": [later, space("n", function("g"))]},
    ]
    flat = flatten([function("f")], items, None)
    assert [tool["name"] for tool in flat.tools] == ["f", "later", "n__g"]
    assert "defer_loading" not in flat.tools[1]
    assert flat.items[1]["output"] == "These tools can be called now: later, n__g"


def test_history_and_choice_are_rewritten_alike() -> None:
    given = [
        {"type": "message", "role": "user", "content": "x"},
        {"type": "function_call", "call_id": "a", "namespace": "n", "name": "g", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "1"},
        {
            "type": "local_shell_call",
            "call_id": "b",
            "status": "completed",
            "action": {"type": "exec", "command": ["ls"]},
        },
        {"type": "function_call_output", "call_id": "b", "output": "2"},
        {"type": "tool_search_call", "call_id": "c", "execution": "client", "arguments": {"query": "q"}},
        {"type": "tool_search_output", "call_id": "c", "execution": "client", "tools": []},
    ]
    items = canonical_items(given)
    tools = [space("n", function("g")), {"type": "local_shell"}, {"type": "tool_search", "execution": "client"}]
    request = {"tools": tools, "tool_choice": {"type": "function", "namespace": "n", "name": "g"}}
    form = chat_from_responses(request, items)
    assert form.fault is None
    names = [call["function"]["name"] for one in form.body["messages"] for call in one.get("tool_calls", ())]
    assert names == ["n__g", "local_shell", "tool_search"]
    assert [one["content"] for one in form.body["messages"] if one["role"] == "tool"] == [
        "1",
        "2",
        "No tool was found.",
    ]
    assert form.body["tool_choice"] == {"type": "function", "function": {"name": "n__g"}}
    assert given[1]["namespace"] == "n"


def test_a_call_of_another_kind_without_an_answer_is_named_in_chat_only() -> None:
    items = canonical_items(
        [{"type": "local_shell_call", "call_id": "b", "action": {"type": "exec", "command": ["ls"]}}]
    )
    fault = chat_from_responses({}, items).fault
    assert fault is not None
    assert "no tool output found for function call b" in fault.message.lower()


def test_calls_come_back_as_the_caller_knows_them() -> None:
    tools = [space("n", function("g")), {"type": "local_shell"}, {"type": "tool_search", "execution": "client"}]
    form = chat_from_responses({"tools": tools}, canonical_items("x"))
    calls = [
        {"id": f"c{at}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for at, (name, arguments) in enumerate(
            [("n__g", '{"a":1}'), ("local_shell", '{"command":["ls"]}'), ("tool_search", '{"query":"q"}')]
        )
    ]
    completion = {"choices": [{"message": {"role": "assistant", "tool_calls": calls}, "finish_reason": "tool_calls"}]}
    made = response_from_chat(
        completion, {"tools": tools}, response_id="resp_1", model="m", now=1, aliases=form.aliases
    )
    call, shell, search = made["output"]
    assert (call["type"], call["namespace"], call["name"], call["arguments"]) == ("function_call", "n", "g", '{"a":1}')
    assert (shell["type"], shell["call_id"], shell["action"]["command"]) == ("local_shell_call", "c1", ["ls"])
    assert (search["type"], search["call_id"], search["arguments"]) == ("tool_search_call", "c2", {"query": "q"})


DEEP = "[" * 300 + "]" * 300


@pytest.mark.parametrize(
    "arguments", ["", "[]", "{", '{"command":5}', '{"command":"ls","timeout_ms":"x"}', f'{{"command":[{DEEP}]}}']
)
def test_odd_arguments_make_a_legal_item(arguments: str) -> None:
    item = restore_call(Alias("local_shell_call", "local_shell"), "id", "c", arguments, "completed")
    assert item["action"]["timeout_ms"] is None
    assert all(isinstance(part, str) for part in item["action"]["command"])


@pytest.mark.parametrize(
    ("arguments", "status", "operation"),
    [
        ('{"type":"delete_file","path":"a","diff":"x"}', "completed", {"type": "delete_file", "path": "a"}),
        ('{"type":"create_file","path":"a","diff":""}', "completed", {"type": "create_file", "path": "a", "diff": ""}),
        ('{"type":"delete_file","pa', "incomplete", None),
        ('{"type":"rename_file","path":"a","diff":"x"}', "completed", {"type": "update_file", "path": "", "diff": "x"}),
        ("[]", "completed", None),
    ],
)  # fmt: skip
def test_a_patch_that_makes_no_sense_names_no_file(arguments: str, status: str, operation: Json | None) -> None:
    item = restore_call(Alias("apply_patch_call", "apply_patch"), "apc_1", "c", arguments, status)
    assert item["status"] == ("completed" if status == "completed" else "in_progress")
    assert item["operation"] == (operation or {"type": "update_file", "path": "", "diff": arguments})


def test_a_shell_in_a_container_of_the_providers_is_no_function() -> None:
    hosted = {"type": "shell", "environment": {"type": "container_auto"}}
    assert flatten([hosted], [], None).tools == [hosted]
    skill = {"name": "pdf", "description": "Reads PDFs", "path": "/skills/pdf"}
    (local,) = flatten([{"type": "shell", "environment": {"type": "local", "skills": [skill]}}], [], None).tools
    assert "/skills/pdf" in local["description"]


def test_an_output_without_its_call_is_named_in_chat_only() -> None:
    output = {"type": "shell_call_output", "call_id": "gone", "output": []}
    items = canonical_items([{"role": "user", "content": "x"}, output])
    fault = chat_from_responses({}, items).fault
    assert fault is not None
    assert "gone" in fault.message
    assert native_request({"input": [output]}, items)[0]["input"][-1] == output


def test_a_call_that_is_sent_again_beside_the_kept_one_is_one_call() -> None:
    call = {"type": "shell_call", "call_id": "s", "action": {"commands": ["ls"]}, "status": "completed"}
    output = {"type": "shell_call_output", "call_id": "s", "output": []}
    assert [item["type"] for item in canonical_items([call, output], earlier=[call])] == ["shell_call_output"]
