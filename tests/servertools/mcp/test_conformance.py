"""The scenarios for clients of the protocol's makers: `npm install -g @modelcontextprotocol/conformance`, or its
`dist/index.js` in MCP_CONFORMANCE.

Those left out: OAuth, because credentials come from the caller or the configuration; elicitation, because there is
nobody to ask, which the handshake says.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import LOOPBACK, node_program


@pytest.mark.parametrize("scenario", ["initialize", "tools_call", "sse-retry"])
def test_a_scenario_passes(scenario: str, tmp_path: Path) -> None:
    suite = node_program("conformance", "MCP_CONFORMANCE")
    (tmp_path / "loopback.cjs").write_text(LOOPBACK)
    words = ["node", "-r", str(tmp_path / "loopback.cjs"), suite]
    if subprocess.run([*words, "list"], capture_output=True, check=False).returncode:
        pytest.skip("the conformance suite does not run on this Node")
    client = f"{sys.executable} {Path(__file__).with_name('conformance_client.py')}"
    done = subprocess.run(
        [*words, "client", "--command", client, "--scenario", scenario],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False,
    )  # fmt: skip
    # How late a retry comes also says how busy this machine is.
    failed = [line for line in done.stdout.splitlines() if "FAILURE" in line and "retry-timing" not in line]
    assert "SUCCESS" in done.stdout, done.stdout
    assert failed == []
    assert "EXITED WITH ERROR" not in done.stdout
