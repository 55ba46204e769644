"""A changed body makes the other forms of a call void."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.call import Call, Form
from gateway.runner.body_watch import BodyWatch
from gateway.testing import make_call


def formed(body: dict[str, Any]) -> Call:
    call = make_call(body)
    call.forms = {"chat": Form(call.body, ("a",)), "other": Form({"own": "words"})}
    return call


BODY = {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}], "seed": 1, "x": {"y": [1, None]}}


def deep(body: dict[str, Any]) -> None:
    body["messages"][0]["content"][0]["text"] = "****"


@pytest.mark.parametrize(
    "edit",
    [
        deep,
        lambda body: body["messages"].append({"role": "system", "content": "be kind"}),
        lambda body: body.pop("seed"),
        lambda body: body.update(seed=True),
        lambda body: body.update(seed=1.0),
        lambda body: body["x"]["y"].__setitem__(1, False),
        lambda body: body["x"].update(z=None),
    ],
)
def test_a_body_changed_in_place_voids_the_other_forms(edit: Any) -> None:
    call = formed({**BODY, "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
                   "x": {"y": [1, None]}})  # fmt: skip
    watch = BodyWatch(call)
    edit(call.body)
    watch.settle()
    assert set(call.forms) == {"chat"}
    assert call.forms["chat"].body is call.body
    assert call.forms["chat"].dropped == ("a",)


def test_another_body_voids_the_other_forms() -> None:
    call = formed(dict(BODY))
    watch = BodyWatch(call)
    call.body = {**BODY, "seed": 2}
    watch.settle()
    assert set(call.forms) == {"chat"}


def test_a_body_that_says_the_same_keeps_them() -> None:
    call = formed(dict(BODY))
    watch = BodyWatch(call)
    call.body = {key: BODY[key] for key in reversed(BODY)}
    watch.settle()
    assert set(call.forms) == {"chat", "other"}
