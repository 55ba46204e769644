"""From a chat body in the hub format to the body one model accepts.

The dialect is the same on both sides, so the body is copied shallowly and only what differs is touched;
members that this module does not know travel on unread.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.api import EFFORTS, Call, CallerFault, function_parameters, nearest_effort
from tollgate_openai.calls import mend_calls
from tollgate_openai.quirks import NEUTRAL, Quirks, reasoning_is_on
from tollgate_openai.thoughts import mend_thoughts

_LIMITS: tuple[str, ...] = ("max_completion_tokens", "max_tokens")
_ABOUT_TOOLS = frozenset({"tools", "tool_choice", "parallel_tool_calls"})
_MISSING = object()


def chat_body(call: Call, upstream: str, quirks: Quirks, *, official: bool) -> dict[str, Any]:
    """The body for `upstream` (the model's name there). official: the server is OpenAI's own.

    Appends to `call.dropped` what the model does not tolerate. Raises CallerFault instead when the call is strict.
    """
    body = dict(call.body)
    body["model"] = upstream
    set_stream(body, call, quirks)
    _set_limit(body, call.max_output, quirks)
    _set_effort(body, call, quirks)
    _mend_messages(body, quirks, official=official)
    if not official:
        mend_thoughts(body, call, quirks.thoughts)
    _drop_no_tools(body)
    mend_tools(body, flat=official)
    refused = quirks.unsupported
    if reasoning_is_on(quirks, body.get("reasoning_effort")):
        refused += quirks.while_reasoning
    for name in refused:
        drop_parameter(body, call, name)
    return body


def set_stream(body: dict[str, Any], call: Call, quirks: Quirks) -> None:
    """Ask for a stream and its usage, or for neither, as the call goes on."""
    if not call.stream:
        if body.get("stream"):
            # The gateway itself decided to take the answer whole.
            body.pop("stream")
            body.pop("stream_options", None)
        return
    body["stream"] = True
    given = body.get("stream_options")
    options = dict(given) if isinstance(given, dict) else {}
    if quirks.stream_usage:
        options["include_usage"] = True
        body["stream_options"] = options
    else:
        # Such a server refuses the member; the gateway makes up the caller's usage chunk itself.
        options.pop("include_usage", None)
        if options:
            body["stream_options"] = options
        else:
            body.pop("stream_options", None)


def _set_limit(body: dict[str, Any], max_output: int | None, quirks: Quirks) -> None:
    """One key for the output limit: the model's, or the caller's own where the model takes both."""
    given = {key: body[key] for key in _LIMITS if body.get(key) is not None}
    if max_output is None:
        if not given:
            return
        # With both keys given OpenAI refuses the request; the smaller limit satisfies both.
        max_output = min(given.values())
    key: str = next(iter(given), "max_completion_tokens") if quirks.limit == "either" else quirks.limit
    for other in _LIMITS:
        body.pop(other, None)
    body[key] = max_output


def _set_effort(body: dict[str, Any], call: Call, quirks: Quirks) -> None:
    effort = body.get("reasoning_effort")
    if quirks.efforts is None or effort is None or effort in quirks.efforts:
        return
    if not quirks.efforts:
        if effort == "none":
            body.pop("reasoning_effort")
        else:
            drop_parameter(body, call, "reasoning_effort")
        return
    if effort not in EFFORTS:
        return  # no effort anybody knows: the upstream's own error explains it best
    if call.strict:
        raise CallerFault(
            f"reasoning_effort: the model {call.model} supports {', '.join(quirks.efforts)}.",
            param="reasoning_effort",
            code="unsupported_value",
        )
    body["reasoning_effort"] = nearest_effort(effort, quirks.efforts)
    report(call, "reasoning_effort")


def _mend_messages(body: dict[str, Any], quirks: Quirks, *, official: bool) -> None:
    """Roles that the model knows by other names, and calls of earlier turns that it would refuse."""
    messages = body.get("messages")
    if not isinstance(messages, list):
        return
    names = dict(quirks.roles)
    for message in messages:
        if type(message) is dict and ("tool_calls" in message or message.get("role") in names):
            body["messages"] = [_mended(message, names, quirks, official) for message in messages]
            return


def _mended(message: Any, names: Mapping[str, str], quirks: Quirks, official: bool) -> Any:
    if not isinstance(message, dict):
        return message
    name = names.get(message.get("role", ""))
    if name is not None:
        message = {**message, "role": name}
    return mend_calls(message, quirks.longest_call_id, reads=not official)


def _drop_no_tools(body: dict[str, Any]) -> None:
    """Without a tool, what is said about tools says nothing; OpenAI refuses it, and an empty list of them."""
    if not body.get("tools") and not _ABOUT_TOOLS.isdisjoint(body):
        for name in _ABOUT_TOOLS:
            body.pop(name, None)


def mend_tools(body: dict[str, Any], *, flat: bool) -> None:
    """Schemas that a server's own check of the request would refuse, see `function_parameters`. flat: OpenAI's, which
    takes no alternatives; other servers may, and hold the model to them."""
    tools = body.get("tools")
    if isinstance(tools, list):
        mended = [_with_parameters(tool, flat) for tool in tools]
        if any(new is not old for new, old in zip(mended, tools, strict=True)):
            body["tools"] = mended


def _with_parameters(tool: Any, flat: bool) -> Any:
    if not isinstance(tool, dict) or tool.get("type", "function") != "function":
        return tool
    function = tool.get("function", tool)  # the Responses API says it without a frame
    if not isinstance(function, dict):
        return tool
    given = function.get("parameters")
    if function is tool and given is None:
        return tool  # a value of its own there, and nothing is left out
    parameters = function_parameters(given, flat=flat)
    if parameters is given:
        return tool
    mended = {**function, "parameters": parameters}
    return mended if function is tool else {**tool, "function": mended}


def drop_parameter(body: dict[str, Any], call: Call, name: str) -> None:
    """Leave out what the model refuses, and report it unless it asks for what happens anyway. Raises CallerFault when
    the call is strict."""
    value = body.get(name, _MISSING)
    if value is _MISSING:
        return
    if value is not None and value != NEUTRAL.get(name, _MISSING):
        if call.strict:
            raise CallerFault(
                f"{name}: the model {call.model} does not support this parameter; leave it out.",
                param=name,
                code="unsupported_parameter",
            )
        report(call, name)
    body.pop(name)


def report(call: Call, name: str) -> None:
    """Note a parameter that was not carried as it was asked for."""
    # A call may be built again for a retry or for another target.
    if name not in call.dropped:
        call.dropped.append(name)
