"""Blocks of the steps of a run: how records become data sets, how adapters train, how answers are scored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import (
    AliasChoices,
    Field,
)

from flywheel.config.block import Block
from flywheel.config.models import EmbeddingConfig


class TrainingConfig(Block):
    """How a customization trains."""

    training_type: Literal["sft"] = "sft"
    """Supervised fine-tuning on the teacher's answers."""
    finetuning_type: Literal["lora"] = "lora"
    """LoRA adapters (Hu et al. 2021, arXiv:2106.09685)."""
    epochs: int = Field(2, ge=1)
    """Passes over the training part. The best one by validation loss is kept."""
    batch_size: int = Field(16, ge=1)
    """Records per step."""
    learning_rate: float = Field(1e-4, gt=0)
    """Peak of the cosine schedule. Tiny models want ten times more than large ones."""
    val_check_interval: float = Field(0.25, gt=0, le=1)
    """Share of an epoch between two looks at the validation part; each also writes a checkpoint."""
    seed: int | None = None
    """Seed of initialisation and order; null: derived from the data set, so that a repeat is the same."""


class LoraConfig(Block):
    """Shape of the adapter."""

    adapter_dim: int = Field(32, ge=1)
    """Rank of the update."""
    alpha: int | None = Field(None, ge=1)
    """Scale of the update (alpha / rank); null: twice the rank."""
    adapter_dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout in front of the adapter."""


class SimilarityConfig(Block):
    """Choice of in-context examples by likeness to the request."""

    relevance_ratio: float = Field(0.7, ge=0, le=1)
    """1 takes the most similar only; lower values trade likeness for variety."""
    embedding_nim_config: EmbeddingConfig | None = Field(
        None, validation_alias=AliasChoices("embedding_nim_config", "embedding_nim")
    )
    """The embedding model that likeness is measured with. null: character n-grams (TF-IDF), by name."""


class IclConfig(Block):
    """In-context examples of the `icl-eval`."""

    max_context_length: int = Field(8192, ge=1)
    """Tokens of the longest prompt; a candidate's own context_length bounds it too."""
    reserved_tokens: int = Field(2048, ge=0)
    """Tokens kept free for the answer."""
    max_examples: int = Field(3, ge=0)
    """Examples at most."""
    min_examples: int = Field(1, ge=0)
    """Examples at least; where fewer fit, the record is reported."""
    example_selection: Literal["uniform_distribution", "semantic_similarity"] = "uniform_distribution"
    """`uniform_distribution` over sets of tools called, or by likeness to the request."""
    similarity_config: SimilarityConfig = SimilarityConfig()
    """How likeness is measured for semantic_similarity. An embedding model with a `url` also looks for near
    repeats of the evaluation and compares answers; one that runs deploy does so where it chooses examples."""

    @property
    def embedding(self) -> EmbeddingConfig | None:
        """The embedding model that runs use."""
        config = self.similarity_config.embedding_nim_config
        wanted = config is not None and (config.url or self.example_selection == "semantic_similarity")
        return config if wanted else None


class DataSplitConfig(Block):
    """How a workload's records become the parts of a data set."""

    eval_size: int = Field(20, ge=1)
    """Records of the evaluation, taken from the holdout in the order of its hash."""
    val_ratio: float = Field(0.1, ge=0, lt=1)
    """Share of the conversations outside the holdout that go to validation."""
    min_total_records: int = Field(50, ge=1)
    """A run with fewer usable records is refused."""
    random_seed: int | None = None
    """Seed of what is drawn (in-context examples); the holdout never depends on it."""
    limit: int | None = Field(10_000, ge=1)
    """Newest records that are looked at; null: all."""
    parse_function_arguments: bool = True
    """Arguments are written as objects in the data sets, as NVIDIA's services want them."""
    conflicts: Literal["majority", "latest", "drop"] = "majority"
    """What happens to one request with different answers."""
    near_duplicates: Literal["report", "drop"] = "report"
    """What happens to records outside the holdout that nearly repeat one of the evaluation: `report` counts
    them, `drop` also leaves them out of train, val and the in-context examples. In a log of templates that is
    nearly all of them, so it is not the default."""
    near_cosine: float = Field(0.95, gt=0, le=1)
    """Cosine of embeddings from which two records are nearly the same, where an embedding model is configured
    (`icl_config.similarity_config.embedding_nim_config`); every model has a scale of its own. Words are
    compared beside that, always."""


class ArgumentRule(Block):
    """How one argument of a tool call is compared, where its schema does not say."""

    mode: Literal["exact", "normalized", "date", "numeric", "any", "alike", "set"]
    """`exact`; `normalized`: without case, blanks and punctuation; `date`: ISO 8601 in any form; `numeric`:
    within `tolerance`; `any`: free text that only has to be there; `alike`: by text similarity; `set`: an
    array in any order."""
    tolerance: float = Field(0.0, ge=0)
    """Largest difference of two numbers that are the same, for `numeric`."""


class CallRules(Block):
    """When two tool calls are the same call (`scoring: schema`)."""

    strings: Literal["exact", "normalized"] = "exact"
    """Whether case, blanks and punctuation of texts count. Labels (`enum`) always count to the letter."""
    numbers: Literal["schema", "strict", "lenient"] = "schema"
    """`schema`: 5.0 is 5; `strict`: not where an integer is due; `lenient`: "5" is 5 too."""
    sequential: bool = False
    """Whether the order of several calls counts."""
    arguments: Mapping[str, ArgumentRule] = {}
    """Rules of single arguments, by `tool.argument`, or `argument` for every tool."""


class EvaluationConfig(Block):
    """How answers are scored."""

    workload_type: Literal["auto", "generic", "tool_calling"] = "auto"
    """`auto`: tool_calling where the records offer tools."""
    tool_eval_type: Literal["tool-calling-metric", "tool-calling-judge"] = "tool-calling-judge"
    """Whether tool calls are judged in addition to being compared."""
    scoring: Literal["schema", "nemo"] = "schema"
    """What `function_name` and `function_name_and_args_accuracy` mean: the same call by its tool's schema, or
    NVIDIA's published rule. Both are always measured by our evaluator; NVIDIA's knows its own only. With
    `nemo` a workload in words is measured by `similarity` alone, as NVIDIA's blueprint does."""
    call_rules: CallRules = CallRules()
    """When two tool calls are the same."""
    parallelism: int = Field(16, ge=1)
    """Requests to a candidate at once, at most."""
    request_timeout: float = Field(120.0, gt=0)
    """Seconds that one answer may take; a later one counts as wrong, with the cause `timeout`."""
    max_tokens: int = Field(512, ge=1)
    """Tokens of an answer at most."""
    max_failed_share: float = Field(0.1, ge=0, le=1)
    """Share of infrastructure failures above which an evaluation is failed instead of low."""
    margin: float = Field(0.03, gt=0, lt=1)
    """How far below the teacher a student may lie and still take its place: 0.03 is three points."""
