"""The YAML section of one payment service of kind `stripe`."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator


class StripeSettings(BaseModel):
    """secret_key: the API key (`sk_...` or a restricted `rk_...`). webhook_secret: the signing secret of the event
    destination (`whsec_...`). product: what the payer's page calls the purchase; `{credits}` stands for the number.
    tolerance: seconds that a message may be old. base_url: of the API, for tests."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    secret_key: SecretStr = SecretStr("")
    webhook_secret: SecretStr = SecretStr("")
    product: Annotated[str, Field(min_length=1, max_length=200)] = "{credits} credits"
    tolerance: Annotated[int, Field(ge=1, le=3600)] = 300
    base_url: str = "https://api.stripe.com"

    @field_validator("secret_key", "webhook_secret")
    @classmethod
    def _check_secret(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value().strip()
        if not text.isascii() or any(character.isspace() or not character.isprintable() for character in text):
            raise ValueError("must be one word of ASCII characters")
        return SecretStr(text)

    @field_validator("base_url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("must be an absolute http or https URL, such as https://api.stripe.com")
        return value.rstrip("/")


def why_not_ready(settings: StripeSettings) -> str:
    """Why the service is switched off; the empty text when it can be used."""
    for name in ("secret_key", "webhook_secret"):
        if not getattr(settings, name).get_secret_value():
            return f"{name} is empty"
    return ""
