"""`scripts/env.sh`: what is said when the packages cannot be had."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("log", "hinted"),
    [
        ("ERROR: No matching distribution found for orjson==3.11.6", True),
        (
            "WARNING: connection broken by 'NewConnectionError('Temporary failure in name resolution')'",
            True,
        ),
        ("ERROR: [Errno 28] No space left on device", False),
    ],
)
def test_who_has_no_network_is_told_what_to_do(tmp_path: Path, log: str, hinted: bool) -> None:
    (tmp_path / "log").write_text(log + "\n")
    script = f'set -euo pipefail; . "{ROOT}/scripts/env.sh"; fail the-lock "{tmp_path}/log"'
    ended = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert log in ended.stderr
    assert ("HTTPS_PROXY" in ended.stderr) == hinted
    assert f"could not install the-lock; all of pip's output is in {tmp_path}/log" in ended.stderr
