"""What is written down of exchanges with providers: the section `record`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from gateway.config.types import ListOf, OptionalText, Section, refuse

_Texts = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], ListOf]


def _one_segment(name: str | None) -> str | None:
    if name is not None and (not re.fullmatch(r"[\w.-]{1,100}", name) or name.startswith(".")):
        refuse("must be the name of a folder, of letters, digits, _, - and .")
    return name


class RecordSettings(Section):
    """Writing exchanges with upstreams down, as transcripts. folder: where, below the data folder; none: nothing is
    recorded. models: patterns of the models asked for, accounts: ids; empty: all. most: files in the folder."""

    folder: Annotated[OptionalText, AfterValidator(_one_segment)] = None
    models: _Texts = ()
    accounts: _Texts = ()
    most: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
