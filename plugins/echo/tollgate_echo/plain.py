"""What is no conversation, without a model: images of one colour, silence for speech, a word on what a recording is,
and verdicts that find nothing. The same request always gives the same answer."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from gateway.api import CallerFault, Upload, UpstreamRequest, dict_of, encode_event, read_form, text_of
from tollgate_echo.embed import embed
from tollgate_echo.script import Data, End, Head, Step
from tollgate_echo.sounds import LARGEST_SIDE, picture, seconds_for, silence
from tollgate_echo.tokens import split_tokens

ROOT = "http://echo.invalid/plain/"
"""Never connected to; what follows is the operation."""
CREATED_HEADER = "x-echo-created"
"""Unix seconds for `created`: nothing here reads a clock, so that an answer depends on its request alone."""
SECONDS_HEADER = "x-echo-seconds"
"""How long the recording is."""

Json = dict[str, Any]
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")
_TOKENS_PER_IMAGE = 64
_PIECE = 16 * 1024
_SOUNDS: Mapping[str, str] = {"wav": "audio/wav", "pcm": "audio/pcm", "mp3": "audio/mpeg"}
_HARMS = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm",
    "self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip


def plain_steps(request: UpstreamRequest) -> Iterator[Step]:
    """What is sent when. Raises CallerFault for what is beyond this model, ValueError for a body that is no JSON."""
    operation = request.url.removeprefix(ROOT)
    content_type = request.headers.get("content-type", "")
    body: Json = {}
    if content_type.startswith("multipart/"):
        for name, value in read_form(content_type, request.body):
            body.setdefault(name.removesuffix("[]"), value)
    else:
        body = dict_of(orjson.loads(request.body))
    return _ANSWERS[operation](body, request.headers)


def _json(body: Json) -> Iterator[Step]:
    return _whole("application/json", orjson.dumps(body))


def _whole(media_type: str, body: bytes) -> Iterator[Step]:
    yield Head(200, {"content-type": media_type})
    for start in range(0, len(body), _PIECE):
        yield Data(body[start : start + _PIECE])
    yield End(None)


def _events(events: Sequence[Json]) -> Iterator[Step]:
    yield Head(200, {"content-type": "text/event-stream; charset=utf-8"})
    for event in events:
        yield Data(encode_event(event["type"], orjson.dumps(event)))
    yield End(None)


def _embeddings(body: Json, headers: Mapping[str, str]) -> Iterator[Step]:
    return _json(embed(body, str(body.get("model"))))


def _images(body: Json, headers: Mapping[str, str], kind: str = "image_generation") -> Iterator[Step]:
    prompt, size = text_of(body.get("prompt")), text_of(body.get("size"))
    found = _SIZE.fullmatch(size)
    width, height = (int(found[1]), int(found[2])) if found else (1024, 1024)
    if not 0 < width <= LARGEST_SIDE or not 0 < height <= LARGEST_SIDE:
        raise CallerFault(f"size: echo draws from 1 to {LARGEST_SIDE} pixels each way.", param="size")
    count = int(body.get("n") or 1)
    tokens = len(split_tokens(prompt))
    usage = {
        "input_tokens": tokens,
        "input_tokens_details": {"text_tokens": tokens, "image_tokens": 0},
        "output_tokens": count * _TOKENS_PER_IMAGE,
        "total_tokens": tokens + count * _TOKENS_PER_IMAGE,
    }
    shown = {"size": f"{width}x{height}", "quality": "low", "background": "opaque", "output_format": "png"}
    created = int(headers.get(CREATED_HEADER, "0"))
    drawn = [
        base64.b64encode(picture(width, height, hashlib.sha256(f"{prompt}\0{n}".encode()).digest()[:3])).decode()
        for n in range(count)
    ]
    if str(body.get("stream")).lower() == "true":
        common = {"created_at": created, **shown}
        events: list[Json] = [
            {"type": f"{kind}.partial_image", "partial_image_index": index, "b64_json": drawn[0], **common}
            for index in range(int(body.get("partial_images") or 0))
        ]
        part = {**usage, "output_tokens": _TOKENS_PER_IMAGE, "total_tokens": tokens + _TOKENS_PER_IMAGE}
        events += [{"type": f"{kind}.completed", "b64_json": image, **common, "usage": part} for image in drawn]
        return _events(events)
    as_url = body.get("response_format") == "url"
    data = [{"url": "data:image/png;base64," + image} if as_url else {"b64_json": image} for image in drawn]
    return _json({"created": created, "data": data, **shown, "usage": usage})


def _image_edits(body: Json, headers: Mapping[str, str]) -> Iterator[Step]:
    return _images(body, headers, "image_edit")


def _speech(body: Json, headers: Mapping[str, str]) -> Iterator[Step]:
    text, kind = text_of(body.get("input")), text_of(body.get("response_format")) or "mp3"
    sound = silence(seconds_for(text), kind)
    if sound is None:
        raise CallerFault(f"response_format: echo is silent in {', '.join(_SOUNDS)} only.", param="response_format")
    if body.get("stream_format") != "sse":
        return _whole(_SOUNDS[kind], sound)
    pieces = [sound[start : start + _PIECE] for start in range(0, len(sound), _PIECE)]
    events: list[Json] = [{"type": "speech.audio.delta", "audio": base64.b64encode(one).decode()} for one in pieces]
    tokens, spoken = len(split_tokens(text)), round(seconds_for(text) * 20) + 1
    usage = {"input_tokens": tokens, "output_tokens": spoken, "total_tokens": tokens + spoken}
    return _events([*events, {"type": "speech.audio.done", "usage": usage}])


def _heard(body: Json, headers: Mapping[str, str]) -> Iterator[Step]:
    file = body.get("file")
    if not isinstance(file, Upload):
        raise CallerFault("file: is missing; expected a recording.", param="file")
    seconds = float(headers.get(SECONDS_HEADER, "0"))
    length = f"{seconds:.1f} seconds" if seconds else "unknown length"
    text = f"A recording of {length} in {len(file.content)} bytes, called {file.name or 'nothing'}."
    if str(body.get("stream")).lower() == "true":
        words = re.findall(r"\S+\s*", text)
        events: list[Json] = [{"type": "transcript.text.delta", "delta": word} for word in words]
        heard, said = round(seconds * 10) + 1, len(words)
        usage = {"type": "tokens", "input_tokens": heard, "output_tokens": said, "total_tokens": heard + said}
        return _events([*events, {"type": "transcript.text.done", "text": text, "usage": usage}])
    wanted = body.get("response_format") or "json"
    end = f"00:{int(seconds) // 60 % 60:02}:{int(seconds) % 60:02}"
    if wanted == "text":
        return _whole("text/plain; charset=utf-8", text.encode() + b"\n")
    if wanted == "srt":
        return _whole("text/plain; charset=utf-8", f"1\n00:00:00,000 --> {end},999\n{text}\n\n".encode())
    if wanted == "vtt":
        return _whole("text/vtt; charset=utf-8", f"WEBVTT\n\n00:00:00.000 --> {end}.999\n{text}\n\n".encode())
    answer: Json = {"text": text, "usage": {"type": "duration", "seconds": seconds}}
    if wanted == "verbose_json":
        segment = {"id": 0, "seek": 0, "start": 0.0, "end": seconds, "text": text, "tokens": [], "temperature": 0.0,
                   "avg_logprob": 0.0, "compression_ratio": 1.0, "no_speech_prob": 0.0}  # fmt: skip
        answer |= {"task": "transcribe", "language": "english", "duration": seconds, "segments": [segment]}
    return _json(answer)


def _moderations(body: Json, headers: Mapping[str, str]) -> Iterator[Step]:
    given = body.get("input")
    parts = not isinstance(given, list) or any(isinstance(item, dict) for item in given)
    verdict = {
        "flagged": False,
        "categories": dict.fromkeys(_HARMS, False),
        "category_scores": dict.fromkeys(_HARMS, 0.0),
        "category_applied_input_types": {name: ["text"] for name in _HARMS},
    }
    count = 1 if parts else len(given or ())
    return _json({"id": "modr-echo", "model": body.get("model"), "results": [verdict] * count})


def _rerank(body: Json, headers: Mapping[str, str]) -> Iterator[Step]:
    """By plain overlap of words: the part of those of the query that a document has."""
    query, tokens = _words(text_of(body.get("query"))), 0
    results = []
    for index, given in enumerate(body.get("documents") or ()):
        text = given if isinstance(given, str) else text_of(dict_of(given).get("text"))
        tokens += len(split_tokens(text))
        shared = query & _words(text)
        results.append({"index": index, "relevance_score": len(shared) / (len(query) or 1)})
    results.sort(key=lambda one: (-one["relevance_score"], one["index"]))
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return _json({"model": body.get("model"), "results": results[: body.get("top_n")], "usage": usage})


def _words(text: str) -> set[str]:
    return {word.casefold() for word in re.findall(r"\w+", text)}


_ANSWERS: Mapping[str, Callable[[Json, Mapping[str, str]], Iterator[Step]]] = {
    "embeddings": _embeddings,
    "images": _images,
    "image_edits": _image_edits,
    "image_variations": _image_edits,
    "speech": _speech,
    "transcriptions": _heard,
    "translations": _heard,
    "moderations": _moderations,
    "rerank": _rerank,
}
