"""Nothing that is billed beside the tokens, and nothing that all callers share, goes to OpenAI unseen."""

from __future__ import annotations

from typing import Any

import pytest
from tollgate_openai.provider import OpenAIProvider
from tollgate_openai.settings import OpenAISettings

from gateway.api import CallerFault
from gateway.testing import make_call, make_target


def prepare(body: dict[str, Any], **settings: Any) -> Any:
    provider = OpenAIProvider("openai", OpenAISettings(api_key="sk-test", **settings))
    call = make_call({"model": "gpt-5", "input": "Hi", **body}, dialect="responses")
    return provider.prepare(call, make_target("gpt-5"))


FILE = {"type": "input_file", "file_id": "file-1"}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"tools": [{"type": "function", "name": "f"}, {"type": "image_generation"}]}, "tools[1]"),
        ({"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}, "tools[0]"),
        ({"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]}, "tools[0]"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"input": [{"role": "user", "content": [FILE]}]}, "input[0].content[0].file_id"),
        (
            {"input": [{"type": "function_call_output", "call_id": "c", "output": [FILE]}]},
            "input[0].output[0].file_id",
        ),
    ],
)
def test_it_is_refused_by_its_key(body: dict[str, Any], param: str) -> None:
    with pytest.raises(CallerFault) as refused:
        prepare(body)
    assert refused.value.param == param
    # Of another server's prices nothing is known.
    prepare(body, base_url="https://llm.example.org/v1", responses="native")


def test_what_costs_only_its_tokens_passes_and_an_operator_may_let_more_through() -> None:
    prepare({"tools": [{"type": "function", "name": "f"}, {"type": "web_search"}, {"type": "custom", "name": "c"}]})
    tools = [{"type": "image_generation"}]
    assert b"image_generation" in prepare({"tools": tools}, hosted_tools=("image_generation",)).request.body
