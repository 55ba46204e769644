"""The tool and the search service of docs/plugins.md, as an operator would install them, called by a model."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from pathlib import Path

import orjson
import pytest

from gateway import pluginload
from gateway.errors import ConfigFault
from gateway.servertools.toolbox import collect
from gateway.testing import FakeUpstream, Reply, json_reply, running_gateway, upstream_config
from gateway.tools import Document, ToolFault

from .conftest import Model, Turn, call

PAGE = (Path(__file__).resolve().parents[2] / "docs/plugins.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)
[EXAMPLE] = [block for block in BLOCKS if "register_tools" in block]
[SEARCH] = [block for block in BLOCKS if "register_search" in block]


class Run:
    request_id = account_id = key_id = ""

    def __init__(self, data: bytes) -> None:
        self.told: list[str] = []
        self.net = self
        self._data = data

    def progress(self, text: str) -> None:
        self.told.append(text)

    async def fetch(self, url: str) -> Document:
        return Document(url, "application/json", self._data)


@pytest.fixture
def tool(tmp_path):
    (tmp_path / "rates.py").write_text(EXAMPLE)
    offers = collect(pluginload.load({}, directory=tmp_path, entry_point_group=None))
    return offers.tools["exchange_rate"]


async def test_it_answers_and_refuses(tool):
    run = Run(b'{"rate": 0.94}')
    result = await tool.call({"currency": "chf"}, run)
    assert result.text == "1 EUR = 0.94 CHF"
    assert run.told == ["looking up chf"]
    for data, arguments in (
        (b"{}", {"currency": "CHF"}),
        (b"x", {"currency": "CHF"}),
        (b"", {}),
        (b"", {"currency": 1}),
    ):
        with pytest.raises(ToolFault):
            await tool.call(arguments, Run(data))


async def test_a_model_calls_it(tmp_path):
    (tmp_path / "plugins.d").mkdir()
    (tmp_path / "plugins.d/rates.py").write_text(EXAMPLE)
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(FakeUpstream())
        config = upstream_config(f"{upstream.url}/v1", plugins={"dir": "plugins.d"})
        gateway = await stack.enter_async_context(running_gateway(tmp_path, config))
        model = Model(upstream)
        model.script(Turn(calls=[call("exchange_rate", {"currency": "CHF!"})]), Turn("No idea."))
        body = {"model": "fake/model", "input": "?", "tools": [{"type": "exchange_rate"}]}
        status, _, raw = await gateway.post("/v1/responses", body)
        made = orjson.loads(raw)
        assert status == 200, made
        assert [item["type"] for item in made["output"]] == ["mcp_call", "message"]
        assert made["output"][0]["error"]["content"][0]["text"] == "currency must be three letters"
        assert made["usage"]["cost"] == 40 + 500


async def test_a_model_searches(tmp_path):
    (tmp_path / "plugins.d").mkdir()
    (tmp_path / "plugins.d/lines.py").write_text(SEARCH)
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(FakeUpstream())
        service = await stack.enter_async_context(FakeUpstream())
        config = upstream_config(f"{upstream.url}/v1", plugins={"dir": "plugins.d"})
        config["search"] = {"backends": {"mine": {"plugin": "lines", "url": service.url}, "off": {"plugin": "lines"}}}
        gateway = await stack.enter_async_context(running_gateway(tmp_path, config))
        Model(upstream).script(*[Turn(calls=[call("web_search", {"query": "what & why"})]), Turn("Found.")] * 2)
        body = {"model": "fake/model", "input": "?", "tools": [{"type": "web_search"}]}
        for reply, status in (
            (Reply([b"https://a.example/\tA\tAbout \xff\njavascript:x\tB\tno\nodd\n"]), "completed"),
            (json_reply({}, 500), "failed"),
        ):
            service.reply(reply)
            made = orjson.loads((await gateway.post("/v1/responses", body))[2])
            assert [item["type"] for item in made["output"]] == ["web_search_call", "message"]
            assert made["output"][0]["status"] == status
        assert service.requests[0].path.endswith("/find?q=what+%26+why&most=6")
        shown = [str(request.json["messages"]) for request in upstream.requests if request.method == "POST"]
        assert ["Address: https://a.example/" in text for text in shown] == [False, True, False, False]
        assert not [text for text in shown if "javascript" in text or "odd" in text]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("async def look_up", "def look_up"), "must be `async def`"),
        (('"exchange_rate",', '"exchange rate",'), "a name is"),
        (('"type": "object",\n    "properties"', '"properties"'), "JSON schema of an object"),
    ],
)
def test_a_tool_that_cannot_work_stops_the_start(tmp_path, change, said):
    text = EXAMPLE.replace(*change).replace("await run.net.fetch", "run.net.fetch")
    (tmp_path / "rates.py").write_text(text)
    with pytest.raises(ConfigFault, match=re.escape(said)):
        collect(pluginload.load({}, directory=tmp_path, entry_point_group=None))
