"""An embedding model in sentence-transformers' form: encoder, pooling, vectors of length one.

What `modules.json` names besides (a dense layer, say) would change the vectors and is refused. sentence-
transformers itself is not needed for the rest, which is a mean.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel
from transformers.utils import cached_file
from transformers.utils import logging as transformers_logging

from flywheel.serving.errors import ModelUnservable, TextTooLong
from flywheel.serving.spec import ServingSpec

_POOLING: Final = {
    "cls": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "max": "pooling_mode_max_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}
_KNOWN_MODULES: Final = frozenset({"Transformer", "Pooling", "Normalize"})
_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class EmbeddingModel:
    """`pooling` is how the vectors of a text's tokens become one; `prompts` are put before texts, by type."""

    model: PreTrainedModel
    tokenizer: Any
    pooling: str
    max_model_len: int
    batch_size: int
    prompts: dict[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def embed(
        self, texts: Sequence[str], input_type: str | None = None, *, cut: bool = True
    ) -> tuple[torch.Tensor, int]:
        """Vectors of length one, a row for each text, and the tokens that were read.

        A text that is too long is cut at its end, as sentence-transformers does. Raises TextTooLong instead
        where it must not be `cut`.
        """
        prompt = self._prompt(input_type)
        with self._turn:  # A fast tokenizer cannot be used by two threads with different truncation either.
            ids = self._ids([prompt + text for text in texts], cut=cut)
            order = sorted(range(len(ids)), key=lambda number: len(ids[number]))  # Little is padded.
            rows: list[torch.Tensor] = [torch.empty(0)] * len(ids)
            for start in range(0, len(order), self.batch_size):
                batch = order[start : start + self.batch_size]
                for number, row in zip(batch, self._pooled([ids[n] for n in batch]), strict=True):
                    rows[number] = row
        return torch.stack(rows), sum(map(len, ids))

    def _ids(self, texts: list[str], *, cut: bool) -> list[list[int]]:
        whole: list[list[int]] = self.tokenizer(texts, truncation=False)["input_ids"]
        longest = max(map(len, whole))
        if longest <= self.max_model_len:
            return whole
        if not cut:
            raise TextTooLong(longest, self.max_model_len)
        short: list[list[int]] = self.tokenizer(texts, truncation=True, max_length=self.max_model_len)[
            "input_ids"
        ]
        return short

    def _pooled(self, ids: list[list[int]]) -> torch.Tensor:
        inputs = self.tokenizer.pad({"input_ids": ids}, return_tensors="pt").to(self.model.device)
        with torch.inference_mode():
            hidden = self.model(**inputs).last_hidden_state.float()
        mask = inputs["attention_mask"].unsqueeze(-1).bool()
        match self.pooling:
            case "mean":
                pooled = (hidden * mask).sum(1) / mask.sum(1)
            case "max":
                pooled = hidden.masked_fill(~mask, float("-inf")).amax(1)
            case _:
                # Padding may be on either side, so the first and the last token are looked for.
                positions = torch.arange(mask.shape[1], device=mask.device).expand(mask.shape[:2])
                real = mask.squeeze(-1)
                first = positions.masked_fill(~real, mask.shape[1]).amin(1)
                last = positions.masked_fill(~real, -1).amax(1)
                chosen = first if self.pooling == "cls" else last
                pooled = hidden[torch.arange(len(ids), device=mask.device), chosen]
        return torch.nn.functional.normalize(pooled, dim=-1).cpu()

    def _prompt(self, input_type: str | None) -> str:
        if input_type == "passage" and "passage" not in self.prompts:
            input_type = "document"
        return self.prompts.get(input_type or self.default_prompt or "", "")


def is_embedding_model(name: str) -> bool:
    """Whether a folder, or a repository on the hub, is a sentence-transformers model or a bare encoder."""
    if not _is_named(name):
        return False
    try:
        if _json(name, "modules.json") is not None:
            return True
        made_for = getattr(AutoConfig.from_pretrained(name), "architectures", None) or [""]
    except (OSError, ValueError, KeyError):
        return False  # Loading it as a chat model says what is wrong.
    return str(made_for[0]).endswith("Model")


def load_embedding_model(spec: ServingSpec) -> EmbeddingModel:
    """Raises ModelUnservable with the reason. On a GPU in the precision of its files, on a CPU in float32."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        tokenizer = AutoTokenizer.from_pretrained(spec.model)
        model = AutoModel.from_pretrained(spec.model, dtype="auto" if device == "cuda" else torch.float32)
        about = _json(spec.model, "config_sentence_transformers.json") or {}
        pooling = _pooling(spec.model)
        longest = _longest(spec, model.config, tokenizer)
    except (OSError, ValueError, KeyError) as error:
        raise ModelUnservable(spec.model, str(error).strip().splitlines()[0]) from error
    if tokenizer.pad_token is None:
        raise ModelUnservable(spec.model, "its tokenizer has no token to pad with")
    prompts = about.get("prompts") or {}
    return EmbeddingModel(
        model=model.eval().requires_grad_(False).to(device),
        tokenizer=tokenizer,
        pooling=pooling,
        max_model_len=longest,
        batch_size=spec.max_batch_size,
        prompts={name: text for name, text in prompts.items() if isinstance(text, str)},
        default_prompt=about.get("default_prompt_name"),
    )


def _pooling(model: str) -> str:
    """The one way of pooling that the model was trained with; the mean where nothing is said."""
    modules = _json(model, "modules.json") or []
    kinds = {str(module.get("type")).rpartition(".")[2]: str(module.get("path", "")) for module in modules}
    if strange := sorted(kinds.keys() - _KNOWN_MODULES):
        raise ModelUnservable(
            model, f"its modules.json asks for {', '.join(strange)}, which is not known here"
        )
    folder = kinds.get("Pooling", "1_Pooling")
    if not _FOLDER.fullmatch(folder):
        raise ModelUnservable(model, f"its modules.json names the folder {folder!r}")
    told = _json(model, f"{folder}/config.json")
    if told is None:
        return "mean"
    named = told.get("pooling_mode")
    asked = [mode for mode, key in _POOLING.items() if told.get(key) or named == mode]
    others = [
        k for k, v in told.items() if k.startswith("pooling_mode_") and v and k not in _POOLING.values()
    ]
    if len(asked) != 1 or others:
        raise ModelUnservable(model, f"its pooling is none of {', '.join(_POOLING)}")
    return asked[0]


def _longest(spec: ServingSpec, config: Any, tokenizer: Any) -> int:
    told = (_json(spec.model, "sentence_bert_config.json") or {}).get("max_seq_length")
    limits = (told, getattr(config, "max_position_embeddings", None), tokenizer.model_max_length)
    possible = min(int(limit) for limit in limits if limit)
    if spec.max_model_len and spec.max_model_len > possible:
        raise ModelUnservable(
            spec.model, f"max_model_len = {spec.max_model_len}; it takes at most {possible}"
        )
    return spec.max_model_len or possible


def _is_named(name: str) -> bool:
    return Path(name).is_dir() or (not name.startswith(("/", ".", "~")) and name.count("/") == 1)


def _json(model: str, file: str) -> Any:
    """What a file of the model holds; None where there is no such file."""
    found = cached_file(
        model,
        file,
        local_files_only=Path(model).is_dir(),
        _raise_exceptions_for_missing_entries=False,
    )
    return json.loads(Path(found).read_text("utf-8")) if found else None
