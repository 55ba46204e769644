"""Documentation that fails the build when it is wrong: hooks, settings, examples and links."""

from __future__ import annotations

import argparse
import ast
import importlib.util
import re
from types import ModuleType
from typing import Annotated

import orjson
import pytest
import yaml
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from gateway import pluginload
from gateway.api import Call, Caller, CallerFault, Fault, Provider, Refusal, Target, UpstreamFault, UpstreamReply
from gateway.builtin import BUILTIN
from gateway.cli import build_parser
from gateway.config import McpServerSettings, OidcSettings, sections
from gateway.config.alert_sections import AlertWebhook
from gateway.config.provider_sections import ProviderTerms

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def code_blocks(text: str, language: str) -> list[str]:
    return [body for name, body in FENCE.findall(text) if name == language]


def block_with(text: str, part: str) -> str:
    [found] = [body for body in code_blocks(text, "python") if part in body]
    return found


@pytest.fixture(scope="module")
def plugins_page(root) -> str:
    return (root / "docs/plugins.md").read_text()


def script(root, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, root / f"scripts/{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PLAIN = Target("plain/one", "plain", "one")


@pytest.fixture(scope="module")
def reference(root) -> ModuleType:
    return script(root, "hook_reference")


@pytest.fixture(scope="module")
def tables(root) -> ModuleType:
    return script(root, "api_tables")


def make_call(body: dict, **changes) -> Call:
    values = {
        "id": "req-1", "route": "/chat/completions", "dialect": "chat", "body": body, "model": "plain/one",
        "stream": False, "headers": {}, "authorization": "", "remote": "", "started": 0.0, "created": 1,
        "caller": Caller("a", "k", "label"), **changes,
    }  # fmt: skip
    return Call(**values)


def test_the_list_of_hooks_is_current(root, plugins_page, reference):
    section = reference.render((root / "gateway/hookspecs.py").read_text())
    assert section in plugins_page, "run scripts/docs"


def test_every_hook_is_listed_with_its_signature(plugins_page):
    """The same by another way: what pluginload checks plugins against, is what the page says."""
    listed = re.findall(r"^### `(async )?(\w+)\((.*)\) -> .*`$", plugins_page, re.MULTILINE)
    hooks = {name for name, value in vars(pluginload.hookspecs).items() if hasattr(value, "gateway_spec")}
    assert {name for _, name, _ in listed} == hooks
    for is_async, name, arguments in listed:
        assert bool(is_async) == (name in pluginload.hookspecs.ASYNC_HOOKS)
        named = [argument.arg for argument in ast.parse(f"def f({arguments}): ...").body[0].args.args]
        assert tuple(named) == pluginload.arguments_of(getattr(pluginload.hookspecs, name))


def test_links_lead_somewhere(root):
    pages = [root / "README.md", root / "CHANGELOG.md", *(root / "docs").rglob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.relative_to(root)}: {target}"


def test_python_examples_parse(root):
    for page in [root / "README.md", *(root / "docs").rglob("*.md")]:
        for block in code_blocks(page.read_text(), "python"):
            ast.parse(block)


def test_the_tables_of_parameters_are_current(root, tables):
    page = "".join((root / "docs" / name).read_text() for name in tables.PAGES)
    assert sorted(tables.names_in(page)) == sorted(tables.TABLES)
    for name in tables.PAGES:
        page = (root / "docs" / name).read_text()
        assert tables.put_in(page) == page, "run scripts/docs"


def test_a_stale_table_is_found(tables):
    stale = "<!-- parameters: chat -->\n| `model` | string | Old. |\n<!-- end of parameters -->"
    fresh = tables.put_in(stale)
    assert fresh != stale
    assert "| `temperature` | number, 0 to 2 |" in fresh
    assert tables.put_in(fresh) == fresh


def test_commands_that_send_json_say_so(root):
    """curl calls a body a form unless it is told otherwise, and forms are refused."""
    found = []
    for page in [root / "README.md", *sorted((root / "docs").glob("*.md"))]:
        for language in ("sh", "bash", "console"):
            for block in code_blocks(page.read_text(), language):
                commands = re.findall(r"^.*?\bcurl\b(?:.*\\\n)*.*$", block, re.M)
                found += [(page.name, one) for one in commands if re.search(r"\s-d\s", one)]
    assert len(found) > 10
    assert [one for one in found if "content-type: application/json" not in one[1].casefold()] == []


def test_every_route_is_documented(root):
    page = (root / "docs/http-api.md").read_text()
    source = (root / "gateway/http/all_routes.py").read_text()
    routes = re.findall(r'\.add(?:_dialect)?\(\s*"([A-Z]+)", "([^"{]+)', source)
    assert len(routes) >= 15
    assert [f"{method} {path}" for method, path in routes if f"`{method} {path}" not in page] == []


def test_every_metric_is_documented(root):
    page = (root / "docs/operations.md").read_text()
    source = (root / "gateway/metrics.py").read_text()
    counters = re.findall(r'\bCounter\(\s*"(gateway_[a-z_]+)"', source)
    assert counters
    names = [name + "_total" if name in counters else name for name in re.findall(r'"(gateway_[a-z_]+)"', source)]
    assert [name for name in names if f"| `{name}` |" not in page] == [], "as a scrape names them"


def test_every_command_is_documented(root):
    page = (root / "docs/operations.md").read_text()
    [commands] = [action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction)]
    assert [name for name in commands.choices if f"| `gateway {name}` |" not in page] == []


class TestExamples:
    @pytest.fixture
    def plugins(self, root, tmp_path, plugins_page) -> pluginload.Plugins:
        """The examples as an operator would install them: files in a folder."""
        (tmp_path / "max_images.py").write_text(block_with(plugins_page, "max_images"))
        (tmp_path / "plain.py").write_text(block_with(plugins_page, "register_providers"))
        (tmp_path / "max_messages.py").write_text(block_with((root / "README.md").read_text(), "max_messages"))
        return pluginload.load({}, directory=tmp_path, entry_point_group=None)

    def hook(self, plugins, plugin, name):
        [function] = [impl.function for found, impl in plugins.implementations(name) if found == plugin]
        return function

    async def test_the_policy_counts_images(self, plugins):
        class App:
            def section(self, name):
                return self_model(limit=1)

        self_model = dict(plugins.call("config_model"))["max_images"]
        await self.hook(plugins, "max_images", "start_up")(App())
        authorize = self.hook(plugins, "max_images", "authorize_call")
        image = {"type": "image_url", "image_url": {"url": "data:"}}
        await authorize(make_call({"messages": [{"role": "user", "content": [image]}, {"content": "text"}]}))
        with pytest.raises(Refusal) as refused:
            await authorize(make_call({"messages": [{"role": "user", "content": [image, image]}]}))
        assert refused.value.status == 403

    async def test_the_readme_policy_counts_messages(self, plugins):
        authorize = self.hook(plugins, "max_messages", "authorize_call")
        await authorize(make_call({"messages": [{}] * 200}))
        with pytest.raises(Refusal):
            await authorize(make_call({"messages": [{}] * 201}))

    @pytest.fixture
    def provider(self, plugins) -> Provider:
        kinds = []
        plugins.call("register_providers", register=kinds.append)
        [kind] = kinds
        settings = kind.settings_model(base_url="http://127.0.0.1:9999/")
        assert kind.ready(settings) == ""
        return kind.create("plain", settings)

    def test_the_provider_keeps_the_contract(self, provider):
        pluginload.check_providers([("plain", provider)])
        call = make_call({"messages": [{"role": "user", "content": "Hi"}], "temperature": 1}, max_output=5)
        request = provider.prepare(call, PLAIN).request
        assert request.url == "http://127.0.0.1:9999/complete"
        assert orjson.loads(request.body) == {"prompt": "user: Hi", "limit": 5, "stream": False}
        assert call.dropped == ["temperature"]
        assert provider.bound_input_tokens(call.body, PLAIN) >= 2
        with pytest.raises(CallerFault, match=r"messages\[0\]\.content"):
            provider.prepare(make_call({"messages": [{"role": "user", "content": []}]}), PLAIN)

    def test_the_provider_reads_answers_and_rubbish(self, provider):
        reader = provider.prepare(make_call({"messages": []}), PLAIN).reader
        answer = reader.read_reply(UpstreamReply(200, {}, b'{"text": "Hello"}')).body
        assert answer["choices"][0]["message"]["content"] == "Hello"
        for body in (b"", b"null", b"[]", b'{"text": null}', b"\xff"):
            with pytest.raises(UpstreamFault):
                reader.read_reply(UpstreamReply(200, {}, body))
        found = [reader.read_fault(UpstreamReply(status, {}, b"x")).retryable for status in (400, 429, 503)]
        assert found == [False, True, True]

    @pytest.mark.parametrize("size", [1, 2, 7, 1000])
    def test_the_provider_streams_at_every_split(self, provider, size):
        data = b'data: {"text": "Hel"}\n\ndata: {"text": "lo"}\n\ndata: {"end": true}\n\n'
        decoder = provider.prepare(make_call({"messages": []}), PLAIN).reader.open_stream()
        items = [item for at in range(0, len(data), size) for item in decoder.feed(data[at : at + size])]
        assert "".join(item["choices"][0]["delta"].get("content", "") for item in items) == "Hello"
        assert items[-1]["choices"][0]["finish_reason"] == "stop"
        assert decoder.done
        assert decoder.finish() == []
        [fault] = provider.prepare(make_call({"messages": []}), PLAIN).reader.open_stream().feed(b"data: nonsense\n\n")
        assert isinstance(fault, Fault)


class TestSettings:
    """docs/configuration.md has a table for each section, with every key and its default as one would write it."""

    ROW = re.compile(r"^\| `(\w+)` \| (`[^`]*`|required) \| \S.* \|$", re.MULTILINE)

    def documented(self, root, section: str) -> dict[str, str]:
        page = (root / "docs/configuration.md").read_text()
        [body] = re.findall(rf"^###? {re.escape(section)}$(.*?)(?=^###? |\Z)", page, re.MULTILINE | re.DOTALL)
        return {key: default.strip("`") for key, default in self.ROW.findall(body)}

    def models(self) -> dict[str, type[BaseModel]]:
        parts = {
            "`cooldown`": sections.Cooldown,
            "`webhook`": AlertWebhook,
            "`oidc`": OidcSettings,
            "`providers`": ProviderTerms,
            "`models`": sections.ModelSettings,
            "`price`": sections.PriceSettings,
            "`aliases`": sections.AliasEntry,
            "`mcp_servers`": McpServerSettings,
        }
        for name, field in sections.Core.model_fields.items():
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                parts[f"`{name}`"] = field.annotation
        for name, model in pluginload.load(BUILTIN, entry_point_group=None).call("config_model"):
            if model is not None:
                parts[f"`{name}`"] = model
        return parts

    def test_every_key_and_default(self, root):
        models = self.models()
        assert len(models) >= 10
        for section, model in models.items():
            documented = self.documented(root, section)
            assert set(documented) == set(model.model_fields), section
            for key, field in model.model_fields.items():
                self.check_default(f"{section} {key}", documented[key], field)

    def test_single_keys(self, root):
        documented = self.documented(root, "Single keys")
        single = {name: field for name, field in sections.Core.model_fields.items() if f"`{name}`" not in self.models()}
        assert set(documented) == set(single)
        for key, field in single.items():
            self.check_default(key, documented[key], field)

    def check_default(self, where: str, written: str, field: FieldInfo) -> None:
        """What the page says, read as YAML and by the model, is the default."""
        if field.is_required():
            assert written == "required", where
            return
        default = field.get_default(call_default_factory=True)
        if written == "none":
            assert default is None, where
            return
        assert default is not None, where
        value = yaml.safe_load(written)
        # Durations such as `60s` and lists become what the model holds; the field keeps its own validators.
        adapter = TypeAdapter(Annotated[field.annotation, "as in the model", *field.metadata])
        assert adapter.validate_python(tuple(value) if isinstance(value, list) else value) == default, where
