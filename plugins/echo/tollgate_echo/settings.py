"""What an instance may be told in the configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel, ConfigDict, field_validator

from gateway.api import later

_seconds: Callable[[object], float] = later("tollgate_echo.directives:parse_duration")


class EchoSettings(BaseModel):
    """Settings of one instance.

    pace: time between tokens, delay: time before the first byte (numbers are seconds, texts such as `20ms`).
    directives: whether requests may steer the model (`README.md`); switch off where strangers may call it.
    on_disconnect: `cancel` or `drain` (see `gateway.profile.Profile`).
    folder: where files and batches are kept, "" for a folder of this user's among the temporary ones of the machine.
    batch_delay: time until a batch is done.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    pace: float = 0.0
    delay: float = 0.0
    directives: bool = True
    on_disconnect: Literal["cancel", "drain"] = "cancel"
    folder: str = ""
    batch_delay: float = 0.0

    @field_validator("pace", "delay", "batch_delay", mode="before")
    @classmethod
    def _check_duration(cls, value: object) -> float:
        return _seconds(value)
