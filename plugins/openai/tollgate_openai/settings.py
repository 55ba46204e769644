"""The YAML section of one provider instance of kind `openai`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator

from tollgate_openai.completions import CompletionsMode
from tollgate_openai.quirks import AT_OPENAI

OPENAI_BASE_URL = "https://api.openai.com/v1"
OPENAI_HOST = "api.openai.com"
_AT_HOSTS: Mapping[str, Mapping[str, Any]] = MappingProxyType({"groq.com": {"thoughts": "refused"}})
"""What all models of a service tolerate otherwise than those of other servers."""

ResponsesMode = Literal["auto", "native", "bridge", "only"]

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""A header's name: RFC 9110, section 5.6.2."""

# Set by the plugin or by the transport; an operator's own value would break framing or authentication.
_RESERVED = frozenset(
    {"authorization", "content-length", "content-type", "host", "transfer-encoding", "connection", "accept-encoding"}
)


def _clean(value: str, what: str) -> str:
    if any(character in value for character in "\r\n\0"):
        raise ValueError(f"{what} must not contain line breaks or NUL")
    if not value.isascii():
        raise ValueError(f"{what} must be ASCII")
    return value


class OpenAISettings(BaseModel):
    """Settings of one instance; several may stand side by side under different names.

    api_key: sent as a bearer token. Empty switches the instance off at OpenAI itself; elsewhere it is optional.
    base_url: where `/chat/completions` is appended. organization, project: OpenAI's headers of these names.
    headers: further request headers. on_disconnect: `cancel` or `drain` (see `gateway.profile.Profile`).
    responses: whether the server speaks the Responses API too: `native` (yes), `bridge` (no, or it shall not be used),
    `only` (it does not speak Chat Completions), `auto` (OpenAI itself does). A model's own `options.responses` counts
    instead where it is given.
    completions: the same of the older `/completions`: `native`, `bridge`, `only` (it does not chat), `auto` (`only` for
    OpenAI's models that know no chat, `bridge` for all others). A model's own `options.completions` counts instead.
    quirks: members of `tollgate_openai.quirks.Quirks` that hold for every model of this instance.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    api_key: SecretStr = SecretStr("")
    base_url: str = OPENAI_BASE_URL
    organization: str = ""
    project: str = ""
    headers: dict[str, str] = Field(default_factory=dict)
    on_disconnect: Literal["cancel", "drain"] = "cancel"
    responses: ResponsesMode = "auto"
    completions: CompletionsMode = "auto"
    quirks: Annotated[dict[str, Any], AfterValidator(AT_OPENAI.check)] = {}

    @field_validator("api_key")
    @classmethod
    def _check_key(cls, value: SecretStr) -> SecretStr:
        return SecretStr(_clean(value.get_secret_value().strip(), "api_key"))

    @field_validator("organization", "project")
    @classmethod
    def _check_value(cls, value: str) -> str:
        return _clean(value.strip(), "the value")

    @field_validator("base_url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        value = value.strip().rstrip("/")
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an absolute http or https URL, such as http://127.0.0.1:11434/v1")
        if parts.username is not None or parts.password is not None:
            raise ValueError("must not contain credentials; use api_key")
        if parts.query or parts.fragment or "?" in value or "#" in value:
            raise ValueError("must not have a query or a fragment")
        if any(character.isspace() or ord(character) < 32 for character in value):
            raise ValueError("must not contain spaces or control characters")
        if parts.path.endswith("/chat/completions"):
            raise ValueError("must end before /chat/completions, which is appended")
        _ = parts.port  # raises ValueError when it is not a number in range
        return value

    @field_validator("headers")
    @classmethod
    def _check_headers(cls, value: dict[str, str]) -> dict[str, str]:
        checked: dict[str, str] = {}
        for name, text in value.items():
            lower = name.lower()
            if not _TOKEN.fullmatch(name):
                raise ValueError(f"{name!r} is not a valid header name")
            if lower in _RESERVED:
                raise ValueError(f"{name!r} cannot be set here" + ("; use api_key" if lower == "authorization" else ""))
            if lower in checked:
                raise ValueError(f"{name!r} is given twice")
            checked[lower] = _clean(text, f"the value of {name!r}")
        return checked

    @property
    def is_openai(self) -> bool:
        """Whether this is OpenAI's own service, whose models the quirk table knows."""
        return self._is_at(OPENAI_HOST)

    @property
    def all_quirks(self) -> dict[str, Any]:
        """`quirks`, and below them what is known of the service."""
        known = [changes for host, changes in _AT_HOSTS.items() if self._is_at(host)]
        return {**(known[0] if known else {}), **self.quirks}

    def _is_at(self, name: str) -> bool:
        host = urlsplit(self.base_url).hostname or ""
        return host == name or host.endswith("." + name)


def why_not_ready(settings: OpenAISettings) -> str:
    """Why the instance is switched off; the empty text when it can be used."""
    if settings.is_openai and not settings.api_key.get_secret_value():
        return "api_key is empty"
    return ""
