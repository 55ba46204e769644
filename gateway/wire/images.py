"""Images: the requests of OpenAI's `POST /images/generations`, `/images/edits` and `/images/variations` (API reference)
checked, and what they come to.

A body that came as a form holds its files as `gateway.wire.multipart.Upload`; one in JSON may hold data URLs in their
place (`images: [{"image_url": ...}]`), which `with_uploads` turns into the same.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from gateway.wire.lenient import dict_of, dicts_of, text_of
from gateway.wire.multipart import Upload, upload_of, uploads_of
from gateway.wire.plain_request import plain_request, text_up_to, word
from gateway.wire.tokens import text_bytes
from gateway.wire.validators import Validator, array, boolean, filled_string, integer, obj, one_of, refuse, string

MOST_IMAGES = 10
MOST_INPUTS = 16
MOST_PROMPT = 32_000
LARGEST_INPUT = 50 << 20
IMAGE_TOKENS = 8_192
"""Tokens that one image makes at most, going in or coming out, where a model's own limit is not known: the largest that
OpenAI names is 6,240."""
PARTIAL_TOKENS = 100
"""Tokens of one partial image of a stream (OpenAI's image generation guide)."""
_MOST_FRAMES = 16
_DATA_URL = re.compile(r"data:(image/[a-z0-9.+-]{1,40});base64,", re.IGNORECASE)

_MADE: Mapping[str, Validator] = {
    "model": filled_string.about("A model that makes images; without it the first of the list that does."),
    "n": integer(1, MOST_IMAGES).about("How many images; 1 without it."),
    "size": word.about("`1024x1024` and others that the model knows, or `auto`."),
    "quality": word.about("`low`, `medium`, `high`, `auto`, or another that the model knows."),
    "response_format": one_of(("b64_json", "url")).about("How images are given; newer models give `b64_json` only."),
    "output_format": word.about("`png`, `jpeg` or `webp`."),
    "output_compression": integer(0, 100).about("In percent, for `jpeg` and `webp`."),
    "background": word.about("`transparent`, `opaque` or `auto`."),
    "frame_count": integer(2, _MOST_FRAMES).about("Frames of a `gif`."),
    "stream": boolean.about("Answer with events: images while they are made, then the whole ones."),
    "partial_images": integer(0, 3).about("How many unfinished images a stream shows."),
    "user": string.about("Who asks, for the provider's abuse detection."),
    "safety_identifier": string.about("The same under its newer name."),
}
GENERATION_FIELDS: Mapping[str, Validator] = {
    "prompt": text_up_to(MOST_PROMPT).about("What the image shall show."),
    **_MADE,
    "style": word.about("`vivid` or `natural`, for models that know it."),
    "moderation": word.about("`auto` or `low`."),
}
VARIATION_FIELDS: Mapping[str, Validator] = {
    "image": upload_of(LARGEST_INPUT, "an image").about("The image to vary, as a file of a form."),
    **{name: _MADE[name] for name in ("model", "n", "size", "response_format", "user")},
}
_LINKED = obj({"image_url": filled_string, "file_id": filled_string})
EDIT_FIELDS: Mapping[str, Validator] = {
    "image": uploads_of(MOST_INPUTS, upload_of(LARGEST_INPUT, "an image").check).about(
        "The image, or several (`image[]`), as files of a form."
    ),
    "images": array(_LINKED, filled=True).about('In JSON, in the place of files: `[{"image_url": "data:..."}]`.'),
    "mask": upload_of(LARGEST_INPUT, "an image").about("Its transparent areas tell where to edit."),
    "prompt": text_up_to(MOST_PROMPT).about("What shall become of it."),
    **_MADE,
    "input_fidelity": word.about("`high` or `low`."),
}


def _check_edit(body: Mapping[str, Any]) -> None:
    if body.get("image") is None:
        EDIT_FIELDS["image"].check("image", None)
    if body.get("images") is not None:
        # What it links to would go to the provider unseen.
        refuse("images", "stands for `image` in JSON; give one of the two")


GENERATION_REQUEST = plain_request(GENERATION_FIELDS, ("prompt",))
"""A whole request for images. Raises CallerFault 400 that names the field."""
VARIATION_REQUEST = plain_request(VARIATION_FIELDS, ("image",))
"""A whole request for other images like a given one. Raises CallerFault 400 that names the field."""
EDIT_REQUEST = plain_request(EDIT_FIELDS, ("prompt",), _check_edit)
"""A whole request for an edit, with its images as files."""


def with_uploads(body: dict[str, Any]) -> dict[str, Any]:
    """A JSON body with files in the place of `images` (and a `mask` that is an object). Raises CallerFault 400 for what
    is no data URL."""
    linked = body.get("images")
    if body.get("image") is None and isinstance(linked, list):
        body = {name: value for name, value in body.items() if name != "images"}
        body["image"] = [_linked(f"images[{index}]", item) for index, item in enumerate(linked[: MOST_INPUTS + 1])]
    if isinstance(body.get("mask"), dict):
        body = {**body, "mask": _linked("mask", body["mask"])}
    return body


def _linked(path: str, item: Any) -> Upload:
    url = text_of(dict_of(item).get("image_url"))
    found = _DATA_URL.match(url)
    if found is None:
        refuse(f"{path}.image_url", "expected a data URL such as data:image/png;base64,...; or send files in a form")
    try:
        content = base64.b64decode(url[found.end() :], validate=True)
    except (binascii.Error, ValueError):
        refuse(f"{path}.image_url", "is not valid base64")
    media_type = found[1].lower()
    return Upload(content, f"image.{media_type.rpartition('/')[2]}", media_type)


def uploads_in(body: Mapping[str, Any]) -> list[Upload]:
    """The images that come with a request, its mask last."""
    given = body.get("image")
    files = [*(given if isinstance(given, list) else [given]), body.get("mask")]
    return [file for file in files if isinstance(file, Upload)]


def images_wanted(body: Mapping[str, Any]) -> int:
    """How many images a request asks for."""
    return body.get("n") or 1


def image_kind(body: Mapping[str, Any], answer: Mapping[str, Any]) -> str:
    """`quality/size` of the images, by which they are priced; what is not known is empty. What the answer says of them
    counts before what was asked for."""
    return "/".join(_known(answer.get(name)) or _known(body.get(name)) for name in ("quality", "size"))


def _known(value: Any) -> str:
    # Some servers take a word in any case, and the price of what is not listed is not that of "HIGH".
    text = text_of(value).strip().lower()
    return "" if text == "auto" or len(text) > 64 or "/" in text else text


def images_in(answer: Mapping[str, Any]) -> int:
    """How many images an answer holds."""
    return len(dicts_of(answer.get("data")))


def image_input_tokens(body: Mapping[str, Any]) -> int:
    """An upper bound of the input in tokens: a token has at least one byte of text."""
    return text_bytes(text_of(body.get("prompt"))) + 64 + len(uploads_in(body)) * IMAGE_TOKENS


def estimate_image_input(body: Mapping[str, Any]) -> int:
    """The expected input in tokens, for a bill when no usage came."""
    return -(-text_bytes(text_of(body.get("prompt"))) // 4) + len(uploads_in(body)) * IMAGE_TOKENS


def image_output_tokens(body: Mapping[str, Any], most: int | None) -> int:
    """An upper bound of what the images come to in tokens. most: of one image, where that is known."""
    frames = (body.get("frame_count") or _MOST_FRAMES) if body.get("output_format") == "gif" else 1
    one = (most or IMAGE_TOKENS) * frames + PARTIAL_TOKENS * (body.get("partial_images") or 0)
    return images_wanted(body) * one
