"""The `system` and `messages` of a Messages request as chat messages.

A user turn of Anthropic's holds results of tools and new content together; in chat every result is a message of its
own, directly after the calls.
"""

from __future__ import annotations

from typing import Any

import orjson

from gateway.api import Notes, activity_event, as_dict, as_list, as_text, is_sealed, unseal
from tollgate_anthropic.details import detail_of
from tollgate_anthropic.draft import refuse

from .activity import item_of_use, outcome_of
from .parts import Part, opaque, parts_of, parts_of_block

Message = dict[str, Any]

CALL_EXTRA = "chat.tool_call"
"""A detail that holds what an upstream put into a tool call besides OpenAI's members: `{"type", "id", "members"}`."""

_CALL_FRAME = frozenset({"type", "id", "name", "input", "cache_control", "caller"})
_RESULT_FRAME = frozenset({"type", "tool_use_id", "content", "is_error", "cache_control"})


def chat_messages(notes: Notes, system: Any, messages: Any) -> list[Message]:
    """All messages, the system's first. Raises CallerFault that names what is malformed."""
    made: list[Message] = []
    system = _without_attribution(notes, system)
    if system is not None and system != "" and system != []:
        made.append({"role": "system", "content": _plain(parts_of(notes, system, "system"))})
    if not isinstance(messages, list) or not messages:
        raise refuse("messages", "must be an array with at least one message")
    turn = _Answer(notes)
    for at, message in enumerate(messages):
        path = f"messages[{at}]"
        message = as_dict(message, path)
        role, content = message.get("role"), message.get("content")
        if role not in ("user", "assistant", "system"):
            raise refuse(f"{path}.role", f"{str(role)[:40]!r} is not a role; use user or assistant")
        # Assistant messages that follow calls before their results belong to the same turn: Anthropic combines them.
        if role != "assistant" or not turn.calls:
            made += turn.message()
            turn = _Answer(notes)
        if role == "assistant" and (turn.calls or not isinstance(content, str)):
            turn.read(content, f"{path}.content")
        elif isinstance(content, str):
            made.append({"role": role, "content": content})
        elif role == "user":
            made += _user_turn(notes, as_list(content, f"{path}.content"), f"{path}.content")
        else:
            made.append({"role": "system", "content": _plain(parts_of(notes, content, f"{path}.content"))})
    return made + turn.message()


_ATTRIBUTION = "x-anthropic-billing-header:"


def _without_attribution(notes: Notes, system: Any) -> Any:
    """`system` without the line by which Claude Code says who it is to Anthropic. It changes with each request and
    stands first: in front of other providers no prefix would ever be found in their prompt caches."""
    if not isinstance(system, list) or not system or not isinstance(system[0], dict):
        return system
    text = system[0].get("text")
    if not isinstance(text, str) or not text.startswith(_ATTRIBUTION):
        return system
    notes.report("system[0]")
    _line, _, rest = text.partition("\n")
    return [{**system[0], "text": rest}, *system[1:]] if rest else system[1:]


def _plain(parts: list[Part]) -> str | list[Part]:
    """One text as a string, which every server takes."""
    if len(parts) == 1 and parts[0]["type"] == "text":
        return str(parts[0]["text"])
    return parts


def _user_turn(notes: Notes, blocks: list[Any], path: str) -> list[Message]:
    results: list[Message] = []
    parts: list[Part] = []
    for at, block in enumerate(blocks):
        where = f"{path}[{at}]"
        if as_dict(block, where).get("type") == "tool_result":
            results.append(_result(notes, block, where))
        else:
            parts += parts_of_block(notes, block, where)
    return [*results, {"role": "user", "content": _plain(parts)}] if parts or not results else results


def _result(notes: Notes, block: Part, path: str) -> Message:
    """The tool message of a result, with its media and its marks: the gateway retells them where they are not taken."""
    identity = as_text(block.get("tool_use_id"), f"{path}.tool_use_id")
    if block.get("cache_control") is not None:
        notes.report("cache_control")
    notes.report_rest(block, _RESULT_FRAME, "messages[].content[]")
    content = block.get("content")
    found = [] if content is None else parts_of(notes, content, f"{path}.content")
    plain = all(part["type"] == "text" for part in found)
    message: Message = {"role": "tool", "tool_call_id": identity}
    message["content"] = "\n".join(part["text"] for part in found) if plain else found
    if block.get("is_error") is True:
        message["is_error"] = True
    return message


_SERVED = frozenset(
    {
        "server_tool_use",
        "web_search_tool_result",
        "web_fetch_tool_result",
        "mcp_tool_use",
        "mcp_tool_result",
    }
)


class _Answer:
    """One assistant turn, of one or more messages."""

    def __init__(self, notes: Notes) -> None:
        self.notes = notes
        self.parts: list[Part] = []
        self.calls: list[dict[str, Any]] = []
        self.thoughts: list[str] = []
        self.details: list[dict[str, Any]] = []
        self.only_text = True
        self.served: list[dict[str, Any]] = []
        self._begun: dict[str, dict[str, Any]] = {}

    def read(self, content: Any, path: str) -> None:
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else as_list(content, path)
        for at, block in enumerate(blocks):
            self._take(as_dict(block, f"{path}[{at}]"), f"{path}[{at}]")

    def message(self) -> list[Message]:
        """The turn, once it is complete; nothing for an empty one."""
        message: Message = {"role": "assistant", "content": self.parts}
        if self.only_text:
            # Texts of one answer are cut where citations begin and end: together they are one text.
            message["content"] = "".join(part["text"] for part in self.parts)
        if self.calls:
            message["content"] = message["content"] or None
            message["tool_calls"] = self._signed()
        if self.thoughts:
            message["reasoning_content"] = "".join(self.thoughts)
        if self.served:
            message["x_gateway"] = self.served
        if self.details:
            message["reasoning_details"] = [{**entry, "index": at} for at, entry in enumerate(self.details)]
        return [message] if set(message) - {"role", "content"} or message["content"] else []

    def _take(self, block: Part, path: str) -> None:
        kind = block.get("type")
        if kind is not None:
            as_text(kind, f"{path}.type")
        if kind == "tool_use":
            self.calls.append(self._call(block, path))
        elif kind == "thinking":
            self._thought(block, path)
        elif kind == "redacted_thinking":
            data = as_text(block.get("data"), f"{path}.data")
            if is_sealed(data):
                self.details += unseal(data, f"{path}.data")[0]
            else:
                self.details.append(detail_of(block, 0))
        elif kind == "text":
            self.parts += parts_of_block(self.notes, block, path)
        elif kind in _SERVED:
            self._serve(block)
        else:
            self.only_text = False
            self.parts += opaque(self.notes, block, path)

    def _serve(self, block: Part) -> None:
        """What a server did: an item for each use, with what came of it once that is told."""
        if str(block.get("type")).endswith("_use"):
            item = item_of_use(block)
            self._begun[str(block.get("id"))] = item
            self.served.append(activity_event(item, sum(len(str(part.get("text") or "")) for part in self.parts)))
            return
        item = self._begun.get(str(block.get("tool_use_id")), {})
        item.update(outcome_of(block))

    def _thought(self, block: Part, path: str) -> None:
        """Thoughts of another provider come back as they were told; Anthropic's, which are signed, only as details,
        that nobody but Anthropic reads."""
        signature = block.get("signature")
        text = as_text(block.get("thinking"), f"{path}.thinking")
        if isinstance(signature, str) and signature and not is_sealed(signature):
            self.details.append(detail_of(block, 0))
            return
        self.thoughts.append(text)
        if is_sealed(signature):
            self.details += unseal(str(signature), f"{path}.signature")[0]

    def _call(self, block: Part, path: str) -> dict[str, Any]:
        if block.get("cache_control") is not None:
            self.notes.report("cache_control")
        caller = block.get("caller")
        if caller is not None and caller != {"type": "direct"}:
            self.notes.blame(f"{path}.caller", "a call that was made by other code has no place elsewhere")
        self.notes.report_rest(block, _CALL_FRAME, "messages[].content[]")
        arguments = orjson.dumps(as_dict(block.get("input", {}), f"{path}.input")).decode()
        return {
            "id": as_text(block.get("id"), f"{path}.id"),
            "type": "function",
            "function": {"name": as_text(block.get("name"), f"{path}.name"), "arguments": arguments},
        }

    def _signed(self) -> list[dict[str, Any]]:
        """The calls, with what their upstream had put into them."""
        extras: dict[Any, dict[str, Any]] = {}
        rest = []
        for entry in self.details:
            members, identity = entry.get("members"), entry.get("id")
            if entry.get("type") == CALL_EXTRA and isinstance(members, dict) and isinstance(identity, str):
                extras[identity] = members
            else:
                rest.append(entry)
        self.details = rest
        return [{**extras.get(call["id"], {}), **call} for call in self.calls]
