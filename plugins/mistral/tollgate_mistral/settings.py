"""The provider's section in the configuration."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr, field_validator

from .quirks import resolve

MISTRAL = "https://api.mistral.ai/v1"
_HOST = "mistral.ai"


class Settings(BaseModel):
    """One instance's settings.

    api_key: sent as a bearer token; without one the instance is switched off at Mistral's own servers, elsewhere it
    is optional. base_url: where `/chat/completions` and `/embeddings` are appended. on_disconnect: what happens
    upstream when the caller leaves. quirks: members of `tollgate_mistral.quirks.Quirks` that hold for every model of
    this instance.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    api_key: SecretStr = SecretStr("")
    base_url: str = MISTRAL
    on_disconnect: Literal["cancel", "drain"] = "cancel"
    quirks: dict[str, Any] = {}

    @field_validator("api_key")
    @classmethod
    def _one_line(cls, value: SecretStr) -> SecretStr:
        key = value.get_secret_value().strip()
        if not key.isascii() or not key.isprintable():
            raise ValueError("api_key must be printable ASCII without line breaks")
        return SecretStr(key)

    @field_validator("base_url")
    @classmethod
    def _http(cls, value: str) -> str:
        value = value.strip().rstrip("/").removesuffix("/chat/completions")
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"must be an absolute http or https URL, such as {MISTRAL}")
        if "@" in parts.netloc or "?" in value or "#" in value or not value.isprintable() or " " in value:
            raise ValueError("must have no credentials, query, fragment or spaces")
        _ = parts.port  # raises ValueError when it is not a number in range
        return value

    @field_validator("quirks")
    @classmethod
    def _known(cls, value: dict[str, Any]) -> dict[str, Any]:
        resolve("", value)
        return value

    @property
    def needs_key(self) -> bool:
        """Whether this is Mistral's own service, which always asks for a key."""
        host = urlsplit(self.base_url).hostname or ""
        return host == _HOST or host.endswith("." + _HOST)
