"""The conversation, in Mistral's order and without the members that it refuses.

Rules of order (Mistral's validator, published as mistral-common, and its error 3230): a system message stands before
an assistant's or a tool's; tool messages follow the assistant message whose calls they answer, one for each call;
after them comes an assistant message; the last message is the user's, a tool's, or an assistant's with `prefix`.
An unknown member of a message is a 422 there, so the known ones of OpenAI's dialect are translated or left out.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from gateway.api import arguments_json, as_dict, as_list, as_text

from .details import thoughts_of
from .draft import Draft, refuse
from .parts import Chunk, chunk_of, text_of, user_chunks

Message = dict[str, Any]

BRIDGE = "OK"
"""What an assistant says between tool results and the user's next message, when it said nothing."""

_ATTACHED = "(attached below)"
_ANSWER_ONLY = frozenset({"annotations", "citations", "reasoning_content", "reasoning", "reasoning_details", "refusal"})
_HANDLED = frozenset({"role", "content", "tool_calls", "tool_call_id", "name", "audio", "images", "cache_control"})


def translate_messages(draft: Draft) -> list[Message]:
    """The messages to send. Raises CallerFault that names the first one that cannot be."""
    talk = _Talk(draft)
    for at, message in enumerate(as_list(draft.body.get("messages"), "messages")):
        talk.add(as_dict(message, f"messages[{at}]"), f"messages[{at}]")
    return talk.end()


class _Talk:
    """The messages so far. open: of every tool call that is not yet answered, by its id: its number among all of the
    conversation, and its path. Two calls may bear one id; the first of them is answered first."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._system: list[str | list[Chunk]] = []
        self._out: list[Message] = []
        self._open: dict[str, deque[tuple[int, str]]] = {}
        self._calls = 0
        self._attached: list[Chunk] = []

    def add(self, message: Message, path: str) -> None:
        role = message.get("role")
        if role == "tool":
            self._add_result(message, path)
            return
        if role in ("system", "developer"):
            self._add_system(message, path)
            return
        self._end_results()
        if role == "user":
            if self._out and self._out[-1]["role"] == "tool":
                self._out.append({"role": "assistant", "content": BRIDGE})
            content = user_chunks(self._draft, message.get("content"), f"{path}.content")
            self._out.append({**self._rest(message, path), "role": "user", "content": content})
        elif role == "assistant":
            self._add_assistant(message, path)
        else:
            raise refuse(f"{path}.role", "must be system, developer, user, assistant or tool")

    def end(self) -> list[Message]:
        """All messages, in an order that Mistral takes."""
        self._end_results()
        out = self._out
        if out and out[-1]["role"] == "assistant":
            out[-1]["prefix"] = True
        if self._system:
            # Instructions alone are no conversation there: they become the user's message.
            out.insert(0, {"role": "system" if out else "user", "content": _joined(self._system)})
        return out

    def _add_system(self, message: Message, path: str) -> None:
        content = text_of(message.get("content"), f"{path}.content")
        if content is None:
            raise refuse(f"{path}.content", "must be a string or an array of text parts")
        self._rest(message, path)
        self._system.append(content)

    def _add_assistant(self, message: Message, path: str) -> None:
        for name in ("audio", "images"):
            if message.get(name):
                self._draft.report(f"messages[].{name}", "Mistral takes no such answers back")
        content = text_of(message.get("content"), f"{path}.content")
        if not content and message.get("refusal"):
            content = as_text(message["refusal"], f"{path}.refusal")
        thoughts = thoughts_of(message, self._draft.quirks.replay, path)
        if thoughts:
            texts = [{"type": "text", "text": content}] if isinstance(content, str) and content else content or []
            content = [*thoughts, *texts]
        calls = message.get("tool_calls")
        if not calls and not content:
            return  # an empty message says nothing, and Mistral refuses it
        sent = {**self._rest(message, path), "role": "assistant", "content": content or ""}
        if calls:
            listed = enumerate(as_list(calls, f"{path}.tool_calls"))
            sent["tool_calls"] = [self._call(call, f"{path}.tool_calls[{at}]") for at, call in listed]
        self._out.append(sent)

    def _call(self, call: Any, path: str) -> dict[str, Any]:
        call = as_dict(call, path)
        if "function" not in call:
            raise refuse(f"{path}.type", "Mistral has no free-form tools; only function calls can be given back")
        function = as_dict(call["function"], f"{path}.function")
        name = as_text(function.get("name"), f"{path}.function.name")
        identity = self._draft.call_id(as_text(call.get("id"), f"{path}.id"))
        self._open.setdefault(identity, deque()).append((self._calls, path))
        self._calls += 1
        # Mistral wants JSON, where a tool may have been called with an empty text, or with half of one.
        arguments = arguments_json(function.get("arguments"), f"{path}.function.arguments")
        return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}

    def _add_result(self, message: Message, path: str) -> None:
        identity = self._draft.call_id(as_text(message.get("tool_call_id"), f"{path}.tool_call_id"))
        same = self._open.get(identity)
        if same is None:
            raise refuse(
                f"{path}.tool_call_id", "answers no open tool call of the assistant message before it; check the order"
            )
        same.popleft()
        if not same:
            del self._open[identity]
        sent = {**self._rest(message, path), "role": "tool", "tool_call_id": identity}
        if message.get("name") is not None:
            sent["name"] = as_text(message["name"], f"{path}.name")
        sent["content"] = self._result(message.get("content"), f"{path}.content")
        self._out.append(sent)

    def _result(self, content: Any, path: str) -> str:
        """The text of a tool result. Its pictures and files follow in a user message: Mistral reads them there only."""
        if content is None or isinstance(content, str):
            return content or ""
        texts: list[str] = []
        for at, part in enumerate(as_list(content, path)):
            chunk = chunk_of(self._draft, part, f"{path}[{at}]")
            if chunk.get("type") == "text":
                texts.append(chunk["text"])
            else:
                texts.append(_ATTACHED)
                self._attached.append(chunk)
        return "\n".join(texts)

    def _end_results(self) -> None:
        if self._open:
            _, path = min(same[0] for same in self._open.values())
            raise refuse(path, "has no tool message that answers it; add one for each call")
        if self._attached:
            note = {"type": "text", "text": "Attached to the tool results above:"}
            self._out.append({"role": "assistant", "content": BRIDGE})
            self._out.append({"role": "user", "content": [note, *self._attached]})
            self._attached = []

    def _rest(self, message: Message, path: str) -> Message:
        """The members that travel on as they are; what is known to be refused is reported."""
        if message.get("name") is not None and message.get("role") != "tool":
            self._draft.report("messages[].name", "Mistral's messages have no names; put them into the text")
        if message.get("cache_control") is not None:
            self._draft.report("cache_control", "Mistral caches by prompt_cache_key; leave the marks out")
        return {
            key: value
            for key, value in message.items()
            if key not in _HANDLED and key not in _ANSWER_ONLY and value is not None
        }


def _joined(contents: list[str | list[Chunk]]) -> str | list[Chunk]:
    """Instructions from several places as one message."""
    if len(contents) == 1:
        return contents[0]
    texts = [content for content in contents if isinstance(content, str)]
    if len(texts) == len(contents):
        return "\n\n".join(texts)
    chunks: list[Chunk] = []
    for content in contents:
        chunks += [{"type": "text", "text": content}] if isinstance(content, str) else content
    return chunks
