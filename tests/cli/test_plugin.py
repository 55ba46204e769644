"""`gateway plugin`: each kind of package that it writes works at once, and what is wrong with a plugin is found."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import hatchling.build
import orjson
import pytest

from gateway.blueprint import read_blueprint
from gateway.cli import main
from gateway.cli.plugin import KINDS
from gateway.errors import ConfigFault
from gateway.pluginload import import_file, load, registered_providers
from gateway.testing import check

ALL_AT_ONCE = """
import contextlib, io, sys
from pathlib import Path
import orjson, pytest
from gateway.cli import main
from gateway.testing.check import check, find_plugin

told = {}
for path in sys.argv[1:]:
    told[path] = [[one.name, one.ok, one.detail] for one in check(find_plugin(path))]
with contextlib.redirect_stdout(io.StringIO()) as printed:
    # All promises of a store take long, and are another test's: here a few show that they run.
    store = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib", "-k", "urls or grant", "my_store"]
    told["store"] = [["its own tests", pytest.main(store) == 0, printed.getvalue()]]
with contextlib.redirect_stdout(io.StringIO()) as printed:
    told["installed"] = [["status", main(["plugins", "--config", "config.yaml", "--json"]) == 0, printed.getvalue()]]
sys.stdout.write(orjson.dumps(told).decode())
"""
"""Checks the packages in the folders that it is given, in one process, and lists the installed plugins: what costs
here is to start Python and to import the gateway."""


def write(folder: Path, name: str, kind: str) -> Path:
    assert main(["plugin", "new", name, "--kind", kind, "--folder", str(folder / name)]) == 0
    return folder / name


def python(*arguments: str, at: Path, paths: tuple[Path, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run Python as an author would, in this folder."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
    # The checkout that is being tested, wherever the environment was made.
    env["PYTHONPATH"] = os.pathsep.join(map(str, (*paths, Path(__file__).parents[2])))
    return subprocess.run([sys.executable, *arguments], cwd=at, env=env, capture_output=True, text=True, timeout=80)


def install(package: Path, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `pip install` does with a package of pure Python: it has a wheel built, and unpacks it."""
    monkeypatch.chdir(package)
    name = hatchling.build.build_wheel(str(site))
    with zipfile.ZipFile(site / name) as wheel:
        wheel.extractall(site)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_well_formed(tmp_path: Path, kind: str) -> None:
    folder = write(tmp_path, f"my_{kind}", kind)
    assert "@" not in "".join(path.name for path in folder.rglob("*"))
    for path in folder.rglob("*.py"):
        assert not [word for word in ("@name@", "@package@", "@Class@") if word in path.read_text()], path
    checked = python("-m", "ruff", "check", "--isolated", "--select", "E,F,B", "--line-length", "120", ".", at=folder)
    assert checked.returncode == 0, checked.stdout
    assert start_with(folder) == []


def start_with(folder: Path, right: str = "", wrong: str = "") -> list[str]:
    """What keeps a gateway from starting with the plugin of a package, in which `right` has become `wrong`."""
    (module,) = folder.glob("tollgate_*/__init__.py")
    text = module.read_text()
    assert right in text
    file = folder / "mine.py"
    file.write_text(text.replace(right, wrong) if right else text)
    config = folder / "config.yaml"
    config.write_text("providers: {echo: {plugin: echo}}\nmodels: {echo/echo: {free: true}}\n")
    try:
        read_blueprint(config, {"GATEWAY_DATA": str(folder / "data")}, {"mine": import_file(file)})
    except ConfigFault as fault:
        return [problem.removeprefix(f"plugin mine: {file}") for problem in fault.problems]
    return []


@pytest.mark.parametrize(
    ("kind", "right", "wrong", "told"),
    [
        ("search", "    async def read", "    def read", "read: must be `async def`"),
        ("search", "def read(", "def reads(", "a search service needs the method read(self, url, net)"),
        ("payment", "def build_lookup(", "def lookup(", "needs the method build_lookup(self, event)"),
        ("payment", "    def read_webhook", "    async def read_webhook", "must be a plain `def`, not async"),
        ("store", "async def plan", "async def plans", "a store needs the method plan(self, url, settings)"),
        ("store", ", secret: bytes | None = None", "", "must take restore(self, url, data, source, *, "),
        ("store", "schemes: Sequence[str] =", "scheme =", "a store needs the attribute `schemes`"),
    ],
)
def test_what_a_kind_has_wrong_stops_the_start(tmp_path: Path, kind: str, right: str, wrong: str, told: str) -> None:
    (problem,) = start_with(write(tmp_path, f"my_{kind}", kind), right, wrong)
    assert re.match(r":\d+: ", problem)
    assert told in problem


@pytest.mark.slow
def test_every_kind_passes_the_check_with_its_own_tests_and_can_be_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = {f"my_{kind}": write(tmp_path, f"my_{kind}", kind) for kind in KINDS}
    broken = write(tmp_path, "broken", "provider")
    module = broken / "tollgate_broken" / "__init__.py"
    module.write_text(module.read_text().replace('body["max_tokens"] = call.max_output', "pass"))
    site = tmp_path / "site"
    site.mkdir()
    for folder in folders.values():
        install(folder, site, monkeypatch)
    (tmp_path / "config.yaml").write_text("providers: {echo: {plugin: echo}}\nmodels: {echo/echo: {free: true}}\n")
    checked = [name for name in folders if name != "my_store"]

    # The echo model has no upstream that could be played; that is no fault of it.
    ran = python("-W", "error", "-c", ALL_AT_ONCE, *checked, "echo", "broken", at=tmp_path, paths=(site,))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    told = orjson.loads(ran.stdout)
    wrong = told.pop("broken")
    assert any(name.endswith("test_the_output_limit_is_always_sent[True]") and not ok for name, ok, _ in wrong), wrong
    assert not [one for results in told.values() for one in results if not one[1]]
    for name in checked:
        names = [one[0] for one in told[name]]
        assert names[:2] == ["hooks", "a gateway with it"]
        assert names[-1] == "its own tests"
        assert ("provider my_provider" in names) == (name == "my_provider")
    # By their entry points.
    ((_, _, listed),) = told["installed"]
    assert [name for name in folders if f'"{name}"' not in listed] == []


BROKEN_HOOK = "from gateway.api import hookimpl\n\n\nclass Plugin:\n    @hookimpl\n    {}:\n        return None\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BROKEN_HOOK.format("async def admit_call(self, caller)"), "unknown argument 'caller'"),
        (BROKEN_HOOK.format("def finish_call(self, call)"), "must be `async def`"),
        (
            BROKEN_HOOK.format("async def authorize_call(self, call):\n        raise ValueError('x')\n    def x(self)"),
            "ValueError: x",
        ),
        ("import sys\nsys.exit(0)\n", "SystemExit: 0"),
        ("raise ValueError('\x1b[2J' + 'x' * 100_000)\n", "ValueError: [2Jxxx"),
    ],
    ids=["argument", "not async", "raises", "exit", "escapes"],
)
@pytest.mark.blocking_allowed  # the check runs a gateway, and makes its folder beside it
def test_what_is_wrong_with_a_file_is_found(
    tmp_path: Path, text: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(text)
    assert check.main([str(tmp_path / "mine.py")]) == 1
    printed = capsys.readouterr().out
    assert told in printed
    assert "\x1b" not in printed
    assert len(printed) < 5000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import os\nos._exit(0)\n", "ended the process, with status 0, before it was checked"),
        ("import time\ntime.sleep(3600)\n", "did not end within 2 seconds"),
    ],
    ids=["hard exit", "endless"],
)
def test_a_plugin_that_ends_or_holds_up_the_check_does_not_pass(
    tmp_path: Path, text: str, told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The command line runs the checks in a process of their own."""
    (tmp_path / "mine.py").write_text(text)
    limit = ["--timeout", "2"] if "sleep" in text else []
    assert main(["plugin", "check", str(tmp_path / "mine.py"), *limit]) == 1
    assert told in capfd.readouterr().out


def test_settings_are_found_for_every_bundled_provider() -> None:
    """By names alone: addresses and keys are filled in, and nothing that only looks like them."""
    kinds, _ = registered_providers(load({}))
    assert len(kinds) > 4
    for kind in kinds.values():
        kind.settings_model.model_validate(check.settings_for(kind, "https://upstream.test/v1"))


@pytest.mark.blocking_allowed  # as above
def test_installed_ones_and_unknown_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main(["otel"]) == 0
    assert "ok     hooks: before_dispatch" in capsys.readouterr().out
    assert check.main(["nothing_of_this_name"]) == 1
    assert "no installed plugin has this name" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["Upper", "1st", "a-b", "", "a" * 50])
def test_names_that_cannot_be(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugin", "new", name, "--kind", "tool", "--folder", str(tmp_path / "x")]) == 1
    assert "cannot be a plugin's name" in capsys.readouterr().err


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "mine", "tool")
    assert main(["plugin", "new", "mine", "--kind", "tool", "--folder", str(tmp_path / "mine")]) == 1
    assert "not empty" in capsys.readouterr().err
