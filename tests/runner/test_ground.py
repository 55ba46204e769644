"""What calls are billed by, without a gateway: what is wrong is told once, refuses calls, and is over by itself."""

from __future__ import annotations

import io
from typing import Any

import orjson
import pytest

from gateway.errors import GatewayFault
from gateway.logs import make_logger
from gateway.runner.ground import Ground
from gateway.stores import DISK_FULL
from gateway.wire.redact import Redactor


class Stores:
    def __init__(self) -> None:
        self.fault: Exception | None = None

    async def ping(self) -> None:
        if self.fault is not None:
            raise self.fault


@pytest.mark.parametrize(
    ("fault", "code", "word"),
    [
        (GatewayFault("nearly full", status=503, code=DISK_FULL), DISK_FULL, "disk"),
        (GatewayFault("another file", status=503, code="database_replaced"), "database_replaced", "database"),
        (RuntimeError("whatever"), "database_unavailable", "database"),
    ],
)
async def test_calls_are_refused_while_something_is_wrong(fault: Exception, code: str, word: str) -> None:
    stream, stores, ground = io.StringIO(), Stores(), Ground()
    log = make_logger("test", level="info", style="json", redact=Redactor(), stream=stream)
    ground.check()
    stores.fault = fault
    for _ in range(3):
        await ground.look(stores, log)  # type: ignore[arg-type]
    with pytest.raises(GatewayFault) as refused:
        ground.check()
    assert (refused.value.status, refused.value.code, refused.value.retry_after) == (503, code, 2.0)
    assert ground.problems() == [word]
    stores.fault = None
    await ground.look(stores, log)  # type: ignore[arg-type]
    ground.check()
    assert ground.problems() == []
    lines: list[dict[str, Any]] = [orjson.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["level"] for line in lines] == ["error", "warning"], "once each"
