"""Loading what is served, and what of it the rest needs to know."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.utils import logging as transformers_logging

from flywheel.prompts import family_of
from flywheel.serving.errors import ModelUnservable
from flywheel.serving.spec import ServingSpec

CALL_OPENINGS = {"hermes": "<tool_call>"}
"""What an answer begins with when a call is required; other families are asked, not made to call."""


@dataclass(frozen=True)
class ServedModel:
    model: PreTrainedModel
    tokenizer: Any
    family: str
    max_model_len: int
    end_ids: frozenset[int]
    temperature: float
    """Where a request names none: what the model's makers chose, 0 where they chose greedy decoding."""

    def text(self, ids: list[int]) -> str:
        """Marks of calls stay in, whether or not the tokenizer holds them for special."""
        opening = CALL_OPENINGS.get(self.family)
        plain = self.family == "hermes" and opening not in self.tokenizer.all_special_tokens
        return str(self.tokenizer.decode(ids, skip_special_tokens=plain))


def load_model(spec: ServingSpec) -> ServedModel:
    """Raises ModelUnservable with the reason. On a GPU in the precision of its files, on a CPU in float32."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    local = Path(spec.model).is_dir()
    if not local and (spec.model.startswith(("/", ".", "~")) or spec.model.count("/") != 1):
        raise ModelUnservable(spec.model, "no such folder, and not the name of one on a hub (owner/model)")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        config = AutoConfig.from_pretrained(spec.model, local_files_only=local)
        tokenizer = AutoTokenizer.from_pretrained(spec.model, local_files_only=local)
        model = AutoModelForCausalLM.from_pretrained(
            spec.model, dtype="auto" if device == "cuda" else torch.float32, local_files_only=local
        )
    except (OSError, ValueError, KeyError) as error:
        raise ModelUnservable(spec.model, str(error).strip().splitlines()[0]) from error
    if not tokenizer.chat_template:
        raise ModelUnservable(
            spec.model, "its tokenizer has no chat template; choose an instruction-tuned one"
        )
    text_config = config.get_text_config()
    kinds = set(getattr(text_config, "layer_types", None) or ["full_attention"])
    if not kinds <= {"full_attention", "sliding_attention"}:
        raise ModelUnservable(spec.model, f"it has layers other than attention ({', '.join(sorted(kinds))})")
    return ServedModel(
        model=model.eval().requires_grad_(False).to(device),
        tokenizer=tokenizer,
        family=family_of(tokenizer),
        max_model_len=_longest(spec, text_config, kinds),
        end_ids=_end_ids(model, tokenizer),
        temperature=float(model.generation_config.temperature or 1.0)
        if model.generation_config.do_sample
        else 0.0,
    )


def _longest(spec: ServingSpec, config: Any, kinds: set[str]) -> int:
    possible = int(getattr(config, "max_position_embeddings", None) or 2048)
    window = getattr(config, "sliding_window", None)
    if window and ("sliding_attention" in kinds or not getattr(config, "layer_types", None)):
        possible = min(possible, int(window))  # The engine attends to all that it holds.
    if spec.max_model_len and spec.max_model_len > possible:
        raise ModelUnservable(
            spec.model, f"max_model_len = {spec.max_model_len}; it takes at most {possible}"
        )
    return spec.max_model_len or possible


def _end_ids(model: PreTrainedModel, tokenizer: Any) -> frozenset[int]:
    told = model.generation_config.eos_token_id
    ids = [*(told if isinstance(told, list) else [told]), tokenizer.eos_token_id]
    return frozenset(i for i in ids if i is not None)
