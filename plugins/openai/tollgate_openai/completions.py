"""Models that are asked by OpenAI's older `POST /completions`, and what they are told.

Source: OpenAI's models page (`gpt-3.5-turbo-instruct`, `davinci-002`, `babbage-002` have no chat completions), and its
API reference (create completion). vLLM, llama.cpp, Ollama and LM Studio serve both APIs for most models.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from gateway.api import Call
from tollgate_openai.quirks import Quirks
from tollgate_openai.request import drop_parameter, set_stream

CompletionsMode = Literal["auto", "native", "bridge", "only"]

_TEXT_MODELS = re.compile(r"(ft:)?(gpt-3\.5-turbo-instruct|davinci-002|babbage-002)\b")


def knows_no_chat(model: str) -> bool:
    """Whether a model of OpenAI's has completions only."""
    return _TEXT_MODELS.match(model) is not None


def completions_body(call: Call, upstream: str, quirks: Quirks) -> dict[str, Any]:
    """The body for `upstream` (the model's name there); `call.body` is the caller's own. The limit of the answer is
    always told, since servers disagree on what holds without one."""
    body = {**call.body, "model": upstream}
    set_stream(body, call, quirks)
    if call.max_output is not None:
        body["max_tokens"] = call.max_output
    for name in quirks.unsupported:
        drop_parameter(body, call, name)
    return body
