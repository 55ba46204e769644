"""The MCP client against a friendly server, and against servers that are slow, huge, forgetful, lost or hostile."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from gateway.config import FetchSettings, McpServerSettings, ToolSettings
from gateway.fetch import Guard
from gateway.servertools.mcp.servers import McpServers
from gateway.servertools.mcp.spec import McpFault, own_server, remote_server
from gateway.servertools.mcp.transport import RECONNECTS
from gateway.testing import Cut, Reply, Stall, json_reply

from .conftest import TOOLS, event, own, text


async def call(servers, spec, name="add", arguments=None, told=lambda text: None):
    sessions = servers.sessions()
    try:
        return await sessions.call(spec, name, arguments or {}, told)
    finally:
        await sessions.close()


class TestWell:
    async def test_the_list_is_kept_and_in_a_stable_order(self, fake, servers):
        spec = own(fake)
        assert [tool["name"] for tool in await servers.tools(spec)] == ["add", "zeta"]
        fake.tools = list(reversed(TOOLS))
        await servers.tools(spec)
        assert fake.methods().count("tools/list") == 1
        fresh = McpServers(servers._guard, ToolSettings())
        assert [tool["name"] for tool in await fresh.tools(spec)] == ["add", "zeta"]

    async def test_the_list_is_asked_for_again_after_its_time(self, fake, guard):
        servers = McpServers(guard, ToolSettings(list_for=0))
        await servers.tools(own(fake))
        fake.tools = [{"name": "other", "inputSchema": {"type": "object"}}]
        assert [tool["name"] for tool in await servers.tools(own(fake))] == ["other"]

    async def test_other_credentials_see_another_list(self, fake, servers):
        await servers.tools(own(fake, headers={"Authorization": "Bearer a"}))
        await servers.tools(own(fake, headers={"Authorization": "Bearer b"}))
        assert fake.methods().count("tools/list") == 2
        sent = {request.headers.get("authorization") for request in fake.upstream.requests}
        assert sent == {"Bearer a", "Bearer b"}

    async def test_two_calls_share_a_session_that_is_ended(self, fake, servers):
        sessions = servers.sessions()
        spec = own(fake)
        results = await asyncio.gather(*(sessions.call(spec, "add", {"a": n}, lambda text: None) for n in (1, 2)))
        assert [result.text for result in results] == ["add {'a': 1}", "add {'a': 2}"]
        await sessions.close()
        assert fake.sessions == 1
        assert fake.methods()[-1] == "DELETE"

    async def test_no_stream_is_opened_that_nobody_reads(self, fake, servers):
        await call(servers, own(fake))
        assert "GET" not in fake.methods()

    async def test_a_result_in_a_stream_with_progress(self, fake, servers):
        def stream(name, arguments):
            asked = fake.upstream.requests[-1].json
            token = asked["params"]["_meta"]["progressToken"]
            note = {"progressToken": token, "progress": 1, "total": 2, "message": "half"}
            done = {"jsonrpc": "2.0", "id": asked["id"], "result": text("done")}
            return Reply([event({"jsonrpc": "2.0", "method": "notifications/progress", "params": note}), event(done)])

        fake.on_call = stream
        told: list[str] = []
        assert (await call(servers, own(fake), told=told.append)).text == "done"
        assert told == ["half"]

    async def test_errors_of_the_tool_are_results(self, fake, servers):
        fake.on_call = lambda name, arguments: text("no such city", isError=True)
        result = await call(servers, own(fake))
        assert result.error
        assert result.text == "no such city"

    async def test_structured_content_must_fit_its_schema(self, fake, servers):
        schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
        fake.tools = [{"name": "add", "inputSchema": {"type": "object"}, "outputSchema": schema}]
        fake.on_call = lambda name, arguments: {"content": [], "structuredContent": {"n": 3}}
        result = await call(servers, own(fake))
        assert result.structured == {"n": 3}
        assert result.text == '{"n":3}'
        fake.on_call = lambda name, arguments: {"content": [], "structuredContent": {"n": "x"}}
        with pytest.raises(McpFault, match="tool"):
            await call(servers, own(fake))


class TestForgetful:
    async def test_a_lost_session_is_begun_anew_once(self, fake, servers):
        sessions = servers.sessions()
        spec = own(fake)
        await sessions.call(spec, "add", {}, lambda text: None)
        fake.override = lambda request: (
            Reply(status=404, framing="length") if request.headers.get("mcp-session-id") == "s1" else None
        )
        assert (await sessions.call(spec, "add", {}, lambda text: None)).text == "add {}"
        assert fake.sessions == 2
        await sessions.close()

    async def test_a_server_that_always_forgets(self, fake, servers):
        fake.override = lambda request: Reply(status=404, framing="length") if b"tools/call" in request.body else None
        with pytest.raises(McpFault, match="forgot"):
            await call(servers, own(fake))


class TestHostile:
    @pytest.mark.parametrize("status", [400, 401, 403, 429, 500, 503])
    async def test_errors_of_http_are_told(self, fake, servers, status):
        fake.override = lambda request: (
            Reply(status=status, framing="length") if b"tools/call" in request.body else None
        )
        with pytest.raises(McpFault, match="error"):
            await call(servers, own(fake))

    @pytest.mark.parametrize("status", [401, 500])
    async def test_a_server_that_refuses_everything(self, fake, servers, status):
        fake.override = lambda request: Reply(status=status, framing="length")
        with pytest.raises(McpFault):
            await servers.tools(own(fake))

    async def test_silence_ends_at_the_time_limit(self, fake, servers):
        fake.on_call = lambda name, arguments: Reply([Stall()], framing="chunked")
        with pytest.raises(McpFault, match=r"within 0\.3 seconds"):
            await call(servers, own(fake, timeout=0.3))

    async def test_silence_at_the_handshake(self, fake, guard):
        fake.override = lambda request: Reply([Stall()])
        servers = McpServers(guard, ToolSettings(connect="300ms"))
        with pytest.raises(McpFault, match="within"):
            await servers.tools(own(fake))

    async def test_an_answer_without_end(self, fake, servers):
        junk = b'{"jsonrpc": "2.0", "result": "' + b"x" * 100_000
        fake.on_call = lambda name, arguments: Reply([junk] * 100, media_type="application/json")
        with pytest.raises(McpFault):
            await call(servers, own(fake))

    async def test_compressed_content_is_refused(self, fake, servers):
        fake.on_call = lambda name, arguments: Reply([b"\x1f\x8b"], headers={"content-encoding": "gzip"})
        with pytest.raises(McpFault):
            await call(servers, own(fake))

    async def test_a_broken_connection(self, fake, servers):
        fake.on_call = lambda name, arguments: Reply([Cut()])
        with pytest.raises(McpFault):
            await call(servers, own(fake))

    async def test_a_server_that_closes_normally_for_ever(self, fake, servers):
        """The SDK resets its counter of attempts at each connection that works."""
        primer = Reply([b"retry: 1\n" + event(None, id="1")])
        fake.on_call = lambda name, arguments: primer
        fake.override = lambda request: primer if request.method == "GET" else None
        with pytest.raises(McpFault):
            await call(servers, own(fake, timeout=30.0))
        assert fake.methods().count("GET") == RECONNECTS

    async def test_a_broken_stream_is_taken_up_again(self, fake, servers):
        fake.on_call = lambda name, arguments: Reply([b"retry: 1\n" + event(None, id="7")])

        def resume(request):
            if request.method != "GET":
                return None
            assert request.headers["last-event-id"] == "7"
            [asked] = [r.json for r in fake.upstream.requests if r.method == "POST" and b"tools/call" in r.body]
            return Reply([event({"jsonrpc": "2.0", "id": asked["id"], "result": text("after all")}, id="8")])

        fake.override = resume
        assert (await call(servers, own(fake))).text == "after all"

    async def test_nonsense(self, fake, servers):
        for body in (b"", b"null", b"[]", b'{"jsonrpc": "2.0"}', b"\xff", b'{"result": {}}'):
            fake.on_call = lambda name, arguments, body=body: json_reply(body)
            with pytest.raises(McpFault):
                await call(servers, own(fake, timeout=0.5))

    async def test_a_list_of_nonsense(self, fake, servers):
        fake.override = lambda request: (
            json_reply({"jsonrpc": "2.0", "id": request.json["id"], "result": {"tools": "none"}})
            if request.method == "POST" and b"tools/list" in request.body
            else None
        )
        with pytest.raises(McpFault):
            await servers.tools(own(fake))

    async def test_leaving_ends_the_request(self, fake, servers):
        fake.on_call = lambda name, arguments: Reply([Stall()])
        task = asyncio.get_running_loop().create_task(call(servers, own(fake, timeout=60.0)))
        while "tools/call" not in fake.methods():
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        [stalled] = [r for r in fake.upstream.requests if b"tools/call" in r.body]
        await asyncio.wait_for(stalled.closed.wait(), 5)


class TestAddresses:
    async def test_requests_do_not_reach_private_addresses(self, fake, servers):
        for url in (
            fake.url,
            "http://localhost/mcp",
            "http://[::1]/",
            "http://169.254.169.254/mcp",
            "http://10.0.0.1/",
        ):
            with pytest.raises(McpFault, match="was not reached"):
                await servers.tools(remote_server("x", url, {}, "", FetchSettings(), 5.0))
        assert fake.upstream.requests == []

    async def test_not_even_what_the_operators_server_has_shown(self, fake, servers):
        await servers.tools(own(fake))
        with pytest.raises(McpFault, match="was not reached"):
            await servers.tools(remote_server("fake", fake.url, {}, "", FetchSettings(), 5.0))

    async def test_a_redirect_to_a_private_address(self, fake, servers):
        """From the operator's server elsewhere: neither followed by the SDK nor reached by the transport."""
        target = "http://127.0.0.1:1/secret"
        fake.override = lambda request: Reply(status=307, headers={"location": target}, framing="length")
        with pytest.raises(McpFault):
            await servers.tools(own(fake))

    async def test_the_checked_address_is_connected_to(self, fake):
        """A name whose second resolution would lead elsewhere is resolved once for each connection."""
        asked: list[str] = []

        async def resolve(host, port):
            asked.append(host)
            return ["127.0.0.1"]

        port = fake.upstream.url.rpartition(":")[2]
        guard = Guard(FetchSettings(), resolve=resolve)
        servers = McpServers(guard, ToolSettings())
        allowed = FetchSettings(allow_hosts=[f"tools.example:{port}"])
        spec = remote_server("x", f"http://tools.example:{port}/mcp", {}, "", allowed, 5.0)
        assert await servers.tools(spec)
        assert set(asked) == {"tools.example"}
        guard.close()

    @pytest.mark.parametrize("name", ["Host", "content-length", "Mcp-Session-Id", "a b", "x\r\ny"])
    def test_headers_that_may_not_be_set(self, name):
        with pytest.raises(ValueError, match="headers"):
            remote_server("x", "https://x.example/", {name: "1"}, "", FetchSettings(), 5.0)

    def test_credentials_show_nowhere(self):
        spec = remote_server("x", "https://x.example/", {"X-Key": "geheim"}, "geheim", FetchSettings(), 5.0)
        assert spec.headers == {"X-Key": "geheim", "Authorization": "Bearer geheim"}
        assert "geheim" not in repr(spec)


SERVER = """
import sys, json
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    result = {
        "initialize": {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                       "serverInfo": {"name": "s", "version": "1"}},
        "tools/list": {"tools": [{"name": "pid", "inputSchema": {"type": "object"}}]},
    }.get(asked["method"])
    if asked["method"] == "tools/call":
        import os
        if asked["params"]["arguments"].get("die"):
            sys.exit()
        secret = os.environ.get("GATEWAY_SECRET", "none")
        result = {"content": [{"type": "text", "text": f"{os.getpid()} {secret} {os.environ.get('MINE')}"}]}
    answer = {"result": result} if result else {"error": {"code": -32601, "message": "no"}}
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], **answer}), flush=True)
"""


class TestPrograms:
    async def test_it_runs_on_and_is_started_again(self, servers, tmp_path, monkeypatch):
        monkeypatch.setenv("GATEWAY_SECRET", "hidden")
        path = tmp_path / "server.py"
        path.write_text(SERVER)
        settings = McpServerSettings(command=(sys.executable, str(path)), env={"MINE": "yes"})
        spec = own_server("program", settings, FetchSettings(), 10.0)
        first = (await call(servers, spec, "pid")).text
        assert first.split()[1:] == ["none", "yes"]
        assert (await call(servers, spec, "pid")).text == first
        with pytest.raises(McpFault):
            await call(servers, spec, "pid", {"die": True})
        assert (await call(servers, spec, "pid")).text != first

    async def test_a_program_that_is_not_there(self, servers):
        settings = McpServerSettings(command=("/no/such/program",))
        with pytest.raises(McpFault, match="cannot be started"):
            await servers.tools(own_server("x", settings, FetchSettings(), 5.0))


def test_starting_does_not_import_the_sdk():
    code = (
        "import sys, gateway.servertools.mcp.servers, gateway.http.server.service, gateway.cli\n"
        "assert not {'mcp', 'httpx2', 'trafilatura'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
