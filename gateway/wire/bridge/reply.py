"""A whole chat completion as a response object.

It goes through the same machine as a stream (`BridgeStream`), as one chunk that says everything: so the object of a
whole answer and the final object of a streamed one cannot differ.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from gateway.errors import UpstreamFault
from gateway.wire.bridge.client_tools import Alias
from gateway.wire.bridge.stream import BridgeStream

Json = dict[str, Any]


def chunk_of_completion(completion: Mapping[str, Any]) -> Json:
    """The one chunk that says what a completion says. Raises UpstreamFault when it has no message."""
    choices = completion.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if not isinstance(choice, Mapping) or not isinstance(message, Mapping):
        raise UpstreamFault("The provider's answer has no message.", code="upstream_invalid_response")
    delta = dict(message)
    calls = delta.get("tool_calls")
    if isinstance(calls, list):
        # A completion's calls have no index; two that share one by mistake must not become one call.
        delta["tool_calls"] = [
            {**call, "index": index} if isinstance(call, Mapping) else call for index, call in enumerate(calls)
        ]
    rest = {key: value for key, value in choice.items() if key != "message"}
    return {**completion, "choices": [{**rest, "index": 0, "delta": delta}]}


def response_from_chat(
    completion: Mapping[str, Any],
    request: Mapping[str, Any],
    *,
    response_id: str,
    model: str,
    now: int,
    created: int | None = None,
    seed: str | None = None,
    emulated: Collection[str] = (),
    aliases: Mapping[str, Alias] | None = None,
    usage: Mapping[str, Any] | None = None,
    reason: str | None = None,
    server_items: Sequence[Json] = (),
) -> Json:
    """The response object for a chat completion.

    request: the validated Responses body. now: unix seconds of the end; created: of the beginning (default: now).
    server_items: what was done beside the model's words, before them. usage, reason: see `BridgeStream.finish`.
    seed, emulated, aliases: see `BridgeStream`.
    Raises UpstreamFault when the completion makes no sense.
    """
    stream = BridgeStream(
        request,
        response_id=response_id,
        model=model,
        now=now if created is None else created,
        seed=seed,
        emulated=emulated,
        aliases=aliases,
    )
    for item in server_items:
        stream.start()
        index, _ = stream.server_item(item)
        stream.server_item_done(index, item)
    stream.feed(chunk_of_completion(completion))
    stream.finish(now, usage=usage, reason=reason)
    return stream.response
