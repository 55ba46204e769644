"""What is shipped: the wheel holds the package, its data and nothing else; the locks fit together; scripts parse."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
import tomllib
import zipfile

import pytest

PIN = re.compile(r"^([\w.-]+)==([^ ]+)", re.MULTILINE)


@pytest.fixture(scope="session")
def wheel(root, tmp_path_factory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    return zipfile.ZipFile(wheel)


@pytest.fixture(scope="session")
def wheel_names(wheel) -> list[str]:
    return wheel.namelist()


def test_the_wheel_is_the_package_with_the_bundled_plugins(root, wheel, wheel_names, gateway_sources, plugin_sources):
    python_files = {name for name in wheel_names if name.endswith(".py")}
    bundled = [source.path.split("/", 2) for source in plugin_sources]
    inside = {path for _, _, path in bundled if path.startswith("tollgate_")}
    assert python_files == {source.path for source in gateway_sources} | inside
    packages = {name.split("/")[0] for name in inside}
    assert len(packages) == len(list((root / "plugins").glob("*/pyproject.toml")))
    assert {name.split("/")[0] for name in wheel_names} == {"gateway", "tollgate-0.1.0.dist-info", *packages}
    assert not [name for name in wheel_names if name.endswith(".pyc")]


def test_the_wheel_has_the_plugins_entry_points_and_needs_what_they_need(root, wheel):
    points = configparser.ConfigParser()
    points.read_string(wheel.read("tollgate-0.1.0.dist-info/entry_points.txt").decode())
    tables = [tomllib.loads(path.read_text())["project"] for path in (root / "plugins").glob("*/pyproject.toml")]
    assert dict(points["gateway"]) == {
        name: place for table in tables for name, place in table["entry-points"]["gateway"].items()
    }
    ours = set(tomllib.loads((root / "pyproject.toml").read_text())["project"]["dependencies"])
    for table in tables:
        assert set(table["dependencies"]) - {"tollgate"} <= ours, table["name"]


def test_the_wheel_carries_its_data(root, wheel_names):
    wanted = {"gateway/py.typed", "gateway/shared/config.yaml"}
    wanted |= {f"gateway/shared/{path.relative_to(root)}" for path in (root / "docs").rglob("*.md")}
    data = [path for path in (root / "gateway").rglob("*") if path.suffix in {".sql", ".yaml", ".css", ".js", ".html"}]
    wanted |= {str(path.relative_to(root)) for path in data}
    beside = [path for path in (root / "plugins").glob("*/tollgate_*/**/*") if path.suffix in {".sql", ".typed"}]
    assert beside
    wanted |= {path.relative_to(root).as_posix().split("/", 2)[2] for path in beside}
    assert wanted - set(wheel_names) == set()


def test_the_wheel_runs_nothing_at_start(wheel_names):
    """A .pth file in site-packages is code that every Python process of the environment runs."""
    assert not [name for name in wheel_names if name.endswith(".pth")]


def test_everything_is_pinned_by_hash(root):
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (root / name).read_text()
        blocks = re.split(r"\n(?=\S)", text.split("\n", 1)[1].strip())
        assert len(blocks) > 20
        assert [block for block in blocks if not re.match(r"[\w.-]+==\S+ .*\\\n +--hash=sha256:", block)] == []
        assert "file:" not in text
        assert "://" not in text


def test_both_locks_have_the_same_versions(root):
    runtime = dict(PIN.findall((root / "requirements.lock").read_text()))
    dev = dict(PIN.findall((root / "requirements-dev.lock").read_text()))
    assert {name: dev.get(name) for name in runtime} == runtime


def test_the_lock_covers_what_is_asked_for(root):
    pinned = set(dict(PIN.findall((root / "requirements.lock").read_text())))
    files = [root / "pyproject.toml", *sorted((root / "plugins").glob("*/pyproject.toml"))]
    tables = [tomllib.loads(path.read_text()) for path in files]
    ours = {normal(table["project"]["name"]) for table in tables}
    for path, table in zip(files, tables, strict=True):
        asked = [*table["project"].get("dependencies", []), *table["build-system"]["requires"]]
        missing = {normal(name) for name in asked} - pinned - ours
        assert not missing, f"{path.relative_to(root)}: run scripts/lock"


def test_plugins_are_built_like_the_gateway(root):
    """An editable install by hatchling is one path; other builders put an import hook into every start."""
    wanted = tomllib.loads((root / "pyproject.toml").read_text())["build-system"]
    for path in sorted((root / "plugins").glob("*/pyproject.toml")):
        assert tomllib.loads(path.read_text())["build-system"] == wanted, path.relative_to(root)


def normal(requirement: str) -> str:
    """The normal form of a distribution's name, out of a requirement such as `PyYAML>=6`."""
    found = re.match(r"[\w.-]+", requirement)
    assert found, requirement
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def test_scripts_parse_and_may_be_run(root):
    scripts = [path for path in [*(root / "scripts").iterdir(), root / ".ci/run"] if path.is_file()]
    shell = [path for path in scripts if path.suffix == ".sh" or path.read_bytes().startswith(b"#!/usr/bin/env bash")]
    assert len(shell) >= 4
    for path in shell:
        checked = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True)
        assert checked.returncode == 0, checked.stderr
        assert path.suffix == ".sh" or path.stat().st_mode & 0o111, f"{path} is not executable"
        assert path.suffix == ".sh" or "set -euo pipefail" in path.read_text(), f"{path} goes on after errors"
