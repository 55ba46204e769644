"""What authors of inbound dialects need beside the contract: a request in two forms, its own and the hub's.

A request goes out as its caller wrote it to a provider that speaks the same dialect, and as a chat body to every other.
What the chat body cannot say is noted while it is made, and counts only where that body is sent.

notes = Notes("Example")
chat = chat_body(body, notes)
call.forms = {"chat": notes.form(call, chat), "example.requests": Form(body)}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.call import Call, Form
from gateway.dialect import ChatDialect
from gateway.errors import CallerFault
from gateway.wire.dropped import DroppedParams


class Notes:
    """What a request asks for that a chat request cannot say, collected while it is translated.

    owner: whose API the dialect is, as the caller is told.

    dropped: paths of what is left out for providers that do not speak this dialect.
    fault: the first thing that they cannot do without changing the meaning, None when there is none.
    beyond: members of the chat body that some of them take and others do not, with the paths of the request's own.
    """

    def __init__(self, owner: str) -> None:
        self.dropped = DroppedParams()
        self.fault: CallerFault | None = None
        self.beyond: dict[str, str] = {}
        self._owner = owner

    def report(self, path: str) -> None:
        """`path` is left out elsewhere."""
        self.dropped.append(path)

    def report_rest(self, found: Mapping[str, Any], known: frozenset[str], path: str) -> None:
        """Report the members of `found` that are not `known`."""
        for key in found:
            if key not in known and found[key] is not None:
                self.report(f"{path}.{key[:64]}")

    def blame(self, path: str, what: str) -> None:
        """Elsewhere the request is refused because of `path`. what: what stands there, in words."""
        if self.fault is None:
            why = f"only models of a provider that speaks {self._owner}'s API can take it"
            self.fault = CallerFault(f"{path}: {what}: {why}; leave it out, or ask such a model", param=path)

    def form(self, call: Call, chat: dict[str, Any]) -> Form:
        """The request as the chat body it was translated to. That is validated here, and found wrong only where it is
        sent: a provider of the same dialect judges for itself. Puts the body into `call`."""
        fault = self.fault
        try:
            # Names of tools, addresses, base64: what chat upstreams rely on.
            ChatDialect().open(call, chat, {})
        except CallerFault as error:
            fault = fault or error
            call.body = chat
        return Form(chat, self.dropped, fault, self.beyond)
