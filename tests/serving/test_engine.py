"""The engine says what transformers' own generation says, however requests are mixed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flywheel.serving.errors import EngineStopped

pytestmark = pytest.mark.filterwarnings("default")

SHARED = list(range(20, 80))
PROMPTS = [[*SHARED, *range(100 + n, 105 + 3 * n)] for n in range(6)] + [list(range(200, 215)), [300], SHARED]
TOKENS = 12


class Bench:
    """An engine over the tiny model, and PEFT's answers to compare with."""

    def __init__(self, tiny: Path, adapters: dict[str, Path]) -> None:
        from transformers import AutoModelForCausalLM

        from flywheel.serving.engine import Engine
        from flywheel.serving.lora import Adapters, read_adapter

        self.model = AutoModelForCausalLM.from_pretrained(tiny).eval()
        attached = Adapters(self.model)
        self.engine = Engine(
            self.model,
            attached,
            end_ids=frozenset(),
            decode=lambda ids: " ".join(map(str, ids)),
            max_batch_size=4,
        )
        self.engine.start()
        for number, name in enumerate(("red", "blue", "green")):
            weights = read_adapter(name, adapters[name])
            attached.check(name, weights)
            self.engine.between_steps(lambda n=number, w=weights: attached.attach(n, w)).result()

    def submit(self, prompt: list[int], adapter: int = -1, **options: Any) -> Callable[[], Any]:
        from flywheel.serving.engine import Generation

        done = threading.Event()

        def deliver(generation: Generation) -> None:
            if generation.finish or generation.error:
                done.set()

        generation = Generation(prompt, adapter, options.pop("max_tokens", TOKENS), deliver, **options)
        self.engine.submit(generation)

        def result() -> Generation:
            assert done.wait(60)
            return generation

        return result


@pytest.fixture(scope="module")
def bench(tiny: Path, adapters: dict[str, Path]) -> Iterator[Bench]:
    bench = Bench(tiny, adapters)
    yield bench
    bench.engine.close()


@pytest.fixture(scope="module")
def expected(tiny: Path, adapters: dict[str, Path]) -> dict[tuple[int, int], list[int]]:
    """(adapter, prompt) to PEFT's greedy answer."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    answers = {}
    for adapter, name in enumerate((None, "red", "blue", "green"), -1):
        model = AutoModelForCausalLM.from_pretrained(tiny)
        model = model if name is None else PeftModel.from_pretrained(model, adapters[name])
        for number, prompt in enumerate(PROMPTS):
            ids = torch.tensor([prompt])
            made = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=TOKENS,
                do_sample=False,
                eos_token_id=None,
                pad_token_id=0,
            )
            answers[adapter, number] = made[0, len(prompt) :].tolist()
    return answers


def test_the_adapters_and_the_base_say_different_things(expected: dict[tuple[int, int], list[int]]) -> None:
    assert len({tuple(expected[adapter, 0]) for adapter in (-1, 0, 1, 2)}) == 4


def test_many_at_once_with_mixed_adapters(bench: Bench, expected: dict[tuple[int, int], list[int]]) -> None:
    asked = [(adapter, number) for number in range(len(PROMPTS)) for adapter in (-1, 0, 1, 2)]
    waiting = [bench.submit(PROMPTS[number], adapter) for adapter, number in asked]
    assert {key: result().tokens for key, result in zip(asked, waiting, strict=True)} == expected


def test_one_after_the_other_reads_shared_beginnings_once(
    bench: Bench, expected: dict[tuple[int, int], list[int]]
) -> None:
    bench.submit(PROMPTS[0])()
    before = bench.engine.shared_tokens
    for number in range(6):
        assert bench.submit(PROMPTS[number])().tokens == expected[-1, number]
    assert bench.engine.shared_tokens - before >= 5 * len(SHARED)


def test_rows_that_come_and_go_do_not_disturb_the_others(
    bench: Bench, expected: dict[tuple[int, int], list[int]]
) -> None:
    waiting = []
    for turn in range(40):
        number, length = turn % len(PROMPTS), 1 + turn * 7 % TOKENS
        waiting.append((number, length, bench.submit(PROMPTS[number], turn % 4 - 1, max_tokens=length)))
    for turn, (number, length, result) in enumerate(waiting):
        assert result().tokens == expected[turn % 4 - 1, number][:length]
        assert result().finish == "length"


def test_a_long_answer_beside_short_ones(bench: Bench) -> None:
    """Long enough for the buffers to grow and to be compacted."""
    alone = bench.submit(PROMPTS[6], max_tokens=400)().tokens
    beside = bench.submit(PROMPTS[6], max_tokens=400)
    short = [bench.submit(PROMPTS[n % 6], max_tokens=5 + n) for n in range(60)]
    assert beside().tokens == alone
    assert [len(result().tokens) for result in short] == [5 + n for n in range(60)]


def test_sampling_follows_its_seed_in_any_company(bench: Bench) -> None:
    alone = bench.submit(PROMPTS[0], temperature=1.0, top_p=0.9, seed=5)().tokens
    crowd = [bench.submit(PROMPTS[0], temperature=1.0, top_p=0.9, seed=seed) for seed in (4, 5, 6)]
    answers = [result().tokens for result in crowd]
    assert answers[1] == alone
    assert answers[0] != alone != answers[2]


def test_a_nucleus_of_nothing_is_greedy(bench: Bench, expected: dict[tuple[int, int], list[int]]) -> None:
    assert bench.submit(PROMPTS[1], temperature=1.0, top_p=1e-9)().tokens == expected[-1, 1]


def test_a_stop_string_ends_it(bench: Bench, expected: dict[tuple[int, int], list[int]]) -> None:
    answer = expected[-1, 0]
    assert answer[4] not in answer[:4]
    result = bench.submit(PROMPTS[0], stop=(f" {answer[4]}",))()
    assert result.finish == "stop"
    assert result.tokens == answer[:5]


def test_a_cancelled_request_gives_its_slot_back(bench: Bench) -> None:
    hogs = [bench.submit(PROMPTS[7], max_tokens=100_000) for _ in range(4)]
    running = bench.engine._running
    for generation in [*running, *bench.engine._waiting]:
        generation.cancelled = True
    assert len(bench.submit(PROMPTS[0])().tokens) == TOKENS
    assert len(hogs) == 4


def test_an_adapter_that_goes_leaves_the_others(
    bench: Bench, expected: dict[tuple[int, int], list[int]]
) -> None:
    waiting = bench.submit(PROMPTS[0], 1)
    bench.engine.between_steps(lambda: bench.engine.detach(1)).result()
    assert waiting().tokens == expected[1, 0]
    assert bench.submit(PROMPTS[0], 2)().tokens == expected[2, 0]
    mixed = [bench.submit(PROMPTS[3], adapter) for adapter in (-1, 0, 2)]
    assert [result().tokens for result in mixed] == [expected[adapter, 3] for adapter in (-1, 0, 2)]


def test_a_request_that_breaks_the_step_fails_alone_in_time(bench: Bench) -> None:
    broken = bench.submit([10_000_000])()  # No such token.
    assert broken.error is not None
    assert "generation failed" in str(broken.error)
    assert len(bench.submit(PROMPTS[0])().tokens) == TOKENS


def test_a_closed_engine_refuses(tiny: Path, adapters: dict[str, Path]) -> None:
    bench = Bench(tiny, adapters)
    waiting = bench.submit(PROMPTS[7], max_tokens=100_000)
    bench.engine.close()
    assert isinstance(waiting().error, EngineStopped)
    with pytest.raises(EngineStopped):
        bench.submit(PROMPTS[0])
