"""Logs: one JSON (or text) line per event and per request, without secrets.

Metrics are in `gateway.metrics`.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson

from gateway.call import Call, Outcome
from gateway.errors import Fault

REQUEST_LOG = "requests"
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_SECRET_FIELDS = re.compile(r"authorization|cookie|api[-_]?key|secret|password|token$", re.IGNORECASE)
# What looks like a credential is masked wherever it stands: our keys, provider keys, bearer tokens.
_SECRET_SHAPES = re.compile(r"\b(?:mghp_|sk-|rk_|whsec_)[A-Za-z0-9_\-]{8,}|(?i:bearer)\s+[A-Za-z0-9._~+/\-]{8,}=*")
_MASK = "[redacted]"


class Redactor:
    """Masks secrets in text: known values (from the configuration) and anything shaped like a credential."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values: list[str] = []
        self.add(values)

    def add(self, values: Iterable[str]) -> None:
        """Mask these values, too; very short ones would mask ordinary words and are left out. Nothing is ever
        forgotten: a secret that was taken out of the configuration may still be valid, and in use."""
        known = {*self._values, *(value for value in values if len(value) >= 6)}
        self._values = sorted(known, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for value in self._values:
            if value in text:
                text = text.replace(value, _MASK)
        return _SECRET_SHAPES.sub(_MASK, text)


class JsonFormatter(logging.Formatter):
    """One JSON object per line. Extra fields of a record become members; control characters are escaped."""

    def __init__(self, redact: Redactor) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": _timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for key, value in record.__dict__.items():
            if key not in _STANDARD:
                entry[key] = _MASK if _SECRET_FIELDS.search(key) and isinstance(value, str) and value else value
        if record.exc_info:
            entry["trace"] = self.formatException(record.exc_info)
        return self._redact(orjson.dumps(entry, default=str).decode("utf-8", "replace"))


class TextFormatter(JsonFormatter):
    """The same for human eyes: time, level, message, then `key=value` pairs."""

    def format(self, record: logging.LogRecord) -> str:
        return self.render(orjson.loads(super().format(record)))

    def render(self, entry: dict[str, Any]) -> str:
        """One line of text for one entry; a trace follows on lines of its own."""
        head = f"{entry.pop('time')} {entry.pop('level'):7} {entry.pop('message')}"
        entry.pop("logger")
        trace = entry.pop("trace", "")
        pairs = " ".join(f"{key}={value!r}" if " " in str(value) else f"{key}={value}" for key, value in entry.items())
        return f"{head} {pairs}".rstrip() + (f"\n{trace}" if trace else "")


class RequestLog:
    """One line per request, straight to the stream: through `logging` it would cost a tenth of a request.

    All members are made by the gateway itself except those in `_FREE_TEXT`, which alone need redaction.
    """

    def __init__(self, *, enabled: bool, style: str, redact: Redactor, stream: TextIO) -> None:
        self.enabled = enabled
        self._text = TextFormatter(redact) if style != "json" else None
        self._redact = redact
        self._stream = stream

    def write(self, entry: dict[str, Any]) -> None:
        """Write the line of one request; `entry` as `request_entry` makes it."""
        for name in _FREE_TEXT:
            if name in entry:
                entry[name] = self._redact(entry[name])
        line = {"time": _timestamp(time.time()), "level": "info", "logger": REQUEST_LOG, "message": "request", **entry}
        text = orjson.dumps(line).decode() if self._text is None else self._text.render(line)
        self._stream.write(text + "\n")
        self._stream.flush()


_FREE_TEXT = ("model", "reason", "detail")


def make_logger(name: str, *, level: str, style: str, redact: Redactor, stream: TextIO) -> logging.Logger:
    """A logger of its own (not in logging's global tree, so that two gateways do not share handlers)."""
    logger = logging.Logger(name, level.upper())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter(redact) if style == "json" else TextFormatter(redact))
    logger.addHandler(handler)
    return logger


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def request_entry(
    request_id: str,
    method: str,
    route: str,
    status: int,
    seconds: float,
    fault: Fault | None,
    call: Call | None,
    outcome: Outcome | None,
) -> dict[str, Any]:
    """The members of a request's log line. Durations in milliseconds; texts of bodies never appear."""
    entry: dict[str, Any] = {
        "request_id": request_id,
        "method": method,
        "route": route,
        "status": status,
        "total_ms": round(seconds * 1000, 1),
    }
    if call is not None:
        if call.caller is not None:
            entry["account"] = call.caller.account_id
            entry["key"] = call.caller.key_label
        if call.model:
            entry["model"] = call.model[:200]
            entry["stream"] = call.stream
        if call.cost is not None:
            entry["credits"] = call.cost
        if call.dropped:
            entry["dropped"] = call.dropped
    if outcome is not None:
        entry["target"] = outcome.target.model if outcome.target is not None else None
        entry["prompt_tokens"] = outcome.usage.prompt_tokens
        entry["completion_tokens"] = outcome.usage.completion_tokens
        entry["basis"] = outcome.basis
        entry["attempts"] = outcome.attempts
        if outcome.first_byte is not None:
            entry["first_byte_ms"] = round(outcome.first_byte * 1000, 1)
        if outcome.client_left:
            entry["client_left"] = True
        if outcome.fault_code:
            entry["error"] = outcome.fault_code
    if fault is not None:
        entry.setdefault("error", fault.code or fault.type)
        entry["reason"] = fault.message[:500]
        if fault.detail:
            entry["detail"] = fault.detail[:1000]
    return entry
