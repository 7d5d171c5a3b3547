"""The Kubernetes manifests: they fit the API's schemas, their names match, and they keep the promises of the docs."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from deploy.tools import DEPLOY, POSTGRES_MAX_CONNECTIONS, STOP_S, role_of, settings_of
from linqbot_postgres.address import Address

from linqbot.server.app import WEBHOOK_PATH
from linqbot.settings import Settings

FOLDER = DEPLOY / "kubernetes"
ROLES = {"receivers": "receive", "workers": "work"}


class Manifests:
    """The manifests of a folder."""

    def __init__(self, folder: Path) -> None:
        self.all = [each for file in sorted(folder.glob("*.yaml")) for each in yaml.safe_load_all(file.read_text())]

    def the(self, kind: str, name: str = "linqbot") -> Any:
        (found,) = (each for each in self.all if each["kind"] == kind and each["metadata"]["name"] == name)
        return found


@dataclass(frozen=True)
class Pod:
    """A kind of pods, with the manifests that it belongs to."""

    manifests: Manifests
    owner: Any  # the StatefulSet or Deployment

    @property
    def template(self) -> Any:
        return self.owner["spec"]["template"]

    @property
    def bot(self) -> Any:
        (container,) = self.template["spec"]["containers"]
        return container

    @property
    def environ(self) -> dict[str, str]:
        return {each["name"]: each["value"] for each in self.bot["env"] if "value" in each}

    @property
    def address(self) -> Address:
        return Address.parse(self.environ["LINQBOT_STORAGE"])


SINGLE, SEVERAL = Manifests(FOLDER), Manifests(FOLDER / "postgresql")
PODS = {
    "single": Pod(SINGLE, SINGLE.the("StatefulSet")),
    **{role: Pod(SEVERAL, SEVERAL.the("Deployment", f"linqbot-{role}")) for role in ROLES},
}


def test_a_manifest_fits_the_schema(subtests: pytest.Subtests) -> None:
    """Strict: a misspelt field is an error too; the API would drop the field without an error."""
    for manifest, version in itertools.product(SINGLE.all + SEVERAL.all, ["1.34", "1.37"]):
        with subtests.test(kind=manifest["kind"], name=manifest["metadata"]["name"], version=version):
            kubernetes_validate.validate(manifest, version, strict=True)
    service = SINGLE.the("Service")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(service | {"spec": {**service["spec"], "selecter": {}}}, "1.34", strict=True)


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_a_pod_meets_the_restricted_standard(pod: Pod) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted"""
    spec = pod.template["spec"]
    context, bot = spec["securityContext"], pod.bot["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] > 0
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert bot["allowPrivilegeEscalation"] is False
    assert bot["capabilities"] == {"drop": ["ALL"]}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    kinds = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
    assert kinds <= {"configMap", "emptyDir", "projected", "secret", "persistentVolumeClaim"}


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_a_pod_has_settings_volumes_and_files_that_exist_and_no_secret_has_a_value(pod: Pod) -> None:
    settings_of(pod.environ)
    assert pod.owner["spec"]["selector"]["matchLabels"] == pod.template["metadata"]["labels"]
    volumes = {volume["name"] for volume in pod.template["spec"]["volumes"]}
    claims = {claim["metadata"]["name"] for claim in pod.owner["spec"].get("volumeClaimTemplates", [])}
    assert {mount["name"] for mount in pod.bot["volumeMounts"]} == volumes | claims
    defaults = {name: Settings.model_fields[name].default for name in ("port", "page_port")}
    ports = {each["name"]: each["containerPort"] for each in pod.bot["ports"]}
    assert ports == {"http": defaults["port"]} | (
        {"page": defaults["page_port"]} if "LINQBOT_PAGE" in pod.environ else {}
    )
    (secret,) = (volume["secret"]["secretName"] for volume in pod.template["spec"]["volumes"] if "secret" in volume)
    folder = next(mount["mountPath"] for mount in pod.bot["volumeMounts"] if mount["name"] == "secrets")
    files = {value for name, value in pod.environ.items() if name.endswith("_FILE")}
    if "LINQBOT_STORAGE" in pod.environ:
        files.add(str(pod.address.password_file))
    values = pod.manifests.the("Secret", secret)["stringData"]
    assert files == {f"{folder}/{key}" for key in values}
    assert set(values.values()) == {""}


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_a_pod_is_given_longer_than_a_drain_takes(pod: Pod) -> None:
    before_s = pod.bot.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    assert pod.template["spec"]["terminationGracePeriodSeconds"] > before_s + STOP_S


def test_there_is_one_pod_that_serves_a_file_and_never_two() -> None:
    spec = PODS["single"].owner["spec"]
    (claim,) = spec["volumeClaimTemplates"]
    assert (spec["replicas"], claim["spec"]["accessModes"]) == (1, ["ReadWriteOncePod"])


@pytest.mark.parametrize("name", ["single", "receivers"])
def test_only_the_webhook_is_public_and_the_policy_covers_every_pod(name: str) -> None:
    pod = PODS[name]
    (rule,) = pod.manifests.the("Ingress")["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert (path["path"], path["pathType"]) == (WEBHOOK_PATH, "Exact")
    service = pod.manifests.the("Service", path["backend"]["service"]["name"])["spec"]
    assert service["selector"] == pod.template["metadata"]["labels"]
    assert service["ports"][0]["targetPort"] == pod.bot["ports"][0]["name"]
    policy = pod.manifests.the("NetworkPolicy")["spec"]
    selected = policy["podSelector"]["matchLabels"].items()
    for each in PODS.values():
        assert each.manifests is not pod.manifests or selected <= each.template["metadata"]["labels"].items()
    ports = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    assert ports == ({443, 53} if name == "single" else {443, 5432, 53})


@pytest.mark.parametrize("role", ROLES)
def test_a_deployment_is_scaled_between_limits_and_loses_one_pod_at_a_time(role: str) -> None:
    name, pod = f"linqbot-{role}", PODS[role]
    scaler, budget = (SEVERAL.the(kind, name)["spec"] for kind in ("HorizontalPodAutoscaler", "PodDisruptionBudget"))
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    assert 2 <= scaler["minReplicas"] < scaler["maxReplicas"]
    assert "replicas" not in pod.owner["spec"], "each apply would undo what the autoscaler has set"
    assert budget["selector"]["matchLabels"] == pod.template["metadata"]["labels"]
    assert budget["maxUnavailable"] < scaler["minReplicas"]
    assert pod.owner["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    (metric,) = scaler["metrics"]
    assert metric["resource"]["name"] in pod.bot["resources"]["requests"]
    assert role_of(pod.bot["args"]) == ROLES[role]


def test_all_pods_together_open_fewer_connections_than_the_server_allows() -> None:
    most = 0
    for role in ROLES:
        surge = PODS[role].owner["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
        pods = SEVERAL.the("HorizontalPodAutoscaler", f"linqbot-{role}")["spec"]["maxReplicas"] + surge
        most += pods * PODS[role].address.connections
    assert most < POSTGRES_MAX_CONNECTIONS - 3


def test_the_copy_with_which_a_file_is_written_again_is_made_on_the_disk_of_the_storage() -> None:
    pod = Pod(SINGLE, SINGLE.the("StatefulSet"))
    assert pod.environ["SQLITE_TMPDIR"] == "/data"
    (data,) = (each for each in pod.bot["volumeMounts"] if each["mountPath"] == "/data")
    assert data["name"] in {each["metadata"]["name"] for each in pod.owner["spec"]["volumeClaimTemplates"]}
    for name in ("compose.caddy.yaml", "compose.nginx.yaml"):
        bot = yaml.safe_load((DEPLOY / name).read_text())["services"]["bot"]
        assert bot["environment"]["SQLITE_TMPDIR"] in {each.partition(":")[2] for each in bot["volumes"]}, name
    for name in ("Dockerfile", "fly/fly.Dockerfile"):
        assert "SQLITE_TMPDIR=/data" in (DEPLOY / name).read_text(), name
