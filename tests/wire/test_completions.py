"""OpenAI's older completions: requests as chats, chats as answers."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import CallerFault
from gateway.wire.completions import TextAnswers, chat_of, prompts_of, validate_completion


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": 7}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [["x"]]}, "prompt[0]"),
        ({"prompt": ["a", {}]}, "prompt[1]"),
        ({"prompt": [1, -1]}, "prompt[0]"),
        ({"prompt": [[]]}, "prompt[0]"),
        ({"prompt": ["a"] * 2049}, "prompt"),
        ({"prompt": "a", "max_tokens": -1}, "max_tokens"),
        ({"prompt": "a", "max_tokens": True}, "max_tokens"),
        ({"prompt": "a", "n": 0}, "n"),
        ({"prompt": "a", "best_of": 21}, "best_of"),
        ({"prompt": "a", "n": 3, "best_of": 2}, "best_of"),
        ({"prompt": "a", "best_of": 2, "stream": True}, "best_of"),
        ({"prompt": "a", "logprobs": True}, "logprobs"),
        ({"prompt": "a", "suffix": 1}, "suffix"),
        ({"prompt": "a", "echo": "yes"}, "echo"),
        ({"prompt": "a", "temperature": 3}, "temperature"),
        ({"prompt": "a", "stream_options": {}}, "stream_options"),
        ({"prompt": "a", "api_base": "http://x"}, "api_base"),
        ({"prompt": "a", "max_completion_tokens": -50}, "max_completion_tokens"),
        ({"prompt": "a", "max_tokens": 900, "max_completion_tokens": 1}, "max_completion_tokens"),
        ({"prompt": "a", "messages": [{"role": "user", "content": "b"}]}, "messages"),
        ({"prompt": "a", "tools": 5}, "tools"),
        ({"prompt": "a", "web_search_options": {}}, "web_search_options"),
        ({"prompt": "a", "modalities": ["image"]}, "modalities"),
        ({"prompt": "a", "service_tier": "priority"}, "service_tier"),
        ({"prompt": "a", "reasoning_effort": []}, "reasoning_effort"),
        ({"prompt": "a", "response_format": 9}, "response_format"),
    ],
)
def test_wrong_requests_name_the_field(body: dict[str, Any], param: str) -> None:
    with pytest.raises(CallerFault) as caught:
        validate_completion(body)
    assert (caught.value.status, caught.value.param) == (400, param)


@pytest.mark.parametrize(
    ("given", "prompts"),
    [
        ("a", ["a"]),
        (["a", "b"], ["a", "b"]),
        ([1, 2], [[1, 2]]),
        ([[1], [2, 3]], [[1], [2, 3]]),
        (["a", [1]], ["a", [1]]),
    ],
)
def test_prompts(given: Any, prompts: list[Any]) -> None:
    validate_completion({"prompt": given})
    assert prompts_of({"prompt": given}) == prompts


def test_a_request_becomes_a_chat() -> None:
    body = {
        "model": "m", "prompt": "Say it", "max_tokens": 9, "logprobs": 3, "echo": False, "suffix": "", "best_of": 1,
        "stop": ["x"], "temperature": 0, "seed": 3, "user": "ada", "min_p": 0.1, "top_p": None,
    }  # fmt: skip
    assert chat_of(body) == (
        {
            "model": "m", "messages": [{"role": "user", "content": "Say it"}], "max_tokens": 9, "logprobs": True,
            "top_logprobs": 3, "stop": ["x"], "temperature": 0, "seed": 3, "user": "ada", "min_p": 0.1,
        },
        None,
    )  # fmt: skip
    assert chat_of({"prompt": "a"})[0]["max_tokens"] == 16
    assert chat_of({"prompt": "a", "n": 2, "logprobs": 0})[0] == {
        "messages": [{"role": "user", "content": "a"}], "max_tokens": 16, "n": 2, "logprobs": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("body", "param", "answers"),
    [
        ({"prompt": ["a", "b"], "n": 2}, "prompt", 4),
        ({"prompt": [1, 2, 3]}, "prompt", None),
        ({"prompt": ""}, "prompt", None),
        ({"prompt": "a", "suffix": "b"}, "suffix", None),
        ({"prompt": "a", "best_of": 3, "n": 2}, "best_of", 3),
        ({"prompt": "a", "max_tokens": 0, "echo": True}, "max_tokens", None),
        ({"prompt": "a", "logprobs": 1, "echo": True}, "logprobs", None),
    ],
)
def test_what_no_chat_can_be_asked_for(body: dict[str, Any], param: str, answers: int | None) -> None:
    validate_completion(body)
    chat, fault = chat_of(body)
    assert fault is not None
    assert (fault.param, chat.get("n")) == (param, answers), "and it is held for all that it makes"


def test_tokens_count_one_byte_each_at_least() -> None:
    [message] = chat_of({"prompt": [5] * 100})[0]["messages"]
    assert len(message["content"].split()) == 100


CONTENT = [
    {"token": "Hé", "logprob": -0.5, "bytes": None, "top_logprobs": [{"token": "Ho", "logprob": -1.5}]},
    {"token": "!", "logprob": -0.1, "bytes": None, "top_logprobs": []},
]


def test_a_whole_chat_becomes_a_completion() -> None:
    chat = {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 5, "model": "up", "system_fingerprint": "fp",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hé!"}, "finish_reason": "stop",
             "logprobs": {"content": CONTENT}},
            {"index": 1, "message": {"role": "assistant", "content": None}, "finish_reason": "length"},
        ],
    }  # fmt: skip
    assert TextAnswers("m", "Say ").whole(chat) == {
        "id": "cmpl-1", "object": "text_completion", "created": 5, "model": "m", "system_fingerprint": "fp",
        "choices": [
            {"text": "Say Hé!", "index": 0, "finish_reason": "stop", "logprobs": {
                "tokens": ["Hé", "!"], "token_logprobs": [-0.5, -0.1], "top_logprobs": [{"Ho": -1.5}, {}],
                "text_offset": [4, 6],
            }},
            {"text": "Say ", "index": 1, "finish_reason": "length", "logprobs": None},
        ],
    }  # fmt: skip


def test_chunks_begin_with_the_prompt_once_and_offsets_go_on() -> None:
    answers = TextAnswers("m", ">>")

    def say(index: int, delta: dict[str, Any], **more: Any) -> Any:
        chunk = answers.chunk({"id": "x", "choices": [{"index": index, "delta": delta, **more}]})
        return None if chunk is None else [(one["text"], one["logprobs"]) for one in chunk["choices"]]

    assert say(0, {"role": "assistant", "content": ""}) is None
    assert say(0, {"reasoning_content": "hm"}) is None
    assert say(0, {"content": "Hé"}) == [(">>Hé", None)]
    [(text, logprobs)] = say(0, {"content": "Hé!"}, logprobs={"content": CONTENT})
    assert (text, logprobs["text_offset"]) == ("Hé!", [4, 6])
    assert say(1, {}, finish_reason="stop") == [(">>", None)]
    assert say(0, {}, finish_reason="stop") == [("", None)]


@pytest.mark.parametrize("nonsense", [{}, {"choices": None}, {"choices": [None, 3]}, {"choices": [{"index": "x"}]}])
def test_nonsense_makes_no_trouble(nonsense: dict[str, Any]) -> None:
    TextAnswers("m").whole(nonsense)
    TextAnswers("m").chunk(nonsense)
