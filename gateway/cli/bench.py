"""gateway bench, gateway health: what a running gateway costs on this machine, and whether it answers."""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

import orjson

from gateway.cli.common import add_config, add_json, blueprint_of, print_json, print_table, served, whole
from gateway.errors import GatewayFault

_MOST_SHOWN = 500
"""Bytes of what a gateway says that is not ready."""
_WILD = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}


Measured = dict[str, Any]
"""One way of asking: `what`, `requests`, `failed` (answers that were no success); of those that were one, milliseconds
to the first byte and to the end, and `per_second`; `fault`: what the first that failed said, "" when none did."""
_SHOWN = ("what", "requests", "failed", "first_byte_p50", "p50", "p95", "p99", "per_second")


def add_commands(commands: Any) -> None:
    """Register the commands of this module."""
    bench = commands.add_parser("bench", help="measure a running gateway: latency and throughput, whole and streamed")
    bench.add_argument("url", help="of the gateway, such as http://127.0.0.1:8080")
    bench.add_argument("--key", help="an API key (or the environment variable GATEWAY_KEY)")
    bench.add_argument("--model", help="which model; one that answers at once shows the gateway's own cost (echo/echo)")
    bench.add_argument("--requests", type=whole(1, 1_000_000), default=200, help="how many of each kind (%(default)s)")
    bench.add_argument("--concurrency", type=whole(1, 10_000), default=8, help="how many at a time (%(default)s)")
    bench.add_argument("--direct", metavar="URL", help="the provider's own base URL with /v1: ask it, too, and compare")
    bench.add_argument("--direct-key", help="its key (or GATEWAY_DIRECT_KEY)")
    bench.add_argument("--direct-model", help="the model's name there")
    add_json(bench)
    bench.set_defaults(run=run_bench)
    health = commands.add_parser("health", help="exit status 0 when the gateway of this configuration answers")
    add_config(health)
    health.set_defaults(run=run_health)


def run_health(options: argparse.Namespace) -> int:
    """For health checks of containers. Raises ConfigFault."""
    server = served(blueprint_of(options).config)
    host = _WILD.get(server.host, f"[{server.host}]" if ":" in server.host else server.host)
    try:
        with urllib.request.urlopen(f"http://{host}:{server.port}/readyz", timeout=4):
            return 0
    except urllib.error.HTTPError as error:
        reason = f"it answers {error.code}, {error.read(_MOST_SHOWN).decode(errors='replace').strip()}"
    except OSError as error:
        reason = str(getattr(error, "reason", error))
    print(f"gateway: {host}:{server.port} is not ready: {reason}", file=sys.stderr)
    return 1


def run_bench(options: argparse.Namespace) -> int:
    """Exit status 1 when a request failed. Raises GatewayFault when none can be sent."""
    key = options.key or os.environ.get("GATEWAY_KEY", "")
    if not key:
        raise GatewayFault("give an API key with --key, or in the environment variable GATEWAY_KEY")
    base = options.url.rstrip("/").removesuffix("/v1") + "/v1"
    ways = [("gateway", base, key, options.model)]
    if options.direct:
        direct_key = options.direct_key or os.environ.get("GATEWAY_DIRECT_KEY", "")
        ways.append(("direct", options.direct.rstrip("/"), direct_key, options.direct_model or options.model))
    found: list[Measured] = []
    for name, address, secret, model in ways:
        for stream in (False, True):
            what = f"{name}, {'streamed' if stream else 'whole'}"
            found.append(asyncio.run(_measure(what, address, secret, model, stream, options)))
    if options.json:
        print_json(found)
    else:
        header = ("WHAT", "REQUESTS", "FAILED", "FIRST BYTE p50", "p50", "p95", "p99 (ms)", "PER SECOND")
        print_table(header, [tuple(one[name] for name in _SHOWN) for one in found])
        for fault in dict.fromkeys(one["fault"] for one in found if one["fault"]):
            print(f"failed: {fault}")
        if options.direct and all(one["requests"] > one["failed"] for one in found):
            for ours, theirs in ((found[0], found[2]), (found[1], found[3])):
                print(f"the gateway adds {ours['p50'] - theirs['p50']:.1f} ms at p50: {ours['what']}")
    return 1 if any(one["failed"] for one in found) else 0


async def _measure(
    what: str, base: str, key: str, model: str | None, stream: bool, options: argparse.Namespace
) -> Measured:
    import aiohttp

    body: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 64, "stream": stream}
    if model:
        body["model"] = model
    raw = orjson.dumps(body)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    times: list[tuple[float, float]] = []
    waiting = iter(range(options.requests))
    faults: list[str] = []
    broken: list[Exception] = []

    async def work(session: aiohttp.ClientSession) -> None:
        for _ in waiting:
            began = time.perf_counter()
            try:
                async with session.post(f"{base}/chat/completions", data=raw, headers=headers) as answer:
                    whole = await answer.content.readany()
                    first = time.perf_counter()
                    whole += await answer.content.read()
                    if answer.status != 200:
                        faults.append(_fault(answer.status, whole))
                        continue
            except (aiohttp.ClientError, TimeoutError) as error:
                broken.append(error)
                return
            times.append((first - began, time.perf_counter() - began))

    began = time.perf_counter()
    limit = aiohttp.TCPConnector(limit=options.concurrency)
    async with aiohttp.ClientSession(connector=limit) as session, asyncio.TaskGroup() as group:
        for _ in range(options.concurrency):
            group.create_task(work(session))
    if broken:
        raise GatewayFault(f"{base} does not answer: {broken[0]}") from broken[0]
    seconds = time.perf_counter() - began
    totals = sorted(total for _, total in times)
    return {
        "what": what,
        "requests": len(times) + len(faults),
        "failed": len(faults),
        "first_byte_p50": _ms(statistics.median(first for first, _ in times) if times else 0),
        "p50": _ms(_at(totals, 0.5)),
        "p95": _ms(_at(totals, 0.95)),
        "p99": _ms(_at(totals, 0.99)),
        "per_second": round(len(times) / seconds, 1),
        "fault": faults[0] if faults else "",
    }


def _fault(status: int, body: bytes) -> str:
    """Status and message of an answer that is no success."""
    try:
        said = str(orjson.loads(body)["error"]["message"])
    except (ValueError, LookupError, TypeError):
        said = body[:200].decode("utf-8", "replace")
    return f"{status} {said}"


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)
