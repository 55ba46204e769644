"""Finding plugins, and refusing those that cannot work with a message that says where."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gateway.api import hookimpl
from gateway.errors import ConfigFault
from gateway.pluginload import check_late, load


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.py"
    path.write_text("from gateway.api import hookimpl\n\n" + text)
    return path


def problems(**more: Any) -> list[str]:
    with pytest.raises(ConfigFault) as caught:
        load({}, entry_point_group=None, **more)
    return caught.value.problems


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("@hookimpl\nasync def admit_call(cal): ...\n", 3, "admit_call: unknown argument 'cal'; the hook offers: call"),
        ("@hookimpl\ndef admit_call(call): ...\n", 3, "admit_call: must be `async def`"),
        ("@hookimpl\nasync def watch_event(event): ...\n", 3, "watch_event: must be a plain `def`, not async"),
        ("@hookimpl\nasync def admit_cal(call): ...\n", 3, "admit_cal: there is no such hook"),
        ("async def admit_call(call): ...\n", 3, "admit_call bears a hook's name but lacks @hookimpl"),
        (
            "@hookimpl(hookwrapper=True)\ndef config_model(): yield\n",
            3,
            "config_model: hook wrappers are not supported",
        ),
        ("@hookimpl(tryfirst=True)\ndef config_model(): ...\n", 3, "config_model: tryfirst/trylast have no effect"),
        (
            "class Plugin:\n    @hookimpl\n    async def finish_call(self, outcom): ...\n",
            4,
            "finish_call: unknown argument 'outcom'; the hook offers: call, outcome",
        ),
    ],
)
def test_signature_faults_name_plugin_file_and_line(tmp_path: Path, text: str, line: int, what: str) -> None:
    path = write(tmp_path, "mine", text)
    (problem,) = problems(directory=tmp_path)
    assert problem.startswith(f"plugin mine: {path}:{line}: {what}")


def test_all_problems_at_once(tmp_path: Path) -> None:
    write(tmp_path, "a", "@hookimpl\ndef admit_call(cal): ...\n")
    write(tmp_path, "b", "import nothing_of_this_name\n")
    write(tmp_path, "c", "class Plugin:\n    def __init__(self):\n        raise RuntimeError('no')\n")
    (tmp_path / "d.py").write_text("def broken(:\n")
    found = sorted(problems(directory=tmp_path))
    assert len(found) == 5
    assert "unknown argument 'cal'" in found[0] + found[1]
    assert "must be `async def`" in found[0] + found[1]
    missing = "ModuleNotFoundError: No module named 'nothing_of_this_name'"
    assert found[2] == f"plugin b: {tmp_path / 'b.py'}: cannot be imported: {missing}"
    assert found[3] == "plugin c: cannot be created: RuntimeError: no"
    assert found[4].startswith(f"plugin d: {tmp_path / 'd.py'}: cannot be imported: SyntaxError")


def test_one_that_ends_the_process_is_named(tmp_path: Path) -> None:
    write(tmp_path, "a", "import sys\nsys.exit(0)\n")
    write(tmp_path, "b", "class Plugin:\n    def __init__(self):\n        raise SystemExit('bye')\n")
    first, second = sorted(problems(directory=tmp_path))
    assert first == f"plugin a: {tmp_path / 'a.py'}: cannot be imported: SystemExit: 0"
    assert second == "plugin b: cannot be created: SystemExit: bye"


def test_a_plain_file_is_a_plugin(tmp_path: Path) -> None:
    write(tmp_path, "mine", "@hookimpl\ndef config_model():\n    return int\n")
    write(tmp_path, "_helper", "raise RuntimeError('not a plugin')\n")
    plugins = load({}, directory=tmp_path, entry_point_group=None)
    assert plugins.names == ("mine",)
    assert plugins.call("config_model") == [("mine", int)]


def test_two_folders_with_the_same_file_name_do_not_meet(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, "mine", f"@hookimpl\ndef config_model():\n    return {name!r}\n")
    first = load({}, directory=tmp_path / "one", entry_point_group=None)
    second = load({}, directory=tmp_path / "two", entry_point_group=None)
    assert first.call("config_model") == [("mine", "one")]
    assert second.call("config_model") == [("mine", "two")]


def test_a_class_is_made_once_per_gateway() -> None:
    class Plugin:
        def __init__(self) -> None:
            self.count = 0

        @hookimpl
        def config_model(self) -> Any:
            self.count += 1
            return self.count

    own = {"counter": Plugin}
    first, second = load(own, entry_point_group=None), load(own, entry_point_group=None)
    assert first.call("config_model") == [("counter", 1)]
    assert first.call("config_model") == [("counter", 2)]
    assert second.call("config_model") == [("counter", 1)]


def test_a_later_source_replaces_an_earlier_one_of_the_same_name(tmp_path: Path) -> None:
    class Ours:
        @hookimpl
        def config_model(self) -> Any:
            return "ours"

    write(tmp_path, "step", "@hookimpl\ndef config_model():\n    return 'theirs'\n")
    plugins = load({"step": Ours, "other": Ours}, directory=tmp_path, entry_point_group=None)
    assert plugins.call("config_model") == [("other", "ours"), ("step", "theirs")]


def test_enable_and_disable(tmp_path: Path) -> None:
    write(tmp_path, "broken", "raise RuntimeError('never imported')\n")
    own = {"a": object(), "b": object(), "c": object()}
    assert load(own, directory=tmp_path, disabled=["broken", "b"], entry_point_group=None).names == ("a", "c")
    assert load(own, directory=tmp_path, enabled=["a", "b"], entry_point_group=None).names == ("a", "b")
    found = load(own, directory=tmp_path, enabled=["a", "b"], disabled=["a", "nobody"], entry_point_group=None)
    assert (found.names, sorted(found.order(["b"]).left_out)) == (("b",), ["a", "broken", "c"])


def test_the_order_is_what_the_pipeline_says_then_the_name() -> None:
    class Plugin:
        @hookimpl
        def config_model(self) -> Any:
            return None

    plugins = load(dict.fromkeys("dcba", Plugin), entry_point_group=None)
    assert plugins.names == ("a", "b", "c", "d")
    assert plugins.order(["c", "a"]).names == ("c", "a", "b", "d")
    assert [name for name, _ in plugins.order(["c", "a"]).implementations("config_model")] == ["c", "a", "b", "d"]


def test_another_name_for_a_function() -> None:
    class Plugin:
        @hookimpl(specname="config_model")
        def my_settings(self) -> Any:
            return "mine"

    assert load({"p": Plugin}, entry_point_group=None).call("config_model") == [("p", "mine")]


def test_installed_plugins_are_found() -> None:
    assert {"openai", "echo"} <= set(load({}).names)


@pytest.mark.parametrize(
    ("version", "told"),
    [(2, "update the gateway"), (0, "update the plugin"), ("1", "must be a whole number"), (True, "whole number")],
)
def test_a_plugin_of_another_interface_is_refused_with_what_to_do(version: object, told: str) -> None:
    class Plugin:
        api_version = version

    with pytest.raises(ConfigFault) as caught:
        load({"old": Plugin}, entry_point_group=None)
    (problem,) = caught.value.problems
    assert told in problem
    assert "plugin old" in problem


def test_a_module_says_it_for_its_class() -> None:
    module = ModuleType("tollgate_mine")
    module.api_version = 7  # type: ignore[attr-defined]
    module.Plugin = type("Plugin", (), {})  # type: ignore[attr-defined]
    with pytest.raises(ConfigFault, match="api_version is 7"):
        load({"mine": module}, entry_point_group=None)
    module.api_version = 1  # type: ignore[attr-defined]
    assert load({"mine": module}, entry_point_group=None).names == ("mine",)


def test_what_a_plugin_puts_off_is_tried_when_that_is_asked_for(tmp_path: Path) -> None:
    text = "from gateway.api import later\ncreate = later('{place}')\nagain = later('{place}')\n"
    write(tmp_path, "fine", text.format(place="json:loads"))
    check_late(load({}, directory=tmp_path, entry_point_group=None))
    write(tmp_path, "mine", text.format(place="nothing_of_this_name:create"))
    write(tmp_path, "other", text.format(place="json:nothing"))
    plugins = load({}, directory=tmp_path, entry_point_group=None)
    with pytest.raises(ConfigFault) as caught:
        check_late(plugins)
    first, second = caught.value.problems
    assert first == (
        "plugin mine (nothing_of_this_name:create): cannot be imported: "
        "ModuleNotFoundError: No module named 'nothing_of_this_name'"
    )
    assert second.startswith("plugin other (json:nothing): cannot be imported: AttributeError")
