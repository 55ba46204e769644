"""One gateway per data folder: the lock tells who serves there, never the number alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.claim import PID_FILE, Claim, announce, holder, is_claimed, served_address, withdraw
from gateway.errors import ConfigFault, GatewayFault
from gateway.server_secret import data_folder, server_secret

pytestmark = pytest.mark.blocking_allowed


def test_who_claims_a_folder_is_known_until_it_lets_go(tmp_path: Path) -> None:
    assert not is_claimed(tmp_path)
    claim = Claim(tmp_path)
    assert is_claimed(tmp_path)
    assert holder(tmp_path) is None, "it does not hear signals yet"
    (tmp_path / PID_FILE).write_text(f"{os.getpid()}\n")
    assert holder(tmp_path) == os.getpid()
    with pytest.raises(GatewayFault, match=f"process {os.getpid()}"):
        Claim(tmp_path)
    claim.release()
    claim.release()
    assert not is_claimed(tmp_path)
    Claim(tmp_path).release()


@pytest.mark.parametrize("content", ["1\n", "", "x"])
def test_a_stale_number_is_nobodys(tmp_path: Path, content: str) -> None:
    """Process 1 lives, and is no gateway: such a one was signalled once."""
    (tmp_path / PID_FILE).write_text(content)
    assert holder(tmp_path) is None
    Claim(tmp_path).release()
    assert holder(tmp_path) is None


def test_a_data_folder_that_cannot_be_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for data in (tmp_path / "file" / "data", Path("/proc/nowhere")):
        with pytest.raises(ConfigFault, match="the data folder cannot be used"):
            server_secret(data)
        with pytest.raises(ConfigFault, match="GATEWAY_DATA"), data_folder(data):
            Claim(data)


def test_where_it_listens_is_known_while_it_serves(tmp_path: Path) -> None:
    announce(tmp_path, "127.0.0.1", 9000)
    assert served_address(tmp_path) is None, "left behind by one that was killed"
    claim = Claim(tmp_path)
    assert served_address(tmp_path) == ("127.0.0.1", 9000)
    withdraw(tmp_path)
    withdraw(tmp_path)
    assert (served_address(tmp_path), holder(tmp_path)) == (None, None)
    claim.release()
