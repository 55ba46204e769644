"""The table of what models tolerate. The snapshot makes every change of a resolved row visible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tollgate_mistral import Settings
from tollgate_mistral.quirks import TABLE, UNKNOWN

from gateway.api import Call, GatewayFault

Built = Callable[..., tuple[dict[str, Any], Call]]

# model: efforts (* = whatever comes), thoughts given back
SNAPSHOT = """
mistral-tiny                -                     none
open-mistral-7b             -                     none
open-mixtral-8x22b          -                     none
mistral-small-latest        none,high             all
mistral-small-2603          none,high             all
mistral-small-2506          -                     none
mistral-small-2402          -                     none
mistral-medium              none,high             all
mistral-medium-latest       none,high             all
mistral-medium-3            none,high             all
mistral-medium-3-5          none,high             all
mistral-medium-2604         none,high             all
mistral-medium-2508         -                     none
mistral-medium-2505         -                     none
mistral-large-latest        -                     none
mistral-large-2512          -                     none
mistral-large-2411          -                     none
mistral-large-4-0           none,low,medium,high  all
magistral-small-2506        none,high             all
magistral-medium-latest     none,high             all
ministral-8b-latest         -                     none
codestral-latest            -                     none
devstral-small-2507         -                     none
pixtral-12b-2409            -                     none
voxtral-small-2507          -                     none
mistralai/voxtral-mini-2507 -                     none
zai-glm-5-2                 *                     own
mistral-huge-9              *                     own
"""


@pytest.mark.parametrize("line", SNAPSHOT.strip().splitlines(), ids=lambda line: line.split()[0])
def test_resolved_rows(line: str) -> None:
    name, efforts, replay = line.split()
    found = TABLE.resolve(name)
    assert ("*" if found.efforts is None else ",".join(found.efforts) or "-", found.replay) == (efforts, replay)
    assert (found.short_ids, found.most_temperature, found.image_tokens) == (True, 1.5, 4352)


def test_overrides_replace_single_members_the_models_last() -> None:
    found = TABLE.resolve("zai-glm-5-2", {"efforts": ["low"], "replay": "none"}, {"replay": "all"})
    assert (found.efforts, found.replay, found.short_ids) == (("low",), "all", UNKNOWN.short_ids)


def test_wrong_overrides_are_the_operators_fault(built: Built) -> None:
    for quirks in ({"effort": []}, {"replay": "some"}, 7, ["x"]):
        with pytest.raises(GatewayFault) as caught:
            built({}, options={"quirks": quirks})
        assert "options.quirks" in caught.value.detail
    with pytest.raises(ValueError, match="quirks"):
        Settings(quirks={"replay": "some"})
