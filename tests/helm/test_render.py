"""What the chart renders, and what it refuses."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from flywheel.cli import app
from flywheel.config import Settings, load_settings
from flywheel.runtime.kubernetes.checks import RIGHTS
from helm.charts import CHART, HERE, named, objects, refusal, run, template

CASES = sorted(path.stem for path in (HERE / "values").glob("*.yaml"))
URLS = (
    "--set=elasticsearch.url=http://e:9200",
    "--set=mongodb.url=mongodb://m:27017",
    "--set=redis.url=redis://r:6379/0",
)
TURN = (
    "nims",
    "training_config",
    "lora_config",
    "data_split_config",
    "icl_config",
    "evaluation_config",
)
"""Blocks that decide what a run's result is."""
REWRITE = "FLYWHEEL_REWRITE_GOLDEN"


def values(case: str) -> str:
    return f"--values={HERE / 'values' / f'{case}.yaml'}"


def settings(case: str, tmp_path: Path, *arguments: str) -> Settings:
    (config,) = [each for each in objects(template(values(case), *arguments)) if each["kind"] == "ConfigMap"]
    file = tmp_path / "config.yaml"
    file.write_text(config["data"]["config.yaml"], "utf-8")
    return load_settings(file, {})


@pytest.mark.parametrize("case", CASES)
def test_helm_finds_nothing_to_complain_about(case: str) -> None:
    assert "0 chart(s) failed" in run("helm", "lint", "--strict", CHART, values(case))


@pytest.mark.parametrize("case", CASES)
def test_what_is_rendered_is_what_was_looked_at(case: str) -> None:
    golden = HERE / "golden" / f"{case}.yaml"
    rendered = template(values(case))
    if os.environ.get(REWRITE):
        golden.write_text(rendered, "utf-8")
    assert rendered == golden.read_text("utf-8"), f"look at the difference, then run with {REWRITE}=1"


@pytest.mark.parametrize("case", CASES)
def test_flywheel_reads_the_configuration_that_is_rendered(case: str, tmp_path: Path) -> None:
    found = settings(case, tmp_path)
    embedded = case == "embedded"
    assert found.records.type == ("embedded" if embedded else "elasticsearch")
    assert found.runs.type == ("embedded" if embedded else "mongo")
    assert found.wakeups.type == ("embedded" if embedded else "celery")
    assert found.runtime.type == ("process" if embedded else "kubernetes")
    assert found.nims


@pytest.mark.parametrize("case", ["embedded", "minimal"])
def test_a_run_is_the_same_as_with_the_configuration_that_ships(case: str, tmp_path: Path) -> None:
    found, shipped = settings(case, tmp_path), load_settings(None, {})
    for block in TURN:
        assert getattr(found, block) == getattr(shipped, block), block


def test_what_the_values_say_under_config_wins(tmp_path: Path) -> None:
    found = settings("full", tmp_path)
    assert found.records.type == "elasticsearch"
    assert (found.records.shards, found.records.url) == (8, "https://elasticsearch.example:9200")
    assert (found.training_config.learning_rate, found.data_split_config.limit) == (1e-5, 1_000_000)
    assert found.runtime.type == "kubernetes"
    assert (found.runtime.kueue_queue, found.runtime.service_account) == ("flywheel", "wheel-launched")
    moved = settings("full", tmp_path, "--set=config.nmp_config.nemo_base_url=http://nemo.test")
    assert moved.nmp_config.nemo_base_url == "http://nemo.test"
    assert moved.nmp_config.evaluator_base_url == "http://wheel-evaluator.flow.svc:8001"


def test_every_service_that_the_configuration_names_is_there() -> None:
    rendered = objects(template(values("minimal")))
    config = yaml.safe_load(named(rendered, "ConfigMap", "fw-flywheel")["data"]["config.yaml"])
    services = {
        f"http://{each['metadata']['name']}.flow.svc:{port['port']}"
        for each in rendered
        if each["kind"] == "Service"
        for port in each["spec"]["ports"]
    }
    assert set(config["nmp_config"].values()) <= services


@pytest.mark.parametrize("case", CASES)
def test_the_command_line_takes_every_command(case: str) -> None:
    root = typer.main.get_command(app)
    ran = [
        container["args"]
        for each in objects(template(values(case)))
        for container in containers(each)
        if container.get("command") == ["flywheel"]
    ]
    assert len(ran) >= 2
    for arguments in ran:
        command = root
        while hasattr(command, "commands"):
            command, arguments = command.commands[arguments[0]], arguments[1:]
        command.make_context("flywheel", arguments)


def containers(each: dict[str, Any]) -> list[dict[str, Any]]:
    """The containers of an object that has or makes pods."""
    spec = each.get("spec", {})
    spec = spec.get("jobTemplate", {}).get("spec", spec)
    spec = spec.get("template", {}).get("spec", spec)
    return list(spec.get("containers", []))


def test_secrets_are_read_from_secrets_and_written_nowhere() -> None:
    rendered = objects(template(values("full")))
    assert not [each for each in rendered if each["kind"] == "Secret"]
    environments = {
        each["metadata"]["name"]: {
            entry["name"]: entry.get("valueFrom", {}).get("secretKeyRef", {}).get("name")
            for entry in each["spec"]["template"]["spec"]["containers"][0]["env"]
        }
        for each in rendered
        if each["kind"] == "Deployment"
    }
    for name in ("wheel-api", "wheel-worker", "wheel-beat"):
        environment = environments[name]
        assert environment["ELASTICSEARCH_API_KEY"] == "elasticsearch"
        assert (environment["MONGODB_PASSWORD"], environment["REDIS_PASSWORD"]) == ("mongodb", "redis")
    assert "MONGODB_PASSWORD" not in environments["wheel-customizer"]


@pytest.mark.parametrize("case", CASES)
def test_no_container_of_ours_has_rights_that_it_does_not_need(case: str) -> None:
    rendered = objects(template(values(case)))
    for each in rendered:
        if each["kind"] not in ("Deployment", "StatefulSet", "Pod"):
            continue
        pod = each["spec"] if each["kind"] == "Pod" else each["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["enableServiceLinks"] is False
        launches = each["metadata"]["name"].endswith(("-customizer", "-deployments"))
        looks = each["metadata"]["name"].endswith("-test-doctor") and case != "embedded"
        assert pod["automountServiceAccountToken"] is (launches or looks)
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            if each["kind"] != "StatefulSet":
                assert context["readOnlyRootFilesystem"] is True


def test_who_launches_has_the_rights_that_launching_needs_and_no_more() -> None:
    rendered = objects(template(values("minimal")))
    for role in ("fw-flywheel-customizer", "fw-flywheel-deployments"):
        granted = {
            (group, resource): tuple(rule["verbs"])
            for rule in named(rendered, "Role", role)["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
        }
        assert granted == RIGHTS
    assert {each["kind"] for each in rendered}.isdisjoint({"ClusterRole", "ClusterRoleBinding"})


@pytest.mark.parametrize("case", CASES)
def test_one_folder_is_never_given_to_two_pods_and_never_removed(case: str) -> None:
    rendered = objects(template(values(case)))
    for each in rendered:
        if each["kind"] == "PersistentVolumeClaim":
            assert each["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
        if each["kind"] == "Deployment":
            volumes = each["spec"]["template"]["spec"]["volumes"]
            keeps = any("persistentVolumeClaim" in volume for volume in volumes)
            assert each["spec"]["strategy"]["type"] == ("Recreate" if keeps else "RollingUpdate")
            assert not keeps or each["spec"]["replicas"] == 1


def test_selectors_do_not_depend_on_versions_or_settings() -> None:
    def selectors(*arguments: str) -> dict[str, object]:
        rendered = objects(template(values("trial"), *arguments))
        kinds = ("Deployment", "StatefulSet")
        return {e["metadata"]["name"]: e["spec"]["selector"] for e in rendered if e["kind"] in kinds}

    changed = ("--set=image.tag=other,api.podLabels.team=x", "--set=config.logging_config.level=DEBUG")
    assert selectors() == selectors(*changed)


def test_a_changed_setting_rolls_the_pods_and_nothing_else_does() -> None:
    def stamp(*arguments: str) -> str:
        deployment = named(objects(template(values("minimal"), *arguments)), "Deployment", "fw-flywheel-api")
        return str(deployment["spec"]["template"])

    assert stamp() == stamp("--set=ingress.enabled=true")
    assert stamp() != stamp("--set=config.training_config.epochs=9")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "mode: distributed needs Elasticsearch, MongoDB and Redis, and elasticsearch is not configured"),
        (URLS[:2], "and redis is not configured"),
        (["--set=mode=embeded"], "value must be one of 'distributed', 'embedded'"),
        ([*URLS, "--set=api.replica=3"], "additional properties 'replica' not allowed"),
        ([*URLS, "--set=workers.replicas=3"], "additional properties 'workers' not allowed"),
        ([*URLS, "--set=datastore.persistence.size=10Gb"], "/datastore/persistence/size"),
        ([*URLS, "--set=datastore.replicas=2"], "additional properties 'replicas' not allowed"),
        ([*URLS, "--set=config.training_config.epoch=3"], "additional properties 'epoch' not allowed"),
        ([*URLS, "--set=config.training_config.epochs=0"], "/config/training_config/epochs"),
        ([*URLS, "--set=config.records.shard=3"], "/config/records"),
        ([*URLS, "--set=redis.embedded.enabled=true"], "redis.url and redis.embedded.enabled exclude"),
        ([*URLS, "--set=mongodb.username=u"], "mongodb.username needs mongodb.passwordSecret.name"),
        ([*URLS, "--set=mongodb.passwordSecret.name=s"], "mongodb.passwordSecret needs mongodb.username"),
        (
            [*URLS[:2], "--set=redis.embedded.enabled=true"],
            "kubectl create secret generic NAME --namespace flow --from-literal=password=",
        ),
        (["--set=mode=embedded", *URLS[:1]], "mode: embedded keeps everything on its own claim"),
        ([*URLS, "--set=ingress.enabled=true,ingress.modelsHost=flywheel.example.com"], "must differ"),
    ],
)
def test_what_cannot_work_is_refused_with_what_would_be_right(arguments: list[str], words: str) -> None:
    assert words in refusal(*arguments)


def test_a_password_in_an_address_is_refused_without_repeating_it() -> None:
    said = refusal(*URLS[:2], "--set=redis.url=redis://u:hunter2@r:6379/0")
    assert "redis.url must not hold a user or a password" in said
    assert "hunter2" not in said


def test_every_block_of_values_is_explained() -> None:
    lines = ["", *(CHART / "values.yaml").read_text("utf-8").splitlines(), ""]
    silent = [
        line
        for before, line, after in zip(lines, lines[1:], lines[2:], strict=False)
        if line[:1].isalpha() and not (before.startswith("#") or after.strip().startswith("#"))
    ]
    assert silent == [
        'fullnameOverride: ""',
        "securityContext:",
    ]  # Each shares the words before its neighbour.
