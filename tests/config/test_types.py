"""Durations, sizes, credits, prices, networks, and frozen settings."""

from __future__ import annotations

import copy
import pickle
from decimal import Decimal
from ipaddress import ip_network
from typing import Any

import orjson
import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.config import Credits, Duration, FrozenDict, Network, OptionalText, Size, UsdPrice, freeze, thaw

TIME = "must be a time such as 500ms, 60s, 2m, 1h or 7d"
UNIT = "a time needs a unit: ms, s, m, h or d, as in 500ms, 60s, 2m, 1h, 7d"
SIZE = "must be a size such as 64KiB, 20MiB or 1GB, or a whole number of bytes"
PRICE = "must be an amount in USD of 0 or more, written plainly as in 0.40, with at most 12 decimal places"
NETWORK = "must be an IP address or a network such as 10.0.0.0/8 (with no bits set after the prefix)"


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Duration, "60s", 60.0), (Duration, "500ms", 0.5), (Duration, "2m", 120.0), (Duration, "1h", 3600.0),
        (Duration, "7d", 604800.0), (Duration, "1.5h", 5400.0), (Duration, "0s", 0.0), (Duration, 0, 0.0),
        (Duration, 0.0, 0.0), (Duration, "10 s", 10.0), (Duration, "3650d", 315360000.0),
        (Size, "20MiB", 20 << 20), (Size, "64KiB", 65536), (Size, "1GB", 10**9), (Size, "1.5KiB", 1536),
        (Size, "10kb", 10_000), (Size, "7 B", 7), (Size, 4096, 4096), (Size, 0, 0), (Size, "2TiB", 2 << 40),
        (Credits, 0, 0), (Credits, 10**15, 10**15),
        (UsdPrice, "0.40", Decimal("0.40")), (UsdPrice, 2, Decimal(2)), (UsdPrice, "0", Decimal(0)),
        (UsdPrice, "0.000000000001", Decimal("0.000000000001")), (UsdPrice, ".5", Decimal("0.5")),
        (UsdPrice, "1000000", Decimal(1000000)), (UsdPrice, Decimal("1.25"), Decimal("1.25")),
        (UsdPrice, 0.1, Decimal("0.1")),
        (Network, "10.0.0.0/8", ip_network("10.0.0.0/8")), (Network, "::1", ip_network("::1/128")),
        (Network, ip_network("1.2.3.4"), ip_network("1.2.3.4/32")),
        (OptionalText, "", None), (OptionalText, "x", "x"), (OptionalText, None, None),
    ],
)  # fmt: skip
def test_accepted(kind, text, value):
    found = TypeAdapter[Any](kind).validate_python(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (Duration, 60, UNIT), (Duration, 1.5, UNIT), (Duration, -1, UNIT),
        (Duration, "60", TIME), (Duration, "60x", TIME), (Duration, "-5s", TIME), (Duration, "", TIME),
        (Duration, True, TIME), (Duration, None, TIME), (Duration, [], TIME), (Duration, "5M", TIME),
        (Duration, "٣s", TIME), (Duration, "1e3s", TIME), (Duration, "9" * 5000 + "s", TIME),
        (Duration, "3651d", "must be at most 3650d"),
        (Size, "20M", SIZE), (Size, "20", SIZE), (Size, 1.5, SIZE), (Size, True, SIZE), (Size, None, SIZE),
        (Size, "-1KiB", SIZE), (Size, "KiB", SIZE),
        (Size, -1, "must be a size between 0 and 1024TiB"), (Size, "1025TiB", "must be a size between 0 and 1024TiB"),
        (Size, 10**90, "must be a size between 0 and 1024TiB"),
        (Size, "0.3B", "must come to a whole number of bytes"),
        (UsdPrice, "-1", PRICE), (UsdPrice, -1, PRICE), (UsdPrice, "1e-6", PRICE), (UsdPrice, "NaN", PRICE),
        (UsdPrice, "Infinity", PRICE), (UsdPrice, "", PRICE), (UsdPrice, ".", PRICE), (UsdPrice, None, PRICE),
        (UsdPrice, True, PRICE), (UsdPrice, float("nan"), PRICE), (UsdPrice, 10**4000, PRICE),
        (UsdPrice, "0.0000000000001", PRICE), (UsdPrice, Decimal("NaN"), PRICE), (UsdPrice, [], PRICE),
        (UsdPrice, "٣", PRICE), (UsdPrice, "1000000.01", "must be at most 1000000 USD"),
        (Network, "10.0.0.1/8", NETWORK), (Network, "host", NETWORK), (Network, 5, NETWORK), (Network, None, NETWORK),
    ],
)  # fmt: skip
def test_refused(kind, text, message):
    with pytest.raises(ValidationError) as caught:
        TypeAdapter[Any](kind).validate_python(text)
    [error] = caught.value.errors()
    assert error["msg"] == message


@pytest.mark.parametrize("value", [-1, 10**15 + 1, 1.5, "x", None])
def test_credits_refused(value):
    with pytest.raises(ValidationError):
        TypeAdapter[Any](Credits).validate_python(value)


def test_frozen_settings_cannot_change():
    frozen = freeze({"a": [1, {"b": 2}], "c": {"d": None}})
    for change in (
        lambda: frozen.__setitem__("x", 1), lambda: frozen.__delitem__("a"), lambda: frozen.pop("a"),
        lambda: frozen.popitem(), lambda: frozen.clear(), lambda: frozen.update(x=1),
        lambda: frozen.setdefault("x", 1), lambda: frozen.__ior__({"x": 1}), lambda: frozen["c"].update(d=1),
        lambda: frozen["a"][1].clear(),
    ):  # fmt: skip
        with pytest.raises(TypeError, match="work on a copy"):
            change()
    assert isinstance(frozen["a"], tuple)
    assert frozen == {"a": (1, {"b": 2}), "c": {"d": None}}


def test_frozen_settings_can_be_read_written_and_copied():
    frozen = freeze({"a": [1, {"b": 2}]})
    assert orjson.dumps(frozen) == b'{"a":[1,{"b":2}]}'
    copied = copy.deepcopy(frozen)
    copied["a"][1]["b"] = 3
    assert type(copied) is dict
    assert frozen["a"][1]["b"] == 2
    assert thaw(frozen) == {"a": [1, {"b": 2}]}
    again = pickle.loads(pickle.dumps(frozen))
    assert type(again) is FrozenDict
    assert again == frozen
    assert {**frozen, "c": 1} == {"a": (1, {"b": 2}), "c": 1}
