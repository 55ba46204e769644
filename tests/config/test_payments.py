"""The section `payments:`: instances of payment plugins, and the bounds of an order."""

from __future__ import annotations

from pydantic import BaseModel, SecretStr

from gateway import config
from gateway.errors import ConfigFault
from gateway.payments import PaymentKind


class Till(BaseModel, extra="forbid"):
    secret_key: SecretStr = SecretStr("")
    tolerance: int = 300


KINDS = {"till": PaymentKind("till", Till, None, None)}


def build(text: str, **env: str) -> config.Config:
    return config.build(config.parse(text.encode(), env), {}, {}, payments=KINDS)


def problems(text: str) -> list[str]:
    try:
        build(text)
    except ConfigFault as fault:
        return [problem.partition(":")[2] for problem in fault.problems]
    return []


def test_an_instance_with_its_bounds():
    made = build('payments:\n  card: {plugin: till, secret_key: "${KEY}", minimum: 0.29, maximum: 99}', KEY="abc-def")
    entry = made.payments["card"]
    assert (entry.name, entry.plugin, entry.minimum, entry.maximum) == ("card", "till", 29, 9900)
    assert isinstance(entry.settings, Till)
    assert "abc-def" in made.secrets
    assert "abc-def" not in repr(entry)


def test_defaults():
    entry = build("payments: {till: }").payments["till"]
    assert (entry.minimum, entry.maximum) == (500, 100_000)
    assert not build("").payments


def test_every_problem_with_its_line():
    text = """
payments:
  cash: {}
  a: {plugin: tll}
  b: {plugin: till, tolerans: 3}
  c: {plugin: till, minimum: 1.005}
  d: {plugin: till, minimum: 10, maximum: 5}
  e: {plugin: till, minimum: 0}
  f: {plugin: till, minimum: ten}
  g: 7
"""
    found = problems(text)
    assert len(found) == 8
    for line, part in (
        ("3: payments.cash:", "installed: till"),
        ("4: payments.a.plugin:", "did you mean till?"),
        ("5: payments.b.tolerans:", "did you mean tolerance?"),
        ("6: payments.c:", "whole cents"),
        ("7: payments.d:", "minimum must be more than 0"),
        ("8: payments.e:", "minimum must be more than 0"),
        ("9: payments.f.minimum:", "must be an amount in USD"),
        ("10: payments.g:", "must be a section"),
    ):
        assert any(problem.startswith(line) and part in problem for problem in found), (line, found)
