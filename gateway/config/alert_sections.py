"""The section `alerts`: what is told of budgets that are nearly used up."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from gateway.config.hosts import HostEntry
from gateway.config.types import ListOf, OptionalText, Section, is_address, refuse

_LEAST_SECRET = 16


def _public_address(value: str | None) -> str | None:
    if value is not None and not is_address(value.partition("?")[0]):
        refuse("must be an address such as https://hooks.example.org/budget")
    return value


class AlertWebhook(Section):
    """Where alerts are sent. secret: signs them. allow_hosts: what may be reached although it is not on the public
    internet, as in `fetch`."""

    url: Annotated[OptionalText, AfterValidator(_public_address)] = None
    secret: Annotated[OptionalText, Field(repr=False)] = None
    allow_hosts: Annotated[tuple[HostEntry, ...], ListOf] = ()

    @model_validator(mode="after")
    def _signed(self) -> AlertWebhook:
        if self.url is not None and len(self.secret or "") < _LEAST_SECRET:
            refuse(f"needs a secret of at least {_LEAST_SECRET} characters to sign with")
        return self


class AlertSettings(Section):
    """Telling that a budget of the month is nearly used up. thresholds: percent, ascending; none: nothing is told."""

    thresholds: Annotated[tuple[Annotated[int, Field(ge=1, le=100)], ...], ListOf] = (80, 100)
    webhook: AlertWebhook = AlertWebhook()

    @model_validator(mode="after")
    def _ascending(self) -> AlertSettings:
        if list(self.thresholds) != sorted(set(self.thresholds)):
            refuse("thresholds must be in ascending order, each once")
        return self
