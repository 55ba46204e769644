"""deploy/compose.yaml and the Helm chart: what they start is a gateway that runs with what they give it."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.blueprint import read_blueprint
from gateway.cli import build_parser

from .chart import Chart

DEPLOY = Path(__file__).parents[2] / "deploy"
FOLDER = DEPLOY / "helm/tollgate"
VALUES = yaml.safe_load((FOLDER / "values.yaml").read_text())
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
ENVIRONMENT = {
    "DATABASE_URL": "postgresql://gateway:x@postgres:5432/gateway",
    "COUNTERS_URL": "redis://valkey:6379/0",
    "OPENAI_API_KEY": "sk-test",
}


def chart(**changes: Any) -> list[dict[str, Any]]:
    return Chart(FOLDER, {**copy.deepcopy(VALUES), **changes}).objects()


def the(objects: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    return next(one for one in objects if one["kind"] == kind)


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def test_the_chart_has_what_it_should() -> None:
    found = [(one["apiVersion"], one["kind"], one["metadata"]["name"]) for one in chart()]
    assert sorted(found) == [
        ("apps/v1", "StatefulSet", "lab"),
        ("policy/v1", "PodDisruptionBudget", "lab"),
        ("v1", "ConfigMap", "lab-config"),
        ("v1", "Service", "lab"),
        ("v1", "Service", "lab-pods"),
    ]


def test_every_selector_finds_the_pods() -> None:
    objects = chart()
    pods = the(objects, "StatefulSet")["spec"]
    labels = pods["template"]["metadata"]["labels"]
    selectors = [
        pods["selector"]["matchLabels"],
        the(objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
    ]
    selectors += [one["spec"]["selector"] for one in objects if one["kind"] == "Service"]
    selectors += [one["labelSelector"]["matchLabels"] for one in pods["template"]["spec"]["topologySpreadConstraints"]]
    for selector in selectors:
        assert selector.items() <= labels.items()
    assert pods["serviceName"] in {one["metadata"]["name"] for one in objects if one["kind"] == "Service"}


def test_a_pod_runs_the_gateway_with_the_configuration_of_the_chart(tmp_path: Path) -> None:
    objects = chart()
    pod = the(objects, "StatefulSet")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    options = build_parser().parse_args(container["args"])
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert mounts[str(options.config.parent)] == "config"
    [port] = container["ports"]
    assert (options.host, options.port) == ("0.0.0.0", port["containerPort"])
    (tmp_path / "config.yaml").write_text(the(objects, "ConfigMap")["data"][options.config.name])
    config = read_blueprint(tmp_path / "config.yaml", {**ENVIRONMENT, "GATEWAY_DATA": str(tmp_path)}).config
    assert config.database.url == ENVIRONMENT["DATABASE_URL"]
    assert pod["terminationGracePeriodSeconds"] > config.server.drain_delay + config.server.drain
    probe = container["readinessProbe"]
    assert config.server.drain_delay > probe["periodSeconds"] * probe["failureThreshold"]
    assert probe["httpGet"]["path"] == "/readyz"
    volumes = {volume["name"] for volume in pod["volumes"]} | {"data"}
    for one in (container, *pod["initContainers"]):
        assert {mount["name"] for mount in one["volumeMounts"]} <= volumes
        assert one["securityContext"]["readOnlyRootFilesystem"] is True
    [secret] = pod["initContainers"]
    assert secret["command"] == ["install", "-m", "600", "/server-secret/secret", "/var/lib/tollgate/secret"]


def test_what_may_be_set_arrives() -> None:
    ingress = {**VALUES["ingress"], "enabled": True, "host": "llm.lab", "tlsSecret": "tls", "className": "nginx"}
    objects = chart(
        replicas=5, maxUnavailable=2, ingress=ingress, nodeSelector={"disk": "ssd"}, podAnnotations={"a": "b"},
        tolerations=[{"key": "x", "operator": "Exists"}], persistence={"size": "2Gi", "storageClass": "fast"},
        image={"repository": "registry/tollgate", "tag": "9.9", "pullPolicy": "Always"},
    )  # fmt: skip
    stateful = the(objects, "StatefulSet")["spec"]
    pod = stateful["template"]["spec"]
    assert (stateful["replicas"], pod["containers"][0]["image"]) == (5, "registry/tollgate:9.9")
    assert (pod["nodeSelector"], pod["tolerations"][0]["key"]) == ({"disk": "ssd"}, "x")
    assert stateful["template"]["metadata"]["annotations"]["a"] == "b"
    assert stateful["volumeClaimTemplates"][0]["spec"]["storageClassName"] == "fast"
    assert the(objects, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 2
    rule = the(objects, "Ingress")["spec"]
    assert (rule["ingressClassName"], rule["rules"][0]["host"], rule["tls"][0]["secretName"]) == (
        "nginx",
        "llm.lab",
        "tls",
    )


def test_a_new_configuration_replaces_the_pods() -> None:
    def stamp(objects: list[dict[str, Any]]) -> str:
        return str(the(objects, "StatefulSet")["spec"]["template"]["metadata"]["annotations"]["checksum/config"])

    assert stamp(chart()) != stamp(chart(config={**VALUES["config"], "default_model": None}))


@pytest.mark.parametrize("template", ["{{ .Values.x | upper }}", "{{ if .Values.replicas }}no end"])
def test_what_the_renderer_does_not_know_is_an_error(tmp_path: Path, template: str) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text((FOLDER / "Chart.yaml").read_text())
    (tmp_path / "templates/x.yaml").write_text(template)
    with pytest.raises(AssertionError):
        Chart(tmp_path, {"x": "y", "replicas": 1}).objects()


def test_compose_gateways_run_with_its_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text((DEPLOY / "compose/config.yaml").read_text())
    gateways = {name: one for name, one in COMPOSE["services"].items() if name.startswith("gateway-")}
    assert len(gateways) == 2
    for name, one in gateways.items():
        given = {key: ENVIRONMENT[key] for key in one["environment"]}
        config = read_blueprint(tmp_path / "config.yaml", {**given, "GATEWAY_DATA": str(tmp_path)}).config
        assert seconds(one["stop_grace_period"]) > config.server.drain_delay + config.server.drain
        assert f"{name}:/var/lib/tollgate" in one["volumes"], "each has a data folder of its own"
        assert name in COMPOSE["volumes"]
    for service in COMPOSE["services"].values():
        for other in service.get("depends_on", {}):
            assert other in COMPOSE["services"]
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


def test_caddy_notices_a_gateway_that_leaves_before_it_is_gone() -> None:
    text = (DEPLOY / "compose/Caddyfile").read_text()
    upstreams = re.search(r"reverse_proxy ((?:gateway-\d:8080 ?)+)", text)
    assert upstreams is not None
    assert upstreams.group(1).split() == ["gateway-1:8080", "gateway-2:8080"]
    assert "health_uri /readyz" in text
    interval = re.search(r"health_interval (\w+)", text)
    assert interval is not None
    delay = yaml.safe_load((DEPLOY / "compose/config.yaml").read_text())["server"]["drain_delay"]
    assert seconds(interval.group(1)) < seconds(delay)
