"""The remaining parameters: limits, sampling, modalities, tiers, Google's own, and those that it cannot express.

Sources: OpenAI's API reference (create chat completion); Google's API reference (`GenerationConfig`,
`generateContent`), and its page on OpenAI compatibility (`extra_body.google`).
"""

from __future__ import annotations

import re
from typing import Any

from gateway.api import as_dict, as_list

from .draft import Draft, refuse

CANNOT: dict[str, tuple[tuple[Any, ...], str]] = {
    "logit_bias": (({},), "Gemini has no logit bias"),
    "prediction": ((), "Gemini takes no predicted output"),
    "store": ((False,), "Gemini does not store completions"),
    "verbosity": (("medium",), "Gemini has no verbosity; say it in the instructions"),
    "prompt_cache_key": ((), "Gemini caches by itself, or by cachedContent"),
    "prompt_cache_options": (({},), "Gemini caches by itself, or by cachedContent"),
    "prompt_cache_retention": (("in_memory", "in-memory"), "Gemini caches by itself, or by cachedContent"),
    "moderation": ((), "Gemini does not run OpenAI's moderation; see safety_settings"),
    "metadata": (({},), "Gemini stores no metadata"),
    "user": ((), "Gemini takes no identifier of an end user"),
    "safety_identifier": ((), "Gemini takes no identifier of an end user"),
}
"""Parameters without a counterpart: the values that ask for nothing, and why every other value is reported."""

HANDLED = frozenset({
    "model", "messages", "stream", "stream_options", "n", "tools", "tool_choice", "parallel_tool_calls",
    "web_search_options", "response_format", "reasoning_effort", "max_tokens", "max_completion_tokens", "temperature",
    "top_p", "top_k", "stop", "seed", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs",
    "service_tier", "modalities", "audio", "functions", "function_call", "google", "extra_body",
})  # fmt: skip
"""Keys of a chat body that are read by name."""

TOP = frozenset({"safetySettings", "cachedContent", "toolConfig", "labels", "serviceTier"})
"""Google's own members of the request."""

CONFIG = frozenset({
    "thinkingConfig", "mediaResolution", "speechConfig", "responseModalities", "imageConfig", "audioTimestamp",
    "enableEnhancedCivicAnswers", "enableAffectiveDialog", "topP", "topK", "maxOutputTokens", "stopSequences",
    "presencePenalty", "frequencyPenalty", "responseMimeType", "responseSchema", "responseJsonSchema",
    "responseLogprobs", "routingConfig", "modelSelectionConfig", "translationConfig",
})  # fmt: skip
"""Google's own members of `generationConfig` that may be given under their names, in either spelling."""

_TAKEN = {
    "contents": "use messages",
    "systemInstruction": "use a system message",
    "candidateCount": "use n",
    "model": "use model",
}
_TIERS = {"auto": None, "default": "standard", "standard": "standard", "flex": "flex", "priority": "priority"}
_MOST_STOPS = 5
_MOST_SEED = 2**31


def _camel(name: str) -> str:
    return re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), name)


def add_google(draft: Draft, safety: dict[str, str]) -> None:
    """Google's own parameters, by name, in `generationConfig`, in `google` and in `extra_body.google`, and whatever is
    not known at all under its own name. Call it first: what OpenAI's parameters say is laid over it.

    safety: the operator's thresholds by category, for requests that bring none.
    """
    body = draft.body
    for key, value in body.items():
        if key not in HANDLED and key not in CANNOT and value is not None:
            _take(draft, key, value, key)
    more = body.get("extra_body")
    inner = more.get("google") if isinstance(more, dict) else None
    for path, members in (("google", body.get("google")), ("extra_body.google", inner)):
        if members is not None:
            for key, value in as_dict(members, path).items():
                _take(draft, key, value, f"{path}.{key}")
    if isinstance(more, dict) and set(more) - {"google"}:
        draft.report("extra_body", "only extra_body.google is known; SDKs merge extra_body into the body")
    if safety and "safetySettings" not in draft.out:
        draft.out["safetySettings"] = [{"category": name, "threshold": level} for name, level in safety.items()]


def _take(draft: Draft, key: str, value: Any, path: str) -> None:
    name = _camel(key)
    if name in _TAKEN:
        raise refuse(path, f"cannot be given in Google's words; {_TAKEN[name]}")
    if name == "generationConfig":
        for inner, held in as_dict(value, path).items():
            if _camel(inner) in _TAKEN:
                raise refuse(f"{path}.{inner}", f"cannot be given in Google's words; {_TAKEN[_camel(inner)]}")
            draft.config[_camel(inner)] = held
    elif name in CONFIG:
        draft.config[name] = value
    elif name in TOP:
        draft.out[name] = value
    else:
        draft.out[key] = value


def add_limits(draft: Draft) -> None:
    """`maxOutputTokens` (what the gateway allows, else what was asked) and `stopSequences`."""
    limit = draft.call.max_output
    if limit is None:
        for key in ("max_completion_tokens", "max_tokens"):
            if draft.body.get(key) is not None:
                limit = _whole(draft.body[key], key, 1)
                break
    if limit is not None:
        draft.config["maxOutputTokens"] = limit
    stop = draft.body.get("stop")
    if stop is not None:
        listed = [stop] if isinstance(stop, str) else stop
        if not isinstance(listed, list) or not all(isinstance(entry, str) for entry in listed):
            raise refuse("stop", "must be a string or an array of strings")
        if len(listed) > _MOST_STOPS:
            raise refuse("stop", f"Gemini takes at most {_MOST_STOPS} stop sequences")
        kept = [entry for entry in listed if entry]
        if kept:
            draft.config["stopSequences"] = kept


def _whole(value: Any, path: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise refuse(path, f"must be a whole number of at least {least}")
    return value


def _number(draft: Draft, name: str, least: float, most: float) -> float | None:
    value = draft.body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise refuse(name, f"must be a number from {least} to {most}")
    return value


def add_sampling(draft: Draft) -> None:
    """Sampling, penalties, seed, log probabilities and the number of choices, as far as the model has them."""
    quirks, config = draft.quirks, draft.config
    temperature, top_p = _number(draft, "temperature", 0, 2), _number(draft, "top_p", 0, 1)
    top_k = draft.body.get("top_k")
    if quirks.most_top_k is not None and type(top_k) is int and top_k > quirks.most_top_k:
        draft.report("top_k", f"this model takes at most {quirks.most_top_k}, which was used")
        top_k = quirks.most_top_k
    for name, target, value, neutral in (
        ("temperature", "temperature", temperature, 1),
        ("top_p", "topP", top_p, 1),
        ("top_k", "topK", top_k, None),
    ):
        if value is None:
            continue
        if quirks.sampling:
            config[target] = value
        elif value != neutral:
            draft.report(name, "this model ignores sampling parameters")
    for name, target in (("presence_penalty", "presencePenalty"), ("frequency_penalty", "frequencyPenalty")):
        penalty = _number(draft, name, -2, 2)
        if penalty is not None and quirks.penalties:
            config[target] = penalty
        elif penalty:
            draft.report(name, "penalties are not enabled for this model")
    seed = draft.body.get("seed")
    if seed is not None:
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise refuse("seed", "must be a whole number")
        config["seed"] = seed % _MOST_SEED  # Google's is of 32 bits; the same seed still gives the same one
    _add_logprobs(draft)
    count = draft.body.get("n")
    if count is not None and _whole(count, "n", 1) > 1:
        if count > quirks.candidates:
            draft.report("n", f"this model gives at most {quirks.candidates} choices at once")
        if quirks.candidates > 1:
            config["candidateCount"] = min(count, quirks.candidates)


def _add_logprobs(draft: Draft) -> None:
    wanted, top = draft.body.get("logprobs"), draft.body.get("top_logprobs")
    if wanted not in (None, True, False):
        raise refuse("logprobs", "must be true or false")
    if not wanted and not top:
        return
    if not draft.quirks.logprobs:
        if wanted:
            draft.report("logprobs", "log probabilities are not enabled for this model")
        if top:
            draft.report("top_logprobs", "log probabilities are not enabled for this model")
        return
    draft.config["responseLogprobs"] = True
    if top is not None:
        draft.config["logprobs"] = _whole(top, "top_logprobs", 0)


def add_modalities(draft: Draft) -> None:
    """`responseModalities` and the voice of a spoken answer."""
    wanted = draft.body.get("modalities")
    if wanted is not None:
        listed = as_list(wanted, "modalities")
        unknown = [entry for entry in listed if entry not in ("text", "audio", "image")]
        if unknown:
            raise refuse("modalities", f"{str(unknown[0])[:40]!r} is not known; use text, audio and image")
        if "audio" in listed:
            # A speaking model answers in audio alone; asked for TEXT as well it refuses.
            draft.config["responseModalities"] = ["AUDIO"]
        elif "image" in listed:
            draft.config["responseModalities"] = [entry.upper() for entry in listed]
    audio = draft.body.get("audio")
    if audio is None:
        return
    voice = as_dict(audio, "audio").get("voice")
    if isinstance(voice, str) and voice:
        draft.config.setdefault("speechConfig", {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": voice}}})
    if audio.get("format") not in (None, "wav", "pcm16"):
        draft.report("audio.format", "Gemini speaks raw samples, which are given as wav or pcm16")


def add_resolution(draft: Draft) -> None:
    """`image_url.detail: low` of all images, as the one resolution Gemini has for a request. Call it before the
    messages, where any other mix of details is reported."""
    details = set()
    messages = draft.body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else ():
            kind = part.get("type") if isinstance(part, dict) else None
            if kind == "image_url":
                image = part["image_url"] if isinstance(part.get("image_url"), dict) else {}
                details.add(str(image.get("detail")))
            elif kind in ("file", "video_url"):
                details.add(kind)
    if details == {"low"}:
        draft.config.setdefault("mediaResolution", "MEDIA_RESOLUTION_LOW")


def add_rest(draft: Draft) -> None:
    """The tier, and what is refused or reported because Gemini has nothing like it."""
    body = draft.body
    tier = body.get("service_tier")
    if tier is not None:
        if not isinstance(tier, str) or tier not in _TIERS:
            draft.report("service_tier", "Gemini has auto, default, flex and priority")
        elif _TIERS[tier]:
            draft.out["serviceTier"] = _TIERS[tier]
    for name, (neutral, why) in CANNOT.items():
        value = body.get(name)
        if value is not None and value not in neutral:
            draft.report(name, why)
