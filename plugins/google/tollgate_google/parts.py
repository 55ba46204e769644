"""Content parts of a chat message to parts of Gemini's `Content`.

Sources: OpenAI's API reference (chat completion content parts); Google's API reference (`Part`, `Blob`, `FileData`)
and its pages on image, audio, video and document understanding and on file input methods.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from gateway.api import as_dict, as_list, as_text

from .draft import Draft, refuse

Part = dict[str, Any]

_DATA_URL = re.compile(r"data:([^,]*?)(;base64)?,", re.ASCII | re.IGNORECASE)
_MAGIC = (("iVBORw0KGgo", "image/png"), ("/9j/", "image/jpeg"), ("R0lGOD", "image/gif"), ("UklGR", "image/webp"))
"""How base64 of each format begins. Google trusts the media type that is named; OpenAI looks at the data."""

AUDIO_TYPES: Mapping[str, str] = {
    "wav": "audio/wav",
    "mp3": "audio/mp3",
    "mpeg": "audio/mp3",
    "flac": "audio/flac",
    "aac": "audio/aac",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "aiff": "audio/aiff",
    "m4a": "audio/m4a",
    "webm": "audio/webm",
    "pcm16": "audio/L16;rate=24000",
}
"""`input_audio.format` to media types, as Google's page on audio spells them; others become `audio/<format>`."""

SUFFIXES: Mapping[str, str] = {
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp", "gif": "image/gif",
    "heic": "image/heic", "heif": "image/heif", "pdf": "application/pdf", "txt": "text/plain", "md": "text/markdown",
    "csv": "text/csv", "html": "text/html", "css": "text/css", "xml": "text/xml", "rtf": "text/rtf",
    "json": "application/json", "js": "text/javascript", "py": "text/x-python", "wav": "audio/wav", "mp3": "audio/mp3",
    "flac": "audio/flac", "aac": "audio/aac", "ogg": "audio/ogg", "m4a": "audio/m4a", "aiff": "audio/aiff",
    "mp4": "video/mp4", "mpeg": "video/mpeg", "mpg": "video/mpg", "mov": "video/quicktime", "avi": "video/avi",
    "webm": "video/webm", "wmv": "video/wmv", "flv": "video/x-flv", "3gp": "video/3gpp",
}  # fmt: skip
"""Media types by the ending of a file's name, for data that comes without its type."""

_ALIASES = {"image/jpg": "image/jpeg", "audio/mpeg": "audio/mp3", "audio/x-wav": "audio/wav", "audio/mpga": "audio/mp3"}
_OWN_HOSTS = ("generativelanguage.googleapis.com", "youtube.com", "www.youtube.com", "m.youtube.com", "youtu.be")
_TAKEN = ("type", "text", "refusal", "cache_control", "annotations", "prompt_cache_breakpoint")
_BESIDE = (
    "videoMetadata", "video_metadata", "mediaResolution", "media_resolution", "mediaProcessing", "media_processing",
    "partMetadata", "part_metadata",
)  # fmt: skip
"""Google's own members of a part, which may stand beside OpenAI's."""

_NATIVE = ("inlineData", "inline_data", "fileData", "file_data")


def parts_of(draft: Draft, content: Any, path: str) -> list[Part]:
    """The parts of a message's `content`: a string, a list of parts, or None.

    Raises CallerFault that names the part for what cannot be understood.
    """
    if content is None:
        return []
    if isinstance(content, str):
        return [{"text": content}]
    found = []
    for at, part in enumerate(as_list(content, path)):
        found.append(_part(draft, part, f"{path}[{at}]"))
    return found


def _part(draft: Draft, part: Any, path: str) -> Part:
    if isinstance(part, str):
        return {"text": part}
    part = as_dict(part, path)
    if part.get("cache_control") is not None:
        draft.report("messages[].content[].cache_control", "Gemini caches by itself, or by cachedContent")
    if not part.get("type") and any(key in part for key in _NATIVE):
        return dict(part)
    kind = as_text(part.get("type"), f"{path}.type")
    make = _MAKERS.get(kind)
    if make is None:
        raise refuse(f"{path}.type", f"{kind[:40]!r} cannot be sent to Gemini; use {', '.join(_MAKERS)}")
    made = make(draft, part, path)
    for key, value in part.items():
        if key in _BESIDE and value is not None:
            made[key] = value
        elif key not in _TAKEN and key != kind and value:
            draft.report(f"messages[].content[].{key}", "Gemini has no such member of a part")
    return made


def _text(draft: Draft, part: Part, path: str) -> Part:
    return {"text": as_text(part.get("text"), f"{path}.text")}


def _refusal(draft: Draft, part: Part, path: str) -> Part:
    return {"text": as_text(part.get("refusal"), f"{path}.refusal")}


def _image(draft: Draft, part: Part, path: str) -> Part:
    image = part.get("image_url")
    if isinstance(image, str):
        image = {"url": image}
    image = as_dict(image, f"{path}.image_url")
    detail = image.get("detail")
    if detail not in (None, "auto", "high") and draft.config.get("mediaResolution") is None:
        draft.report("messages[].content[].image_url.detail", "Gemini has one resolution for all media of a request")
    return from_url(as_text(image.get("url"), f"{path}.image_url.url"), f"{path}.image_url.url")


def _video(draft: Draft, part: Part, path: str) -> Part:
    video = part.get("video_url")
    url = video.get("url") if isinstance(video, dict) else video
    return from_url(as_text(url, f"{path}.video_url.url"), f"{path}.video_url.url")


def _audio(draft: Draft, part: Part, path: str) -> Part:
    audio = as_dict(part.get("input_audio"), f"{path}.input_audio")
    data = as_text(audio.get("data"), f"{path}.input_audio.data")
    if data.startswith("data:"):
        return from_url(data, f"{path}.input_audio.data")
    form = as_text(audio.get("format"), f"{path}.input_audio.format").lower()
    media = form if "/" in form else AUDIO_TYPES.get(form, f"audio/{form}")
    return {"inlineData": {"mimeType": media, "data": data}}


def _file(draft: Draft, part: Part, path: str) -> Part:
    file = as_dict(part.get("file"), f"{path}.file")
    name = file.get("filename")
    known = file.get("format") or _by_suffix(name)
    link = file.get("file_url") or file.get("url")
    if file.get("file_id") is not None:
        uri = as_text(file["file_id"], f"{path}.file.file_id")
        if uri.startswith("files/"):
            uri = f"{draft.files}/{uri}"
        elif not uri.startswith(("https://", "gs://")):
            raise refuse(f"{path}.file.file_id", "this is not a file of Google's; send the file itself in file_data")
        return {"fileData": _typed({"fileUri": uri}, known)}
    if link is not None:
        return from_url(as_text(link, f"{path}.file.file_url"), f"{path}.file.file_url", known)
    data = as_text(file.get("file_data"), f"{path}.file.file_data")
    if data[:5].lower() == "data:" or data[:8].lower().startswith(("http://", "https://")):
        return from_url(data, f"{path}.file.file_data", known)
    return {"inlineData": {"mimeType": known or "application/pdf", "data": data}}


def _by_suffix(name: Any) -> str:
    return SUFFIXES.get(name.lower().rpartition(".")[2], "") if isinstance(name, str) else ""


def _typed(data: Part, media: Any) -> Part:
    return {"mimeType": media, **data} if isinstance(media, str) and media else data


def from_url(url: str, path: str, known: Any = "") -> Part:
    """A data URL as inline data, any other URL as a reference that Google fetches itself.

    known: the media type, where something better than the URL says it.
    """
    if url[:5].lower() != "data:":
        if not url.startswith(("https://", "http://", "gs://")):
            raise refuse(path, "must be a data: URL or begin with https://")
        return {"fileData": _typed({"fileUri": url}, known or _by_suffix(urlsplit(url).path))}
    head = _DATA_URL.match(url)
    if head is None:
        raise refuse(path, "this data: URL lacks its comma; the form is data:image/png;base64,...")
    media = head[1].strip().lower() or "text/plain"
    data = url[head.end() :]
    if not head[2]:
        data = base64.b64encode(unquote_to_bytes(data)).decode()
    if not data:
        raise refuse(path, "this data: URL holds no data")
    media = _ALIASES.get(media, media)
    if media == "application/octet-stream" and known:
        media = known
    # Clients often know no better than octet-stream; RIFF may then be a sound as well.
    if media.startswith("image/") or (media == "application/octet-stream" and not data.startswith("UklGR")):
        media = next((kind for begin, kind in _MAGIC if data.startswith(begin)), media)
    elif not media.startswith(("audio/", "video/")):
        media = media.partition(";")[0]  # a charset is no part of what Google matches
    return {"inlineData": {"mimeType": media, "data": data}}


_MAKERS: dict[str, Callable[[Draft, Part, str], Part]] = {
    "text": _text,
    "refusal": _refusal,
    "image_url": _image,
    "input_audio": _audio,
    "file": _file,
    "video_url": _video,
}


def decoded(data: str) -> bytes:
    """Bytes of base64 data; empty when it is none."""
    try:
        return base64.b64decode(data)
    except (binascii.Error, ValueError):
        return b""


def media_urls(body: Mapping[str, Any]) -> list[str]:
    """The http(s) URLs in a chat body that Gemini needs as bytes, each once and in order. Never raises.

    Not among them: what Google reads itself (its Files API and YouTube).
    """
    found: dict[str, None] = {}
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else ():
            if isinstance(part, dict):
                found.update(dict.fromkeys(url for url in _links(part) if _is_foreign(url)))
    return list(found)


def _links(part: Part) -> Iterator[str]:
    for kind in ("image_url", "video_url", "file"):
        inner = part.get(kind) if part.get("type") == kind else None
        candidates = [inner]
        if isinstance(inner, dict):
            candidates = [inner.get(name) for name in ("url", "file_url", "file_data")]
        yield from (link for link in candidates if isinstance(link, str))


def _is_foreign(url: str) -> bool:
    if not url[:8].lower().startswith(("http://", "https://")):
        return False
    try:
        return urlsplit(url).hostname not in _OWN_HOSTS
    except ValueError:  # half an IPv6 address: left to whoever fetches it, to refuse it by name
        return True
