"""Targets and configs: what the settings seed, and how a job's words for them are understood."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from flywheel.errors import UserError
from flywheel.nemo.conventions import BadName, ListQuery
from flywheel.nemo.customization import ConfigBody
from flywheel.services.customizer.catalog import Catalog, UnknownReference, count_parameters
from flywheel.stores.entities import Entities
from services.customizer.conftest import TARGET


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(Entities(tmp_path / "catalog.sqlite"))


def config(name: str, namespace: str = "default", target: str = "flywheel/student@1.0") -> ConfigBody:
    option = {"training_type": "sft", "finetuning_type": "lora", "num_gpus": 1, "micro_batch_size": 1}
    return ConfigBody.model_validate(
        {
            "name": name,
            "namespace": namespace,
            "target": target,
            "training_options": [option],
            "max_seq_length": 512,
        }
    )


def test_settings_seed_a_target_and_the_configs_that_notebooks_name(catalog: Catalog) -> None:
    catalog.seed([TARGET])

    assert catalog.target("flywheel", "student@1.0")["model_path"] == "/models/s"
    for suffix in ("local", "A100", "L40", "80GB"):
        assert catalog.find_config(f"flywheel/student@v1.0.0+{suffix}")["max_seq_length"] == 512


def test_a_changed_setting_reaches_what_was_seeded_before(catalog: Catalog) -> None:
    catalog.seed([TARGET])
    before = catalog.target("flywheel", "student@1.0")

    catalog.seed([replace(TARGET, max_seq_length=1024)])

    assert catalog.config("flywheel", "student@v1.0.0+local")["max_seq_length"] == 1024
    assert catalog.target("flywheel", "student@1.0")["id"] == before["id"]


@pytest.mark.parametrize(
    ("name", "namespace", "reference"),
    [
        ("student@v1+dfw", "ns", "ns/student@v1+dfw"),
        ("student@v1+dfw", "default", "student@v1+dfw"),
        ("meta/llama@v1.0.0+A100", "default", "meta/llama@v1.0.0+A100"),
        ("meta/llama@v1.0.0+A100", "nvidia", "meta/llama@v1.0.0+A100"),
    ],
)
def test_a_config_is_found_by_every_way_of_naming_it(
    catalog: Catalog, name: str, namespace: str, reference: str
) -> None:
    catalog.seed([TARGET])
    catalog.create_config(config(name, namespace))

    assert catalog.find_config(reference)["name"] == name


def test_a_config_needs_a_target_that_is_there(catalog: Catalog) -> None:
    catalog.seed([TARGET])

    with pytest.raises(UnknownReference, match=r"there are: flywheel/student@1.0"):
        catalog.create_config(config("one", target="flywheel/other@1.0"))


def test_a_name_that_climbs_is_refused(catalog: Catalog) -> None:
    catalog.seed([TARGET])

    with pytest.raises(BadName):
        catalog.create_config(config("../up"))


def test_a_change_that_makes_no_sense_is_refused_and_changes_nothing(catalog: Catalog) -> None:
    catalog.seed([TARGET])

    with pytest.raises(UserError, match=r"max_seq_length: .* not -1"):
        catalog.change_config("flywheel", "student@v1.0.0+local", {"max_seq_length": -1})
    assert catalog.config("flywheel", "student@v1.0.0+local")["max_seq_length"] == 512


def test_a_config_whose_target_was_deleted_is_shown_with_its_name(catalog: Catalog) -> None:
    catalog.seed([TARGET])
    catalog.delete_target("flywheel", "student@1.0")

    assert catalog.config("flywheel", "student@v1.0.0+local")["target"] == "flywheel/student@1.0"
    assert catalog.configs(ListQuery(filter={"target_name": "flywheel/student@1.0"})).pagination.total_results


def test_parameters_are_counted_from_the_files(tmp_path: Path) -> None:
    header = {"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, "__metadata__": {"x": "y"}}
    text = json.dumps(header).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(24))

    assert count_parameters(tmp_path) == 6
    assert count_parameters(tmp_path / "nothing") == 0
