"""The ring of the last attempts."""

from __future__ import annotations

from gateway.records import AttemptRecord
from gateway.upstream import recent


def record(target: str, outcome: str) -> AttemptRecord:
    return AttemptRecord(target, "p", "1", outcome, None, "", "", 0.0, 0.0, None)


def test_the_newest_come_first_and_may_be_chosen() -> None:
    kept = recent.RecentAttempts()
    for number in range(4):
        kept.add(f"req_{number // 2}", record("ab"[number % 2], "ok" if number else "failed"))
    assert [(found["request_id"], found["target"]) for found in kept.find()] == [
        ("req_1", "b"),
        ("req_1", "a"),
        ("req_0", "b"),
        ("req_0", "a"),
    ]
    assert len(kept.find(limit=3)) == 3
    assert [found["target"] for found in kept.find(request_id="req_0")] == ["b", "a"]
    assert [found["request_id"] for found in kept.find(target="a")] == ["req_1", "req_0"]
    assert [found["request_id"] for found in kept.find(outcome="failed")] == ["req_0"]


def test_only_so_many_are_kept() -> None:
    kept = recent.RecentAttempts()
    for number in range(recent.MOST + 5):
        kept.add(str(number), record("a", "ok"))
    found = kept.find(limit=recent.MOST * 2)
    assert (len(found), found[-1]["request_id"]) == (recent.MOST, "5")
