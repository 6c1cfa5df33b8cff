"""What deploy/docker-compose.yaml says, as far as it can be looked at without an engine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from flywheel.cli import app
from flywheel.config import load_settings

DEPLOY = Path(__file__).parents[2] / "deploy"
TEXT = (DEPLOY / "docker-compose.yaml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
OURS = {
    name: service for name, service in COMPOSE["services"].items() if "FLYWHEEL_IMAGE" in service["image"]
}


def settings() -> Any:
    return load_settings(DEPLOY / "config.yaml", {})


def example() -> dict[str, str]:
    lines = (DEPLOY / ".env.example").read_text("utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def roles(service: dict[str, Any]) -> set[str]:
    command = service["command"]
    return set(command[command.index("--roles") + 1].split(",")) if "--roles" in command else {command[0]}


@pytest.mark.parametrize("name", OURS)
def test_the_command_line_takes_every_command(name: str) -> None:
    root = typer.main.get_command(app)
    verb, *arguments = OURS[name]["command"]
    command = root.commands[verb]  # type: ignore[attr-defined]
    context = command.make_context(verb, arguments, resilient_parsing=False)
    assert str(context.params["config"]) == "/app/config/config.yaml"
    assert str(context.params["data"]) == "/data"


def test_every_role_is_there_once() -> None:
    every = [role for service in OURS.values() for role in roles(service)]
    assert sorted(every) == [
        "beat",
        "customizer",
        "datastore",
        "deployments",
        "evaluator",
        "orchestrator",
        "worker",
    ]


def test_every_variable_is_in_the_example_and_no_secret_has_a_value() -> None:
    named = set(re.findall(r"\$\{([A-Z_]+)", TEXT))
    assert named == set(example())
    assert [name for name in named if name.endswith(("PASSWORD", "KEY", "TOKEN")) and example()[name]] == []


def test_it_refuses_to_start_without_its_passwords() -> None:
    for name in ("ELASTICSEARCH_PASSWORD", "MONGODB_PASSWORD", "REDIS_PASSWORD"):
        uses = re.findall(rf"\$\{{{name}([^}}]*)\}}", TEXT)
        assert uses
        assert set(uses) == {":?set it in .env"}


def test_the_configuration_finds_the_services_and_their_passwords() -> None:
    found = settings()
    addresses = found.nmp_config.model_dump(
        include={name for name in type(found.nmp_config).model_fields if "url" in name}
    )
    for field, url in addresses.items():
        host, port = url.removeprefix("http://").split(":")
        assert host in OURS, field
        assert port == ("8002" if field == "nim_base_url" else "8001")
    wanted = {found.records.password_env, found.runs.password_env, found.wakeups.password_env}
    for name in ("api", "worker", "beat"):
        assert wanted <= set(OURS[name]["environment"])
    for block, service in (
        (found.records.url, "elasticsearch"),
        (found.runs.url, "mongodb"),
        (found.wakeups.broker_url, "redis"),
    ):
        assert f"//{service}:" in block
        assert service in COMPOSE["services"]


def test_a_run_is_the_same_as_with_the_configuration_that_ships() -> None:
    found, shipped = settings(), load_settings(None, {})
    for block in ("nims", "training_config", "lora_config", "data_split_config", "icl_config"):
        assert getattr(found, block) == getattr(shipped, block), block
    assert found.evaluation_config == shipped.evaluation_config


def test_only_this_host_reaches_the_api_and_the_models() -> None:
    published = {
        name: service["ports"] for name, service in COMPOSE["services"].items() if "ports" in service
    }
    assert published == {"api": ["127.0.0.1:8000:8000"], "models": ["127.0.0.1:8002:8002"]}


def test_what_is_kept_lies_on_a_volume_and_what_is_not_in_memory() -> None:
    for name, service in OURS.items():
        volumes = [each for each in service["volumes"] if each.endswith(":/data")]
        temporary = [each for each in service["tmpfs"] if each.startswith("/data:")]
        assert len(volumes) + len(temporary) == 1, name
        for volume in volumes:
            assert volume.split(":")[0] in COMPOSE["volumes"]


def test_everything_that_waits_waits_for_something_that_can_be_healthy() -> None:
    for service in COMPOSE["services"].values():
        for other, condition in service.get("depends_on", {}).items():
            assert condition == {"condition": "service_healthy"}
            assert COMPOSE["services"][other]["healthcheck"]["test"]


def test_the_gpu_file_changes_services_that_are_there() -> None:
    gpu = yaml.safe_load((DEPLOY / "docker-compose.gpu.yaml").read_text("utf-8"))
    assert set(gpu["services"]) <= set(OURS)
