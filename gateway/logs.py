"""Logs: one JSON (or text) line per event and per request, without secrets.

Metrics are in `gateway.metrics`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson

from gateway.call import Call, Outcome
from gateway.errors import Fault
from gateway.records import AttemptRecord
from gateway.wire.redact import MASK, Redactor, redact_members

REQUEST_LOG = "requests"
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_SECRET_FIELDS = re.compile(r"authorization|cookie|api[-_]?key|secret|password|token$", re.IGNORECASE)
# Beyond ASCII's control characters, which JSON escapes itself: what ends a line for some readers, or turns the text
# around it the other way (Unicode's bidirectional controls), so that a line seems to say what it does not.
_INVISIBLE = re.compile("[\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")
_BARE = re.compile(r"[^\s'\"=\\]+")
"""What stands in a text log without quotes."""
_MOST_DEPTH = 8


class JsonFormatter(logging.Formatter):
    """One JSON object per line. Extra fields of a record become members; control characters are escaped."""

    def __init__(self, redact: Redactor) -> None:
        super().__init__()
        self._redact = redact

    def entry(self, record: logging.LogRecord) -> dict[str, Any]:
        """The members of a record's line, without secrets."""
        entry: dict[str, Any] = {
            "time": _timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._redact(record.getMessage()),
        }
        for key, value in record.__dict__.items():
            if key not in _STANDARD:
                entry[key] = self._without_secrets(key, value)
        if record.exc_info:
            entry["trace"] = self._redact(self.formatException(record.exc_info))
        return entry

    def _without_secrets(self, key: str, value: Any, depth: int = 0) -> Any:
        """Secrets go before the line is written: a pattern must not meet the quotes between two members."""
        if isinstance(value, str):
            return MASK if value and _SECRET_FIELDS.search(key) else self._redact(value)
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, dict) and depth < _MOST_DEPTH:
            return {str(name): self._without_secrets(str(name), part, depth + 1) for name, part in value.items()}
        if isinstance(value, list | tuple) and depth < _MOST_DEPTH:
            return [self._without_secrets(key, part, depth + 1) for part in value]
        return self._redact(str(value))

    def format(self, record: logging.LogRecord) -> str:
        return to_json(self.entry(record))


class TextFormatter(JsonFormatter):
    """The same for human eyes: time, level, message, then `key=value` pairs."""

    def format(self, record: logging.LogRecord) -> str:
        return self.render(self.entry(record))

    def render(self, entry: dict[str, Any]) -> str:
        """One line of text for one entry; a trace follows on lines of its own, indented, so that none of them looks
        like an entry."""
        head = f"{entry.pop('time')} {entry.pop('level'):7} {one_line(entry.pop('message'))}"
        entry.pop("logger")
        trace = entry.pop("trace", "")
        pairs = " ".join(f"{key}={_shown(value)}" for key, value in entry.items())
        lines = "".join(f"\n    {one_line(line)}" for line in trace.split("\n")) if trace else ""
        return f"{head} {pairs}".rstrip() + lines


def to_json(entry: Any) -> str:
    """One line of JSON, in which nothing is invisible or turns the direction of writing. Never raises: what JSON has no
    form for is written as text."""
    try:
        text = orjson.dumps(entry, default=str).decode()
    except orjson.JSONEncodeError:  # half a surrogate pair, or a number beyond 64 bits
        text = json.dumps(entry, default=str)
    return (
        text if text.isascii() and "\x7f" not in text else _INVISIBLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    )


def one_line(text: str) -> str:
    """The text with everything escaped that cannot be printed: line ends, control characters, those of direction."""
    return text if text.isprintable() else "".join(ch if ch.isprintable() else repr(ch)[1:-1] for ch in text)


def _shown(value: Any) -> str:
    """A value in a text log. One that could be taken for more than itself stands in quotes."""
    if not isinstance(value, str):
        return one_line(str(value))
    return value if value.isprintable() and _BARE.fullmatch(value) else repr(value)


class RequestLog:
    """One line per request, straight to the stream: through `logging` it would cost a tenth of a request.

    All members are made by the gateway itself except those in `_FREE_TEXT`, which alone need redaction and a bound.
    """

    def __init__(self, *, enabled: bool, style: str, redact: Redactor, stream: TextIO) -> None:
        self.enabled = enabled
        self._text = TextFormatter(redact) if style != "json" else None
        self._redact = redact
        self._stream = stream
        # Methods, models and labels of keys come again and again, and looking for secrets in them costs more than all
        # the rest of a line. A change of the secrets makes a new log, so nothing here is out of date.
        self._clean: dict[str, str] = {}
        # Of one turn of the event loop: each write lets go of the interpreter, and a busy loop waits long for it.
        self._lines: list[str] = []
        # The text of the second that the last line was written in.
        self._second = (0, "")

    def write(self, entry: dict[str, Any]) -> None:
        """Write the line of one request; `entry` as `request_entry` makes it."""
        for name in entry.keys() & _FREE_TEXT.keys():
            value = entry[name]
            if not value:
                continue
            # Redacted before it is cut: half a secret would not be recognized.
            most = _FREE_TEXT[name]
            if isinstance(value, str):
                entry[name] = (self._clean.get(value) or self._cleaned(value))[:most]
            else:
                entry[name] = [self._cleaned(part)[:most] for part in value]
        line = {"time": self._now(), "level": "info", "logger": REQUEST_LOG, "message": "request", **entry}
        text = to_json(line) if self._text is None else self._text.render(line)
        self._lines.append(text + "\n")
        if len(self._lines) == 1:
            try:
                asyncio.get_running_loop().call_soon(self._flush)
            except RuntimeError:  # no loop: nobody would come back for it
                self._flush()

    def _flush(self) -> None:
        lines, self._lines = self._lines, []
        self._stream.write("".join(lines))
        self._stream.flush()

    def _now(self) -> str:
        now = time.time()
        second = int(now)
        if second != self._second[0]:
            self._second = (second, _timestamp(second)[:-4])
        return f"{self._second[1]}{int((now - second) * 1000):03d}Z"

    def _cleaned(self, text: str) -> str:
        if len(text) > _REMEMBERED:
            return self._redact(text)
        found = self._clean.get(text)
        if found is None:
            if len(self._clean) >= _MOST_REMEMBERED:
                self._clean.clear()
            found = self._clean[text] = self._redact(text)
        return found


_REMEMBERED, _MOST_REMEMBERED = 100, 1000
"""Characters of a text whose clean form is remembered, and how many of them."""
# What callers, plugins and providers wrote, and how many characters of it are logged.
_FREE_TEXT = {"method": 40, "key": 200, "model": 200, "dropped": 200, "error": 100, "reason": 500, "detail": 1000}
_MOST_FREE_TEXT = 4000
_MOST_NAMES = 100


def style_of(wanted: str, stream: TextIO) -> str:
    """The style that `log.format` means for a stream: `auto` is text for people at a terminal, JSON for machines."""
    if wanted != "auto":
        return wanted
    return "text" if stream.isatty() else "json"


def make_logger(name: str, *, level: str, style: str, redact: Redactor, stream: TextIO) -> logging.Logger:
    """A logger of its own (not in logging's global tree, so that two gateways do not share handlers)."""
    logger = logging.Logger(name, level.upper())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter(redact) if style == "json" else TextFormatter(redact))
    logger.addHandler(handler)
    return logger


MOST_BODY = 64 * 1024
"""Bytes of a body that are logged."""
_MARGIN = 4096
"""Bytes more that are looked at, so that no secret is cut in half and missed; no secret is longer."""


class BodyCopy:
    """The beginning of a body that passes by in pieces. size: bytes of all of it."""

    def __init__(self) -> None:
        self.size = 0
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        """More of it."""
        room = MOST_BODY + _MARGIN - self.size
        if room > 0:
            self._parts.append(data[:room])
        self.size += len(data)

    @property
    def start(self) -> bytes:
        """As much as is needed to log it."""
        return b"".join(self._parts)


def log_body(log: logging.Logger, request_id: str, what: str, copy: BodyCopy, redact: Redactor) -> None:
    """A line of level debug with the beginning of a body, one JSON or text string without secrets. what: `request body`
    or `answer body`."""
    text = redact(redact_members(copy.start.decode("utf-8", "replace")))
    if copy.size > MOST_BODY:
        text = text[: max(0, min(MOST_BODY, len(text) - _MARGIN))]
    log.debug(what, extra={"request_id": request_id, "bytes": copy.size, "cut": copy.size > MOST_BODY, "body": text})


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
            entry["model"] = call.model[:_MOST_FREE_TEXT]
            entry["stream"] = call.stream
        progress = call.progress
        if progress.cost is not None:
            entry["credits"] = progress.cost
        if progress.disputed:
            entry["disputed_credits"] = progress.disputed
        if progress.dropped:
            entry["dropped"] = [name[:_MOST_FREE_TEXT] for name in progress.dropped[:_MOST_NAMES]]
        if len(progress.tries) > 1:
            entry["tries"] = [_shown_try(record) for record in progress.tries[-_MOST_NAMES:]]
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
            if outcome.target is not None:
                entry["provider"] = outcome.target.provider
    if fault is not None:
        entry.setdefault("error", fault.code or fault.type)
        entry["reason"] = fault.message[:_MOST_FREE_TEXT]
        if fault.detail:
            entry["detail"] = fault.detail[:_MOST_FREE_TEXT]
    return entry


def attempt_entry(request_id: str, record: AttemptRecord) -> dict[str, Any]:
    """The members of the log line of an attempt that failed."""
    return {
        "request_id": request_id,
        "target": record.target,
        "provider": record.provider,
        "endpoint": record.endpoint,
        "status": record.status,
        "error": record.error,
        "reason": record.reason,
        "total_ms": round(record.seconds * 1000, 1),
    }


def _shown_try(record: AttemptRecord) -> dict[str, Any]:
    """One of several attempts in the line of their request."""
    return {
        "target": record.target,
        "endpoint": record.endpoint,
        "outcome": record.outcome,
        "status": record.status,
        "error": record.error,
        "ms": round(record.seconds * 1000, 1),
    }
