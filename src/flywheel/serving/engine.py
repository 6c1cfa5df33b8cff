"""Generates for many requests at once: one thread, one batch, rows that come and go between steps.

A step is one forward pass for one token of every row. Before each, waiting requests take the free slots: what
their prompts share with one that was read before is not read again, and those that share the same beginning
are read together. Greedy rows cost one argmax; only rows that sample pay for it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
import torch
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache

from flywheel.errors import FlywheelError
from flywheel.log import get_logger
from flywheel.serving.cache import Prefix, Prefixes, Slots, States
from flywheel.serving.errors import EngineStopped, GenerationFailed
from flywheel.serving.lora import Adapters

PREFIX_BYTES = 256 << 20
WORTH_SHARING = 32
"""Tokens. Fewer are read faster than they are found."""
READ_TOKENS = 8192
"""At most in one forward pass over prompts."""
SMALL_MODEL = 512
"""Up to this hidden size a step is mostly the start of threads; one thread is then the fastest on a CPU."""

log = get_logger(__name__)


@dataclass(eq=False)
class Generation:
    """One request for one answer; `deliver` is called in the engine's thread."""

    prompt: list[int]
    adapter: int
    max_tokens: int
    deliver: Callable[[Generation], None]
    """Told after each token where `stream`, and always at the end, when `finish` or `error` is set."""
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    stream: bool = False
    tokens: list[int] = field(default_factory=list)
    """Without the end token."""
    finish: str | None = None
    """"stop" or "length"."""
    error: FlywheelError | None = None
    cancelled: bool = False
    """Set by whoever no longer wants the answer; the slot is free after the step in flight."""
    random: torch.Generator | None = None


class Engine:
    """`decode` turns token ids to text, for requests with stop strings. Call `start` and `close` once."""

    def __init__(
        self,
        model: PreTrainedModel,
        adapters: Adapters,
        *,
        end_ids: frozenset[int],
        decode: Callable[[list[int]], str],
        max_batch_size: int,
    ) -> None:
        self._model, self._adapters, self._end_ids, self._decode = model, adapters, end_ids, decode
        parameter = next(model.parameters())
        self._device, self._dtype = parameter.device, parameter.dtype
        config = model.config.get_text_config()
        self._slots = Slots(config.num_hidden_layers, max_batch_size, self._dtype, self._device)
        self._prefixes = Prefixes(PREFIX_BYTES)
        self._running: list[Generation] = []
        self._waiting: deque[Generation] = deque()
        self._errands: deque[tuple[Callable[[], None], Future[None]]] = deque()
        self._wake = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        on_cpu = self._device.type == "cpu"
        self._threads = torch.get_num_threads() if on_cpu else 0
        self._step_threads = 1 if on_cpu and config.hidden_size <= SMALL_MODEL else self._threads
        self.steps = self.generated_tokens = self.read_tokens = self.shared_tokens = 0

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Refuse what waits and runs; returns at once."""
        with self._wake:
            self._closed = True
            self._wake.notify()

    def submit(self, generation: Generation) -> None:
        with self._wake:
            if self._closed:
                raise EngineStopped
            self._waiting.append(generation)
            self._wake.notify()

    def between_steps(self, errand: Callable[[], None]) -> Future[None]:
        """Run `errand` in the engine's thread while no forward pass is on its way."""
        future: Future[None] = Future()
        with self._wake:
            if self._closed:
                raise EngineStopped
            self._errands.append((errand, future))
            self._wake.notify()
        return future

    def detach(self, adapter: int) -> None:
        """Forget an adapter as soon as no request uses it; meant for `between_steps`."""
        if any(generation.adapter == adapter for generation in (*self._running, *self._waiting)):
            self._errands.append((lambda: self.detach(adapter), Future()))
            return
        self._adapters.detach(adapter)
        self._prefixes.forget(adapter)

    @torch.inference_mode()
    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._closed or self._waiting or self._running or self._errands):
                    self._wake.wait()
                if self._closed:
                    break
                errands = [self._errands.popleft() for _ in range(len(self._errands))]
            for errand, future in errands:
                try:
                    future.set_result(errand())
                except Exception as error:  # noqa: BLE001 - it is the asker's, who is waiting for it
                    future.set_exception(error)
            with self._wake:
                free = self._slots.size - len(self._running)
                admitted = [self._waiting.popleft() for _ in range(min(free, len(self._waiting)))]
            try:
                self._admit([generation for generation in admitted if not generation.cancelled])
                self._let_go([row for row, generation in enumerate(self._running) if generation.cancelled])
                if self._running:
                    self._step()
            except Exception as error:  # Those who wait for this step are told; the next ones are served.
                log.exception("a generation step failed")
                self._fail([*self._running, *admitted], GenerationFailed(f"{type(error).__name__}: {error}"))
        self._fail([*self._running, *self._waiting], EngineStopped())

    def _admit(self, pending: list[Generation]) -> None:
        """Read the prompts of `pending`, in as few passes as their common beginnings allow."""
        if pending and self._step_threads != self._threads:
            torch.set_num_threads(self._threads)
        while pending:
            first, *pending = pending
            prefix, shared = self._prefixes.longest(first.adapter, first.prompt)
            if prefix is None or shared < WORTH_SHARING:
                self._read([first], None, 0)
                continue
            group, rest, longest = [first], [], len(first.prompt)
            for other in pending:
                same, common = self._prefixes.longest(other.adapter, other.prompt)
                most = max(longest, len(other.prompt)) - min(shared, common)
                if same is prefix and common >= shared * 3 // 4 and most * (len(group) + 1) <= READ_TOKENS:
                    shared, longest = min(shared, common), max(longest, len(other.prompt))
                    group.append(other)
                else:
                    rest.append(other)
            self._read(group, prefix, shared)
            pending = rest
        if self._step_threads != self._threads and self._threads:
            torch.set_num_threads(self._step_threads)

    def _read(self, group: list[Generation], prefix: Prefix | None, shared: int) -> None:
        """One forward pass over the prompts of `group` from token `shared` on; they join the batch."""
        rests = [generation.prompt[shared:] for generation in group]
        longest = max(map(len, rests))
        gaps = [longest - len(rest) for rest in rests]
        ids = torch.tensor([[0] * gap + rest for gap, rest in zip(gaps, rests, strict=True)])
        positions = torch.arange(shared, shared + longest) - torch.tensor(gaps)[:, None]
        valid = torch.cat([torch.ones(len(group), shared, dtype=torch.bool), positions >= shared], dim=1)
        cache = DynamicCache()
        if prefix is not None:
            for number, (keys, values) in enumerate(prefix.states):
                rows = [part[None, :, :shared].expand(len(group), -1, -1, -1) for part in (keys, values)]
                cache.update(rows[0], rows[1], number)
        bias = None if prefix is None and len(group) == 1 else self._reading_bias(valid, shared, longest)
        self._adapters.routing.use([generation.adapter for generation in group], self._device)
        out = self._model(
            input_ids=ids.to(self._device),
            attention_mask=bias,
            position_ids=positions.clamp(min=0).to(self._device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self.read_tokens += sum(map(len, rests))
        self.shared_tokens += shared * len(group)
        valid = valid.to(self._device)
        for row, generation in enumerate(group):
            states = [(layer.keys[row], layer.values[row]) for layer in cache.layers]
            if shared * 2 < len(generation.prompt) and row == 0:
                self._keep(generation, states, valid[row])
            self._slots.join(states, valid[row])
            self._running.append(generation)
        self._take(out.logits[:, -1], range(len(self._running) - len(group), len(self._running)))

    def _reading_bias(self, valid: torch.Tensor, shared: int, longest: int) -> torch.Tensor:
        columns = torch.arange(shared + longest)
        reached = columns[None, :] <= torch.arange(shared, shared + longest)[:, None]
        seen = valid[:, None, None, :] & reached[None, None]
        seen |= torch.eye(longest, shared + longest, dtype=torch.bool).roll(shared, 1)  # No row sees nothing.
        return torch.where(seen, 0.0, torch.finfo(self._dtype).min).to(self._device, self._dtype)

    def _keep(self, generation: Generation, states: States, valid: torch.Tensor) -> None:
        copied = [(keys[:, valid].clone(), values[:, valid].clone()) for keys, values in states]
        self._prefixes.keep(Prefix(generation.adapter, np.asarray(generation.prompt), copied))

    def _step(self) -> None:
        running = self._running
        # The token that a row was given last is not in the cache yet; it goes in with this step.
        ids = torch.tensor([[generation.tokens[-1]] for generation in running], device=self._device)
        at = [[len(generation.prompt) + len(generation.tokens) - 1] for generation in running]
        bias = self._slots.next_column()
        self._adapters.routing.use([generation.adapter for generation in running], self._device)
        out = self._model(
            input_ids=ids,
            attention_mask=bias,
            position_ids=torch.tensor(at, device=self._device),
            past_key_values=self._slots,
            use_cache=True,
            logits_to_keep=1,
        )
        self._slots.length += 1
        self.steps += 1
        self._take(out.logits[:, -1], range(len(running)))

    def _take(self, logits: torch.Tensor, rows: Sequence[int]) -> None:
        """Give each of `rows` its next token from `logits` [rows, vocabulary]; let the finished ones go."""
        chosen: list[int] = logits.argmax(dim=-1).tolist()
        finished = []
        for place, row in enumerate(rows):
            generation = self._running[row]
            token = _draw(generation, logits[place]) if generation.temperature > 0 else chosen[place]
            self.generated_tokens += 1
            if token in self._end_ids:
                generation.finish = "stop"
            else:
                generation.tokens.append(token)
                if generation.stop and self._stopped(generation):
                    generation.finish = "stop"
                elif len(generation.tokens) >= generation.max_tokens:
                    generation.finish = "length"
            if generation.finish:
                finished.append(row)
            elif generation.stream:
                generation.deliver(generation)
        self._let_go(finished)

    def _stopped(self, generation: Generation) -> bool:
        text = self._decode(generation.tokens)
        return any(stop in text for stop in generation.stop)

    def _let_go(self, rows: Sequence[int]) -> None:
        for row in sorted(rows, reverse=True):
            generation = self._running[row]
            self._slots.leave(row)
            self._running[row] = self._running[-1]
            self._running.pop()
            if not generation.cancelled:
                generation.deliver(generation)

    def _fail(self, generations: Sequence[Generation], error: FlywheelError) -> None:
        for row in range(len(self._running) - 1, -1, -1):
            self._slots.leave(row)
        self._running.clear()
        for generation in generations:
            if not generation.finish and generation.error is None:
                generation.error = error
                generation.deliver(generation)


def _draw(generation: Generation, logits: torch.Tensor) -> int:
    """A token by temperature and nucleus; the same seed gives the same tokens on the same machine."""
    if generation.random is None:
        generation.random = torch.Generator(logits.device)
        generation.random.manual_seed(time.time_ns() if generation.seed is None else generation.seed % 2**63)
    shares = torch.softmax(logits.float() / generation.temperature, dim=-1)
    if generation.top_p < 1:
        ordered, order = shares.sort(descending=True)
        # The token that crosses the border is still in, so there is always one.
        ordered[ordered.cumsum(0) - ordered >= generation.top_p] = 0
        return int(order[torch.multinomial(ordered, 1, generator=generation.random)])
    return int(torch.multinomial(shares, 1, generator=generation.random))
