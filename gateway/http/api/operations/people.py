"""Signing in, passwords, sessions, and who one is."""

from __future__ import annotations

from typing import Any

from gateway.http.api.account import people
from gateway.http.api.fields import Form
from gateway.http.api.operations.common import WRITE_ERRORS
from gateway.wire.chat.answers import COUNT, constant, listing, members
from gateway.wire.json_schema import Component, Tree
from gateway.wire.openapi import KEY, SESSION, Operation, Parameter

_TEXT: Tree = {"type": "string"}
_CREDITS: Tree = {"type": "integer", "description": "Credits."}
_TIME: Tree = {"type": "integer", "description": "Unix seconds."}
_TAG = "Account"

OPENED = Component(
    "OpenedSession",
    members(
        ("object", "id", "account_id", "csrf_token", "created_at", "expires_at"),
        object=constant("session"),
        id=_TEXT,
        account_id=_TEXT,
        csrf_token={"type": "string", "description": "For the header `X-CSRF-Token` of all that changes something."},
        created_at=_TIME,
        expires_at=_TIME,
    ),
)
ME = Component(
    "Me",
    members(
        ("object", "id", "name", "email", "has_password", "role", "created_at", "requests_per_minute"),
        object=constant("account"),
        id=_TEXT,
        name=_TEXT,
        email={"type": ["string", "null"]},
        has_password={"type": "boolean"},
        role={"type": "string", "enum": ["user", "admin"]},
        created_at=_TIME,
        requests_per_minute={"type": ["integer", "null"]},
        session_id={"type": ["string", "null"]},
        csrf_token={"type": ["string", "null"]},
    ),
)
SESSION_VIEW = Component(
    "Session",
    members(
        ("object", "id", "created_at", "expires_at", "last_seen_at", "remote", "agent", "current"),
        object=constant("session"),
        id=_TEXT,
        created_at=_TIME,
        expires_at=_TIME,
        last_seen_at=_TIME,
        remote={"type": "string", "description": "The address it began at."},
        agent={"type": "string", "description": "What the browser said it is."},
        current={"type": "boolean", "description": "Whether it is the one that asks."},
    ),
)
_ENDED = members(("object", "ended"), object=constant("session"), ended=COUNT)


def _open(summary: str, description: str, form: Form) -> Operation:
    """What lets somebody in who is not yet: the answer sets the session's cookie."""
    return Operation(
        summary,
        _TAG,
        description,
        auth=(),
        request=form.tree,
        answer=OPENED,
        errors=WRITE_ERRORS,
        headers={"set-cookie": "The session's token."},
    )


def _member(summary: str, description: str = "", **more: Any) -> Operation:
    return Operation(summary, _TAG, description, auth=(SESSION,), **more)


SIGN_IN = _open("Sign in", "By e-mail address and password, or by a link that works once.", people.SIGN_IN)
SIGN_UP = _open("Make an account", "Where `console.sign_up` allows it, or by an invitation.", people.SIGN_UP)
RESET = _open("Set a password by a link", "All sessions of the account end; one begins.", people.RESET)
SIGN_OUT = _member("Sign out", answer=_ENDED)
GET_ME = Operation("Read the account", _TAG, auth=(KEY, SESSION), answer=ME)
GET_BALANCE = Operation(
    "Read the balance",
    _TAG,
    auth=(KEY, SESSION),
    answer=members(
        ("object", "balance", "held", "available"),
        object=constant("balance"),
        balance=_CREDITS,
        held={"type": "integer", "description": "Credits that running calls have reserved."},
        available={"type": "integer", "description": "What is left beside those."},
    ),
)
CHANGE_LOGIN = _member(
    "Change password or e-mail address",
    "A new password ends all other sessions.",
    request=people.CHANGE.tree,
    answer=ME,
    errors=WRITE_ERRORS,
)
LIST_SESSIONS = _member("List the sessions", answer=listing(SESSION_VIEW))
END_SESSION = _member("End a session", parameters=(Parameter("id", "The session.", place="path"),), answer=_ENDED)
END_SESSIONS = _member("Sign out everywhere", "All sessions end, this one too.", answer=_ENDED)
