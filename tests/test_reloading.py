"""The file that tells what came of a reload."""

from __future__ import annotations

from pathlib import Path

from gateway import reloading


def test_what_the_processes_report_is_one_outcome(tmp_path: Path) -> None:
    fine = reloading.report(Path("/etc/c.yaml"), [], ["a remark"])
    bad = reloading.report(Path("/etc/c.yaml"), ["a fault"], [])
    reloading.write_outcome(tmp_path, [fine, bad, bad])
    assert reloading.wait_for_outcome(tmp_path, 1) == {
        "config": "/etc/c.yaml",
        "problems": ["a fault"],
        "warnings": ["a remark"],
        "processes": 3,
    }
    reloading.forget_outcome(tmp_path)
    reloading.forget_outcome(tmp_path)
    assert reloading.wait_for_outcome(tmp_path, 0.01) is None
    assert list(tmp_path.iterdir()) == []
