"""Content parts between the two dialects, both ways. One row per part type.

Members of a part that neither table names (`prompt_cache_breakpoint`, ...) travel on. Parts of
unknown types are passed on as they are: the upstream knows better what it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Part = dict[str, Any]


def _rest(part: Mapping[str, Any], *read: str) -> Part:
    return {key: value for key, value in part.items() if key not in read and key != "type" and value is not None}


# -- Responses -> chat ------------------------------------------------------------------------------------------


def _text(part: Mapping[str, Any]) -> Part:
    return {"type": "text", "text": part["text"], **_rest(part, "text", "annotations", "logprobs", "parsed")}


def _image(part: Mapping[str, Any]) -> Part:
    if not part.get("image_url"):
        # Chat Completions has no image by file id; a file part is the nearest that it has.
        return {
            "type": "file",
            "file": {"file_id": part["file_id"]},
            **_rest(part, "image_url", "file_id", *_auto(part)),
        }
    image: Part = {"url": part["image_url"]}
    if part.get("detail") is not None:
        image["detail"] = part["detail"]
    return {"type": "image_url", "image_url": image, **_rest(part, "image_url", "file_id", "detail")}


def _auto(part: Mapping[str, Any]) -> tuple[str, ...]:
    """`detail` need not be said when it is `auto`; chat has no place for it in files."""
    return ("detail",) if part.get("detail") == "auto" else ()


_FILE = ("file_id", "filename", "file_data", "file_url")


def _file(part: Mapping[str, Any]) -> Part:
    # `file_url` is not in OpenAI's chat format; providers that can fetch documents read it from there.
    return {
        "type": "file",
        "file": {key: part[key] for key in _FILE if part.get(key)},
        **_rest(part, *_FILE, *_auto(part)),
    }


def _video(part: Mapping[str, Any]) -> Part:
    return {"type": "video_url", "video_url": {"url": part["video_url"]}, **_rest(part, "video_url")}


_TO_CHAT: dict[str, Callable[[Mapping[str, Any]], Part]] = {
    "input_text": _text,
    "output_text": _text,
    "text": _text,
    "input_image": _image,
    "input_file": _file,
    "input_video": _video,
}


def content_to_chat(content: str | Sequence[Mapping[str, Any]]) -> str | list[Part]:
    """Content of a Responses message or tool output as chat content. A lone plain text part becomes a string."""
    if isinstance(content, str):
        return content
    parts = [_convert(part, _TO_CHAT) for part in content]
    return _plain(parts) if len(parts) == 1 else parts


def _plain(parts: list[Part]) -> str | list[Part]:
    """A single text part without further members as the string it is."""
    part = parts[0]
    return part["text"] if part.get("type") == "text" and len(part) == 2 else parts


def _convert(part: Mapping[str, Any], table: Mapping[str, Callable[[Mapping[str, Any]], Part]]) -> Part:
    convert = table.get(str(part.get("type")))
    return dict(part) if convert is None else convert(part)


def text_of(content: Any) -> str:
    """The text of chat content: the string, or its text parts joined."""
    if isinstance(content, str):
        return content
    texts = [part.get("text") for part in content or () if isinstance(part, Mapping) and part.get("type") == "text"]
    return "".join(text for text in texts if isinstance(text, str))


# -- chat -> Responses ------------------------------------------------------------------------------------------


def _from_text(part: Mapping[str, Any]) -> Part:
    return {"type": "input_text", "text": part["text"], **_rest(part, "text")}


def _from_image(part: Mapping[str, Any]) -> Part:
    image = part["image_url"]
    url, detail = (image, None) if isinstance(image, str) else (image["url"], image.get("detail"))
    return {"type": "input_image", "image_url": url, "detail": detail or "auto", **_rest(part, "image_url")}


def _from_file(part: Mapping[str, Any]) -> Part:
    file = _rest(part["file"])
    data = file.get("file_data")
    if isinstance(data, str) and data.startswith(("http://", "https://")):
        # Chat has no place for a document's address, so it stands where the content would; one source only is taken.
        del file["file_data"]
        file.setdefault("file_url", data)
    return {"type": "input_file", **file, **_rest(part, "file")}


def _from_video(part: Mapping[str, Any]) -> Part:
    video = part["video_url"]
    return {"type": "input_video", "video_url": video if isinstance(video, str) else video["url"]}


_FROM_CHAT: dict[str, Callable[[Mapping[str, Any]], Part]] = {
    "text": _from_text,
    "image_url": _from_image,
    "file": _from_file,
    "video_url": _from_video,
}


def content_from_chat(content: Any) -> str | list[Part]:
    """Chat content of a user, system, developer or tool message as Responses content."""
    if content is None or isinstance(content, str):
        return content or ""
    return [_convert(part, _FROM_CHAT) for part in content]


def assistant_content_from_chat(content: Any) -> list[Part]:
    """Chat content of an assistant message as parts of an output message: output_text and refusal."""
    parts = [{"type": "text", "text": content}] if isinstance(content, str) and content else content
    made: list[Part] = []
    for part in parts or ():
        if part.get("type") == "text":
            made.append({"type": "output_text", "annotations": [], "logprobs": [], "text": part["text"]})
        else:
            made.append(dict(part))
    return made
