"""How many tokens a chat body makes: an upper bound to reserve by, and an expected value when usage never came.

The bound rests on one fact: a token of a byte-level BPE (or SentencePiece with byte fallback) tokenizer stands for at
least one byte of UTF-8, so a text never has more tokens than bytes. What is not text is bounded by documented maxima,
and what a provider adds (chat template, tool prompt) by a fixed allowance. A provider that knows better passes its
own `Weights`. All sizes are in bytes, all results in tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

import orjson

from gateway.wire.text_tokens import WrittenTokens, texts_of


@dataclass(slots=True, frozen=True)
class Weights:
    """Tokens per unit.

    text: per byte of text, names, arguments and schemas. base: per request. message: per message, part or tool call.
    tools_base: once when there are tools. tool: per tool. image, image_low: per image, and per image of detail `low`.
    audio: per byte of decoded audio. file: per byte of decoded file. file_least: per file with its data in the body.
    file_reference: per file or unknown media that is only referred to (file id or URL). web_search: when the body has
    `web_search_options`, whose results count as input.
    """

    text: float
    base: int
    message: int
    tools_base: int
    tool: int
    image: int
    image_low: int
    audio: float
    file: float
    file_least: int
    file_reference: int
    web_search: int


BOUND = Weights(
    text=1.0,
    base=128,  # begin and end marks, and the short system prompt that some templates add themselves
    message=16,  # role header: 3-5 tokens at OpenAI and in the common open templates
    tools_base=640,  # the documented tool-use system prompts are 300 to 600 tokens
    tool=32,
    image=48_169,  # the dearest documented: 2833 + 8 tiles of 5667 (OpenAI's vision guide, gpt-4o-mini)
    image_low=2_833,
    audio=1 / 25,  # 32 tokens a second is the dearest documented rate; 1 kB/s (8 kbit/s) the thinnest audio
    file=4.0,  # compressed text inside, plus page images
    file_least=10_000,
    file_reference=200_000,
    web_search=32_000,
)
"""Never less than the true count, as far as documents say."""

EXPECTED = Weights(
    text=0.25,  # about 4 bytes per token in English; 2 to 4 in other languages, whose characters have more bytes
    base=3,
    message=4,
    tools_base=0,
    tool=8,
    image=1_000,
    image_low=85,
    audio=1 / 1_000,
    file=0.1,
    file_least=500,
    file_reference=2_000,
    web_search=8_000,
)
"""A fair guess, for bills marked `estimated`."""

_SAMPLE = 32_768
"""Bytes of texts that are looked at for their script."""

# Members that never become prompt text; everything else that a body holds is counted as text.
_NO_TEXT = frozenset(
    {
        "messages",
        "tools",
        "functions",
        "model",
        "stream",
        "stream_options",
        "stop",
        "metadata",
        "user",
        "logit_bias",
        "modalities",
        "audio",
        "service_tier",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "reasoning_effort",
        "verbosity",
        "web_search_options",
    }
)


def estimate_tokens(text_bytes: int) -> int:
    """Expected tokens of a text of `text_bytes` bytes of UTF-8: a quarter, rounded up."""
    return -(-max(text_bytes, 0) // 4)


def text_bytes(text: str) -> int:
    """Bytes of a string in UTF-8 (half surrogate pairs, which JSON can smuggle in, count 3)."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def bound_text_tokens(body: Mapping[str, Any], weights: Weights = BOUND) -> int:
    """An upper bound in tokens of the input that a chat body makes, media included. Never raises."""
    size = _Size()
    _measure_body(body, size)
    return size.weigh(weights)


def estimate_input_tokens(body: Mapping[str, Any], weights: Weights = EXPECTED) -> int:
    """The expected tokens of the input that a chat body makes: of its texts by their script, as far as the first of
    them tell. Never raises."""
    size = _Size()
    _measure_body(body, size)
    return size.weigh(weights) + math.ceil(size.text * weights.text * (_density(texts_of(body)) - 1))


def _density(texts: Iterable[str]) -> float:
    """How many times as many tokens texts make as a quarter of their bytes: 1 at least."""
    written, size = WrittenTokens(), 0
    for text in texts:
        size += written.add(text[: _SAMPLE - size])
        if size >= _SAMPLE:
            break
    return max(written.count * 4 / size, 1.0) if size else 1.0


def estimate_output_tokens(
    completion: Mapping[str, Any], weights: Weights = EXPECTED, *, usage: Mapping[str, Any] | None = None
) -> int:
    """The expected tokens of an answer, whole or folded so far: text, reasoning, refusals, transcripts and tool calls
    of all choices, by their script; at least 1 when there is any. Reasoning that the provider keeps to itself cannot be
    seen, so it is not counted. usage: what was told of it, in the names of chat; where that counts the output, four
    bytes are a token here, which takes a fifth of the time. Never raises."""
    told = usage.get("completion_tokens") if usage is not None else None
    size, written = _Size(), None if type(told) is int and told > 0 else WrittenTokens()
    choices = completion.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        message = choice.get("message") if _is_object(choice) else None
        if _is_object(message):
            _measure_answer(message, size, text_bytes if written is None else written.add)
    size.base = 0
    dense = 0.0 if written is None else written.count * 4 - size.text
    return size.weigh(weights) + math.ceil(max(dense, 0.0) * weights.text)


def _measure_answer(message: Mapping[str, Any], size: _Size, measure: Callable[[str], int]) -> None:
    size.text += written_bytes(message, measure)
    calls = message.get("tool_calls")
    if not calls and "function_call" not in message:
        return
    for call in [*(calls if isinstance(calls, list) else ()), {"function": message.get("function_call")}]:
        if isinstance(call, Mapping):
            size.message += sum(isinstance(call.get(member), Mapping) for member in ("function", "custom"))


def written_bytes(message: Mapping[str, Any], measure: Callable[[str], int] = text_bytes) -> int:
    """Bytes in UTF-8 of what the model wrote in a chat message, or in a delta of one: content, refusal, reasoning,
    transcripts, names and arguments of tool calls. measure: is given each text, and says its bytes. Never raises."""
    total = 0
    for key, value in message.items():
        if key == "content" or key == "refusal":
            if isinstance(value, list):
                for part in value:  # texts and thoughts; not the base64 of images
                    if isinstance(part, Mapping):
                        total += any_bytes(part.get("text"), measure) + any_bytes(part.get("thinking"), measure)
            else:
                total += any_bytes(value, measure)
        elif key == "tool_calls":
            for call in value if isinstance(value, list) else ():
                if isinstance(call, Mapping):
                    total += _function_bytes(call.get("function"), measure)
                    total += _function_bytes(call.get("custom"), measure)
        elif key == "function_call":
            total += _function_bytes(value, measure)
        elif key == "audio" and isinstance(value, Mapping):
            total += any_bytes(value.get("transcript"), measure)
    if "reasoning_content" in message or "reasoning" in message:
        # Some servers send the same thoughts under both names.
        thoughts = [message.get("reasoning_content"), message.get("reasoning")]
        total += any_bytes(max(thoughts, key=any_bytes), measure)
    return total


def _function_bytes(function: Any, measure: Callable[[str], int]) -> int:
    if not isinstance(function, Mapping):
        return 0
    return sum(any_bytes(function.get(name), measure) for name in ("name", "arguments", "input"))


class _Size:
    """What a body holds, in units of `Weights`."""

    __slots__ = (
        "audio",
        "base",
        "file",
        "file_least",
        "file_reference",
        "image",
        "image_low",
        "message",
        "text",
        "tool",
        "tools_base",
        "web_search",
    )

    def __init__(self) -> None:
        self.text = self.message = self.tool = self.tools_base = 0
        self.image = self.image_low = self.audio = self.file = self.file_least = self.file_reference = 0
        self.web_search = 0
        self.base = 1

    def weigh(self, weights: Weights) -> int:
        total = self.text * weights.text + self.base * weights.base + self.message * weights.message
        if self.tool or self.tools_base or self.web_search:
            total += self.tool * weights.tool + self.tools_base * weights.tools_base
            total += self.web_search * weights.web_search
        if self.image or self.image_low or self.audio or self.file or self.file_least or self.file_reference:
            total += self.image * weights.image + self.image_low * weights.image_low + self.audio * weights.audio
            total += self.file * weights.file + self.file_least * weights.file_least
            total += self.file_reference * weights.file_reference
        return math.ceil(total)


def _is_object(value: Any) -> TypeGuard[Mapping[str, Any]]:
    # Nearly always a plain dict, and the abstract class is slow to ask.
    return type(value) is dict or isinstance(value, Mapping)


_NUMBERS = frozenset({int, float, bool, type(None)})


def _measure_body(body: Mapping[str, Any], size: _Size) -> None:
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        size.message += 1
        if _is_object(message):
            _measure_message(message, size)
        elif isinstance(message, str):
            size.text += text_bytes(message)
    if not _TOOLS.isdisjoint(body):
        _measure_tools(body, size)
    for key, value in body.items():
        if key in _NO_TEXT or type(value) in _NUMBERS:
            continue  # nearly always
        # Schemas and predictions, and whatever a provider invented (documents, system prompts).
        if isinstance(value, str | list) or _is_object(value):
            size.text += any_bytes(value)


_TOOLS = frozenset({"tools", "functions", "web_search_options"})


def _measure_tools(body: Mapping[str, Any], size: _Size) -> None:
    for key in ("tools", "functions"):
        tools = body.get(key)
        if isinstance(tools, list) and tools:
            size.tools_base = 1
            size.tool += len(tools)
            size.text += any_bytes(tools)
    if body.get("web_search_options") is not None:
        size.web_search = 1


def _measure_message(message: Mapping[str, Any], size: _Size) -> None:
    for key, value in message.items():
        if key == "role":
            continue
        if isinstance(value, str):
            size.text += len(value) if value.isascii() else text_bytes(value)
        elif key == "content" and isinstance(value, list):
            for part in value:
                size.message += 1
                if _is_object(part):
                    _measure_part(part, size)
                else:
                    size.text += any_bytes(part)
        elif value is not None:
            if key == "tool_calls" and isinstance(value, list):
                size.message += len(value)
            elif key == "audio":
                size.file_reference += 1  # an earlier spoken answer, kept at the provider
            size.text += any_bytes(value)


def _measure_part(part: Mapping[str, Any], size: _Size) -> None:
    kind = part.get("type")
    inner = part.get(kind) if isinstance(kind, str) else None
    if kind == "text":
        size.text += any_bytes(inner)
    elif kind == "image_url":
        low = isinstance(inner, Mapping) and inner.get("detail") == "low"
        if low:
            size.image_low += 1
        else:
            size.image += 1
    elif kind == "input_audio":
        data = inner.get("data") if isinstance(inner, Mapping) else None
        size.audio += _decoded(data)
    elif kind == "file" and isinstance(inner, Mapping):
        data = inner.get("file_data")
        if isinstance(data, str) and data[:4].lower() != "http":
            size.file += _decoded(data)
            size.file_least += 1
        else:
            size.file_reference += 1
        size.text += any_bytes(inner.get("filename"))
    else:
        # A kind we do not know: its text, and, when it points at something, that.
        size.text += any_bytes(part)
        if _refers(part):
            size.file_reference += 1


def _refers(part: Mapping[str, Any]) -> bool:
    """Whether a part points at something outside of the body: some member's name ends in url, uri or id."""
    for key, value in part.items():
        if key.lower().endswith(("url", "uri", "_id")):
            return True
        if isinstance(value, Mapping) and any(
            isinstance(name, str) and name.lower().endswith(("url", "uri", "_id")) for name in value
        ):
            return True
    return False


def _decoded(data: Any) -> int:
    """Bytes that base64 data stands for, at most."""
    return len(data) * 3 // 4 if isinstance(data, str) else 0


def any_bytes(value: Any, measure: Callable[[str], int] = text_bytes) -> int:
    """Bytes of a value as JSON text: at least the bytes of all texts in it. measure: of a text."""
    if value is None:
        return 0
    if isinstance(value, str):
        return measure(value)
    try:
        return len(orjson.dumps(value))
    except TypeError:  # nested too deep, half a surrogate pair, or a number beyond 64 bits
        return _any_bytes_slowly(value)


def _any_bytes_slowly(value: Any) -> int:
    total = 0
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            total += 3 + 2 * text_bytes(item)  # quotes and escapes
        elif isinstance(item, Mapping):
            todo.extend(item.keys())
            todo.extend(item.values())
            total += 2
        elif isinstance(item, list | tuple):
            todo.extend(item)
            total += 2
        elif isinstance(item, int):
            total += 8 + item.bit_length() // 3
        else:
            total += 32
    return total
