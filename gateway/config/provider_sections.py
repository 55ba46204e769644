"""What the core reads of a provider's section; the rest is its plugin's."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from gateway.config.sections import Texts, Timeouts
from gateway.config.types import ListOf, Section, refuse


class ProviderTerms(Section):
    """What the core reads of a provider's section; the other keys are its plugin's.

    keys: several keys for the same address, in the place of `api_key`. endpoints: several addresses; each entry's keys
    stand in the place of the section's own. balance: how one of several is chosen: the one with the fewest running
    requests for its weight, or by lot in proportion to the weights. timeouts: in the place of those of `upstream`.
    hosted_tools: types of tools that the provider runs and bills beside the tokens, to be let through all the same:
    their callers pay the tokens, the operator the rest. shared_ids: ids of what is kept at the provider (files, vector
    stores, prompts) that all accounts may use.
    """

    keys: Annotated[tuple[str, ...] | None, ListOf, Field(repr=False)] = None
    endpoints: Annotated[tuple[dict[str, Any], ...] | None, ListOf, Field(repr=False, min_length=1)] = None
    balance: Literal["least_busy", "weighted"] = "least_busy"
    timeouts: Timeouts = Timeouts()
    hosted_tools: Texts = ()
    shared_ids: Texts = ()

    @model_validator(mode="after")
    def _one_of_them(self) -> ProviderTerms:
        if self.keys is not None and self.endpoints is not None:
            refuse("has keys and endpoints: give each endpoint its api_key instead")
        return self


class EndpointTerms(Section):
    """What the core reads of one entry of `endpoints`. name: what it is called in logs and metrics, by default its
    number. weight: its share of the requests."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")] | None = None
    weight: Annotated[float, Field(gt=0, le=1_000_000)] = 1.0
