"""Who may sign in to the console, and by what: part of the section `console`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gateway.config.types import Duration, Section

SomeTime = Annotated[Duration, Field(gt=0)]


class SignInSettings(Section):
    """sign_up: who may make an account: anybody (`open`), who has an invitation (`invite`), nobody (`off`).
    session_lifetime: how long somebody stays signed in. plain_http: let people sign in without TLS from other machines
    too, where everybody on the way can read their passwords."""

    sign_up: Literal["open", "invite", "off"] = "invite"
    session_lifetime: SomeTime = 14 * 86400.0
    plain_http: bool = False
