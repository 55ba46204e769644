"""Requests to upstreams, for providers to send."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import orjson

from gateway.call import Call
from gateway.errors import CallerFault
from gateway.provider import UpstreamRequest


def json_request(
    url: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None, *, stream: bool, accept: str = ""
) -> UpstreamRequest:
    """A POST of `body` as JSON; see `post_request`.

    Raises CallerFault for a body that cannot be written: nested deeper than orjson's 254 levels, half a surrogate pair,
    a number above 64 bits.
    """
    try:
        data = orjson.dumps(body)
    except orjson.JSONEncodeError as error:
        raise CallerFault(
            "The request body cannot be sent on as JSON: it nests too deeply, or holds a number above 64 bits or text "
            f"that is no Unicode ({error})."
        ) from error
    return post_request(url, data, "application/json", headers, stream=stream, accept=accept)


def post_request(
    url: str,
    data: bytes,
    content_type: str,
    headers: Mapping[str, str] | None = None,
    *,
    stream: bool,
    accept: str = "",
) -> UpstreamRequest:
    """A POST of bytes. headers: those beside the types of content, such as `bearer_header`. accept: for an answer that
    is neither JSON nor a stream of events."""
    accepted = accept or ("text/event-stream" if stream else "application/json")
    sent = {**(headers or {}), "accept": accepted, "content-type": content_type}
    return UpstreamRequest(url, sent, data, stream=stream)


def carry_rest(
    call: Call,
    body: Mapping[str, Any],
    out: dict[str, Any],
    *,
    handled: Collection[str],
    lost: Mapping[str, tuple[Collection[Any], str]],
) -> None:
    """Put into `out`, under their own names, the members of a chat body that were not read by name. handled: those that
    were. lost: those that the provider has nothing for: the values that ask for nothing, and why every other value is
    reported. Raises CallerFault instead of reporting when the call is strict."""
    for name, (neutral, why) in lost.items():
        value = body.get(name)
        if value is not None and value not in neutral:
            call.report_dropped(name, why)
    for key, value in body.items():
        if key not in handled and key not in lost and value is not None:
            out[key] = value


def get_request(url: str, headers: Mapping[str, str] | None = None) -> UpstreamRequest:
    """A GET that asks for JSON. headers: those beside the type of content, such as `bearer_header`."""
    return UpstreamRequest(url, {**(headers or {}), "accept": "application/json"}, b"", method="GET")


def bearer_header(secret: str) -> dict[str, str]:
    """The header that carries a key, or none where there is no key."""
    return {"authorization": f"Bearer {secret}"} if secret else {}
