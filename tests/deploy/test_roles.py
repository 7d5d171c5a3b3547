"""The files of `deploy/` for a bot in PostgreSQL: several processes, each with one role."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

import click
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from deploy.proxies import GET
from deploy.tools import DEPLOY, compose_command, ran, tool

from linqbot.cli.main import main
from linqbot.server.app import WEBHOOK_PATH
from linqbot.settings import Settings, variable
from linqbot.storage.postgres.address import Address

ROOT = DEPLOY.parent
FILE = DEPLOY / "compose.postgresql.yaml"
FOLDER = DEPLOY / "kubernetes" / "postgresql"
BY_FILE: dict[str, list[Any]] = {
    file.name: list(yaml.safe_load_all(file.read_text())) for file in sorted(FOLDER.glob("*.yaml"))
}
DOCUMENTS = [each for documents in BY_FILE.values() for each in documents]
ENVIRON = {"BOT_DOMAIN": "bot.example.com", "BOT": str(ROOT / "examples")}
ROLES = {"receivers": "receive", "workers": "work"}
POSTGRES_MAX_CONNECTIONS = 100
"""PostgreSQL's default; 3 of them are for its owner."""


def the(kind: str, name: str) -> dict[str, Any]:
    (found,) = (each for each in DOCUMENTS if each["kind"] == kind and each["metadata"]["name"] == name)
    return dict(found)


def pod(role: str) -> dict[str, Any]:
    return dict(the("Deployment", f"linqbot-{role}")["spec"]["template"])


def bot(role: str) -> dict[str, Any]:
    (container,) = pod(role)["spec"]["containers"]
    return dict(container)


def role_of(arguments: list[str]) -> str | None:
    """Return the role that a command line of linqbot asks for, as linqbot itself reads it."""
    name, *rest = arguments
    command = main.get_command(click.Context(main), name)
    assert command is not None
    return command.make_context(name, rest).params["role"]  # type: ignore[no-any-return]


def settings_of(environ: dict[str, str]) -> set[str]:
    known = {variable(name) for name in Settings.model_fields}
    assert set(environ) <= known, set(environ) - known
    assert set(environ) & {"LINQ_API_V3_API_KEY", "LINQ_WEBHOOK_SECRET"} == set()
    return set(environ)


def compose_file() -> dict[str, Any]:
    return dict(yaml.safe_load(FILE.read_text()))


# --- compose ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.process
def test_compose_understands_the_file_and_asks_for_what_is_missing() -> None:
    compose = [*compose_command(), "-f", str(FILE), "config"]
    checked = ran(compose, env=os.environ | ENVIRON)
    assert checked.code == 0, checked.err
    services = yaml.safe_load(checked.out)["services"]
    assert set(services) == {"receiver-1", "receiver-2", "worker-1", "worker-2", "postgres", "caddy"}
    for name in ENVIRON:
        refused = ran(compose, env={key: value for key, value in (os.environ | ENVIRON).items() if key != name})
        assert (refused.code != 0, "say which" in refused.err) == (True, True)


def test_two_containers_receive_and_two_work() -> None:
    services = compose_file()["services"]
    commands = {name: role_of(service["command"]) for name, service in services.items() if "command" in service}
    assert commands == {"receiver-1": "receive", "receiver-2": "receive", "worker-1": "work", "worker-2": "work"}
    drain_s = Settings.model_fields["drain_s"].default
    for name in commands:
        service = services[name]
        settings_of(service["environment"])
        assert "ports" not in service
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
        assert int(service["stop_grace_period"].removesuffix("s")) > drain_s + 15


def test_the_containers_share_one_database_whose_password_is_in_no_environment() -> None:
    whole = compose_file()
    services = whole["services"]
    address = Address.parse(services["worker-1"]["environment"]["LINQBOT_STORAGE"])
    database = services["postgres"]
    secret = database["environment"]["POSTGRES_PASSWORD_FILE"]
    assert str(address.password_file) == secret == "/run/secrets/postgres_password"
    assert address.name == "PostgreSQL at linqbot@postgres/linqbot (schema linqbot)".replace("linqbot@", "")
    assert (database["environment"]["POSTGRES_USER"], database["environment"]["POSTGRES_DB"]) == ("linqbot", "linqbot")
    for service in services.values():
        assert set(service.get("secrets", [])) <= set(whole["secrets"])
    bots = [name for name in services if name.startswith(("receiver", "worker"))]
    assert all("postgres_password" in services[name]["secrets"] for name in bots)
    assert len(bots) * address.connections < POSTGRES_MAX_CONNECTIONS - 3
    assert "ports" not in database


def test_only_the_proxy_reaches_the_receivers_and_only_bots_reach_the_database() -> None:
    whole = compose_file()
    networks = {name: set(service["networks"]) for name, service in whole["services"].items()}
    assert {name for name, joined in networks.items() if "front" in joined} == {"receiver-1", "receiver-2", "caddy"}
    assert whole["networks"]["back"]["internal"] is True
    assert networks["postgres"] == {"back"}
    # A container that is in internal networks only cannot reach Linq.
    assert all(joined - {"back"} for name, joined in networks.items() if name != "postgres")
    (subnet,) = whole["networks"]["front"]["ipam"]["config"]
    for name in ("receiver-1", "receiver-2"):
        assert whole["services"][name]["environment"]["LINQBOT_TRUSTED_PROXIES"] == subnet["subnet"]
    other = yaml.safe_load((DEPLOY / "compose.caddy.yaml").read_text())["networks"]["front"]["ipam"]["config"]
    assert other != [subnet], "both can run on one machine"


@pytest.mark.tools
@pytest.mark.process
def test_caddy_shares_the_webhooks_between_both_receivers() -> None:
    environ = os.environ | compose_file()["services"]["caddy"]["environment"] | {"BOT_DOMAIN": "bot.example.com"}
    config = str(DEPLOY / "caddy" / "Caddyfile")
    adapted = ran([tool("caddy", get=GET["caddy"]), "adapt", "--adapter", "caddyfile", "--config", config], env=environ)
    assert adapted.code == 0, adapted.err
    assert [each["dial"] for each in _upstreams(json.loads(adapted.out))] == ["receiver-1:8000", "receiver-2:8000"]


def _upstreams(config: Any) -> list[dict[str, Any]]:
    if isinstance(config, dict):
        return config.get("upstreams") or [found for value in config.values() for found in _upstreams(value)]
    return [found for value in config for found in _upstreams(value)] if isinstance(config, list) else []


# --- Kubernetes -------------------------------------------------------------------------------------------------------


def test_each_manifest_fits_the_schema(subtests: pytest.Subtests) -> None:
    for (file, documents), version in itertools.product(BY_FILE.items(), ["1.34", "1.37"]):
        for document in documents:
            with subtests.test(file=file, kind=document["kind"], version=version):
                kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("role", ROLES)
def test_a_deployment_is_scaled_between_limits_and_loses_one_pod_at_a_time(role: str) -> None:
    name = f"linqbot-{role}"
    deployment, scaler, budget = (
        the(kind, name)["spec"] for kind in ("Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget")
    )
    labels = pod(role)["metadata"]["labels"]
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    assert 2 <= scaler["minReplicas"] < scaler["maxReplicas"]
    assert "replicas" not in deployment, "each apply would undo what the autoscaler has set"
    assert deployment["selector"]["matchLabels"] == budget["selector"]["matchLabels"] == labels
    assert budget["maxUnavailable"] < scaler["minReplicas"]
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    (metric,) = scaler["metrics"]
    assert metric["resource"]["name"] in bot(role)["resources"]["requests"]
    assert role_of(bot(role)["args"]) == ROLES[role]


def test_all_pods_together_open_fewer_connections_than_the_server_allows() -> None:
    most = 0
    for role in ROLES:
        (storage,) = (each["value"] for each in bot(role)["env"] if each["name"] == "LINQBOT_STORAGE")
        surge = the("Deployment", f"linqbot-{role}")["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
        pods = the("HorizontalPodAutoscaler", f"linqbot-{role}")["spec"]["maxReplicas"] + surge
        most += pods * Address.parse(storage).connections
    assert most < POSTGRES_MAX_CONNECTIONS - 3


@pytest.mark.parametrize("role", ROLES)
def test_a_pod_is_restricted_and_its_files_are_those_of_the_secret(role: str) -> None:
    spec, container = pod(role)["spec"], bot(role)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    environ = {each["name"]: each["value"] for each in container["env"]}
    settings_of(environ)
    files = {value for name, value in environ.items() if name.endswith("_FILE")}
    files.add(str(Address.parse(environ["LINQBOT_STORAGE"]).password_file))
    (secret,) = (volume["secret"]["secretName"] for volume in spec["volumes"] if "secret" in volume)
    folder = next(mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "secrets")
    assert files == {f"{folder}/{key}" for key in the("Secret", secret)["stringData"]}
    assert set(the("Secret", secret)["stringData"].values()) == {""}
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in spec["volumes"]}
    before_s = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    assert spec["terminationGracePeriodSeconds"] > before_s + 5 + Settings.model_fields["drain_s"].default + 10


def test_webhooks_reach_receivers_only_and_the_policy_covers_every_pod() -> None:
    (rule,) = the("Ingress", "linqbot")["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert (path["path"], path["pathType"]) == (WEBHOOK_PATH, "Exact")
    service = the("Service", path["backend"]["service"]["name"])["spec"]
    assert service["selector"] == pod("receivers")["metadata"]["labels"]
    assert service["ports"][0]["targetPort"] == bot("receivers")["ports"][0]["name"]
    selected = the("NetworkPolicy", "linqbot")["spec"]["podSelector"]["matchLabels"].items()
    assert all(selected <= pod(role)["metadata"]["labels"].items() for role in ROLES)
    ports = [port["port"] for rule in the("NetworkPolicy", "linqbot")["spec"]["egress"] for port in rule["ports"]]
    assert {443, 5432, 53} == set(ports)


def test_the_image_can_speak_to_postgresql() -> None:
    assert '"./[postgres]"' in (DEPLOY / "Dockerfile").read_text()
    assert "postgres = [" in Path(ROOT / "pyproject.toml").read_text()
