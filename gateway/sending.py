"""Requests to upstreams, for providers to send."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.errors import CallerFault
from gateway.provider import UpstreamRequest


def json_request(
    url: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None, *, stream: bool
) -> UpstreamRequest:
    """A POST of `body` as JSON. headers: those beside the types of content, such as `bearer_header`.

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
    types = {"accept": "text/event-stream" if stream else "application/json", "content-type": "application/json"}
    return UpstreamRequest(url, {**(headers or {}), **types}, data, stream=stream)


def get_request(url: str, headers: Mapping[str, str] | None = None) -> UpstreamRequest:
    """A GET that asks for JSON. headers: those beside the type of content, such as `bearer_header`."""
    return UpstreamRequest(url, {**(headers or {}), "accept": "application/json"}, b"", method="GET")


def bearer_header(secret: str) -> dict[str, str]:
    """The header that carries a key, or none where there is no key."""
    return {"authorization": f"Bearer {secret}"} if secret else {}
