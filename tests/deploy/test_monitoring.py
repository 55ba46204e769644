"""The dashboard and the alerts ask for what the gateway really says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from gateway.metrics import Metrics
from gateway.upstream.health import HealthBook

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "deploy/grafana/tollgate.json").read_text())
ALERTS = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())
SCRAPE = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
# Those that are made when somebody scrapes: tests/test_metrics.py and tests/http/test_targets.py see them.
LIVE = {
    "gateway_open_streams",
    "gateway_open_holds",
    "gateway_held_credits",
    "gateway_writer_queue",
    "gateway_upstream_waiting",
    "gateway_counters_away",
    "gateway_account_balance_credits",
    "gateway_account_held_credits",
}


@pytest.fixture(scope="module")
def known() -> set[str]:
    """Every name of a series."""
    names = set(LIVE)
    for family in Metrics(HealthBook()).registry.collect():
        ends = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}.get(family.type, ("",))
        names |= {family.name + end for end in ends}
    return names


def expressions() -> list[str]:
    panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    return panels + [rule["expr"] for group in ALERTS["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("expression", expressions())
def test_it_asks_for_what_there_is(expression: str, known: set[str]) -> None:
    asked = set(re.findall(r"gateway_\w+", expression))
    assert asked or "up{" in expression
    assert asked <= known
    assert expression.count("(") == expression.count(")")


def test_every_metric_is_documented(known: set[str]) -> None:
    page = (ROOT / "docs/operations.md").read_text()
    documented = set(re.findall(r"^\| `(gateway_\w+)` \|", page, re.MULTILINE))
    # As a scrape names them; of a histogram what its three series have in common.
    assert documented == {re.sub(r"_(bucket|count|sum)$", "", name) for name in known}


def test_names_and_numbers_are_used_once() -> None:
    identifiers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(identifiers)) == len(identifiers)
    names = [rule["alert"] for group in ALERTS["groups"] for rule in group["rules"]]
    assert len(set(names)) == len(names)


def test_the_scrape_fits_the_rules() -> None:
    [job] = SCRAPE["scrape_configs"]
    assert f'job="{job["job_name"]}"' in ALERTS["groups"][0]["rules"][0]["expr"]
    assert SCRAPE["rule_files"] == ["alerts.yml"]
