"""Calls of the caller's tools in the making; see `gateway.wire.bridge.items`.

function_call  output_item.added, arguments deltas, arguments.done, output_item.done (custom tools: input)
shell_call     output_item.added, (shell_call_command.added, .delta, .done)*, output_item.done
other calls    output_item.added, output_item.done: there are no events for their pieces
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from gateway.wire.bridge.client_tools import Alias, restore_call
from gateway.wire.bridge.items import Channel, Emitter
from gateway.wire.bridge.tools import unwrap_custom_input
from gateway.wire.responses.ids import item_id_for_call
from gateway.wire.responses.objects import custom_call_item, function_call_item

Json = dict[str, Any]


class OpenCall:
    """A call of one of the caller's tools.

    kind: `function_call` or `custom_tool_call`. emulated: the custom tool is a function upstream, whose one argument
    `input` is unwrapped on the way. alias: what the function of this name stands for.
    """

    def __init__(
        self,
        emitter: Emitter,
        index: int,
        call_id: str,
        name: str,
        *,
        kind: str,
        emulated: bool = False,
        alias: Alias | None = None,
    ) -> None:
        self._emitter = emitter
        self.index = index
        self.call_id = call_id
        self._name = name if alias is None else alias.name
        self._alias = alias
        self._custom = kind == "custom_tool_call"
        self._unwrap = _InputReader() if emulated else None
        self._item_id = item_id_for_call(call_id, kind)
        self._where = {"item_id": self._item_id, "output_index": index}
        delta = "response.custom_tool_call_input.delta" if self._custom else "response.function_call_arguments.delta"
        self._channel = Channel(emitter, delta, self._where)
        emitter.emit("response.output_item.added", {"output_index": index, "item": self._item("", "in_progress")})

    @property
    def channel(self) -> Channel | None:
        """Where argument fragments may go directly; None when they have to be read first."""
        return None if self._unwrap is not None else self._channel

    def add(self, fragment: str) -> None:
        text = fragment if self._unwrap is None else self._unwrap.feed(fragment)
        if text:
            self._channel.add(text)

    def _item(self, text: str, status: str) -> Json:
        make = custom_call_item if self._custom else function_call_item
        item = make(self.call_id, self._name, text, status)
        if self._alias is not None and self._alias.namespace:
            item["namespace"] = self._alias.namespace
        return item

    def close(self, status: str) -> Json:
        if self._unwrap is not None:
            rest = self._unwrap.finish()
            if rest:
                self._channel.add(rest)
        text = self._channel.text
        if self._custom:
            self._emitter.emit("response.custom_tool_call_input.done", {**self._where, "input": text})
        else:
            done = {**self._where, "name": self._name, "arguments": text}
            self._emitter.emit("response.function_call_arguments.done", done)
        item = self._item(text, status)
        self._emitter.emit("response.output_item.done", {"output_index": self.index, "item": item})
        return item


class PendingCall:
    """A call of the upstream that has no item (yet): its name has not come, or the gateway answers it itself."""

    def __init__(self, call_id: str) -> None:
        self.call_id = call_id
        self.name = ""
        self.custom = False
        self.fragments: list[str] = []


class WholeCall:
    """A call that becomes an item of another kind (`Alias.kind`), which can be made of whole arguments only.

    The item begins when its arguments are there, or something else begins after it (`begin`): what of it must not
    change later (the file of a patch) is then told from the first event on.
    """

    channel = None

    def __init__(self, emitter: Emitter, index: int, call_id: str, alias: Alias) -> None:
        self._emitter = emitter
        self.index = index
        self.call_id = call_id
        self._alias = alias
        self._item_id = item_id_for_call(call_id, alias.kind)
        self._fragments: list[str] = []
        self._begun = False

    def add(self, fragment: str) -> None:
        self._fragments.append(fragment)

    def begin(self) -> None:
        """Say that the item begins, once."""
        if self._begun:
            return
        self._begun = True
        item = self._item("in_progress")
        if item["type"] == "shell_call":
            item["action"]["commands"] = []
        elif "diff" in item.get("operation", ()):
            item["operation"]["diff"] = ""
        self._emitter.emit("response.output_item.added", {"output_index": self.index, "item": item})

    def close(self, status: str) -> Json:
        self.begin()
        item = self._item(status)
        if item["type"] == "shell_call":
            for number, command in enumerate(item["action"]["commands"]):
                where = {"output_index": self.index, "command_index": number}
                self._emitter.emit("response.shell_call_command.added", {**where, "command": ""})
                self._emitter.emit("response.shell_call_command.delta", {**where, "delta": command})
                self._emitter.emit("response.shell_call_command.done", {**where, "command": command})
        self._emitter.emit("response.output_item.done", {"output_index": self.index, "item": item})
        return item

    def _item(self, status: str) -> Json:
        return restore_call(self._alias, self._item_id, self.call_id, "".join(self._fragments), status)


_HEAD = re.compile(r'\s*\{\s*"input"\s*:\s*"')
# As much of a JSON string's inside as is whole: no lone backslash, \u escape or half of a surrogate pair at its end; so
# many steps at a time, because the matcher remembers each.
_WHOLE = re.compile(
    r'(?:[^"\\]+|\\["\\/bfnrt]|\\u(?:[0-9a-ce-fA-CE-F][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}'
    r"|[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})){0,1000}"
)
_LONGEST_HEAD = 256
_LONGEST_ESCAPE = 12


class _InputReader:
    """Reads the string out of `{"input": "..."}` as it arrives. What does not begin so is handed over at the end."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._head: str | None = ""
        self._rest = ""
        self._inside = self._over = False

    def feed(self, fragment: str) -> str:
        if self._over:
            return ""
        if not self._inside:
            self._parts.append(fragment)
            if not self._begin(fragment):
                return ""
        else:
            self._rest += fragment  # at most a cut-off escape stands before it
        end = 0
        while (found := _WHOLE.match(self._rest, end)) is not None and found.end() > end:
            end = found.end()
        piece, self._rest = self._rest[:end], self._rest[end:]
        self._over = self._rest[:1] == '"' or len(self._rest) > _LONGEST_ESCAPE
        if not piece:
            return ""
        try:
            text: str = orjson.loads(f'"{piece}"')
        except orjson.JSONDecodeError:
            # A raw control character: not JSON, but what the model meant.
            text = piece
        return text

    def finish(self) -> str:
        return "" if self._inside else unwrap_custom_input("".join(self._parts))

    def _begin(self, fragment: str) -> bool:
        """Whether the string has begun; what is long and does not begin with it never will."""
        if self._head is None:
            return False
        self._head += fragment
        found = _HEAD.match(self._head)
        if found is not None:
            self._inside, self._rest = True, self._head[found.end() :]
            self._parts.clear()
        if found is not None or len(self._head) > _LONGEST_HEAD:
            self._head = None
        return self._inside
