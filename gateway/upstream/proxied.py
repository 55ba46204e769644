"""HTTP to upstreams through a proxy, over aiohttp's client; `gateway.upstream.pool` is for direct connections.

Each exchange is one task that the transport owns. Redirects are not followed, cookies are not kept, the
environment's proxy settings are not read, and answers are asked for uncompressed.
"""

from __future__ import annotations

import asyncio
import errno
import logging

import aiohttp

from gateway.errors import Fault, GatewayFault, UpstreamFault
from gateway.provider import Exchange, Sink, UpstreamRequest

READ_BUFFER = 256 * 1024


class AiohttpTransport:
    """One connection pool. connect: seconds to open a connection; connections_per_host: the pool's bound; proxy: the
    HTTP proxy's URL, None for direct connections."""

    def __init__(
        self, *, connect: float, connections_per_host: int, log: logging.Logger, proxy: str | None = None
    ) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, limit_per_host=connections_per_host, ttl_dns_cache=60),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=connect),
            auto_decompress=False,
            trust_env=False,
            proxy=proxy,
            read_bufsize=READ_BUFFER,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
        )
        self._log = log
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, request: UpstreamRequest, sink: Sink) -> Exchange:
        exchange = _Exchange(self._session, request, sink, self._log)
        self._tasks.add(exchange.task)
        exchange.task.add_done_callback(self._tasks.discard)
        return exchange

    async def close(self) -> None:
        """Cancel what still runs and close every connection."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._session.close()


class _Exchange:
    def __init__(
        self, session: aiohttp.ClientSession, request: UpstreamRequest, sink: Sink, log: logging.Logger
    ) -> None:
        self._session = session
        self._request = request
        self._sink: Sink | None = sink
        self._log = log
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.task = asyncio.get_running_loop().create_task(self._run())

    def pause(self) -> None:
        self._flowing.clear()

    def resume(self) -> None:
        self._flowing.set()

    def cancel(self) -> None:
        # The task is cancelled at its next await, so nothing is delivered after this.
        self._sink = None
        self.task.cancel()

    async def _run(self) -> None:
        fault: Fault | None = None
        try:
            await self._exchange()
        except aiohttp.ClientConnectorError as error:
            fault = unreachable(error, str(error))
        except aiohttp.ConnectionTimeoutError as error:
            fault = UpstreamFault(
                "Connecting to the provider took too long (upstream.connect).",
                status=504,
                retryable=True,
                code="upstream_connect_timeout",
                detail=str(error),
            )
        except (aiohttp.ClientError, OSError) as error:
            fault = cut(f"{type(error).__name__}: {error}")
        except asyncio.CancelledError:
            # Cancelled by `cancel`, or the transport closes: in the latter case the sink must not wait for ever.
            fault = cut("the gateway closed the connection")
            raise
        except Exception as error:  # a bug of ours must reach the sink, or the caller would wait for ever
            self._log.exception("upstream exchange failed")
            fault = GatewayFault("The gateway failed while talking to the provider.", detail=repr(error))
        finally:
            sink, self._sink = self._sink, None
            if sink is not None:
                sink.end(fault)

    async def _exchange(self) -> None:
        request = self._request
        headers = {"accept-encoding": "identity", **request.headers}
        async with self._session.request(
            request.method,
            request.url,
            data=request.body,
            headers=headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, connect=request.connect or self._session.timeout.connect),
        ) as response:
            sink = self._sink
            if sink is None:
                return
            sink.head(response.status, {name.lower(): value for name, value in response.headers.items()})
            content = response.content
            while chunk := await content.readany():
                sink.data(chunk)
                if self._sink is None:
                    return  # cancelled from within: what is buffered already must not be delivered any more
                if not self._flowing.is_set():
                    await self._flowing.wait()


def unreachable(error: OSError, detail: str) -> Fault:
    """The fault of a connection that could not be made: the provider's, unless this process ran out of descriptors."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return GatewayFault(
            "The gateway has no file descriptors left (`ulimit -n`); try again in a moment.",
            status=503,
            type="overloaded",
            code="out_of_descriptors",
            retry_after=1.0,
            detail=detail,
        )
    return UpstreamFault("The provider cannot be reached.", retryable=True, code="upstream_unreachable", detail=detail)


def cut(detail: str) -> UpstreamFault:
    """The provider's connection broke before the answer was whole."""
    return UpstreamFault(
        "The provider's connection broke before the answer was complete.",
        retryable=True,
        code="upstream_disconnected",
        detail=detail,
    )
