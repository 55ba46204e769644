"""How long a provider asks to wait, wherever it says so."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

MOST_WAIT = 86400.0
"""Seconds: a provider that asks to wait longer is not waited for; the number is cut to this."""

_DURATION = re.compile(
    r"(?:(\d{1,6})h)?(?:(\d{1,6})m(?!s))?(?:(\d{1,9}(?:\.\d{1,9})?)s)?(?:(\d{1,9}(?:\.\d{1,9})?)ms)?"
)
_TRY_AGAIN = re.compile(r"(?i)(?:try again|retry)[a-z ]{0,20} (\d[\dhms.]{0,20})( seconds?)?")


def read_retry_after(headers: Mapping[str, str], *, now: float | None = None, message: str = "") -> float | None:
    """Seconds until a retry makes sense, from the most exact source there is; None when nothing says. Never raises.

    Sources in order: `retry-after-ms`, `retry-after` (seconds or an HTTP date, RFC 9110 section 10.2.3), the
    `x-ratelimit-reset-*` of what is used up (OpenAI), and the words of the error's message.
    headers: lower-case names. now: unix seconds; without it dates are read against the answer's own `date`.
    """
    exact = _number(headers.get("retry-after-ms"))
    if exact is not None:
        return _bounded(exact / 1000)
    plain = headers.get("retry-after")
    if plain is not None:
        seconds = _number(plain)
        if seconds is None:
            seconds = _seconds_until(plain, now, headers.get("date"))
        if seconds is not None:
            return _bounded(seconds)
    resets: list[tuple[bool, float]] = []
    for kind in ("requests", "tokens"):
        wait = _duration(headers.get(f"x-ratelimit-reset-{kind}"))
        if wait is not None:
            resets.append((headers.get(f"x-ratelimit-remaining-{kind}", "").strip() == "0", wait))
    used_up = [wait for empty, wait in resets if empty]
    if used_up or resets:
        return _bounded(max(used_up or [wait for _, wait in resets]))
    return wait_in_text(message)


def wait_in_text(message: str) -> float | None:
    """Seconds named by a sentence such as `Please try again in 1m2.5s.`, or None."""
    found = _TRY_AGAIN.search(message)
    if found is None:
        return None
    text = found[1].rstrip(".")
    return _bounded(_duration(text + "s" if found[2] else text))


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None and len(text) < 40 else None
    except ValueError:
        return None
    return value if value is not None and math.isfinite(value) and value >= 0 else None


def _duration(text: str | None) -> float | None:
    """`6m0s`, `1.5s`, `20ms`, or a plain number of seconds."""
    if not text:
        return None
    text = text.strip()
    found = _DURATION.fullmatch(text) if len(text) < 60 else None
    if found is None or not any(found.groups()):
        return _number(text)
    hours, minutes, seconds, milliseconds = (float(part) if part else 0.0 for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000


def _seconds_until(text: str, now: float | None, date: str | None) -> float | None:
    """Seconds from `now` (or the answer's own date) to an HTTP date (RFC 9110, section 10.2.3)."""
    until = _timestamp(text)
    start = now if now is not None else _timestamp(date)
    return max(0.0, until - start) if until is not None and start is not None else None


def _timestamp(text: str | None) -> float | None:
    try:
        return parsedate_to_datetime(text[:80]).timestamp() if text else None
    except (ValueError, OverflowError, TypeError, IndexError, OSError):  # what the parser raises on hostile dates
        return None


def _bounded(seconds: float | None) -> float | None:
    return None if seconds is None else min(seconds, MOST_WAIT)
