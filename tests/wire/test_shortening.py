"""What is left of a whole answer that is longer than it may be: never more text, never half a letter."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.wire.shortening import TextRoom, shorten_completion, shorten_response

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": "0123456789"}'}}


def completion(**message: Any) -> dict[str, Any]:
    choice = {
        "index": 0,
        "message": {"role": "assistant", **message},
        "finish_reason": "stop",
        "logprobs": {"content": []},
    }
    return {"id": "x", "choices": [choice, {**choice, "index": 1}]}


def test_letters_stay_whole() -> None:
    text = "aé漢😀" * 3
    for left in range(40):
        room = TextRoom(0)
        room.left = left
        fitting = room.fit(text)
        assert text.startswith(fitting)
        assert left - 4 < len(fitting.encode()) <= left or fitting == text


def test_a_text_of_many_tokens_is_shorter() -> None:
    fitting = TextRoom(100).fit(" ".join("0123456789" * 60))
    assert 90 <= len(fitting) <= 120, "not 400: each of them is a token"


@pytest.mark.parametrize("tokens", range(12))
def test_each_choice_of_a_completion_has_its_own_room(tokens: int) -> None:
    body = completion(
        reasoning_content="think " * 2, content="answer", tool_calls=[CALL, CALL], reasoning_details=["x"]
    )
    short = shorten_completion(body, tokens)
    assert (short["id"], body["choices"][0]["finish_reason"]) == ("x", "stop"), "what is given stays as it is"
    for place, choice in enumerate(short["choices"]):
        message = choice["message"]
        texts = [message["reasoning_content"], message["content"]]
        texts += [call["function"]["arguments"] for call in message.get("tool_calls", [])]
        whole = ["think think ", "answer", CALL["function"]["arguments"], CALL["function"]["arguments"]]
        assert "".join(texts) == "".join(whole)[: 4 * tokens]
        assert (choice["index"], choice["finish_reason"], choice["logprobs"]) == (place, "length", None)
        assert "reasoning_details" not in message


@pytest.mark.parametrize("tokens", range(10))
def test_a_response_ends_in_the_middle_of_an_item(tokens: int) -> None:
    output = [
        {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "think "}]},
        {"type": "web_search_call", "id": "ws", "status": "completed", "action": {"query": "a long question"}},
        {"type": "message", "status": "completed",
         "content": [{"type": "output_text", "text": "the answer", "logprobs": [1]}]},
        {"type": "function_call", "status": "completed", "name": "f", "arguments": '{"a": 1}'},
    ]  # fmt: skip
    short = shorten_response({"id": "r", "status": "completed", "output": output, "output_text": "the answer"}, tokens)
    assert (short["status"], short["incomplete_details"]["reason"]) == ("incomplete", "max_output_tokens")
    assert "output_text" not in short
    texts = []
    for item in short["output"]:
        texts += [part["text"] for part in item.get("summary", item.get("content", []))]
        texts.append(item.get("arguments", ""))
    assert "".join(texts) == 'think the answer{"a": 1}'[: 4 * tokens]
