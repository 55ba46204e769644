"""Chat messages to Gemini's `systemInstruction` and `contents`.

The dialects differ in their rules of order. Gemini: instructions stand apart; a conversation begins with the user;
a turn with function calls is followed at once by one result for each of them; some models refuse to continue a
conversation that ends with their own turn. Sources: Google's API reference (`Content`, `FunctionResponse`), its pages
on function calling and thought signatures, and its error answers ("the number of function response parts is equal to
the number of function call parts of the function call turn").
"""

from __future__ import annotations

from typing import Any

import orjson

from gateway.api import as_dict, as_list, as_text, load_exact

from .details import SKIP, Given, assemble, signature_in
from .draft import Draft, refuse
from .parts import Part, from_url, parts_of
from .results import result_parts

OPENING = "(The conversation begins with your own message.)"
"""Stands in for the user's first turn, where a chat begins with an assistant message."""

CONTINUE = "(Continue.)"
"""Asks for the next message where a chat ends with an assistant message and the model cannot continue one."""


def add_messages(draft: Draft) -> None:
    """Write `systemInstruction` and `contents`. Raises CallerFault that names the message."""
    messages = draft.body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise refuse("messages", "must be an array with at least one message")
    turns = _Turns(draft)
    for at, message in enumerate(messages):
        path = f"messages[{at}]"
        message = as_dict(message, path)
        add = _ROLES.get(str(message.get("role")))
        if add is None:
            role = str(message.get("role"))[:40]
            raise refuse(f"{path}.role", f"{role!r} is not a role; use system, developer, user, assistant or tool")
        turns.note(message)
        add(turns, message, path)
    turns.close()
    if turns.system:
        draft.out["systemInstruction"] = {"parts": turns.system}
    draft.out["contents"] = turns.turns


class _Turns:
    """The conversation as built so far.

    waiting: calls of the last model turn without a result: id -> (name, path). order: the ids in the calls' order.
    results, extras: the function responses so far, and media that stand in a turn of their own after them.
    """

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.system: list[Part] = []
        self.turns: list[dict[str, Any]] = []
        self.waiting: dict[str, tuple[str, str]] = {}
        self.order: list[str] = []
        self.results: dict[str, Part] = {}
        self.extras: list[Part] = []

    def note(self, message: dict[str, Any]) -> None:
        """Report members of a message that Gemini has no place for."""
        if message.get("name") and message.get("role") != "tool":
            self.draft.report("messages[].name", "Gemini has no names of participants; write them into the text")
        if message.get("cache_control") is not None:
            self.draft.report("messages[].cache_control", "Gemini caches by itself, or by cachedContent")

    def add_system(self, message: dict[str, Any], path: str) -> None:
        for part in parts_of(self.draft, message.get("content"), f"{path}.content"):
            if "text" not in part:
                raise refuse(f"{path}.content", "instructions can only be text; send media in a user message")
            if part["text"]:
                self.system.append(part)

    def add_user(self, message: dict[str, Any], path: str) -> None:
        self._require_answers()
        self._extend("user", parts_of(self.draft, message.get("content"), f"{path}.content"))

    def add_assistant(self, message: dict[str, Any], path: str) -> None:
        self._require_answers()
        if message.get("audio"):
            self.draft.report("messages[].audio", "Gemini cannot hear an earlier spoken answer; send its transcript")
        given = Given(message.get("reasoning_details"), f"{path}.reasoning_details")
        given.tell(message)
        listed = as_list(message.get("tool_calls") or [], f"{path}.tool_calls")
        calls = [self._call(call, given, f"{path}.tool_calls[{at}]") for at, call in enumerate(listed)]
        if calls and self.draft.quirks.signatures and "thoughtSignature" not in calls[0]:
            calls[0]["thoughtSignature"] = SKIP
        parts = self._spoken(message, calls, given, path)
        own = signature_in(message)
        if own and not any("thoughtSignature" in part for part in parts):
            last = next((part for part in reversed(parts) if "text" in part), None)
            if last is not None:
                last["thoughtSignature"] = own
        self._extend("model", parts)

    def _spoken(self, message: dict[str, Any], calls: list[Part], given: Given, path: str) -> list[Part]:
        content = message.get("content")
        listed = as_list(message.get("images") or [], f"{path}.images")
        images = [self._shown(image, f"{path}.images[{at}]") for at, image in enumerate(listed)]
        if not content and isinstance(message.get("refusal"), str):
            content = message["refusal"]
        parts = parts_of(self.draft, content, f"{path}.content")
        if all(part.keys() == {"text"} for part in parts):
            return assemble("".join(part["text"] for part in parts), calls, images, given)
        return parts + assemble("", calls, images, given)

    def _shown(self, image: Any, path: str) -> Part:
        link = as_dict(image, path).get("image_url")
        link = link.get("url") if isinstance(link, dict) else link
        return from_url(as_text(link, f"{path}.image_url.url"), f"{path}.image_url.url")

    def _call(self, call: Any, given: Given, path: str) -> Part:
        call = as_dict(call, path)
        if call.get("type", "function") != "function":
            raise refuse(f"{path}.type", "Gemini has only function calls; custom tools cannot be carried")
        function = as_dict(call.get("function"), f"{path}.function")
        identity = as_text(call.get("id"), f"{path}.id")
        if identity in self.waiting:
            raise refuse(f"{path}.id", f"{identity[:80]!r} stands twice in one turn; ids must be unique")
        name = as_text(function.get("name"), f"{path}.function.name")
        self.waiting[identity] = (name, f"{path}.id")
        self.order.append(identity)
        arguments = _arguments(function.get("arguments"), f"{path}.function.arguments")
        part: Part = {"functionCall": {"id": identity, "name": name, "args": arguments}}
        signature = signature_in(call) or given.calls.get(identity, "")
        if signature:
            part["thoughtSignature"] = signature
        return part

    def add_result(self, message: dict[str, Any], path: str) -> None:
        asked = as_text(message.get("tool_call_id"), f"{path}.tool_call_id")
        if asked not in self.waiting:
            raise refuse(
                f"{path}.tool_call_id", f"no call {asked[:80]!r} waits for a result in the assistant message before it"
            )
        name, _ = self.waiting.pop(asked)
        self.results[asked], extras = result_parts(self.draft, message, asked, name, path)
        self.extras += extras
        if not self.waiting:
            # Google tells results apart by name and place as well as by id, so they stand in the calls' order.
            self.turns.append({"role": "user", "parts": [self.results[identity] for identity in self.order]})
            if self.extras:
                self.turns.append({"role": "user", "parts": self.extras})
            self.order, self.results, self.extras = [], {}, []

    def close(self) -> None:
        """Mend what the order rules still ask for at both ends."""
        self._require_answers()
        self._drop_blank()
        if not self.turns:
            # Only instructions were sent: OpenAI answers them, so here they become the user's turn.
            self.turns.append({"role": "user", "parts": self.system or [{"text": ""}]})
            self.system = []
        if self.turns[0]["role"] == "model":
            self.turns.insert(0, {"role": "user", "parts": [{"text": OPENING}]})
        if self.turns[-1]["role"] == "model" and not self.draft.quirks.prefill:
            self.turns.append({"role": "user", "parts": [{"text": CONTINUE}]})
        if self.system and not self.draft.quirks.system:
            # Gemma: "Developer instruction is not enabled", so it leads the first user turn.
            self.turns[0]["parts"] = self.system + self.turns[0]["parts"]
            self.system = []

    def _drop_blank(self) -> None:
        """Without blank texts and turns of nothing else; neighbours that this brings together become one turn."""
        kept: list[dict[str, Any]] = []
        for turn in self.turns:
            turn["parts"] = [part for part in turn["parts"] if part != {"text": ""}]
            if not turn["parts"]:
                continue
            if kept and kept[-1]["role"] == turn["role"] and not (_has_results(kept[-1]) or _has_results(turn)):
                kept[-1]["parts"] += turn["parts"]
            else:
                kept.append(turn)
        self.turns = kept

    def _extend(self, role: str, parts: list[Part]) -> None:
        # Results stay alone in their turn: media and words after them are a turn of their own.
        if self.turns and self.turns[-1]["role"] == role and not _has_results(self.turns[-1]):
            self.turns[-1]["parts"] += parts
        else:
            self.turns.append({"role": role, "parts": parts})

    def _require_answers(self) -> None:
        if self.waiting:
            asked, (_, path) = next(iter(self.waiting.items()))
            raise refuse(path, f"the call {asked[:80]!r} has no result; a tool message must follow with its id")


_ROLES = {
    "system": _Turns.add_system,
    "developer": _Turns.add_system,
    "user": _Turns.add_user,
    "assistant": _Turns.add_assistant,
    "tool": _Turns.add_result,
}


def _has_results(turn: dict[str, Any]) -> bool:
    return any("functionResponse" in part for part in turn["parts"][:1])  # beside results there is nothing else


def _arguments(value: Any, path: str) -> dict[str, Any]:
    """The `args` of a call from its JSON `arguments`; nothing at all means no arguments."""
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
    return as_dict(parsed, path)
