"""A chat call to `models/{model}:generateContent`: the steps in order, each reading what those before wrote."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import orjson

from gateway.api import Call, CallerFault, Target, UpstreamRequest

from .draft import Draft
from .messages import add_messages
from .output import add_response_format
from .params import add_google, add_limits, add_modalities, add_resolution, add_rest, add_sampling
from .quirks import Quirks
from .reading import Reading
from .settings import Settings
from .thinking import add_thinking
from .tools import add_tools


def draft_request(call: Call, target: Target, settings: Settings, quirks: Quirks) -> tuple[Draft, Reading]:
    """The upstream body of `call` for `target`, and how its answer is to be read.

    Raises CallerFault that names the field; appends to `call.dropped`.
    """
    draft = Draft(call=call, body=call.body, quirks=quirks, files=settings.root)
    add_google(draft, settings.safety_settings)
    add_limits(draft)
    add_resolution(draft)
    add_messages(draft)
    add_tools(draft)
    json_text = add_response_format(draft)
    add_thinking(draft, settings.include_thoughts)
    add_sampling(draft)
    add_modalities(draft)
    add_rest(draft)
    if draft.config:
        draft.out["generationConfig"] = draft.config
    audio = call.body.get("audio")
    reading = Reading(
        json_text=json_text,
        wav=isinstance(audio, dict) and audio.get("format") == "wav" and not call.stream,
        every_search=draft.quirks.searches == "each",
    )
    return draft, reading


def build(draft: Draft, target: Target, settings: Settings) -> UpstreamRequest:
    """The request to send for a chat call."""
    method = "streamGenerateContent?alt=sse" if draft.call.stream else "generateContent"
    return post(target, method, draft.out, settings, stream=draft.call.stream)


def resource(target: Target) -> str:
    """The model's name in Google's API, with its collection."""
    return target.upstream if "/" in target.upstream else f"models/{target.upstream}"


def headers(settings: Settings) -> dict[str, str]:
    """Of every request, with the operator's credentials."""
    key = settings.api_key.get_secret_value()
    return {"accept": "application/json", **({"x-goog-api-key": key} if key else {})}


def post(target: Target, method: str, body: dict[str, Any], settings: Settings, *, stream: bool) -> UpstreamRequest:
    """A request to `{model}:{method}`, with the operator's credentials in a header. Raises CallerFault for a body that
    cannot be written as JSON."""
    sent = headers(settings) | {"content-type": "application/json"}
    if stream:
        sent["accept"] = "text/event-stream"
    try:
        data = orjson.dumps(body)
    except TypeError:
        # Nesting (orjson writes 254 levels; a call's arguments are parsed JSON in a string), or half a surrogate pair.
        raise CallerFault(
            "messages: a tool call's arguments or a schema nest too deeply, or a text is no valid Unicode",
            param="messages",
        ) from None
    url = f"{settings.root}/{quote(resource(target), safe='/')}:{method}"
    return UpstreamRequest(url=url, headers=sent, body=data, stream=stream)
