"""`kubernetes/`: by Kubernetes's schemas, confined, without secrets, and of one piece."""

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft202012Validator

from config.settings import Settings
from tests.architecture.test_compose import SERVICES

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "kubernetes"
PAGE = (ROOT / "docs" / "kubernetes.md").read_text()
RESOURCES: dict[str, dict[str, Any]] = {
    f"{document['kind']} {document['metadata']['name']}": document
    for path in sorted(FOLDER.glob("*.yaml"))
    if path.name != "kustomization.yaml"
    for document in yaml.safe_load_all(path.read_text())
}
KUSTOMIZE: dict[str, Any] = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
KEDAS = {name for name, one in RESOURCES.items() if one["apiVersion"].startswith("keda.sh/")}
RUNNING = {name: one for name, one in RESOURCES.items() if "template" in one.get("spec", {})}
OLDEST, NEWEST = "1.30", "1.37"

ANYTHING = {"type": "object"}
TEXT, WHOLE = {"type": "string"}, {"type": "integer", "minimum": 0}


def closed(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """A schema of an object with these fields and no others."""
    properties = required | optional
    return {
        "type": "object",
        "properties": properties,
        "required": [*required],
        "additionalProperties": False,
    }


NAMED = closed({"name": TEXT})
# What is used of KEDA's, as its documentation of 2.17 tells: all of a trigger's values are texts.
KEDA = {
    "ScaledObject": closed(
        {
            "scaleTargetRef": NAMED,
            "triggers": {
                "type": "array",
                "minItems": 1,
                "items": closed(
                    {"type": TEXT, "metadata": {"type": "object", "additionalProperties": TEXT}},
                    authenticationRef=NAMED,
                ),
            },
        },
        minReplicaCount=WHOLE,
        maxReplicaCount=WHOLE,
        pollingInterval=WHOLE,
        fallback=closed({"failureThreshold": WHOLE, "replicas": WHOLE}),
        advanced=closed(
            {"horizontalPodAutoscalerConfig": closed({"behavior": {"type": "object"}})}
        ),
    ),
    "TriggerAuthentication": closed(
        {
            "secretTargetRef": {
                "type": "array",
                "items": closed({"parameter": TEXT, "name": TEXT, "key": TEXT}),
            }
        }
    ),
}


def pods() -> list[tuple[str, dict[str, Any]]]:
    """What runs, by name: the pod of each."""
    return [(name, one["spec"]["template"]) for name, one in RUNNING.items()]


every_pod = pytest.mark.parametrize(("name", "pod"), pods(), ids=[name for name, _ in pods()])


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", sorted(RESOURCES.keys() - KEDAS))
def test_it_is_what_kubernetes_understands(name: str, version: str) -> None:
    """No field that it does not know, as `kubectl apply` would refuse it."""
    kubernetes_validate.validate(RESOURCES[name], version, strict=True)


@pytest.mark.parametrize("name", sorted(KEDAS))
def test_it_is_what_keda_understands(name: str) -> None:
    """And how it scales is a part of Kubernetes's own autoscaler."""
    resource = RESOURCES[name]
    Draft202012Validator(KEDA[resource["kind"]]).validate(resource["spec"])
    assert set(resource) == {"apiVersion", "kind", "metadata", "spec"}
    if resource["kind"] == "ScaledObject":
        behavior = resource["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        scaler = {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "keda"},
            "spec": {
                "behavior": behavior,
                "maxReplicas": resource["spec"]["maxReplicaCount"],
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "worker"},
            },
        }
        kubernetes_validate.validate(scaler, NEWEST, strict=True)


def test_workers_are_scaled_by_what_is_measured() -> None:
    """By a metric that is served, asked for with the token of the secret."""
    spec = RESOURCES["ScaledObject worker"]["spec"]
    (trigger,) = spec["triggers"]
    metric = trigger["metadata"]["valueLocation"]

    assert f"| `{metric}` | gauge |" in (ROOT / "docs" / "monitoring.md").read_text()
    assert f"Deployment {spec['scaleTargetRef']['name']}" in RUNNING
    assert "replicas" not in RUNNING["Deployment worker"]["spec"]
    (secret,) = RESOURCES["TriggerAuthentication candlecast-metrics"]["spec"]["secretTargetRef"]
    assert f"{secret['key']}=" in PAGE
    assert trigger["metadata"]["url"] == f"http://api.{KUSTOMIZE['namespace']}.svc:8000/metrics"


@every_pod
def test_what_runs_is_confined(name: str, pod: dict[str, Any]) -> None:
    """Without rights, without a token of the cluster's, writing to its volumes alone."""
    spec = pod["spec"]
    (container,) = spec["containers"]
    confined = container["securityContext"]

    assert spec["automountServiceAccountToken"] is False, name
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert confined["readOnlyRootFilesystem"] is True
    assert confined["allowPrivilegeEscalation"] is False
    assert confined["capabilities"] == {"drop": ["ALL"]}
    assert {"requests", "limits"} == set(container["resources"])
    assert container["readinessProbe"]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    held = {volume["name"] for volume in spec["volumes"]}
    claimed = RUNNING[name]["spec"].get("volumeClaimTemplates", [])
    assert mounted == held | {claim["metadata"]["name"] for claim in claimed}


@every_pod
def test_what_runs_is_what_compose_runs(name: str, pod: dict[str, Any]) -> None:
    """The same commands in the same images, but that here new workers prepare."""
    (container,) = pod["spec"]["containers"]
    service = SERVICES[name.partition(" ")[2]]
    target = service.get("build", {}).get("target")

    assert container["image"] == (f"candlecast-{target}" if target else service["image"])
    if target:
        assert [word for word in container["command"] if word != "--rolling"] == service["command"]


def test_all_of_compose_is_here_but_what_looks_at_it() -> None:
    """Clusters have their own Prometheus and Grafana."""
    names = {name.partition(" ")[2] for name in RUNNING}

    assert set(SERVICES) - names == {"prometheus", "grafana", "rq-dashboard"}
    assert names <= set(SERVICES)


@every_pod
def test_labels_and_ports_meet(name: str, pod: dict[str, Any]) -> None:
    """What selects pods selects these, and a service leads to a port that they open."""
    labels = pod["metadata"]["labels"]
    resource, own = RUNNING[name], name.partition(" ")[2]

    assert resource["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert labels == resource["metadata"]["labels"]
    opened = {
        port["name"]: port["containerPort"]
        for port in pod["spec"]["containers"][0].get("ports", [])
    }
    service = RESOURCES.get(f"Service {own}")
    assert bool(service) == bool(opened)
    if service:
        assert service["spec"]["selector"].items() <= labels.items()
        assert {port["targetPort"]: port["port"] for port in service["spec"]["ports"]} == opened


def test_settings_are_known_and_secrets_are_elsewhere() -> None:
    """Each key that is read from the secret is in the page that tells how it is made."""
    (generated,) = KUSTOMIZE["configMapGenerator"]
    settings = dict(line.split("=", 1) for line in generated["literals"])
    text = "".join(path.read_text() for path in FOLDER.iterdir())

    assert set(settings) <= {f"CANDLECAST_{name.upper()}" for name in Settings.model_fields}
    assert "kind: Secret" not in text
    for key in (
        *re.findall(r"name: candlecast, key: (\w+)", text),
        "CANDLECAST_STATE_KEY",
        "CANDLECAST_REDIS_URL",
    ):
        assert f"--from-literal={key}=" in PAGE, key


def test_kustomize_takes_all_of_it() -> None:
    """Every file, and every image of ours by a version."""
    told = KUSTOMIZE
    images = {pod["spec"]["containers"][0]["image"] for _, pod in pods()}

    assert {*told["resources"], "kustomization.yaml"} == {path.name for path in FOLDER.iterdir()}
    assert {one["name"] for one in told["images"]} == {
        image for image in images if ":" not in image
    }
