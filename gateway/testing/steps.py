"""How much work some code does, counted instead of timed: the same on every machine, however busy."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def count_steps(function: Callable[..., Any], *given: Any) -> int:
    """Lines of Python that `function(*given)` executes, itself and all that it calls.

    What C code does within one line is not counted. Whoever tests that something is linear compares two sizes.
    """
    steps = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal steps
        steps += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function(*given)
    finally:
        sys.settrace(before)
    return steps


def assert_linear(make: Callable[[int], Callable[[], Any]], size: int = 400) -> None:
    """Fail when `make(n)()` takes more than its share of steps for four times the size. make: prepares the input of
    that size, which is not counted, and returns what is."""
    few, many = count_steps(make(size)), count_steps(make(4 * size))
    assert many <= 5 * few + 1_000, f"{few} steps for size {size}, but {many} for {4 * size}"
