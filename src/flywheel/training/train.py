"""The training itself, top to bottom: model, rows, adapter, steps, best weights, files.

The loop is transformers' Trainer: it brings the devices (one process, or many under torchrun), mixed
precision, clipping, schedules and complete checkpoints. What is ours is what it does not know: labels on
assistant turns, no logits for prompts, an order of rows that a resumed run repeats, progress as events, and
an adapter with a hash.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    DynamicCache,
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.utils import logging as transformers_logging

from flywheel.prompts.render import IGNORED
from flywheel.training.adapter import publish
from flywheel.training.errors import ModelUnusable, NothingToTrain, OutputTaken, Unsupported
from flywheel.training.progress import Progress
from flywheel.training.rows import Example, Examples, batched_order, pack, read_examples
from flywheel.training.spec import FLAT, Hyperparameters, Lora, TrainingSpec

DEFAULT_SEED = 42
WORTH_SHARING = 32
"""Tokens. A second forward pass for fewer costs more than it saves."""
ALIGNED = 16
"""Lengths are rounded to multiples: matrix libraries prepare and keep a kernel for every new shape."""
PROGRESS_EVENTS = 200
"""At least; a short training tells each of its steps."""


def train(spec: TrainingSpec, progress: Progress) -> bool:
    """Train to the end, from the last checkpoint where there is one; False when SIGTERM stopped it before."""
    asked = spec.hyperparameters
    seed = DEFAULT_SEED if asked.seed is None else asked.seed
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    checkpoints = _checkpoints_of(spec, rank)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    torch.manual_seed(seed)

    arithmetic = _arithmetic(spec.precision or "auto")
    tokenizer, model = _load(spec, arithmetic)
    training = read_examples(spec.train, tokenizer, spec.max_seq_length)
    validation = read_examples(spec.validation, tokenizer, spec.max_seq_length)
    if not training.kept:
        raise NothingToTrain(spec.train, _why_empty(training))
    tokens = training.tokens
    rows = pack(training.kept, spec.max_seq_length) if asked.sequence_packing_enabled else training.kept
    to_check = sorted(validation.kept, key=lambda example: len(example["input_ids"]))

    lora = asked.lora or Lora()
    model = _with_adapter(model, lora, spec)

    per_device = spec.micro_batch_size or math.ceil(asked.batch_size / world)
    per_device = min(per_device, math.ceil(len(rows) / world))
    accumulation = max(1, math.ceil(asked.batch_size / (per_device * world)))
    steps_per_epoch = math.ceil(math.ceil(len(rows) / (per_device * world)) / accumulation)
    steps = asked.max_steps if asked.max_steps and asked.max_steps > 0 else steps_per_epoch * asked.epochs
    settings = TrainingArguments(
        output_dir=str(checkpoints),
        seed=seed,
        max_steps=steps,
        per_device_train_batch_size=per_device,
        per_device_eval_batch_size=max(per_device, 16),
        gradient_accumulation_steps=accumulation,
        **_schedule(asked, steps),
        bf16=arithmetic is torch.bfloat16,
        fp16=arithmetic is torch.float16,
        logging_steps=min(asked.log_every_n_steps or 10, max(1, steps // PROGRESS_EVENTS)),
        # When to check and to save is decided by `Reporter`; these only say that both will happen.
        eval_strategy="steps" if to_check else "no",
        eval_steps=steps + 1,
        save_strategy="steps",
        save_steps=steps + 1,
        save_total_limit=2,
        load_best_model_at_end=bool(to_check),
        metric_for_best_model="eval_loss" if to_check else None,
        greater_is_better=False,
        prediction_loss_only=True,
        remove_unused_columns=False,
        ddp_find_unused_parameters=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        include_num_input_tokens_seen="non_padding",
        use_cpu=not torch.cuda.is_available(),
        report_to=[],
        disable_tqdm=True,
    )
    reporter = Reporter(
        progress if rank == 0 else None, steps_per_epoch, _check_every(asked, steps_per_epoch), world == 1
    )
    trainer = OrderedTrainer(
        model=model,
        args=settings,
        train_dataset=rows,
        eval_dataset=to_check or None,
        data_collator=Collator(
            tokenizer.pad_token_id or 0,
            tail_only=_takes_kept_logits(model),
            # One forward pass per step is what DDP expects; windows would count the gaps that padding leaves.
            share=world == 1 and _takes_kept_logits(model) and _attends_to_all(model),
        ),
        compute_loss_func=answer_loss,
        callbacks=[reporter],
    )
    trainer.remove_callback(PrinterCallback)
    start_from = _last_complete(checkpoints, rank)
    reporter.tell(
        "started",
        message=_summary(training, validation, model, start_from),
        steps_total=steps,
        steps_per_epoch=steps_per_epoch,
        rows=len(training.kept),
        rows_left_out=dict(training.left_out),
        validation_rows=len(validation.kept),
        validation_rows_left_out=dict(validation.left_out),
        tokens=tokens,
        trainable_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        arithmetic=str(arithmetic).removeprefix("torch."),
        device=str(settings.device),
    )

    trainer.train(resume_from_checkpoint=str(start_from) if start_from else None)
    if reporter.stopped:
        return False

    if rank == 0:
        draft = spec.output_dir / "adapter.draft"
        shutil.rmtree(draft, ignore_errors=True)
        model.save_pretrained(str(draft), save_embedding_layers=False)
        best = reporter.best(trainer.state)
        card = publish(
            draft,
            spec.output_dir / "adapter",
            spec.base_name,
            {
                "step": trainer.state.global_step,
                **best,
                "train_loss": reporter.train_loss,
                "rows": len(training.kept),
                "tokens": tokens,
                "max_seq_length": spec.max_seq_length,
                "hyperparameters": asked.model_dump(mode="json", exclude_none=True) | {"seed": seed},
            },
        )
        reporter.tell(
            "completed", state=trainer.state, message=f"adapter {card['sha256'][:12]} saved", **best
        )
        shutil.rmtree(checkpoints, ignore_errors=True)
    return True


class OrderedTrainer(Trainer):  # type: ignore[misc]
    """A Trainer whose order of rows depends on seed and epoch alone, so that a resumed epoch is the same
    epoch.
    """

    def _get_train_sampler(self, train_dataset: Any = None) -> EpochOrder:
        return EpochOrder(
            [len(example["input_ids"]) for example in self.train_dataset],
            self._train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size,
            self.args.seed,
            self,
        )

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Reads `shared_ids` once and lets every row attend to it; gradients flow back through it."""
        shared = inputs.pop("shared_ids", None)
        if shared is not None:
            cache, rows = DynamicCache(), inputs["input_ids"].shape[0]
            model(input_ids=shared, past_key_values=cache, use_cache=True, logits_to_keep=1)
            for layer in cache.layers:
                layer.keys = layer.keys.expand(rows, -1, -1, -1)
                layer.values = layer.values.expand(rows, -1, -1, -1)
            inputs = {**inputs, "past_key_values": cache, "use_cache": True}
        return super().compute_loss(model, inputs, *args, **kwargs)


class EpochOrder(torch.utils.data.Sampler[int]):
    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int, trainer: Trainer) -> None:
        self._lengths, self._batch_size, self._seed, self._trainer = lengths, batch_size, seed, trainer

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Any:
        steps_per_epoch = max(1, math.ceil(len(self._lengths) / self._batch_size))
        epoch = self._trainer.state.global_step // steps_per_epoch
        return iter(batched_order(self._lengths, self._batch_size, self._seed * 1_000_003 + epoch))


class Collator:
    """Examples to a batch that asks for as little arithmetic as gives the same gradients.

    Padded on the left, answers end together, and only the tail that has labels needs logits: for the demo's
    student the head is a third of the work, for a vocabulary of 150,000 most of the memory. With `share`,
    what all rows begin with (system and tools are the same throughout a workload) becomes `shared_ids`
    [1, shared] and is read once per batch.
    """

    def __init__(self, pad_id: int, *, tail_only: bool, share: bool = False) -> None:
        self._pad_id, self._tail_only, self._share = pad_id, tail_only, share

    def __call__(self, examples: Sequence[Example]) -> dict[str, Any]:
        packed = any("position_ids" in example for example in examples)
        shared = shared_beginning(examples) if self._share and not packed else 0
        longest = _up(max(len(example["input_ids"]) for example in examples) - shared)
        ids, labels, mask, positions = [], [], [], []
        for example in examples:
            length = len(example["input_ids"]) - shared
            gap = longest - length
            ids.append([self._pad_id] * gap + example["input_ids"][shared:])
            labels.append([IGNORED] * gap + example["labels"][shared:])
            mask.append([1] * shared + [0] * gap + [1] * length)
            positions.append(
                [0] * gap + (example.get("position_ids") or list(range(shared, shared + length)))
            )
        batch: dict[str, Any] = {
            "input_ids": torch.tensor(ids),
            "labels": torch.tensor(labels),
            "position_ids": torch.tensor(positions),
        }
        if not packed:
            batch["attention_mask"] = torch.tensor(mask)  # Packs are told apart by their positions instead.
        if shared:
            batch["shared_ids"] = torch.tensor([examples[0]["input_ids"][:shared]])
        if self._tail_only:
            labelled = (batch["labels"] != IGNORED).any(dim=0)
            first = int(labelled.int().argmax()) if bool(labelled.any()) else longest - 1
            batch["logits_to_keep"] = min(longest, _up(longest - max(0, first - 1)))
        return batch


def shared_beginning(examples: Sequence[Example]) -> int:
    """How many tokens all rows begin with, none of them learned or the last before one; 0 if too few to
    matter.
    """
    if len(examples) < 2:
        return 0
    first = examples[0]
    most = min(len(example["input_ids"]) for example in examples) - 2
    most = min(most, next((i for i, label in enumerate(first["labels"]) if label != IGNORED), most) - 1)
    length = 0
    while length < most and all(e["input_ids"][length] == first["input_ids"][length] for e in examples):
        length += 1
    return length // ALIGNED * ALIGNED if length >= WORTH_SHARING else 0


def _up(length: int) -> int:
    return -(-length // ALIGNED) * ALIGNED


def answer_loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
    """Mean cross entropy per labelled token; `outputs.logits` may cover only the end of `labels`."""
    logits = outputs.logits
    wanted = labels[:, -logits.shape[1] :][:, 1:].to(logits.device)
    chosen = wanted != IGNORED
    count = num_items_in_batch if num_items_in_batch is not None else chosen.sum().clamp(min=1)
    loss = torch.nn.functional.cross_entropy(logits[:, :-1][chosen].float(), wanted[chosen], reduction="sum")
    return loss / count


class Reporter(TrainerCallback):  # type: ignore[misc]
    """Turns the Trainer's moments into events, decides when to check and save, and hears SIGTERM."""

    def __init__(
        self, progress: Progress | None, steps_per_epoch: int, check_every: float, alone: bool
    ) -> None:
        self._progress, self._steps_per_epoch, self._check_every = progress, steps_per_epoch, check_every
        self._alone = alone
        self._began = time.monotonic()
        self._first_step = self._first_tokens = 0
        self._before: Any = None
        self.train_loss: float | None = None
        self.stopped = False

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._began = time.monotonic()
        self._first_step, self._first_tokens = state.global_step, int(state.num_input_tokens_seen)
        if self._alone:  # Of several processes each would stop at another step; they end where they are.
            self._before = signal.signal(signal.SIGTERM, self._stop)

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._alone:
            signal.signal(signal.SIGTERM, self._before)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        step, last = state.global_step, state.global_step >= state.max_steps
        within = step % self._steps_per_epoch
        due = last or within == 0 or int(within / self._check_every) > int((within - 1) / self._check_every)
        control.should_evaluate = due and args.eval_strategy != "no"
        control.should_save = due or self.stopped
        control.should_training_stop = control.should_training_stop or self.stopped

    def on_log(
        self, args: Any, state: TrainerState, control: TrainerControl, logs: Any = None, **_: Any
    ) -> None:
        if "loss" in (logs or {}):
            self.train_loss = float(logs["loss"])
            self.tell("step", state=state, learning_rate=logs.get("learning_rate"))

    def on_evaluate(
        self, args: Any, state: TrainerState, control: TrainerControl, metrics: Any = None, **_: Any
    ) -> None:
        self.tell("validation", state=state, val_loss=float(metrics["eval_loss"]))

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.tell("saved", state=state, **self.best(state))

    def best(self, state: TrainerState) -> dict[str, Any]:
        """The weights that are kept: the epoch in which they were reached (from 1), and their loss."""
        step = state.best_global_step or state.global_step
        return {
            "best_step": step,
            "best_epoch": math.ceil(step / self._steps_per_epoch),
            "val_loss": state.best_metric if state.best_global_step else None,
        }

    def tell(self, event: Any, state: TrainerState | None = None, **fields: Any) -> None:
        if self._progress is None:
            return
        if state is not None:
            took = max(time.monotonic() - self._began, 1e-9)
            done, tokens = state.global_step - self._first_step, int(state.num_input_tokens_seen)
            fields = {
                "step": state.global_step,
                "steps_total": state.max_steps,
                "epoch": state.global_step / self._steps_per_epoch,
                "steps_per_epoch": self._steps_per_epoch,
                "percent": 100.0 * state.global_step / state.max_steps,
                "train_loss": self.train_loss,
                "tokens_per_second": (tokens - self._first_tokens) / took,
                "eta_s": (state.max_steps - state.global_step) * took / done if done else None,
                **fields,
            }
        self._progress.emit(event, **fields)

    def _stop(self, *_: Any) -> None:
        self.stopped = True


def _checkpoints_of(spec: TrainingSpec, rank: int) -> Path:
    folder = spec.output_dir / "checkpoints"
    mark = folder / "spec.sha256"
    if rank == 0:
        folder.mkdir(parents=True, exist_ok=True)
        if mark.exists() and mark.read_text("utf-8") not in ("", spec.fingerprint()):
            raise OutputTaken(spec.output_dir)
        mark.write_text(spec.fingerprint(), "utf-8")
    return folder


def _last_complete(checkpoints: Path, rank: int) -> Path | None:
    """The newest checkpoint that was written to its end; the Trainer writes trainer_state.json last."""
    found = {int(path.name.rpartition("-")[2]): path for path in checkpoints.glob("checkpoint-*")}
    for step in sorted(found, reverse=True):
        try:
            json.loads((found[step] / "trainer_state.json").read_bytes())
        except (OSError, ValueError):
            if rank == 0:
                shutil.rmtree(found[step])  # A kill cut it short.
            continue
        return found[step]
    return None


def _load(spec: TrainingSpec, arithmetic: torch.dtype) -> tuple[Any, PreTrainedModel]:
    # On a CPU memory is cheap and a cast per product is not felt: weights stay whole.
    stored = arithmetic if torch.cuda.is_available() else torch.float32
    folder = Path(spec.model)
    local = folder.is_dir()
    if not local and (spec.model.startswith(("/", ".", "~")) or spec.model.count("/") != 1):
        raise ModelUnusable(spec.model, "no such folder, and not the name of one on a hub (owner/model)")
    try:
        config = AutoConfig.from_pretrained(spec.model, local_files_only=local)
        if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
            raise ModelUnusable(spec.model, f"{type(config).__name__} is not a causal language model's")
        tokenizer = AutoTokenizer.from_pretrained(spec.model, local_files_only=local)
        model = AutoModelForCausalLM.from_pretrained(spec.model, dtype=stored, local_files_only=local)
    except (OSError, ValueError, KeyError) as error:
        raise ModelUnusable(spec.model, str(error).strip().splitlines()[0]) from error
    model.config.use_cache = False
    return tokenizer, model


def _arithmetic(precision: str) -> torch.dtype:
    """What the hardware has of what was asked: half precision where it is native, else single."""
    if precision == "fp32":
        return torch.float32
    if torch.cuda.is_available():
        if precision == "fp16":
            return torch.float16
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    features: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    native = features.get("avx512_bf16") or features.get("amx_bf16") or features.get("bf16")
    return torch.bfloat16 if native else torch.float32


def _with_adapter(model: PreTrainedModel, lora: Lora, spec: TrainingSpec) -> Any:
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.adapter_dim,
        lora_alpha=lora.alpha or 16,
        lora_dropout=lora.adapter_dropout or 0.0,
        target_modules=lora.target_modules or "all-linear",
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PEFT advises about save formats that are not used here.
            adapted = get_peft_model(model, config)
    except ValueError as error:
        linear = {n.rpartition(".")[2] for n, m in model.named_modules() if isinstance(m, torch.nn.Linear)}
        raise Unsupported("lora.target_modules", lora.target_modules, ", ".join(sorted(linear))) from error
    return adapted


def _takes_kept_logits(model: Any) -> bool:
    return "logits_to_keep" in model.get_base_model().forward.__code__.co_varnames


def _attends_to_all(model: Any) -> bool:
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    return kinds == {"full_attention"} and not getattr(config, "sliding_window", None)


def _schedule(asked: Hyperparameters, steps: int) -> dict[str, Any]:
    lowest = asked.learning_rate / 10 if asked.min_learning_rate is None else asked.min_learning_rate
    flat = asked.optimizer in FLAT
    return {
        "learning_rate": asked.learning_rate,
        "weight_decay": asked.weight_decay,
        "adam_beta1": 0.9 if asked.adam_beta1 is None else asked.adam_beta1,
        "adam_beta2": 0.999 if asked.adam_beta2 is None else asked.adam_beta2,
        "max_grad_norm": asked.max_grad_norm,
        "lr_scheduler_type": "constant_with_warmup" if flat else "cosine_with_min_lr",
        "lr_scheduler_kwargs": {} if flat else {"min_lr": lowest},
        "warmup_steps": min(steps // 20 if asked.warmup_steps is None else asked.warmup_steps, steps),
    }


def _check_every(asked: Hyperparameters, steps_per_epoch: int) -> float:
    """In steps, counted anew in each epoch."""
    wanted = asked.val_check_interval or 1.0
    return max(1.0, wanted * steps_per_epoch if wanted <= 1 else wanted)


def _why_empty(found: Examples) -> str:
    told = "; ".join(f"{count} rows: {reason}" for reason, count in found.left_out.most_common(3))
    return told or "the files hold no row"


def _summary(training: Examples, validation: Examples, model: Any, start_from: Path | None) -> str:
    left_out = sum(training.left_out.values()) + sum(validation.left_out.values())
    told = f"{len(training.kept)} rows to train on, {len(validation.kept)} to check"
    told += f", {left_out} left out" if left_out else ""
    return told + (f", going on from step {start_from.name.partition('-')[2]}" if start_from else "")
