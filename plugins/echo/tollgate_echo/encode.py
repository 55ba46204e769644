"""An answer as the bytes that an OpenAI-compatible server would send."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from tollgate_echo.answer import Answer, Choice, Piece

_FIELDS: Mapping[str, str] = {"content": "content", "reasoning": "reasoning_content", "refusal": "refusal"}


def answer_id(answer: Answer) -> str:
    """The completion's id: the same for the same request."""
    return f"chatcmpl-echo{answer.fingerprint}"


def usage(answer: Answer) -> dict[str, Any]:
    """OpenAI's usage object; audio and predictions are always zero."""
    prompt, completion = answer.prompt_tokens, answer.completion_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": min(answer.directives.cached, prompt), "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": answer.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def completion(answer: Answer) -> bytes:
    """The whole answer as a chat completion."""
    body = _envelope(answer, "chat.completion")
    body["choices"] = [_whole_choice(answer, index, choice) for index, choice in enumerate(answer.choices)]
    if answer.directives.usage == "full":
        body["usage"] = usage(answer)
    return orjson.dumps(body)


def events(answer: Answer) -> Iterator[tuple[bool, bytes]]:
    """The streamed answer, event by event: (whether it carries a token, its payload). `[DONE]` is not among them.

    Several choices take turns, token by token, as OpenAI's do.
    """
    envelope = _envelope(answer, "chat.completion.chunk")

    def chunk(choices: list[dict[str, Any]], **more: Any) -> bytes:
        if answer.include_usage:
            more.setdefault("usage", None)
        return orjson.dumps({**envelope, "choices": choices, **more})

    for index, choice in enumerate(answer.choices):
        opening = {"role": "assistant", "content": None if choice.calls else "", "refusal": None}
        yield False, chunk([_delta(index, opening)])
    longest = max((len(choice.pieces) for choice in answer.choices), default=0)
    for place in range(longest):
        for index, choice in enumerate(answer.choices):
            if place < len(choice.pieces):
                piece = choice.pieces[place]
                delta = _delta(index, _piece_delta(answer, choice, place, index))
                if answer.top_logprobs is not None:
                    delta["logprobs"] = _logprobs(answer, [piece])
                yield True, chunk([delta])
    for index, choice in enumerate(answer.choices):
        yield False, chunk([_delta(index, {}, choice.finish_reason)])
    if answer.include_usage and answer.directives.usage == "full":
        yield False, chunk([], usage=usage(answer))


def _envelope(answer: Answer, kind: str) -> dict[str, Any]:
    return {
        "id": answer_id(answer),
        "object": kind,
        "created": answer.created,
        "model": answer.model,
        "service_tier": "default",
        "system_fingerprint": "fp_echo",
    }


def _delta(index: int, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}


def _piece_delta(answer: Answer, choice: Choice, place: int, index: int) -> dict[str, Any]:
    piece = choice.pieces[place]
    if piece.kind != "tool":
        return {_FIELDS[piece.kind]: piece.text}
    first = place == 0 or choice.pieces[place - 1].kind != "tool" or choice.pieces[place - 1].call != piece.call
    call: dict[str, Any] = {"index": piece.call}
    if first:
        call.update(id=_call_id(answer, index, piece.call), type="function")
        call["function"] = {"name": choice.calls[piece.call].name, "arguments": piece.text}
    else:
        call["function"] = {"arguments": piece.text}
    return {"tool_calls": [call]}


def _whole_choice(answer: Answer, index: int, choice: Choice) -> dict[str, Any]:
    texts = {kind: "".join(piece.text for piece in choice.pieces if piece.kind == kind) for kind in _FIELDS}
    arguments: list[list[str]] = [[] for _ in choice.calls]
    for piece in choice.pieces:
        if piece.kind == "tool":
            arguments[piece.call].append(piece.text)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if choice.calls or texts["refusal"] else texts["content"],
        "refusal": texts["refusal"] or None,
        "annotations": [],
    }
    if texts["reasoning"]:
        message["reasoning_content"] = texts["reasoning"]
    if choice.calls:
        message["tool_calls"] = [
            {
                "id": _call_id(answer, index, place),
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": "".join(arguments[place]),
                },
            }
            for place, call in enumerate(choice.calls)
        ]
    shown = [piece for piece in choice.pieces if piece.kind == "content"]
    logprobs = _logprobs(answer, shown) if answer.top_logprobs is not None else None
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": choice.finish_reason}


def _call_id(answer: Answer, index: int, place: int) -> str:
    return f"call_echo{answer.fingerprint}_{index}_{place}"


def _logprobs(answer: Answer, pieces: list[Piece]) -> dict[str, Any] | None:
    shown = [piece.text for piece in pieces if piece.kind == "content"]
    if not shown:
        return None
    content = []
    for token in shown:
        top = [_logprob(token if rank == 0 else f"{token}{rank}", rank) for rank in range(answer.top_logprobs or 0)]
        content.append({**_logprob(token, 0), "top_logprobs": top})
    return {"content": content, "refusal": None}


def _logprob(token: str, rank: int) -> dict[str, Any]:
    """An invented but repeatable figure: the likeliest token between -0.0001 and -0.0100, each next one less."""
    value = -(zlib.crc32(token.encode()) % 100 + 1) / 10_000 - rank
    return {"token": token, "logprob": value, "bytes": list(token.encode())}
