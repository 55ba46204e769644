"""The YAML section of one payment service of kind `stripe`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from gateway.api import BaseUrl, SecretWord


class StripeSettings(BaseModel):
    """secret_key: the API key (`sk_...` or a restricted `rk_...`). webhook_secret: the signing secret of the event
    destination (`whsec_...`). product: what the payer's page calls the purchase; `{credits}` stands for the number.
    tolerance: seconds that a message may be old. base_url: of the API, for tests."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    secret_key: SecretWord = SecretStr("")
    webhook_secret: SecretWord = SecretStr("")
    product: Annotated[str, Field(min_length=1, max_length=200)] = "{credits} credits"
    tolerance: Annotated[int, Field(ge=1, le=3600)] = 300
    base_url: BaseUrl = "https://api.stripe.com"


def why_not_ready(settings: StripeSettings) -> str:
    """Why the service is switched off; the empty text when it can be used."""
    for name in ("secret_key", "webhook_secret"):
        if not getattr(settings, name).get_secret_value():
            return f"{name} is empty"
    return ""
