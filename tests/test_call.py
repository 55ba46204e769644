"""Prices: exact, rounded up once, every class once, and tiers for long inputs."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from gateway.call import Price, Usage

PLAIN = Price(input=Decimal("0.4"), output=Decimal("1.6"))
RICH = Price(
    input=Decimal(2),
    output=Decimal(8),
    cached_input=Decimal("0.5"),
    cache_write=Decimal("2.5"),
    audio_input=Decimal(40),
    audio_output=Decimal(80),
    per_request=Decimal("0.1"),
    per_web_search=Decimal(10_000),
)
TIERED = Price(
    input=Decimal(2),
    output=Decimal(12),
    tiers=((200, Price(input=Decimal(4), output=Decimal(18))), (1000, Price(input=Decimal(8), output=Decimal(30)))),
)


@pytest.mark.parametrize(
    ("price", "usage", "credits"),
    [
        (PLAIN, Usage(), 0),
        (PLAIN, Usage(prompt_tokens=1), 1),  # 0.4 rounds up
        (PLAIN, Usage(prompt_tokens=5, completion_tokens=5), 10),  # 2 + 8, exactly
        (PLAIN, Usage(prompt_tokens=10, cached_tokens=10), 4),  # no price of its own: an input token
        (RICH, Usage(prompt_tokens=10, cached_tokens=10), 6),  # 5 + 0.1, rounded up
        (RICH, Usage(prompt_tokens=10, cached_tokens=4, cache_write_tokens=4), 17),  # 4 + 2 + 10 + 0.1
        (RICH, Usage(prompt_tokens=10, audio_input_tokens=10, completion_tokens=2, audio_output_tokens=1), 489),
        (RICH, Usage(prompt_tokens=3, cached_tokens=2, cache_write_tokens=2), 4),  # overlap: never more than 3 in all
        (RICH, Usage(web_searches=2), 20_001),
        (TIERED, Usage(prompt_tokens=200, completion_tokens=1), 412),
        (TIERED, Usage(prompt_tokens=201, completion_tokens=1), 822),
        (TIERED, Usage(prompt_tokens=1001, completion_tokens=1), 8038),
    ],
)
def test_a_charge_is_the_exact_sum_rounded_up_once(price: Price, usage: Usage, credits: int) -> None:
    assert price.charge(usage) == credits


def test_the_dearest_token_bounds_every_charge() -> None:
    assert (RICH.dearest_input(1), RICH.dearest_output(1)) == (40, 80)
    assert (TIERED.dearest_input(200), TIERED.dearest_output(200)) == (2, 12)
    assert (TIERED.dearest_input(201), TIERED.dearest_output(201)) == (4, 18)
    for tokens in range(0, 1500, 50):
        usage = Usage(prompt_tokens=tokens, completion_tokens=7)
        bound = TIERED.dearest_input(1500) * tokens + TIERED.dearest_output(1500) * 7
        assert TIERED.charge(usage) <= bound


def test_an_hour_in_the_cache_has_its_own_price() -> None:
    usage = Usage(prompt_tokens=3_100, completion_tokens=50, cached_tokens=2_000, cache_write_tokens=1_000)
    usage.cache_write_1h_tokens = 600
    price = Price(input=Decimal(100), output=Decimal(1_000), cached_input=Decimal(10), cache_write=Decimal(125))
    as_five_minutes = 100 * 100 + 2_000 * 10 + 1_000 * 125 + 50 * 1_000
    assert price.charge(usage) == as_five_minutes
    hour = replace(price, cache_write_1h=Decimal(200))
    assert hour.charge(usage) == as_five_minutes + 600 * 75
    assert hour.dearest_input(1) == 200
