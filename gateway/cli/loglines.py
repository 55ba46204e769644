"""What a process that serves says on its way, all in one format: text for people at a terminal, JSON for machines.

The gateway has a logger of its own. Others speak too: the supervisor, libraries by `logging` and `warnings`, Python
itself of what nobody caught. Left alone, those would be plain lines between lines of JSON.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TextIO

from gateway.logs import make_logger, style_of
from gateway.wire.redact import Redactor

_QUIET = ("KeyboardInterrupt", "SystemExit")


@contextmanager
def log_lines(wanted: str, redact: Redactor) -> Iterator[logging.Logger]:
    """Until the end of the block, whatever is said on stderr by logging, warnings and uncaught exceptions is a log
    line. wanted: `log.format`. redact: knows what no line may hold. Gives the logger of whoever opens it."""
    stream: TextIO = sys.stderr
    log = make_logger("gateway", level="info", style=style_of(wanted, stream), redact=redact, stream=stream)
    root, [handler] = logging.getLogger(), log.handlers
    before = (sys.excepthook, threading.excepthook)

    def uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if kind.__name__ not in _QUIET:
            log.critical("uncaught exception", exc_info=(kind, error, trace))

    def uncaught_in_thread(told: threading.ExceptHookArgs) -> None:
        if told.exc_value is not None:
            uncaught(told.exc_type, told.exc_value, told.exc_traceback)

    root.addHandler(handler)
    logging.captureWarnings(True)
    sys.excepthook, threading.excepthook = uncaught, uncaught_in_thread
    try:
        yield log
    finally:
        sys.excepthook, threading.excepthook = before
        logging.captureWarnings(False)
        root.removeHandler(handler)


def is_watched() -> bool:
    """Whether people look at stderr: faults of a start are then told as any command tells them."""
    return sys.stderr.isatty()
