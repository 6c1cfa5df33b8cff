"""LoRA adapters beside the base weights: many loaded, each row of a batch using its own or none.

PEFT can do this (`adapter_names`), at the price of hooks and copies in every layer: for a small model on a
CPU a step with mixed adapters took 21 ms there and takes 14 here, where all adapters' matrices lie one under
the other, two products serve every row, and a mask between them keeps each row to its own. Rows of the base
model are exactly those of a server without adapters. What PEFT's formats can say and this does not do (DoRA,
biases, whole modules) is refused by name.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import nn

from flywheel.serving.errors import AdapterInvalid

CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
BASE = -1
"""The number of "no adapter"."""
PLAIN = {"use_dora": False, "bias": "none", "lora_bias": False, "modules_to_save": None, "alpha_pattern": {}}
"""What adapter_config.json may say beside rank and scale; anything else changes the arithmetic."""


@dataclass(frozen=True)
class Weights:
    """An adapter as read from its folder: for each module's path A [rank, in] and B [rank, out], B scaled."""

    sha256: str
    modules: dict[str, tuple[torch.Tensor, torch.Tensor]]


def read_adapter(name: str, folder: Path) -> Weights:
    """Raises AdapterInvalid where the folder is not a complete, plain LoRA adapter."""
    try:
        config = json.loads((folder / CONFIG).read_bytes())
        content = (folder / TENSORS).read_bytes()
        tensors = load_tensors(content)
    except OSError as error:
        raise AdapterInvalid(name, f"{error.filename}: {error.strerror}") from error
    except (ValueError, SafetensorError) as error:
        raise AdapterInvalid(name, f"its files are damaged ({error})") from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise AdapterInvalid(name, f"{CONFIG} does not describe a LORA adapter")
    for key, plain in PLAIN.items():
        if config.get(key) and config[key] != plain:
            raise AdapterInvalid(name, f"{key} = {config[key]!r} is not supported; supported: {plain!r}")
    halves: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        path, _, half = key.removeprefix(PREFIX).removesuffix(".weight").rpartition(".")
        if half not in ("lora_A", "lora_B") or tensor.dim() != 2:
            raise AdapterInvalid(name, f"{key} is not the lora_A or lora_B of a linear layer")
        halves.setdefault(path, {})[half] = tensor
    modules = {}
    for path, pair in halves.items():
        if len(pair) != 2 or pair["lora_A"].shape[0] != pair["lora_B"].shape[1]:
            raise AdapterInvalid(name, f"lora_A and lora_B of {path} do not belong together")
        rank = pair["lora_A"].shape[0]
        alpha = float(config.get("lora_alpha") or rank)
        scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
        modules[path] = (pair["lora_A"], (pair["lora_B"] * scale).T.contiguous())
    if not modules:
        raise AdapterInvalid(name, f"{TENSORS} holds no lora_A and lora_B")
    return Weights(hashlib.sha256(content).hexdigest(), modules)


@dataclass
class Routing:
    """Which adapter each row of the next forward pass uses; shared by all layers, set by the engine."""

    uniform: int | None = BASE
    """The one adapter of all rows, or None where they differ."""
    rows: torch.Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))

    def use(self, adapters: Sequence[int], device: torch.device) -> None:
        first = adapters[0] if adapters else BASE
        self.uniform = first if all(adapter == first for adapter in adapters) else None
        if self.uniform is None:
            self.rows = torch.tensor(adapters, device=device)


class LoraLinear(nn.Module):
    """A linear layer and the adapters that change it."""

    def __init__(self, base: nn.Module, routing: Routing) -> None:
        super().__init__()
        self.base, self._routing = base, routing
        self._spans: dict[int, tuple[int, int]] = {}
        self._a = self._b = self._owner = torch.empty(0)

    def add(self, number: int, a: torch.Tensor, b: torch.Tensor) -> None:
        owner = torch.full((a.shape[0],), number, device=a.device)
        start = len(self._owner)
        self._a = torch.cat([self._a, a]) if start else a
        self._b = torch.cat([self._b, b]) if start else b
        self._owner = torch.cat([self._owner, owner]) if start else owner
        self._spans[number] = (start, start + a.shape[0])

    def remove(self, number: int) -> None:
        if number in self._spans:
            kept = self._owner != number
            self._a, self._b, self._owner = self._a[kept], self._b[kept], self._owner[kept]
            numbers = [n for n in self._spans if n != number]
            widths = [self._spans[n][1] - self._spans[n][0] for n in numbers]
            starts = [sum(widths[:i]) for i in range(len(widths))]
            self._spans = {n: (s, s + w) for n, s, w in zip(numbers, starts, widths, strict=True)}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.base(x)
        if (number := self._routing.uniform) is not None:
            if number not in self._spans:
                return out
            start, end = self._spans[number]
            return out + (x @ self._a[start:end].T) @ self._b[start:end]
        if not self._spans:
            return out
        own = (self._owner == self._routing.rows[:, None]).to(x.dtype)
        return out + ((x @ self._a.T) * own[:, None, :]) @ self._b


class Adapters:
    """The adapters that are attached to a model. Not thread-safe: the engine's thread alone changes it."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._parameter = next(model.parameters())
        self._layers: dict[str, LoraLinear] = {}
        self.routing = Routing()

    def check(self, name: str, weights: Weights) -> None:
        """Raises AdapterInvalid where the adapter was not made for this model."""
        for path, (a, b) in weights.modules.items():
            layer = self._layers.get(path)
            try:
                base: Any = layer.base if layer else self._model.get_submodule(path)
            except AttributeError as error:
                problem = f"the model has no module {path}; it was trained on another base"
                raise AdapterInvalid(name, problem) from error
            if not isinstance(base, nn.Linear):
                raise AdapterInvalid(name, f"{path} is a {type(base).__name__}, not a linear layer")
            if (a.shape[1], b.shape[1]) != (base.in_features, base.out_features):
                raise AdapterInvalid(name, f"{path} has other dimensions; it was trained on another base")

    def attach(self, number: int, weights: Weights) -> None:
        for path, (a, b) in weights.modules.items():
            if path not in self._layers:
                parent, _, last = path.rpartition(".")
                layer = LoraLinear(self._model.get_submodule(path), self.routing)
                setattr(self._model.get_submodule(parent), last, layer)
                self._layers[path] = layer
            self._layers[path].add(number, a.to(self._parameter), b.to(self._parameter))

    def detach(self, number: int) -> None:
        for layer in self._layers.values():
            layer.remove(number)
