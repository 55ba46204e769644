"""The allow-list of a key, without HTTP."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.api import Refusal
from gateway.builtin.model_allow_list import authorize_call

from .kit import CALLER, call_for, priced

A, B = priced("a", model="openai/a"), priced("b", model="local/b")


@pytest.mark.parametrize(
    ("models", "model", "candidates", "allowed"),
    [
        (None, "openai/a", (A,), True),
        ((), "openai/a", (A,), False),
        (("openai/a",), "openai/a", (A,), True),
        (("openai/*",), "openai/a", (A,), True),
        (("local/*",), "openai/a", (A,), False),
        (("mixed",), "mixed", (A, B), True),  # the alias itself
        (("openai/*", "local/*"), "mixed", (A, B), True),  # all that it may lead to
        (("openai/*",), "mixed", (A, B), False),  # only a part of it
        (("openai/*",), "unknown", (), False),
        (("openai/?",), "openai/ab", (A,), True),  # its target is listed
        (("OPENAI/*",), "openai/x", (), False),  # names are exact
        (("openai/*",), "", (), True),  # calls no model
    ],
)
async def test_what_a_key_may_call(models, model, candidates, allowed) -> None:
    call = call_for(*candidates, caller=replace(CALLER, models=models))
    call.model, call.candidates = model, candidates
    if allowed:
        await authorize_call(call)
        return
    with pytest.raises(Refusal) as refused:
        await authorize_call(call)
    assert (refused.value.status, refused.value.type, refused.value.param) == (403, "model_not_allowed", "model")


async def test_nobody_is_not_this_policys_business() -> None:
    await authorize_call(call_for(caller=None))
