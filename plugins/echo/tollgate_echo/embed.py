"""Embeddings without a model: every token adds a fixed direction, found by hashing, so texts that share words lie near
each other, and the same text always gives the same vector (length 1)."""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from collections.abc import Mapping
from typing import Any

from gateway.api import CallerFault
from tollgate_echo.tokens import split_tokens

DIMENSIONS = 64
_MOST_DIMENSIONS = 4096
_MOST_FIGURES = 1 << 20
_LONGEST_INPUT = 1 << 20


def embed(body: Mapping[str, Any], model: str) -> dict[str, Any]:
    """OpenAI's list object for an embeddings body (`input`, `dimensions`, `encoding_format`). Raises CallerFault when
    there is too much to be said about too much: more than 1,048,576 figures, or characters and tokens of input."""
    given = body.get("input")
    single = isinstance(given, str) or (isinstance(given, list) and all(isinstance(item, int) for item in given))
    inputs = [given] if single else list(given or [])
    size = min(body.get("dimensions") or DIMENSIONS, _MOST_DIMENSIONS)
    if size * len(inputs) > _MOST_FIGURES:
        raise CallerFault(
            f"dimensions: {size} for each of {len(inputs)} inputs make more than {_MOST_FIGURES} figures.",
            param="dimensions",
        )
    if sum(len(item) if isinstance(item, (str, list)) else 1 for item in inputs) > _LONGEST_INPUT:
        raise CallerFault(f"input: longer than {_LONGEST_INPUT} characters or tokens in all.", param="input")
    data, tokens = [], 0
    for index, item in enumerate(inputs):
        words = [str(token) for token in item] if isinstance(item, list) else split_tokens(str(item))
        tokens += len(words)
        vector: list[float] | str = _vector(words, size)
        if body.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
        data.append({"object": "embedding", "index": index, "embedding": vector})
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": model, "usage": usage}


def _vector(words: list[str], size: int) -> list[float]:
    sums = [0.0] * size
    for word in words:
        digest = hashlib.blake2b(word.strip().lower().encode("utf-8", "replace"), digest_size=8).digest()
        number = int.from_bytes(digest, "little")
        sums[number % size] += 1.0 if number >> 63 else -1.0
    length = math.sqrt(sum(value * value for value in sums)) or 1.0
    return [value / length for value in sums]
