"""`functions` and `function_call`, the older form of tools and calls, for targets that know only the newer one.

Source: OpenAI's API reference, create chat completion (`functions`, `function_call`, the role `function`; all marked as
deprecated, and still what older clients and frameworks send). There is at most one call in an answer, it has no id, and
`finish_reason` is then `function_call`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.wire.lenient import dict_of, dicts_of

Json = dict[str, Any]

_MEMBERS = ("functions", "function_call")


def has_functions(body: Mapping[str, Any]) -> bool:
    """Whether a chat body uses the older form: for what may be called, or for what was called."""
    if body.get("functions") is not None or body.get("function_call") is not None:
        return True
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        if type(message) is dict and (message.get("role") == "function" or message.get("function_call")):
            return True
    return False


def with_tools(body: Mapping[str, Any]) -> Json:
    """The same request with tools. What is given is not changed."""
    out = {key: value for key, value in body.items() if key not in _MEMBERS}
    functions = dicts_of(body.get("functions"))
    if functions:
        tools = body.get("tools") or []
        out["tools"] = [*tools, *({"type": "function", "function": function} for function in functions)]
        # The older form has room for one call.
        out["parallel_tool_calls"] = False
    choice = body.get("function_call")
    if choice is not None and "tool_choice" not in out and (functions or choice != "none"):
        named = isinstance(choice, Mapping)
        out["tool_choice"] = {"type": "function", "function": {"name": choice.get("name")}} if named else choice
    if isinstance(body.get("messages"), list):
        out["messages"] = _messages(body["messages"])
    return out


def _messages(messages: list[Any]) -> list[Any]:
    """Calls get ids by their number, results that of the call before them."""
    out: list[Any] = []
    calls = 0
    for message in messages:
        call = dict_of(message).get("function_call")
        if isinstance(call, dict):
            calls += 1
            rest = {key: value for key, value in message.items() if key != "function_call"}
            made = {"id": f"call_{calls}", "type": "function", "function": {**call}}
            out.append({**rest, "content": message.get("content"), "tool_calls": [made]})
        elif dict_of(message).get("role") == "function":
            content = message.get("content")
            out.append({"role": "tool", "tool_call_id": f"call_{calls}", "content": "" if content is None else content})
        else:
            out.append(message)
    return out


class FunctionsAgain:
    """Turns one answer's calls back into the older form, whole or chunk by chunk.

    A second call has no place there; it is left out, as the target was asked not to make one.
    """

    def __init__(self) -> None:
        self._called: set[Any] = set()

    def concerns(self, item: bytes) -> bool:
        """Whether a chunk's JSON text has to be read."""
        return b'"tool_calls"' in item or (bool(self._called) and b'"finish_reason"' in item)

    def change(self, answer: Json) -> Json:
        """A completion, or the next chunk of a stream."""
        choices = answer.get("choices")
        if not isinstance(choices, list) or not choices:
            return answer
        return {**answer, "choices": [self._choice(one) if isinstance(one, dict) else one for one in choices]}

    def _choice(self, choice: Json) -> Json:
        key = "message" if isinstance(choice.get("message"), dict) else "delta"
        said = dict_of(choice.get(key))
        index = choice.get("index")
        if "tool_calls" in said:
            calls = dicts_of(said["tool_calls"])
            said = {name: value for name, value in said.items() if name != "tool_calls"}
            function = next((dict_of(call.get("function")) for call in calls if not call.get("index")), None)
            if key == "message" and calls:
                function = dict_of(calls[0].get("function"))
            if function is not None:
                self._called.add(index)
                said["function_call"] = {name: function[name] for name in ("name", "arguments") if name in function}
            choice = {**choice, key: said}
        if index in self._called and choice.get("finish_reason") in ("tool_calls", "stop"):
            choice = {**choice, "finish_reason": "function_call"}
        return choice
