"""Content parts of a message, in Mistral's chunks.

Sources: OpenAI's API reference (content parts); Mistral's API reference (text, image_url, document_url, file,
input_audio chunks) and its pages on vision, documents and audio. Mistral fetches addresses itself.
"""

from __future__ import annotations

from typing import Any

from gateway.api import as_dict, as_list, as_text

from .draft import Draft, refuse

Chunk = dict[str, Any]

_TYPES = {
    "pdf": "application/pdf",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "txt": "text/plain",
    "md": "text/markdown",
    "csv": "text/csv",
    "html": "text/html",
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
}
"""Media types by the ending of a file's name, for bare base64. A file without a known one counts as PDF, OpenAI's
own kind of file input."""


def user_chunks(draft: Draft, content: Any, path: str) -> str | list[Chunk]:
    """The content of a user message: a string stays, parts become chunks. Raises CallerFault that names the part."""
    if isinstance(content, str):
        return content
    return [chunk_of(draft, part, f"{path}[{at}]") for at, part in enumerate(as_list(content, path))]


def chunk_of(draft: Draft, part: Any, path: str) -> Chunk:
    """One part as a chunk; kinds that are Mistral's own, or unknown, travel on."""
    part = as_dict(part, path)
    if part.get("cache_control") is not None:
        draft.report("cache_control", "Mistral caches by prompt_cache_key; leave the marks out")
    kind = part.get("type")
    if kind == "text":
        return {"type": "text", "text": as_text(part.get("text"), f"{path}.text")}
    if kind == "refusal":
        return {"type": "text", "text": as_text(part.get("refusal"), f"{path}.refusal")}
    if kind == "input_audio":
        audio = part.get("input_audio")
        if isinstance(audio, dict):
            audio = as_text(audio.get("data"), f"{path}.input_audio.data")
        return {"type": "input_audio", "input_audio": audio}
    if kind == "file" and "file" in part:
        return _file(as_dict(part["file"], f"{path}.file"), f"{path}.file")
    return {key: value for key, value in part.items() if key != "cache_control"}


def text_of(content: Any, path: str) -> str | list[Chunk] | None:
    """The content of a system or assistant message, whose parts are texts, refusals, and Mistral's own chunks."""
    if content is None or isinstance(content, str):
        return content
    chunks = []
    for at, part in enumerate(as_list(content, path)):
        part = as_dict(part, f"{path}[{at}]")
        kind = part.get("type")
        if kind in ("text", "refusal"):
            chunks.append({"type": "text", "text": as_text(part.get(kind), f"{path}[{at}].{kind}")})
        else:
            chunks.append(part)
    return chunks


def _file(file: dict[str, Any], path: str) -> Chunk:
    if file.get("file_id") is not None:
        return {"type": "file", "file_id": as_text(file["file_id"], f"{path}.file_id")}
    name = file.get("filename")
    if file.get("file_data") is None and file.get("file_url") is not None:
        return _document(as_text(file["file_url"], f"{path}.file_url"), name)
    data = as_text(file.get("file_data"), f"{path}.file_data")
    if data[:4].lower() == "http":
        return _document(data, name)
    if data[:5].lower() != "data:":
        ending = name.rsplit(".", 1)[-1].lower() if isinstance(name, str) else ""
        data = f"data:{_TYPES.get(ending, 'application/pdf')};base64,{data}"
    head, comma, body = data.partition(",")
    if not comma:
        raise refuse(f"{path}.file_data", "must be base64, or a URL with its data")
    media = head[5:].lower()
    if media.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": data}}
    if media.startswith("audio/"):
        return {"type": "input_audio", "input_audio": body}
    return _document(data, name)


def _document(url: str, name: Any) -> Chunk:
    chunk: Chunk = {"type": "document_url", "document_url": url}
    if isinstance(name, str) and name:
        chunk["document_name"] = name
    return chunk
