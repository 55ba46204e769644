"""`POST /responses/compact`: a conversation made shorter, to go on with in the place of the long one.

A provider that compacts itself does (the operation `compact`); its item is opaque, and goes back to it as it is. For
all others the model is asked for a summary, by an ordinary call that is billed as one, and the summary becomes a
`compaction` item that only this gateway opens (`gateway.responses.sealer`). Beside it stand the user's own latest
messages, word for word.

Source: OpenAI's OpenAPI document 2.3.0 (CompactResponseMethodPublicBody, CompactResource, CompactionBody), its guide
"Compaction", and requests of Codex 0.171.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from gateway.call import Call, Form
from gateway.errors import UpstreamFault
from gateway.provider import Answer
from gateway.responses.dialect import ResponsesCall, ResponsesDialect, check_request
from gateway.wire.bridge.client_tools import CALLERS_TOOLS
from gateway.wire.responses.ids import Minter
from gateway.wire.responses.native import native_request
from gateway.wire.responses.objects import item_resources, shown_usage

Json = dict[str, Any]

_ASK = (
    "Stop here. The conversation so far is about to be left out, to make room. Write a summary of it for the model "
    "that goes on: the task and what the user wants, what was decided and why, what was done and with which results, "
    "names, paths, figures and quotations that are still needed, and what comes next. Write the summary only; "
    "call no tool."
)
_TAKEN = frozenset(
    {
        "instructions",
        "model",
        "parallel_tool_calls",
        "previous_response_id",
        "prompt_cache_key",
        "prompt_cache_retention",
        "reasoning",
        "service_tier",
        "user",
    }
)
"""Members that mean the same in the call for a summary."""
_MOST_KEPT = 65_536
"""Bytes of JSON of the user's messages that stay word for word."""


class CompactDialect(ResponsesDialect):
    """OpenAI's `POST /responses/compact`."""

    def open(self, call: Call, body: dict[str, Any], values: Mapping[str, str]) -> ResponsesCall:
        """Validate a request; see `ResponsesDialect.open`."""
        check_request(body)
        call.model = body.get("model") or ""
        return CompactCall(call, body, self._services)


class CompactCall(ResponsesCall):
    """One request to compact, made as the request for a summary."""

    def __init__(self, call: Call, body: Json, services: Any) -> None:
        given = body.get("input")
        listed = [{"role": "user", "content": given}] if isinstance(given, str) else list(given or ())
        asked: Json = {key: body[key] for key in _TAKEN if body.get(key) is not None}
        asked.update(input=[*listed, {"role": "user", "content": _ASK}], store=False, truncation="auto")
        tools = [tool for tool in body.get("tools") or () if tool.get("type") in CALLERS_TOOLS]
        if tools:
            # Some providers refuse calls in the history without them.
            asked.update(tools=tools, tool_choice="none")
        super().__init__(call, asked, services)
        self._given = body

    def _make_forms(self, references: Mapping[str, Mapping[str, Any]]) -> None:
        super()._make_forms(references)
        call = self._call
        if not all("compact" in target.profile.operations for target in call.candidates):
            return
        call.operation = "compact"
        body, dropped = native_request(self._given, self._told[:-1], earlier=self._earlier)
        for key in ("store", "stream", "include"):
            body.pop(key, None)
        call.forms = {"responses": Form(body, dropped)}

    def whole(self, answer: Answer) -> dict[str, Any]:
        """The compacted conversation. Raises UpstreamFault for an answer without a summary."""
        if self._call.operation == "compact":
            made = {**answer.body, "id": self.id}
            return made if answer.usage is None else {**made, "usage": shown_usage(answer.usage)}
        response = super().whole(answer)
        summary = "".join(
            part.get("text") or ""
            for item in response["output"]
            if item.get("type") == "message"
            for part in item.get("content") or ()
            if part.get("type") == "output_text"
        )
        if not summary.strip():
            raise UpstreamFault("The model wrote no summary; try again.", code="upstream_invalid_response")
        seed = self.id.removeprefix("resp_")
        item = {
            "id": Minter(f"{seed}-c").mint("cmp"),
            "type": "compaction",
            "encrypted_content": self._services.sealer.seal(self.account_id, summary),
        }
        kept = item_resources(_latest([*self._earlier, *self._items[:-1]]), seed)
        return {
            "id": self.id,
            "object": "response.compaction",
            "created_at": self._call.created,
            "output": [*kept, item],
            "usage": response["usage"],
        }


def _latest(items: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The user's messages, the latest as far as there is room for them."""
    kept: list[Mapping[str, Any]] = []
    room = _MOST_KEPT
    for item in reversed(items):
        if item.get("type") == "message" and item.get("role") == "user":
            room -= len(orjson.dumps(item))
            if room < 0:
                break
            kept.append({key: value for key, value in item.items() if key != "id"})
    return kept[::-1]
