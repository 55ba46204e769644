"""Thoughts of earlier turns, at servers that copied OpenAI's dialect.

OpenAI's own has no place for them. Of the copies most take back as `reasoning_content` (DeepSeek, Qwen, vLLM, SGLang)
what their model thought, some under the name `reasoning`, some as OpenRouter's `reasoning_details`, whose types begin
with `reasoning.`; Groq refuses a request that has either name. DeepSeek's models from V4 on refuse one in which an
assistant's message is without them while they think ("The `reasoning_content` in the thinking mode must be passed back
to the API"), which a conversation that began with another model always has; an empty text will do.

Details of other types are those of other plugins' providers (signatures, redacted blocks), which nobody here can read:
a server that checks `reasoning_details` refuses them.
"""

from __future__ import annotations

from typing import Any, Literal

from gateway.api import Call
from tollgate_openai.members import note_member

Thoughts = Literal["as_given", "required", "reasoning", "refused"]

_OWN = "reasoning."
_NAMES = ("reasoning_content", "reasoning")


def mend_thoughts(body: dict[str, Any], call: Call, how: Thoughts) -> None:
    """Write the thoughts in `body["messages"]` as the server takes them; the caller's own list is never touched.

    how: `as_given`: under the name they came with. `required`: as `reasoning_content` in every assistant's message,
    empty where there are none. `reasoning`: under that name. `refused`: see `without_foreign_members`, nothing here.
    Notes in `call.dropped` that details were left out. Raises CallerFault instead when the call is strict.
    """
    messages = body.get("messages")
    if how == "refused" or not isinstance(messages, list):
        return
    if how == "required" and _is_off(body):
        how = "as_given"
    if how == "as_given" and not any(type(message) is dict and "reasoning_details" in message for message in messages):
        return
    mended = [_mended(message, f"messages[{at}]", call, how) for at, message in enumerate(messages)]
    if any(new is not old for new, old in zip(mended, messages, strict=True)):
        body["messages"] = mended


def _is_off(body: dict[str, Any]) -> bool:
    thinking = body.get("thinking")
    return body.get("reasoning_effort") == "none" or (isinstance(thinking, dict) and thinking.get("type") == "disabled")


def _mended(message: Any, path: str, call: Call, how: Thoughts) -> Any:
    if not isinstance(message, dict) or message.get("role") != "assistant":
        return message
    changed = _without_others_details(message, path, call)
    if how == "required":
        if not isinstance(changed.get("reasoning_content"), str):
            changed = {**changed, "reasoning_content": _text(changed)}
    elif how == "reasoning" and changed.get("reasoning_content"):
        text = _text(changed)
        changed = {key: value for key, value in changed.items() if key not in _NAMES}
        changed["reasoning"] = text
    return changed


def _without_others_details(message: dict[str, Any], path: str, call: Call) -> dict[str, Any]:
    """The message without details of other providers. Their text, where it stands nowhere else, is told as thoughts."""
    details = message.get("reasoning_details")
    if not isinstance(details, list) or not any(_is_foreign(entry) for entry in details):
        return message
    note_member("reasoning_details", path, call)
    changed = {key: value for key, value in message.items() if key != "reasoning_details"}
    kept = [entry for entry in details if not _is_foreign(entry)]
    if kept:
        changed["reasoning_details"] = kept
    if not _text(changed):
        texts = [entry["text"] for entry in details if _is_foreign(entry) and isinstance(entry.get("text"), str)]
        if any(texts):
            changed["reasoning_content"] = "\n\n".join(filter(None, texts))
    return changed


def _is_foreign(entry: Any) -> bool:
    kind = entry.get("type") if isinstance(entry, dict) else None
    return isinstance(kind, str) and "." in kind and not kind.startswith(_OWN)


def _text(message: dict[str, Any]) -> str:
    return next((message[name] for name in _NAMES if isinstance(message.get(name), str) and message[name]), "")
