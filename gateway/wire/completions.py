"""OpenAI's older `POST /completions`: its request checked and said as a chat, and answers of a chat said in its words.

Source: OpenAI's `openapi.yaml`, CreateCompletionRequest and CreateCompletionResponse. What a chat cannot be asked for
(to fill in before a suffix, to score a prompt, prompts given as tokens) is a fault that says so; `echo` is done here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.errors import CallerFault
from gateway.wire.chat.answers import COUNT, USAGE, constant, members
from gateway.wire.chat.request import CHAT_FIELDS, NOT_FORBIDDEN, refuse_forbidden
from gateway.wire.json_schema import Component, Tree, alternatives, or_null
from gateway.wire.lenient import dict_of, dicts_of
from gateway.wire.openapi import ERROR
from gateway.wire.validators import (
    Validator,
    boolean,
    integer,
    is_int,
    mapping,
    object_tree,
    refuse,
    refuse_type,
    string,
)

Json = dict[str, Any]

DEFAULT_TOKENS = 16
"""Tokens of an answer whose request sets no limit; always told to the upstream, where others have other habits."""

MOST_PROMPTS = 2048
_TOKENS: Tree = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}


def _check_prompt(path: str, given: Any) -> None:
    if isinstance(given, str):
        return
    if not isinstance(given, list):
        refuse_type(path, "a string, an array of strings, or an array of tokens", given)
    if not given:
        refuse(path, "expected at least one prompt, got an empty array")
    if all(is_int(item) and item >= 0 for item in given):
        return
    if len(given) > MOST_PROMPTS:
        refuse(path, f"expected at most {MOST_PROMPTS} prompts, got {len(given)}; split the request")
    for index, item in enumerate(given):
        tokens = isinstance(item, list) and item and all(is_int(token) and token >= 0 for token in item)
        if not isinstance(item, str) and not tokens:
            refuse_type(f"{path}[{index}]", "a string or an array of tokens", item)


_PROMPT = Validator(
    _check_prompt,
    alternatives(
        string.tree,
        _TOKENS,
        {"type": "array", "items": alternatives(string.tree, _TOKENS), "minItems": 1, "maxItems": MOST_PROMPTS},
    ),
)
_FIELDS: dict[str, Validator] = {
    "model": CHAT_FIELDS["model"],
    "prompt": _PROMPT.about("A text to go on from; several, or tokens, where the provider has this API itself."),
    "max_tokens": integer(0, 10**9).about(f"The most tokens to answer with; {DEFAULT_TOKENS} without it."),
    "suffix": string.about("What comes after the text to be filled in, where the provider has this API itself."),
    "echo": boolean.about("Give the prompt back before the answer."),
    "best_of": integer(1, 20).about(
        "Make so many answers and give back the likeliest; each is billed. Where the provider has this API itself."
    ),
    "logprobs": integer(0, 20).about("Tell the log probabilities of the answer's tokens, and of so many likely ones."),
    **{
        name: CHAT_FIELDS[name]
        for name in (
            "stream", "stream_options", "n", "stop", "temperature", "top_p", "frequency_penalty", "presence_penalty",
            "seed", "logit_bias", "user", "safety_identifier", "metadata",
        )
    },
}  # fmt: skip


_CHATS_ONLY = frozenset(
    {
        "messages", "max_completion_tokens", "tools", "tool_choice", "parallel_tool_calls", "functions",
        "function_call", "modalities", "audio", "web_search_options", "top_logprobs",
    }
)  # fmt: skip
"""Members of a chat that would say otherwise than this request what is asked, or ask for what is no text."""


def validate_completion(body: Json) -> None:
    """Check a request body. Raises CallerFault 400 that names the field; what no chat knows either travels on."""
    for name, value in body.items():
        refuse_forbidden(name)
        if value is None:
            continue
        if name in _CHATS_ONLY:
            instead = "; use max_tokens" if name == "max_completion_tokens" else "; ask by chat completions"
            refuse(name, f"is no parameter of completions{instead}", code="unsupported_parameter")
        # Whatever a chat knows goes out in its words, and is billed as it: checked like there.
        check = _FIELDS.get(name) or CHAT_FIELDS.get(name)
        if check is not None:
            check.check(name, value)
    if body.get("prompt") is None:
        refuse("prompt", "is missing; send the text to go on from", code="missing_required_parameter")
    if body.get("stream_options") is not None and body.get("stream") is not True:
        refuse("stream_options", "is only allowed with stream: true; set it or remove stream_options")
    best_of, n = body.get("best_of"), body.get("n") or 1
    if best_of is not None and best_of < n:
        refuse("best_of", f"must be at least n ({n})")
    if best_of is not None and best_of > n and body.get("stream") is True:
        refuse("best_of", "cannot choose among answers that are streamed; leave it out")


def prompts_of(body: Mapping[str, Any]) -> list[str | list[int]]:
    """The prompts of a checked request, one by one."""
    given = body["prompt"]
    if isinstance(given, str) or (isinstance(given, list) and is_int(given[0])):
        return [given]
    return list(given)


_OWN = ("prompt", "suffix", "echo", "best_of", "logprobs", "max_tokens", "n")


def chat_of(body: Mapping[str, Any]) -> tuple[Json, CallerFault | None]:
    """A checked request as a chat: each prompt is a message of the user's. The fault is why it cannot be sent so; what
    the chat costs is then still what the request does."""
    prompts = prompts_of(body)
    n, best_of = body.get("n") or 1, body.get("best_of")
    chat: Json = {name: value for name, value in body.items() if name not in _OWN and value is not None}
    chat["messages"] = [{"role": "user", "content": _text(prompt)} for prompt in prompts]
    limit = body.get("max_tokens")
    chat["max_tokens"] = DEFAULT_TOKENS if limit is None else limit
    answers = max(n, best_of or 1) * len(prompts)
    if answers > 1 or body.get("n") is not None:
        chat["n"] = answers
    logprobs = body.get("logprobs")
    if logprobs is not None:
        chat["logprobs"] = True
        if logprobs:
            chat["top_logprobs"] = logprobs
    return chat, _fault(body, prompts)


def _text(prompt: str | list[int]) -> str:
    # Of tokens the text is not known: as long a one stands for them, where the input is bounded.
    return prompt if isinstance(prompt, str) else "0 " * len(prompt)


def _fault(body: Mapping[str, Any], prompts: list[str | list[int]]) -> CallerFault | None:
    if len(prompts) > 1:
        return _cannot("prompt", "take one prompt per request; send a request for each")
    if not isinstance(prompts[0], str):
        return _cannot("prompt", "take text, not tokens")
    if not prompts[0]:
        return _cannot("prompt", "need a text to answer to")
    if body.get("suffix"):
        return _cannot("suffix", "cannot fill in what comes before a suffix; leave it out")
    if (body.get("best_of") or 1) > (body.get("n") or 1):
        return _cannot("best_of", "give back all answers that are made; use n")
    if body.get("max_tokens") == 0:
        return _cannot("max_tokens", "answer with at least one token")
    if body.get("echo") and body.get("logprobs") is not None:
        return _cannot("logprobs", "cannot score a prompt; leave echo out")
    return None


def _cannot(name: str, why: str) -> CallerFault:
    return CallerFault(
        f"{name}: this model is asked by chat completions, which {why}.", code="unsupported_parameter", param=name
    )


class TextAnswers:
    """Choices of a chat as choices of a completion, of one answer: whole, or chunk after chunk.

    model: the name that the caller asked for. echo: the prompt, to stand before each text; "" for none.
    """

    def __init__(self, model: str, echo: str = "") -> None:
        self._model = model
        self._echo = echo
        self._length: dict[int, int] = {}

    def whole(self, chat: Mapping[str, Any]) -> Json:
        """A whole chat completion as a completion; its usage is not touched."""
        choices = [self._choice(choice, dict_of(choice.get("message"))) for choice in dicts_of(chat.get("choices"))]
        return {**self._frame(chat), "choices": choices}

    def chunk(self, chat: Mapping[str, Any]) -> Json | None:
        """A chunk of a chat as one of a completion; None for one that says nothing here (a role, a thought)."""
        given = dicts_of(chat.get("choices"))
        told = [self._choice(choice, dict_of(choice.get("delta"))) for choice in given]
        choices = [one for one in told if one["text"] or one["finish_reason"] or one["logprobs"]]
        if given and not choices and not chat.get("usage"):
            return None
        return {**self._frame(chat), "choices": choices}

    def _frame(self, chat: Mapping[str, Any]) -> Json:
        identity = str(chat.get("id") or "")
        return {
            **chat,
            "id": "cmpl-" + identity.removeprefix("chatcmpl-") if identity.startswith("chatcmpl-") else identity,
            "object": "text_completion",
            "model": self._model,
        }

    def _choice(self, choice: Mapping[str, Any], said: Mapping[str, Any]) -> Json:
        given = choice.get("index")
        index: int = given if isinstance(given, int) else 0
        content, reason = said.get("content"), choice.get("finish_reason")
        text = content if isinstance(content, str) else ""
        logprobs = _logprobs(choice.get("logprobs"), self._length.get(index, len(self._echo)))
        if index not in self._length and (text or reason):
            text = self._echo + text
        if text:
            self._length[index] = self._length.get(index, 0) + len(text)
        return {"text": text, "index": index, "logprobs": logprobs, "finish_reason": reason}


def _logprobs(given: Any, offset: int) -> Json | None:
    """A chat's log probabilities in the older form; what has that form already is left as it is."""
    if not isinstance(given, dict):
        return None
    if "tokens" in given:
        return given
    tokens = dicts_of(given.get("content"))
    if not tokens:
        return None
    offsets = []
    for token in tokens:
        offsets.append(offset)
        offset += len(str(token.get("token") or ""))
    tops = [{str(top.get("token")): top.get("logprob") for top in dicts_of(one.get("top_logprobs"))} for one in tokens]
    return {
        "tokens": [one.get("token") for one in tokens],
        "token_logprobs": [one.get("logprob") for one in tokens],
        "top_logprobs": tops if any(tops) else None,
        "text_offset": offsets,
    }


def chat_from_completion(completion: Mapping[str, Any]) -> Json:
    """A whole completion as the chat completion that the gateway measures."""
    choices = [
        {**_without_text(choice), "message": {"role": "assistant", "content": choice.get("text")}}
        for choice in dicts_of(completion.get("choices"))
    ]
    return {**completion, "object": "chat.completion", "choices": choices}


def chat_from_chunk(chunk: Mapping[str, Any]) -> Json:
    """A chunk of a streamed completion as one of a chat."""
    choices = [
        {**_without_text(choice), "delta": {"content": choice.get("text")}} for choice in dicts_of(chunk.get("choices"))
    ]
    return {**chunk, "object": "chat.completion.chunk", "choices": choices}


def _without_text(choice: Mapping[str, Any]) -> Json:
    return {name: value for name, value in choice.items() if name != "text"}


def _check_request(path: str, value: Any) -> None:
    mapping.check(path, value)
    validate_completion(value)


COMPLETION_REQUEST = Validator(_check_request, {**object_tree(_FIELDS, ("prompt",)), **NOT_FORBIDDEN})
"""A whole request, as `validate_completion` checks it."""

_TEXT: Tree = {"type": "string"}
_NUMBERS: Tree = {"type": "array", "items": or_null({"type": "number"})}
_CHOICE = members(
    ("text", "index", "logprobs", "finish_reason"),
    text=_TEXT,
    index=COUNT,
    logprobs=or_null(
        members(
            tokens={"type": "array", "items": _TEXT},
            token_logprobs=_NUMBERS,
            top_logprobs=or_null({"type": "array"}),
            text_offset={"type": "array", "items": COUNT},
        )
    ),
    finish_reason=or_null(_TEXT),
)
TEXT_COMPLETION = Component(
    "TextCompletion",
    members(
        ("id", "object", "created", "model", "choices"),
        id=_TEXT,
        object=constant("text_completion"),
        created={"type": "integer", "description": "Unix seconds."},
        model={"type": "string", "description": "The name that was asked for."},
        choices={"type": "array", "items": _CHOICE},
        usage=or_null(USAGE),
    ),
)
TEXT_EVENTS = Component(
    "TextCompletionStreamEvent",
    {
        **alternatives(TEXT_COMPLETION, ERROR),
        "description": "The JSON of one `data:` line. The last line of a stream that ended well is `data: [DONE]`.",
    },
)
