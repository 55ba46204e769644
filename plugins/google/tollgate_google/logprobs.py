"""Google's `logprobsResult` as the `logprobs` of a chat choice (both API references)."""

from __future__ import annotations

from typing import Any

from gateway.api import dict_of, dicts_of, text_of


def translate_logprobs(raw: Any) -> dict[str, Any] | None:
    """`{"content": [...], "refusal": null}`, or None when there are no tokens."""
    raw = dict_of(raw)
    listed = raw.get("topCandidates")
    tops = listed if isinstance(listed, list) else []
    content = []
    for at, chosen in enumerate(dicts_of(raw.get("chosenCandidates"))):
        top = dicts_of(dict_of(tops[at]).get("candidates")) if at < len(tops) else []
        content.append({**_token(chosen), "top_logprobs": [_token(entry) for entry in top]})
    return {"content": content, "refusal": None} if content else None


def _token(entry: dict[str, Any]) -> dict[str, Any]:
    token = text_of(entry.get("token"))
    value = entry.get("logProbability")
    logprob = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0.0
    return {"token": token, "logprob": logprob, "bytes": list(token.encode("utf-8", "replace"))}
