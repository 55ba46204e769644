"""What a batch cost, by the file of its answers, read line by line."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import orjson

from gateway.call import Basis, BilledRound, Call, Target, Usage
from gateway.deferred import later
from gateway.errors import Fault
from gateway.profile import COMPLETIONS, Dialect
from gateway.provider import UpstreamReply
from gateway.readers import ChatReader
from gateway.runner.bill import add_counts, measure_whole
from gateway.wire.batches import BatchResult, ResultLines, read_result

_READERS: Mapping[str, Callable[[Call], ChatReader]] = MappingProxyType(
    {
        "chat": ChatReader,
        "responses": later("gateway.item_readers:ResponsesReader"),
        COMPLETIONS: later("gateway.text_readers:CompletionsReader"),
    }
)
"""By dialect: a batch's answers are as OpenAI gives them."""
_plain_reader: Callable[[str], Callable[[Call], ChatReader] | None] = later("gateway.plain_readers:PLAIN_READERS.get")


@dataclass(slots=True)
class BatchBill:
    """The sum of the answers. charge: credits, each answer rounded up as a call is. basis: `estimated` when the usage
    of one could not be read, and its bound is in the charge. answered: requests that were. size: bytes of the file."""

    charge: int = 0
    usage: Usage = field(default_factory=Usage)
    basis: Basis = "provider"
    answered: int = 0
    size: int = 0


async def read_bill(
    pieces: AsyncIterable[bytes], target: Target, operation: str, dialect: Dialect, dearest: int
) -> BatchBill:
    """Add up a file of answers. pieces: its bytes, at any split. target: where the requests went, at their price.
    dearest: credits that a request can cost at most, for what cannot be read. Raises what `pieces` raises."""
    bill, lines = BatchBill(), ResultLines()
    async for piece in pieces:
        bill.size += len(piece)
        for line in lines.feed(piece):
            _add(bill, line, target, operation, dialect, dearest)
    for line in lines.finish():
        _add(bill, line, target, operation, dialect, dearest)
    return bill


def _add(bill: BatchBill, line: bytes | None, target: Target, operation: str, dialect: Dialect, dearest: int) -> None:
    if line is not None and not line.strip():
        return
    result = None if line is None else read_result(line)
    if result is None:
        _keep_bound(bill, dearest)
        return
    if result.status != 200:
        return
    try:
        usage, basis = _measure(result, target, operation, dialect)
    except Fault:
        _keep_bound(bill, dearest)
        return
    if basis != "provider" and target.price is not None:
        _keep_bound(bill, dearest)
    else:
        bill.answered += 1
        bill.charge += BilledRound(target, usage, basis).charge
    add_counts(bill.usage, usage)


def _keep_bound(bill: BatchBill, dearest: int) -> None:
    bill.answered += 1
    bill.charge += dearest
    bill.basis = "estimated"


def _measure(result: BatchResult, target: Target, operation: str, dialect: Dialect) -> tuple[Usage, Basis]:
    call = Call(
        id="", route="", dialect=dialect, body={}, model=target.model, stream=False, headers={}, authorization="",
        remote="", started=0.0, created=0, operation=operation,
    )  # fmt: skip
    call.target = target
    reader = (_plain_reader(operation) or _READERS[dialect])(call)
    answer = reader.read_reply(UpstreamReply(200, {"content-type": "application/json"}, orjson.dumps(result.body)))
    measured = measure_whole(call, answer)
    return measured.usage, measured.basis
