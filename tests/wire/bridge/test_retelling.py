"""What a target's chat does not take is said in what it takes; what it takes stays as it is."""

from __future__ import annotations

from typing import Any

from gateway.wire.bridge.retelling import retell
from gateway.wire.chat.activity import activity_event

ALL = {"activity", "tool_media", "tool_marks"}
IMAGE = {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}
TEXT = {"type": "text", "text": "see"}
CALLS = [{"id": name, "type": "function", "function": {"name": "f", "arguments": "{}"}} for name in "ab"]
CALLED = {"role": "assistant", "content": None, "tool_calls": CALLS}


def tool(call_id: str, content: Any, **marks: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content, **marks}


def test_nothing_to_do_is_nothing_done() -> None:
    body = {"messages": [{"role": "user", "content": "x"}, CALLED, tool("a", "1"), tool("b", "2")]}
    assert retell(body, ()).body is body
    rich = {"messages": [CALLED, tool("a", [TEXT, IMAGE], is_error=True), {"role": "assistant", "x_gateway": []}]}
    assert retell(rich, ALL).body is rich
    for odd in ({}, {"messages": None}, {"messages": [7, {"role": []}]}):
        assert retell(odd, ()).body is odd


def test_media_follow_all_results_of_the_turn() -> None:
    told = retell({"messages": [CALLED, tool("a", [TEXT, IMAGE]), tool("b", [IMAGE])]}, ())
    attached = [
        {"type": "text", "text": "Attachments of the result of tool call a:"},
        IMAGE,
        {"type": "text", "text": "Attachments of the result of tool call b:"},
        IMAGE,
    ]
    results = [CALLED, tool("a", "see"), tool("b", "The result is attached in the next message.")]
    assert told.body["messages"] == [*results, {"role": "user", "content": attached}]
    assert told.dropped == []
    assert told.moved == [f"messages[{at}].content (media moved into the next message)" for at in (1, 2)]


def test_media_come_before_what_the_user_says_next() -> None:
    for content, said in (("And now?", [{"type": "text", "text": "And now?"}]), ([TEXT], [TEXT])):
        messages = [
            CALLED,
            tool("a", [IMAGE]),
            {"role": "user", "content": content},
            {"role": "assistant", "content": "x"},
        ]
        told = retell({"messages": messages}, ()).body["messages"]
        head = {"type": "text", "text": "Attachments of the result of tool call a:"}
        assert told[2:] == [{"role": "user", "content": [head, IMAGE, *said]}, {"role": "assistant", "content": "x"}]


def test_errors_are_told_in_words_and_other_marks_reported() -> None:
    for content, words in (
        ("no such file", "Error: no such file"),
        ("error: 5", "error: 5"),
        ("", "Error:"),
        (None, "Error:"),
        ([TEXT], [{"type": "text", "text": "Error:"}, TEXT]),
    ):
        told = retell({"messages": [tool("a", content, is_error=True, cache_control={})]}, ())
        assert told.body["messages"] == [tool("a", words)]
        assert told.dropped == ["messages[0].cache_control"]
    told = retell({"messages": [tool("a", "fine", is_error=False)]}, {"tool_media"})
    assert told.body["messages"] == [tool("a", "fine")]


def test_what_was_done_is_told_in_words() -> None:
    said = {"role": "assistant", "content": "x", "x_gateway": [activity_event({"type": "mcp_call", "name": "t"})]}
    told = retell({"messages": [said], "n": 1}, {"tool_media", "tool_marks"})
    assert told.body == {"messages": [{"role": "assistant", "content": "(Called the tool t)\n\nx"}], "n": 1}
