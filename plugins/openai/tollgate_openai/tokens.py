"""How many tokens a picture makes at most, by model; everything else is bounded alike (`gateway.wire.tokens`).

Source: OpenAI's guide "Images and vision", calculating costs. Older models cut a picture into tiles of 512 px after
scaling it into 2048 px with a short side of 768 px, so at most 2 x 4 tiles. Newer ones count patches of 32 px up to
a budget, times a factor; `low` detail is a picture of 512 px. From gpt-5.6 on, a picture without `detail` is not
made smaller, and nothing documents a maximum: `_UNRESIZED` stands for 51 megapixels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from gateway.api import BOUND, Target, Weights

_UNRESIZED = 50_000
_LOW = 256
_MAX_TILES = 8


@dataclass(slots=True, frozen=True)
class ImageCost:
    """The most tokens one picture makes: with `detail: low`, and otherwise."""

    low: int
    high: int


def _tiles(base: int, tile: int) -> ImageCost:
    return ImageCost(base, base + tile * _MAX_TILES)


def _patches(budget: int, factor: float) -> ImageCost:
    return ImageCost(int(_LOW * factor) + 1, int(budget * factor) + 1)


IMAGE_COSTS: tuple[tuple[str, ImageCost], ...] = (
    (r"gpt-4o-mini", _tiles(2833, 5667)),
    (r"gpt-(4\.1|5)-nano", _patches(1536, 2.46)),
    (r"gpt-(4\.1|5)-mini", _patches(1536, 1.62)),
    (r"o4-mini", _patches(1536, 1.72)),
    (r"o\d", _tiles(75, 150)),
    (r"gpt-5(-|$)", _tiles(70, 140)),
    (r"gpt-5\.[1-3]", _patches(1536, 1.62)),
    (r"gpt-5\.4-nano", _patches(1536, 2.46)),
    (r"gpt-5\.4-mini", _patches(1536, 1.62)),
    (r"gpt-5\.[45]", _patches(10_000, 1.62)),  # `detail: original`; 2,500 patches otherwise
    (r"gpt-(5\.|[6-9]|\d\d)", _patches(_UNRESIZED, 1.62)),
    (r"(chat)?gpt-4", _tiles(85, 170)),
)
"""First match wins. Where several factors are published for a family, the largest stands."""

_COMPILED = tuple((re.compile(pattern), cost) for pattern, cost in IMAGE_COSTS)


def image_cost(model: str) -> ImageCost | None:
    """The row of OpenAI's model with this name, or None."""
    name = model.removeprefix("ft:")
    return next((cost for pattern, cost in _COMPILED if pattern.match(name)), None)


def weights(cost: ImageCost | None) -> Weights:
    """The bound's weights with this cost of a picture; the general maximum when it is None."""
    return BOUND if cost is None else replace(BOUND, image=cost.high, image_low=cost.low)


def cap(tokens: int, target: Target | None) -> int:
    """No billed input is longer than the model's context: the provider refuses it."""
    if target is not None and target.context is not None:
        return min(tokens, target.context)
    return tokens
