"""Members that servers of OpenAI's dialect have added to a chat request, said in OpenAI's own words.

Clients send what one server knows (OpenRouter's `reasoning`, `enable_thinking` and `chat_template_kwargs` of Qwen, vLLM
and SGLang, `thinking` of Anthropic, Moonshot and Zhipu, samplers of vLLM and llama.cpp) whatever model they ask. Others
refuse the request for it ("Extra inputs are not permitted", "Unknown parameter", "Cannot find field"). What asks for
thinking, or for none, becomes `reasoning_effort`; what nobody else has is left out, and reported.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from types import MappingProxyType
from typing import Any

from gateway.wire.efforts import EFFORTS, effort_of_budget

Json = dict[str, Any]

_SAMPLERS = (
    "top_k top_a min_p typical_p tfs length_penalty repetition_penalty repeat_penalty repeat_last_n min_tokens"
    " mirostat mirostat_eta mirostat_tau dynatemp_range bad_words stop_token_ids include_stop_str_in_output ignore_eos"
    " skip_special_tokens spaces_between_special_tokens use_beam_search best_of"
).split()
_SERVERS = (
    "chat_template chat_template_kwargs add_generation_prompt continue_final_message documents guided_json"
    " guided_regex guided_choice guided_grammar structured_outputs separate_reasoning stream_reasoning"
    " reasoning_format reasoning_split include_reasoning enable_thinking thinking_budget reasoning preserve_thinking"
    " num_ctx num_predict keep_alive cache_prompt cache_salt transforms usage return_token_ids prompt_logprobs"
    " return_tokens_as_token_ids incremental_output result_format mm_processor_kwargs"
).split()
_NEUTRAL: Mapping[str, tuple[Any, ...]] = MappingProxyType(
    {
        "top_k": (0, -1),
        "top_a": (0,),
        "min_p": (0,),
        "repetition_penalty": (1,),
        "length_penalty": (1,),
        "skip_special_tokens": (True,),
        "include_reasoning": (True,),
        "separate_reasoning": (True,),
        "stream_reasoning": (True,),
        "best_of": (1,),
    }
)
"""Values that ask for what happens anyway."""
_ALL = frozenset({*_SAMPLERS, *_SERVERS, "thinking"})


def without_extensions(body: Json, understands: Container[str]) -> tuple[Json, list[str]]:
    """A chat body for a target, and the paths of what it is not told: the very same body when nothing had to change.

    understands: see `Profile.understands`: `extensions` for all of them, `thinking` and `top_k` for these.
    """
    if "extensions" in understands or _ALL.isdisjoint(body):
        return body, []
    found = [name for name in body if name in _ALL and name not in understands]
    if not found:
        return body, []
    out = {name: value for name, value in body.items() if name not in found}
    dropped = []
    for name in found:
        value = body[name]
        if value is None or name == "usage" or value in _NEUTRAL.get(name, ()):
            continue
        read = _EFFORT.get(name)
        effort = read(value) if read is not None else None
        if effort is None:
            dropped.append(name)
            continue
        asked = out.get("reasoning_effort")
        if asked is None:
            out["reasoning_effort"] = effort
        elif asked != effort and (asked == "none" or effort != "medium"):
            dropped.append(name)  # it says otherwise; who only asks for thinking agrees with any effort but none
            continue
        if name in _MEMBERS:
            dropped += [f"{name}.{key}" for key, told in value.items() if told and key not in _MEMBERS[name]]
    return out, dropped


def _of_budget(budget: Any) -> str | None:
    return effort_of_budget(budget) if type(budget) is int and budget >= 0 else None


def _of_switch(on: Any) -> str | None:
    return ("medium" if on else "none") if isinstance(on, bool) else None


def _of_reasoning(value: Any) -> str | None:
    """`{"effort"}`, `{"max_tokens"}` or `{"enabled"}`."""
    if not isinstance(value, dict):
        return None
    effort = value.get("effort")
    if isinstance(effort, str) and effort in EFFORTS:
        return effort
    if value.get("enabled") is False:
        return "none"
    return _of_budget(value.get("max_tokens")) or _of_switch(value.get("enabled"))


def _of_thinking(value: Any) -> str | None:
    """`{"type": "enabled" | "disabled" | "adaptive" | "auto", "budget_tokens"}`."""
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "enabled":
        return _of_budget(value.get("budget_tokens")) or "medium"
    return {"adaptive": "medium", "auto": "medium", "disabled": "none"}.get(kind) if isinstance(kind, str) else None


def _of_template(value: Any) -> str | None:
    """What a model's template is told, where nothing but thinking is."""
    if not isinstance(value, dict) or len(value) != 1:
        return None
    return _of_switch(value.get("enable_thinking", value.get("thinking")))


_EFFORT: Mapping[str, Callable[[Any], str | None]] = MappingProxyType(
    {
        "reasoning": _of_reasoning,
        "thinking": _of_thinking,
        "enable_thinking": _of_switch,
        "thinking_budget": _of_budget,
        "chat_template_kwargs": _of_template,
    }
)
"""What they ask for, as OpenAI's efforts; None for what cannot be told."""
_MEMBERS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "reasoning": frozenset({"effort", "max_tokens", "enabled"}),
        "thinking": frozenset({"type", "budget_tokens"}),
    }
)
"""Of those that are objects, the members that make the effort."""
