"""The server secret: made once, private, and everything else derived from it."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.errors import ConfigFault
from gateway.server_secret import (
    FILE_NAME,
    AdminSecrets,
    admin_secret,
    admin_secrets,
    derive,
    rotate,
    server_secret,
    undo_rotation,
)


def test_it_is_made_once_and_private(tmp_path: Path) -> None:
    data = tmp_path / "data"
    secret = server_secret(data)
    assert len(secret) == 32
    assert server_secret(data) == secret
    assert stat.S_IMODE((data / FILE_NAME).stat().st_mode) == 0o600
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert [path.name for path in data.iterdir()] == [FILE_NAME]
    assert server_secret(tmp_path / "other") != secret


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_secret_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    server_secret(tmp_path)
    (tmp_path / FILE_NAME).chmod(mode)
    with pytest.raises(ConfigFault, match="chmod 600"):
        server_secret(tmp_path)


@pytest.mark.parametrize("text", ["", "abc", "zz" * 32, "ab" * 31, "ab" * 33])
def test_a_damaged_secret_is_refused_and_not_replaced(tmp_path: Path, text: str) -> None:
    server_secret(tmp_path)
    (tmp_path / FILE_NAME).write_text(text)
    with pytest.raises(ConfigFault, match="not a server secret"):
        server_secret(tmp_path)
    assert (tmp_path / FILE_NAME).read_text() == text


def test_starts_at_the_same_moment_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: server_secret(tmp_path), range(32)))) == 1


def test_derivation_is_hkdf() -> None:
    # RFC 5869, appendix A.3: test case 3, with zero-length salt and info.
    assert derive(b"\x0b" * 22, "", 42).hex() == (
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    )
    assert derive(b"s" * 32, "a") != derive(b"s" * 32, "b")


def test_the_admin_secret_says_nothing_about_the_server_secret() -> None:
    found = admin_secret(b"s" * 32)
    assert found == admin_secret(b"s" * 32) != admin_secret(b"t" * 32)
    assert found.startswith("mgas_")
    assert len(found) == 5 + 32


def test_a_rotation_makes_a_new_admin_secret_and_keeps_what_keys_stand_on(tmp_path: Path) -> None:
    root = server_secret(tmp_path)
    first = admin_secret(root)
    assert rotate(tmp_path, until=100.0) == 2
    second, *others = admin_secrets(tmp_path, now=99.0)
    assert (others, first != second) == ([first], True)
    assert admin_secrets(tmp_path, now=100.0) == [second]
    assert rotate(tmp_path, until=0.0) == 3
    third = admin_secrets(tmp_path, now=1.0)
    assert third == [third[0], first]
    assert server_secret(tmp_path) == root
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_a_rotation_is_undone(tmp_path: Path) -> None:
    root = server_secret(tmp_path)
    rotate(tmp_path, until=1e12)
    [new, _] = admin_secrets(tmp_path, now=1.0)
    assert undo_rotation(tmp_path) == 1
    assert admin_secrets(tmp_path, now=1.0) == [admin_secret(root)] != [new]
    with pytest.raises(ConfigFault, match="never rotated"):
        undo_rotation(tmp_path)
    assert server_secret(tmp_path) == root


@pytest.mark.parametrize("line", ["x until=5", "until=5", "ab" * 32 + " until=soon", ""])
def test_a_damaged_version_is_refused(tmp_path: Path, line: str) -> None:
    server_secret(tmp_path)
    path = tmp_path / FILE_NAME
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(ConfigFault, match="not a server secret"):
        rotate(tmp_path, until=1.0)


def test_a_running_gateway_takes_a_rotation_at_once(tmp_path: Path) -> None:
    server_secret(tmp_path)
    told: list[str] = []
    admin = AdminSecrets(tmp_path, told.extend)
    first = admin.newest
    rotate(tmp_path, until=1e12)
    assert admin.opens(first.encode())
    second = admin.newest
    assert second != first
    assert {first, second} <= set(told)
    undo_rotation(tmp_path)
    assert not admin.opens(second.encode())
    (tmp_path / FILE_NAME).unlink()
    assert admin.opens(first.encode())
