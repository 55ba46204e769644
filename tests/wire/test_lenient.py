"""Guards of what strangers send: depth without a stack."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import UpstreamFault
from gateway.wire.lenient import count_of, dump, nests_deeper, shallow, with_cached, writable


def nested(levels: int, inside: Any = 1, *, objects: bool = False) -> Any:
    value = inside
    for _ in range(levels):
        value = {"a": value} if objects else [value]
    return value


@pytest.mark.parametrize("objects", [False, True])
@pytest.mark.parametrize("inside", [1, "text", None])
def test_depth_is_counted_in_arrays_and_objects(objects: bool, inside: Any) -> None:
    for most in range(1, 6):
        found = [nests_deeper(nested(levels, inside, objects=objects), most) for levels in range(8)]
        assert found == [levels > most for levels in range(8)]
    assert nests_deeper(nested(3, []), 3), "an empty array is a level, too"
    assert not nests_deeper("[[[[[[", 1)


def test_any_depth_is_measured() -> None:
    assert nests_deeper(nested(100_000), 200)
    assert not nests_deeper([[1]] * 10_000, 2)


def test_what_is_too_deep_is_the_providers_fault() -> None:
    assert shallow(nested(64)) == nested(64)
    for check in (shallow, dump, writable):
        with pytest.raises(UpstreamFault):
            check(nested(300))


@pytest.mark.parametrize(("value", "count"), [(7, 7), (7.0, 7), (7.5, None), (True, None), (-1, None), (1e300, None)])
def test_a_count_of_tokens_is_whole_and_believable(value: object, count: int | None) -> None:
    assert count_of(value) == count


@pytest.mark.parametrize(
    ("usage", "details"),
    [
        ({"cached": 3}, {"cached_tokens": 3}),
        ({"cached": 3, "prompt_tokens_details": {"cached_tokens": 2, "x": 1}}, {"cached_tokens": 2, "x": 1}),
        ({"cached": 3, "prompt_tokens_details": {"cached_tokens": None}}, {"cached_tokens": 3}),
        ({"cached": "3"}, None),
        ({}, None),
    ],
)
def test_cached_tokens_are_put_where_openai_has_them(usage: dict[str, object], details: object) -> None:
    before = {**usage}
    assert with_cached(usage, "cached").get("prompt_tokens_details") == details
    assert usage == before
