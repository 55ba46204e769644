"""A generateContent request as a chat request, for targets that do not speak Google's dialect.

Source: Google's API reference (`models.generateContent`, `GenerationConfig`). Each parameter is translated, reported as
dropped, or makes the request impossible elsewhere (`Notes`). What must be right wherever the request goes raises
CallerFault here.
"""

from __future__ import annotations

from typing import Any

from gateway.api import Notes, as_dict, as_list, as_text, effort_of_budget, is_closed, refuse_forbidden, schema_of
from tollgate_google.draft import refuse

from .schema import json_schema
from .spelling import camel
from .tools import add_tools
from .turns import chat_messages

Json = dict[str, Any]

_READ = frozenset({
    "contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "cachedContent", "serviceTier", "model",
})  # fmt: skip
_CONFIG = frozenset({
    "temperature", "topP", "topK", "maxOutputTokens", "stopSequences", "candidateCount", "seed", "presencePenalty",
    "frequencyPenalty", "responseLogprobs", "logprobs", "responseMimeType", "responseSchema", "responseJsonSchema",
    "thinkingConfig", "responseModalities",
})  # fmt: skip

_NUMBERS = (
    ("temperature", "temperature", 0, 2),
    ("topP", "top_p", 0, 1),
    ("presencePenalty", "presence_penalty", -2, 2),
    ("frequencyPenalty", "frequency_penalty", -2, 2),
)
_WHOLE = (
    ("maxOutputTokens", "max_tokens", 1, 2**31 - 1),
    ("candidateCount", "n", 1, 128),
    ("seed", "seed", -(2**31), 2**31 - 1),
    ("topK", "top_k", 0, 2**31 - 1),
)
_EFFORTS = ("minimal", "low", "medium", "high")
_TIERS = {"standard": "default", "flex": "flex", "priority": "priority", "unspecified": None}
_MOST_STOPS = 4


def check(body: Json) -> None:
    """Refuse what tries to steer routing or credentials. Raises CallerFault that names the field."""
    for key in body:
        refuse_forbidden(key)


def chat_body(body: Json, notes: Notes) -> Json:
    """The chat body of a request. Raises CallerFault for what is malformed; `notes` gets the rest."""
    body = camel(body)
    out: Json = {"messages": chat_messages(notes, body.get("systemInstruction"), body.get("contents"))}
    add_tools(out, body, notes)
    given = body.get("generationConfig")
    config = camel(as_dict(given, "generationConfig")) if given is not None else {}
    _add_numbers(out, config)
    if out.get("top_k") == 0:  # narrows nothing
        del out["top_k"]
    elif "top_k" in out:
        notes.beyond["top_k"] = "generationConfig.topK"  # OpenAI and others refuse it
    _add_stops(out, config.get("stopSequences"), notes)
    _add_logprobs(out, config)
    _add_format(out, config, notes)
    _add_thinking(out, config.get("thinkingConfig"), notes)
    _add_modalities(out, config.get("responseModalities"))
    notes.report_rest(config, _CONFIG, "generationConfig")
    tier = body.get("serviceTier")
    if tier is not None:
        if isinstance(tier, str) and tier.lower() in _TIERS:
            out["service_tier"] = _TIERS[tier.lower()]
        else:
            notes.report("serviceTier")
    if body.get("cachedContent"):
        notes.blame("cachedContent", "content cached at Google")
        out["cachedContent"] = body["cachedContent"]  # so that its size is reckoned with
    for key, value in body.items():
        if key not in _READ and value is not None and value != []:
            notes.report(key[:64])
    return {key: value for key, value in out.items() if value is not None}


def _add_numbers(out: Json, config: Json) -> None:
    for name, target, least, most in (*_NUMBERS, *_WHOLE):
        value = config.get(name)
        if value is None:
            continue
        whole = (name, target, least, most) in _WHOLE
        if isinstance(value, float) and whole and value.is_integer():
            value = int(value)
        kinds = int if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value <= most:
            kind = "a whole number" if whole else "a number"
            raise refuse(f"generationConfig.{name}", f"must be {kind} from {least} to {most}")
        out[target] = value


def _add_stops(out: Json, stops: Any, notes: Notes) -> None:
    if stops is None:
        return
    path = "generationConfig.stopSequences"
    kept = [stop for at, given in enumerate(as_list(stops, path)) if (stop := as_text(given, f"{path}[{at}]"))]
    if len(kept) > _MOST_STOPS:
        notes.report(f"{path}[{_MOST_STOPS}:]")
    if kept:
        out["stop"] = kept[:_MOST_STOPS]


def _add_logprobs(out: Json, config: Json) -> None:
    wanted, top = config.get("responseLogprobs"), config.get("logprobs")
    if wanted not in (None, True, False):
        raise refuse("generationConfig.responseLogprobs", "must be true or false")
    if wanted:
        out["logprobs"] = True
    if top is not None:
        if type(top) is not int or not 0 <= top <= 20 or not wanted:
            raise refuse("generationConfig.logprobs", "must be from 0 to 20, with responseLogprobs: true")
        out["top_logprobs"] = top


def _add_format(out: Json, config: Json, notes: Notes) -> None:
    kind = config.get("responseMimeType")
    given, own = config.get("responseJsonSchema"), config.get("responseSchema")
    if kind not in (None, "", "text/plain", "application/json"):
        notes.blame("generationConfig.responseMimeType", f"an answer of the type {str(kind)[:60]!r}")
    if given is not None:
        schema = schema_of(given, "generationConfig.responseJsonSchema")
    elif own is not None:
        schema = json_schema(schema_of(own, "generationConfig.responseSchema"))
    elif kind == "application/json":
        out["response_format"] = {"type": "json_object"}
        return
    else:
        return
    spec = {"name": "answer", "schema": schema, "strict": is_closed(schema)}
    out["response_format"] = {"type": "json_schema", "json_schema": spec}


def _add_thinking(out: Json, given: Any, notes: Notes) -> None:
    if given is None:
        return
    path = "generationConfig.thinkingConfig"
    config = camel(as_dict(given, path))
    notes.report_rest(config, frozenset({"thinkingBudget", "thinkingLevel", "includeThoughts"}), path)
    budget, level = config.get("thinkingBudget"), config.get("thinkingLevel")
    if level is not None:
        if not isinstance(level, str) or level.lower() not in _EFFORTS:
            raise refuse(f"{path}.thinkingLevel", "must be MINIMAL, LOW, MEDIUM or HIGH")
        out["reasoning_effort"] = level.lower()
    elif budget is not None:
        if type(budget) is not int or budget < -1:
            raise refuse(f"{path}.thinkingBudget", "must be a whole number of at least -1")
        if budget >= 0:
            out["reasoning_effort"] = effort_of_budget(budget)
        elif config.get("includeThoughts"):
            out["reasoning_effort"] = "medium"
    elif config.get("includeThoughts") is True:
        out["reasoning_effort"] = "medium"


def _add_modalities(out: Json, wanted: Any) -> None:
    if wanted is None:
        return
    path = "generationConfig.responseModalities"
    listed = [as_text(kind, f"{path}[{at}]").lower() for at, kind in enumerate(as_list(wanted, path))]
    unknown = [kind for kind in listed if kind not in ("text", "image", "audio", "modality_unspecified")]
    if unknown:
        raise refuse(path, f"{unknown[0][:40]!r} is not known; use TEXT, IMAGE and AUDIO")
    kinds = [kind for kind in listed if kind != "modality_unspecified"]
    if kinds and kinds != ["text"]:
        out["modalities"] = kinds
