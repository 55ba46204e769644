"""Chat messages to Anthropic's `system` and `messages`.

The dialects differ in their rules of order. Anthropic: the first turn is the user's; results of tools stand first in
the user turn that follows their calls, and every call has its result; text is never blank; ids are unique and plain.
Source: Anthropic's API reference, "Create a Message", and its pages on tool use and mid-conversation system messages.
"""

from __future__ import annotations

from typing import Any

import orjson

from gateway.api import as_dict, as_text, load_exact

from .details import blocks_from_details, in_order, told_activity
from .draft import Draft, refuse, safe_id
from .parts import Block, blocks_of

OPENING = "(The conversation begins with your own message.)"
"""Stands in for the user's first turn, where a chat begins with an assistant message."""

CONTINUE = "(Continue.)"
"""Asks for the next message where a chat ends with an assistant message and the model cannot continue one."""

_SYSTEM = ("system", "developer")
_CALL_KEYS = ("cache_control", "caller", "toolset_name")
"""Members of a `tool_use` block that travel on a tool call under their own names."""


def translate_messages(draft: Draft) -> tuple[list[Block], list[dict[str, Any]]]:
    """The `system` blocks and the `messages` of the draft's body. Raises CallerFault that names the message."""
    messages = draft.body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise refuse("messages", "must be an array with at least one message")
    turns = _Turns(draft)
    turns.system += _filled(blocks_of(draft, draft.body.get("system"), "system"))
    at = 0
    while at < len(messages):
        path = f"messages[{at}]"
        message = as_dict(messages[at], path)
        role = message.get("role")
        if role in _SYSTEM:
            at = turns.add_system(messages, at)
            continue
        add = _ROLES.get(str(role))
        if add is None:
            raise refuse(f"{path}.role", f"{str(role)[:40]!r} is not a role; use system, user, assistant or tool")
        add(turns, message, path)
        at += 1
    turns.close()
    return turns.system, turns.turns


class _Turns:
    """The conversation as built so far. `waiting`: ids of calls without a result -> (id sent upstream, path)."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.system: list[Block] = []
        self.turns: list[dict[str, Any]] = []
        self.waiting: dict[str, tuple[str, str]] = {}
        self.used: set[str] = set()
        self.leading = 0

    def add_system(self, messages: list[Any], at: int) -> int:
        """Take the run of system messages that begins at `at`; returns the index after it.

        Inside a conversation they stay in place where the model allows that, and else move to the top, which is
        what Anthropic's own OpenAI-compatible endpoint does.
        """
        end = at
        blocks: list[Block] = []
        while end < len(messages) and isinstance(messages[end], dict) and messages[end].get("role") in _SYSTEM:
            path = f"messages[{end}]"
            blocks += _filled(self._blocks(messages[end], path))
            self._note_name(messages[end])
            end += 1
        follows = messages[end].get("role") if end < len(messages) and isinstance(messages[end], dict) else "assistant"
        inline = self.draft.quirks.inline_system and bool(self.turns) and self.turns[-1]["role"] == "user"
        if blocks and inline and follows == "assistant" and not self.waiting:
            self.turns.append({"role": "system", "content": blocks})
        else:
            self.system += blocks
        return end

    def add_user(self, message: dict[str, Any], path: str) -> None:
        self._note_name(message)
        self._extend("user", self._blocks(message, path))

    def add_assistant(self, message: dict[str, Any], path: str) -> None:
        self._note_name(message)
        if self.waiting and self.turns and self.turns[-1]["role"] != "assistant":
            self._refuse_unanswered()
        placed = blocks_from_details(message.get("reasoning_details"), f"{path}.reasoning_details")
        placed += told_activity(message, placed)
        content = message.get("content")
        spoken = self._blocks(message, path)
        if not content and isinstance(message.get("refusal"), str):
            spoken = [{"type": "text", "text": message["refusal"]}]
        if message.get("audio"):
            self.draft.report("messages[].audio", "Anthropic cannot hear an earlier spoken answer; send its transcript")
        calls = message.get("tool_calls") or []
        if not isinstance(calls, list):
            raise refuse(f"{path}.tool_calls", "must be an array")
        called = [self._call(call, f"{path}.tool_calls[{at}]") for at, call in enumerate(calls)]
        self._extend("assistant", in_order(placed, spoken, called))

    def add_result(self, message: dict[str, Any], path: str) -> None:
        asked = as_text(message.get("tool_call_id"), f"{path}.tool_call_id")
        if asked not in self.waiting:
            raise refuse(
                f"{path}.tool_call_id", f"no call {asked[:80]!r} waits for a result in the assistant message before it"
            )
        sent, _ = self.waiting.pop(asked)
        content = message.get("content")
        block: Block = {"type": "tool_result", "tool_use_id": sent}
        if isinstance(content, dict):
            content = orjson.dumps(content).decode()
        if isinstance(content, str):
            if content:
                block["content"] = content
        elif content is not None:
            filled = _filled(blocks_of(self.draft, content, f"{path}.content"))
            if filled:
                block["content"] = filled
        if message.get("is_error") is not None:
            block["is_error"] = message["is_error"]
        if message.get("cache_control") is not None:
            block["cache_control"] = message["cache_control"]
        self._extend("user", [])
        # Results come before everything else in their turn, in the order in which they were given.
        self.turns[-1]["content"].insert(self.leading, block)
        self.leading += 1

    def close(self) -> None:
        """Mend what the order rules still ask for at both ends."""
        if self.waiting:
            self._refuse_unanswered()
        self.turns = turns = _merged(self.turns)
        if not turns:
            # Only instructions were sent: OpenAI answers them, so here they become the user's turn.
            if not self.system:
                raise refuse("messages", "at least one message must have content")
            turns.append({"role": "user", "content": self.system})
            self.system = []
        if turns[0]["role"] == "assistant":
            turns.insert(0, {"role": "user", "content": [{"type": "text", "text": OPENING}]})
        if turns[-1]["role"] == "assistant":
            self._end_with_assistant(turns[-1])

    def _end_with_assistant(self, last: dict[str, Any]) -> None:
        thinking = self.draft.body.get("thinking")
        asked = isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive")
        asked = asked or self.draft.body.get("reasoning_effort") not in (None, "none")
        if not self.draft.quirks.prefill or asked:
            self.turns.append({"role": "user", "content": [{"type": "text", "text": CONTINUE}]})
            return
        final = last["content"][-1]
        if final.get("type") == "text":
            # "final assistant content cannot end with trailing whitespace" (Anthropic's own error message).
            final["text"] = final["text"].rstrip()

    def _extend(self, role: str, blocks: list[Block]) -> None:
        if not self.turns or self.turns[-1]["role"] != role:
            self.turns.append({"role": role, "content": []})
            self.leading = 0
        content = self.turns[-1]["content"]
        for block in blocks:
            if block.get("type") != "text" or not isinstance(block.get("text"), str) or block["text"].strip():
                content.append(block)
            elif content and content[-1].get("type") == "text" and "cache_control" not in content[-1]:
                # A blank block is refused upstream, but white space between two texts may mean something.
                content[-1] = {**content[-1], "text": content[-1]["text"] + block["text"]}

    def _blocks(self, message: dict[str, Any], path: str) -> list[Block]:
        blocks = blocks_of(self.draft, message.get("content"), f"{path}.content")
        mark = message.get("cache_control")
        if mark is not None and blocks:
            blocks[-1]["cache_control"] = mark
        return blocks

    def _call(self, call: Any, path: str) -> Block:
        call = as_dict(call, path)
        if call.get("type", "function") != "function":
            raise refuse(f"{path}.type", "Anthropic has only function calls; custom tools cannot be carried")
        function = as_dict(call.get("function"), f"{path}.function")
        asked = as_text(call.get("id"), f"{path}.id")
        if asked in self.waiting:
            raise refuse(f"{path}.id", f"{asked[:80]!r} stands twice in one turn; ids must be unique")
        sent = safe_id(asked)
        if sent in self.used:
            # Some providers number their calls anew in every turn; Anthropic wants ids unique in the conversation.
            sent = safe_id(f"{asked}#{len(self.used)}")
        self.used.add(sent)
        self.waiting[asked] = (sent, f"{path}.id")
        block: Block = {
            "type": "tool_use",
            "id": sent,
            "name": as_text(function.get("name"), f"{path}.function.name"),
            "input": _arguments(function.get("arguments"), f"{path}.function.arguments"),
        }
        block.update({key: call[key] for key in _CALL_KEYS if call.get(key) is not None})
        return block

    def _note_name(self, message: dict[str, Any]) -> None:
        if message.get("name"):
            self.draft.report("messages[].name", "Anthropic has no names of participants; write them into the text")

    def _refuse_unanswered(self) -> None:
        asked, (_, path) = next(iter(self.waiting.items()))
        raise refuse(path, f"the call {asked[:80]!r} has no result; a tool message must follow with its tool_call_id")


_ROLES = {"user": _Turns.add_user, "assistant": _Turns.add_assistant, "tool": _Turns.add_result}


def _merged(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without empty turns, and with the neighbours that this brings together as one turn."""
    merged: list[dict[str, Any]] = []
    for turn in turns:
        if not turn["content"]:
            continue
        if merged and merged[-1]["role"] == turn["role"]:
            merged[-1]["content"] += turn["content"]
        else:
            merged.append(turn)
    return merged


def _filled(blocks: list[Block]) -> list[Block]:
    """Without blank text blocks, which Anthropic refuses."""
    return [b for b in blocks if b.get("type") != "text" or not isinstance(b.get("text"), str) or b["text"].strip()]


def _arguments(value: Any, path: str) -> dict[str, Any]:
    """The `input` of a call from its JSON `arguments`; nothing at all means no arguments."""
    if value is None or value == "":
        return {}
    if isinstance(value, dict):
        return value
    try:
        parsed = load_exact(as_text(value, path))
    except orjson.JSONDecodeError as error:
        raise refuse(path, f"must be JSON: {error.msg} at character {error.pos}") from None
    if parsed is None:
        return {}
    if not isinstance(parsed, dict):
        raise refuse(path, "must be a JSON object")
    return parsed
