"""The YAML section of one payment service of kind `btcpay`."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from gateway.api import SecretWord


class BtcPaySettings(BaseModel):
    """url: of the server, such as https://pay.example.org. store_id: the store that makes the invoices.
    api_key: with `btcpay.store.cancreateinvoice` and `btcpay.store.canviewinvoices` for this store.
    webhook_secret: the secret of the store's webhook. product: what the invoice calls the purchase; `{credits}` stands
    for the number. expiration: minutes until an unpaid invoice expires, 0 for the store's own setting."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    url: str = ""
    store_id: str = ""
    api_key: SecretWord = SecretStr("")
    webhook_secret: SecretWord = SecretStr("")
    product: Annotated[str, Field(min_length=1, max_length=200)] = "{credits} credits"
    expiration: Annotated[int, Field(ge=0, le=10_080)] = 0

    @field_validator("url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment):
            raise ValueError("must be an absolute http or https URL, such as https://pay.example.org")
        return value.rstrip("/")

    @field_validator("store_id")
    @classmethod
    def _check_store(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_-]{0,100}", value):
            raise ValueError("must consist of letters and digits")
        return value


def why_not_ready(settings: BtcPaySettings) -> str:
    """Why the service is switched off; the empty text when it can be used."""
    for name, value in (
        ("url", settings.url),
        ("store_id", settings.store_id),
        ("api_key", settings.api_key.get_secret_value()),
        ("webhook_secret", settings.webhook_secret.get_secret_value()),
    ):
        if not value:
            return f"{name} is empty"
    return ""
