"""The provider's section in the configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, SecretStr, field_validator

from gateway.api import ApiKey, BaseUrl, later

MOONSHOT = "https://api.moonshot.ai/v1"
_HOSTS = ("moonshot.ai", "moonshot.cn", "kimi.com")

_check: Callable[[dict[str, Any]], dict[str, Any]] = later("tollgate_moonshot.quirks:TABLE.check")


def _checked(quirks: dict[str, Any]) -> dict[str, Any]:
    return _check(quirks)


class Settings(BaseModel):
    """One instance's settings.

    api_key: sent as a bearer token; without one the instance is switched off at Moonshot's own servers, elsewhere it
    is optional. base_url: where `/chat/completions` is appended. on_disconnect: what happens upstream when the
    caller leaves. quirks: members of `tollgate_moonshot.quirks.Quirks` that hold for every model of this instance.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    api_key: ApiKey = SecretStr("")
    base_url: BaseUrl = MOONSHOT
    on_disconnect: Literal["cancel", "drain"] = "cancel"
    quirks: Annotated[dict[str, Any], AfterValidator(_checked)] = {}

    @field_validator("base_url")
    @classmethod
    def _without_endpoint(cls, value: str) -> str:
        return value.removesuffix("/chat/completions")

    @property
    def endpoint(self) -> str:
        """The URL of chat completions."""
        return self.base_url + "/chat/completions"

    @property
    def needs_key(self) -> bool:
        """Whether this is Moonshot's own service, which always asks for a key."""
        host = urlsplit(self.base_url).hostname or ""
        return any(host == known or host.endswith("." + known) for known in _HOSTS)
