"""Content parts of a chat message to content blocks of the Messages API.

Sources: OpenAI's API reference (chat completion content parts); Anthropic's API reference, "Create a Message",
and its pages on vision (JPEG, PNG, GIF, WebP; base64 or URL), PDF support and the Files API.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_to_bytes

from gateway.api import as_dict, as_text

from .draft import Draft, refuse

FILES_BETA = "files-api-2025-04-14"

_DATA_URL = re.compile(r"data:([^;,]*)((?:;[^;,]*)*),", re.ASCII)
_IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_MAGIC = (("iVBORw0KGgo", "image/png"), ("/9j/", "image/jpeg"), ("R0lGOD", "image/gif"), ("UklGR", "image/webp"))
"""How base64 of each format begins. Anthropic refuses an image whose media type is wrong; OpenAI does not."""
_PDF = ("JVBERi0", "application/pdf")

Block = dict[str, Any]


def blocks_of(draft: Draft, content: Any, path: str) -> list[Block]:
    """The blocks of a message's `content`: a string, a list of parts, or None.

    Parts of a type that is not OpenAI's are taken for Anthropic's own blocks and travel on unchanged.
    Raises CallerFault that names the part for what Anthropic cannot take (audio, video, other image formats).
    """
    if content is None:
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise refuse(path, "must be a string or an array of content parts")
    return [_block(draft, part, f"{path}[{at}]") for at, part in enumerate(content)]


def _block(draft: Draft, part: Any, path: str) -> Block:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    part = as_dict(part, path)
    kind = as_text(part.get("type"), f"{path}.type")
    make = _MAKERS.get(kind)
    if make is None:
        return dict(part)
    block = make(draft, part, path)
    # What is left beside the translated member (cache_control, title, context, citations) is Anthropic's own.
    rest = {key: value for key, value in part.items() if key not in ("type", kind) and value is not None}
    return {**rest, **block}


def _text(draft: Draft, part: Block, path: str) -> Block:
    return {"type": "text", "text": as_text(part.get("text"), f"{path}.text")}


def _refusal(draft: Draft, part: Block, path: str) -> Block:
    return {"type": "text", "text": as_text(part.get("refusal"), f"{path}.refusal")}


def _image(draft: Draft, part: Block, path: str) -> Block:
    image = part.get("image_url")
    if isinstance(image, str):
        image = {"url": image}
    image = as_dict(image, f"{path}.image_url")
    if image.get("detail") not in (None, "auto"):
        draft.report("messages[].content[].image_url.detail", "Anthropic has no levels of image detail; leave it out")
    return _from_url(as_text(image.get("url"), f"{path}.image_url.url"), f"{path}.image_url.url", "image")


def _file(draft: Draft, part: Block, path: str) -> Block:
    file = as_dict(part.get("file"), f"{path}.file")
    name = file.get("filename")
    file_id = file.get("file_id")
    link = file.get("file_url") or file.get("url")
    if file_id:
        if not str(file_id).startswith("file_"):
            raise refuse(f"{path}.file.file_id", "this is not a file of Anthropic's; send the file itself in file_data")
        draft.add_beta(FILES_BETA)
        block: Block = {"type": "document", "source": {"type": "file", "file_id": file_id}}
    elif link:
        block = _from_url(as_text(link, f"{path}.file.file_url"), f"{path}.file.file_url", "document")
    else:
        data = as_text(file.get("file_data"), f"{path}.file.file_data")
        # Some clients put an address there, which is no base64.
        if not data.startswith(("data:", "https://", "http://")):
            data = f"data:{_media_of(name)};base64,{data}"
        block = _from_url(data, f"{path}.file.file_data", "document")
    if block["type"] == "document" and isinstance(name, str) and name:
        block["title"] = name
    return block


def _media_of(name: Any) -> str:
    """The media type of bare base64, by its file's name; PDF unless the name says text."""
    return "text/plain" if str(name).lower().endswith((".txt", ".md", ".csv")) else "application/pdf"


def _from_url(url: str, path: str, kind: str) -> Block:
    """A data URL as inline data, any other URL as a reference that Anthropic fetches itself."""
    if not url.startswith("data:"):
        if not url.startswith(("https://", "http://")):
            raise refuse(path, "must be a data: URL or begin with https://")
        return {"type": kind, "source": {"type": "url", "url": url}}
    head = _DATA_URL.match(url)
    if head is None:
        raise refuse(path, "this data: URL lacks its comma; the form is data:image/png;base64,...")
    media = head[1].strip().lower() or "text/plain"
    data = url[head.end() :]
    if ";base64" not in head[2].lower():
        data = base64.b64encode(unquote_to_bytes(data)).decode()
    if not data:
        raise refuse(path, "this data: URL holds no data")
    if media == "application/octet-stream":  # clients often do not know better
        media = _guessed(data) or media
    if media.startswith("image/"):
        return {
            "type": "image",
            "source": {"type": "base64", "media_type": _image_type(media, data, path), "data": data},
        }
    if media == "application/pdf":
        return {"type": "document", "source": {"type": "base64", "media_type": media, "data": data}}
    if media.startswith("text/") or media in ("application/json", "application/xml"):
        text = _decode(data, path)
        return {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": text}}
    raise refuse(path, f"Anthropic takes images, PDF and text, not {media[:80]!r}")


def _guessed(data: str) -> str:
    """What kind of picture base64 is of, or a PDF; empty for anything else (RIFF may be a sound as well)."""
    return next((kind for begin, kind in (*_MAGIC[:3], _PDF) if data.startswith(begin)), "")


def _image_type(media: str, data: str, path: str) -> str:
    for begin, true_type in _MAGIC:
        if data.startswith(begin):
            return true_type
    media = "image/jpeg" if media == "image/jpg" else media
    if media not in _IMAGES:
        raise refuse(path, f"Anthropic takes JPEG, PNG, GIF and WebP images, not {media[:80]!r}")
    return media


def _decode(data: str, path: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        raise refuse(path, "must be base64 of UTF-8 text") from None


def _audio(draft: Draft, part: Block, path: str) -> Block:
    raise refuse(path, "Anthropic models do not take audio; use a model with audio input, or send a transcript")


def _video(draft: Draft, part: Block, path: str) -> Block:
    raise refuse(path, "Anthropic models do not take video; send single frames as images")


_MAKERS: dict[str, Callable[[Draft, Block, str], Block]] = {
    "text": _text,
    "refusal": _refusal,
    "image_url": _image,
    "file": _file,
    "input_audio": _audio,
    "video_url": _video,
}
