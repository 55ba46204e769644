"""A chat call to `POST /v1/messages`: the steps in their order, each reading what the ones before it wrote."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.api import Call, CallerFault, Target, UpstreamRequest

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
    return UpstreamRequest(settings.base_url + "/v1/models?limit=1000", _headers(settings), b"", method="GET")


def _headers(settings: Settings) -> dict[str, str]:
    headers = {"accept": "application/json", "anthropic-version": settings.version}
    key = settings.api_key.get_secret_value()
    return {**headers, "x-api-key": key} if key else headers


def post(url: str, out: dict[str, Any], betas: list[str], settings: Settings, *, stream: bool) -> UpstreamRequest:
    """A request with the body `out` and the operator's credentials. Raises CallerFault for what cannot be written."""
    headers = _headers(settings)
    headers["content-type"] = "application/json"
    if stream:
        headers["accept"] = "text/event-stream"
    betas = list(dict.fromkeys([*settings.beta, *betas]))
    if betas:
        headers["anthropic-beta"] = ",".join(betas)
    try:
        body = orjson.dumps(out)
    except TypeError:
        # Only nesting can get here (orjson writes 254 levels): a tool call's arguments are parsed JSON in a string.
        raise CallerFault("messages: a tool call's arguments nest too deeply; flatten them", param="messages") from None
    return UpstreamRequest(url=url, headers=headers, body=body, stream=stream)
