"""The conversation: the hub's own format, less what Moonshot does not know, with what it asks for.

Sources: Moonshot's API reference (messages), its guides on vision ("URL-formatted images: not supported"), Partial Mode
and thinking models (the assistant's `reasoning_content` must come back while tools are called), and its error "the
message at position 3 with role 'assistant' must not be empty".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.api import arguments_json, as_dict, as_list, as_text

from .draft import Draft, refuse

Message = dict[str, Any]

NO_OUTPUT = "(no output)"
"""What stands for an empty tool result, which Moonshot refuses."""

NO_THOUGHT = " "
"""What stands for thoughts that the caller did not keep: a call without any is refused by models that think."""

_MEDIA = ("image_url", "video_url")
_NOT_SENT = frozenset({"annotations", "citations", "refusal", "reasoning", "reasoning_details", "cache_control"})
_ROLES = {"developer": "system", "system": "system", "user": "user", "assistant": "assistant", "tool": "tool"}


def media_urls(body: Mapping[str, Any]) -> list[str]:
    """The addresses in a chat body whose content the gateway has to fetch and put in their place as data URLs.
    Never raises."""
    messages = body.get("messages")
    found: list[str] = []
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, Mapping) else None
        for part in content if isinstance(content, list) else ():
            url = _url(part) if isinstance(part, Mapping) else None
            if url is not None and _is_address(url) and url not in found:
                found.append(url)
    return found


def translate_messages(draft: Draft) -> list[Message]:
    """The messages to send. Raises CallerFault that names the first one that cannot be."""
    listed = as_list(draft.body.get("messages"), "messages")
    return [sent for at, message in enumerate(listed) for sent in _translate(draft, message, f"messages[{at}]")]


def _translate(draft: Draft, message: Any, path: str) -> Iterator[Message]:
    message = as_dict(message, path)
    role = message.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise refuse(f"{path}.role", "must be system, developer, user, assistant or tool")
    sent = {key: value for key, value in message.items() if key not in _NOT_SENT and value is not None}
    sent["role"] = _ROLES[role]
    if message.get("cache_control") is not None:
        draft.report("cache_control", "Moonshot caches by itself; leave the marks out")
    if isinstance(sent.get("content"), list):
        parts = [_part(draft, part, f"{path}.content[{at}]") for at, part in enumerate(sent["content"])]
        # An empty text beside others ("text content is empty") makes Moonshot refuse the message.
        sent["content"] = [part for part in parts if part.get("type") != "text" or part.get("text")] or parts
    if role == "assistant":
        if _finish_assistant(draft, message, sent, path):
            yield sent
        return
    if role == "tool":
        as_text(sent.get("tool_call_id"), f"{path}.tool_call_id")
        sent["content"] = sent.get("content") or NO_OUTPUT
    yield sent


def _finish_assistant(draft: Draft, message: Message, sent: Message, path: str) -> bool:
    """Complete an assistant message; False when it says nothing and must be left out."""
    for name in ("audio", "images"):
        if sent.pop(name, None):
            draft.report(f"messages[].{name}", "Moonshot takes no such answers back")
    if not sent.get("content") and message.get("refusal"):
        sent["content"] = as_text(message["refusal"], f"{path}.refusal")
    if not sent.get("reasoning_content"):
        thought = _thought(message)
        if thought:
            sent["reasoning_content"] = thought
    calls = sent.pop("tool_calls", None)
    if not calls:
        return bool(sent.get("content")) or bool(sent.get("partial"))
    listed = as_list(calls, f"{path}.tool_calls")
    sent["tool_calls"] = [_call(draft, call, f"{path}.tool_calls[{at}]") for at, call in enumerate(listed)]
    sent["content"] = sent.get("content") or ""
    if draft.thinks and not sent.get("reasoning_content"):
        sent["reasoning_content"] = NO_THOUGHT
    return True


def _thought(message: Message) -> str:
    """The text of thoughts that came under another name: `reasoning`, or details that have a text."""
    text = message.get("reasoning")
    if isinstance(text, str):
        return text
    details = message.get("reasoning_details")
    texts = [entry.get("text") for entry in details if isinstance(entry, dict)] if isinstance(details, list) else []
    return "".join(text for text in texts if isinstance(text, str))


def _call(draft: Draft, call: Any, path: str) -> dict[str, Any]:
    sent = dict(as_dict(call, path))
    if "function" not in sent:
        raise refuse(f"{path}.type", "Moonshot has no free-form tools; only function calls can be given back")
    function = as_dict(sent["function"], f"{path}.function")
    as_text(function.get("name"), f"{path}.function.name")
    # Moonshot wants JSON, where a tool may have been called with an empty text, or with half of one.
    arguments = arguments_json(function.get("arguments"), f"{path}.function.arguments")
    sent["function"] = {**function, "arguments": arguments}
    return sent


def _part(draft: Draft, part: Any, path: str) -> dict[str, Any]:
    sent = dict(as_dict(part, path))
    kind = sent.get("type")
    if sent.pop("cache_control", None) is not None:
        draft.report("cache_control", "Moonshot caches by itself; leave the marks out")
    if kind == "refusal":
        return {"type": "text", "text": as_text(sent.get("refusal"), f"{path}.refusal")}
    if kind == "file":
        raise refuse(path, "Moonshot takes no files in messages; send their text, or pages as pictures")
    if kind == "input_audio":
        raise refuse(path, "Moonshot's models do not hear; send a transcript")
    url = _url(sent)
    if url is not None and _is_address(url):
        where = f"{path}.{kind}.url" if isinstance(sent[str(kind)], dict) else f"{path}.{kind}"
        raise refuse(where, "Moonshot takes no addresses of media; send the data as a data: URL")
    return sent


def _url(part: Mapping[str, Any]) -> str | None:
    """The URL of a picture or video, which stands in an object or alone."""
    kind = part.get("type")
    media = part.get(kind) if isinstance(kind, str) and kind in _MEDIA else None
    url = media.get("url") if isinstance(media, Mapping) else media
    return url if isinstance(url, str) else None


def _is_address(url: str) -> bool:
    return url[:8].lower().startswith(("http://", "https://"))
