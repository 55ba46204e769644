"""A media server on loopback that the fetcher is allowed to reach under the name `media.example`, and no other."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from gateway.config import FetchSettings
from gateway.errors import Fault
from gateway.fetch import Media, MediaFetcher
from gateway.testing import FakeUpstream

HOST = "media.example"


def port_of(server: FakeUpstream) -> int:
    port = urlsplit(server.url).port
    assert port is not None
    return port


@dataclass
class Names:
    """A resolver. table: name -> answers, the last of which repeats. asked: every question."""

    table: dict[str, list[list[str]]]
    asked: list[str] = field(default_factory=list)

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        answers = self.table.get(host)
        if not answers:
            raise OSError(-2, "Name or service not known")
        return answers.pop(0) if len(answers) > 1 else answers[0]


@dataclass
class Bench:
    """A fetcher, the one server it may reach, and a private server that it may not."""

    server: FakeUpstream
    private: FakeUpstream
    names: Names
    make: Callable[..., MediaFetcher]

    def url(self, path: str = "/a") -> str:
        return f"http://{HOST}:{port_of(self.server)}{path}"

    async def fetch(self, url: str | None = None, **settings: Any) -> Media:
        fetcher = self.make(**settings)
        try:
            return await fetcher.fetch(url or self.url(), "messages[0].content[1].image_url.url")
        finally:
            await fetcher.close()

    async def fault(self, url: str | None = None, **settings: Any) -> Fault:
        with pytest.raises(Fault) as caught:
            await self.fetch(url, **settings)
        return caught.value


@pytest.fixture(scope="session")
def system_tls() -> ssl.SSLContext:
    """What a fetcher makes for itself, made once: reading the system's certificates takes 20 ms."""
    return ssl.create_default_context()


@pytest.fixture
async def bench(system_tls: ssl.SSLContext) -> AsyncIterator[Bench]:
    async with FakeUpstream() as server, FakeUpstream() as private:
        names = Names({HOST: [["127.0.0.1"]], "inside.example": [["127.0.0.1"]]})

        def make(*, tls: ssl.SSLContext | None = system_tls, **settings: Any) -> MediaFetcher:
            ports = [80, 443, port_of(private)]
            values = {"allow_hosts": [f"{HOST}:{port_of(server)}"], "ports": ports, "timeout": "5s", **settings}
            return MediaFetcher(FetchSettings.model_validate(values), resolve=names, tls=tls)

        yield Bench(server, private, names, make)


@dataclass(frozen=True)
class Certificate:
    """For `media.example` alone, signed by itself."""

    cert: Path
    key: Path

    def server(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        return context

    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.cert)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    made = Certificate(folder / "cert.pem", folder / "key.pem")
    command = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test".split()
    names = ["-addext", f"subjectAltName=DNS:{HOST}", "-keyout", str(made.key), "-out", str(made.cert)]
    subprocess.run([openssl, *command, *names], check=True, capture_output=True, timeout=30)
    return made
