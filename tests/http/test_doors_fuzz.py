"""No request, however odd, makes the gateway fail: random changes of valid ones, at every door, for every provider."""

from __future__ import annotations

from pathlib import Path

from .doors_fuzz import fuzz


async def test_no_answer_is_a_failure_of_ours(tmp_path: Path) -> None:
    good, failed = await fuzz(tmp_path, seed=9, count=600)
    assert failed == []
    assert good > 20, "some of them are still requests"
