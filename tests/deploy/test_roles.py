"""The compose file for a bot in PostgreSQL: several processes, each with one role."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy.proxies import GET
from deploy.tools import DEPLOY, POSTGRES_MAX_CONNECTIONS, is_closed, ran, role_of, tool
from linqbot_postgres.address import Address

ROOT = DEPLOY.parent
FILE = DEPLOY / "compose.postgresql.yaml"


def compose_file() -> dict[str, Any]:
    return dict(yaml.safe_load(FILE.read_text()))


def test_two_containers_receive_and_two_work() -> None:
    services = compose_file()["services"]
    commands = {name: role_of(service["command"]) for name, service in services.items() if "command" in service}
    assert commands == {"receiver-1": "receive", "receiver-2": "receive", "worker-1": "work", "worker-2": "work"}
    for name in commands:
        is_closed(services[name])


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
def test_caddy_shares_the_webhooks_between_both_receivers(tmp_path: Path) -> None:
    environ = os.environ | compose_file()["services"]["caddy"]["environment"] | {"BOT_DOMAIN": "bot.example.com"}
    config = str(
        shutil.copy(DEPLOY / "caddy" / "Caddyfile", tmp_path)
    )  # this compose file does not mount that of the page
    adapted = ran([tool("caddy", get=GET["caddy"]), "adapt", "--adapter", "caddyfile", "--config", config], env=environ)
    assert adapted.code == 0, adapted.err
    assert [each["dial"] for each in _upstreams(json.loads(adapted.out))] == ["receiver-1:8000", "receiver-2:8000"]


def _upstreams(config: Any) -> list[dict[str, Any]]:
    if isinstance(config, dict):
        return config.get("upstreams") or [found for value in config.values() for found in _upstreams(value)]
    return [found for value in config for found in _upstreams(value)] if isinstance(config, list) else []


def test_the_image_can_speak_to_postgresql() -> None:
    image = (DEPLOY / "Dockerfile").read_text()
    assert "COPY plugins/linqbot-postgres plugins/linqbot-postgres" in image
    assert "install --no-cache-dir . ./plugins/linqbot-operator ./plugins/linqbot-postgres" in image
    assert (ROOT / "plugins" / "linqbot-postgres" / "pyproject.toml").is_file()
