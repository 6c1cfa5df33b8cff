"""Keys and values of the rows that are being generated, and of prompts whose beginnings may come again.

transformers' DynamicCache copies all of it in every step and cannot take rows in or let them go. Here each
row is a slot of one buffer per layer. All rows write their next token into the same column; what lies left of
a row's own tokens, or between them, is masked. Positions travel beside, so columns need not be gapless.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers.cache_utils import Cache, CacheLayerMixin

States = list[tuple[torch.Tensor, torch.Tensor]]
"""Per layer keys and values of one row, [heads, columns, width]."""

SPARE_COLUMNS = 64
WORTH_COMPACTING = 128
"""Columns left of everybody's tokens that are attended in vain in each step."""


class _SlotLayer(CacheLayerMixin):  # type: ignore[misc]
    def __init__(self, slots: Slots) -> None:
        super().__init__()
        self._slots = slots

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing: the buffers come with the first prompt."""

    def update(self, keys: torch.Tensor, values: torch.Tensor, *_: Any, **__: Any) -> Any:
        rows, start = self._slots.rows, self._slots.length
        end = start + keys.shape[-2]
        self.keys[:rows, :, start:end] = keys
        self.values[:rows, :, start:end] = values
        return self.keys[:rows, :, :end], self.values[:rows, :, :end]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._slots.length + query_length, 0

    def get_seq_length(self) -> int:
        return self._slots.length

    def get_max_length(self) -> int:
        return -1


class Slots(Cache):  # type: ignore[misc]
    """The running batch: rows 0 to `rows` - 1 of `size`, columns 0 to `length` - 1."""

    def __init__(self, layers: int, size: int, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__(layers=[_SlotLayer(self) for _ in range(layers)])
        self.size, self.rows, self.length, self.capacity = size, 0, 0, 0
        self._masked = torch.finfo(dtype).min
        self._bias = torch.empty(size, 0, dtype=dtype, device=device)
        """Added to attention scores: 0 on a row's own tokens, the lowest number elsewhere."""
        self._first = [0] * size

    def join(self, states: States, valid: torch.Tensor) -> int:
        """Take in a row with columns `states`, of which `valid` [columns] are tokens. Returns its slot."""
        columns = valid.shape[0]
        if self.rows and min(self._first[: self.rows]) >= WORTH_COMPACTING:
            self._compact()
        self.length = max(self.length, columns)
        self._reserve(self.length + 1, states)
        row, start = self.rows, self.length - columns
        for layer, (keys, values) in zip(self.layers, states, strict=True):
            layer.keys[row, :, start : self.length] = keys
            layer.values[row, :, start : self.length] = values
        self._bias[row] = self._masked
        self._bias[row, start : self.length] = torch.where(valid, 0.0, self._masked).to(self._bias)
        self._first[row] = start
        self.rows += 1
        return row

    def leave(self, row: int) -> None:
        """Let a row go; the last row takes its slot."""
        last = self.rows - 1
        if row != last:
            for layer in self.layers:
                layer.keys[row, :, : self.length] = layer.keys[last, :, : self.length]
                layer.values[row, :, : self.length] = layer.values[last, :, : self.length]
            self._bias[row] = self._bias[last]
            self._first[row] = self._first[last]
        self.rows = last
        if not self.rows:
            self.length = 0

    def next_column(self) -> torch.Tensor:
        """Open the next column for all rows; returns their attention bias [rows, 1, 1, columns]."""
        if self.length + 1 > self.capacity:
            if min(self._first[: self.rows]) >= WORTH_COMPACTING:
                self._compact()
            self._reserve(self.length + 1, None)
        self._bias[: self.rows, self.length] = 0.0
        return self._bias[: self.rows, None, None, : self.length + 1]

    def _compact(self) -> None:
        gap = min(self._first[: self.rows])
        kept = self.length - gap
        for layer in self.layers:
            for buffer in (layer.keys, layer.values):
                buffer[: self.rows, :, :kept] = buffer[: self.rows, :, gap : self.length].clone()
        self._bias[: self.rows, :kept] = self._bias[: self.rows, gap : self.length].clone()
        self._bias[: self.rows, kept:] = self._masked
        self._first = [first - gap for first in self._first]
        self.length = kept

    def _reserve(self, columns: int, like: States | None) -> None:
        if columns <= self.capacity:
            return
        capacity = max(columns + SPARE_COLUMNS, self.capacity * 3 // 2)
        bias = self._bias.new_full((self.size, capacity), self._masked)
        bias[:, : self.capacity] = self._bias
        for number, layer in enumerate(self.layers):
            for kind in ("keys", "values"):
                old = getattr(layer, kind)
                sample = like[number][kind == "values"] if like else old[0]
                heads, _, width = sample.shape
                # Zeros, not whatever was there: a masked nan is still a nan.
                new = sample.new_zeros((self.size, heads, capacity, width))
                if old is not None:
                    new[:, :, : self.capacity] = old
                setattr(layer, kind, new)
            layer.is_initialized = True
        self._bias, self.capacity = bias, capacity


@dataclass(frozen=True, eq=False)
class Prefix:
    """A prompt that was read before, under an adapter."""

    adapter: int
    ids: np.ndarray[Any, np.dtype[np.int64]]
    states: States

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(keys.nbytes + values.nbytes for keys, values in self.states)


class Prefixes:
    """The last prompts, up to `max_bytes`: those of one workload begin alike (system, tools, examples)."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._kept: list[Prefix] = []

    def longest(self, adapter: int, ids: Sequence[int]) -> tuple[Prefix | None, int]:
        """The prompt that shares the most leading tokens with `ids`, and how many; never all of `ids`."""
        wanted = np.asarray(ids[:-1], dtype=np.int64)
        best, length = None, 0
        for prefix in self._kept:
            if prefix.adapter == adapter and (common := _common(prefix.ids, wanted)) > length:
                best, length = prefix, common
        if best is not None:
            self._kept.remove(best)
            self._kept.append(best)
        return best, length

    def keep(self, prefix: Prefix) -> None:
        self._kept.append(prefix)
        while len(self._kept) > 1 and sum(kept.size for kept in self._kept) > self._max_bytes:
            self._kept.pop(0)

    def forget(self, adapter: int) -> None:
        self._kept = [prefix for prefix in self._kept if prefix.adapter != adapter]


def _common(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> int:
    length = min(len(a), len(b))
    different = np.flatnonzero(a[:length] != b[:length])
    return int(different[0]) if len(different) else length
