"""The conversation: order, roles, parts, tool calls and their results, thoughts given back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tollgate_mistral.draft import short_id

from gateway.api import Call, CallerFault
from gateway.testing.steps import assert_linear

Built = Callable[..., tuple[dict[str, Any], Call]]

CALL = {"id": "call_abcdefghijk", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
PIXEL = "data:image/png;base64,iVBORw0KGgo="


def user(text: str = "Hi") -> dict[str, Any]:
    return {"role": "user", "content": text}


def asked(*calls: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls or (CALL,)), **more}


def result(content: Any = "42", identity: str = "call_abcdefghijk") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": identity, "content": content}


def roles(body: dict[str, Any]) -> str:
    return " ".join(message["role"] for message in body["messages"])


def test_instructions_go_to_the_top_as_one(built: Built) -> None:
    parts = [{"type": "text", "text": "b"}]
    body, _ = built(
        {
            "messages": [
                {"role": "developer", "content": "a"},
                user(),
                {"role": "assistant", "content": "x"},
                {"role": "system", "content": "b"},
                user("y"),
            ]
        }
    )
    assert body["messages"][0] == {"role": "system", "content": "a\n\nb"}
    assert roles(body) == "system user assistant user"
    body, _ = built({"messages": [{"role": "system", "content": "a"}, {"role": "system", "content": parts}, user()]})
    assert body["messages"][0]["content"] == [{"type": "text", "text": "a"}, *parts]
    body, _ = built({"messages": [{"role": "system", "content": parts}, user()]})
    assert body["messages"][0]["content"] == parts


def test_instructions_alone_become_the_users_message(built: Built) -> None:
    assert built({"messages": [{"role": "system", "content": "a"}]})[0]["messages"] == [user("a")]


def test_a_last_assistant_message_is_a_prefix(built: Built) -> None:
    body, _ = built({"messages": [user(), {"role": "assistant", "content": "Dear"}]})
    assert body["messages"][-1] == {"role": "assistant", "content": "Dear", "prefix": True}
    body, _ = built({"messages": [user(), {"role": "assistant", "content": "Dear", "prefix": False}, user()]})
    assert body["messages"][1]["prefix"] is False


def test_results_are_bridged_to_the_user(built: Built) -> None:
    body, _ = built({"messages": [user(), asked(), result(), user("and?")]})
    assert roles(body) == "user assistant tool assistant user"
    assert body["messages"][3] == {"role": "assistant", "content": "OK"}
    body, _ = built({"messages": [user(), asked(), result(), {"role": "assistant", "content": "42"}, user("and?")]})
    assert roles(body) == "user assistant tool assistant user"
    assert body["messages"][3]["content"] == "42"


def test_empty_assistant_messages_are_left_out(built: Built) -> None:
    body, _ = built({"messages": [user(), asked(), result(), {"role": "assistant", "content": ""}, user("and?")]})
    assert [message["content"] for message in body["messages"]] == ["Hi", "", "42", "OK", "and?"]


def test_ids_are_nine_letters_in_call_and_result(built: Built) -> None:
    native = {**CALL, "id": "pcZFHqej8"}
    messages = [user(), asked(CALL, native), result("1", "pcZFHqej8"), result("2")]
    body, _ = built({"messages": messages})
    first, second = body["messages"][1]["tool_calls"]
    assert (first["id"], second["id"]) == (short_id(CALL["id"]), "pcZFHqej8")
    assert [message["tool_call_id"] for message in body["messages"][2:]] == ["pcZFHqej8", first["id"]]
    assert len(first["id"]) == 9
    assert first["id"].isalnum()
    assert first["id"].isascii()
    assert built({"messages": messages})[0] == body
    kept, _ = built({"messages": messages}, options={"quirks": {"short_ids": False}})
    assert kept["messages"][1]["tool_calls"][0]["id"] == CALL["id"]


def test_short_ids_hardly_ever_collide() -> None:
    ids = {short_id(f"call_{number}") for number in range(20_000)}
    assert len(ids) == 20_000
    assert short_id("\ud800") != short_id("")


def test_a_call_without_arguments_gets_an_empty_object(built: Built) -> None:
    call = {**CALL, "index": 0, "function": {"name": "f", "arguments": ""}}
    body, _ = built({"messages": [user(), asked(call), result("")]})
    assert body["messages"][1]["tool_calls"] == [
        {"id": short_id(CALL["id"]), "type": "function", "function": {"name": "f", "arguments": "{}"}}
    ]
    assert body["messages"][2]["content"] == ""


def test_pictures_in_a_result_follow_in_a_users_message(built: Built) -> None:
    picture = {"type": "image_url", "image_url": {"url": PIXEL}}
    shown = result([{"type": "text", "text": "a map"}, picture])
    body, _ = built({"messages": [user(), asked(CALL, {**CALL, "id": "b"}), shown, result("2", "b"), user("so?")]})
    assert roles(body) == "user assistant tool tool assistant user user"
    assert body["messages"][2]["content"] == "a map\n(attached below)"
    assert body["messages"][5]["content"][1:] == [picture]
    body, _ = built({"messages": [user(), asked(), shown]})
    assert roles(body) == "user assistant tool assistant user"


@pytest.mark.parametrize(
    ("messages", "path"),
    [
        ([user(), result()], "messages[1].tool_call_id"),
        ([user(), asked(), result("1"), result("2")], "messages[3].tool_call_id"),
        ([user(), asked(), result(identity="other")], "messages[2].tool_call_id"),
        ([user(), asked(), user()], "messages[1].tool_calls[0]"),
        ([user(), asked(CALL, {**CALL, "id": "b"}), result()], "messages[1].tool_calls[1]"),
        ([user(), asked({"id": "c", "type": "custom", "custom": {}})], "messages[1].tool_calls[0].type"),
        ([{"role": "user", "content": None}], "messages[0].content"),
        ([{"role": "user", "content": [1]}], "messages[0].content[0]"),
        ([{"role": "user", "content": [{"type": "file", "file": {}}]}], "messages[0].content[0].file.file_data"),
        ([{"role": "system", "content": None}], "messages[0].content"),
        ([{"role": "bot"}], "messages[0].role"),
        (["x"], "messages[0]"),
        ("x", "messages"),
        ([user(), {"role": "assistant", "content": "x", "reasoning_details": 1}], "messages[1].reasoning_details"),
    ],
)
def test_what_cannot_be_sent_is_named(built: Built, messages: Any, path: str) -> None:
    with pytest.raises(CallerFault) as caught:
        built({"messages": messages})
    assert caught.value.param == path


def test_what_answers_hold_comes_back_without_the_members_that_mistral_refuses(built: Built) -> None:
    message = {
        "role": "assistant",
        "content": "4",
        "refusal": None,
        "annotations": [],
        "citations": [],
        "audio": None,
        "function_call": None,
        "tool_calls": None,
        "novel": 1,
    }
    body, call = built({"messages": [user(), message, user("and?")]}, strict=True)
    assert body["messages"][1] == {"role": "assistant", "content": "4", "novel": 1}
    assert call.dropped == []
    body, call = built({"messages": [{**user(), "name": "Ann"}, {**message, "audio": {"id": "a"}}, user()]})
    assert call.dropped == ["messages[].name", "messages[].audio"]


def test_refusals_are_given_back_as_text(built: Built) -> None:
    parts = [{"type": "refusal", "refusal": "No."}]
    body, _ = built({"messages": [user(), {"role": "assistant", "content": None, "refusal": "No."}, user()]})
    assert body["messages"][1]["content"] == "No."
    body, _ = built({"messages": [user(), {"role": "assistant", "content": parts}, user()]})
    assert body["messages"][1]["content"] == [{"type": "text", "text": "No."}]


THOUGHT = {"index": 0, "type": "mistral.thinking", "text": "hm", "closed": True}
CHUNK = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}], "closed": True}


@pytest.mark.parametrize(
    ("model", "given", "sent"),
    [
        ("magistral-medium-latest", {"reasoning_details": [THOUGHT], "reasoning_content": "hm"}, [CHUNK]),
        ("a-new-model", {"reasoning_details": [THOUGHT]}, [CHUNK]),
        ("a-new-model", {"reasoning_content": "hm"}, []),
        ("codestral-latest", {"reasoning_details": [THOUGHT], "reasoning_content": "hm"}, []),
        ("mistral-small-latest", {"reasoning_content": "hm"}, [{**CHUNK, "closed": ...}]),
        ("mistral-small-latest", {"reasoning_content": " "}, []),
        (
            "mistral-small-latest",
            {"reasoning_details": [{"type": "anthropic.thinking", "text": "x"}, {"type": "mistral.thinking"}]},
            [],
        ),
        (
            "mistral-small-latest",
            {"reasoning_details": [{"type": "mistral.block", "block": {"type": "x"}}]},
            [{"type": "x"}],
        ),
    ],
)
def test_thoughts_are_given_back_to_models_that_think(
    built: Built, model: str, given: dict[str, Any], sent: list[Any]
) -> None:
    sent = [{key: value for key, value in chunk.items() if value is not ...} for chunk in sent]
    body, _ = built({"messages": [user(), {"role": "assistant", "content": "4", **given}, user()]}, model)
    content = body["messages"][1]["content"]
    assert content == ([*sent, {"type": "text", "text": "4"}] if sent else "4")
    body, _ = built({"messages": [user(), asked(**given), result()]}, model)
    assert body["messages"][1]["content"] == (sent or "")


def test_parts(built: Built) -> None:
    pdf = "JVBERi0xLjQK"
    parts: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"type": "text", "text": "a"}, {"type": "text", "text": "a"}),
        (
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
        ),
        ({"type": "image_url", "image_url": PIXEL}, {"type": "image_url", "image_url": PIXEL}),
        (
            {"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}},
            {"type": "input_audio", "input_audio": "SUQz"},
        ),
        (
            {"type": "file", "file": {"file_data": pdf, "filename": "a.pdf"}},
            {
                "type": "document_url",
                "document_url": f"data:application/pdf;base64,{pdf}",
                "document_name": "a.pdf",
            },
        ),
        (
            {"type": "file", "file": {"file_data": pdf}},
            {"type": "document_url", "document_url": f"data:application/pdf;base64,{pdf}"},
        ),
        (
            {"type": "file", "file": {"file_url": "https://example.com/a.pdf"}},
            {"type": "document_url", "document_url": "https://example.com/a.pdf"},
        ),
        (
            {"type": "file", "file": {"file_data": "https://example.com/a.pdf"}},
            {"type": "document_url", "document_url": "https://example.com/a.pdf"},
        ),
        (
            {"type": "file", "file": {"file_data": PIXEL, "filename": "a.png"}},
            {"type": "image_url", "image_url": {"url": PIXEL}},
        ),
        (
            {"type": "file", "file": {"file_data": "data:audio/wav;base64,UklG"}},
            {"type": "input_audio", "input_audio": "UklG"},
        ),
        ({"type": "file", "file": {"file_id": "f1"}}, {"type": "file", "file_id": "f1"}),
        ({"type": "document_url", "document_url": "x"}, {"type": "document_url", "document_url": "x"}),
        ({"type": "novel", "novel": 1}, {"type": "novel", "novel": 1}),
    ]
    body, call = built({"messages": [{"role": "user", "content": [given for given, _ in parts]}]}, strict=True)
    assert body["messages"][0]["content"] == [sent for _, sent in parts]
    assert call.dropped == []


def test_cache_marks_are_reported(built: Built) -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    content = [{"type": "text", "text": "a", **mark}, {"type": "image_url", "image_url": PIXEL, **mark}]
    body, call = built({"messages": [{"role": "user", "content": content, **mark}]})
    assert b"cache_control" not in str(body).encode()
    assert call.dropped == ["cache_control"]


def test_results_in_any_order_take_linear_work(built: Built) -> None:
    def reversed_results(size: int) -> Callable[[], Any]:
        calls = [{**CALL, "id": f"call_{number}"} for number in range(size)]
        results = [result(identity=f"call_{number}") for number in reversed(range(size))]
        body = {"messages": [user(), asked(*calls), *results]}
        return lambda: built(body)

    assert_linear(reversed_results, 100)


def test_two_calls_of_one_id_are_answered_in_their_order(built: Built) -> None:
    twice = [user(), asked(CALL, CALL)]
    body, _ = built({"messages": [*twice, result("1"), result("2")]})
    assert roles(body) == "user assistant tool tool"
    with pytest.raises(CallerFault) as caught:
        built({"messages": [*twice, result("1"), user()]})
    assert caught.value.param == "messages[1].tool_calls[1]"


def test_arguments_that_are_no_json_object_do_not_end_the_conversation(built: Built) -> None:
    body, _ = built(
        {"messages": [user(), asked({**CALL, "function": {"name": "f", "arguments": '{"a":'}}), result("")]}
    )
    assert body["messages"][1]["tool_calls"][0]["function"]["arguments"] == '{"INVALID_JSON":"{\\"a\\":"}'
