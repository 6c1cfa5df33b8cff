"""How the demo's student was made: a tokenizer and a small Llama from nothing, on a CPU, within a time.

`python -m flywheel.training.pretrain SPEC.json`. The corpus comes from `flywheel.synthesis.pretraining`.
The story, top to bottom: train a tokenizer in which copying is easy, cache the token ids, train with Muon
and AdamW until the budget is spent (the learning rate falls to zero with the time that is left, not with
steps), look every few minutes whether the model answers right on schemas that it has never seen, keep a
checkpoint to go on from.
"""

import json
import math
import multiprocessing
import os
import string
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch.nn import functional
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from flywheel.errors import FlywheelError
from flywheel.prompts import parse_answer, prompt_ids, prompt_text, training_example

SPECIAL = ("<|pad|>", "<|end|>", "<|system|>", "<|tools|>", "<|user|>", "<|assistant|>", "<|tool|>")
MARKS = (
    "<tool_call>",
    "</tool_call>",
)  # Not special: they survive skip_special_tokens, and are how calls are found.
JOIN = "\x1f"
LETTER = r"\p{L}\p{M}"


class PretrainError(FlywheelError):
    """The pre-training cannot start or go on."""


@dataclass(frozen=True)
class Spec:
    corpus: str
    """JSON lines of {"messages", "tools"}."""
    validation: str
    """The same, from another seed: its schemas are new to the model."""
    work: str
    """A folder for the cache, the checkpoint and the log."""
    out: str
    """Where the student is written, again and again while it gets better."""
    minutes: float
    chat_template: str = ""
    """A file; empty takes the one that is shipped with the student."""
    vocabulary: int = 5120
    hidden: int = 256
    layers: int = 6
    heads: int = 4
    key_value_heads: int = 2
    intermediate: int = 704
    positions: int = 4096
    longest: int = 1536
    batch_tokens: int = 8192
    muon_rate: float = 4e-3
    adam_rate: float = 3e-3
    weight_decay: float = 0.05
    warmup_steps: int = 60
    cooldown: float = 0.45
    """The share of the time in which the learning rate falls to zero."""
    prompt_weight: float = 0.3
    """How much the words of prompts count at first; copying is learned sooner where everything is
    predicted.
    """
    prompt_share: float = 0.12
    """The share of the time that this goes on; after it only answers are learned."""
    look_every: float = 5.0
    """Minutes between looks at the validation set (and checkpoints)."""
    threads: int = 2
    seed: int = 1


def read_spec(path: Path) -> Spec:
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PretrainError(f"cannot read the spec {path}: {error}") from error
    known = {field.name for field in fields(Spec)}
    if unknown := sorted(set(given) - known):
        raise PretrainError(f"{path}: unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}")
    try:
        return Spec(**given)
    except TypeError as error:
        raise PretrainError(f"{path}: {error}") from error


# --- tokenizer


def new_tokenizer() -> Tokenizer:
    """A byte-level BPE in which a word is the same tokens wherever it stands.

    In most tokenizers ` Denver`, `"Denver` and `_Denver` have different first tokens, so copying a value
    from a request into JSON means translating it. Here every word starts with a blank; where the text has
    none (after a quote, a bracket, an underscore, within camelCase), a join mark says that the blank is not
    there. The marks melt into the punctuation before them (`"` + mark is one token), so they cost next to
    nothing. Digits stand alone.
    """
    tokenizer = Tokenizer(models.BPE())
    # One rule per letter and digit: replacing nothing (a look-around alone) breaks the offsets that
    # `tokenizers` keeps, on text beyond ASCII. Words that begin with another letter do without.
    short = rf"(?!(?<=\p{{L}}')(?:s|t|re|ve|m|ll|d)(?![{LETTER}]))"
    begins = {letter: rf"(?<![{LETTER} ]){short}{letter}" for letter in string.ascii_lowercase}
    begins |= {
        letter: rf"(?:(?<![{LETTER} ])|(?<=\p{{Ll}})){short}{letter}" for letter in string.ascii_uppercase
    }
    begins |= {digit: rf"(?<![\p{{N}} ]){digit}" for digit in string.digits}
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Replace(Regex(pattern), f"{JOIN} {first}") for first, pattern in begins.items()]
    )
    pieces = (
        rf"'(?:s|t|re|ve|m|ll|d)(?![{LETTER}])| ?[{LETTER}]+| ?\p{{N}}| ?[^\s{LETTER}\p{{N}}{JOIN}]+{JOIN}?"
        rf"|\s+{JOIN}(?= )|\s+(?!\S)|\s+|{JOIN}"
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pieces), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    # The second replacement hides a mark whose word has not come yet, as happens when text is streamed.
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteLevel(), decoders.Replace(JOIN + " ", ""), decoders.Replace(JOIN, "")]
    )
    return tokenizer


def train_tokenizer(spec: Spec, texts: Iterator[str], chat_template: str) -> PreTrainedTokenizerFast:
    tokenizer = new_tokenizer()
    trainer = trainers.BpeTrainer(
        vocab_size=spec.vocabulary,
        special_tokens=[*SPECIAL, *MARKS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    written = json.loads(tokenizer.to_str())  # The trainer makes every token that it is given a special one.
    for token in written["added_tokens"]:
        token["special"] = token["content"] in SPECIAL
    return wrap(Tokenizer.from_str(json.dumps(written)), chat_template, spec.positions)


def wrap(tokenizer: Tokenizer, chat_template: str, positions: int) -> PreTrainedTokenizerFast:
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=SPECIAL[0],
        eos_token=SPECIAL[1],
        clean_up_tokenization_spaces=False,
        model_max_length=positions,
        padding_side="left",
    )
    wrapped.chat_template = chat_template
    return wrapped


# --- cache


def read_lines(path: str, count: int | None = None) -> Iterator[dict[str, Any]]:
    with Path(path).open(encoding="utf-8") as lines:
        for line in islice(lines, count):
            yield json.loads(line)


_worker: dict[str, Any] = {}


def _start_worker(folder: str) -> None:
    _worker["tokenizer"] = PreTrainedTokenizerFast.from_pretrained(folder)


def _encode_lines(lines: list[str]) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Ids, whether each is of an answer, and lengths. The same labels as `training_example`, by the role
    marks.
    """
    tokenizer = _worker["tokenizer"]
    texts = []
    for line in lines:
        item = json.loads(line)
        texts.append(prompt_text(tokenizer, item["messages"], item["tools"]).removesuffix("<|assistant|>"))
    start, end = tokenizer.convert_tokens_to_ids(["<|assistant|>", "<|end|>"])
    ids, answers, lengths = [], [], []
    for row in tokenizer(texts, add_special_tokens=False)["input_ids"]:
        inside = False
        for token in row:
            answers.append(inside)
            inside = token == start or (inside and token != end)
        ids.extend(row)
        lengths.append(len(row))
    return np.array(ids, dtype=np.uint16), np.array(answers, dtype=bool), lengths


@dataclass(frozen=True)
class Cache:
    ids: np.ndarray
    answers: np.ndarray
    offsets: np.ndarray

    def row(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        start, stop = self.offsets[number], self.offsets[number + 1]
        return self.ids[start:stop], self.answers[start:stop]


def build_cache(spec: Spec, tokenizer_folder: Path) -> Cache:
    path = Path(spec.work) / "cache.npz"
    if not path.exists():
        chunks: list[list[str]] = [[]]
        with Path(spec.corpus).open(encoding="utf-8") as lines:
            for line in lines:
                if len(chunks[-1]) == 1000:
                    chunks.append([])
                chunks[-1].append(line)
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(spec.threads, spawn, _start_worker, (str(tokenizer_folder),)) as pool:
            parts = list(pool.map(_encode_lines, chunks))
        lengths = np.concatenate([part[2] for part in parts])
        np.savez(
            path,
            ids=np.concatenate([part[0] for part in parts]),
            answers=np.concatenate([part[1] for part in parts]),
            offsets=np.concatenate([[0], np.cumsum(lengths)]),
        )
    with np.load(path) as arrays:
        return Cache(arrays["ids"], arrays["answers"], arrays["offsets"])


def batches(spec: Spec, cache: Cache, skip: int) -> Iterator[list[int]]:
    """Batches of about the same number of tokens, each of conversations of about the same length."""
    rng = np.random.default_rng(spec.seed)
    lengths = np.diff(cache.offsets)
    seen = 0
    while True:
        order = rng.permutation(len(lengths))
        order = order[lengths[order] <= spec.longest]
        for at in range(0, len(order), 4096):
            pool = order[at : at + 4096]
            pool = pool[np.argsort(lengths[pool], kind="stable")]
            made: list[list[int]] = [[]]
            for number in pool:
                if len(made[-1]) >= rows_of(spec, int(lengths[number])):
                    made.append([])
                made[-1].append(int(number))
            for index in rng.permutation(len(made)):
                seen += 1
                if seen > skip:
                    yield made[index]


def rows_of(spec: Spec, length: int) -> int:
    return max(1, spec.batch_tokens // _rounded(length, 32))


def _rounded(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def tensors(spec: Spec, cache: Cache, numbers: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch in one of few shapes: the CPU's matrix kernels are compiled anew for each shape that they
    meet.
    """
    rows = [cache.row(number) for number in numbers]
    longest = max(len(ids) for ids, _ in rows)
    shape = (max(len(rows), rows_of(spec, longest)), _rounded(longest, 32) + 1)
    # 0 is the padding token; attention is causal, so padding on the right harms nobody.
    ids = torch.zeros(shape, dtype=torch.long)
    answers = torch.zeros(shape, dtype=torch.bool)
    for at, (row, answer) in enumerate(rows):
        ids[at, : len(row)] = torch.from_numpy(row.astype(np.int64))
        answers[at, : len(row)] = torch.from_numpy(answer)
    return ids, answers


# --- model


def new_model(spec: Spec, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    torch.manual_seed(spec.seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=spec.hidden,
        intermediate_size=spec.intermediate,
        num_hidden_layers=spec.layers,
        num_attention_heads=spec.heads,
        num_key_value_heads=spec.key_value_heads,
        max_position_embeddings=spec.positions,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def optimizers(spec: Spec, model: LlamaForCausalLM) -> list[torch.optim.Optimizer]:
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    rest = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    return [
        torch.optim.Muon(
            matrices, lr=spec.muon_rate, weight_decay=spec.weight_decay, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(rest, lr=spec.adam_rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def loss_of(
    model: LlamaForCausalLM, ids: torch.Tensor, answers: torch.Tensor, prompt_weight: float
) -> torch.Tensor:
    """Mean loss of answer tokens, plus that of prompt tokens times its weight; only what counts is
    projected.
    """
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.model(input_ids=ids[:, :-1]).last_hidden_state
        target, answer = ids[:, 1:], answers[:, 1:]
        weight = answer.float() + prompt_weight * (~answer & (target != 0)).float()
        # Highest weights first, up to a round number of them: padding with weight zero fills the rest.
        counted = weight.flatten().argsort(descending=True)[: _rounded(int((weight > 0).sum()), 512)]
        logits = model.lm_head(hidden.flatten(0, 1)[counted])
    losses = functional.cross_entropy(logits.float(), target.flatten()[counted], reduction="none")
    weight = weight.flatten()[counted]
    return (losses * weight).sum() / weight.sum()


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """The student as it ships: bfloat16 weights, in a folder that `from_pretrained` reads."""
    config = model.config.to_dict()
    config["dtype"] = "bfloat16"
    shipped = LlamaForCausalLM(LlamaConfig.from_dict(config)).to(torch.bfloat16)
    shipped.load_state_dict(model.state_dict())
    shipped.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, do_sample=False
    )
    shipped.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """In the words that older versions of transformers know, too."""
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    for key in ("backend", "is_local", "local_files_only"):
        config.pop(key, None)
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


# --- validation


def generate(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, prompts: list[list[int]], limit: int = 160
) -> list[str]:
    """Greedy answers, in batches of similar length, padded on the left."""
    answers = [""] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    for at in range(0, len(order), 40):
        chunk = order[at : at + 40]
        longest = max(len(prompts[i]) for i in chunk)
        ids = torch.tensor(
            [[tokenizer.pad_token_id] * (longest - len(prompts[i])) + prompts[i] for i in chunk]
        )
        mask = (ids != tokenizer.pad_token_id).long()
        with torch.inference_mode():
            made = model.generate(
                input_ids=ids, attention_mask=mask, max_new_tokens=limit, do_sample=False,
                pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
            )  # fmt: skip
        for i, row in zip(chunk, made[:, longest:].tolist(), strict=True):
            answers[i] = tokenizer.decode(row, skip_special_tokens=True)
    return answers


def exact_matches(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, items: list[dict[str, Any]]
) -> dict[str, float]:
    """First calls on schemas never seen: the right function, and the right function with the right
    arguments.
    """
    prompts, expected = [], []
    for item in items:
        turn = next(i for i, message in enumerate(item["messages"]) if message["role"] == "assistant")
        prompts.append(prompt_ids(tokenizer, item["messages"][:turn], item["tools"]))
        expected.append(item["messages"][turn])
    model.eval()
    answers = [parse_answer(text) for text in generate(model, tokenizer, prompts)]
    model.train()
    names = exact = words = talks = 0
    for answer, message in zip(answers, expected, strict=True):
        calls = message.get("tool_calls") or []
        if not calls:
            talks += 1
            words += not answer.calls and not answer.malformed
            continue
        wanted = [(c["function"]["name"], json.loads(c["function"]["arguments"])) for c in calls]
        given = [(c.name, json.loads(c.arguments)) for c in answer.calls]
        names += [name for name, _ in given] == [name for name, _ in wanted]
        exact += given == wanted
    count = max(len(items) - talks, 1)
    return {"name": names / count, "exact": exact / count, "in_words": words / max(talks, 1)}


# --- the story


def the_tokenizer(spec: Spec, folder: Path) -> PreTrainedTokenizerFast:
    """The one in the work folder, made from the corpus if it is not there yet."""
    if not (folder / "tokenizer.json").exists():
        shipped = Path(__file__).parents[1] / "student" / "chat_template.jinja"
        template = (Path(spec.chat_template) if spec.chat_template else shipped).read_text(encoding="utf-8")
        bare = wrap(new_tokenizer(), template, spec.positions)
        items = read_lines(spec.corpus, 30_000)
        texts = (prompt_text(bare, item["messages"], item["tools"]) for item in items)
        train_tokenizer(spec, texts, template).save_pretrained(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def resume(
    checkpoint: Path, model: LlamaForCausalLM, steppers: list[torch.optim.Optimizer]
) -> tuple[int, int, float]:
    state = torch.load(checkpoint, weights_only=True)
    model.load_state_dict(state["model"])
    for stepper, saved in zip(steppers, state["optimizers"], strict=True):
        stepper.load_state_dict(saved)
    return state["step"], state["seen"], state["spent"]


def run(spec: Spec) -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(spec.threads)
    work, out = Path(spec.work), Path(spec.out)
    work.mkdir(parents=True, exist_ok=True)

    def log(**values: Any) -> None:
        line = json.dumps({key: round(v, 4) if isinstance(v, float) else v for key, v in values.items()})
        with (work / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        sys.stderr.write(line + "\n")

    tokenizer = the_tokenizer(spec, work / "tokenizer")
    cache = build_cache(spec, work / "tokenizer")
    check_labels(spec, tokenizer, cache)
    held = list(read_lines(spec.validation, 120))
    log(
        event="data",
        conversations=len(cache.offsets) - 1,
        tokens=len(cache.ids),
        answers=float(cache.answers.mean()),
    )

    model = new_model(spec, tokenizer)
    steppers = optimizers(spec, model)
    step, seen, spent = 0, 0, 0.0
    checkpoint = work / "checkpoint.pt"
    if checkpoint.exists():
        step, seen, spent = resume(checkpoint, model, steppers)
        log(event="resumed", step=step, seen=seen, minutes=spent / 60)
    log(event="start", parameters=sum(p.numel() for p in model.parameters()), vocabulary=len(tokenizer))
    if not (out / "config.json").exists():
        save(model, tokenizer, out)

    def look() -> None:
        scores = exact_matches(model, tokenizer, held)
        log(event="look", minutes=elapsed() / 60, step=step, seen=seen, **scores)
        save(model, tokenizer, out)
        state = {
            "model": model.state_dict(),
            "optimizers": [stepper.state_dict() for stepper in steppers],
            "step": step,
            "seen": seen,
            "spent": elapsed(),
        }
        torch.save(state, checkpoint.with_suffix(".new"))
        checkpoint.with_suffix(".new").replace(checkpoint)

    began = time.monotonic() - spent

    def elapsed() -> float:
        return time.monotonic() - began

    budget, next_look, recent = spec.minutes * 60, elapsed() + spec.look_every * 60, []
    for numbers in batches(spec, cache, step):
        done = elapsed() / budget
        if done >= 1:
            break
        rate = min(1.0, (step + 1) / spec.warmup_steps, max((1 - done) / spec.cooldown, 0.0))
        for stepper, peak in zip(steppers, (spec.muon_rate, spec.adam_rate), strict=True):
            for group in stepper.param_groups:
                group["lr"] = peak * rate
        ids, answers = tensors(spec, cache, numbers)
        loss = loss_of(model, ids, answers, spec.prompt_weight if done < spec.prompt_share else 0.0)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for stepper in steppers:
            stepper.step()
            stepper.zero_grad()
        step, seen = step + 1, seen + int((ids != 0).sum())
        recent.append(loss.item())
        if not math.isfinite(recent[-1]):
            raise PretrainError(
                f"the loss is {recent[-1]} at step {step}: lower the learning rates, or start anew"
            )
        if step % 50 == 0:
            log(
                event="step",
                step=step,
                seen=seen,
                minutes=elapsed() / 60,
                loss=sum(recent) / len(recent),
                rate=rate,
            )
            recent = []
        if elapsed() >= next_look:
            look()
            next_look = elapsed() + spec.look_every * 60
    look()
    log(event="end", step=step, seen=seen, minutes=elapsed() / 60)


def check_labels(spec: Spec, tokenizer: PreTrainedTokenizerFast, cache: Cache) -> None:
    """The quick labels of the cache must be those that LoRA training will use on the same template."""
    for number, item in enumerate(read_lines(spec.corpus, 40)):
        ids, labels = training_example(tokenizer, item["messages"], item["tools"])
        cached, answers = cache.row(number)
        if ids != cached.tolist() or [label >= 0 for label in labels] != answers.tolist():
            raise PretrainError(
                f"{spec.corpus}:{number + 1}: the cache and flywheel.prompts disagree on what to learn"
            )


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m flywheel.training.pretrain SPEC.json\n")
        return 2
    run(read_spec(Path(arguments[0])))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
