"""A chat call to `POST /v1/messages`: the steps in their order, each reading what the ones before it wrote."""

from __future__ import annotations

from typing import Any

from gateway.api import Call, Target, UpstreamRequest, get_request, json_request

from .draft import Draft
from .messages import translate_messages
from .output import add_response_format
from .params import add_identity, add_limits, add_rest, add_sampling
from .quirks import Quirks
from .settings import Settings
from .thinking import add_thinking
from .tools import add_tools


def draft_request(call: Call, target: Target, settings: Settings, quirks: Quirks) -> Draft:
    """The upstream body of `call` for `target`, with what its answer needs to be read.

    Raises CallerFault that names the field; appends to `call.dropped`.
    """
    draft = Draft(call=call, body=call.body, quirks=quirks)
    draft.out["model"] = target.upstream
    add_limits(draft, target.max_output or draft.quirks.max_output, settings.default_max_tokens)
    system, messages = translate_messages(draft)
    if system:
        draft.out["system"] = system
    draft.out["messages"] = messages
    add_tools(draft)
    add_response_format(draft)
    add_thinking(draft)
    add_sampling(draft)
    add_identity(draft)
    add_rest(draft)
    draft.out["stream"] = call.stream
    return draft


def build(draft: Draft, settings: Settings) -> UpstreamRequest:
    """The request to send, with the operator's credentials."""
    return post(settings.endpoint, draft.out, draft.betas, settings, stream=draft.call.stream)


def models(settings: Settings) -> UpstreamRequest:
    """The request for Anthropic's list of models: one page of the most that it gives at once."""
    return get_request(settings.base_url + "/v1/models?limit=1000", _headers(settings))


def _headers(settings: Settings) -> dict[str, str]:
    headers = {"anthropic-version": settings.version}
    key = settings.api_key.get_secret_value()
    return {**headers, "x-api-key": key} if key else headers


def post(url: str, out: dict[str, Any], betas: list[str], settings: Settings, *, stream: bool) -> UpstreamRequest:
    """A request with the body `out` and the operator's credentials. Raises CallerFault for what cannot be written."""
    headers = _headers(settings)
    betas = list(dict.fromkeys([*settings.beta, *betas]))
    if betas:
        headers["anthropic-beta"] = ",".join(betas)
    return json_request(url, out, headers, stream=stream)
