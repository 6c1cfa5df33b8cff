"""A small OpenAI-compatible server for one base model and its LoRA adapters: `python -m flywheel.serving
SPEC`.

For laptops and CI; vLLM and NIM are the engines for GPUs. Launched, never imported by the rest of the
program. Why it exists beside `transformers serve` is told in docs/decisions/0004-local-serving.md.

The environment is set here, the last moment before torch loads its thread pool: waiting threads must sleep,
not spin, or two programs on two cores slow each other down 50 times (measured).
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
