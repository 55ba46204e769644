"""The provider's section in the configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator

from gateway.api import ApiKey, BaseUrl, later

ANTHROPIC = "https://api.anthropic.com"
"""Anthropic's own server, which always asks for a key."""

_check: Callable[[dict[str, Any]], dict[str, Any]] = later("tollgate_anthropic.quirks:TABLE.check")


def _checked(quirks: dict[str, Any]) -> dict[str, Any]:
    return _check(quirks)


class Settings(BaseModel):
    """One instance's settings.

    api_key: without one the instance is switched off at Anthropic's own server; elsewhere it is optional.
    base_url: the server, with or without `/v1`.
    version: the `anthropic-version` header. beta: names for the `anthropic-beta` header of every request.
    on_disconnect: what happens upstream when the caller leaves. default_max_tokens: tokens to allow when neither
    the caller nor the model's own limit says any; Anthropic requires a number.
    quirks: members of `tollgate_anthropic.quirks.Quirks` that hold for every model of this instance.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    api_key: ApiKey = SecretStr("")
    base_url: BaseUrl = ANTHROPIC
    version: str = Field("2023-06-01", pattern=r"^[0-9A-Za-z-]+$")
    beta: tuple[str, ...] = ()
    on_disconnect: Literal["cancel", "drain"] = "cancel"
    default_max_tokens: int = Field(4096, ge=1)
    quirks: Annotated[dict[str, Any], AfterValidator(_checked)] = {}

    @field_validator("base_url")
    @classmethod
    def _without_version(cls, value: str) -> str:
        return value.removesuffix("/v1")

    @field_validator("beta")
    @classmethod
    def _tokens(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(not name or set(name) & set(" ,\r\n\t") for name in value):
            raise ValueError("each entry must be one name without spaces or commas")
        return value

    @property
    def endpoint(self) -> str:
        """The URL of the Messages API."""
        return self.base_url + "/v1/messages"
