"""Whole numbers beyond 64 bits keep their digits; everything else is what orjson reads."""

from __future__ import annotations

import orjson
import pytest

from gateway.errors import CallerFault
from gateway.wire.exact_json import load_exact
from gateway.wire.json_body import parse_json
from gateway.wire.validators import kind

BIG = ("12345678901234567890123", "-9223372036854775809", "18446744073709551616", "1" * 300)
SMALL = ("18446744073709551615", "-9223372036854775808", "0.1234567890123456789012", "1e300", "1234567890123456789")


@pytest.mark.parametrize("number", BIG)
def test_large_numbers_are_written_as_they_came(number: str) -> None:
    text = f'{{"a":[{{"n":{number},"s":"{number}"}},1.5]}}'
    for value in (load_exact(text), load_exact(text.encode()), parse_json(text.encode())):
        assert orjson.dumps(value).decode() == text
        assert kind(value["a"][0]["n"]) == "a number beyond 64 bits"
    assert load_exact(text, int)["a"][0]["n"] == int(number)


@pytest.mark.parametrize("number", SMALL)
def test_other_numbers_are_what_they_always_were(number: str) -> None:
    text = f'{{"n":{number}}}'
    assert load_exact(text) == orjson.loads(text)
    assert parse_json(text.encode()) == orjson.loads(text)


def test_a_number_that_is_none_is_refused_as_ever() -> None:
    with pytest.raises(orjson.JSONDecodeError):
        load_exact("1" * 400)
    with pytest.raises(CallerFault):
        parse_json(b'{"n":' + b"1" * 400 + b"}")


def test_text_that_nests_deeper_than_can_be_followed_is_read_without_the_digits() -> None:
    text = "[" * 1000 + BIG[0] + "]" * 1000
    value = load_exact(text)
    for _ in range(1000):
        (value,) = value
    assert type(value) in (float, orjson.Fragment)
