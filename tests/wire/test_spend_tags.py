"""For whom a request is made, whatever its body says."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.wire.spend_tags import LONGEST_VALUE, spend_tags


@pytest.mark.parametrize(
    ("body", "tags"),
    [
        ({"user": "ada"}, {"user": "ada"}),
        ({"safety_identifier": "ada"}, {"user": "ada"}),
        ({"user": "ada", "safety_identifier": "eve"}, {"user": "ada"}),
        ({"user": "", "safety_identifier": "eve"}, {"user": "eve"}),
        ({"metadata": {"user_id": "ada"}}, {"user": "ada"}),
        ({"metadata": {"team": "blue", "other": "x"}}, {"team": "blue"}),
        ({"labels": {"team": "blue"}}, {"team": "blue"}),
        ({"user": "a" * 500}, {"user": "a" * LONGEST_VALUE}),
        ({"user": " a\r\nb\x1b\ud800 "}, {"user": "a  b"}),
        ({"user": "Zoë 李"}, {"user": "Zoë 李"}),
        ({"user": 7, "metadata": [1]}, {}),
        ({"user": None, "metadata": {"team": {"a": 1}}, "labels": "x"}, {}),
        ({"user": "\x00"}, {}),
    ],
)
def test_what_counts(body: dict[str, Any], tags: dict[str, str]) -> None:
    assert dict(spend_tags(body, user=True, names=("team", "project"))) == tags


def test_what_is_switched_off_does_not_count() -> None:
    body = {"user": "ada", "metadata": {"team": "blue", "user_id": "eve"}}
    assert spend_tags(body, user=False, names=()) == ()
    assert spend_tags(body, user=False, names=("team",)) == (("team", "blue"),)
