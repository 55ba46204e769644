"""`gateway plugin`: each kind of package that it writes works at once, and what is wrong with a plugin is found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from gateway.cli import main
from gateway.cli.plugin import KINDS


def write(folder: Path, name: str, kind: str) -> Path:
    assert main(["plugin", "new", name, "--kind", kind, "--folder", str(folder / name)]) == 0
    return folder / name


def python(*arguments: str, at: Path) -> subprocess.CompletedProcess[str]:
    """Run Python as an author would, in the package's folder."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
    # The checkout that is being tested, wherever the environment was made.
    env["PYTHONPATH"] = str(Path(__file__).parents[2])
    return subprocess.run([sys.executable, *arguments], cwd=at, env=env, capture_output=True, text=True, timeout=80)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_well_formed(tmp_path: Path, kind: str) -> None:
    folder = write(tmp_path, f"my_{kind}", kind)
    assert "@" not in "".join(path.name for path in folder.rglob("*"))
    for path in folder.rglob("*.py"):
        assert not [word for word in ("@name@", "@package@", "@Class@") if word in path.read_text()], path
    checked = python("-m", "ruff", "check", "--isolated", "--select", "E,F,B", "--line-length", "120", ".", at=folder)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "store"])
def test_every_kind_passes_the_check_and_with_it_its_own_tests(tmp_path: Path, kind: str) -> None:
    folder = write(tmp_path, f"my_{kind}", kind)
    ran = python("-m", "gateway", "plugin", "check", ".", "--json", at=folder)
    told = orjson.loads(ran.stdout)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    names = [check["name"] for check in told["checks"]]
    assert names[:2] == ["hooks", "a gateway with it"]
    assert names[-1] == "its own tests"
    assert ("provider my_provider" in names) == (kind == "provider")


@pytest.mark.slow
def test_a_store_passes_its_own_tests(tmp_path: Path) -> None:
    """All promises of a store take long, and are another test's: here a few show that they run."""
    folder = write(tmp_path, "my_store", "store")
    ran = python("-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "-k", "urls or grant", at=folder)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("async def admit_call(self, caller)", "unknown argument 'caller'"),
        ("def finish_call(self, call)", "must be `async def`"),
        ("async def authorize_call(self, call):\n        raise ValueError('x')\n    def x(self)", "ValueError: x"),
    ],
)
def test_what_is_wrong_with_a_file_is_found(tmp_path: Path, wrong: str, told: str) -> None:
    file = tmp_path / "mine.py"
    body = "from gateway.api import hookimpl\n\n\nclass Plugin:\n    @hookimpl\n    {}:\n        return None\n"
    file.write_text(body.format(wrong))
    ran = python("-m", "gateway", "plugin", "check", str(file), at=tmp_path)
    assert ran.returncode == 1
    assert told in ran.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import sys\nsys.exit(0)\n", "SystemExit: 0"),
        ("import os\nos._exit(0)\n", "ended the process, with status 0, before it was checked"),
        ("while True:\n    pass\n", "did not end within 5 seconds"),
        ("raise ValueError('\x1b[2J' + 'x' * 100_000)\n", "ValueError: [2Jxxx"),
    ],
    ids=["exit", "hard exit", "loop", "escapes"],
)
def test_a_plugin_that_ends_or_holds_up_the_check_does_not_pass(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "mine.py").write_text(text)
    limit = ["--timeout", "5"] if "while" in text else []
    ran = python("-m", "gateway", "plugin", "check", "mine.py", *limit, at=tmp_path)
    assert ran.returncode == 1
    assert told in ran.stdout
    assert "\x1b" not in ran.stdout
    assert len(ran.stdout) < 5000


@pytest.mark.slow
def test_all_kinds_are_installed_as_packages_and_found(tmp_path: Path) -> None:
    """By their entry points, as `pip install` of what was written leaves them."""
    names = [f"my_{kind}" for kind in KINDS]
    folders = [str(write(tmp_path, f"my_{kind}", kind)) for kind in KINDS]
    words = ("install", "-q", "--no-deps", "--no-index", "--no-build-isolation", "--target", str(tmp_path / "site"))
    installed = python("-m", "pip", *words, *folders, at=tmp_path)
    assert installed.returncode == 0, installed.stderr
    (tmp_path / "config.yaml").write_text("providers: {echo: {plugin: echo}}\nmodels: {echo/echo: {free: true}}\n")
    code = (
        f"import sys, site; site.addsitedir({str(tmp_path / 'site')!r}); from gateway.cli import main; sys.exit(main())"
    )
    ran = python("-c", code, "plugins", "--config", "config.yaml", "--json", at=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert [name for name in names if f'"{name}"' not in ran.stdout] == []


@pytest.mark.slow
def test_a_broken_provider_does_not_pass(tmp_path: Path) -> None:
    folder = write(tmp_path, "mine", "provider")
    module = folder / "tollgate_mine" / "__init__.py"
    module.write_text(module.read_text().replace('body["max_tokens"] = call.max_output', "pass"))
    ran = python("-m", "gateway", "plugin", "check", str(folder), at=tmp_path)
    assert ran.returncode == 1
    assert "test_the_output_limit_is_always_sent" in ran.stdout


@pytest.mark.slow
def test_installed_ones_and_unknown_ones(tmp_path: Path) -> None:
    ran = python("-m", "gateway", "plugin", "check", "echo", at=tmp_path)
    assert "ok     hooks" in ran.stdout, ran.stdout + ran.stderr
    ran = python("-m", "gateway", "plugin", "check", "nothing_of_this_name", at=tmp_path)
    assert ran.returncode == 1
    assert "no installed plugin has this name" in ran.stdout


@pytest.mark.parametrize("name", ["Upper", "1st", "a-b", "", "a" * 50])
def test_names_that_cannot_be(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugin", "new", name, "--kind", "tool", "--folder", str(tmp_path / "x")]) == 1
    assert "cannot be a plugin's name" in capsys.readouterr().err


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "mine", "tool")
    assert main(["plugin", "new", "mine", "--kind", "tool", "--folder", str(tmp_path / "mine")]) == 1
    assert "not empty" in capsys.readouterr().err
