"""A client of a running gateway, for tests of plugins: one call, one answer, read to its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.testing.running import RunningGateway


@dataclass(slots=True, frozen=True)
class ClientAnswer:
    """What came back. headers: lower-case names. body: all of it, of a stream too."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """A whole answer, parsed."""
        return orjson.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The events of a stream, parsed, without the mark of its end."""
        lines = self.body.decode().splitlines()
        data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
        return [orjson.loads(text) for text in data if text != "[DONE]"]

    @property
    def text(self) -> str:
        """What the model wrote, of a chat completion or of its stream."""
        if not self.headers.get("content-type", "").startswith("text/event-stream"):
            return self.json["choices"][0]["message"]["content"] or ""
        deltas = [choice["delta"] for event in self.events for choice in event.get("choices", ())]
        return "".join(delta.get("content") or "" for delta in deltas)


class Client:
    """Speaks to `gateway` as its account."""

    def __init__(self, gateway: RunningGateway) -> None:
        self.gateway = gateway

    async def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> ClientAnswer:
        """POST a JSON body."""
        status, found, raw = await self.gateway.post(path, body, headers=headers)
        return ClientAnswer(status, {name.lower(): value for name, value in found.items()}, raw)

    async def get(self, path: str) -> ClientAnswer:
        """GET a path."""
        status, found, raw = await self.gateway.get(path)
        return ClientAnswer(status, {name.lower(): value for name, value in found.items()}, raw)

    async def chat(self, text: str = "Hello!", **members: Any) -> ClientAnswer:
        """A chat completion of one message; members of the request beside it, such as `stream=True`."""
        body = {"messages": [{"role": "user", "content": text}], **members}
        return await self.post("/v1/chat/completions", body)
