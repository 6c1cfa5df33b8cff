"""A small OpenAI-compatible server for one base model and its LoRA adapters: `python -m flywheel.serving
SPEC`.

For laptops and CI; vLLM and NIM are the engines for GPUs. Launched, never imported by the rest of the
program. Why it exists beside `transformers serve` is told in docs/decisions/0004-local-serving.md.

The environment is set here, the last moment before torch loads its thread pool: half of the cores, and
waiting threads sleep, since trainings and other servers want theirs (`flywheel.training` has the
measurements). OMP_NUM_THREADS decides where it is set.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 2) // 2)))
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
