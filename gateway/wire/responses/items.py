"""Input items in one canonical spelling, every function result paired with its call.

Clients write function calls and their results in two spellings and in any mix:

    {"type": "function_call", "call_id": C, ...}          {"type": "function_call_output", "call_id": C, ...}
    {"type": "function_call", "id": X, "callId": X, ...}  {"type": "function_call_output", "id": X, "callId": X, ...}

where C is the call's `call_id` and X is whatever the client took from the item's `id`. After `canonical_items`
every call and every result bears the true call id in `call_id`, the id of a call item is the one derived from it
(`responses_ids`), results have no id, `callId` is gone, shorthand messages have their `type`, and references
(`item_reference`) are replaced by the items they mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway.errors import CallerFault
from gateway.wire.responses.ids import call_id_of, item_id_for_call

CALLS = {"function_call": "function_call_output", "custom_tool_call": "custom_tool_call_output"}
"""Type of a call item -> type of the item that answers it."""

_OUTPUTS = {output: call for call, output in CALLS.items()}

OTHER_CALLS = frozenset({"local_shell_call", "shell_call", "apply_patch_call", "tool_search_call", "computer_call"})
"""Calls of other kinds, which keep their ids; a plain output may answer them (Codex does so)."""

_OTHER_OUTPUTS = frozenset(
    {"local_shell_call_output", "shell_call_output", "apply_patch_call_output", "tool_search_output"}
)

# Keys that OpenAI's SDKs add to parsed objects; a client that sends a parsed object back sends them along.
_SDK_ONLY = ("parsed_arguments", "callId")


class _Calls:
    """The calls seen so far, findable by call id, callId and item id."""

    def __init__(self) -> None:
        self._by_name: dict[str, str] = {}
        self._kinds: dict[str, str] = {}
        self._open: dict[str, tuple[Any, Any]] = {}
        self._noted: dict[str, tuple[Any, Any]] = {}

    def add(self, item: Mapping[str, Any], call_id: str, names: Iterable[str]) -> None:
        for name in (*names, call_id):
            self._by_name[name] = call_id
        self._kinds[call_id] = str(item["type"])
        self._open[call_id] = _said(item)

    def note(self, item: Mapping[str, Any], call_id: str, names: Iterable[str]) -> None:
        """A call that need not be answered."""
        self.add(item, call_id, names)
        self._noted[call_id] = self._open.pop(call_id)

    def repeats(self, item: Mapping[str, Any], call_id: str) -> bool:
        """The same call, not yet answered, stands earlier: a client re-sent what the store remembers."""
        return _said(item) in (self._open.get(call_id), self._noted.get(call_id))

    def find(self, names: Sequence[str]) -> str | None:
        for name in names:
            known = self._by_name.get(name)
            if known is not None:
                return known
        for name in names:
            known = self._by_name.get(call_id_of(name))
            if known is not None:
                return known
        return None

    def kind(self, call_id: str) -> str:
        return self._kinds[call_id]

    def answer(self, call_id: str) -> None:
        self._open.pop(call_id, None)
        self._noted.pop(call_id, None)

    def unanswered(self) -> list[str]:
        return list(self._open)


def _said(item: Mapping[str, Any]) -> tuple[Any, Any]:
    """What a call says, whatever its kind."""
    members = ("arguments", "input", "action", "operation")
    return item.get("name"), next((item[name] for name in members if name in item), None)


def canonical_items(
    value: Any,
    *,
    earlier: Sequence[Mapping[str, Any]] = (),
    references: Mapping[str, Mapping[str, Any]] | None = None,
    path: str = "input",
) -> list[dict[str, Any]]:
    """The request's `input` as canonical items; `value` has passed `responses_validate`.

    value: the string or list of items, or None. earlier: canonical items that stand before (from
    `previous_response_id` or a conversation), not repeated in the result. references: what `item_reference`
    ids mean, besides the items of `earlier` and of `value` itself.
    Raises CallerFault for a result without a call and for an unknown reference. The items given are not changed.
    """
    calls = _Calls()
    known: dict[str, Mapping[str, Any]] = dict(references or {})
    for item in earlier:
        _note(calls, known, item)
    if value is None:
        return []
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": value}]
    items: list[dict[str, Any]] = []
    for index, raw in enumerate(value):
        where = f"{path}[{index}]"
        item = dict(raw)
        kind = item_type(item)
        if kind == "item_reference":
            item = _dereference(item, known, where)
            kind = item_type(item)
        item["type"] = kind
        if kind in CALLS:
            made = _call(item, calls)
            if made is None:
                continue
            item = made
        elif kind in _OUTPUTS:
            item = _output(item, calls, where)
        elif kind in OTHER_CALLS and isinstance(item.get("call_id") or item.get("id"), str):
            item["call_id"] = item.get("call_id") or item["id"]
            if calls.repeats(item, item["call_id"]):
                continue
            calls.note(item, item["call_id"], _names(item))
        elif kind in _OTHER_OUTPUTS and (names := _names(item)):
            # Of a call that is not here it keeps the name; whoever can do without the call may judge that.
            item["call_id"] = calls.find(names) or names[0]
            calls.answer(item["call_id"])
        elif isinstance(item.get("id"), str):
            known[item["id"]] = item
        items.append(item)
    return items


def item_type(item: Mapping[str, Any]) -> str:
    """The item's type, also where OpenAI lets it be left out: messages (`role`), and references (only `id`)."""
    kind = item.get("type")
    if isinstance(kind, str):
        return kind
    return "message" if "role" in item else "item_reference"


def unanswered_calls(items: Iterable[Mapping[str, Any]]) -> list[str]:
    """Call ids of canonical items that no output answers, in order."""
    calls = _Calls()
    for item in items:
        kind = item.get("type")
        if kind in CALLS:
            calls.add(item, str(item["call_id"]), ())
        elif kind in _OUTPUTS:
            calls.answer(str(item["call_id"]))
    return calls.unanswered()


def require_answers(items: Iterable[Mapping[str, Any]]) -> None:
    """Raise CallerFault when a call has no output: every upstream refuses such a conversation."""
    fault = missing_answer(items)
    if fault is not None:
        raise fault


def missing_call(items: Iterable[Mapping[str, Any]]) -> CallerFault | None:
    """The fault of an output among the items whose call is not there."""
    known: set[Any] = set()
    for item in items:
        if item.get("type") in CALLS:
            known.add(item["call_id"])
        elif item.get("type") in _OUTPUTS and item["call_id"] not in known:
            return CallerFault(
                f"input: no call with the id {item['call_id']!r} stands before its output; send the call as well, or "
                "its response's id as previous_response_id.",
                param="input",
            )
    return None


def missing_answer(items: Iterable[Mapping[str, Any]]) -> CallerFault | None:
    """The fault of a call among the items that has no output."""
    missing = unanswered_calls(items)
    if not missing:
        return None
    return CallerFault(
        f"input: no tool output found for function call {missing[0]}; "
        "add a function_call_output item with this call_id.",
        param="input",
    )


def _note(calls: _Calls, known: dict[str, Mapping[str, Any]], item: Mapping[str, Any]) -> None:
    kind = item.get("type")
    item_id = item.get("id")
    if isinstance(item_id, str):
        known[item_id] = item
    if kind in CALLS and isinstance(item.get("call_id"), str):
        calls.add(item, item["call_id"], _names(item))
        known[item_id_for_call(item["call_id"], str(kind))] = item
    elif kind in OTHER_CALLS and isinstance(item.get("call_id"), str):
        calls.note(item, item["call_id"], _names(item))
    elif (kind in _OUTPUTS or kind in _OTHER_OUTPUTS) and isinstance(item.get("call_id"), str):
        calls.answer(item["call_id"])


def _names(item: Mapping[str, Any]) -> list[str]:
    """The ids an item bears, the most telling first."""
    return [name for key in ("call_id", "callId", "id") if isinstance(name := item.get(key), str) and name]


def _call(item: dict[str, Any], calls: _Calls) -> dict[str, Any] | None:
    """A call in canonical spelling, or None when it repeats one that still waits for its answer."""
    kind = item["type"]
    names = _names(item)
    given = names[0]
    item_id = item.get("id")
    if isinstance(item_id, str) and item_id == item_id_for_call(given, kind):
        call_id = given
    else:
        # The client may have put the item's id where the call's id belongs; what is known of it comes first.
        call_id = calls.find([given]) or call_id_of(given)
    if calls.repeats(item, call_id):
        return None
    calls.add(item, call_id, names)
    for key in _SDK_ONLY:
        item.pop(key, None)
    if isinstance(item.get("arguments"), str) and not item["arguments"].strip():
        item["arguments"] = "{}"
    item["id"] = item_id_for_call(call_id, kind)
    item["call_id"] = call_id
    return item


def _output(item: dict[str, Any], calls: _Calls, where: str) -> dict[str, Any]:
    names = _names(item)
    call_id = calls.find(names)
    if call_id is None:
        raise CallerFault(
            f"{where}.call_id: no function call with the id {names[0]!r} stands before this output; "
            "send the function_call item as well, or its response's id as previous_response_id.",
            param=f"{where}.call_id",
        )
    calls.answer(call_id)
    for key in ("callId", "id"):
        item.pop(key, None)
    item["type"] = CALLS.get(calls.kind(call_id), item["type"])
    item["call_id"] = call_id
    return item


def _dereference(item: Mapping[str, Any], known: Mapping[str, Mapping[str, Any]], where: str) -> dict[str, Any]:
    found = known.get(item["id"])
    if found is None:
        raise CallerFault(
            f"{where}.id: there is no item with the id {item['id']!r}; references reach items of stored responses "
            "of this account.",
            status=404,
            param=f"{where}.id",
        )
    return dict(found)
