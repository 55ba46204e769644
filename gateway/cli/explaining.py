"""gateway explain: what would happen to a request, without making it."""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from gateway.cli.common import add_config, add_json, print_json, used_data
from gateway.errors import CallerFault, GatewayFault

_PATHS = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
    "embeddings": "/v1/embeddings",
}


def add_commands(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser("explain", help="say what would happen to a request, without sending it anywhere")
    parser.add_argument("file", nargs="?", default="-", help="the request's JSON body; - reads standard input")
    parser.add_argument("--key", help="the API key of the caller (or the environment variable GATEWAY_KEY)")
    parser.add_argument("--as", dest="dialect", choices=sorted(_PATHS), default="chat", help="its kind (%(default)s)")
    parser.add_argument(
        "--path", help="where it would be sent, instead of --as, such as /v1beta/models/MODEL:generateContent"
    )
    parser.add_argument("--header", action="append", default=[], metavar="NAME:VALUE", help="a header of the request")
    parser.add_argument("--url", help="ask this running gateway, instead of the configuration on disk")
    add_config(parser)
    add_json(parser)
    parser.set_defaults(run=run_explain)


def run_explain(options: argparse.Namespace) -> int:
    """Exit status 0 when the request would be sent, 1 when it would be refused. Raises GatewayFault, CallerFault."""
    key = options.key or os.environ.get("GATEWAY_KEY", "")
    if not key:
        raise GatewayFault("give the caller's API key with --key, or in the environment variable GATEWAY_KEY")
    request = {
        "path": options.path or _PATHS[options.dialect],
        "body": _body(options.file),
        "headers": dict(_header(text) for text in options.header),
    }
    if not options.url:
        used_data(options)
    told = asyncio.run(_ask(options.url, key, request) if options.url else _ask_here(options, key, request))
    if options.json:
        print_json(told)
    else:
        print("\n".join(_lines(told)))
    return 0 if told["allowed"] else 1


def _body(file: str) -> Any:
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return orjson.loads(raw)
    except OSError as error:
        raise GatewayFault(f"{file} cannot be read: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise GatewayFault(f"{file} is not JSON: {error}") from error


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise CallerFault(f"--header {text!r}: expected NAME:VALUE")
    return name.strip(), value.strip()


async def _ask_here(options: argparse.Namespace, key: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Let a gateway of the configuration on disk answer, which nobody else can reach; works beside one that serves."""
    from gateway.http.server.service import Service
    from gateway.runtime import Gateway

    gateway = Gateway(options.config, os.environ, shared=True, log_stream=io.StringIO())
    await gateway.start()
    service = Service(gateway, host="127.0.0.1", port=0)
    try:
        await service.start()
        host, port = service.address
        return await _ask(f"http://{host}:{port}", key, request)
    finally:
        await service.close()
        await gateway.stop()


async def _ask(url: str, key: str, request: Mapping[str, Any]) -> dict[str, Any]:
    import aiohttp

    headers = {"Authorization": f"Bearer {key}"}
    address = url.rstrip("/").removesuffix("/v1") + "/v1/explain"
    try:
        async with aiohttp.ClientSession() as session, session.post(address, json=request, headers=headers) as answer:
            told: dict[str, Any] = orjson.loads(await answer.read())
    except (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError) as error:
        raise GatewayFault(f"{url} does not answer as a gateway does: {error}") from error
    if answer.status != 200:
        raise CallerFault(str((told.get("error") or {}).get("message") or told)[:500], status=answer.status)
    return told


def _lines(told: Mapping[str, Any]) -> Iterator[str]:
    """The explanation for people."""
    request, caller = told["request"], told["caller"]
    stream = ", streamed" if request.get("stream") else ""
    yield f"request    {request['route']} ({request['dialect']}){stream}, model {request.get('model') or '(default)'}"
    if caller is not None:
        yield f"caller     account {caller['account']}, key {caller['label']} {caller['name']}".rstrip()
    for step in told["steps"]:
        figures = ", ".join(f"{name} {value}" for name, value in step["figures"].items())
        yield f"{'refused by' if step['refused'] else 'passed':10} {step['phase']}: {step['plugin']}" + (
            f" ({figures})" if figures else ""
        )
    if not told["allowed"]:
        refusal = told["refusal"]
        yield f"\nIt would be refused with status {refusal['status']}: {refusal['message']}"
        return
    if told["clamped"]:
        yield f"clamped    {told['clamped']}"
    if "tools" in told:
        yield "tools      run by the gateway: " + ", ".join(one["name"] for one in told["tools"]["functions"])
    for target in told["targets"]:
        yield from _target(target)
    if told["maximum_cost"] is not None:
        yield f"\nhold {told['hold']:,} credits at first, {told['maximum_cost']:,} credits at most"


def _target(target: Mapping[str, Any]) -> Iterator[str]:
    yield f"\ntarget     {target['model']}: {target['why']}"
    if target["fault"] is not None:
        yield f"  not sent: {target['fault']['message']}"
    if target["dropped"]:
        yield "  dropped: " + ", ".join(target["dropped"])
    for change in target["changed"]:
        yield f"  changed: {change['name']} from {change['asked']!r} to {change['sent']!r}"
    for request in target["requests"]:
        yield f"  {request['method']} {request['url']}"
        yield from (f"  {name}: {value}" for name, value in request["headers"].items())
        yield f"  {request['body']}"
