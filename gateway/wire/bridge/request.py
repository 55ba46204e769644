"""A Responses request as a Chat Completions request (the hub format).

Each request parameter has its row below: carried under the same name, renamed, translated, kept by the gateway
(state, tools it runs itself), refused, or reported as dropped. Whatever no row names travels on unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.errors import CallerFault
from gateway.wire.bridge.client_tools import Alias, flatten
from gateway.wire.bridge.messages import MessageBuilder
from gateway.wire.bridge.tools import ChatTools, tools_to_chat
from gateway.wire.dropped import CLIENTS_OWN
from gateway.wire.responses.items import missing_answer, missing_call, require_answers
from gateway.wire.validators import refuse

Json = dict[str, Any]


@dataclass(slots=True, frozen=True)
class Abilities:
    """What the chat upstream understands beyond the common ground; what it lacks is emulated.

    custom_tools: `{"type": "custom"}` tools. allowed_tools: `tool_choice` of that type.
    instructions_role: the role that `instructions` get.
    """

    custom_tools: bool = False
    allowed_tools: bool = False
    instructions_role: str = "system"


def message_builder(abilities: Abilities) -> MessageBuilder:
    """Makes the messages of one request for an upstream with these abilities."""
    return MessageBuilder(custom_tools=abilities.custom_tools)


@dataclass(slots=True)
class ChatForm:
    """body: the chat request. tools: what became of the tools (`hosted` ones are for the gateway's tool loop, the
    names in `emulated` are needed to read the answer). dropped: paths of what could not be carried.
    aliases: functions that stand for other tools of the caller's, needed to read the answer. fault: an item that chat
    cannot say at all; the body, without it, is good for an estimate only."""

    body: Json
    tools: ChatTools
    dropped: list[str] = field(default_factory=list)
    aliases: Mapping[str, Alias] = field(default_factory=dict)
    fault: CallerFault | None = None


# The gateway's own: state, the echo of the answer, and what is translated below.
_OURS = frozenset(
    {
        "background",
        "conversation",
        "include",
        "input",
        "instructions",
        "max_tool_calls",
        "metadata",
        "previous_response_id",
        "reasoning",
        "store",
        "stream_options",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "truncation",
    }
)

_RENAMED = {"max_output_tokens": "max_completion_tokens"}

# Known to OpenAI's servers only, with an effect that nobody misses in the answer.
_DROPPED = frozenset({"context_management", "moderation", "prompt_cache_options", *CLIENTS_OWN})
_DROPPED_REASONING = frozenset({"context", "mode"})

LOGPROBS = "message.output_text.logprobs"
_NO_ABILITIES = Abilities()


def chat_from_responses(
    request: Mapping[str, Any],
    items: Sequence[Mapping[str, Any]],
    *,
    earlier: Sequence[Mapping[str, Any]] = (),
    abilities: Abilities = _NO_ABILITIES,
) -> ChatForm:
    """The chat request that says the same.

    request: a validated body. items: its `input` as canonical items (`canonical_items`); earlier: the canonical
    items of the conversation before it, from the store. Raises CallerFault for what must not be attempted anywhere;
    an item that only chat cannot say is the form's `fault`.
    """
    if request.get("prompt") is not None:
        refuse("prompt", "prompt templates live at one provider and cannot be used with this model; send the text")
    require_answers([*earlier, *items])
    flat = flatten(request.get("tools") or (), [*earlier, *items], request.get("tool_choice"))
    tools = tools_to_chat(
        flat.tools,
        flat.choice,
        custom_tools=abilities.custom_tools,
        allowed_tools=abilities.allowed_tools,
    )
    builder = message_builder(abilities)
    messages = builder.build(flat.items, len(earlier))
    if request.get("instructions"):
        messages.insert(0, {"role": abilities.instructions_role, "content": request["instructions"]})
    # Calls of other kinds become functions here, and chat wants a result of each.
    fault = builder.fault or missing_answer(flat.items) or missing_call(flat.items)
    form = ChatForm({"messages": messages}, tools, [*tools.dropped, *builder.dropped], flat.aliases, fault)
    _parameters(form, request)
    _text(form, request.get("text") or {})
    _reasoning(form, request.get("reasoning") or {})
    _logprobs(form, request)
    _tools(form)
    if request.get("stream"):
        form.body["stream_options"] = {"include_usage": True}
    return form


def _parameters(form: ChatForm, request: Mapping[str, Any]) -> None:
    for key, value in request.items():
        if key in _OURS or value is None:
            continue
        if key in _DROPPED:
            form.dropped.append(key)
        else:
            form.body[_RENAMED.get(key, key)] = value


def _text(form: ChatForm, text: Mapping[str, Any]) -> None:
    chosen = text.get("format") or {}
    if chosen.get("type") == "json_schema":
        schema = {key: value for key, value in chosen.items() if key != "type" and value is not None}
        form.body["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif chosen and chosen.get("type") != "text":
        form.body["response_format"] = dict(chosen)
    if text.get("verbosity") is not None:
        form.body["verbosity"] = text["verbosity"]
    form.dropped += [f"text.{key}" for key in text if key not in ("format", "verbosity")]


def _reasoning(form: ChatForm, reasoning: Mapping[str, Any]) -> None:
    """`summary` is done on the way back (`BridgeStream`); unknown members travel on as chat's `reasoning`."""
    rest: Json = {}
    for key, value in reasoning.items():
        if value is None or key in ("summary", "generate_summary"):
            continue
        if key == "effort":
            form.body["reasoning_effort"] = value
        elif key in _DROPPED_REASONING:
            form.dropped.append(f"reasoning.{key}")
        else:
            rest[key] = value
    if rest:
        form.body["reasoning"] = rest


def _logprobs(form: ChatForm, request: Mapping[str, Any]) -> None:
    top = request.get("top_logprobs")
    if top or LOGPROBS in (request.get("include") or ()):
        form.body["logprobs"] = True
        if top:
            form.body["top_logprobs"] = top


def _tools(form: ChatForm) -> None:
    if form.tools.tools:
        form.body["tools"] = form.tools.tools
        if form.tools.choice is not None:
            form.body["tool_choice"] = form.tools.choice
    else:
        # Upstreams refuse these two when no tool is offered.
        form.body.pop("parallel_tool_calls", None)
