"""What a conversation in the hub format holds that one target's chat does not take, said in what it takes.

Callers and other dialects put pictures into results of tools, mark results as errors, and give back what was done
beside the model's words. Each is kept as it is for a target that understands it (`Profile.understands`), so this is
done per target, right before its provider gets the body:

    activity     `x_gateway` of assistant messages is told in words (`gateway.wire.chat.activity`)
    tool_media   pictures and files follow in the user's message after all results of the turn
    tool_marks   an error is told in words; `cache_control` of a result is left out
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.wire.bridge.parts import text_of
from gateway.wire.chat.activity import MEMBER, tell_activity

Json = dict[str, Any]

_ATTACHED = "The result is attached in the next message."
_MARKS = ("is_error", "cache_control")
_MEDIA = frozenset({"image_url", "input_audio", "file", "video_url"})


def retell(body: Json, understands: Container[str]) -> Retold:
    """The chat body for a target: the very same one when nothing had to change; what is given is not changed."""
    messages = body.get("messages")
    if not isinstance(messages, list):
        return Retold(body)
    # Of most messages no more has to be asked than this.
    asked = [one for one in messages if type(one) is dict and (MEMBER in one or one.get("role") == "tool")]
    if not asked:
        return Retold(body)
    talk = _Talk(understands)
    if not any(talk.concerns(message) for message in asked):
        return Retold(body)
    for at, message in enumerate(messages):
        talk.add(message, at)
    talk.end()
    return Retold({**body, "messages": talk.messages}, talk.dropped, talk.moved)


@dataclass(slots=True, frozen=True)
class Retold:
    """A body for a target. dropped: paths of what it is not told. moved: of what it is told, but elsewhere."""

    body: Json
    dropped: Sequence[str] = ()
    moved: Sequence[str] = ()


class _Talk:
    """The messages so far. media: of the results of this turn."""

    def __init__(self, understands: Container[str]) -> None:
        self.messages: list[Any] = []
        self.dropped: list[str] = []
        self.moved: list[str] = []
        self._media: list[Json] = []
        self._activity = "activity" in understands
        self._takes_media = "tool_media" in understands
        self._takes_marks = "tool_marks" in understands

    def concerns(self, message: Json) -> bool:
        """Whether there is anything in the message that the target does not take."""
        role = message.get("role")
        if role == "assistant":
            return MEMBER in message and not self._activity
        if role != "tool":
            return False
        marked = not self._takes_marks and any(message.get(mark) is not None for mark in _MARKS)
        return marked or (not self._takes_media and type(message.get("content")) is list)

    def add(self, message: Any, at: int) -> None:
        role = message.get("role") if isinstance(message, dict) else None
        if role == "tool":
            self.messages.append(self._result(message, at) if self.concerns(message) else message)
            return
        if role == "user" and self._media:
            content = message.get("content")
            said = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
            message = {**message, "content": [*self._media, *said]}
            self._media = []
        self.end()
        if role == "assistant" and not self._activity:
            message = tell_activity(message)
        self.messages.append(message)

    def end(self) -> None:
        """The turn is over: tell what its results could not hold."""
        if self._media:
            self.messages.append({"role": "user", "content": self._media})
            self._media = []

    def _result(self, message: Json, at: int) -> Json:
        path, call_id = f"messages[{at}]", message.get("tool_call_id")
        content = message.get("content")
        if isinstance(content, list) and not self._takes_media:
            media = [part for part in content if isinstance(part, dict) and part.get("type") in _MEDIA]
            if media:
                self._media += [{"type": "text", "text": f"Attachments of the result of tool call {call_id}:"}, *media]
                self.moved.append(f"{path}.content (media moved into the next message)")
                rest = [part for part in content if not any(part is one for one in media)]
                content = text_of(rest) or _ATTACHED
        if not self._takes_marks:
            if message.get("is_error") is True:
                content = _as_error(content)
            if message.get("cache_control") is not None:
                self.dropped.append(f"{path}.cache_control")
            message = {key: value for key, value in message.items() if key not in _MARKS}
        return {**message, "content": content}


def _as_error(content: Any) -> Any:
    """A result that its text tells to be an error, for models that are told by nothing else."""
    if isinstance(content, str) or content is None:
        return content if content and content.lower().startswith("error") else f"Error: {content or ''}".rstrip()
    return [{"type": "text", "text": "Error:"}, *content]
