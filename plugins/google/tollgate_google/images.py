"""OpenAI's `POST /images/generations` and `/images/edits` at Google: Gemini's image models by generateContent, Imagen
by predict.

Sources: OpenAI's API reference (images); Google's (`GenerationConfig.responseModalities`, `ImageConfig`,
`models.predict` with `sampleCount`, `aspectRatio`, `imageSize`; predictions with `bytesBase64Encoded`).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from gateway.api import (
    Call,
    CallerFault,
    Fault,
    ImagesReader,
    Target,
    UpstreamFault,
    UpstreamReply,
    UpstreamRequest,
    dict_of,
    dicts_of,
    nonsense,
    text_of,
)

from .draft import refuse
from .reading import BLOCKED, FILTERED, REFUSED, finish_of, refusal
from .reply import FaultsReader, object_in
from .request import post
from .settings import Settings
from .usage import translate_usage

_IMAGEN = re.compile(r"imagen-")
_DRAWS = re.compile(r"gemini-.*-image\b")
_SPEAKS = re.compile(r"gemini-.*-tts\b")
_EMBEDS = re.compile(r"(.*-)?embedding-")
RATIOS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
"""What Gemini knows; the nearest to the size that is asked for is taken. Imagen knows some of them."""
_IMAGEN_RATIOS = ("1:1", "3:4", "4:3", "9:16", "16:9")
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")
_USUAL, _DOUBLE = 1_800, 2_600
"""The longest edge, in pixels, of what Google calls 1K and 2K."""
_TAKEN = frozenset({"model", "prompt", "image", "size", "n"})
_SAYS_NOTHING: Mapping[str, tuple[Any, ...]] = {
    "quality": ("auto",),
    "background": ("auto", "opaque"),
    "moderation": ("auto",),
    "output_format": ("png",),
    "response_format": ("b64_json",),
    "stream": (False,),
    "partial_images": (0,),
}
"""Values that ask for what is done anyway."""


def operations_of(upstream: str) -> frozenset[str]:
    """What a model does, by its name; of one that nobody knows, talk and embed."""
    name = upstream.rpartition("/")[2]
    if _IMAGEN.match(name):
        return frozenset({"images"})
    if _EMBEDS.match(name):
        return frozenset({"embeddings"})
    if _DRAWS.match(name):
        return frozenset({"chat", "images", "image_edits"})
    if _SPEAKS.match(name):
        return frozenset({"chat", "speech"})
    return frozenset({"chat"} if name.startswith("gemini-") else {"chat", "embeddings"})


def images_request(call: Call, target: Target, settings: Settings) -> UpstreamRequest:
    """The request for images. Raises CallerFault that names the field; reports what Google does not take."""
    body = call.body
    if body.get("mask") is not None:
        raise refuse("mask", "Google edits by words; say in the prompt where")
    if call.stream:
        raise refuse("stream", "Google shows no unfinished images; ask without stream")
    for name, value in body.items():
        if name not in _TAKEN and value is not None and value not in _SAYS_NOTHING.get(name, ()):
            call.report_dropped(name, f"{name}: Google's images do not take it")
    width, height = _size_of(call)
    if _IMAGEN.match(target.upstream.rpartition("/")[2]):
        parameters: dict[str, Any] = {"sampleCount": body.get("n") or 1, **_shape(width, height, _IMAGEN_RATIOS)}
        made = {"instances": [{"prompt": body["prompt"]}], "parameters": parameters}
        return post(target, "predict", made, settings, stream=False)
    if (body.get("n") or 1) > 1:
        raise refuse("n", "this model makes one image per request")
    given = body.get("image")
    parts: list[dict[str, Any]] = [
        {"inlineData": {"mimeType": file.media_type or "image/png", "data": base64.b64encode(file.content).decode()}}
        for file in given or ()
    ]
    config: dict[str, Any] = {"responseModalities": ["IMAGE"]}
    shape = _shape(width, height, RATIOS)
    if shape:
        config["imageConfig"] = shape
    out: dict[str, Any] = {
        "contents": [{"role": "user", "parts": [*parts, {"text": body["prompt"]}]}],
        "generationConfig": config,
    }
    if settings.safety_settings:
        out["safetySettings"] = [
            {"category": category, "threshold": threshold} for category, threshold in settings.safety_settings.items()
        ]
    return post(target, "generateContent", out, settings, stream=False)


def _size_of(call: Call) -> tuple[int, int]:
    """Width and height that are asked for; 0 for whatever the model likes."""
    size = text_of(call.body.get("size"))
    found = _SIZE.fullmatch(size)
    if found is None:
        if size not in ("", "auto"):
            raise refuse("size", "expected WIDTHxHEIGHT or auto")
        return 0, 0
    width, height = int(found[1]), int(found[2])
    if not width or not height:
        raise refuse("size", "expected a width and a height of at least 1")
    return width, height


def _shape(width: int, height: int, ratios: tuple[str, ...]) -> dict[str, Any]:
    """Aspect ratio and size in Google's words, as near as they come."""
    if not width:
        return {}

    def distance(ratio: str) -> float:
        across, down = map(int, ratio.split(":"))
        one, other = width * down, height * across
        return max(one, other) / min(one, other)

    longest = max(width, height)
    size = {} if longest <= _USUAL else {"imageSize": "2K" if longest <= _DOUBLE else "4K"}
    return {"aspectRatio": min(ratios, key=distance), **size}


class GoogleImagesReader(FaultsReader, ImagesReader):
    """Reads answers of generateContent and predict as OpenAI's list of images."""

    def read_body(self, reply: UpstreamReply) -> dict[str, Any]:
        """The list of images. Raises CallerFault for what was refused, UpstreamFault for what is no answer."""
        raw = object_in(reply, self.missing)
        if "predictions" in raw:
            images, reason = _predicted(raw)
        else:
            images, reason = _generated(raw)
        if not images:
            raise _why_none(raw, reason, reply.body)
        answer: dict[str, Any] = {"created": self.call.created, "data": images}
        usage = _usage(raw.get("usageMetadata"))
        return {**answer, "usage": usage} if usage is not None else answer


def _predicted(raw: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str]:
    found, reason = [], ""
    for entry in dicts_of(raw.get("predictions")):
        if text_of(entry.get("bytesBase64Encoded")):
            found.append({"b64_json": entry["bytesBase64Encoded"]})
        reason = reason or text_of(entry.get("raiFilteredReason"))
    return found, reason


def _generated(raw: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str]:
    found = []
    for candidate in dicts_of(raw.get("candidates")):
        for part in dicts_of(dict_of(candidate.get("content")).get("parts")):
            data = dict_of(part.get("inlineData"))
            # What a model draws while it thinks is no answer.
            if part.get("thought") is not True and text_of(data.get("data")):
                found.append({"b64_json": data["data"]})
    return found, why_refused(raw)


def why_refused(raw: Mapping[str, Any]) -> str:
    """Why an answer of generateContent holds nothing, in Google's words; "" where it does not say."""
    blocked = dict_of(raw.get("promptFeedback"))
    if text_of(blocked.get("blockReason")):
        return refusal(BLOCKED, blocked["blockReason"], blocked.get("blockReasonMessage"))
    for candidate in dicts_of(raw.get("candidates")):
        finish = text_of(candidate.get("finishReason"))
        if finish_of(finish) == FILTERED:
            return refusal(REFUSED, finish, candidate.get("finishMessage"))
    return ""


def _why_none(raw: Mapping[str, Any], reason: str, body: bytes) -> Fault:
    if reason:
        return CallerFault(reason[:1000], code="moderation_blocked", param="prompt")
    if raw.get("candidates") or "predictions" in raw:
        return UpstreamFault(
            "The model answered without an image; say more plainly what to draw.",
            code="upstream_no_image",
            detail=body[:500].decode("utf-8", "replace"),
        )
    return nonsense("The provider's answer holds no images.", body)


def _usage(raw: Any) -> dict[str, Any] | None:
    """In the names of OpenAI's images. Tokens of which Google does not say what they are count as the image's, which
    are the dearest."""
    told = translate_usage(dict_of(raw))
    if told is None:
        return None
    written = told["completion_tokens"]
    heard, drawn = dict_of(told["prompt_tokens_details"]), dict_of(told["completion_tokens_details"])
    text = min(drawn.get("text_tokens", 0) + drawn.get("reasoning_tokens", 0), written)
    shown = heard.get("image_tokens", 0)
    return {
        "input_tokens": told["prompt_tokens"],
        "input_tokens_details": {"image_tokens": shown, "text_tokens": max(told["prompt_tokens"] - shown, 0)},
        "output_tokens": written,
        "output_tokens_details": {"image_tokens": drawn.get("image_tokens", written - text), "text_tokens": text},
        "total_tokens": told["total_tokens"],
    }
