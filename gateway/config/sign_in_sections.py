"""Who may sign in to the console, and by what: part of the section `console`."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from gateway.config.types import Duration, ListOf, OptionalText, Section, refuse

SomeTime = Annotated[Duration, Field(gt=0)]
Text = Annotated[str, Field(min_length=1)]
_LOCAL = ("localhost", "127.0.0.1", "::1")


def _issuer(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOCAL):
        refuse("must begin with https://")
    if not parts.hostname or parts.query or parts.fragment or parts.username is not None:
        refuse("must be an address such as https://id.example.org, without user, query or fragment")
    return value


class OidcSettings(Section):
    """Another service that people sign in by, with OpenID Connect. Off while `issuer` is empty.

    issuer: its address; what else is needed of it, it tells under `/.well-known/openid-configuration`. name: what the
    button says. create_accounts: who comes for the first time gets an account, whatever `sign_up` says; otherwise only
    accounts that were connected under settings. domains: let in only addresses of these domains that the service has
    verified; empty: all.
    """

    issuer: Annotated[OptionalText, AfterValidator(lambda value: value and _issuer(value))] = None
    client_id: OptionalText = None
    client_secret: Annotated[OptionalText, Field(repr=False)] = None
    name: Annotated[Text, Field(max_length=60)] = "single sign-on"
    create_accounts: bool = True
    domains: Annotated[tuple[Annotated[str, Field(pattern=r"^[a-z0-9.-]+$")], ...], ListOf] = ()

    @model_validator(mode="after")
    def _usable(self) -> OidcSettings:
        if self.issuer is not None:
            if self.client_id is None:
                refuse("needs client_id: register this gateway with the service")
            if find_spec("authlib") is None:
                refuse("needs authlib, which is not installed: pip install 'tollgate[oidc]'")
        return self


class SignInSettings(Section):
    """sign_up: who may make an account: anybody (`open`), who has an invitation (`invite`), nobody (`off`).
    session_lifetime: how long somebody stays signed in. plain_http: let people sign in without TLS from other machines
    too, where everybody on the way can read their passwords. oidc: another service to sign in by."""

    sign_up: Literal["open", "invite", "off"] = "invite"
    session_lifetime: SomeTime = 14 * 86400.0
    plain_http: bool = False
    oidc: OidcSettings = OidcSettings()
