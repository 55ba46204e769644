"""What a summary of usage says besides tokens."""

from __future__ import annotations

from gateway.stores import UsageSummary


def test_only_what_was_used_is_told() -> None:
    summary = UsageSummary(0, 0, 0, 0, images=2, seconds=5)
    assert summary.others == {"images": 2, "seconds": 5}
    assert UsageSummary(0, 0, 0, 0).others == {}
