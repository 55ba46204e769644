"""Embeddings: the request of OpenAI's `POST /embeddings` (API reference, `CreateEmbeddingRequest`) checked, and its
input measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.wire.json_schema import alternatives
from gateway.wire.plain_request import plain_request
from gateway.wire.tokens import text_bytes
from gateway.wire.validators import (
    Validator,
    filled_string,
    integer,
    is_int,
    one_of,
    refuse,
    refuse_type,
    string,
)

MOST_INPUTS = 2048
_TOKENS = {"type": "array", "items": {"type": "integer"}, "minItems": 1}
_INPUT = {
    **alternatives(
        filled_string.tree,
        _TOKENS,
        {"type": "array", "items": alternatives(filled_string.tree, _TOKENS), "minItems": 1, "maxItems": MOST_INPUTS},
    ),
    "description": "A text, texts, a text as tokens, or several of those.",
}


def embedding_input_tokens(body: Mapping[str, Any]) -> int:
    """An upper bound of the input in tokens: a token has at least one byte of text; tokens given as such count 1."""
    given = body.get("input")
    items = given if isinstance(given, list) else [given]
    total = 0
    for item in items:
        total += len(item) if isinstance(item, list) else text_bytes(item) if isinstance(item, str) else 1
        total += 8  # marks that a model adds at both ends
    return total


def _check_input(path: str, given: Any) -> None:
    if isinstance(given, str):
        _check_text(path, given)
        return
    if not isinstance(given, list):
        refuse_type(path, "a string, an array of strings, or an array of token arrays", given)
    if not given:
        refuse(path, "expected at least one text, got an empty array")
    if all(is_int(item) for item in given):
        return
    if len(given) > MOST_INPUTS:
        refuse(path, f"expected at most {MOST_INPUTS} inputs, got {len(given)}; split the request")
    for index, item in enumerate(given):
        place = f"{path}[{index}]"
        if isinstance(item, str):
            _check_text(place, item)
        elif not (isinstance(item, list) and item and all(is_int(token) for token in item)):
            refuse_type(place, "a string or an array of tokens", item)


def _check_text(path: str, text: str) -> None:
    if not text:
        refuse(path, "expected a text, got an empty string")


def estimate_embedding_tokens(body: Mapping[str, Any]) -> int:
    """The expected input in tokens, for a bill when no usage came: about 4 bytes of text to a token."""
    given = body.get("input")
    items = given if isinstance(given, list) else [given]
    return sum(
        len(item) if isinstance(item, list) else -(-text_bytes(item) // 4) if isinstance(item, str) else 1
        for item in items
    )


EMBEDDINGS_REQUEST = plain_request(
    {
        "input": Validator(_check_input, _INPUT),
        "model": filled_string.about("A model that makes embeddings; the default model without it."),
        "encoding_format": one_of(("float", "base64")).about("How the numbers are written; `float` without it."),
        "dimensions": integer(1, 1_000_000).about("How many numbers a vector shall have, where the model can choose."),
        "user": string.about("Who asks, for the provider's abuse detection."),
    },
    ("input",),
)
"""A whole request. Raises CallerFault 400 that names the field; unknown members travel on."""
