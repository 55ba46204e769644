"""The section `price` of a model. USD; see `gateway.price.Price` for what each class is."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from gateway.config.types import ListOf, Section, Tokens, UsdPrice, freeze, refuse


def _by_kind(value: Any) -> Any:
    """One price of images is that of all of them."""
    return {"default": value} if isinstance(value, str | int | float | Decimal) else value


def _part(value: Decimal) -> Decimal:
    if value > 1:
        refuse("must be a part from 0 to 1, such as 0.5")
    return value


ImageKind = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,40}(/[A-Za-z0-9_.:-]{1,40})?$")]
ImagePrices = Annotated[
    dict[ImageKind, UsdPrice], BeforeValidator(_by_kind), Field(min_length=1), AfterValidator(freeze)
]


class PriceClasses(Section):
    """USD per million tokens of each class, or characters, and USD per event for `per_*`. See `gateway.price.Price` for
    what a class that is not listed costs. per_image: one price, or prices by `QUALITY/SIZE`, `QUALITY`, `SIZE`,
    `default`."""

    input: UsdPrice | None = None
    output: UsdPrice | None = None
    cached_input: UsdPrice | None = None
    cache_write: UsdPrice | None = None
    cache_write_1h: UsdPrice | None = None
    audio_input: UsdPrice | None = None
    audio_output: UsdPrice | None = None
    image_input: UsdPrice | None = None
    image_output: UsdPrice | None = None
    per_request: UsdPrice | None = None
    per_web_search: UsdPrice | None = None
    characters: UsdPrice | None = None
    per_minute: UsdPrice | None = None
    per_search: UsdPrice | None = None
    per_image: ImagePrices | None = None

    def given(self) -> dict[str, Decimal | Mapping[str, Decimal]]:
        """The prices that are there."""
        prices = {name: getattr(self, name) for name in PriceClasses.model_fields}
        return {name: price for name, price in prices.items() if price is not None}


class PriceTier(PriceClasses):
    """What a request costs, all of it, whose input is more than `above` tokens; classes that are not listed cost what
    they cost without the tier."""

    above: Tokens


class PriceSettings(PriceClasses):
    """The prices of a model. tiers: for requests with a long input, at providers that charge more for them. batch: what
    part of all of them a request costs that comes in a batch."""

    tiers: Annotated[tuple[PriceTier, ...], ListOf] = ()
    batch: Annotated[UsdPrice, AfterValidator(_part)] | None = None

    @model_validator(mode="after")
    def _whole(self) -> PriceSettings:
        given = self.given()
        if not given:
            refuse("needs at least one price; say `free: true` for a model that costs nothing")
        tokens = any(not name.startswith("per_") and name != "characters" for name in given)
        missing = [name for name in ("input", "output") if name not in given]
        if tokens and missing:
            refuse(f"needs {' and '.join(missing)} too; write 0 if that costs nothing")
        limits = [tier.above for tier in self.tiers]
        if limits != sorted(set(limits)):
            refuse("tiers must be in order of `above`, each with another limit")
        return self
