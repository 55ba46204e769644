"""What is released: every plugin is in the binary, and what runs it elsewhere keeps its promises."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from gateway.cli.supervisor import worker_command

ROOT = Path(__file__).parents[2]


def test_the_scripts_are_well_formed() -> None:
    subprocess.run(["bash", "-n", str(ROOT / "scripts/release")], check=True)
    ast.parse((ROOT / "scripts/releasekit/tollgate.spec").read_text())


def test_each_plugin_has_what_the_binary_finds_it_by() -> None:
    for file in (ROOT / "plugins").glob("*/pyproject.toml"):
        project = tomllib.loads(file.read_text())["project"]
        (place,) = project["entry-points"]["gateway"].values()
        assert (file.parent / place.partition(":")[0] / "__init__.py").is_file()


def test_a_worker_of_the_binary_is_the_binary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert worker_command(["serve"]) == [sys.executable, "serve"]
    monkeypatch.delattr(sys, "frozen")
    assert worker_command(["serve"]) == [sys.executable, "-m", "gateway", "serve"]


def test_the_image_runs_as_nobody_in_particular_and_is_looked_after() -> None:
    text = (ROOT / "deploy/Dockerfile").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert "USER 65532:65532" in lines
    assert any(line.startswith("HEALTHCHECK") and '"health"' in line for line in lines)
    assert "--read-only" in text


def test_the_service_gives_up_what_it_does_not_need() -> None:
    unit = (ROOT / "deploy/tollgate.service").read_text().splitlines()
    for line in (
        "User=tollgate",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "CapabilityBoundingSet=",
        "UMask=0077",
    ):
        assert line in unit
    assert "Environment=GATEWAY_DATA=/var/lib/tollgate" in unit
