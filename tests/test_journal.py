"""The journal: what was kept is there for the next one, whoever is killed whenever."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gateway.journal import Journal, inherited


def end(name: str, charge: int = 7) -> dict[str, Any]:
    return {"do": "settle", "r": name, "charge": charge}


def found(folder: Path) -> list[str]:
    return [one["r"] for one in inherited(folder, "pending-")[1]]


@pytest.mark.parametrize("reserve", [0, 4096])
def test_only_what_is_kept_is_inherited_and_only_from_the_dead(tmp_path: Path, reserve: int) -> None:
    journal = Journal(tmp_path / "pending-a", reserve=reserve)
    if reserve:
        journal.open()
    assert (tmp_path / "pending-a").exists() is bool(reserve), "without a reserve nothing is written before it must be"
    journal.keep([end("a"), end("b")])
    journal.keep([end("b", 9), end("c")])
    assert inherited(tmp_path, "pending-") == ([], []), "its writer lives"
    journal.forget([("settle", "a"), ("settle", "unknown")])
    journal.close()
    paths, operations = inherited(tmp_path, "pending-")
    assert paths == [tmp_path / "pending-a"]
    # What was forgotten may still be told: whoever takes over applies operations that may have been applied.
    assert [one for one in operations if one["r"] != "a"] == [end("b"), end("c")]


@pytest.mark.parametrize("reserve", [0, 4096])
def test_what_is_written_leaves_nothing_behind(tmp_path: Path, reserve: int) -> None:
    journal = Journal(tmp_path / "pending-a", reserve=reserve)
    journal.keep([end("a")])
    journal.forget()
    journal.keep([end("b")])
    assert found(tmp_path) == []
    (tmp_path / "pending-a").rename(tmp_path / "copy")
    (tmp_path / "pending-b").write_bytes((tmp_path / "copy").read_bytes())
    assert found(tmp_path) == ["b"]
    (tmp_path / "pending-b").unlink()
    journal.forget([("settle", "b")])
    journal.close()
    journal.close()
    assert not (tmp_path / "pending-a").exists()


def test_lines_that_no_longer_count_make_room(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "pending-a", reserve=1024)
    journal.open()
    for number in range(500):
        journal.keep([end(f"r{number}")])
        journal.forget([("settle", f"r{number - 1}")])
    assert (tmp_path / "pending-a").stat().st_size == 1024, "it stays within the room that is its own"
    journal.keep([end(f"long{number}") for number in range(50)])
    journal.close()
    assert found(tmp_path)[-51:] == ["r499", *(f"long{number}" for number in range(50))]


def test_at_every_byte_that_a_kill_may_come_whole_lines_are_found(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "pending-a")
    journal.keep([end("a"), end("b")])
    journal.close()
    whole = (tmp_path / "pending-a").read_bytes()
    for length in range(len(whole)):
        (tmp_path / "pending-a").write_bytes(whole[:length].ljust(128, b"\0"))
        assert found(tmp_path) == ["a", "b"][: (length + 1) // (len(whole) // 2)]


def test_a_system_that_knows_no_reserving_gets_zeros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fallocate")
    journal = Journal(tmp_path / "pending-a", reserve=4096)
    journal.open()
    assert (tmp_path / "pending-a").read_bytes() == b"\0" * 4096
    journal.close()


def test_a_disk_that_takes_nothing_is_said_and_nothing_is_half_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "pending-a", reserve=4096)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(OSError, match="No space"):
            journal.open()
        with pytest.raises(OSError, match="No space"):
            journal.keep([end("a")])
    assert (list(tmp_path.iterdir()), len(journal)) == ([], 0)
    journal.keep([end("a")])
    assert len(journal) == 1
    journal.forget()
    journal.close()
