"""compose.yaml and the Kubernetes base name every process that a stack runs, and hang together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.local.accounts import UIDS

ROOT = Path(__file__).parents[2]
BASE = ROOT / "infra/k8s/base"
OURS = sorted(name for name in UIDS if name != "nginx")


def manifests() -> list[dict[str, Any]]:
    resources = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    return [document for name in resources for document in yaml.safe_load_all((BASE / name).read_text())]


def containers() -> list[dict[str, Any]]:
    deployment = next(m for m in manifests() if m["kind"] == "Deployment")
    found: list[dict[str, Any]] = deployment["spec"]["template"]["spec"]["containers"]
    return found


def test_compose_names_every_process_of_a_stack() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    assert {*UIDS, "postgres", "rabbitmq"} == set(services)


def test_compose_mounts_to_each_process_only_its_own_secrets() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    for name in OURS:
        secrets = [volume for volume in services[name]["volumes"] if "/secrets/" in volume.split(":")[0]]
        assert secrets == [f"./var/compose/secrets/{name}:/run/secrets:ro"]


def test_kubernetes_base_names_every_process_of_a_stack() -> None:
    assert sorted(container["name"] for container in containers()) == OURS


@pytest.mark.parametrize("name", OURS)
def test_container_is_confined(name: str) -> None:
    context = next(c for c in containers() if c["name"] == name)["securityContext"]
    assert context == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_every_mounted_volume_is_declared() -> None:
    deployment = next(m for m in manifests() if m["kind"] == "Deployment")
    declared = {volume["name"] for volume in deployment["spec"]["template"]["spec"]["volumes"]}
    mounted = {mount["name"] for container in containers() for mount in container["volumeMounts"]}
    assert mounted == declared


def test_namespace_denies_traffic_by_default() -> None:
    policy = next(m for m in manifests() if m["metadata"]["name"] == "default-deny")
    assert policy["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_overlay_builds_on_the_base() -> None:
    overlay = ROOT / "infra/k8s/overlays/production"
    resources = yaml.safe_load((overlay / "kustomization.yaml").read_text())["resources"]
    assert [(overlay / resource).resolve() for resource in resources] == [BASE]
