"""The Kubernetes manifests: they fit the API's schemas, their names match, and they keep the promises of the docs."""

from __future__ import annotations

import itertools
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from deploy.tools import DEPLOY

from linqbot.server.app import WEBHOOK_PATH
from linqbot.settings import Settings, variable

FILES = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
DOCUMENTS: dict[str, Any] = {each["kind"]: each for file in FILES for each in yaml.safe_load_all(file.read_text())}
POD = DOCUMENTS["StatefulSet"]["spec"]["template"]
(BOT,) = POD["spec"]["containers"]


def test_a_manifest_fits_the_schema(subtests: pytest.Subtests) -> None:
    """Strict: a misspelt field is an error too; the API would drop the field without an error."""
    for kind, version in itertools.product(DOCUMENTS, ["1.34", "1.37"]):
        with subtests.test(kind=kind, version=version):
            kubernetes_validate.validate(DOCUMENTS[kind], version, strict=True)


def test_a_misspelt_field_would_be_found() -> None:
    wrong = DOCUMENTS["Service"] | {"spec": {**DOCUMENTS["Service"]["spec"], "selecter": {}}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.34", strict=True)


def test_there_is_one_pod_and_never_two() -> None:
    spec = DOCUMENTS["StatefulSet"]["spec"]
    (claim,) = spec["volumeClaimTemplates"]
    assert (spec["replicas"], claim["spec"]["accessModes"]) == (1, ["ReadWriteOncePod"])


def test_the_pod_meets_the_restricted_standard() -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted"""
    pod, bot = POD["spec"]["securityContext"], BOT["securityContext"]
    assert pod["runAsNonRoot"] is True
    assert pod["runAsUser"] > 0
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert bot["allowPrivilegeEscalation"] is False
    assert bot["capabilities"] == {"drop": ["ALL"]}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(POD["spec"])
    kinds = {kind for volume in POD["spec"]["volumes"] for kind in volume if kind != "name"}
    assert kinds <= {"configMap", "emptyDir", "projected", "secret", "persistentVolumeClaim"}


def test_names_match_each_other() -> None:
    labels = POD["metadata"]["labels"]
    assert DOCUMENTS["StatefulSet"]["spec"]["selector"]["matchLabels"] == labels
    assert DOCUMENTS["Service"]["spec"]["selector"] == labels
    assert DOCUMENTS["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    volumes = {volume["name"] for volume in POD["spec"]["volumes"]} | {"data"}
    assert {mount["name"] for mount in BOT["volumeMounts"]} == volumes
    (port,) = BOT["ports"]
    assert DOCUMENTS["Service"]["spec"]["ports"][0]["targetPort"] == port["name"]
    assert port["containerPort"] == Settings.model_fields["port"].default
    (mounted,) = (volume["secret"]["secretName"] for volume in POD["spec"]["volumes"] if "secret" in volume)
    assert DOCUMENTS["Secret"]["metadata"]["name"] == mounted
    folder = next(mount["mountPath"] for mount in BOT["volumeMounts"] if mount["name"] == "secrets")
    files = {entry["value"] for entry in BOT["env"] if entry["name"].endswith("_FILE")}
    assert files == {f"{folder}/{key}" for key in DOCUMENTS["Secret"]["stringData"]}


def test_every_variable_is_a_setting() -> None:
    assert {entry["name"] for entry in BOT["env"]} <= {variable(name) for name in Settings.model_fields}


def test_only_the_webhook_is_public_and_no_secret_has_a_value() -> None:
    (rule,) = DOCUMENTS["Ingress"]["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert (path["path"], path["pathType"]) == (WEBHOOK_PATH, "Exact")
    assert set(DOCUMENTS["Secret"]["stringData"].values()) == {""}


def test_the_pod_is_given_longer_than_a_drain_takes() -> None:
    drain_s, open_requests_s = Settings.model_fields["drain_s"].default, 5
    before_s = BOT["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert POD["spec"]["terminationGracePeriodSeconds"] > before_s + open_requests_s + drain_s + 10
