"""Which time limits hold at a target."""

from __future__ import annotations

from pathlib import Path

from gateway.blueprint import read_blueprint
from gateway.catalog import target_of
from gateway.upstream.limits import limits_at

TEXT = """\
providers:
  a: {plugin: openai, base_url: "http://127.0.0.1:1", timeouts: {connect: 1s, first_byte: 2s}}
  b: {plugin: openai, base_url: "http://127.0.0.1:1"}
models:
  a/own: {free: true, timeouts: {first_byte: 3s, total: 4s}}
  a/plain: {free: true}
  b/plain: {free: true}
upstream: {first_byte: 10s, idle: 11s, total: 12s, max_event: 1KiB, max_reply: 2KiB}
"""


def test_the_models_count_before_the_providers_and_those_before_all(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(TEXT)
    config = read_blueprint(path, {"GATEWAY_DATA": str(tmp_path)}).config
    found = {name: limits_at(config, target_of(model)) for name, model in config.models.items()}
    shown = {name: (limits.connect, limits.first_byte, limits.idle, limits.total) for name, limits in found.items()}
    assert shown == {
        "a/own": (1.0, 3.0, 11.0, 4.0),
        "a/plain": (1.0, 2.0, 11.0, 12.0),
        "b/plain": (None, 10.0, 11.0, 12.0),
    }
    assert {(limits.max_event, limits.max_reply) for limits in found.values()} == {(1024, 2048)}
