"""Which dialect a target is spoken to in, and its answers in a dialect that the caller's side reads.

    caller    target             request            answer (`Reader.dialect`)
    chat      chat               as it is           as it is
    chat      responses only     bridged back       bridged back, so it is chat again
    responses responses          its native form    as it is
    responses chat               its chat form      chat; the caller's side bridges it

A plugin's own dialect is handled like `responses`: a target that speaks it gets that form, any other the chat form.

Functions whose names the target does not take are renamed in what it is told, and have the caller's names again in what
it says (`Profile.tool_names`). Likewise `functions`, the older form of tools, for a target that does not understand it.
What else the target's chat does not take is retold (`gateway.wire.bridge.retelling`, `gateway.wire.chat.extensions`).
A plugin's own dialect goes to whoever invented it, as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from gateway.call import Call, Target
from gateway.deferred import later
from gateway.operations import OPERATIONS
from gateway.profile import Dialect
from gateway.provider import Reader
from gateway.upstream.rewriting import RewritingReader
from gateway.wire.chat.extensions import without_extensions
from gateway.wire.chat.functions import FunctionsAgain, has_functions, with_tools
from gateway.wire.dropped import CLIENTS_OWN
from gateway.wire.tool_names import (
    Rename,
    Renaming,
    plan_chat,
    plan_responses,
    rename_chat_answer,
    rename_chat_request,
    rename_responses_answer,
    rename_responses_request,
)

if TYPE_CHECKING:
    from gateway.upstream.back_reading import BackReader
    from gateway.upstream.restoring import RestoringReader
    from gateway.wire.bridge.back_request import responses_from_chat
    from gateway.wire.bridge.retelling import retell
else:
    BackReader = later("gateway.upstream.back_reading:BackReader")
    RestoringReader = later("gateway.upstream.restoring:RestoringReader")
    responses_from_chat = later("gateway.wire.bridge.back_request:responses_from_chat")
    retell = later("gateway.wire.bridge.retelling:retell")

Json = dict[str, Any]


class Spoken:
    """A call as one target is told it. call: the view that its provider gets. back: its answer, in the Responses
    dialect, is to be bridged back into chat. functions: the caller called tools by their older form. names: of
    functions that the target is told under others."""

    __slots__ = ("back", "call", "functions", "names")

    def __init__(self, call: Call, back: bool = False, functions: bool = False, names: Renaming | None = None) -> None:
        self.call = call
        self.back = back
        self.functions = functions
        self.names = names

    def reader(self, reader: Reader) -> Reader:
        """What the caller's side reads with."""
        names = self.names
        if names is not None:
            rewrite = _Names(reader.dialect, names)
            in_chat = reader.dialect == "chat"
            reader = RestoringReader(reader, rewrite) if in_chat else RewritingReader(reader, lambda: rewrite)
        if self.back:
            reader = BackReader(reader, self.call)
        return RewritingReader(reader, FunctionsAgain) if self.functions else reader


def speak(call: Call, target: Target) -> Spoken:
    """Say `call` in a dialect of `target`. Reports what is not carried; raises CallerFault for what cannot be said."""
    if not OPERATIONS[call.operation].in_dialects:
        return Spoken(call)
    spoken = _say(call, target)
    return _with_names(spoken, target.profile.tool_names) if target.profile.tool_names else spoken


def _say(call: Call, target: Target) -> Spoken:
    dialects = target.profile.dialects
    if call.forms:
        dialect: Dialect = next((name for name in call.forms if name != "chat" and name in dialects), "chat")
        form = call.forms[dialect]
        if form.fault is not None:
            raise form.fault
        for path in form.dropped:
            call.report_dropped(path)
        if dialect != "chat":
            return Spoken(call.view(dialect, form.body))
    back = "chat" not in dialects
    understands = _IN_ITEMS if back else target.profile.understands
    body = call.body
    if call.forms and not call.forms["chat"].beyond.keys() <= understands:
        body = _without(body, call, understands)
    own = [name for name in CLIENTS_OWN if name in body]
    if own:
        body = {name: value for name, value in body.items() if name not in own}
        for name in own:
            call.report_dropped(name)
    body, extensions = without_extensions(body, target.profile.understands)
    for path in extensions:
        call.report_dropped(path)
    functions = "functions" not in understands and has_functions(body)
    if functions:
        body = with_tools(body)
    retold = retell(body, understands)
    for path in retold.dropped:
        call.report_dropped(path)
    call.dropped.extend(retold.moved)
    said_as = OPERATIONS[call.operation].over
    if not back:
        same = retold.body is call.body and call.dialect == "chat" and not said_as
        return Spoken(call if same else call.view("chat", retold.body, said_as), functions=functions)
    body, dropped = responses_from_chat(retold.body)
    for path in dropped:
        call.report_dropped(path)
    return Spoken(call.view("responses", body, said_as), back=True, functions=functions)


def _without(body: Json, call: Call, understands: frozenset[str]) -> Json:
    """The chat body without what its dialect said for targets that understand it, which this one does not."""
    foreign = {name: path for name, path in call.forms["chat"].beyond.items() if name not in understands}
    for path in foreign.values():
        call.report_dropped(path)
    return {name: value for name, value in body.items() if name not in foreign}


_IN_ITEMS = frozenset({"activity", "tool_media"})
"""What items of the Responses API have a place for; see `Profile.understands`."""


_PLAN: Mapping[Dialect, Callable[[Json, str], Renaming | None]] = MappingProxyType(
    {"chat": plan_chat, "responses": plan_responses}
)
_REQUEST: Mapping[Dialect, Callable[[Json, Rename], Json]] = MappingProxyType(
    {"chat": rename_chat_request, "responses": rename_responses_request}
)
_ANSWER: Mapping[Dialect, Callable[[Json, Rename], Json]] = MappingProxyType(
    {"chat": rename_chat_answer, "responses": rename_responses_answer}
)


def _with_names(spoken: Spoken, rule: str) -> Spoken:
    """The same, with the names of functions by the target's rule."""
    call = spoken.call
    if call.dialect not in _PLAN:
        return spoken
    names = _PLAN[call.dialect](call.body, rule)
    if names is None:
        return spoken
    view = call.view(call.dialect, _REQUEST[call.dialect](call.body, names.forth))
    return Spoken(view, spoken.back, spoken.functions, names)


class _Names:
    """Gives an answer the caller's names of functions; implements `Rewrite`."""

    def __init__(self, dialect: Dialect, names: Renaming) -> None:
        self._answer = _ANSWER[dialect]
        self._names = names
        self._sent = tuple(name.encode() for name in names.back)

    def concerns(self, item: bytes) -> bool:
        return any(name in item for name in self._sent)

    def change(self, answer: Json) -> Json:
        return self._answer(answer, self._names.restore)
