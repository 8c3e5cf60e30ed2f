"""`docker-compose.yml`: the services, what they open, and that no secret stands in it."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
# Candle workers carry the core alone; what speaks to MLflow or draws pages needs more.
TARGETS = {"worker": "worker"} | dict.fromkeys(
    ("producer", "housekeeping", "mlflow", "api", "notify", "rq-dashboard"), "full"
)
IMAGES = ("redis", "prometheus", "grafana")
every_service = pytest.mark.parametrize("name", SERVICES)


def test_services() -> None:
    """Everything the system is made of, and nothing else."""
    assert set(SERVICES) == {*TARGETS, *IMAGES}
    assert {
        name: service["build"]["target"] for name, service in SERVICES.items() if "build" in service
    } == TARGETS


@every_service
def test_ports_are_on_loopback(name: str) -> None:
    """No port is published to another machine."""
    ports = SERVICES[name].get("ports", [])

    assert [port for port in ports if not re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)] == []


@every_service
def test_health_is_checked(name: str) -> None:
    """Compose can tell whether a service is well, and starts again what ended."""
    assert SERVICES[name]["healthcheck"]["test"]
    assert SERVICES[name]["restart"] == "unless-stopped"


@every_service
def test_privileges_are_dropped(name: str) -> None:
    """No service can gain rights, or run as root."""
    service = SERVICES[name]

    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "build" in service or service["user"] != "root"


@every_service
def test_nothing_is_written_but_to_volumes(name: str) -> None:
    """And to a folder in memory; what is shared with this machine is only read."""
    service = SERVICES[name]
    volumes = [volume.split(":") for volume in service.get("volumes", [])]

    assert (service["read_only"], service["tmpfs"]) == (True, ["/tmp"])  # noqa: S108
    assert all(rest[-1] == "ro" for place, *rest in volumes if place.startswith("."))
    assert {place for place, *_ in volumes if not place.startswith(".")} <= {*COMPOSE["volumes"]}


@every_service
def test_secrets_are_no_files_of_a_read_only_service(name: str) -> None:
    """Compose refuses to put one that is no file on this machine where nothing can be written."""
    assert "secrets" not in SERVICES[name]
    assert "secrets" not in COMPOSE


def test_it_is_what_compose_understands() -> None:
    """By the specification's schema."""
    check = str(Path(sys.executable).parent / "check-jsonschema")
    done = subprocess.run(
        [check, "--builtin-schema", "vendor.compose-spec", str(ROOT / "docker-compose.yml")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout


def test_the_example_starts_nothing() -> None:
    """Every secret has to be set: the example leaves each empty, and compose refuses that."""
    wanted = set(re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text()))
    example = (ROOT / ".env.example").read_text()

    assert wanted >= {"REDIS_PASSWORD", "GRAFANA_PASSWORD", "CANDLECAST_STATE_KEY"}
    for name in wanted:
        assert re.findall(rf"^(?:# )?{name}=(.*)$", example, re.MULTILINE) == [""], name


def test_images_do_not_run_as_root() -> None:
    """Every image that is built ends as the unprivileged user."""
    stages = (ROOT / "Dockerfile").read_text().split("\nFROM base AS ")[1:]

    users = {stage.split()[0]: re.findall(r"^USER (\S+)$", stage, re.MULTILINE) for stage in stages}

    assert users == {"worker": ["candlecast"], "full": ["candlecast"]}


def test_images_are_pinned() -> None:
    """Every image from outside has a full version."""
    bases = re.findall(r"^FROM (\S+:\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    images = [service["image"] for service in SERVICES.values() if "image" in service]

    assert bases
    assert [i for i in bases + images if not re.search(r":v?\d+\.\d+\.\d+(-[a-z-]+)?$", i)] == []


@every_service
def test_secrets_come_from_outside(name: str) -> None:
    """Passwords and keys are references to the environment that must be set."""
    environment = SERVICES[name].get("environment", {})
    secrets = {
        key: value
        for key, value in environment.items()
        if value is not None and re.search(r"PASSWORD$|_KEY$|REDIS_URL$", key)
    }

    assert [key for key, value in secrets.items() if not re.search(r"\$\{\w+:\?", value)] == []
    assert [part for part in SERVICES[name].get("command", []) if re.search(r"\w:\w+@", part)] == []


@every_service
def test_settings_exist(name: str) -> None:
    """Every CANDLECAST_ variable is a setting: a misspelt one would be ignored in silence."""
    ours = [key for key in SERVICES[name].get("environment", {}) if key.startswith("CANDLECAST_")]
    known = {f"CANDLECAST_{field.upper()}" for field in Settings.model_fields}

    assert [key for key in ours if key not in known] == []


def test_redis_keeps_what_it_acknowledged() -> None:
    """Redis writes an append-only file, wants a password and never evicts."""
    config = SERVICES["redis"]["command"][2]

    for line in ("appendonly yes", "maxmemory-policy noeviction", 'requirepass "$$REDIS_PASSWORD"'):
        assert line in config
