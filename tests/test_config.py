"""Settings: the blueprint's file works, a mistake names the key and what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from flywheel.config import LlmJudgeConfig, load_settings
from flywheel.errors import ConfigError

BLUEPRINT = """
nmp_config:
  nemo_base_url: "http://nemo.test"
  nim_base_url: "http://nim.test"
  datastore_base_url: "http://data-store.test"
  nim_parallelism: 1
  nmp_namespace: "dfwbp"
logging_config: {level: "INFO"}
llm_judge_config:
  type: "remote"
  url: "https://judge.test/v1/chat/completions"
  model_id: "nvdev/meta/llama-3.3-70b-instruct"
  api_key_env: "NVCF_API_KEY"
nims:
  - model_name: "meta/llama-3.2-1b-instruct"
    context_length: 8192
    gpus: 1
    pvc_size: 25Gi
    tag: "1.8.3"
    customization_enabled: true
    customizer_configs: {target: "meta/llama-3.2-1b-instruct@2.0", gpus: 1, max_seq_length: 8192}
  - model_name: "meta/llama-3.2-1b-instruct"
    context_length: 4096
data_split_config: {eval_size: 20, val_ratio: 0.1, min_total_records: 50, random_seed: null}
icl_config: {max_context_length: 32768, reserved_tokens: 4096, max_examples: 3, min_examples: 1}
training_config: {training_type: "sft", finetuning_type: "lora", epochs: 2, batch_size: 16}
lora_config: {adapter_dim: 32, adapter_dropout: 0.1}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text, "utf-8")
    return path


def test_the_blueprints_file_works_unchanged(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, BLUEPRINT), {})
    assert settings.nmp_config.nim_base_url == "http://nim.test"
    assert settings.llm_judge_config is not None
    assert settings.llm_judge_config.model_name == "nvdev/meta/llama-3.3-70b-instruct"
    assert [nim.context_length for nim in settings.nims] == [8192], "the first of two of one name counts"
    assert settings.nims[0].target == "meta/llama-3.2-1b-instruct@2.0"


def test_the_blueprints_embedding_model_is_read(tmp_path: Path) -> None:
    text = """
icl_config:
  example_selection: "semantic_similarity"
  similarity_config:
    relevance_ratio: 0.7
    embedding_nim_config: {%s}
"""
    remote = 'deployment_type: remote, url: "https://host.test/v1/embeddings", model_name: nvidia/embed'
    local = "deployment_type: local, model_name: embed, context_length: 32768, gpus: 1, tag: x"
    found = [
        load_settings(write(tmp_path, text % each), {}).icl_config.similarity_config.embedding_nim_config
        for each in (remote, local)
    ]
    assert [(f and f.url, f and f.told_type) for f in found] == [
        ("https://host.test/v1/embeddings", "query"),
        (None, None),
    ]
    with pytest.raises(ConfigError, match="a remote one needs a url, such as https://host/v1/embeddings"):
        load_settings(write(tmp_path, text % "model_name: embed"), {})


def test_the_configuration_that_ships_is_valid() -> None:
    settings = load_settings(None, {})
    assert settings.nims[0].model_name == "flywheel/student"
    assert settings.nims[0].target == "flywheel/student@1.0"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trainig_config: {}", 'no setting trainig_config (did you mean "training_config"?)'),
        (
            "lora_config: {adapter_dimm: 8}",
            'no setting lora_config.adapter_dimm (did you mean "adapter_dim"?)',
        ),
        (
            "nims: [{model_nam: x, context_length: 64}]",
            'no setting nims.0.model_nam (did you mean "model_name"?)',
        ),
        ("llm_judge_config: {tgg: x}", 'no setting llm_judge_config.tgg (did you mean "tag"?)'),
        (
            "lora_config: {adapter_dim: -1}",
            "lora_config.adapter_dim: Input should be greater than or equal to 1, not -1",
        ),
        (
            "nmp_config: {nemo_base_url: nemo}",
            "nmp_config.nemo_base_url: must start with http:// or https://, not 'nemo'",
        ),
        ("nims: [", "is not YAML"),
        ("- 1", "must hold blocks such as nims: and training_config:, not list"),
    ],
)
def test_a_mistake_is_named_with_what_would_be_right(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(write(tmp_path, text), {})
    assert message in str(caught.value)
    assert "config.yaml" in str(caught.value)


def test_a_missing_or_binary_file_is_one_clear_message(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no configuration file at"):
        load_settings(tmp_path / "nowhere.yaml", {})
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ConfigError, match="cannot be read as a configuration"):
        load_settings(tmp_path / "binary.yaml", {})


def test_environment_variables_override_the_file() -> None:
    settings = load_settings(
        None,
        {
            "FLYWHEEL_TRAINING_CONFIG__EPOCHS": "7",
            "FLYWHEEL_NIMS__0__TAG": '"1.8"',
            "FLYWHEEL_DATA": "elsewhere",
            "PATH": "/bin",
        },
    )
    assert settings.training_config.epochs == 7
    assert settings.nims[0].tag == "1.8"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("FLYWHEEL_RUNS__TYP", "x", 'no setting runs.typ (did you mean "type"?)'),
        ("FLYWHEEL_NIMS__4__TAG", "x", "FLYWHEEL_NIMS__4__TAG: 4 is not an item of 0 to 0"),
        ("FLYWHEEL_TRAINING_CONFIG__EPOCHS", "[", "FLYWHEEL_TRAINING_CONFIG__EPOCHS is not a YAML value"),
    ],
)
def test_a_wrong_environment_variable_is_named(variable: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(None, {variable: value})
    assert message in str(caught.value)


def test_the_judges_key_comes_from_the_environment_and_is_never_shown() -> None:
    judge = LlmJudgeConfig(url="https://judge.test/v1/chat/completions", api_key_env="JUDGE_KEY")
    key = judge.api_key({"JUDGE_KEY": "s3cret"})
    assert key is not None
    assert key.get_secret_value() == "s3cret"
    assert "s3cret" not in repr(key) + repr(judge) + judge.model_dump_json()
    with pytest.raises(ConfigError, match="JUDGE_KEY is not set"):
        judge.api_key({})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "records: {type: elastic}",
            "records.type: must be one of 'embedded', 'elasticsearch', not 'elastic'",
        ),
        ("records: {type: elasticsearch, urll: x}", 'there is no setting records.urll (did you mean "url"?)'),
        (
            "records: {max_bytes: 1}",
            "there is no setting records.max_bytes (known here: retention_days, type)",
        ),
        (
            "runs: {type: mongo, url: 'http://x'}",
            "runs.url: must start with mongodb:// or mongodb+srv://, not 'http://x'",
        ),
        (
            "runtime: {type: kubernetes, tolerations: [{keys: a}]}",
            "there is no setting runtime.tolerations.0.keys",
        ),
    ],
)
def test_a_mistake_in_a_block_that_is_a_choice_names_the_key_as_it_stands_in_the_file(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(write(tmp_path, text), {})
    assert message in str(caught.value)


def test_a_block_without_a_type_is_the_one_that_needs_no_server(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, "wakeups: {workers: 3}"), {"FLYWHEEL_RUNTIME__GPUS": "1"})
    assert (settings.wakeups.type, settings.runtime.type) == ("embedded", "process")
    assert (settings.wakeups.workers, settings.runtime.gpus) == (3, 1)


@pytest.mark.parametrize(
    "text",
    [
        "records: {type: elasticsearch, url: 'https://elastic:hunter2@es:9200'}",
        "runs: {type: mongo, url: 'mongodb://root:hunter2@db/x?tls=true'}",
        "wakeups: {type: celery, broker_url: 'redis://:hunter2@redis:6379/0'}",
    ],
)
def test_a_password_in_an_address_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="must not hold a user or a password") as caught:
        load_settings(write(tmp_path, text), {})
    assert "hunter2" not in str(caught.value)
