"""A call is frozen once it was admitted, and a changed body makes its other forms void."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.call import Call, Form
from gateway.errors import CallerFault
from gateway.runner.body_watch import BodyWatch
from gateway.testing import make_call, make_target


def formed(body: dict[str, Any]) -> Call:
    call = make_call(body)
    call.forms = {"chat": Form(call.body, ("a",)), "other": Form({"own": "words"})}
    return call


@pytest.mark.parametrize("member", ["body", "model", "stream", "targets", "max_output", "forms", "caller", "dialect"])
def test_what_was_asked_cannot_be_changed_any_more(member: str) -> None:
    call = make_call()
    before = getattr(call, member)
    call.freeze()
    with pytest.raises(AttributeError, match=member):
        setattr(call, member, None)
    with pytest.raises(AttributeError, match=member):
        delattr(call, member)
    assert getattr(call, member) is before
    assert isinstance(call, Call)


def test_its_progress_goes_on_and_is_shared_by_its_views() -> None:
    call = make_call()
    call.freeze()
    view = call.view("other", {"x": 1})
    call.attempts += 1
    view.target = target = make_target()
    view.report_dropped("seed")
    call.cost, call.covered = 3, 4
    assert (view.attempts, call.target, call.dropped, view.cost, view.covered) == (1, target, ["seed"], 3, 4)
    assert (view.dialect, view.body, call.dialect) == ("other", {"x": 1}, "chat")
    with pytest.raises(AttributeError):
        view.body = {}


def test_what_is_dropped_is_refused_when_strict() -> None:
    with pytest.raises(CallerFault) as caught:
        make_call(strict=True).report_dropped("seed")
    assert (caught.value.param, caught.value.code) == ("seed", "unsupported_parameter")


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
