"""Fetching over real sockets: every rule of `gateway.fetch.client`, and what a hostile server may try."""

from __future__ import annotations

import asyncio
import gzip
import ipaddress
import socket
import ssl
import struct
import time

import pytest

from gateway.errors import CallerFault, GatewayFault
from gateway.fetch import Media
from gateway.fetch import guard as guard_module
from gateway.testing import Cut, Pause, Reply, Stall, all_splits

from .conftest import HOST, port_of

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
PATH = "messages[0].content[1].image_url.url"


def image(*body, framing="length", **more) -> Reply:
    return Reply(list(body) or [PNG], framing=framing, media_type="text/html", **more)


def redirect(location: str, status: int = 302, body: bytes = b"moved") -> Reply:
    return Reply([body], status, {"location": location}, framing="length")


class TestContent:
    async def test_an_image(self, bench):
        bench.server.reply(image())
        media = await bench.fetch(bench.url("/a%20b?c=d#e"))
        assert (media.media_type, media.data) == ("image/png", PNG)
        [request] = bench.server.requests
        assert (request.method, request.path, request.body) == ("GET", "/a%20b?c=d", b"")
        assert request.headers == {
            "host": f"{HOST}:{port_of(bench.server)}",
            "user-agent": "tollgate",
            "accept": "*/*",
            "accept-encoding": "identity",
            "connection": "close",
        }
        await request.wait_closed()

    @pytest.mark.parametrize("framing", ["chunked", "length", "close"])
    async def test_every_framing_at_every_split(self, bench, framing):
        data = PNG[:90]
        for name, pieces in all_splits(data):
            bench.server.queue(image(*pieces, framing=framing))
            assert (await bench.fetch()).data == data, name

    async def test_a_head_in_single_bytes_and_an_interim_answer(self, bench):
        answer = (
            b"HTTP/1.1 103 Early Hints\r\nlocation: /x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n" + PNG[:8]
        )
        steps = [step for i in range(len(answer)) for step in (answer[i : i + 1], Pause(0))]
        bench.server.reply(Reply(steps, framing="raw"))
        assert (await bench.fetch()).data == PNG[:8]

    @pytest.mark.parametrize(
        "body", [b"<html>" * 100, b'{"token": "secret"}', b"", b"root:x:0:0:root:/root:/bin/sh\n", b"<svg/>"]
    )
    async def test_what_is_no_media_stays_here(self, bench, body):
        bench.server.reply(Reply([body], framing="length", media_type="image/png"))
        fault = await bench.fault()
        assert (fault.status, fault.code, fault.param) == (400, "media_type_unsupported", PATH)
        assert not body or body[:6].decode() not in fault.message + fault.detail

    async def test_no_media_is_given_up_at_its_first_bytes(self, bench):
        bench.server.reply(Reply([b"<html>" * 100, Stall()], framing="chunked"))
        assert (await bench.fault()).code == "media_type_unsupported"
        await bench.server.requests[0].wait_closed()

    async def test_compressed_content_is_not_inflated(self, bench):
        bench.server.reply(image(gzip.compress(PNG), headers={"content-encoding": "gzip"}))
        assert (await bench.fault()).code == "media_fetch_failed"
        bench.server.reply(image(gzip.compress(PNG)))
        assert (await bench.fault()).code == "media_type_unsupported"
        bench.server.reply(image(headers={"content-encoding": "identity"}))
        assert (await bench.fetch()).data == PNG

    @pytest.mark.parametrize("status", [201, 204, 206, 300, 304, 400, 401, 403, 404, 429, 500, 503])
    async def test_only_200_is_content(self, bench, status):
        bench.server.reply(image(b"" if status in (204, 304) else PNG, status=status))
        fault = await bench.fault()
        assert (fault.status, fault.code) == (400, "media_fetch_failed")
        assert str(status) in fault.message


class TestSize:
    async def test_declared_too_large(self, bench):
        bench.server.reply(image(PNG, Stall(), length=1001))
        fault = await bench.fault(max_size=1000)
        assert (fault.status, fault.code, fault.param) == (400, "media_too_large", PATH)
        assert "fetch.max_size" in fault.message

    @pytest.mark.parametrize("framing", ["chunked", "close"])
    async def test_undeclared_and_endless(self, bench, framing):
        sent = [PNG[:1000]] * 1000
        bench.server.reply(image(*sent, Stall(), framing=framing))
        assert (await bench.fault(max_size=100_000)).code == "media_too_large"
        assert not bench.server.requests[0].complete
        await bench.server.requests[0].wait_closed()

    async def test_just_as_large_as_allowed(self, bench):
        bench.server.reply(image())
        assert len((await bench.fetch(max_size=len(PNG))).data) == len(PNG)
        assert (await bench.fault(max_size=len(PNG) - 1)).code == "media_too_large"

    @pytest.mark.parametrize("framing", ["length", "chunked"])
    async def test_all_of_a_call_together(self, bench, framing):
        bench.server.reply(image(framing=framing))
        fetcher = bench.make(max_total=len(PNG) * 2)
        allowance = fetcher.allowance()
        for _ in range(2):
            await fetcher.fetch(bench.url(), PATH, allowance)
        with pytest.raises(CallerFault, match=r"fetch\.max_total") as caught:
            await fetcher.fetch(bench.url(), PATH, allowance)
        assert caught.value.code == "media_too_large"
        await fetcher.fetch(bench.url(), PATH)
        await fetcher.close()

    async def test_a_length_that_lies(self, bench):
        bench.server.reply(image(length=len(PNG) + 1))
        assert (await bench.fault()).code == "media_fetch_failed"
        bench.server.reply(image(length=100))
        assert (await bench.fetch()).data == PNG[:100]

    @pytest.mark.parametrize(
        "head",
        [
            b"content-length: 8\r\ncontent-length: 9",
            b"content-length: -1",
            b"content-length: 0x8",
            b"content-length: 99999999999999999999999",
            b"content-length: 8\r\ntransfer-encoding: chunked",
            b"transfer-encoding: gzip",
            b"transfer-encoding: gzip, chunked",
            b"a: " + b"b" * 100_000,
            b"a\x00: b",
        ],
    )
    async def test_heads_that_make_no_sense(self, bench, head):
        bench.server.reply(Reply([b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + PNG[:8]], framing="raw"))
        assert (await bench.fault()).code in ("media_fetch_failed", "media_too_large")

    @pytest.mark.parametrize(
        "flood",
        [
            b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 20_000,
            b"HTTP/1.1 200 OK\r\na: " + b"b" * 100_000,
            b"HTTP/1.1 200 " + b"O" * 100_000,
            b"HTTP/1.1 100 Continue\r\n\r\n" * 5000,
        ],
    )
    async def test_an_endless_head(self, bench, flood):
        bench.server.reply(Reply([flood, Stall()], framing="raw"))
        assert "too large" in (await bench.fault()).message


class TestTrouble:
    @pytest.mark.parametrize("reset", [True, False])
    @pytest.mark.parametrize("framing", ["chunked", "length"])
    async def test_a_cut(self, bench, framing, reset):
        bench.server.reply(
            image(PNG[:500], Cut(reset), framing=framing, **({"length": 999} if framing == "length" else {}))
        )
        assert (await bench.fault()).code == "media_fetch_failed"

    async def test_a_reset_is_no_end(self, bench):
        """A body that ends with its connection is whole only when the server closed in good order."""

        async def serve(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + PNG[:500])
            await asyncio.sleep(0.05)
            if reset:
                # Closing with this option set sends RST.
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        for reset in (False, True):
            fetching = bench.fetch(f"http://{HOST}:{port}/", allow_hosts=[f"{HOST}:{port}"])
            [result] = await asyncio.gather(fetching, return_exceptions=True)
            assert isinstance(result, CallerFault if reset else Media)
        server.close()
        await server.wait_closed()

    @pytest.mark.parametrize(
        "answer", [b"SSH-2.0-OpenSSH_9.6\r\n", b"\x15\x03\x01\x00\x02\x02\x46", b"HTTP/0.9\r\n\r\n", b""]
    )
    async def test_not_http(self, bench, answer):
        bench.server.reply(Reply([answer, Cut(reset=False)], framing="raw"))
        fault = await bench.fault()
        assert fault.code == "media_fetch_failed"
        assert "SSH" not in fault.message

    async def test_an_upgrade(self, bench):
        head = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"
        bench.server.reply(Reply([head + PNG], framing="raw"))
        assert (await bench.fault()).code == "media_fetch_failed"

    @pytest.mark.parametrize(
        "reply", [Reply([Stall()], framing="raw"), image(*[PNG[:64], Pause(0.05)] * 100, framing="chunked")]
    )
    async def test_slow(self, bench, reply):
        bench.server.reply(reply)
        began = time.monotonic()
        fault = await bench.fault(timeout="200ms")
        assert 0.15 < time.monotonic() - began < 30
        assert (fault.status, fault.code) == (400, "media_fetch_failed")
        assert "fetch.timeout" in fault.message
        await bench.server.requests[0].wait_closed()

    async def test_nobody_listens(self, bench):
        await bench.server.close()
        fault = await bench.fault()
        assert fault.code == "media_fetch_failed"
        assert "127.0.0.1" not in fault.message

    async def test_a_name_that_takes_for_ever(self, bench):
        async def never(host, port):
            await asyncio.Event().wait()

        fetcher = bench.make(connect="100ms")
        fetcher.guard.resolve = never
        with pytest.raises(CallerFault, match=r"fetch\.connect"):
            await fetcher.fetch(bench.url(), PATH)
        await fetcher.close()

    async def test_leaving_aborts(self, bench):
        bench.server.reply(image(PNG, Stall(), framing="chunked"))
        task = asyncio.create_task(bench.fetch())
        [request] = await bench.server.wait_for_requests(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await request.wait_closed()

    async def test_too_many_at_once(self, bench):
        fetcher = bench.make(concurrency=1, timeout="100ms")
        async with fetcher._slots:
            with pytest.raises(GatewayFault) as busy:
                await fetcher.fetch(bench.url(), PATH)
        assert (busy.value.status, busy.value.code, busy.value.retry_after) == (503, "media_fetch_busy", 1.0)
        await fetcher.close()

    async def test_places_are_given_back(self, bench):
        fetcher = bench.make(concurrency=1)
        for reply in (image(status=500), image(), redirect("ftp://x/"), image()):
            bench.server.queue(reply)
        results = [await asyncio.gather(fetcher.fetch(bench.url(), PATH), return_exceptions=True) for _ in range(4)]
        assert [isinstance(result, CallerFault) for [result] in results] == [True, False, True, False]
        await fetcher.close()


class TestAddresses:
    """Nothing but judged addresses is ever connected to."""

    @pytest.fixture
    def connected(self, monkeypatch) -> list[tuple[str, int]]:
        """Where connections were tried; each attempt fails."""
        tried: list[tuple[str, int]] = []

        async def refuse(infos, **options):
            tried.extend(info[4][:2] for info in infos)
            raise OSError("not in a test")

        monkeypatch.setattr(guard_module.aiohappyeyeballs, "start_connection", refuse)
        return tried

    @pytest.mark.parametrize(
        "address",
        "127.0.0.1 10.0.0.1 169.254.169.254 0.0.0.0 ::1 :: ::ffff:127.0.0.1 64:ff9b::7f00:1 2002:7f00:1:: fe80::1%eth0 "
        "fd00::1 224.0.0.1 100.64.0.1 168.63.129.16".split(),
    )
    @pytest.mark.parametrize("others", [[], ["8.8.8.8"]])
    async def test_one_bad_address_refuses_all(self, bench, connected, address, others):
        for answer in ([address, *others], [*others, address]):
            bench.names.table["bad.example"] = [answer]
            fault = await bench.fault("https://bad.example/a.png")
            assert (fault.status, fault.code, fault.param) == (400, "media_fetch_refused", PATH)
            assert address not in fault.message
            assert address in fault.detail
        assert connected == []

    async def test_an_unknown_name_looks_like_a_private_one(self, bench, connected):
        private = await bench.fault("https://inside.example/")
        unknown = await bench.fault("https://unknown.example/")
        assert (private.message, private.code) == (unknown.message, unknown.code)

    async def test_rebinding(self, bench, connected):
        """The name is asked for once, and what was judged is what is connected to."""
        bench.names.table["rebind.example"] = [["8.8.8.8", "2606:4700::1111"], ["127.0.0.1"]]
        fault = await bench.fault("https://rebind.example/")
        assert fault.code == "media_fetch_failed"
        assert connected == [("8.8.8.8", 443), ("2606:4700::1111", 443)]
        assert bench.names.asked == ["rebind.example"]
        # The next request is judged by its own answer.
        assert (await bench.fault("https://rebind.example/")).code == "media_fetch_refused"

    @pytest.mark.parametrize(
        "url",
        "http://127.0.0.1/ http://[::1]/ http://[::ffff:7f00:1]/ http://[64:ff9b::7f00:1]/ http://0.0.0.0/ "
        "http://0x7f.1/ http://2130706433/ http://0177.0.0.1/ http://127.1/ http://169.254.169.254/latest/ "
        "http://①②⑦.0.0.1/ http://user@8.8.8.8/ http://8.8.8.8:22/ ftp://8.8.8.8/ file:///etc/passwd http://8.8.8.8\\@127.0.0.1/".split(),
    )
    async def test_literals(self, bench, connected, url):
        assert (await bench.fault(url)).code == "media_fetch_refused"
        assert connected == []
        assert bench.names.asked == []

    async def test_a_forbidden_port_is_not_even_looked_up(self, bench, connected):
        bench.names.table["a.example"] = [["8.8.8.8"]]
        fault = await bench.fault("http://a.example:22/")
        assert (fault.code, "port 80 or 443" in fault.message) == ("media_fetch_refused", True)
        assert bench.names.asked == connected == []

    async def test_a_literal_is_not_looked_up(self, bench, connected):
        await bench.fault("http://8.8.8.8/")
        assert connected == [("8.8.8.8", 80)]
        assert bench.names.asked == []

    async def test_connecting_resolves_nothing(self, bench, monkeypatch):
        def forbidden(*args, **kwargs):
            raise AssertionError("a second resolution")

        loop = asyncio.get_running_loop()
        original = loop.getaddrinfo

        def numbers_only(host, *args, **kwargs):
            # uvloop passes addresses through here too, and takes them apart without a look-up.
            ipaddress.ip_address(host)
            return original(host, *args, **kwargs)

        monkeypatch.setattr(socket, "getaddrinfo", forbidden)
        monkeypatch.setattr(loop, "getaddrinfo", numbers_only)
        bench.server.reply(image())
        assert (await bench.fetch()).data == PNG

    async def test_the_systems_resolver(self, bench):
        """`localhost` needs no network to resolve."""
        fetcher = bench.make(allow_hosts=[f"localhost:{port_of(bench.server)}"])
        fetcher.guard.resolve = fetcher.guard.ask_system
        assert "127.0.0.1" in await fetcher.guard.ask_system("localhost", 80)
        bench.server.reply(image())
        url = f"http://localhost:{port_of(bench.server)}/"
        assert (await fetcher.fetch(url, PATH)).data == PNG
        with pytest.raises(CallerFault) as refused:
            await fetcher.fetch("http://localhost/", PATH)
        assert refused.value.code == "media_fetch_refused"
        await fetcher.close()

    async def test_settings_of_the_environment_are_not_read(self, bench, monkeypatch):
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, bench.private.url)
        bench.server.reply(image())
        assert (await bench.fetch()).data == PNG
        assert bench.private.requests == []


class TestRedirects:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_followed_and_judged(self, bench, status):
        bench.server.queue(redirect("/b?c", status), image())
        assert (await bench.fetch()).data == PNG
        assert [request.path for request in bench.server.requests] == ["/a", "/b?c"]
        assert bench.names.asked == [HOST, HOST]
        assert not {"cookie", "referer", "authorization"} & set(bench.server.requests[1].headers)

    @pytest.mark.parametrize("host", ["127.0.0.1", "inside.example", "[::1]", "[::ffff:127.0.0.1]"])
    async def test_to_a_private_server(self, bench, host):
        bench.private.reply(image())
        bench.server.reply(redirect(f"http://{host}:{port_of(bench.private)}/"))
        fault = await bench.fault()
        assert (fault.code, fault.param) == ("media_fetch_refused", PATH)
        assert bench.private.connections == 0
        assert "127.0.0.1" not in fault.message

    @pytest.mark.parametrize(
        "location",
        "ftp://media.example/ file:///etc/passwd gopher://x/ data:image/png;base64,AA== //0x7f.1/ "
        "http://u@media.example/ http://media.example:22/ http://169.254.169.254/".split(),
    )
    async def test_to_somewhere_else(self, bench, location):
        bench.server.reply(redirect(location))
        assert (await bench.fault()).code == "media_fetch_refused"
        assert len(bench.server.requests) == 1

    async def test_the_name_is_asked_anew(self, bench):
        bench.names.table[HOST] = [["127.0.0.1"], ["10.0.0.1", "fe80::1%eth0"]]
        bench.server.reply(redirect("/b"))
        assert (await bench.fault()).code == "media_fetch_refused"
        assert len(bench.server.requests) == 1

    async def test_at_most_so_many(self, bench):
        bench.server.reply(redirect("/again"))
        assert "fetch.max_redirects" in (await bench.fault(max_redirects=2)).message
        assert len(bench.server.requests) == 3
        bench.server.queue(redirect("/b"))
        assert (await bench.fault(max_redirects=0)).code == "media_fetch_failed"

    async def test_without_a_location(self, bench):
        bench.server.reply(image(status=302))
        assert "302" in (await bench.fault()).message

    async def test_a_location_beyond_ascii(self, bench):
        head = "HTTP/1.1 302 Found\r\nlocation: /ü\r\ncontent-length: 0\r\n\r\n"
        bench.server.queue(Reply([head.encode()], framing="raw"), image())
        assert (await bench.fetch()).data == PNG
        assert bench.server.requests[1].path == "/%C3%BC"
        bench.server.queue(Reply([head.encode("latin-1")], framing="raw"))
        assert (await bench.fault()).code == "media_fetch_refused"

    async def test_two_locations(self, bench):
        head = b"HTTP/1.1 302 Found\r\nlocation: /a\r\nlocation: /b\r\ncontent-length: 0\r\n\r\n"
        bench.server.reply(Reply([head], framing="raw"))
        assert (await bench.fault()).code == "media_fetch_failed"

    async def test_one_time_limit_for_all_hops(self, bench):
        bench.server.reply(Reply([b""], 302, {"location": "/a"}, framing="length", delay=0.15))
        began = time.monotonic()
        assert "fetch.timeout" in (await bench.fault(timeout="400ms", max_redirects=10)).message
        assert time.monotonic() - began < 30


class TestTls:
    @pytest.fixture
    async def secure(self, certificate):
        """(port, names by SNI): a TLS server with the certificate for media.example."""
        asked: list[str | None] = []
        context = certificate.server()
        context.sni_callback = lambda connection, name, context: asked.append(name)

        async def serve(reader, writer):
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                if b"/down" in head:
                    writer.write(b"HTTP/1.1 302 Found\r\nlocation: http://media.example/\r\n\r\n")
                else:
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(PNG), PNG))
                await writer.drain()
            except (OSError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        yield server.sockets[0].getsockname()[1], asked
        server.close()
        await server.wait_closed()

    def settings(self, port: int) -> dict:
        return {"allow_hosts": ["127.0.0.1"], "ports": [port, 80]}

    async def test_the_name_goes_along_and_is_verified(self, bench, certificate, secure):
        port, asked = secure
        url = f"https://{HOST}:{port}/"
        assert (await bench.fetch(url, tls=certificate.client(), **self.settings(port))).data == PNG
        assert asked == [HOST]

    async def test_another_name_is_refused(self, bench, certificate, secure):
        port, _ = secure
        fault = await bench.fault(f"https://inside.example:{port}/", tls=certificate.client(), **self.settings(port))
        assert (fault.code, "certificate" in fault.message) == ("media_fetch_failed", True)
        literal = await bench.fault(f"https://127.0.0.1:{port}/", tls=certificate.client(), **self.settings(port))
        assert literal.code == "media_fetch_failed"

    async def test_an_unknown_authority_is_refused(self, bench, secure):
        port, _ = secure
        fault = await bench.fault(f"https://{HOST}:{port}/", **self.settings(port))
        assert (fault.code, "certificate" in fault.message) == ("media_fetch_failed", True)

    async def test_no_way_down_to_http(self, bench, certificate, secure):
        port, _ = secure
        fault = await bench.fault(f"https://{HOST}:{port}/down", tls=certificate.client(), **self.settings(port))
        assert fault.code == "media_fetch_refused"
        assert bench.names.asked == [HOST]

    async def test_plain_http_at_the_port_of_tls(self, bench, certificate):
        port = port_of(bench.server)
        fault = await bench.fault(f"https://{HOST}:{port}/", tls=certificate.client(), connect="200ms")
        assert fault.code == "media_fetch_failed"

    async def test_verification_is_on(self, bench):
        fetcher = bench.make(tls=None)
        tls = await fetcher.guard.certificates.context()
        assert tls.verify_mode is ssl.CERT_REQUIRED
        assert tls.check_hostname
        await fetcher.close()
