"""A chat completion, streamed or whole, as GenerateContentResponses.

Source: Google's API reference (`GenerateContentResponse`, `Candidate`, `UsageMetadata`). Words and thoughts are told as
they come; function calls, which Google's clients expect whole, come with the end of their candidate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.api import Activity, dict_of, dicts_of, load_mended, read_usage, text_of
from tollgate_google.reading import FINISH

from .sealing import signature_of

Json = dict[str, Any]

FINISH_REASONS: Mapping[str, str] = {
    "stop": "STOP",
    "length": "MAX_TOKENS",
    "tool_calls": "STOP",
    "function_call": "STOP",
    "content_filter": "SAFETY",
}
"""`finish_reason` to `finishReason`; unknown ones are STOP."""


def usage_of(usage: Mapping[str, Any]) -> Json:
    """`usageMetadata` from a chat completion's usage. Google counts the thoughts apart from the candidates."""
    numbers = read_usage(usage)
    out: Json = {
        "promptTokenCount": numbers.prompt_tokens,
        "candidatesTokenCount": max(numbers.completion_tokens - numbers.reasoning_tokens, 0),
        "totalTokenCount": numbers.prompt_tokens + numbers.completion_tokens,
    }
    if numbers.reasoning_tokens:
        out["thoughtsTokenCount"] = numbers.reasoning_tokens
    if numbers.cached_tokens:
        out["cachedContentTokenCount"] = numbers.cached_tokens
    return out


def spoken_parts(delta: Json) -> list[Json]:
    """The parts of a delta, or of a message, that can be told at once: thoughts, words, pictures, speech."""
    parts: list[Json] = []
    thought = delta.get("reasoning_content") or delta.get("reasoning")
    if isinstance(thought, str) and thought:
        parts.append({"text": thought, "thought": True})
    for name in ("content", "refusal"):
        text = delta.get(name)
        if isinstance(text, str) and text:
            parts.append({"text": text})
    for image in dicts_of(delta.get("images")):
        parts += _data_part(dict_of(image.get("image_url")).get("url"))
    audio = dict_of(delta.get("audio"))
    if isinstance(audio.get("data"), str) and audio["data"]:
        kind = text_of(audio.get("mime_type")) or "audio/wav"
        parts.append({"inlineData": {"mimeType": kind, "data": audio["data"]}})
    return parts


def _data_part(url: Any) -> list[Json]:
    if not isinstance(url, str):
        return []
    head, _, data = url.partition(",")
    if head.startswith("data:") and head.endswith(";base64"):
        return [{"inlineData": {"mimeType": head[5:].removesuffix(";base64"), "data": data}}]
    return [{"fileData": {"fileUri": url}}] if url.startswith("http") else []


def closing_parts(calls: list[Json], details: list[Any]) -> list[Json]:
    """The function calls, and what their provider wants back in the next turn: sealed into one signature."""
    parts: list[Json] = []
    for call in calls:
        function, custom = dict_of(call.get("function")), call.get("custom")
        found = {"name": text_of(function.get("name")), "args": _arguments(function.get("arguments"))}
        if isinstance(custom, dict):  # a tool with free text, which Google has none of
            found = {"name": text_of(custom.get("name")), "args": {"input": text_of(custom.get("input"))}}
        parts.append({"functionCall": {"id": text_of(call.get("id")), **found}})
    if details:
        if not parts:
            parts.append({"text": ""})
        parts[0]["thoughtSignature"] = signature_of(details)
    return parts


def _arguments(given: Any) -> Json:
    """`args`; what the model did not write as a JSON object is told under a name of its own."""
    if isinstance(given, dict):
        return given
    try:
        parsed = load_mended(given.encode("utf-8", "replace")) if isinstance(given, str) and given else {}
    except orjson.JSONDecodeError:
        parsed = given
    if parsed is None:
        return {}
    return parsed if isinstance(parsed, dict) else {"INVALID_JSON": given}


def ending_of(choice: Mapping[str, Any]) -> Json:
    """`finishReason`, and what else belongs to the end of a candidate."""
    native = choice.get("native_finish_reason")
    reason = FINISH_REASONS.get(str(choice.get("finish_reason")), "STOP")
    end: Json = {"finishReason": native if isinstance(native, str) and native in FINISH else reason}
    for name in ("finishMessage", "groundingMetadata", "citationMetadata", "urlContextMetadata", "safetyRatings"):
        if choice.get(name) is not None:
            end[name] = choice[name]
    return end


def grounding_of(message: Json, text: str = "", activity: Any = None) -> Json | None:
    """`groundingMetadata` for the addresses and documents that an answer of another provider cites, and for what the
    gateway searched for it; None when there is nothing. text: of the whole answer, which citations point into by
    characters, and `groundingSupports` by bytes. activity: see `gateway.api.Activity`."""
    places: dict[tuple[str, str], int] = {}
    chunks: list[Json] = []
    supports: list[Json] = []

    def place(kind: str, key: str, chunk: Json) -> int:
        if (kind, key) not in places:
            places[kind, key] = len(chunks)
            chunks.append({kind: chunk})
        return places[kind, key]

    def support(at: int, cited: Json) -> None:
        start, end = cited.get("start_index"), cited.get("end_index")
        if type(start) is int and type(end) is int and 0 <= start < end <= len(text):
            first = len(text[:start].encode("utf-8", "replace"))
            piece = text[start:end]
            segment = {"startIndex": first, "endIndex": first + len(piece.encode("utf-8", "replace")), "text": piece}
            supports.append({"segment": segment, "groundingChunkIndices": [at]})

    for note in dicts_of(message.get("annotations")):
        cited = dict_of(note.get("url_citation"))
        if url := text_of(cited.get("url")):
            support(place("web", url, {"uri": url, "title": text_of(cited.get("title"))}), cited)
    for cited in dicts_of(message.get("citations")):
        title = text_of(cited.get("document_title")) or text_of(cited.get("filename")) or text_of(cited.get("file_id"))
        said = text_of(cited.get("cited_text"))
        if title or said:
            support(place("retrievedContext", title + said, {"title": title, "text": said}), cited)
    queries: list[str] = []
    for item in _ended(activity, "search"):
        queries.append(text_of(dict_of(item.get("action")).get("query")))
        for result in dicts_of(item.get("results")):
            url = text_of(result.get("url"))
            place("web", url, {"uri": url, "title": text_of(result.get("title"))})
    parts = {"webSearchQueries": queries, "groundingChunks": chunks, "groundingSupports": supports}
    return {name: value for name, value in parts.items() if value} or None


def add_grounding(candidate: Json, message: Json, text: str, activity: Any) -> None:
    """Write what `grounding_of` finds into a candidate, and the pages that the gateway opened for it, where it has none
    of its own."""
    for name, found in (
        ("groundingMetadata", grounding_of(message, text, activity)),
        ("urlContextMetadata", _pages(activity)),
    ):
        if found is not None:
            candidate.setdefault(name, found)


def _pages(activity: Any) -> Json | None:
    """`urlContextMetadata` for the pages that the gateway opened, None for none."""
    opened = [
        {
            "retrievedUrl": text_of(dict_of(item.get("action")).get("url")),
            "urlRetrievalStatus": "URL_RETRIEVAL_STATUS_SUCCESS"
            if item.get("status") == "completed"
            else "URL_RETRIEVAL_STATUS_ERROR",
        }
        for item in _ended(activity, "open_page")
    ]
    return {"urlMetadata": opened} if opened else None


def _ended(activity: Any, kind: str) -> list[Json]:
    """The gateway's own searches, or openings of pages, that have ended; nothing of what an upstream might call so."""
    if not isinstance(activity, Activity):
        return []
    items = [dict_of(event.get("item")) for event in activity if event.get("event") == "done"]
    return [item for item in items if dict_of(item.get("action")).get("type") == kind]


def logprobs_of(logprobs: Any) -> Json | None:
    """`logprobsResult` for a choice's log probabilities."""
    listed = dicts_of(dict_of(logprobs).get("content"))
    if not listed:
        return None
    tops = [{"candidates": [_token(entry) for entry in dicts_of(found.get("top_logprobs"))]} for found in listed]
    return {"chosenCandidates": [_token(found) for found in listed], "topCandidates": tops}


def _token(found: Json) -> Json:
    return {"token": text_of(found.get("token")), "logProbability": found.get("logprob")}


def response_of(completion: Json, identity: str) -> Json:
    """The answer for a whole completion."""
    candidates = []
    for at, choice in enumerate(dicts_of(completion.get("choices"))):
        message = dict_of(choice.get("message"))
        details = message.get("reasoning_details")
        parts = spoken_parts(message)
        parts += closing_parts(dicts_of(message.get("tool_calls")), details if isinstance(details, list) else [])
        candidate: Json = {"content": {"role": "model", "parts": parts}, **ending_of(choice), "index": at}
        add_grounding(candidate, message, text_of(message.get("content")), message.get("x_gateway"))
        logprobs = logprobs_of(choice.get("logprobs"))
        if logprobs is not None:
            candidate["logprobsResult"] = logprobs
        candidates.append(candidate)
    return {
        "candidates": candidates,
        "usageMetadata": usage_of(dict_of(completion.get("usage"))),
        "modelVersion": completion.get("model"),
        "responseId": identity,
    }
