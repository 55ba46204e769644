"""Guards of what strangers send: depth without a stack."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import UpstreamFault
from gateway.wire.lenient import dump, nests_deeper, shallow, writable


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
