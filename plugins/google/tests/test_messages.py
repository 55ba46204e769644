"""Messages, content parts and tool results, as they are sent."""

from __future__ import annotations

from typing import Any

import pytest
from tollgate_google import Settings, create
from tollgate_google.details import SKIP
from tollgate_google.messages import CONTINUE, OPENING

from gateway.api import CallerFault

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def call(identity: str = "c1", name: str = "f", arguments: Any = "{}", **more: Any) -> dict[str, Any]:
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}, **more}


def assistant(*calls: dict[str, Any], content: Any = None, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": list(calls), **more}


def user(content: Any = "Hi") -> dict[str, Any]:
    return {"role": "user", "content": content}


def result(identity: str = "c1", content: Any = "ok", **more: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": identity, "content": content, **more}


def contents(built: Any, *messages: dict[str, Any], model: str = "gemini-2.5-flash", **more: Any) -> Any:
    return built({"messages": list(messages), **more}, model=model)[0]["contents"]


def test_instructions_stand_apart(built: Any) -> None:
    out, _ = built(
        {
            "messages": [
                {"role": "system", "content": "A"},
                user(),
                {"role": "developer", "content": [{"type": "text", "text": "B"}]},
            ]
        }
    )
    assert out["systemInstruction"] == {"parts": [{"text": "A"}, {"text": "B"}]}
    assert out["contents"] == [{"role": "user", "parts": [{"text": "Hi"}]}]


def test_instructions_alone_become_the_users_turn(built: Any) -> None:
    out, _ = built({"messages": [{"role": "system", "content": "A"}]})
    assert "systemInstruction" not in out
    assert out["contents"] == [{"role": "user", "parts": [{"text": "A"}]}]


def test_where_instructions_are_not_allowed_they_lead_the_first_turn(built: Any) -> None:
    body = {"messages": [{"role": "system", "content": "A"}, user()], "response_format": {"type": "json_object"}}
    out, _ = built({**body, "tools": [{"type": "code_execution"}]}, model="gemma-3-27b-it")
    assert "systemInstruction" not in out
    texts = [part["text"] for part in out["contents"][0]["parts"]]
    assert texts[1:] == ["A", "Hi"]
    assert "JSON" in texts[0]


def test_turns_are_merged_and_blank_texts_left_out(built: Any) -> None:
    made = contents(built, user("A"), user(""), user("B"), {"role": "assistant", "content": ""}, user("C"))
    assert made == [{"role": "user", "parts": [{"text": "A"}, {"text": "B"}, {"text": "C"}]}]
    assert contents(built, user("")) == [{"role": "user", "parts": [{"text": ""}]}]


def test_the_first_and_the_last_turn(built: Any) -> None:
    said = {"role": "assistant", "content": "Well"}
    assert contents(built, said, user())[0] == {"role": "user", "parts": [{"text": OPENING}]}
    assert contents(built, user(), said)[-1]["role"] == "model"
    for model in ("gemini-3.6-flash", "gemini-3.5-flash-lite", "gemini-3.8-flash"):
        assert contents(built, user(), said, model=model)[-1] == {"role": "user", "parts": [{"text": CONTINUE}]}


def test_results_answer_their_calls_in_the_calls_order(built: Any) -> None:
    made = contents(
        built,
        user(),
        assistant(call("a", "f", '{"x":1}'), call("b", "g"), content="Wait."),
        result("b", '{"y": 2}'),
        result("a", "plain", is_error=True),
        user("and?"),
    )
    assert made[1]["parts"] == [
        {"text": "Wait."},
        {"functionCall": {"id": "a", "name": "f", "args": {"x": 1}}},
        {"functionCall": {"id": "b", "name": "g", "args": {}}},
    ]
    assert made[2] == {
        "role": "user",
        "parts": [
            {"functionResponse": {"id": "a", "name": "f", "response": {"error": "plain"}}},
            {"functionResponse": {"id": "b", "name": "g", "response": {"y": 2}}},
        ],
    }
    assert made[3] == {"role": "user", "parts": [{"text": "and?"}]}


@pytest.mark.parametrize(
    ("content", "response"),
    [
        ("sunny", {"result": "sunny"}),
        ("", {"result": ""}),
        ("[1,2]", {"result": [1, 2]}),
        ("3", {"result": 3}),
        ('{"id": 12345678901234567890}', {"result": '{"id": 12345678901234567890}'}),
        ('{"id": 123456789012345678901234567890}', {"result": '{"id": 123456789012345678901234567890}'}),
        ({"a": 1}, {"a": 1}),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], {"result": "a\nb"}),
        (None, {"result": ""}),
    ],
)
def test_a_result_is_an_object(built: Any, content: Any, response: Any) -> None:
    made = contents(built, user(), assistant(call()), result(content=content))
    assert made[2]["parts"][0]["functionResponse"]["response"] == response


def test_images_in_results(built: Any) -> None:
    shown = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}]
    image = {"inlineData": {"mimeType": "image/png", "data": PNG}}
    new = contents(built, user(), assistant(call()), result(content=shown), model="gemini-3-flash-preview")
    assert new[2]["parts"] == [
        {"functionResponse": {"id": "c1", "name": "f", "response": {"result": "a"}, "parts": [image]}}
    ]
    old = contents(built, user(), assistant(call()), result(content=shown[1:]), user("so?"))
    assert "parts" not in old[2]["parts"][0]["functionResponse"]
    assert "follow" in old[2]["parts"][0]["functionResponse"]["response"]["result"]
    assert old[3]["parts"][0]["text"] == "(Media from the result of f:)"
    assert old[3]["parts"][1:] == [image, {"text": "so?"}]


@pytest.mark.parametrize(
    ("messages", "path"),
    [
        ([user(), assistant(call())], "messages[1].tool_calls[0].id"),
        ([user(), assistant(call()), user()], "messages[1].tool_calls[0].id"),
        ([user(), assistant(call("a"), call("b")), result("a"), user()], "messages[1].tool_calls[1].id"),
        ([user(), assistant(call("a"), call("a"))], "messages[1].tool_calls[1].id"),
        ([user(), result("x")], "messages[1].tool_call_id"),
        ([user(), assistant(call(arguments=[]))], "messages[1].tool_calls[0].function.arguments"),
        ([user(), assistant(call(type="custom"))], "messages[1].tool_calls[0].type"),
        ([{"role": "robot", "content": "x"}], "messages[0].role"),
        ([{"role": "system", "content": [{"type": "image_url", "image_url": "gs://b/x"}]}], "messages[0].content"),
        ([user([{"type": "hologram"}])], "messages[0].content[0].type"),
        ([user([{"type": "image_url", "image_url": {"url": "ftp://x"}}])], "messages[0].content[0].image_url.url"),
        ([user([{"type": "image_url", "image_url": {"url": "data:x"}}])], "messages[0].content[0].image_url.url"),
        ([user([{"type": "file", "file": {"file_id": "file-abc"}}])], "messages[0].content[0].file.file_id"),
        ([user(7)], "messages[0].content"),
        ([], "messages"),
        ([assistant(reasoning_details="x", content="x")], "messages[0].reasoning_details"),
    ],
)
def test_what_cannot_be_understood_is_refused_by_name(built: Any, messages: Any, path: str) -> None:
    with pytest.raises(CallerFault) as caught:
        built({"messages": messages})
    assert caught.value.param == path
    assert caught.value.message.startswith(path)


@pytest.mark.parametrize("arguments", ["{", "[]"])
def test_arguments_that_are_no_json_object_do_not_end_the_conversation(built: Any, arguments: str) -> None:
    out, _ = built({"messages": [user(), assistant(call(arguments=arguments)), result("c1")]})
    assert out["contents"][1]["parts"][0]["functionCall"]["args"] == {"INVALID_JSON": arguments}


@pytest.mark.parametrize(
    ("part", "made"),
    [
        (
            {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{PNG}"}},
            {"inlineData": {"mimeType": "image/png", "data": PNG}},
        ),
        (
            {"type": "image_url", "image_url": {"url": f"data:application/octet-stream;base64,{PNG}"}},
            {"inlineData": {"mimeType": "image/png", "data": PNG}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "data:application/octet-stream;base64,UklGRgAA"}},
            {"inlineData": {"mimeType": "application/octet-stream", "data": "UklGRgAA"}},
        ),
        (
            {"type": "image_url", "image_url": "https://example.com/a.webp?x=1"},
            {"fileData": {"fileUri": "https://example.com/a.webp?x=1", "mimeType": "image/webp"}},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "mp3"}},
            {"inlineData": {"mimeType": "audio/mp3", "data": "QUJD"}},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "weird"}},
            {"inlineData": {"mimeType": "audio/weird", "data": "QUJD"}},
        ),
        (
            {"type": "file", "file": {"file_data": "JVBERi0=", "filename": "a.pdf"}},
            {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0="}},
        ),
        (
            {"type": "file", "file": {"file_data": "data:text/plain;charset=utf-8;base64,QQ=="}},
            {"inlineData": {"mimeType": "text/plain", "data": "QQ=="}},
        ),
        (
            {"type": "file", "file": {"file_data": "data:text/plain,a%20b"}},
            {"inlineData": {"mimeType": "text/plain", "data": "YSBi"}},
        ),
        (
            {"type": "video_url", "video_url": {"url": "https://youtu.be/x"}, "videoMetadata": {"fps": 2}},
            {"fileData": {"fileUri": "https://youtu.be/x"}, "videoMetadata": {"fps": 2}},
        ),
        ({"inlineData": {"mimeType": "x/y", "data": "QQ=="}}, {"inlineData": {"mimeType": "x/y", "data": "QQ=="}}),
    ],
)
def test_media(built: Any, part: Any, made: Any) -> None:
    out, sent = built({"messages": [user([part])]})
    assert out["contents"][0]["parts"] == [made]
    assert sent.dropped == []


def test_addresses_that_the_gateway_must_fetch() -> None:
    provider = create("x", Settings(api_key="k"))
    body = {
        "messages": [
            user("text"),
            user(
                [
                    {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                    {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}},
                    {"type": "video_url", "video_url": {"url": "https://www.youtube.com/watch?v=1"}},
                    {"type": "file", "file": {"file_url": "HTTP://example.org/b.pdf"}},
                    {"type": "file", "file": {"file_id": "https://generativelanguage.googleapis.com/v1beta/files/x"}},
                    {"type": "image_url", "image_url": {"url": "https://[::1/x"}},
                    {"type": "image_url"},
                    7,
                ]
            ),
            None,
        ]
    }
    assert provider.media_urls(body) == ["https://example.com/a.png", "HTTP://example.org/b.pdf", "https://[::1/x"]
    assert provider.media_urls({"messages": 7}) == []


def test_signatures_go_back_to_their_parts(built: Any) -> None:
    extra = {"google": {"thought_signature": "sigA"}}
    history = [
        user(),
        assistant(
            call("a", extra_content=extra),
            call("b"),
            content="One. Two.",
            reasoning_content="thoughts are not sent",
            reasoning_details=[
                {"type": "google.thought_signature", "signature": "sigT", "part": "thought", "text": "hm", "at": 0},
                {"type": "google.thought_signature", "signature": "s1", "part": "text", "start": 0, "end": 5},
                {"type": "google.part", "part": {"toolCall": {"id": "x"}}, "at": 5, "calls": 0},
                {"type": "google.thought_signature", "signature": "sigB", "part": "tool_call", "id": "b"},
                {"type": "google.part", "part": {"toolResponse": {}}, "at": 9, "calls": 1},
                {"type": "anthropic.thinking", "text": "foreign", "signature": "x"},
            ],
        ),
        result("a"),
        result("b"),
    ]
    out, _ = built({"messages": history})
    assert out["contents"][1]["parts"] == [
        {"text": "hm", "thought": True, "thoughtSignature": "sigT"},
        {"text": "One. ", "thoughtSignature": "s1"},
        {"toolCall": {"id": "x"}},
        {"text": "Two."},
        {"functionCall": {"id": "a", "name": "f", "args": {}}, "thoughtSignature": "sigA"},
        {"toolResponse": {}},
        {"functionCall": {"id": "b", "name": "f", "args": {}}, "thoughtSignature": "sigB"},
    ]


def test_a_changed_text_keeps_its_signature(built: Any) -> None:
    entry = {"type": "google.thought_signature", "signature": "s", "part": "text", "start": 0, "end": 99}
    made = contents(built, user(), {"role": "assistant", "content": "Short", "reasoning_details": [entry]}, user())
    assert made[1]["parts"] == [{"text": "Short", "thoughtSignature": "s"}]


def test_googles_own_form_of_a_signed_message(built: Any) -> None:
    signed = {"role": "assistant", "content": "A", "extra_content": {"google": {"thought_signature": "s"}}}
    assert contents(built, user(), signed, user())[1]["parts"] == [{"text": "A", "thoughtSignature": "s"}]


def test_calls_of_other_models_are_signed_as_such_where_that_is_asked_for(built: Any) -> None:
    history = (user(), assistant(call("a"), call("b")), result("a"), result("b"))
    new = contents(built, *history, model="gemini-3-pro-preview")[1]["parts"]
    assert [part.get("thoughtSignature") for part in new] == [SKIP, None]
    old = contents(built, *history)[1]["parts"]
    assert not any("thoughtSignature" in part for part in old)
    foreign = [{"type": "reasoning.encrypted", "format": "google-gemini-v1", "id": "a", "data": "sig"}]
    told = (user(), assistant(call("a"), reasoning_details=foreign), result("a"))
    assert contents(built, *told, model="gemini-3-pro-preview")[1]["parts"][0]["thoughtSignature"] == "sig"


def test_images_of_an_earlier_answer(built: Any) -> None:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    entry = {"type": "google.thought_signature", "signature": "s", "part": "image", "image": 0, "at": 2, "calls": 0}
    shown = {"role": "assistant", "content": "Hi!!", "images": [image, image], "reasoning_details": [entry]}
    data = {"inlineData": {"mimeType": "image/png", "data": PNG}}
    assert contents(built, user(), shown, user())[1]["parts"] == [
        {"text": "Hi"},
        {**data, "thoughtSignature": "s"},
        {"text": "!!"},
        data,
    ]


def test_what_has_no_place_is_reported(built: Any) -> None:
    named = {
        "role": "user",
        "name": "Ann",
        "content": [
            {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}, "citations": {"enabled": True}}
        ],
    }
    _, sent = built({"messages": [named, {"role": "assistant", "content": "y", "audio": {"id": "a"}}, user()]})
    assert sent.dropped == [
        "messages[].name",
        "messages[].content[].cache_control",
        "messages[].content[].citations",
        "messages[].audio",
    ]
    with pytest.raises(CallerFault, match=r"messages\[\].name"):
        built({"messages": [named]}, strict=True)


def test_low_detail_is_the_resolution_of_all(built: Any) -> None:
    low = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ==", "detail": "low"}}
    high = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ==", "detail": "high"}}
    out, sent = built({"messages": [user([low, low])]})
    assert out["generationConfig"] == {"mediaResolution": "MEDIA_RESOLUTION_LOW"}
    assert sent.dropped == []
    out, sent = built({"messages": [user([low, high])]})
    assert "generationConfig" not in out
    assert sent.dropped == ["messages[].content[].image_url.detail"]
