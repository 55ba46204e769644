"""The provider's section in the configuration."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator

from gateway.api import later

GOOGLE = "https://generativelanguage.googleapis.com"
"""Google's own server, which always asks for a key."""

_check: Callable[[dict[str, Any]], dict[str, Any]] = later("tollgate_google.quirks:TABLE.check")


def _checked(quirks: dict[str, Any]) -> dict[str, Any]:
    return _check(quirks)


class Settings(BaseModel):
    """One instance's settings.

    api_key: sent as `x-goog-api-key`, never in the URL. Empty switches the instance off at Google's own server;
    elsewhere it is optional. base_url: the server, with or without the version.
    version: of the API, the first step of every path. on_disconnect: what happens upstream when the caller leaves.
    safety_settings: harm category -> threshold, sent with every request that brings none of its own.
    include_thoughts: ask for thought summaries also when the caller names no reasoning_effort.
    quirks: members of `tollgate_google.quirks.Quirks` that hold for every model of this instance.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    api_key: SecretStr = SecretStr("")
    base_url: str = GOOGLE
    version: str = Field("v1beta", pattern=r"^v[0-9][0-9a-z]*$")
    on_disconnect: Literal["cancel", "drain"] = "cancel"
    safety_settings: dict[str, str] = {}
    include_thoughts: bool = False
    quirks: Annotated[dict[str, Any], AfterValidator(_checked)] = {}

    @field_validator("api_key")
    @classmethod
    def _plain(cls, value: SecretStr) -> SecretStr:
        key = value.get_secret_value().strip()
        if not key.isascii() or any(ch in key for ch in "\r\n\0"):
            raise ValueError("must be ASCII without line breaks")
        return SecretStr(key)

    @field_validator("base_url")
    @classmethod
    def _http(cls, value: str) -> str:
        value = value.strip().rstrip("/")
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an absolute http or https URL")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError("must have neither credentials nor a query; use api_key")
        _ = parts.port  # raises ValueError when it is not a number in range
        return re.sub(r"/v1(beta|alpha)?$", "", value)

    @field_validator("safety_settings")
    @classmethod
    def _named(cls, value: dict[str, str]) -> dict[str, str]:
        for category in value:
            if not category.startswith("HARM_CATEGORY_"):
                raise ValueError(f"{category!r} is no harm category; they begin with HARM_CATEGORY_")
        return value

    @property
    def root(self) -> str:
        """The URL that every path of the API begins with."""
        return f"{self.base_url}/{self.version}"


def ready(settings: Settings) -> str:
    """ "" or why the instance is switched off. A server of one's own may do without a key."""
    if settings.api_key.get_secret_value() or settings.base_url != GOOGLE:
        return ""
    return "no api_key is set"
