"""What a handler knows of its request, and how answers are made."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from gateway.call import Call
from gateway.conduct import Conductor
from gateway.dialect import InboundDialect
from gateway.errors import Fault
from gateway.http.intake import read_body
from gateway.runtime import Gateway, Runtime
from gateway.wire.body import parse_json
from gateway.wire.faults import error_bytes, fault_headers

JSON_TYPE = "application/json"
SERVER = "tollgate"


@dataclass(slots=True, eq=False)
class Visit:
    """One HTTP request on its way through a handler.

    runtime: the configuration generation that serves it, whatever is reloaded meanwhile.
    dialect: in which errors are told, None for OpenAI's. call, conductor: set once the handler has made them.
    interrupted: set before the handler's task is cancelled by the gateway itself (drain time is over), to tell that
    from a caller who left.
    """

    gateway: Gateway
    runtime: Runtime
    request: web.BaseRequest
    id: str
    started: float
    template: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    dialect: InboundDialect | None = None
    call: Call | None = None
    conductor: Conductor | None = None
    task: asyncio.Task[Any] | None = None
    interrupted: Fault | None = None

    def interrupt(self, fault: Fault) -> None:
        """End this request with `fault`, wherever its handler is."""
        if self.interrupted is None and self.task is not None:
            self.interrupted = fault
            self.task.cancel()

    def begin(self, call: Call) -> Conductor:
        """The conductor of this request's call."""
        self.call = call
        self.conductor = self.runtime.conductor(call)
        return self.conductor

    def was_interrupted(self) -> Fault | None:
        """To be asked by whoever catches CancelledError: the fault to answer with, None when the caller left."""
        if self.interrupted is not None and self.task is not None:
            self.task.uncancel()
        return self.interrupted

    def headers(self) -> dict[str, str]:
        """The headers of every answer: the request id, and what the chain and the relay had to say."""
        headers = {"x-request-id": self.id, "server": SERVER}
        call = self.call
        if call is not None:
            for name, value in call.answer_headers.items():
                headers[name] = _one_line(value)
            if call.target is not None:
                headers["x-gateway-model"] = call.target.model
            if call.dropped:
                headers["x-gateway-dropped-params"] = _one_line(", ".join(dict.fromkeys(call.dropped)))
            if call.cost is not None:
                headers["x-gateway-cost"] = str(call.cost)
        return headers

    async def read_json(self) -> dict[str, Any]:
        """The request's body, a JSON object. Raises CallerFault 400, 408, 413, 415."""
        raw = await read_body(self.request, self.runtime.body_limits)
        return parse_json(raw, max_depth=self.runtime.config.server.json_depth)

    def json(self, value: Any, status: int = 200) -> web.Response:
        """A JSON answer."""
        return web.Response(
            status=status, body=orjson.dumps(value), headers={**self.headers(), "content-type": JSON_TYPE}
        )

    def error(self, fault: Fault) -> web.Response:
        """The answer that `fault` makes."""
        headers = {**self.headers(), **fault_headers(fault), "content-type": JSON_TYPE}
        body = error_bytes(fault, self.id) if self.dialect is None else self.dialect.error_body(fault, self.id)
        response = web.Response(status=fault.status, body=body, headers=headers)
        if headers.get("connection") == "close":
            response.force_close()
        return response


def _one_line(value: str) -> str:
    """Header text that plugins wrote, maybe of what callers sent: a line end in it would break the whole answer."""
    return value if value.isprintable() else "".join(char if char.isprintable() else " " for char in value)
