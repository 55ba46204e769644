"""Steps are counted, and what is not linear is noticed."""

from __future__ import annotations

import pytest

from gateway.testing.steps import assert_linear, count_steps


def _linear(size: int) -> int:
    total = 0
    for number in range(size):
        total += number
    return total


def _quadratic(size: int) -> int:
    return sum(_linear(size) for _ in range(size))


def test_the_same_work_has_the_same_steps() -> None:
    assert count_steps(_linear, 100) == count_steps(_linear, 100)
    assert count_steps(_linear, 200) > 1.5 * count_steps(_linear, 100)


def test_linear_passes_and_quadratic_does_not() -> None:
    assert_linear(lambda size: lambda: _linear(size))
    with pytest.raises(AssertionError, match="steps for size"):
        assert_linear(lambda size: lambda: _quadratic(size), 100)
