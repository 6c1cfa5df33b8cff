"""What a training is asked to do: the SPEC file, in the words of NeMo's customizer where it has them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flywheel.training.errors import BadSpec, Unsupported

PRECISIONS = ("auto", "bf16", "bf16-mixed", "fp16", "fp32")
COSINE, FLAT = (
    ("adamw_with_cosine_annealing", "adam_with_cosine_annealing"),
    ("adamw_with_flat_lr", "adam_with_flat_lr"),
)


class _Lenient(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class Lora(_Lenient):
    adapter_dim: int = Field(32, ge=1)
    """The rank: how many directions each weight may move in."""
    alpha: float | None = Field(None, gt=0)
    """The update is scaled by alpha / adapter_dim. None: 16, NeMo's default."""
    adapter_dropout: float | None = Field(None, ge=0, lt=1)
    target_modules: list[str] | Literal["all-linear"] | None = None
    """Names of linear layers. None: all of them but the output head, which is the safe choice for any
    architecture.
    """


class Hyperparameters(_Lenient):
    training_type: str | None = None
    finetuning_type: str | None = None
    epochs: int = Field(3, ge=1)
    max_steps: int | None = Field(
        None, description="Stop after so many optimizer steps; null or <= 0: by epochs."
    )
    batch_size: int = Field(8, ge=1)
    """Rows per optimizer step, over all devices."""
    learning_rate: float = Field(1e-4, gt=0)
    min_learning_rate: float | None = Field(None, ge=0)
    """Where the cosine ends. None: a tenth of learning_rate."""
    optimizer: str | None = None
    weight_decay: float = Field(0.01, ge=0)
    adam_beta1: float | None = Field(None, ge=0, lt=1)
    adam_beta2: float | None = Field(None, ge=0, lt=1)
    max_grad_norm: float = Field(1.0, ge=0)
    warmup_steps: int | None = Field(None, ge=0)
    """None: a twentieth of all steps."""
    seed: int | None = Field(None, ge=0, lt=2**32)
    val_check_interval: float | None = Field(None, gt=0)
    """Up to 1: a fraction of an epoch; above: optimizer steps. None: each epoch. An epoch's end is always
    checked.
    """
    log_every_n_steps: int | None = Field(None, ge=1)
    sequence_packing_enabled: bool = False
    lora: Lora | None = None


class TrainingSpec(_Lenient):
    model: str
    """A folder with a model, or the name of one on a Hugging Face hub."""
    model_name: str | None = None
    """What the adapter names as its base. None: the folder's name."""
    train: list[Path]
    validation: list[Path] = []
    output_dir: Path
    max_seq_length: int = Field(2048, ge=8)
    """In tokens. Rows that are longer are left out and counted: one cut in half teaches wrong things."""
    precision: str | None = "auto"
    """A wish: half precision is used where the hardware has it natively; "fp32" is always possible."""
    micro_batch_size: int | None = Field(None, ge=1)
    """Rows per device at once; the rest of batch_size is accumulated. None: batch_size / devices."""
    hyperparameters: Hyperparameters = Hyperparameters()
    stdin_lifeline: bool = False

    @property
    def base_name(self) -> str:
        return self.model_name or Path(self.model).name

    def fingerprint(self) -> str:
        """Changes with everything that changes the result, except what stands in the files."""
        told = self.model_dump(mode="json", exclude={"stdin_lifeline", "output_dir"})
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def read_spec(path: Path) -> TrainingSpec:
    """The SPEC at `path`. Raises BadSpec, and Unsupported for what is understood but not done here."""
    try:
        told: Any = json.loads(path.read_text("utf-8"))
        spec = TrainingSpec.model_validate(told)
    except OSError as error:
        raise BadSpec(path, error.strerror or str(error)) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise BadSpec(path, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except ValueError as error:
        raise BadSpec(path, f"not JSON ({error})") from error
    asked = spec.hyperparameters
    if asked.finetuning_type not in (None, "lora"):
        raise Unsupported("hyperparameters.finetuning_type", asked.finetuning_type, "lora")
    if asked.training_type not in (None, "sft"):
        raise Unsupported("hyperparameters.training_type", asked.training_type, "sft")
    if asked.optimizer not in (None, *COSINE, *FLAT):
        raise Unsupported("hyperparameters.optimizer", asked.optimizer, ", ".join((*COSINE, *FLAT)))
    if spec.precision not in (None, *PRECISIONS):
        raise Unsupported("precision", spec.precision, ", ".join(PRECISIONS))
    return spec
