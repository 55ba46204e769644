"""What came of a reload, told to whoever asked for it: by a file in the data folder, because a signal has no answer."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

FILE = "gateway.reloaded"
_LOOK_AGAIN = 0.05


def write_outcome(data: Path, reports: Sequence[Mapping[str, Any]]) -> None:
    """Write what each process of a gateway reported, as one; `report` makes them."""
    problems = dict.fromkeys(problem for report in reports for problem in report["problems"])
    outcome = {**reports[0], "problems": list(problems), "processes": len(reports)}
    del outcome["process"]
    making = data / f"{FILE}.part"
    making.write_bytes(orjson.dumps(outcome))
    os.replace(making, data / FILE)


def report(config: Path, problems: Sequence[str], warnings: Sequence[str]) -> dict[str, Any]:
    """What one process reports. config: the file that it read."""
    return {
        "config": str(config.absolute()),
        "process": os.getpid(),
        "problems": list(problems),
        "warnings": list(warnings),
    }


def forget_outcome(data: Path) -> None:
    """Before a reload is asked for: what is there is of an earlier one."""
    (data / FILE).unlink(missing_ok=True)


def wait_for_outcome(data: Path, seconds: float) -> dict[str, Any] | None:
    """What came of it, None when that is not known after so many seconds. Blocks."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            found: dict[str, Any] = orjson.loads((data / FILE).read_bytes())
            return found
        except FileNotFoundError:
            time.sleep(_LOOK_AGAIN)
    return None
