"""What a test or a demonstration can ask of the echo model, beside the ordinary parameters.

Either as an object under `echo` in the request body, or as a line `/echo key=value key="two words"` in the last
user message (the line is not part of what is echoed). Both may be given; the body's wins. See README.md.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from gateway.api import CallerFault

_MARK = "/echo"
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s|m)?")
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, None: 1.0}
_LONGEST = 3600.0
_MOST_TOKENS = 100_000
_MOST_DIRECTIVES = 64
_LONGEST_LINE = 8_192
"""Characters of the `/echo` line; reading it takes longer with the square of its length."""

_LONGEST_DURATION = 32


def parse_duration(value: object) -> float:
    """Seconds from a number (seconds) or a text such as `20ms`, `1.5s`, `2m`. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError("must be a duration such as 20ms or 1.5s")
    if isinstance(value, str):
        match = _DURATION.fullmatch(value.strip()) if len(value) <= _LONGEST_DURATION else None
        if match is None:
            raise ValueError("must be a duration such as 20ms or 1.5s")
        seconds = float(match[1]) * _UNITS[match[2]]
    else:
        seconds = float(value)
    if not 0 <= seconds <= _LONGEST:
        raise ValueError("must lie between 0 and 1 hour")
    return seconds


class Directives(BaseModel):
    """All directives; times are seconds, positions count tokens of the answer.

    delay: before the head. pace: between tokens. None: as the settings say.
    text: the answer, word for word. tokens: an answer of exactly so many tokens. reasoning: thoughts before it.
    refusal: refuse with these words. finish: the finish_reason. tools: names of functions to call, or `none`.
    cached: prompt tokens reported as cached. usage: `none` reports no usage.
    fail: answer with this HTTP status and an error; message, retry_after (seconds) belong to it.
    connect: `refused` fails before anything was sent.
    fail_after, error_event_after, garbage_after, cut_after, eof_after, stall_after: what goes wrong after so many
    tokens (see README.md). done: false leaves out `[DONE]`. slice: bytes per piece delivered, 0 for whole events.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    delay: float | None = None
    pace: float | None = None
    text: str | None = None
    tokens: int | None = Field(default=None, ge=0, le=_MOST_TOKENS)
    reasoning: str = ""
    refusal: str = ""
    finish: str = ""
    tools: tuple[str, ...] | None = None
    cached: int = Field(default=0, ge=0)
    usage: Literal["full", "none"] = "full"
    fail: int | None = Field(default=None, ge=400, le=599)
    message: str = ""
    retry_after: float | None = None
    connect: Literal["ok", "refused"] = "ok"
    fail_after: int | None = Field(default=None, ge=0)
    error_event_after: int | None = Field(default=None, ge=0)
    garbage_after: int | None = Field(default=None, ge=0)
    cut_after: int | None = Field(default=None, ge=0)
    eof_after: int | None = Field(default=None, ge=0)
    stall_after: int | None = Field(default=None, ge=0)
    done: bool = True
    slice: int = Field(default=0, ge=0)

    @field_validator("delay", "pace", "retry_after", mode="before")
    @classmethod
    def _check_duration(cls, value: object) -> float | None:
        return None if value is None else parse_duration(value)

    @field_validator("tools", mode="before")
    @classmethod
    def _check_tools(cls, value: object) -> object:
        if isinstance(value, str):
            return () if value == "none" else tuple(name for name in value.split(",") if name)
        return value


NO_DIRECTIVES = Directives()


def take_line(text: str) -> tuple[str, str | None]:
    """Split a user's text into what is said and the words after `/echo`, None when there is no such line."""
    if _MARK not in text:
        return text, None
    lines = text.split("\n")
    for place, line in enumerate(lines):
        mark, _, words = line.strip().partition(" ")
        if mark == _MARK:
            return "\n".join(lines[:place] + lines[place + 1 :]).strip(), words
    return text, None


def read_directives(body_value: object, line: str | None) -> Directives:
    """The directives of one request. Raises CallerFault naming the directive that is wrong."""
    if body_value is None and line is None:
        return NO_DIRECTIVES
    values: dict[str, Any] = {}
    if line is not None:
        values.update(_split_line(line))
    if isinstance(body_value, Mapping) and len(body_value) <= _MOST_DIRECTIVES:
        values.update(body_value)
    elif isinstance(body_value, Mapping):
        raise CallerFault(f"echo: at most {_MOST_DIRECTIVES} directives.", param="echo")
    elif body_value is not None:
        raise CallerFault("echo: must be an object of directives.", param="echo")
    try:
        return Directives.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in ("echo", *first["loc"]))
        raise CallerFault(f"{path}: {first['msg']}.", param=path) from None


def _split_line(line: str) -> dict[str, str]:
    if len(line) > _LONGEST_LINE:
        raise CallerFault(f"echo: the /echo line is longer than {_LONGEST_LINE} characters.", param="echo")
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise CallerFault(f"echo: the /echo line cannot be read: {error}.", param="echo") from None
    values: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise CallerFault(f"echo.{key}: write {key}=value in the /echo line.", param=f"echo.{key}")
        values[key] = value
    return values
