"""Checks of one plugin, whoever wrote it: its hooks, its kinds, the contract of providers, a gateway that runs with it,
and its own tests. Run as `python -m gateway.testing.check PLUGIN`, which is what `gateway plugin check` does."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import io
import re
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson
import pytest

from gateway.errors import ConfigFault
from gateway.pluginload import ENTRY_POINT_GROUP, Plugins, import_file, load, registered_providers
from gateway.provider import Provider, ProviderKind
from gateway.testing.client import Client
from gateway.testing.contract import ProviderContract
from gateway.testing.live_contract import LiveProviderContract
from gateway.testing.running import running_gateway, upstream_config
from gateway.testing.streams import openai_completion, openai_stream
from gateway.testing.transcripts import Transcript
from gateway.testing.upstream import FakeUpstream, Received, Reply, json_reply
from gateway.wire.redact import clean

SECRET = "sk-secret-of-the-check-0123456789"
_SCOPE = "asyncio_default_fixture_loop_scope=function"
_MOST_DETAIL = 2000
_CONTRACTS = "from gateway.testing.check import contracts\n\nglobals().update(contracts({!r}, {!r}))\n"


@dataclass(slots=True, frozen=True)
class Result:
    """What one check found. detail: why it failed, or what else is to be said."""

    name: str
    ok: bool
    detail: str = ""


@dataclass(slots=True, frozen=True)
class Subject:
    """The plugin under check. given: what it was asked for by. folder: of its package, None for an installed one or a
    single file. transcripts: recorded exchanges, None where there are none."""

    given: str
    name: str
    plugin: ModuleType | type[Any] | object
    folder: Path | None
    transcripts: Path | None


def find_plugin(given: str, transcripts: Path | None = None) -> Subject:
    """The plugin that is installed by this name, or that this file or folder holds. Raises ConfigFault."""
    path = Path(given)
    try:
        if path.is_file():
            return Subject(given, path.stem, import_file(path), None, transcripts or _beside(path.parent))
        if path.is_dir():
            name, module = _entry(path)
            sys.path.insert(0, str(path.resolve()))
            return Subject(given, name, importlib.import_module(module), path, transcripts or _beside(path))
        for point in entry_points(group=ENTRY_POINT_GROUP):
            if point.name == given:
                module = point.load()
                place = Path(getattr(module, "__file__", ".")).parent
                return Subject(given, given, module, None, transcripts or _beside(place) or _beside(place.parent))
    except ConfigFault:
        raise
    except (Exception, SystemExit) as error:  # a plugin is foreign code: whatever it raises is what is wrong with it
        raise ConfigFault([f"{given}: cannot be imported: {type(error).__name__}: {error}"]) from error
    raise ConfigFault([f"{given}: no installed plugin has this name, and it is neither a file nor a folder"])


def _beside(folder: Path) -> Path | None:
    found = folder / "transcripts"
    return found if any(found.glob("*.json")) else None


def _entry(folder: Path) -> tuple[str, str]:
    """Name and module of the plugin that a package offers."""
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        ((name, module),) = project["entry-points"][ENTRY_POINT_GROUP].items()
    except (OSError, KeyError, ValueError, AttributeError) as error:
        raise ConfigFault(
            [f"{folder}/pyproject.toml: expected one entry under [project.entry-points.{ENTRY_POINT_GROUP}]"]
        ) from error
    return name, module


def check(subject: Subject) -> list[Result]:
    """Everything that can be said of a plugin without knowing it."""
    try:
        plugins = load({subject.name: subject.plugin}, entry_point_group=None)
        kinds, _ = registered_providers(plugins)
    except ConfigFault as fault:
        return [Result("hooks", False, problem) for problem in fault.problems]
    results = [Result("hooks", True, ", ".join(_hooks(plugins)) or "none")]
    results.append(asyncio.run(_run_with(subject)))
    if kinds:
        results += _check_providers(list(kinds), subject)
    tests = subject.folder / "tests" if subject.folder is not None else None
    if tests is not None and tests.is_dir():
        results += _told("its own tests", *_pytest([str(tests)]))
    return results


def _hooks(plugins: Plugins) -> list[str]:
    (plugin,) = plugins.manager.get_plugins()
    return sorted({caller.name for caller in plugins.manager.get_hookcallers(plugin) or ()})


# A gateway that runs with it.

_CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}], "stream": True}),
    ("/v1/responses", {"input": "Hi"}),
    ("/v1/embeddings", {"input": "Hi"}),
)


async def _run_with(subject: Subject) -> Result:
    """A gateway starts with the plugin, takes calls of every kind, stops, and nothing goes wrong in the plugin."""
    name = "a gateway with it"
    with tempfile.TemporaryDirectory() as folder:
        try:
            async with FakeUpstream() as upstream:
                upstream.answer(_answer)
                config = upstream_config(upstream.url + "/v1")
                async with running_gateway(Path(folder), config, plugins={subject.name: subject.plugin}) as running:
                    client = Client(running)
                    statuses = [(await client.post(path, body)).status for path, body in _CALLS]
                    await client.get("/v1/models")
                errors = [line for line in running.log if line["level"] == "error"]
        except ConfigFault as fault:
            needs = [problem for problem in fault.problems if subject.name in problem]
            return Result(name, not needs, "; ".join(needs or fault.problems))
        except Exception as error:  # as above
            return Result(name, False, f"{type(error).__name__}: {error}")
    if errors:
        return Result(name, False, _first_error(errors[0]))
    refused = sorted({status for status in statuses if status >= 400})
    return Result(name, not refused or refused[-1] < 500, f"it refuses with {refused}" if refused else "")


def _first_error(line: dict[str, Any]) -> str:
    """A line of the log, with what was raised at first."""
    trace = str(line.get("trace") or "").splitlines()
    raised = [text for text in trace if re.match(r"[\w.]+(: |$)", text)]
    return " ".join([str(line.get("message")), *raised[:1]])


def _answer(received: Received) -> Reply:
    if received.path.endswith("/embeddings"):
        vector = {"object": "embedding", "index": 0, "embedding": [0.5]}
        told = {"prompt_tokens": 1, "total_tokens": 1}
        return json_reply({"object": "list", "data": [vector], "model": "m", "usage": told})
    return Reply(openai_stream("Hi")) if received.json.get("stream") else json_reply(openai_completion("Hi"))


# The contract of providers, by pytest.


def contracts(given: str, transcripts: str | None) -> dict[str, type[Any]]:
    """Test classes for each kind of provider of this plugin (as `find_plugin` takes it); what pytest collects."""
    subject = find_plugin(given, Path(transcripts) if transcripts else None)
    kinds, _ = registered_providers(load({subject.name: subject.plugin}, entry_point_group=None))
    made: dict[str, type[Any]] = {}
    for kind in kinds.values():
        pure, live = _contracts_of(kind, subject)
        made[f"Test_{kind.kind}"], made[f"Test_{kind.kind}_live"] = pure, live
    return made


def _check_providers(kinds: list[str], subject: Subject) -> Iterator[Result]:
    with tempfile.TemporaryDirectory() as folder:
        # pytest keeps what it imported by its name, and more than one plugin may be checked in a process.
        file = Path(folder) / f"test_contract_of_{subject.name}.py"
        transcripts = str(subject.transcripts) if subject.transcripts is not None else None
        file.write_text(_CONTRACTS.format(subject.given, transcripts))
        status, listener = _pytest([str(file), "--rootdir", folder])
    for kind in kinds:
        yield from _told(f"provider {kind}", status, listener, {f"Test_{kind}", f"Test_{kind}_live"})


def _contracts_of(kind: ProviderKind, subject: Subject) -> tuple[type[Any], type[Any]]:
    class Recorded:
        def _all(self) -> list[Transcript]:
            if subject.transcripts is None:
                pytest.skip("no transcripts")
            found: list[Transcript] = super()._all()  # type: ignore[misc]
            return found

    for_no_network = settings_for(kind, "https://upstream.test/v1")

    class Pure(Recorded, ProviderContract):
        transcripts = subject.transcripts or Path()
        secrets = (SECRET,) if SECRET in for_no_network.values() else ()

        def make_provider(self) -> Provider:
            made: Provider = kind.create("test", kind.settings_model.model_validate(for_no_network))
            return made

    class Live(Recorded, LiveProviderContract):
        transcripts = subject.transcripts or Path()
        plugins = {subject.name: subject.plugin}  # noqa: RUF012

        @pytest.fixture(autouse=True)
        def over_the_network(self) -> None:
            if Pure().make_provider().transport is not None:
                pytest.skip("it has a transport of its own, so there is no upstream to play")

        def section(self, base_url: str) -> dict[str, Any]:
            return {"plugin": kind.kind, **settings_for(kind, base_url)}

    return Pure, Live


def settings_for(kind: ProviderKind, base_url: str) -> dict[str, Any]:
    """A section for an instance of this kind: addresses and keys by their names, and what must be there."""
    section: dict[str, Any] = {}
    for name, field in kind.settings_model.model_fields.items():
        if name.endswith("url"):
            section[name] = base_url
        elif name.rpartition("_")[2] in ("key", "token", "secret"):
            section[name] = SECRET
        elif field.is_required():
            section[name] = "test"
    return section


class _Listener:
    """Keeps what pytest reports: the test class ("" outside of one) of each that passed or was skipped, and class, name
    and reason of each that failed."""

    def __init__(self) -> None:
        self.passed: list[str] = []
        self.skipped: list[str] = []
        self.failed: list[tuple[str, str, str]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        _, *owners, test = report.nodeid.split("::")
        owner = owners[0] if owners else ""
        if report.failed:
            self.failed.append((owner, test, _why(report)))
        elif report.skipped:
            self.skipped.append(owner)
        elif report.when == "call":
            self.passed.append(owner)


def _why(report: pytest.TestReport) -> str:
    """What a test failed with, and where."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is None:
        return str(report.longrepr).strip().splitlines()[-1]
    return f"{' '.join(crash.message.split())} ({Path(crash.path).name}:{crash.lineno})"


def _pytest(arguments: list[str]) -> tuple[int, _Listener]:
    """Run tests; pytest's exit status, and what it reported."""
    listener = _Listener()
    options = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib", "-o", "asyncio_mode=auto", "-o", _SCOPE]
    with redirect_stdout(io.StringIO()):
        status = pytest.main([*options, *arguments], plugins=[listener])
    return int(status), listener


def _told(name: str, status: int, heard: _Listener, of: set[str] | None = None) -> Iterator[Result]:
    """What tests say: a result for each failure, or one for all. of: the test classes that count, None for all."""
    failed = [(test, why) for owner, test, why in heard.failed if of is None or owner in of]
    if failed:
        yield from (Result(f"{name}: {test}", False, why) for test, why in failed)
        return
    passed, skipped = (sum(of is None or owner in of for owner in owners) for owners in (heard.passed, heard.skipped))
    good = status in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and passed > 0
    also = f", {skipped} skipped" if skipped else ""
    yield Result(name, good, f"{passed} tests{also}" if good else f"pytest ended with status {status}")


def main(given: list[str] | None = None) -> int:
    """The command line; exit status 0 when all holds."""
    parser = argparse.ArgumentParser(prog="gateway plugin check")
    parser.add_argument("plugin")
    parser.add_argument("--transcripts", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--verdict", type=Path, help="a file that is written when all checks have ended")
    options = parser.parse_args(given)
    try:
        results = check(find_plugin(options.plugin, options.transcripts))
    except ConfigFault as fault:
        results = [Result("load", False, problem) for problem in fault.problems]
    good = all(result.ok for result in results)
    if options.verdict is not None:
        options.verdict.touch()
    if options.json:
        shown = [{"name": one.name, "ok": one.ok, "detail": one.detail} for one in results]
        sys.stdout.write(orjson.dumps({"ok": good, "checks": shown}, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        for result in results:
            # What a plugin raises is its own text, and goes to a terminal.
            told = f": {clean(result.detail, _MOST_DETAIL)}" if result.detail else ""
            sys.stdout.write(f"{'ok    ' if result.ok else 'FAILED'} {result.name}{told}\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
