"""Reranking: the request of `POST /rerank` checked, its size measured, its answer in one shape.

There is no standard; this is the shape that Cohere (v1, v2), Jina and vLLM have in common (their API references):
`results` of `index` and `relevance_score`, with `document` where it was asked for. Cohere bills searches: a query among
up to a hundred documents, of which a long one counts once for each 500 tokens; others bill tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.wire.chat.answers import USAGE, members
from gateway.wire.json_schema import Component, Tree, alternatives, or_null
from gateway.wire.lenient import dict_of
from gateway.wire.plain_request import plain_request
from gateway.wire.tokens import any_bytes, text_bytes
from gateway.wire.validators import Validator, boolean, filled_string, integer, refuse, refuse_type, string

Json = dict[str, Any]

MOST_DOCUMENTS = 10_000
_DOCUMENTS_PER_SEARCH = 100
_TOKENS_PER_PIECE = 500
_BYTES_PER_TOKEN = 4


def _check_documents(path: str, given: Any) -> None:
    if not isinstance(given, list):
        refuse_type(path, "an array of texts", given)
    if not 0 < len(given) <= MOST_DOCUMENTS:
        refuse(path, f"expected from 1 to {MOST_DOCUMENTS} documents, got {len(given)}")
    for index, document in enumerate(given):
        text = document.get("text") if isinstance(document, dict) else document
        if not isinstance(text, str):
            refuse_type(f"{path}[{index}]", "a text, or an object with a text", document)


_DOCUMENT: Tree = alternatives(
    {"type": "string"},
    {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
)
_DOCUMENTS = Validator(
    _check_documents, {"type": "array", "items": _DOCUMENT, "minItems": 1, "maxItems": MOST_DOCUMENTS}
)
RERANK_REQUEST = plain_request(
    {
        "query": filled_string.about("What is looked for."),
        "documents": _DOCUMENTS.about("The texts to bring into order: each a text, or an object with a `text`."),
        "model": filled_string.about("A model that ranks; without it the first of the list that does."),
        "top_n": integer(1, MOST_DOCUMENTS).about("How many of the best to give back; all without it."),
        "return_documents": boolean.about("Whether each result has its document; without it as the provider does."),
        "user": string.about("Who asks."),
    },
    ("query", "documents"),
)
"""A whole request. Raises CallerFault 400 that names the field."""


def documents_of(body: Mapping[str, Any]) -> list[str]:
    """The texts of a checked request."""
    return [one if isinstance(one, str) else str(dict_of(one).get("text") or "") for one in body.get("documents") or ()]


def _sizes(body: Mapping[str, Any]) -> list[int]:
    """Bytes of each document: of whatever is in it, because servers read other members than the text, too (Cohere's
    `rank_fields`, Jina's `image`)."""
    return [
        text_bytes(one) if isinstance(one, str) else sum(map(any_bytes, dict_of(one).values()))
        for one in body.get("documents") or ()
    ]


def rerank_input_tokens(body: Mapping[str, Any]) -> int:
    """An upper bound of the input in tokens, a token for each byte; the query is read with each document."""
    query = text_bytes(str(body.get("query") or "")) + 8
    return sum(size + query for size in _sizes(body))


def estimate_rerank_input(body: Mapping[str, Any]) -> int:
    """The expected input in tokens, for a bill when no usage came."""
    return -(-rerank_input_tokens(body) // _BYTES_PER_TOKEN)


def most_searches(body: Mapping[str, Any]) -> int:
    """An upper bound of the searches that are billed."""
    return _searches(body, 1)


def searches_of(body: Mapping[str, Any], answer: Mapping[str, Any]) -> int:
    """The searches that are billed: as the provider tells, else as they are expected, and never more than there can
    be. answer: its body, empty where it is not known."""
    told = dict_of(dict_of(answer.get("meta")).get("billed_units")).get("search_units")
    if isinstance(told, int | float) and not isinstance(told, bool) and 0 < told <= most_searches(body):
        return -int(-told // 1)
    return _searches(body, _BYTES_PER_TOKEN)


def _searches(body: Mapping[str, Any], bytes_per_token: int) -> int:
    piece = _TOKENS_PER_PIECE * bytes_per_token
    pieces = sum(max(1, -(-size // piece)) for size in _sizes(body))
    return max(1, -(-pieces // _DOCUMENTS_PER_SEARCH))


def ranked(answer: Mapping[str, Any], count: int) -> bool:
    """Whether an answer's results rank so many documents: each index one of theirs, once, each score a number."""
    results = answer.get("results")
    seen: set[int] = set()
    for result in results if isinstance(results, list) else [None]:
        index, score = dict_of(result).get("index"), dict_of(result).get("relevance_score")
        if type(index) is not int or not 0 <= index < count or index in seen:
            return False
        if isinstance(score, bool) or not isinstance(score, int | float):
            return False
        seen.add(index)
    return True


def rerank_usage(answer: Mapping[str, Any]) -> Json | None:
    """What the provider tells of tokens, in the names of chat; None when it tells nothing."""
    usage, meta = dict_of(answer.get("usage")), dict_of(answer.get("meta"))
    billed = {**dict_of(meta.get("tokens")), **dict_of(meta.get("billed_units"))}
    for told in (usage.get("prompt_tokens"), usage.get("total_tokens"), billed.get("input_tokens")):
        if type(told) is int and told > 0:
            return {"prompt_tokens": told, "completion_tokens": 0, "total_tokens": told}
    return None


def shown_ranking(answer: Mapping[str, Any], body: Mapping[str, Any]) -> Json:
    """The answer in the common shape: no more than `top_n` results, each with its document or without, as `body` asks;
    where it does not say, as they came."""
    wanted = body.get("return_documents")
    documents = documents_of(body) if wanted else []
    results = []
    for result in answer["results"][: body.get("top_n")]:
        shown = {name: value for name, value in result.items() if name != "document" or wanted is not False}
        if wanted:
            shown["document"] = {"text": documents[result["index"]]}
        elif isinstance(shown.get("document"), str):
            shown["document"] = {"text": shown["document"]}
        results.append(shown)
    return {**answer, "results": results}


RANKING = Component(
    "Ranking",
    members(
        ("results", "model", "usage"),
        id={"type": "string"},
        model={"type": "string", "description": "The name that was asked for."},
        results={
            "type": "array",
            "items": members(
                ("index", "relevance_score"),
                index={"type": "integer", "minimum": 0, "description": "Of the document in the request."},
                relevance_score={"type": "number"},
                document=or_null(members(("text",), text={"type": "string"})),
            ),
            "description": "The best first.",
        },
        usage=USAGE,
        meta={"type": "object"},
    ),
)
