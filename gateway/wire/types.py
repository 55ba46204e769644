"""The keys that the gateway READS of the Chat Completions format (OpenAI, `openapi.yaml`, CreateChatCompletion*).

These types describe values after validation. They are not complete on purpose: whatever else stands in a body or an
answer travels on untouched.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict

Role = Literal["system", "developer", "user", "assistant", "tool", "function"]


class ImageUrl(TypedDict, total=False):
    """url: http(s), or `data:<media type>;base64,...`."""

    url: str
    detail: str | None


class InputAudio(TypedDict, total=False):
    """data: base64; format: `wav`, `mp3`, ..."""

    data: str
    format: str


class FileRef(TypedDict, total=False):
    """file_data: base64, with or without a `data:` head; file_id: a file stored at the provider."""

    file_data: str
    file_id: str
    filename: str


class Part(TypedDict, total=False):
    """One part of a message's content; `type` says which of the others is there."""

    type: str
    text: str
    refusal: str
    image_url: ImageUrl
    input_audio: InputAudio
    file: FileRef


class FunctionCall(TypedDict, total=False):
    """arguments: JSON text as the model wrote it, which need not be valid."""

    name: str
    arguments: str


class CustomCall(TypedDict, total=False):
    name: str
    input: str


class ToolCall(TypedDict, total=False):
    """index: only in the deltas of a stream."""

    index: int
    id: str
    type: str
    function: FunctionCall
    custom: CustomCall


class Message(TypedDict, total=False):
    """A message of a request or of a completion; a stream's delta has the same keys."""

    role: Role
    content: str | list[Part] | None
    name: str
    refusal: str | None
    reasoning_content: str | None
    reasoning: str | None
    tool_calls: list[ToolCall]
    tool_call_id: str
    function_call: FunctionCall | None
    audio: dict[str, Any] | None
    annotations: list[dict[str, Any]]


class FunctionDef(TypedDict, total=False):
    """parameters: a JSON Schema of the arguments object."""

    name: str
    description: str
    parameters: dict[str, Any]
    strict: bool | None


class Tool(TypedDict, total=False):
    type: str
    function: FunctionDef
    custom: dict[str, Any]


class StreamOptions(TypedDict, total=False):
    include_usage: bool


class ChatRequest(TypedDict, total=False):
    """A request; max_tokens is the older name of max_completion_tokens (both in tokens)."""

    model: str
    messages: list[Message]
    stream: bool | None
    stream_options: StreamOptions | None
    max_tokens: int | None
    max_completion_tokens: int | None
    n: int | None
    tools: list[Tool]
    tool_choice: str | dict[str, Any]
    functions: list[FunctionDef]
    response_format: dict[str, Any]
    prediction: dict[str, Any]


class UsageDict(TypedDict, total=False):
    """Token counts as providers report them; `gateway.wire.usage.read_usage` normalises them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: dict[str, Any] | None
    completion_tokens_details: dict[str, Any] | None


class Logprobs(TypedDict, total=False):
    content: list[dict[str, Any]] | None
    refusal: list[dict[str, Any]] | None


class Choice(TypedDict, total=False):
    index: int
    message: Message
    finish_reason: str | None
    logprobs: Logprobs | None


class ChunkChoice(TypedDict, total=False):
    index: int
    delta: Message
    finish_reason: str | None
    logprobs: Logprobs | None


class Completion(TypedDict, total=False):
    """A whole answer (`object: chat.completion`); created: unix seconds."""

    id: str
    object: str
    created: int
    model: str
    choices: list[Choice]
    usage: UsageDict | None
    system_fingerprint: str | None
    service_tier: str | None


class Chunk(TypedDict, total=False):
    """One event of a streamed answer (`object: chat.completion.chunk`)."""

    id: str
    object: str
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: UsageDict | None
    system_fingerprint: str | None
    service_tier: str | None
