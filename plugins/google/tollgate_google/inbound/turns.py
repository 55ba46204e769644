"""The `systemInstruction` and `contents` of a generateContent request as chat messages.

Source: Google's API reference (`Content`, `Part`), its pages on function calling and thought signatures. Results of
functions name their call by `id`, or by name and order alone; in chat every result is a message of its own with the
call's id, so calls without one get theirs here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from gateway.api import Notes, activity_event, as_dict, as_list, as_text, dict_of, text_of
from tollgate_google.details import SIGNATURE, WHOLE_PART
from tollgate_google.draft import refuse

from .sealing import details_in, envelope_in
from .spelling import camel

Part = dict[str, Any]
Message = dict[str, Any]

_SOUND = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mp3": "mp3", "audio/mpeg": "mp3"}
"""Media types of the sounds that `input_audio` takes."""

_FRAME = frozenset({
    "text", "thought", "thoughtSignature", "inlineData", "fileData", "functionCall", "functionResponse",
})  # fmt: skip
_CALL_FRAME = frozenset({"id", "name", "args"})
_RESULT_FRAME = frozenset({"id", "name", "response", "parts"})


def chat_messages(notes: Notes, system: Any, contents: Any) -> list[Message]:
    """All messages, the system's first. Raises CallerFault that names what is malformed."""
    reader = _Reader(notes)
    if system is not None:
        reader.system(system)
    if isinstance(contents, dict):
        contents = [contents]  # Google takes a single one for a list of one
    if not isinstance(contents, list) or not contents:
        raise refuse("contents", "must be an array with at least one content")
    for at, content in enumerate(contents):
        path = f"contents[{at}]"
        content = as_dict(content, path)
        role = content.get("role") or "user"
        parts = _parts(content, path)
        if role == "model":
            reader.model(parts, f"{path}.parts")
        elif role in ("user", "function"):
            reader.user(parts, f"{path}.parts")
        elif role == "system":
            reader.system(content)
        else:
            raise refuse(f"{path}.role", f"{str(role)[:40]!r} is not a role; use user or model")
    reader.end_turn()
    return reader.messages


def _parts(content: dict[str, Any], path: str) -> list[Any]:
    """The parts of a content; Google takes a single one for a list of one, and its documents write it so."""
    parts = content.get("parts", [])
    return [parts] if isinstance(parts, dict) else as_list(parts, f"{path}.parts")


def texts_of(content: Any, path: str) -> list[str]:
    """The texts of a content that can hold nothing else: a string, a part, or an object with `parts`."""
    if isinstance(content, str):
        return [content]
    found = as_dict(content, path)
    parts = [found] if "text" in found else _parts(found, path)
    out = []
    for at, part in enumerate(parts):
        where = f"{path}.parts[{at}]"
        part = as_dict(part, where)
        if "text" not in part:
            raise refuse(where, "must be a text")
        out.append(as_text(part["text"], f"{where}.text"))
    return out


class _Reader:
    """waiting: calls of the last model turn without a result, as (id, name)."""

    def __init__(self, notes: Notes) -> None:
        self.notes = notes
        self.messages: list[Message] = []
        self.waiting: list[tuple[str, str]] = []
        self._turn: _Answer | None = None
        self._made = 0

    def system(self, content: Any) -> None:
        self.end_turn()
        text = "\n\n".join(text for text in texts_of(content, "systemInstruction") if text)
        if text:
            self.messages.append({"role": "system", "content": text})

    def user(self, parts: list[Any], path: str) -> None:
        self.end_turn()
        said: list[Part] = []
        results = False
        for at, part in enumerate(parts):
            where = f"{path}[{at}]"
            part = camel(as_dict(part, where))
            if "functionResponse" in part:
                results = True
                self._result(camel(as_dict(part["functionResponse"], f"{where}.functionResponse")), where)
            else:
                said += user_part(self.notes, part, where)
        if said or not results:
            self.messages.append({"role": "user", "content": _plain(said)})

    def _result(self, found: Part, path: str) -> None:
        """Append the tool message, with its media: the gateway retells them where they are not taken."""
        where = f"{path}.functionResponse"
        self.notes.report_rest(found, _RESULT_FRAME, "contents[].parts[].functionResponse")
        name = as_text(found.get("name"), f"{where}.name")
        call = self._answered(found.get("id"), name, where)
        response = as_dict(found.get("response") or {}, f"{where}.response")
        media: list[Part] = []
        for at, part in enumerate(as_list(found.get("parts") or [], f"{where}.parts")):
            media += user_part(self.notes, camel(as_dict(part, f"{where}.parts[{at}]")), f"{where}.parts[{at}]")
        text = orjson.dumps(response).decode()
        content = [{"type": "text", "text": text}, *media] if media else text
        self.messages.append({"role": "tool", "tool_call_id": call, "content": content})

    def _answered(self, identity: Any, name: str, path: str) -> str:
        """The id of the call that a result is for."""
        for entry in self.waiting:
            if (entry[0] == identity) if isinstance(identity, str) and identity else (entry[1] == name):
                self.waiting.remove(entry)
                return entry[0]
        raise refuse(path, f"no call of {name[:80]!r} in the turn before it waits for this result")

    def model(self, parts: list[Any], path: str) -> None:
        """Contents that follow each other are one turn: Google's clients keep each piece of a stream as a content."""
        if self._turn is None:
            self._turn = _Answer(self.notes, self._mint)
        for at, part in enumerate(parts):
            where = f"{path}[{at}]"
            self._turn.add(camel(as_dict(part, where)), where)

    def end_turn(self) -> None:
        """Append what the model said since somebody else did."""
        if self._turn is None:
            return
        message = self._turn.message()
        self.waiting = [(call["id"], call["function"]["name"]) for call in self._turn.calls]
        self._turn = None
        if message.keys() > {"role", "content"} or message["content"]:
            self.messages.append(message)

    def _mint(self) -> str:
        self._made += 1
        return f"call_{self._made}"


class _Answer:
    """One model turn as an assistant message."""

    def __init__(self, notes: Notes, mint: Callable[[], str]) -> None:
        self.notes = notes
        self.calls: list[Part] = []
        self._mint = mint
        self._texts: list[str] = []
        self._length = 0
        self._thoughts: list[str] = []
        self._images: list[Part] = []
        self._details: list[Part] = []
        self._served: list[Part] = []

    def add(self, part: Part, path: str) -> None:
        signature = part.get("thoughtSignature")
        envelope = envelope_in(signature)
        if envelope:
            self._details += details_in(envelope, f"{path}.thoughtSignature")
        own = "" if envelope or not isinstance(signature, str) else signature
        if "functionCall" in part:
            self._call(camel(as_dict(part["functionCall"], f"{path}.functionCall")), own, f"{path}.functionCall")
        elif "text" in part:
            self._say(as_text(part["text"], f"{path}.text"), part.get("thought") is True, own)
        elif "inlineData" in part and _media_type(part).startswith("image/"):
            self._images += user_part(self.notes, part, path)
        elif part.keys() - {"thought", "thoughtSignature"}:
            # Google's own tools and what is yet unknown: kept for a provider of Google's, and told in words to others.
            detail = {"type": WHOLE_PART, "part": part, "at": self._length, "calls": len(self.calls)}
            item = served_item(part, f"gs_{len(self._details)}")
            if item is None:
                self.notes.report(f"contents[].parts[].{next(iter(part))[:64]}")
            else:
                self._served.append(activity_event(item, self._length))
                detail["activity"] = item["id"]
            self._details.append(detail)

    def _say(self, text: str, thought: bool, signature: str) -> None:
        start = self._length
        if thought:
            self._thoughts.append(text)
            where: Part = {"part": "thought", "text": text, "at": start, "calls": len(self.calls)}
        else:
            self._texts.append(text)
            self._length += len(text)
            where = {"part": "text", "start": start, "end": self._length}
        if signature:
            self._details.append({"type": SIGNATURE, "signature": signature, **where})

    def _call(self, found: Part, signature: str, path: str) -> None:
        self.notes.report_rest(found, _CALL_FRAME, "contents[].parts[].functionCall")
        identity = found.get("id") or self._mint()
        arguments = orjson.dumps(as_dict(found.get("args") or {}, f"{path}.args")).decode()
        call: Part = {
            "id": as_text(identity, f"{path}.id"),
            "type": "function",
            "function": {"name": as_text(found.get("name"), f"{path}.name"), "arguments": arguments},
        }
        if signature:
            self._details.append({"type": SIGNATURE, "signature": signature, "part": "tool_call", "id": call["id"]})
        self.calls.append(call)

    def message(self) -> Message:
        out: Message = {"role": "assistant", "content": "".join(self._texts) or (None if self.calls else "")}
        if self._thoughts:
            out["reasoning_content"] = "".join(self._thoughts)
        if self._details:
            out["reasoning_details"] = self._details
        if self._served:
            out["x_gateway"] = self._served
        if self._images:
            out["images"] = self._images
        if self.calls:
            out["tool_calls"] = self.calls
        return out


def served_item(part: Part, identity: str) -> Part | None:
    """What Google's servers did, as an item of OpenAI's Responses API; None for a part that tells of something else.

    Source: Google's API reference (`ExecutableCode`, `CodeExecutionResult`, `ToolCall`, `ToolResponse`).
    """
    code, result = camel(dict_of(part.get("executableCode"))), camel(dict_of(part.get("codeExecutionResult")))
    if code or result:
        outputs = [{"type": "logs", "logs": text_of(result.get("output"))}] if result else []
        return {"id": identity, "type": "code_interpreter_call", "code": text_of(code.get("code")), "outputs": outputs}
    called, brought = camel(dict_of(part.get("toolCall"))), camel(dict_of(part.get("toolResponse")))
    if not called and not brought:
        return None
    item: Part = {"id": identity, "type": "mcp_call", "name": text_of((called or brought).get("toolType"))}
    if called:
        item["arguments"] = orjson.dumps(called.get("args") or {}).decode()
    return {**item, "output": brought.get("response")} if brought else item


def user_part(notes: Notes, part: Part, path: str) -> list[Part]:
    """The parts of a user message for one part of Google's (lowerCamelCase). Raises CallerFault that names it."""
    notes.report_rest(part, _FRAME, "contents[].parts[]")
    if "text" in part:
        return [{"type": "text", "text": as_text(part["text"], f"{path}.text")}]
    if "inlineData" in part:
        held = camel(as_dict(part["inlineData"], f"{path}.inlineData"))
        media = as_text(held.get("mimeType"), f"{path}.inlineData.mimeType").lower()
        # Google's clients write bytes in the URL-safe alphabet; in a data URL everybody expects the standard one.
        data = as_text(held.get("data"), f"{path}.inlineData.data").replace("-", "+").replace("_", "/")
        if media in _SOUND:
            return [{"type": "input_audio", "input_audio": {"data": data, "format": _SOUND[media]}}]
        url = f"data:{media};base64,{data}"
        if media.startswith("image/"):
            return [{"type": "image_url", "image_url": {"url": url}}]
        return [{"type": "file", "file": {"file_data": url, "filename": _name(held, media)}}]
    if "fileData" in part:
        return [_file(notes, camel(as_dict(part["fileData"], f"{path}.fileData")), f"{path}.fileData")]
    if part.keys() & {"functionCall"}:
        raise refuse(path, "a function call stands in a content with the role model")
    if not part:
        raise refuse(path, "is empty; say text, inlineData, fileData or functionResponse")
    notes.blame(path, f"there is no part with {next(iter(part))[:60]!r} elsewhere")
    return [{"type": "text", "text": orjson.dumps(part).decode()}]  # so that its size is reckoned with


def _file(notes: Notes, held: Part, path: str) -> Part:
    url = as_text(held.get("fileUri"), f"{path}.fileUri")
    media = held.get("mimeType")
    media = media.lower() if isinstance(media, str) else ""
    if not url.startswith(("https://", "http://")) or "generativelanguage.googleapis.com" in url:
        notes.blame(f"{path}.fileUri", "a file in Google's store")
        return {"type": "text", "text": url}
    if media.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": url}}
    return {"type": "file", "file": {"file_data": url, "file_url": url, "filename": _name(held, media)}}


def _name(held: Part, media: str) -> str:
    name = held.get("displayName")
    return name if isinstance(name, str) and name else f"file.{media.rpartition('/')[2] or 'bin'}"


def _media_type(part: Part) -> str:
    held = part.get("inlineData")
    found = camel(held).get("mimeType") if isinstance(held, dict) else None
    return found.lower() if isinstance(found, str) else ""


def _plain(parts: list[Part]) -> str | list[Part]:
    """Texts alone as a string, which every server takes."""
    if all(part["type"] == "text" for part in parts):
        return "\n\n".join(part["text"] for part in parts)
    return parts
