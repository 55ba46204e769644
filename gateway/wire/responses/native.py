"""Responses requests and answers for an upstream that speaks Responses itself.

As little as possible is changed. On the way out: the input in canonical spelling (`responses_pairing`), without item
ids, and the gateway's state fields taken out, because the gateway keeps the state
(the upstream is asked not to store, and to hand out its encrypted reasoning, so that the next turn can carry it).
On the way back: the response's id, the model and those state fields as the caller knows them, and the ids of calls
derived from their call ids, so that either spelling of a result leads back to its call (`responses_ids`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from gateway.errors import Fault, UpstreamFault
from gateway.wire.chat.activity import in_words
from gateway.wire.errors.render import fault_from_stream_event
from gateway.wire.responses.complete import ARGUMENTS, Completer, complete_usage, is_complete
from gateway.wire.responses.events import TERMINAL, encode_event, error_event
from gateway.wire.responses.fold import ResponseFold
from gateway.wire.responses.ids import CALL_PREFIXES, is_minted, item_id_for_call
from gateway.wire.responses.objects import error_of
from gateway.wire.responses.sealed_reasoning import FOREIGN, is_sealed, unseal
from gateway.wire.responses.steady import Steadier

Json = dict[str, Any]

ENCRYPTED = "reasoning.encrypted_content"

# Kept by the gateway; an upstream would look for state that it does not have.
_STATE = ("previous_response_id", "conversation", "background")

# Keys of OpenAI's items (OpenAPI 2.3.0, FunctionToolCall and its neighbours); it refuses others. No item gets its
# `id`: with `store: false` OpenAI looks up ids in vain, or misses the item that followed another, and ids of calls
# are ours anyhow. Whole items without ids are accepted (openai/codex pull request 3390; vercel/ai issue 7543; the
# recorded request among the tests' fixtures), if no item of the turn keeps one.
_CALL_KEYS = frozenset({"type", "call_id", "name", "arguments", "input", "status", "namespace", "caller"})
_OUTPUT_KEYS = frozenset({"type", "call_id", "output", "caller"})
_CALLED = frozenset({"type", "call_id", "caller", "status"})
_KEYS: dict[str, frozenset[str]] = {
    "function_call": _CALL_KEYS,
    "custom_tool_call": _CALL_KEYS - {"status"},
    "function_call_output": _OUTPUT_KEYS,
    "custom_tool_call_output": _OUTPUT_KEYS,
    "reasoning": frozenset({"type", "summary", "content", "encrypted_content"}),
    "web_search_call": frozenset({"type", "status", "action"}),
    "shell_call": _CALLED | {"action", "environment"},
    "shell_call_output": _CALLED | {"output", "max_output_length"},
    "apply_patch_call": _CALLED | {"operation"},
    "apply_patch_call_output": _CALLED | {"output"},
}
_NOT_MISSED = frozenset({"id", "status", "created_by"})

_LONGEST_CALL_ID = 64


def native_request(
    request: Mapping[str, Any], items: Sequence[Mapping[str, Any]], *, earlier: Sequence[Mapping[str, Any]] = ()
) -> tuple[Json, list[str]]:
    """The body to send upstream, and the paths of what could not be carried.

    request: a validated body; items: its `input` as canonical items; earlier: the canonical items before it. The
    model's name is the provider's business.
    """
    dropped: list[str] = []
    body = {key: value for key, value in request.items() if key not in _STATE}
    if earlier or not isinstance(request.get("input"), str):
        made: list[Json] = []
        for index, item in enumerate([*earlier, *items], -len(earlier)):
            path = f"input[{index}]" if index >= 0 else "previous_response_id"
            made += [sent_item(native, path, dropped) for native in _native_items(item, path, dropped)]
        body["input"] = made
    body["store"] = False
    include = list(request.get("include") or ())
    body["include"] = include if ENCRYPTED in include else [*include, ENCRYPTED]
    return body, dropped


def _native_items(item: Mapping[str, Any], path: str, dropped: list[str]) -> list[Mapping[str, Any]]:
    """The item itself; for reasoning, what an upstream of this kind once made of it, if anything."""
    kind = item["type"]
    if kind != "reasoning":
        if kind == "message" or "call_id" in item or not is_minted(item.get("id")):
            return [item]
        # A tool that the gateway ran, and the upstream never did.
        told = in_words(item)
        if told:
            return [{"type": "message", "role": "assistant", "content": told}]
        dropped.append(f"{path} ({kind})")
        return []
    sealed = item.get("encrypted_content")
    if is_sealed(sealed):
        details, _ = unseal(str(sealed), f"{path}.encrypted_content")
        found = [detail["item"] for detail in details if detail.get("type") == FOREIGN and _is_item(detail.get("item"))]
        if found:
            return found
    elif sealed:
        return [item]
    # Thoughts of another provider, or none that can be proved: the upstream would refuse them.
    dropped.append(f"{path} (reasoning)")
    return []


def _is_item(value: Any) -> bool:
    return isinstance(value, dict) and value.get("type") == "reasoning"


def sent_item(item: Mapping[str, Any], path: str, dropped: list[str]) -> Json:
    """A canonical item as the upstream takes it; `dropped` takes the paths of members that it does not know."""
    kind = str(item["type"])
    if kind == "message":
        return _sent_message(item)
    allowed = _KEYS.get(kind)
    if allowed is None:
        return dict(item)
    sent = {key: value for key, value in item.items() if key in allowed and value is not None}
    lost = item.keys() - allowed - _NOT_MISSED
    dropped += [f"{path}.{key}" for key in sorted(lost) if item[key] is not None]
    if isinstance(sent.get("call_id"), str):  # of an upstream's own item it may be anything
        sent["call_id"] = short_call_id(sent["call_id"])
    return sent


def _sent_message(item: Mapping[str, Any]) -> Json:
    """A message without id and status, which only belong to stored ones. Its text is then said as a string: the form
    that the document allows for assistants without an id. What SDKs add to parsed parts (`parsed`) is left out."""
    message = {key: value for key, value in item.items() if key not in _NOT_MISSED}
    content = item.get("content")
    if isinstance(content, list):
        if item.get("role") == "assistant" and content and all(part.get("type") == "output_text" for part in content):
            message["content"] = "".join(part["text"] for part in content)
        else:
            message["content"] = [{key: part[key] for key in part if key != "parsed"} for part in content]
    return message


def short_call_id(call_id: str) -> str:
    """The call id as OpenAI takes it: at most 64 characters; a longer one by its hash, the same every time."""
    if len(call_id) <= _LONGEST_CALL_ID:
        return call_id
    return "call_" + hashlib.sha256(call_id.encode("utf-8", "replace")).hexdigest()[:48]


# -- answers ----------------------------------------------------------------------------------------------------


# The members of the response object that are the gateway's word, not the upstream's.
_OVERLAID = ("id", "model", "store", *_STATE)


def native_response(response: Mapping[str, Any], begun: Mapping[str, Any]) -> Json:
    """A whole answer of the upstream as the caller gets it. begun: our response object at its beginning
    (`new_response`). Raises the fault of a failed response, and UpstreamFault for what is no response."""
    if response.get("object") != "response" or not isinstance(response.get("output"), list):
        raise UpstreamFault("The provider's answer is not a response object.", code="upstream_invalid_response")
    if response.get("status") == "failed":
        raise fault_from_stream_event({"response": dict(response)})
    status = {} if isinstance(response.get("status"), str) else {"status": "completed"}
    return _completed({**response, **status}, begun, Completer(str(begun.get("id"))))


def _completed(response: Mapping[str, Any], begun: Mapping[str, Any], completer: Completer) -> Json:
    """A response object with the gateway's words in it, and what it must have and the upstream left out."""
    made = {**begun, **response, **{key: begun[key] for key in _OVERLAID if key in begun}}
    if type(made.get("created_at")) not in (int, float) and "created_at" in begun:
        made["created_at"] = begun["created_at"]
    output = response.get("output")
    if isinstance(output, list):
        whole = completer.output(output)
        made["output"] = [_with_derived_id(item) if isinstance(item, dict) else item for item in whole]
    if isinstance(made.get("usage"), dict):
        made["usage"] = complete_usage(made["usage"])
    return made


def _with_derived_id(item: Json) -> Json:
    kind, call_id = item.get("type"), item.get("call_id")
    if kind in CALL_PREFIXES and isinstance(call_id, str) and call_id:
        return {**item, "id": item_id_for_call(call_id, str(kind))}
    return item


_KIND = re.compile(rb'\{"type":"([a-z_.]+)"')
_ITEM_ID = re.compile(rb'"item_id":"[^"\\]*"')
_BACKSLASH = b"\\"
_PLAIN = (b".delta", b".done", b".searching", b".generating", b".interpreting")
_READ = frozenset(
    {b"response.output_item.added", b"response.output_item.done", b"response.function_call_arguments.done"}
)


class NativeRelay:
    """Relays the events of one streamed answer; frequent ones are passed on unread.

    begun: our response object at its beginning (`new_response`). Its id, model and state are the gateway's word, and
    it is what a stream that fails before its first event has to show.
    remember: keep what was sent, so that `added_up` works when the stream is cut (and for a resumable stream); costs
    the size of the stream in memory.

    usage: in Responses form, once the end came. final: the final object as sent. ended: a terminal event came.
    untold: what had to be told before that one. fault: the failure that the upstream reported in the stream.
    """

    def __init__(self, begun: Mapping[str, Any], *, remember: bool = False) -> None:
        self.usage: Json | None = None
        self.final: Json | None = None
        self.fault: Fault | None = None
        self.ended = False
        self.untold = b""
        self.number = 0
        self.sent: list[bytes] = []
        self._begun = dict(begun)
        self._last = dict(begun)
        self._completer = Completer(str(begun.get("id")))
        self._steady = Steadier()
        self._renamed: dict[bytes, bytes] = {}
        self._remember = remember
        self._plain: set[bytes] = set()  # kinds of events that were found to pass unread
        self._lacking: set[bytes] = set()  # kinds that the upstream leaves something out of
        self._fold = ResponseFold()
        self._folded = 0

    def feed(self, data: bytes) -> bytes:
        """The payload of one event (the JSON of its `data:`); returns the event to send. Raises UpstreamFault for
        what is no event."""
        found = _KIND.match(data)
        if found is not None:
            kind = found.group(1)
            if (
                (kind in self._plain or self._is_plain(kind, data))
                and b"\n" not in data
                and (not self._steady.wary or self._steady.passes(kind, data))
            ):
                if not kind.endswith(b".delta"):
                    self._steady.passed(kind, data)
                if self._renamed and b'"item_id":"' in data:
                    data = self._rename(data)
                if kind == ARGUMENTS and (_BACKSLASH in data or not self._completer.is_calm):
                    data = self._mended(data)
                self.number += 1
                return self._send(b"event: %b\ndata: %b\n\n" % (kind, data))
        return b"".join([self._send(event) for event in self._read(data)])

    def _mended(self, data: bytes) -> bytes:
        """An event with a piece of arguments; itself when nothing is wrong with it."""
        try:
            event = orjson.loads(data)
        except orjson.JSONDecodeError:
            return data
        return orjson.dumps(event) if self._completer.mend(event) else data

    def _is_plain(self, kind: bytes, data: bytes) -> bool:
        # What the first event of a kind has, the others have, too.
        if not kind.endswith(_PLAIN) or kind in _READ or kind in self._lacking:
            return False
        plain = is_complete(kind.decode(), data)
        (self._plain if plain else self._lacking).add(kind)
        return plain

    def fail(self, fault: Fault) -> list[Json]:
        """The stream was cut or abandoned: the events that say so, numbered on."""
        events = []
        if self.number == 0:
            events.append({"type": "response.created", "response": self._last, "sequence_number": 0})
            self.number = 1
        failed = {**self.added_up(), "status": "failed", "error": error_of(fault)}
        output = failed["output"] = list(failed["output"])
        for index, item in enumerate(output):
            if item.get("status") == "in_progress":
                output[index] = {**item, "status": "incomplete"}
                done = {"type": "response.output_item.done", "output_index": index, "item": output[index]}
                events.append({**done, "sequence_number": self.number})
                self.number += 1
        self.ended = True
        self.final = failed
        last = {"type": "response.failed", "response": failed, "sequence_number": self.number + 1}
        return [*events, error_event(fault, self.number), last]

    def added_up(self) -> Json:
        """The response as far as it came. Without `remember`, only what the last lifecycle event said."""
        if self.final is not None:
            return self.final
        while self.add_up(len(self.sent)):
            pass
        return self._fold.added_up if self.sent else self._last

    def add_up(self, most: int) -> bool:
        """Take up to `most` events more into what `added_up` returns, each once however often that is asked for;
        returns whether there are more. A long stream can so be added up in steps."""
        events = self.sent[self._folded : self._folded + most]
        for event in events:
            self._fold.add(orjson.loads(event.partition(b"data: ")[2]))
        self._folded += len(events)
        return self._folded < len(self.sent)

    def _send(self, event: bytes) -> bytes:
        if self._remember:
            self.sent.append(event)
        return event

    def _rename(self, data: bytes) -> bytes:
        # Quotes inside JSON strings are escaped, so these bytes can only be the member.
        return _ITEM_ID.sub(lambda found: self._renamed.get(found[0], found[0]), data)

    def _read(self, data: bytes) -> list[bytes]:
        try:
            event = orjson.loads(data)
        except orjson.JSONDecodeError:
            event = None
        if not isinstance(event, dict) or not isinstance(event.get("type"), str):
            raise UpstreamFault(
                "The provider sent a stream event that is not one of the Responses API.",
                code="upstream_invalid_response",
                detail=data[:500].decode("utf-8", "replace"),
            )
        kind = event["type"]
        if self.number == 0 and kind != "error" and not kind.startswith("response."):
            return []  # a sign of life (`ping`, `keepalive`); SDKs want the response first
        before: list[Json] = []
        item = event.get("item")
        if kind == "error":
            self.fault = fault_from_stream_event(event)
            event = {**error_event(self.fault, 0), "sequence_number": event.get("sequence_number")}
        elif isinstance(item, dict):
            before, event["item"] = self._item_event(event, item, begins=kind == "response.output_item.added")
        elif isinstance(event.get("response"), dict):
            before = self._lifecycle(kind, event)
        elif kind.count(".") > 1:  # response.output_text.delta and the like; others are about the whole response
            self._completer.event(event)
            event["output_index"] = self._steady.place(event["output_index"], event["item_id"], begins=False)
            needed = self._steady.event(event)
            if needed is None:
                return []
            before = needed
        out = [self._encoded(entry) for entry in before]
        if self.ended:
            self.untold = b"".join(out)
        return [*out, self._encoded(event)]

    def _encoded(self, event: Json) -> bytes:
        """The event with its number: the upstream's own, unless the gateway has told more than the upstream."""
        told = event.get("sequence_number")
        number: int = told if type(told) is int else -1
        if number < 0 or (number != self.number > 0):
            self._steady.loosen()
        if self._steady.loose:
            number = event["sequence_number"] = self.number
        self.number = number + 1
        event_bytes = encode_event(event)
        return self._rename(event_bytes) if self._renamed and "item_id" in event else event_bytes

    def _item_event(self, event: Json, item: Json, *, begins: bool) -> tuple[list[Json], Json]:
        index = self._completer.place(event, begins=begins)
        index = event["output_index"] = self._steady.place(index, item.get("id"), begins=begins)
        item = self._completer.item(item, index, "in_progress" if begins else "completed")
        theirs, made = item.get("id"), self._item(item)
        if not begins:
            return self._steady.end(index, made)
        self._steady.begin(index, theirs, made)
        return [], made

    def _item(self, item: Json) -> Json:
        made = _with_derived_id(item)
        if made is not item and isinstance(item.get("id"), str) and item["id"] != made["id"]:
            old, new = orjson.dumps(item["id"]), orjson.dumps(made["id"])
            self._renamed[b'"item_id":' + old] = b'"item_id":' + new
        return made

    def _lifecycle(self, kind: str, event: Json) -> list[Json]:
        """Make the response of the event ours; returns what must be told before it."""
        told = event["response"]
        if kind in TERMINAL and not isinstance(told.get("status"), str):
            told["status"] = kind.removeprefix("response.")
        response = event["response"] = _completed(told, self._begun, self._completer)
        if kind not in TERMINAL:
            self._last = response
            return []
        before: list[Json] = []
        if kind == "response.failed":
            self.fault = self.fault or fault_from_stream_event(event)
            response["error"] = error_of(self.fault)
        elif isinstance(response.get("output"), list):
            before, response["output"] = self._steady.close(response["output"])
        self.ended = True
        self.final = response
        usage = response.get("usage")
        self.usage = usage if isinstance(usage, dict) else None
        return before
