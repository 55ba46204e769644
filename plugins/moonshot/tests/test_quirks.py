"""The table of what models tolerate. The snapshot makes every change of a resolved row visible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tollgate_moonshot import Settings
from tollgate_moonshot.quirks import TABLE

from gateway.api import Call, GatewayFault

Built = Callable[..., tuple[dict[str, Any], Call]]

# model: thinking, `thinking` is known, efforts, sampling may be set, forced tools, key of the limit
SNAPSHOT = """
moonshot-v1-8k                  never  -   -            free  never            max_tokens
moonshot-v1-128k-vision-preview never  -   -            free  never            max_tokens
moonshot-v1-auto                never  -   -            free  never            max_tokens
kimi-latest                     never  -   -            free  never            max_tokens
kimi-k2-0905-preview            never  -   -            free  never            max_tokens
kimi-k2-turbo-preview           never  -   -            free  never            max_tokens
kimi-k2-thinking                always -   -            free  never            max_tokens
kimi-k2-thinking-turbo          always -   -            free  never            max_tokens
kimi-thinking-preview           always -   -            free  never            max_tokens
kimi-k2.5                       switch yes -            fixed without_thinking max_completion_tokens
kimi-k2.6                       switch yes -            fixed without_thinking max_completion_tokens
moonshotai/Kimi-K2.6            switch yes -            fixed without_thinking max_completion_tokens
kimi-k2.7-code                  always yes -            fixed never            max_completion_tokens
kimi-k2.7-code-highspeed        always yes -            fixed never            max_completion_tokens
kimi-k3                         always -   low,high,max fixed required         max_completion_tokens
kimi-k3.1-pro                   always -   low,high,max fixed required         max_completion_tokens
kimi-k4                         always -   low,high,max fixed required         max_completion_tokens
kimi-k2.9                       always -   low,high,max fixed required         max_completion_tokens
somebody-else                   never  -   -            free  yes              max_tokens
"""


@pytest.mark.parametrize("line", SNAPSHOT.strip().splitlines(), ids=lambda line: line.split()[0])
def test_resolved_rows(line: str) -> None:
    expected = line.split()
    found = TABLE.resolve(expected[0])
    row = [
        expected[0],
        found.thinking,
        "yes" if found.thinking_object else "-",
        ",".join(found.efforts) or "-",
        "free" if found.sampling else "fixed",
        found.forced_tool,
        found.limit,
    ]
    assert row == expected


def test_overrides_replace_single_members_the_models_last() -> None:
    found = TABLE.resolve("kimi-k3", {"sampling": True, "limit": "max_tokens"}, {"limit": "max_completion_tokens"})
    assert (found.sampling, found.limit, found.thinking) == (True, "max_completion_tokens", "always")


def test_wrong_overrides_are_the_operators_fault(built: Built) -> None:
    for quirks in ({"effort": []}, {"thinking": "often"}, 7, ["x"]):
        with pytest.raises(GatewayFault) as caught:
            built({}, options={"quirks": quirks})
        assert "options.quirks" in caught.value.detail
    with pytest.raises(ValueError, match="quirks"):
        Settings(quirks={"thinking": "often"})
