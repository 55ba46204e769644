"""Writes chosen exchanges with upstreams down as transcripts (section `record`): redacted, bounded, beside the call."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from gateway.call import Call, Outcome, Target, Usage
from gateway.config import Config
from gateway.errors import Fault
from gateway.operations import OPERATIONS
from gateway.provider import Attempt, Sink, UpstreamReply
from gateway.runner.replaying import read_again
from gateway.transcripts import write_transcript
from gateway.wire.lenient import matches_any

_STATE = "recorder"
_LARGEST = 4 * 1024 * 1024


class Recorder:
    """One folder of transcripts. models, accounts: patterns of the model asked for and ids of accounts; empty: all of
    them. most: files in the folder; beyond that nothing is recorded. mask: takes secrets out of a text."""

    def __init__(
        self,
        folder: Path,
        models: Sequence[str],
        accounts: Sequence[str],
        most: int,
        mask: Callable[[str], str],
        log: logging.Logger,
    ) -> None:
        self._folder = folder
        self._models = models
        self._accounts = frozenset(accounts)
        self._most = most
        self._mask = mask
        self._log = log
        self._written: int | None = None

    def tap(self, call: Call, target: Target, attempt: Attempt, sink: Sink) -> Sink:
        """A sink that also keeps what comes for `sink`, where this call is one to be recorded; else `sink` itself."""
        caller = call.caller
        if self._accounts and (caller is None or caller.account_id not in self._accounts):
            return sink
        if self._models and not matches_any(call.model, self._models):
            return sink
        if OPERATIONS[call.operation].count is not None:
            return sink  # pictures and sound: a transcript is text
        tapped = _Tap(call, target, attempt, sink)
        call.state.setdefault(_STATE, []).append(tapped)
        return tapped

    async def finish_call(self, call: Call, outcome: Outcome) -> None:
        """Write down what was kept of a call that is over and settled."""
        taps: list[_Tap] = call.state.pop(_STATE, [])
        answered = [tapped for tapped in taps if tapped.status is not None and tapped.status < 300]
        # Of several answered requests (rounds, choices one by one) it is not known here which is billed for what.
        billed = outcome.rounds[0].usage if len(answered) == len(outcome.rounds) == 1 else None
        for number, tapped in enumerate(taps, 1):
            if tapped.status is not None and tapped.size <= _LARGEST:
                usage = billed if tapped in answered else None
                await asyncio.to_thread(self._write, f"{call.id}-{number}", tapped, call, usage)

    def _write(self, name: str, tapped: _Tap, call: Call, billed: Usage | None) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._written is None:
                self._written = sum(1 for _ in self._folder.glob("*.json"))
            if self._written >= self._most:
                return
            raw = tapped.transcript(name, call, billed, self._mask)
            file = self._folder / f"{name}.json"
            file.touch(mode=0o600)
            file.write_bytes(raw)
            self._written += 1
        except OSError as error:
            self._log.warning("a transcript could not be written: %s", error)


class _Tap:
    """Passes everything on, and keeps a copy up to a limit; implements `gateway.provider.Sink`."""

    def __init__(self, call: Call, target: Target, attempt: Attempt, sink: Sink) -> None:
        self.status: int | None = None
        self.size = 0
        self._call = call
        self._target = target
        self._attempt = attempt
        self._sink = sink
        self._headers: Mapping[str, str] = {}
        self._parts: list[bytes] = []

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        self.status, self._headers = status, headers
        self._sink.head(status, headers)

    def data(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if self.size <= _LARGEST:
            self._parts.append(bytes(chunk))
        else:
            self._parts.clear()
        self._sink.data(chunk)

    def end(self, fault: Fault | None) -> None:
        self._sink.end(fault)

    def transcript(self, name: str, settled: Call, billed: Usage | None, mask: Callable[[str], str]) -> bytes:
        """The file. settled: the call as it is now; its cost is known. billed: what it was billed for, where this is
        all of it; `charge` is then what was paid."""
        call, target = self._call, self._target
        reply = UpstreamReply(self.status or 0, dict(self._headers), b"".join(self._parts))
        answer, measured = read_again(call, self._attempt.reader, reply)
        charge = target.price.charge(measured.usage) if target.price is not None else 0
        if billed is not None and settled.cost is not None:
            charge = settled.cost - math.ceil(settled.fees)
        known = {
            "model": call.model,
            "dialect": call.dialect,
            "operation": call.operation,
            "stream": call.stream,
            "max_output": call.max_output,
            "body": call.body,
            "forms": {name: form.body for name, form in call.forms.items() if form.fault is None},
            "target": target.model,
            "answer": answer,
            "usage": asdict(measured.usage),
            "billed": None if billed is None else asdict(billed),
            "charge": charge,
            "cost": settled.cost,
        }
        return write_transcript(name, self._attempt.request, reply, known, mask)


def make_recorder(config: Config, mask: Callable[[str], str], log: logging.Logger) -> Recorder | None:
    """What writes exchanges down as the section `record` says; None where nothing does."""
    chosen = config.record
    if chosen.folder is None:
        return None
    return Recorder(config.data / chosen.folder, chosen.models, chosen.accounts, chosen.most, mask, log)
