"""What the echo model answers: the choices of one completion as tokens, decided before anything is sent."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.api import CallerFault
from tollgate_echo.directives import NO_DIRECTIVES, Directives, read_directives, take_line
from tollgate_echo.hints import Hints
from tollgate_echo.schema import MOST_EFFORT, Builder, Effort
from tollgate_echo.tokens import count_prompt, split_tokens
from tollgate_echo.tools import ToolCall, choose_calls

_LONGEST_ECHO = 4_000
_MOST_CHOICES = 128
_MOST_PIECES = 100_000
"""Tokens of all choices together."""

_FILLER = " echo"

_CLOSINGS = (
    "This is the built-in echo model: no network, no key, and the same answer every time.",
    "I only repeat what I hear, but I do it reliably.",
    "Connect a provider and a real model will take it from here.",
    "Everything between you and me works; that is what I am here to show.",
)

_PLACEHOLDERS: Mapping[str, str] = {"image_url": "[image]", "input_audio": "[audio]", "file": "[file]"}


@dataclass(slots=True)
class Piece:
    """One token of an answer. kind: `content`, `reasoning`, `refusal`, or `tool`; call: index of the tool call."""

    kind: str
    text: str
    call: int = 0


@dataclass(slots=True)
class Choice:
    """One choice: its tokens in order, the calls they spell out, and why it ends."""

    pieces: list[Piece]
    calls: Sequence[ToolCall] = ()
    finish_reason: str = "stop"


@dataclass(slots=True)
class Answer:
    """A whole answer with its accounting; everything the encoder needs (`encode.py`)."""

    choices: list[Choice]
    prompt_tokens: int
    directives: Directives
    model: str
    stream: bool
    include_usage: bool
    top_logprobs: int | None
    fingerprint: str
    created: int = 0

    @property
    def completion_tokens(self) -> int:
        return sum(len(choice.pieces) for choice in self.choices)

    @property
    def reasoning_tokens(self) -> int:
        return sum(piece.kind == "reasoning" for choice in self.choices for piece in choice.pieces)


def read_request(body: Mapping[str, Any], use_directives: bool) -> tuple[str, Directives]:
    """The last user message as text, without its `/echo` line, and the directives. Raises CallerFault."""
    text = _last_user_text(body)
    if not use_directives:
        return text, NO_DIRECTIVES
    text, line = take_line(text)
    return text, read_directives(body.get("echo"), line)


def compose(body: Mapping[str, Any], use_directives: bool, created: int = 0) -> Answer:
    """Decide the answer to a chat body. Deterministic: the same body gives the same answer. Raises CallerFault for
    directives that are wrong, and for more tokens than one answer may have."""
    text, directives = read_request(body, use_directives)
    seed = body.get("seed")
    key = zlib.crc32(orjson.dumps([text, seed if isinstance(seed, int) else None]))
    count = body.get("n")
    count = min(max(count, 1), _MOST_CHOICES) if isinstance(count, int) else 1
    options = body.get("stream_options")
    top = body.get("top_logprobs")
    return Answer(
        choices=_choices(body, text, directives, key, count),
        prompt_tokens=count_prompt(body),
        directives=directives,
        model=str(body.get("model", "echo")),
        stream=body.get("stream") is True,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        top_logprobs=(top if isinstance(top, int) else 0) if body.get("logprobs") is True else None,
        fingerprint=f"{key:08x}",
        created=created,
    )


def _choices(body: Mapping[str, Any], text: str, directives: Directives, key: int, count: int) -> list[Choice]:
    """All choices. They differ in the closing words, of which there are a few; what is made for a schema is the same
    in each."""
    effort = Effort()
    results = _tool_results(body)
    choices = [_choice(body, text, directives, results, key, effort)]
    if len(choices[0].pieces) * count > _MOST_PIECES:
        raise CallerFault(f"n: the echo model gives at most {_MOST_PIECES} tokens in all choices.", param="n")
    if effort.left == MOST_EFFORT:
        more = range(1, min(count, len(_CLOSINGS)))
        choices += [_choice(body, text, directives, results, key + index, effort) for index in more]
    return [choices[index % len(choices)] for index in range(count)]


def _choice(
    body: Mapping[str, Any], text: str, directives: Directives, results: list[str], variant: int, effort: Effort
) -> Choice:
    calls: list[ToolCall] = []
    finish = "stop"
    pieces = [Piece("reasoning", token) for token in split_tokens(directives.reasoning)]
    if directives.refusal:
        pieces += [Piece("refusal", token) for token in split_tokens(directives.refusal)]
    elif (
        directives.text is None
        and directives.tokens is None
        and (calls := choose_calls(body, text, directives.tools, bool(results), effort))
    ):
        finish = "tool_calls"
        for place, call in enumerate(calls):
            pieces += [Piece("tool", token, place) for token in split_tokens(call.arguments)]
    else:
        words = _cut_at_stop(_text(body, text, directives, results, variant, effort), body.get("stop"))
        pieces += [Piece("content", token) for token in split_tokens(words)]
    limit = _limit(body)
    if limit is not None and len(pieces) > limit:
        del pieces[limit:]
        finish = "length"
        # A call whose first token was not reached does not appear at all.
        calls = calls[: max((piece.call for piece in pieces if piece.kind == "tool"), default=-1) + 1]
    return Choice(pieces, calls, directives.finish or finish)


def _text(
    body: Mapping[str, Any],
    text: str,
    directives: Directives,
    results: Sequence[str],
    variant: int,
    effort: Effort,
) -> str:
    if directives.text is not None:
        return directives.text
    if directives.tokens is not None:
        return (_FILLER * directives.tokens)[1:]
    wanted = body.get("response_format")
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind == "json_schema":
        described = wanted.get("json_schema") if isinstance(wanted, dict) else None
        schema = described.get("schema") if isinstance(described, dict) else None
        return orjson.dumps(Builder(schema, Hints(text), effort=effort).build()).decode()
    if kind == "json_object":
        return orjson.dumps({"echo": results or text[:_LONGEST_ECHO]}).decode()
    if results:
        return "\n".join(result[:_LONGEST_ECHO] for result in results)
    said = text[:_LONGEST_ECHO] + ("..." if len(text) > _LONGEST_ECHO else "")
    return f'You said: "{said}"\n\n{_CLOSINGS[variant % len(_CLOSINGS)]}'


def _tool_results(body: Mapping[str, Any]) -> list[str]:
    """The texts of the tool messages at the end of the conversation, in order."""
    found: list[str] = []
    messages = body.get("messages")
    for message in reversed(messages if isinstance(messages, list) else []):
        if not isinstance(message, dict) or message.get("role") not in ("tool", "function"):
            break
        found.append(_content_text(message.get("content")))
    return found[::-1]


def _last_user_text(body: Mapping[str, Any]) -> str:
    messages = body.get("messages")
    for message in reversed(messages if isinstance(messages, list) else []):
        if isinstance(message, dict) and message.get("role") == "user":
            return _content_text(message.get("content"))
    return ""


def _content_text(content: Any) -> str:
    if isinstance(content, str):
        return content
    texts: list[str] = []
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict):
            kind = part.get("type")
            text = part.get("text")
            texts.append(text if isinstance(text, str) else _PLACEHOLDERS.get(str(kind), f"[{kind}]"))
    return " ".join(texts)


def _cut_at_stop(text: str, stop: Any) -> str:
    """The text before the first stop sequence in it."""
    sequences = [stop] if isinstance(stop, str) else stop if isinstance(stop, list) else []
    places = [text.find(one) for one in sequences if isinstance(one, str) and one]
    return text[: min((place for place in places if place >= 0), default=len(text))]


def _limit(body: Mapping[str, Any]) -> int | None:
    limits = [body[key] for key in ("max_completion_tokens", "max_tokens") if isinstance(body.get(key), int)]
    return min(limits, default=None)
