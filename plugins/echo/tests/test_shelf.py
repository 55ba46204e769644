"""Files and batches in a folder, as a provider of OpenAI's kind would answer."""

from __future__ import annotations

import os

import orjson
import pytest
from tollgate_echo import shelf
from tollgate_echo.provider import EchoProvider, EchoSettings
from tollgate_echo.script import Timing
from tollgate_echo.transport import EchoTransport

from gateway.api import GatewayFault, Upload, UpstreamRequest, write_form
from gateway.testing import CollectingSink


class Echo:
    """An instance whose answers are awaited whole."""

    def __init__(self, folder, **settings):
        self.provider = EchoProvider("echo", EchoSettings(folder=str(folder), **settings))

    async def ask(self, request: UpstreamRequest):
        sink = CollectingSink()
        self.provider.transport.send(request, sink)
        await sink.wait()
        if sink.fault is not None:
            raise sink.fault
        return sink.status, sink.body

    async def files(self, method, path="", content=None):
        kind, body = "", b""
        if content is not None:
            kind, body = write_form([("purpose", "batch"), ("file", Upload(content, "x"))], "seed")
        status, answer = await self.ask(self.provider.files_request(method, path, kind, body))
        return status, answer

    async def batches(self, method, path="", **body):
        request = self.provider.batches_request(method, path, orjson.dumps(body) if body else b"")
        status, answer = await self.ask(request)
        return status, orjson.loads(answer)


def line(name, text="Hi", url="/v1/chat/completions"):
    return orjson.dumps(
        {"custom_id": name, "method": "POST", "url": url, "body": {"messages": [{"role": "user", "content": text}]}}
    )


async def test_a_batch_is_answered_when_its_time_has_come(tmp_path):
    echo = Echo(tmp_path / "new" / "folder", batch_delay="3600s")
    _, raw = await echo.files("POST", content=b"\n".join([line("a"), line("b", "/echo fail=503"), line("c", url="/x")]))
    file = orjson.loads(raw)["id"]
    assert (await echo.files("GET", f"/{file}/content"))[1].startswith(b'{"custom_id":"a"')
    made = {
        "input_file_id": file,
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
        "metadata": {"x": "y"},
    }
    _, batch = await echo.batches("POST", **made)
    assert (batch["status"], batch["output_file_id"]) == ("in_progress", None)
    other = Echo(tmp_path / "new" / "folder")
    _, again = await other.batches("GET", "/" + batch["id"])
    assert again == batch, "whoever has the folder sees the same"
    _, second = await other.batches("POST", **made)
    assert second["request_counts"] == {"total": 3, "completed": 1, "failed": 2}
    out = orjson.loads((await other.files("GET", f"/{second['output_file_id']}/content"))[1])
    assert out["response"]["body"]["choices"][0]["message"]["content"].startswith('You said: "Hi')
    errors = (await other.files("GET", f"/{second['error_file_id']}/content"))[1].splitlines()
    assert [orjson.loads(one)["response"]["status_code"] for one in errors] == [503, 400]
    _, listed = await other.batches("GET", "?limit=1")
    _, rest = await other.batches("GET", f"?limit=5&after={listed['data'][0]['id']}")
    assert (listed["has_more"], rest["has_more"]) == (True, False)
    assert {one["id"] for one in listed["data"] + rest["data"]} == {batch["id"], second["id"]}
    assert (await echo.batches("POST", f"/{batch['id']}/cancel"))[1]["status"] == "cancelled"
    for path in (f"/{batch['id']}/cancel", f"/{second['id']}/cancel"):
        with pytest.raises(Exception, match="is over"):
            await echo.batches("POST", path)
    assert (await echo.files("DELETE", "/" + file))[0] == 200


async def test_what_is_not_there_is_a_404_and_names_are_no_paths(tmp_path):
    echo = Echo(tmp_path)
    (tmp_path.parent / "outside").write_text("secret")
    for name in ("file-" + "0" * 24, "..%2Foutside", "../outside", "batch-1"):
        assert (await echo.files("GET", f"/{name}/content"))[0] == 404
        assert (await echo.batches("GET", "/" + name))[0] == 404
    with pytest.raises(Exception, match="no such file"):
        await echo.batches("POST", input_file_id="../outside")


async def test_the_oldest_make_room_and_a_folder_of_others_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(shelf, "MOST_FILES", 3)
    echo = Echo(tmp_path / "kept")
    for _ in range(5):
        await echo.files("POST", content=b"x")
    assert len(os.listdir(tmp_path / "kept")) == 3
    iterdir = shelf.Path.iterdir
    monkeypatch.setattr(shelf.Path, "iterdir", lambda folder: [*iterdir(folder), folder / "taken away meanwhile"])
    assert (await echo.files("POST", content=b"x"))[0] == 200
    assert (tmp_path / "kept").stat().st_mode & 0o077 == 0
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    with pytest.raises(GatewayFault):
        await Echo(tmp_path / "link").files("POST", content=b"x")
    monkeypatch.setattr(shelf.tempfile, "gettempdir", lambda: str(tmp_path))
    transport, sink = EchoTransport(Timing(), True), CollectingSink()
    transport.send(UpstreamRequest(shelf.FILES + "/file-" + "0" * 24, {}, b"", method="GET"), sink)
    await sink.wait()
    assert (tmp_path / f"tollgate-echo-{os.getuid()}").is_dir()
