"""The server secret: made once, private, and everything else derived from it."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.errors import ConfigFault
from gateway.server_secret import FILE_NAME, admin_secret, derive, server_secret


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
