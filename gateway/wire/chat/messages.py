"""Validation of a chat request's messages: roles, content parts, media, tool calls.

Source: OpenAI's `openapi.yaml`, ChatCompletionRequestMessage and its parts. Where providers differ the rule is: what
the gateway itself must understand is checked (roles, known parts, media it may have to convert); words that only the
provider interprets (`detail`, audio formats) and kinds of parts we do not know are passed on, because new ones appear
weekly and the provider refuses what it cannot take.
"""

from __future__ import annotations

import re
from typing import Any

from gateway.wire.chat.plain import PLAIN_ROLES
from gateway.wire.json_schema import Component, Tree, alternatives, or_null, tagged
from gateway.wire.validators import (
    Check,
    Validator,
    filled_string,
    mapping,
    obj,
    object_tree,
    one_of,
    present,
    refuse,
    refuse_type,
    string,
)

ROLES = ("system", "developer", "user", "assistant", "tool", "function")

_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}(?:;[A-Za-z0-9_.+-]+=[^;,]*)*")

# An assistant message without content still says something when it has one of these (reasoning members are how
# several providers want their thoughts played back).
SAID_BESIDE_CONTENT = (
    "tool_calls",
    "function_call",
    "refusal",
    "audio",
    "reasoning_content",
    "reasoning",
    "reasoning_details",
    "images",
)


def check_messages(path: str, given: Any) -> None:
    """Raise CallerFault(400) naming the first field that is wrong; `path` is the list's own (`messages`)."""
    if type(given) is not list or not given:
        refuse_type(path, "an array with at least one message", given)
    for index, message in enumerate(given):
        # The common case first, without building a path: a plain text message of nothing but role and content.
        if (
            type(message) is dict
            and len(message) == 2
            and type(message.get("content")) is str
            and message.get("role") in PLAIN_ROLES
        ):
            continue
        _check_message(f"{path}[{index}]", message)


def _check_message(path: str, message: Any) -> None:
    if type(message) is not dict:
        refuse_type(path, "a message object with a role and content", message)
    role = message.get("role")
    if role is None:
        refuse(f"{path}.role", f"is missing; use {_ROLE_WORDS}", code="missing_required_parameter")
    _role.check(f"{path}.role", role)
    if message.get("name") is not None:
        string.check(f"{path}.name", message["name"])
    if role == "assistant":
        _check_assistant(path, message)
    elif role == "tool":
        _CALL_REFERENCE.check(f"{path}.tool_call_id", message.get("tool_call_id"))
    elif role == "function" and message.get("name") is None:
        refuse(f"{path}.name", "is missing; name the function that was called", code="missing_required_parameter")
    _check_content(f"{path}.content", role, message)


_ROLE_WORDS = "one of " + ", ".join(ROLES)
_role = one_of(ROLES, {"model": "use assistant", "bot": "use assistant", "human": "use user"})


_CALL_REFERENCE = present(
    filled_string,
    "is missing; give the id of the tool call that this message answers",
    "missing_required_parameter",
)


def _check_assistant(path: str, message: dict[str, Any]) -> None:
    for name, check in _ASSISTANT_CHECKS:
        value = message.get(name)
        if value is not None:
            check(f"{path}.{name}", value)
    told = calls_told_twice(message)
    if told:
        refuse(f"{path}.content[{told[0]}].type", "the call stands in tool_calls too; send it there only")


def calls_told_twice(message: dict[str, Any]) -> list[int]:
    """Where the content of an assistant's valid message tells calls that stand in `tool_calls` as well: SDKs that keep
    Anthropic's blocks as the content do so, and an id that comes twice is refused there."""
    content, calls = message.get("content"), message.get("tool_calls")
    if not isinstance(content, list) or not isinstance(calls, list):
        return []
    ids = {call.get("id") for call in calls if isinstance(call, dict) and isinstance(call.get("id"), str)}
    return [
        at
        for at, part in enumerate(content)
        if isinstance(part, dict)
        and part.get("type") == "tool_use"
        and isinstance(part.get("id"), str)
        and part["id"] in ids
    ]


def _check_arguments(path: str, value: Any) -> None:
    if type(value) is not str:
        refuse_type(path, "a string of JSON text", value, "serialise the arguments to a string")


_ARGUMENTS = Validator(_check_arguments, {"type": "string"})
_FUNCTION_CALL = obj({"name": filled_string, "arguments": _ARGUMENTS}, required=("name", "arguments"))
_CUSTOM_CALL = obj({"name": filled_string, "input": string}, required=("name", "input"))


def _check_tool_call(path: str, call: Any) -> None:
    if type(call) is not dict:
        refuse_type(path, "a tool call object", call)
    filled_string.check(f"{path}.id", call.get("id"))
    kind_of_call = call.get("type")
    if kind_of_call is None:
        refuse_type(f"{path}.type", "'function' or 'custom'", None)
    filled_string.check(f"{path}.type", kind_of_call)
    if kind_of_call == "function":
        _FUNCTION_CALL.check(f"{path}.function", call.get("function"))
    elif kind_of_call == "custom":
        _CUSTOM_CALL.check(f"{path}.custom", call.get("custom"))


def _check_tool_calls(path: str, calls: Any) -> None:
    if type(calls) is not list:
        refuse_type(path, "an array of tool calls", calls)
    for index, call in enumerate(calls):
        # The common case first, without building paths.
        if type(call) is dict and call.get("type") == "function" and type(call.get("id")) is str and call["id"]:
            function = call.get("function")
            if type(function) is dict and type(function.get("arguments")) is str:
                name = function.get("name")
                if type(name) is str and name:
                    continue
        _check_tool_call(f"{path}[{index}]", call)


_TOOL_CALL = Component(
    "ChatToolCall",
    {
        "properties": {"id": filled_string.tree},
        "required": ["id"],
        **tagged(
            {
                "function": {"properties": {"function": _FUNCTION_CALL.tree}, "required": ["function"]},
                "custom": {"properties": {"custom": _CUSTOM_CALL.tree}, "required": ["custom"]},
            }
        ),
    },
)
_ASSISTANT: dict[str, Validator] = {
    "refusal": string,
    "audio": obj({"id": filled_string}, required=("id",)),
    "function_call": _FUNCTION_CALL,
    "tool_calls": Validator(_check_tool_calls, {"type": "array", "items": _TOOL_CALL}),
}
_ASSISTANT_CHECKS = tuple((name, member.check) for name, member in _ASSISTANT.items())


def _check_content(path: str, role: str, message: dict[str, Any]) -> None:
    content = message.get("content")
    if type(content) is str:
        return
    if content is None or (content == [] and role == "assistant"):  # one vendor's SDK writes [] beside tool_calls
        if role == "assistant" and any(message.get(name) for name in SAID_BESIDE_CONTENT):
            return
        if role == "function":  # OpenAI's schema allows null here, and only here
            return
        fix = "send text, or tool_calls" if role == "assistant" else "send text; an empty string is allowed"
        refuse_type(path, "a string or an array of content parts", None, fix)
    if type(content) is not list or not content:
        refuse_type(path, "a string or a non-empty array of content parts", content)
    allowed = _PARTS_BY_ROLE[role]
    for index, part in enumerate(content):
        # The common case first, without building paths: every role may send text.
        if type(part) is dict and part.get("type") == "text" and type(part.get("text")) is str:
            continue
        _check_part(f"{path}[{index}]", role, allowed, part)


def _check_part(path: str, role: str, allowed: tuple[str, ...], part: Any) -> None:
    if type(part) is not dict:
        refuse_type(path, "a content part object with a type", part, 'for text send {"type": "text", "text": ...}')
    kind_of_part = part.get("type")
    if type(kind_of_part) is not str or not kind_of_part:
        refuse_type(f"{path}.type", "one of " + ", ".join(allowed), kind_of_part)
    check = _PART_CHECKS.get(kind_of_part)
    if check is None:
        if kind_of_part in _PARTS_OF_THE_OTHER_API:
            fix = _PARTS_OF_THE_OTHER_API[kind_of_part]
            refuse(f"{path}.type", f"'{kind_of_part}' belongs to the Responses API; {fix}", code="invalid_value")
        return
    if kind_of_part not in allowed:
        problem = f"'{kind_of_part}' is not allowed in a message of role {role}; use one of {', '.join(allowed)}"
        refuse(f"{path}.type", problem, code="invalid_value")
    if part.get(kind_of_part) is None:
        refuse(
            f"{path}.{kind_of_part}",
            f"is missing; a part of type {kind_of_part} needs it",
            code="missing_required_parameter",
        )
    check(f"{path}.{kind_of_part}", part[kind_of_part])


def check_media_url(path: str, url: Any) -> None:
    """An http(s) URL with a host, or a `data:` URL with a media type and valid base64."""
    if type(url) is not str or not url:
        refuse_type(path, "an http(s) or data: URL", url)
    head = url[:5].lower()
    if head == "data:":
        _check_data_url(path, url)
        return
    scheme, _, rest = url.partition("://")
    if scheme.lower() not in ("http", "https") or not rest or rest[0] in "/?#" or len(url) > 8192:
        refuse(path, "expected an http(s) or data: URL of at most 8192 characters (data: excepted)", code="invalid_url")
    if not url.isprintable() or " " in url:
        refuse(path, "a URL has no spaces or control characters; percent-encode them", code="invalid_url")


def _check_data_url(path: str, url: str) -> None:
    comma = url.find(",", 5, 1024)  # a media type is short: do not search megabytes of base64 for a comma
    head = url[5:comma] if comma > 0 else ""
    if not head.lower().endswith(";base64") or _MEDIA_TYPE.fullmatch(head, 0, len(head) - 7) is None:
        refuse(
            path,
            "a data: URL needs a media type and base64 data, as in 'data:image/png;base64,iVBORw0...'",
            code="invalid_base64",
        )
    check_base64(path, url[comma + 1 :])


def check_base64(path: str, data: Any) -> None:
    """Standard base64 with padding (RFC 4648, section 4), not empty. Checked by alphabet and length, not decoded:
    20 MB take about 10 ms, a strict decoder twice that and as much memory again."""
    if type(data) is not str or not data:
        refuse_type(path, "base64 data", data)
    body = data[:-2] + data[-2:].rstrip("=")
    if len(data) % 4 or not body.isascii() or body.encode("ascii").translate(None, _BASE64):
        refuse(
            path,
            "not valid base64: use the standard alphabet (+ and /), '=' padding, no line breaks",
            code="invalid_base64",
        )


_URL_START = r"^(?:[hH][tT][tT][pP][sS]?://[^/?#]|[dD][aA][tT][aA]:)"
_MEDIA_URL = Validator(check_media_url, {"type": "string", "pattern": _URL_START}).about(
    "An http(s) URL, or a `data:` URL with a media type and base64."
)
_BASE64_TREE = {
    "type": "string",
    "minLength": 1,
    "contentEncoding": "base64",
    "pattern": "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
}
_IMAGE = obj(
    {"url": _MEDIA_URL, "detail": filled_string},
    required=("url",),
    expected="an object with a url",
    fix='send {"url": ...}',
)


def _check_bare_base64(path: str, data: Any) -> None:
    if type(data) is str and data[:5].lower() == "data:":
        refuse(path, "expected bare base64 data; leave out the 'data:...,' head", code="invalid_base64")
    check_base64(path, data)


_AUDIO_FORMAT = present(
    filled_string, "is missing; name the format of the audio, such as wav or mp3", "missing_required_parameter"
)
_AUDIO = obj(
    {"data": Validator(_check_bare_base64, _BASE64_TREE), "format": _AUDIO_FORMAT}, required=("data", "format")
)


def _check_file(path: str, file: Any) -> None:
    mapping.check(path, file)
    data, file_id = file.get("file_data"), file.get("file_id")
    if data is None and file_id is None:
        refuse(path, "needs file_data (base64) or file_id", code="missing_required_parameter")
    if file_id is not None:
        filled_string.check(f"{path}.file_id", file_id)
    if file.get("filename") is not None:
        string.check(f"{path}.filename", file["filename"])
    if data is not None:
        # Both spellings are in use: OpenAI documents bare base64 and shows a data: URL in its examples.
        # A URL is taken by several compatible servers.
        if type(data) is str and (data[:5].lower() == "data:" or data[:8].lower().startswith(("http://", "https://"))):
            check_media_url(f"{path}.file_data", data)
        else:
            check_base64(f"{path}.file_data", data)


_FILE = Validator(
    _check_file,
    {
        **object_tree(
            {
                "file_data": Validator(check_media_url, {"type": "string", "minLength": 1}).about(
                    "Base64, or an http(s) or `data:` URL."
                ),
                "file_id": filled_string,
                "filename": string,
            }
        ),
        "anyOf": [{"required": [name], "properties": {name: {"type": "string"}}} for name in ("file_data", "file_id")],
    },
)

_PARTS: dict[str, Validator] = {
    "text": string,
    "refusal": string,
    "image_url": _IMAGE,
    "input_audio": _AUDIO,
    "file": _FILE,
}
_PART_CHECKS: dict[str, Check] = {word: part.check for word, part in _PARTS.items()}

# Tool results may show images and files: OpenAI's own API takes text only, others take media.
_PARTS_BY_ROLE: dict[str, tuple[str, ...]] = {
    "system": ("text",),
    "developer": ("text",),
    "user": ("text", "image_url", "input_audio", "file"),
    "assistant": ("text", "refusal"),
    "tool": ("text", "image_url", "input_audio", "file"),
    "function": ("text",),
}

_PARTS_OF_THE_OTHER_API = {
    "input_text": "use 'text'",
    "output_text": "use 'text'",
    "input_image": "use 'image_url'",
    "input_file": "use 'file'",
}


def _parts_tree(role: str) -> Tree:
    allowed = _PARTS_BY_ROLE[role]
    variants = {word: {"properties": {word: _PARTS[word].tree}, "required": [word]} for word in allowed}
    refused = [word for word in (*_PARTS, *_PARTS_OF_THE_OTHER_API) if word not in allowed]
    return {"type": "array", "minItems": 1, "items": tagged(variants, refused=refused)}


def _message_tree(role: str) -> Tree:
    """What `_check_message` takes for a role."""
    content = alternatives({"type": "string"}, _parts_tree(role))
    properties: dict[str, Any] = {"role": {"type": "string", "const": role}, "name": or_null({"type": "string"})}
    tree: dict[str, Any] = {"type": "object", "properties": properties, "required": ["role", "content"]}
    properties["content"] = content
    if role == "tool":
        properties["tool_call_id"] = filled_string.tree
        tree["required"] = ["role", "content", "tool_call_id"]
    elif role == "function":
        properties["name"] = {"type": "string"}
        properties["content"] = or_null(content)
        tree["required"] = ["role", "name"]
    elif role == "assistant":
        properties.update({name: or_null(member.tree) for name, member in _ASSISTANT.items()})
        properties["content"] = alternatives(*content["anyOf"], {"type": "array", "maxItems": 0}, {"type": "null"})
        tree["required"] = ["role"]
        said = {"required": ["content"], "properties": {"content": content}}
        instead = [{"required": [name], "properties": {name: _SAYS_SOMETHING}} for name in SAID_BESIDE_CONTENT]
        tree["anyOf"] = [said, *instead]
    return tree


_SAYS_SOMETHING: Tree = {"not": {"enum": [None, "", False, 0, [], {}]}}
_MESSAGE = Component("ChatMessage", alternatives(*(_message_tree(role) for role in ROLES)))

messages = Validator(check_messages, {"type": "array", "minItems": 1, "items": _MESSAGE})
"""The messages of a request."""
